import { afterEach, describe, expect, test } from '@jest/globals';
import type { Context, SQSEvent } from 'aws-lambda';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import { type QueueSource, startQueueSource } from '../../../local/event-source/queue-source.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryQueues } from '../../../testing/memory-queue.ts';

const sources: QueueSource[] = [];
// One that a failed test left behind would poll for ever in virtual time.
afterEach(async () => {
  await Promise.allSettled(sources.splice(0).map((source) => source.stop()));
});

const TIMEOUT_MS = 1_000;

/** A queue whose messages go to `handler`, in virtual time that moves on by itself. */
function open(handler: (event: SQSEvent, context: Context) => Promise<unknown>) {
  const clock = createFakeClock({ autoAdvance: true });
  const queues = createMemoryQueues({ clock });
  const queue = queues.queue('redrive', { deadLetterQueue: 'dead', maxReceiveCount: 3 });
  const seen: { at: number; bodies: string[] }[] = [];
  const start = () => {
    const source = startQueueSource({
      queue,
      name: 'fn',
      handler: (event, context) => {
        seen.push({ at: clock.now(), bodies: event.Records.map(({ body }) => body) });
        return handler(event, context);
      },
      functionTimeoutMs: TIMEOUT_MS,
      clock,
      random: createSeededRandom(1),
      log: { debug() {}, info() {}, warn() {}, error() {} },
    });
    sources.push(source);
    return source;
  };
  const until = async (condition: () => Promise<boolean>) => {
    while (!(await condition())) await clock.sleep(10);
  };
  return { clock, queue, dead: queues.queue('dead'), seen, start, until };
}
const bodies = (...texts: string[]) => texts.map((body) => ({ body }));

describe('the event source of a queue', () => {
  test('hands over ten messages at most, and deletes what the function does not hand back', async () => {
    const { queue, seen, start, until } = open(async () => ({ batchItemFailures: [] }));
    await queue.send(bodies(...Array.from({ length: 12 }, (_, n) => String(n))));
    start();
    await until(async () => (await queue.depth()) === 0);
    expect(seen.map((each) => each.bodies.length)).toEqual([10, 2]);
  });

  test('brings what is handed back again when its visibility timeout is over, and the others not', async () => {
    const { queue, seen, start, until } = open(async ({ Records }) => ({
      batchItemFailures: Records.filter(({ body }) => body === 'bad' && Records.length > 1).map(
        ({ messageId }) => ({
          itemIdentifier: messageId,
        }),
      ),
    }));
    await queue.send(bodies('good', 'bad'));
    start();
    await until(async () => (await queue.depth()) === 0);
    expect(seen.map((each) => each.bodies)).toEqual([['good', 'bad'], ['bad']]);
    expect(seen[1]!.at - seen[0]!.at).toBeGreaterThanOrEqual(6 * TIMEOUT_MS);
  });

  test.each([
    ['throws', async () => Promise.reject(new Error('x'))],
    ['never returns', () => new Promise(() => {})],
    ['names a message it was not given', async () => ({ batchItemFailures: [{ itemIdentifier: 'other' }] })],
  ])(
    'brings all again when the function %s, until the queue puts them among the dead',
    async (_, handler) => {
      const { queue, dead, seen, start, until } = open(handler);
      await queue.send(bodies('a', 'b'));
      start();
      await until(async () => (await dead.depth()) === 2);
      expect(seen).toHaveLength(3);
      expect(await queue.depth()).toBe(0);
    },
  );

  test('sends what SQS sends: attributes, receive count, the shape of its event', async () => {
    const events: SQSEvent[] = [];
    const { queue, start, until } = open(async (event) => void events.push(event));
    await queue.send([{ body: 'x', attributes: { redrive: 'r-1' } }]);
    start();
    await until(async () => events.length > 0);
    expect(events[0]!.Records[0]).toMatchObject({
      body: 'x',
      eventSource: 'aws:sqs',
      md5OfBody: '9dd4e461268c8034f5c8564e155c67a6',
      attributes: { ApproximateReceiveCount: '1' },
      messageAttributes: { redrive: { dataType: 'String', stringValue: 'r-1' } },
    });
  });

  test('ends after the invocation under way', async () => {
    const { queue, seen, start, until, clock } = open(async () => {
      await clock.sleep(500);
    });
    await queue.send(bodies('a'));
    const source = start();
    await until(async () => seen.length > 0);
    await source.stop();
    expect(await queue.depth()).toBe(0);
    await queue.send(bodies('b'));
    await clock.sleep(10_000);
    expect(seen).toHaveLength(1);
  });
});

/** Letters that newer records of their keys have overtaken, however they come back to their consumer. */
import { describe, expect, test } from '@jest/globals';
import { createSeededRandom } from '../../../../adapters/system/seeded-random.ts';
import { withOvertaken } from '../../../../runtime/dead-letters/overtaken.ts';
import { chooseLetters } from '../../../../runtime/dead-letters/redrive/plan.ts';
import { settleMessages } from '../../../../runtime/dead-letters/redrive/receive.ts';
import { type RedriveOptions, runRedrive } from '../../../../runtime/dead-letters/redrive/send.ts';
import { deadLetterResources, topicOfDeadLetters } from '../../../../runtime/dead-letters/resources.ts';
import { defineConsumer } from '../../../../runtime/delivery/consumer.ts';
import { letterKey } from '../../../../runtime/delivery/dead-letter.ts';
import { createEngine } from '../../../../runtime/delivery/engine.ts';
import type { RedriveReport } from '../../../../runtime/delivery/metrics.ts';
import { MillraceError } from '../../../../runtime/errors.ts';
import type { ConsumerRecord } from '../../../../runtime/record.ts';
import { createFakeClock } from '../../../../testing/fake-clock.ts';
import { createMemoryLog } from '../../../../testing/memory-log.ts';
import { createMemoryObjects } from '../../../../testing/memory-objects.ts';
import { createMemoryQueues } from '../../../../testing/memory-queue.ts';
import { MemorySink, type MemoryTx } from '../../../../testing/memory-sink.ts';
import { type Event, eventRecord, eventRegistry, events } from '../../events.ts';

const OPTIONS: RedriveOptions = { ratePerSecond: 100, canary: 0, maxFailures: 5, patienceMs: 5_000 };
const log = { debug() {}, info() {}, warn() {}, error() {} };

/** A consumer whose table has the last record of each key, and everything that its letters go through. */
async function open(deadLetter: 'sqs' | 'kafka', onOvertaken: 'refuse' | 'apply' = 'refuse') {
  const clock = createFakeClock({ autoAdvance: true });
  const state = { isBroken: true, isStoreDown: false };
  const seen: Pick<ConsumerRecord<Event>, 'offset' | 'arrival' | 'overtaken'>[] = [];
  const consumer = defineConsumer({
    name: 'last-of-key',
    topic: events,
    sink: 'postgres',
    deadLetter,
    onOvertaken,
    breaker: false,
    async handle(records, { tx }) {
      for (const { offset, key, arrival, overtaken } of records) {
        if (state.isBroken && offset < 3) throw new Error('not yet');
        await (tx as unknown as MemoryTx).set(String(key), offset);
        seen.push({ offset, arrival, overtaken });
      }
    },
  });
  const queues = createMemoryQueues({ clock });
  const objects = createMemoryObjects({ clock });
  const topics = createMemoryLog({ clock });
  await topics.createTopic(consumer.deadLetterTopic, topicOfDeadLetters(consumer).partitions);
  const deadLetters = queues.queue('dead-letters');
  const redrive = queues.queue('redrive', { deadLetterQueue: 'dead-letters', maxReceiveCount: 10 });
  const mover = queues.mover('dead-letters', 'redrive');
  const resources = deadLetterResources(consumer, { deadLetters, redrive, mover, objects, log: topics });
  const sink = new MemorySink();
  const reports: RedriveReport[] = [];
  const engine = createEngine(consumer, {
    clock,
    random: createSeededRandom(1),
    registry: eventRegistry,
    sink,
    deadLetters: {
      async put(letters) {
        if (state.isStoreDown) throw new MillraceError('DEAD_LETTER_STORE_UNAVAILABLE', 'The store is down.');
        await resources.store.put(letters);
      },
    },
    log,
    metrics: { report() {}, reportRedrive() {} },
  });
  const invocation = {
    requestId: 'request-1',
    functionName: 'fn',
    functionVersion: '1',
    remainingMs: () => 60_000,
  };

  // Keys a, b and c fail; newer records of a and b are applied.
  const key = (name: string) => ({ key: Buffer.from(name) });
  await engine.deliver(
    [
      ...['a', 'b', 'c'].map((name, offset) => eventRecord(0, offset, key(name))),
      ...['a', 'b'].map((name, at) => eventRecord(0, 3 + at, key(name))),
    ],
    invocation,
  );
  state.isBroken = false;
  seen.length = 0;

  /** The redrive queue's event source, until nothing is left to receive. */
  const consume = async () => {
    let messages = await redrive.receive({ maxMessages: 10, visibilityMs: 1_000 });
    while (messages.length > 0) {
      const metrics = { report() {}, reportRedrive: (report: RedriveReport) => void reports.push(report) };
      const back = await settleMessages(messages, { engine, objects, metrics, log }, invocation);
      await redrive.delete(messages.filter(({ id }) => !back.includes(id)).map(({ receipt }) => receipt));
      messages = await redrive.receive({ maxMessages: 10, visibilityMs: 1_000 });
    }
  };
  const left = async () => {
    const offsets: number[] = [];
    for await (const copy of resources.reader.scan())
      if ('letter' in copy) offsets.push(copy.letter.record.offset);
    return offsets.toSorted((a, b) => a - b);
  };
  const overtaken = async () =>
    new Map(
      [...sink.keys.of({ consumer: consumer.name, epoch: 1 }, { topic: events.name, partition: 0 }).letters]
        .filter(([, { overtakenBy }]) => overtakenBy !== null)
        .map(([offset, { overtakenBy }]) => [
          letterKey({ id: `last-of-key/${events.name}/0/${offset}`, epoch: 1 }),
          overtakenBy!,
        ]),
    );
  const rows = () => ['a', 'b', 'c'].map((name) => sink.value(name));
  const run = async (mayBeOvertaken: boolean, isKnown = true) => {
    let isOver = false;
    const consuming = (async () => {
      while (!isOver) {
        await consume();
        await clock.sleep(100);
      }
    })();
    const sent = new Set<string>();
    const reader = isKnown ? withOvertaken(resources.reader, overtaken) : resources.reader;
    const chosen = await chooseLetters(
      { reader, objects },
      { filter: {}, mayBeOvertaken, inOrder: onOvertaken === 'refuse' },
    );
    try {
      return await runRedrive(
        {
          plan: { id: `r-${mayBeOvertaken}`, consumer: consumer.name, mayBeOvertaken, ...chosen },
          sent,
          noteSent: (ids) => {
            for (const id of ids) sent.add(id);
          },
        },
        { ...resources, clock },
        OPTIONS,
      );
    } finally {
      isOver = true;
      await consuming;
    }
  };
  return { clock, state, mover, deadLetters, redrive, seen, reports, consume, left, overtaken, rows, run };
}

describe.each(['sqs', 'kafka'] as const)('overtaken letters, in %s', (deadLetter) => {
  test('are left out of a redrive, and stay dead letters', async () => {
    const { run, left, rows, overtaken } = await open(deadLetter);
    expect(await left()).toEqual([0, 1, 2]);
    expect([...(await overtaken()).values()].toSorted()).toEqual([3, 4]);
    expect(await run(false)).toMatchObject({
      planned: 3,
      sent: 1,
      applied: 1,
      overtaken: 2,
      failed: 0,
      remaining: 0,
    });
    expect(rows()).toEqual([3, 4, 2]);
    expect(await left()).toEqual([0, 1]);
  });

  test('that nobody knew of are refused by the consumer, and are dead letters again', async () => {
    const { run, left, rows, reports } = await open(deadLetter);
    expect(await run(false, false)).toMatchObject({
      planned: 3,
      sent: 3,
      applied: 1,
      overtaken: 2,
      failed: 0,
      remaining: 0,
    });
    expect(rows()).toEqual([3, 4, 2]);
    expect(await left()).toEqual([0, 1]);
    expect(reports.reduce((sum, each) => sum + each.overtaken, 0)).toBe(2);
  });

  test('are applied where the redrive permits it, and the handler is told', async () => {
    const { run, left, rows, seen } = await open(deadLetter);
    expect(await run(true)).toMatchObject({ planned: 3, applied: 3, overtaken: 0, remaining: 0 });
    expect(rows()).toEqual([0, 1, 2]);
    expect(await left()).toEqual([]);
    expect(seen).toEqual([
      { offset: 0, arrival: 'redrive', overtaken: true },
      { offset: 1, arrival: 'redrive', overtaken: true },
      { offset: 2, arrival: 'redrive', overtaken: false },
    ]);
  });

  test('are applied by a consumer whose effects do not depend on order', async () => {
    const { run, left } = await open(deadLetter, 'apply');
    expect(await run(false, false)).toMatchObject({ planned: 3, applied: 3, overtaken: 0, remaining: 0 });
    expect(await left()).toEqual([]);
  });
});

describe('"Start DLQ redrive" of the SQS console', () => {
  test('brings overtaken letters back to the dead letters, and nothing goes round', async () => {
    const { mover, consume, left, rows, redrive, deadLetters } = await open('sqs');
    for (const moved of [3, 2, 2]) {
      expect(await mover.move({ maxPerSecond: 500 })).toEqual({ moved });
      await consume();
      expect(rows()).toEqual([3, 4, 2]);
      expect(await left()).toEqual([0, 1]);
      expect(await redrive.depth()).toBe(0);
      expect(await deadLetters.depth()).toBe(2);
    }
  });

  test('loses no letter that could not be put back: its message is delivered again', async () => {
    const { mover, consume, left, rows, redrive, state, clock } = await open('sqs');
    await mover.move({ maxPerSecond: 500 });
    state.isStoreDown = true;
    await consume();
    expect(await left()).toEqual([]);
    expect(await redrive.depth()).toBe(2);
    state.isStoreDown = false;
    await clock.sleep(1_000);
    await consume();
    expect(rows()).toEqual([3, 4, 2]);
    expect(await left()).toEqual([0, 1]);
    expect(await redrive.depth()).toBe(0);
  });
});

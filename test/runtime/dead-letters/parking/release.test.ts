import { describe, expect, test } from '@jest/globals';
import { createSeededRandom } from '../../../../adapters/system/seeded-random.ts';
import { decodeEnvelope } from '../../../../runtime/dead-letters/json-envelope.ts';
import { decodeRelease, encodeRelease } from '../../../../runtime/dead-letters/parking/message.ts';
import { sendReleases } from '../../../../runtime/dead-letters/parking/send.ts';
import { settleMessages } from '../../../../runtime/dead-letters/redrive/receive.ts';
import { defineConsumer, type HandlerContext } from '../../../../runtime/delivery/consumer.ts';
import type { DeadLetter } from '../../../../runtime/delivery/dead-letter.ts';
import { createEngine } from '../../../../runtime/delivery/engine.ts';
import type { KeyRelease } from '../../../../runtime/delivery/release.ts';
import type { ConsumerRecord } from '../../../../runtime/record.ts';
import { createFakeClock } from '../../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../../testing/memory-objects.ts';
import { createMemoryQueues } from '../../../../testing/memory-queue.ts';
import { MemorySink, type MemoryTx } from '../../../../testing/memory-sink.ts';
import { type Event, eventRecord, eventRegistry, events } from '../../events.ts';

const KEY = Buffer.from('reader-1');
const LEDGER = { consumer: 'tested', epoch: 1 };
const PARTITION = { topic: events.name, partition: 0 };

/** A consumer that parks, whose handler fails the records of these offsets, with its function on a redrive queue. */
function setUp(failing: Set<number>, parkLimit = { perKey: 100, total: 1_000 }) {
  const clock = createFakeClock({ autoAdvance: true });
  const sink = new MemorySink();
  const letters: DeadLetter[] = [];
  const logged: string[] = [];
  const log = (message: string, fields: object = {}) => void logged.push(message + JSON.stringify(fields));
  const logger = { debug: log, info: log, warn: log, error: log };
  const metrics = { report() {}, reportRedrive() {} };
  const consumer = defineConsumer({
    name: 'tested',
    topic: events,
    sink: 'postgres',
    onDeadLetter: 'park-key',
    parkLimit,
    retry: { attempts: 1 },
    async handle(records: readonly ConsumerRecord<Event>[], context) {
      const { tx, fail } = context as unknown as HandlerContext<MemoryTx, Event>;
      for (const record of records) {
        if (failing.has(record.offset)) fail(record, new Error('no'));
        else await tx.append(record.key!, record.offset);
      }
    },
  });
  const engine = createEngine(consumer, {
    clock,
    random: createSeededRandom(1),
    registry: eventRegistry,
    sink,
    deadLetters: { put: async (put) => void letters.push(...put) },
    log: logger,
    metrics,
  });
  const invocation = {
    requestId: 'request-1',
    functionName: 'tested-function',
    functionVersion: '7',
    remainingMs: () => 60_000,
  };
  const objects = createMemoryObjects({ clock });
  const redrive = createMemoryQueues({ clock }).queue('redrive');
  /** Hands what is in the queue to the function, as its event source does. */
  const receive = async () => {
    const messages = await redrive.receive({ maxMessages: 10, visibilityMs: 0 });
    const ports = { engine, objects, metrics, log: logger };
    const handedBack = await settleMessages(messages, ports, invocation);
    await redrive.delete(messages.filter(({ id }) => !handedBack.includes(id)).map(({ receipt }) => receipt));
    return handedBack;
  };
  return {
    sink,
    letters,
    logged,
    objects,
    redrive,
    receive,
    deliver: (...offsets: number[]) =>
      engine.deliver(
        offsets.map((offset) => ({ ...eventRecord(0, offset), key: KEY })),
        invocation,
      ),
    redriveAll: () => engine.redrive(letters.splice(0), invocation),
    /** Sends the releases, and lets the function answer whenever the sender sleeps. */
    send: (...releases: KeyRelease[]) =>
      sendReleases(
        'tested',
        'release-1',
        releases,
        { redrive, objects, clock: { ...clock, sleep: async () => void (await receive()) } },
        { patienceMs: 1_000 },
      ),
    applied: () => (sink.value(KEY.toString()) as number[] | undefined) ?? [],
    parked: () => [...sink.keys.of(LEDGER, PARTITION).parked.keys()],
    discarded: () => sink.keys.of(LEDGER, PARTITION).discarded,
  };
}

const RELEASE: KeyRelease = {
  ...PARTITION,
  epoch: 1,
  key: KEY,
  below: 100,
  discardedLetters: [],
  discardedParked: [],
};

describe('a key that waits', () => {
  test('is released: what is parked is applied in order, and its letter is overtaken from then on', async () => {
    const of = setUp(new Set([1]));
    await of.deliver(0, 1, 2, 3);
    expect(of.parked()).toEqual([2, 3]);
    expect(await of.send(RELEASE)).toMatchObject({ letters: 1, discardedLetters: 0, discardedParked: 0 });
    await of.deliver(4);
    expect(of.applied()).toEqual([0, 2, 3, 4]);
    expect(of.parked()).toEqual([]);
    expect(await of.redriveAll()).toEqual(['overtaken']);
    expect(of.applied()).toEqual([0, 2, 3, 4]);
  });

  test('keeps its letter, also the first record of a partition', async () => {
    const of = setUp(new Set([0]));
    await of.deliver(0, 1);
    expect(await of.send(RELEASE)).toMatchObject({ letters: 1, discardedLetters: 0 });
    expect(of.discarded()).toEqual([]);
  });

  test('waits again for the next of its records that fails, with those behind it still parked', async () => {
    const failing = new Set([1, 3]);
    const of = setUp(failing);
    await of.deliver(1, 2, 3, 4);
    expect(await of.send(RELEASE)).toMatchObject({ blockedBy: 3, parked: 1 });
    expect(of.applied()).toEqual([2]);
    expect(of.parked()).toEqual([4]);
    expect(of.letters.map(({ record }) => record.offset)).toEqual([1, 3]);
  });

  test('is released from every letter that its limit made, by one release', async () => {
    const of = setUp(new Set([1]), { perKey: 1, total: 10 });
    await of.deliver(1, 2, 3, 4, 5);
    expect(of.letters).toHaveLength(4);
    expect(await of.send(RELEASE)).toMatchObject({ letters: 4 });
    await of.deliver(6);
    expect(of.applied()).toEqual([2, 6]);
  });

  test('is not released from a letter that nobody had seen', async () => {
    const of = setUp(new Set([5]));
    await of.deliver(5, 6);
    expect(await of.send({ ...RELEASE, below: 5 })).toMatchObject({ letters: 0 });
    expect(of.parked()).toEqual([6]);
  });

  test('goes on without a letter that is discarded, which comes back only with a permission', async () => {
    const of = setUp(new Set([1]));
    await of.deliver(1, 2, 3);
    const skip = { ...RELEASE, discardedLetters: [{ from: 1, to: 2 }] };
    expect(await of.send(skip)).toMatchObject({ letters: 0, discardedLetters: 1, discardedParked: 0 });
    expect(of.applied()).toEqual([2, 3]);
    expect(of.discarded()).toEqual([{ from: 1, to: 2 }]);
    // As after an import.
    expect(await of.redriveAll()).toEqual(['overtaken']);
  });

  test('loses the parked records that are discarded, and no other', async () => {
    const of = setUp(new Set([1]));
    await of.deliver(1, 2, 3, 4);
    const parked = { ...RELEASE, below: null, discardedParked: [{ from: 2, to: 4 }] };
    const letter = { ...RELEASE, discardedLetters: [{ from: 1, to: 2 }] };
    expect(await of.send(parked, letter)).toMatchObject({
      letters: 0,
      discardedLetters: 1,
      discardedParked: 2,
    });
    expect(of.applied()).toEqual([4]);
    expect(of.parked()).toEqual([]);
    expect(of.discarded()).toEqual([{ from: 1, to: 4 }]);
    // Settled, so that a second delivery does not bring them back.
    const { outcomes } = await of.deliver(2, 3);
    expect(outcomes).toEqual(['duplicate', 'duplicate']);
  });

  test('is released once, however often the message comes', async () => {
    const of = setUp(new Set([1]));
    await of.deliver(1, 2);
    await of.send(RELEASE);
    expect(await of.send(RELEASE)).toMatchObject({ letters: 1, discardedLetters: 0, discardedParked: 0 });
    expect(await of.receive()).toEqual([]);
    expect(of.applied()).toEqual([2]);
  });

  test('is told of in the log by its partition, and never by its bytes', async () => {
    const of = setUp(new Set([1]));
    await of.deliver(1, 2);
    await of.send(RELEASE);
    expect(of.logged.join('\n')).toContain('Key released');
    expect(of.logged.join('\n')).not.toContain(KEY.toString());
    expect(of.logged.join('\n')).not.toContain(KEY.toString('base64'));
  });
});

describe('the message of a release', () => {
  const message = { id: 'id', number: 3, consumer: 'tested', release: RELEASE };

  test('has any key, of any size, and whatever it names', async () => {
    const { objects } = setUp(new Set());
    for (const key of [Buffer.alloc(0), Buffer.from([0, 255]), Buffer.alloc(1_048_576, 7)]) {
      const release = { ...RELEASE, key, below: null, discardedParked: [{ from: 4, to: 9 }] };
      const { body } = await encodeRelease({ ...message, release }, objects);
      expect(body.length).toBeLessThan(1_048_576);
      expect(await decodeRelease(body, objects)).toEqual({ ...message, release });
    }
  });

  test('is handed back by a version that knows only dead letters', async () => {
    const { body } = await encodeRelease(message, setUp(new Set()).objects);
    expect(() => decodeEnvelope(body)).toThrow(
      expect.objectContaining({ code: 'DEAD_LETTER_VERSION_UNKNOWN' }),
    );
  });

  test.each([
    ['of another consumer', { ...message, consumer: 'other' }],
    ['of another topic', { ...message, release: { ...RELEASE, topic: 'other' } }],
  ])('is handed back %s', async (_, foreign) => {
    const of = setUp(new Set([1]));
    await of.deliver(1, 2);
    await of.redrive.send([await encodeRelease(foreign, of.objects)]);
    expect(await of.receive()).toHaveLength(1);
    expect(of.parked()).toEqual([2]);
  });

  test('is handed back where it cannot be read, and disturbs no other', async () => {
    const of = setUp(new Set([1]));
    await of.deliver(1, 2);
    const good = await encodeRelease(message, of.objects);
    const bodies = [
      '{"version":"2.0","kind":"key-release"}',
      '{"version":"2.7","kind":"key-burial"}',
      good.body,
    ];
    await of.redrive.send(bodies.map((body) => ({ body })));
    expect(await of.receive()).toHaveLength(2);
    expect(of.applied()).toEqual([2]);
  });

  test('that nobody answers is an error that says where it stays', async () => {
    const of = setUp(new Set());
    const clock = createFakeClock({ autoAdvance: true });
    const sending = sendReleases(
      'tested',
      'id',
      [RELEASE],
      { redrive: of.redrive, objects: of.objects, clock },
      { patienceMs: 500 },
    );
    await expect(sending).rejects.toMatchObject({ code: 'FUNCTION_UNAVAILABLE' });
    expect(await of.redrive.depth()).toBe(1);
  });
});

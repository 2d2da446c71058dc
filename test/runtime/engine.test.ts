import { describe, expect, test } from '@jest/globals';
import { createFakeClock } from '../../adapters/memory/fake-clock.ts';
import { MemorySink, type MemoryTx } from '../../adapters/memory/memory-sink.ts';
import { createSeededRandom } from '../../adapters/memory/seeded-random.ts';
import { defineConsumer, type HandlerContext } from '../../runtime/consumer.ts';
import type { DeadLetter } from '../../runtime/dead-letters/dead-letter.ts';
import { createEngine, type EnginePorts, type Invocation } from '../../runtime/engine.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { encodeKafkaEvent } from '../../runtime/kafka-event.ts';
import type { BatchReport } from '../../runtime/ports.ts';
import type { ConsumerRecord, RawRecord } from '../../runtime/record.ts';
import { EVENT_SCHEMA_ID, type Event, eventRecord, eventRegistry, events } from './events.ts';

type Records = readonly ConsumerRecord<Event>[];
type Context = HandlerContext<MemoryTx, Event>;

/** An engine on memory adapters and virtual time, with what it left behind in plain sight. */
function setUp(
  handle: (records: Records, context: Context) => Promise<void>,
  ports: Partial<EnginePorts> = {},
) {
  const clock = createFakeClock({ autoAdvance: true });
  const sink = new MemorySink();
  const letters: DeadLetter[] = [];
  const reports: BatchReport[] = [];
  const logged: unknown[] = [];
  const log = (...line: unknown[]) => void logged.push(line);
  const consumer = defineConsumer({
    name: 'tested',
    topic: events,
    sink: 'postgres',
    // The memory sink stands in for PostgreSQL; the handlers here know.
    handle: (records, context) => handle(records, context as unknown as Context),
  });
  const engine = createEngine(consumer, {
    clock,
    random: createSeededRandom(1),
    registry: eventRegistry,
    sink,
    deadLetters: { put: async (put) => void letters.push(...put) },
    log: { debug: log, info: log, warn: log, error: log },
    metrics: { report: (report) => void reports.push(report), reportRedrive() {} },
    ...ports,
  });
  const invocation = (overrides: Partial<Invocation> & { forMs?: number } = {}): Invocation => {
    const endsAt = clock.now() + (overrides.forMs ?? 60_000);
    return {
      requestId: 'request-1',
      functionName: 'tested-function',
      functionVersion: '7',
      remainingMs: () => endsAt - clock.now(),
      partialResponses: false,
      ...overrides,
    };
  };
  return {
    clock,
    engine,
    sink,
    letters,
    reports,
    logged,
    invocation,
    deliver: (records: readonly RawRecord[], overrides?: Parameters<typeof invocation>[0]) =>
      engine.consumeBatch(encodeKafkaEvent(records), invocation(overrides)),
    applied: () => (sink.value('applied') as string[] | undefined) ?? [],
    ledger: (partition = 0) =>
      sink.ledger({ consumer: 'tested', epoch: 1 }, { topic: events.name, partition }),
  };
}

async function apply(records: Records, { tx }: Context): Promise<void> {
  for (const { value } of records) await tx.append('applied', value.id);
}

const batchOf = (count: number, partition = 0) =>
  Array.from({ length: count }, (_, offset) => eventRecord(partition, offset));

describe('consumeBatch', () => {
  test('applies a batch of several partitions in one call to the handler, and reports it', async () => {
    const calls: number[] = [];
    const { deliver, applied, reports } = setUp(async (records, context) => {
      calls.push(records.length);
      await apply(records, context);
    });
    const records = [...batchOf(2, 0), ...batchOf(2, 1)];

    expect(await deliver(records)).toEqual({ batchItemFailures: [] });
    expect(await deliver(records)).toEqual({ batchItemFailures: [] });

    expect(calls).toEqual([4]);
    expect(applied()).toEqual(['0/0', '0/1', '1/0', '1/1']);
    expect(reports).toMatchObject([
      { consumer: 'tested', topic: events.name, records: 4, applied: 4, duplicates: 0, returned: 0 },
      { records: 4, applied: 0, duplicates: 4 },
    ]);
    expect(reports[0]!.bytes).toBe(
      records.reduce((sum, { key, value }) => sum + key!.length + value!.length, 0),
    );
  });

  test('a record that makes the handler throw is tried three times alone, then dead-lettered; the rest goes through', async () => {
    let triesOfBad = 0;
    const cause = new TypeError('inner');
    const { deliver, applied, letters, reports, clock } = setUp(async (records, context) => {
      if (records.some(({ offset }) => offset === 77)) {
        if (records.length === 1) triesOfBad++;
        throw new RangeError('outer', { cause });
      }
      await apply(records, context);
    });
    const startedAt = clock.now();
    const headers = [
      { name: 'trace', value: Buffer.from([0xff, 0]) },
      { name: 'trace', value: null },
    ];
    const bad = eventRecord(0, 77, { headers, timestampType: 'LOG_APPEND_TIME' });

    await deliver(batchOf(200).map((record) => (record.offset === 77 ? bad : record)));

    expect(triesOfBad).toBe(3);
    expect(applied()).toHaveLength(199);
    expect(reports).toMatchObject([{ applied: 199, deadLettered: 1, retries: 2 }]);
    expect(letters).toHaveLength(1);
    const [letter] = letters;
    expect(letter).toMatchObject({
      id: `tested/${events.name}/0/77`,
      consumer: 'tested',
      epoch: 1,
      schemaId: EVENT_SCHEMA_ID,
      functionName: 'tested-function',
      functionVersion: '7',
      requestId: 'request-1',
      failure: {
        stage: 'handle',
        code: 'HANDLER_FAILED',
        name: 'RangeError',
        message: 'outer',
        stack: expect.stringContaining('engine.test.ts'),
        causes: [{ name: 'TypeError', message: 'inner' }],
        attempts: 3,
      },
    });
    expect(letter!.failure.firstFailedAt).toBeGreaterThanOrEqual(startedAt);
    expect(letter!.failure.lastFailedAt).toBeGreaterThan(letter!.failure.firstFailedAt);
    const { topic, partition, offset, timestamp, timestampType, key, value } = letter!.record;
    expect({
      topic,
      partition,
      offset,
      timestamp,
      timestampType,
      key,
      value,
      headers: letter!.record.headers,
    }).toEqual(bad);
  });

  test.each([0, 1, 624, 5_000, 9_999])(
    'a handler that hangs on record %i of 10,000 is cornered within one invocation',
    async (hanging) => {
      const { deliver, letters, ledger } = setUp(async (records) => {
        if (records.some(({ offset }) => offset === hanging)) await new Promise(() => {});
      });
      await deliver(batchOf(10_000));
      expect(letters.map(({ record, failure }) => [record.offset, failure.code])).toEqual([
        [hanging, 'HANDLER_TIMEOUT'],
      ]);
      expect(ledger()).toMatchObject({ next: 10_000, holes: [{ from: hanging, to: hanging + 1 }] });
    },
  );

  test('a sound handler is not blamed for an invocation that is nearly over', async () => {
    const { deliver, letters, clock } = setUp(async () => clock.sleep(500));
    await expect(deliver(batchOf(3), { forMs: 2_000 })).rejects.toMatchObject({ code: 'BATCH_INCOMPLETE' });
    expect(letters).toEqual([]);
  });

  test('a statement that the sink does not answer holds the line and blames no record', async () => {
    const blocker = new MemorySink();
    const { deliver, letters, reports } = setUp(async (_, { tx }) => tx.set('x', 1), {
      sink: {
        transaction: (work, signal) =>
          blocker.transaction((inner) => {
            const never = () => new Promise<never>(() => {});
            return work({ ...inner, tx: { ...inner.tx, set: never }, isWaiting: () => true });
          }, signal),
      },
    });
    await expect(deliver(batchOf(3))).rejects.toMatchObject({
      code: 'BATCH_INCOMPLETE',
      details: { heldBy: 'SINK_UNAVAILABLE' },
    });
    expect(letters).toEqual([]);
    expect(reports).toMatchObject([{ applied: 0, returned: 3 }]);
  });

  test('a service that the handler calls down holds the line until it is back', async () => {
    let isDownFor = 5;
    const { deliver, letters, applied } = setUp(async (records, context) => {
      if (isDownFor-- > 0) throw new MillraceError('DEPENDENCY_UNAVAILABLE', 'the search index is down');
      await apply(records, context);
    });
    await deliver(batchOf(4));
    expect(letters).toEqual([]);
    expect(applied()).toHaveLength(4);
  });

  test('with partial responses hands back the first record not settled and all that follow it in its partition', async () => {
    const { deliver, applied } = setUp(async (records, context) => {
      if (records.some(({ partition, offset }) => partition === 1 && offset >= 3)) {
        throw new MillraceError(records.length > 1 ? 'HANDLER_FAILED' : 'DEPENDENCY_UNAVAILABLE', 'not now');
      }
      await apply(records, context);
    });
    const answer = await deliver([...batchOf(4, 0), ...batchOf(6, 1)], { partialResponses: true });
    expect(answer.batchItemFailures).toEqual(
      [3, 4, 5].map((offset) => ({ itemIdentifier: { partition: `${events.name}-1`, offset } })),
    );
    expect(applied()).toHaveLength(7);
  });

  test('without partial responses rejects, since any return would be taken for success', async () => {
    const { deliver } = setUp(async (records) => {
      if (records.some(({ offset }) => offset === 3))
        throw new MillraceError('DEPENDENCY_UNAVAILABLE', 'not now');
    });
    await expect(deliver(batchOf(6))).rejects.toMatchObject({
      code: 'BATCH_INCOMPLETE',
      details: { returned: 6, delivered: 6 },
    });
  });

  test('rejects where nothing was settled, also with partial responses, so that the function counts as failed', async () => {
    const { deliver } = setUp(async () => {
      throw new MillraceError('DEPENDENCY_UNAVAILABLE', 'not now');
    });
    await expect(deliver(batchOf(2), { partialResponses: true })).rejects.toMatchObject({
      code: 'BATCH_INCOMPLETE',
    });
  });

  test('halts at once where a person has to act, with the error itself', async () => {
    let calls = 0;
    const halt = new MillraceError('SINK_MISCONFIGURED', 'relation "article_minute" does not exist');
    const { deliver, letters } = setUp(async () => {
      calls++;
      throw halt;
    });
    await expect(deliver(batchOf(9), { partialResponses: true })).rejects.toBe(halt);
    expect([calls, letters.length]).toEqual([1, 0]);
  });

  test('halts on a recreated topic and drops nothing', async () => {
    const { deliver, applied } = setUp(apply);
    await deliver(batchOf(5));
    const recreated = batchOf(2).map((record) => ({ ...record, timestamp: 2_000_000 }));
    await expect(deliver(recreated)).rejects.toMatchObject({ code: 'TOPIC_RECREATED' });
    expect(applied()).toHaveLength(5);
  });

  test('says how many offsets the event source passed over', async () => {
    const { deliver, reports, logged, ledger } = setUp(apply);
    await deliver(batchOf(2));
    await deliver([eventRecord(0, 7)]);
    expect(reports[1]).toMatchObject({ applied: 1, holes: 5 });
    expect(JSON.stringify(logged)).toContain('passed over');
    expect(ledger()).toMatchObject({ passedOver: [{ from: 2, to: 7 }] });
  });

  test('a registry that is down holds the line, and is asked again', async () => {
    let isDownFor = 3;
    const { deliver, applied, reports } = setUp(apply, {
      registry: {
        ...eventRegistry,
        schemaById: async (id) => {
          if (isDownFor-- > 0) throw new MillraceError('REGISTRY_UNAVAILABLE', 'down');
          return eventRegistry.schemaById(id);
        },
      },
    });
    await deliver(batchOf(3));
    expect(applied()).toHaveLength(3);
    expect(reports).toMatchObject([{ applied: 3, retries: 3 }]);
  });

  test('a dead-letter store that is down commits nothing past the record, and lets all through when it is back', async () => {
    let isDown = true;
    const letters: DeadLetter[] = [];
    const { deliver, applied, ledger } = setUp(apply, {
      deadLetters: {
        put: async (put) => {
          if (isDown) throw new MillraceError('DEAD_LETTER_STORE_UNAVAILABLE', 'down');
          letters.push(...put);
        },
      },
    });
    const records = [
      eventRecord(0, 0),
      eventRecord(0, 1, { value: Buffer.from('garbage') }),
      eventRecord(0, 2),
    ];
    await expect(deliver(records)).rejects.toMatchObject({
      details: { heldBy: 'DEAD_LETTER_STORE_UNAVAILABLE' },
    });
    expect([applied(), ledger()]).toEqual([[], undefined]);

    isDown = false;
    await deliver(records);
    expect(applied()).toEqual(['0/0', '0/2']);
    expect(letters.map(({ record, failure }) => [record.offset, failure.stage])).toEqual([[1, 'decode']]);
  });

  test('no payload, key or text of a thrown error reaches the log', async () => {
    const { deliver, logged } = setUp(async (records) => {
      throw new Error(`secret ${records[0]!.value.id}`);
    });
    await deliver([eventRecord(3, 5)]);
    expect(logged.length).toBeGreaterThan(0);
    expect(JSON.stringify(logged)).not.toMatch(/secret|3\/5/);
  });
});

describe('fail', () => {
  test('gives a record up at once, in the same transaction as the others', async () => {
    let calls = 0;
    const { deliver, applied, letters } = setUp(async (records, context) => {
      calls++;
      for (const record of records) {
        if (record.offset % 2 === 1) context.fail(record, new Error('odd'));
        else await context.tx.append('applied', record.value.id);
      }
    });
    await deliver(batchOf(5));
    expect(calls).toBe(1);
    expect(applied()).toEqual(['0/0', '0/2', '0/4']);
    expect(
      letters.map(({ record, failure }) => [record.offset, failure.code, failure.message, failure.attempts]),
    ).toEqual([
      [1, 'HANDLER_REJECTED', 'odd', 1],
      [3, 'HANDLER_REJECTED', 'odd', 1],
    ]);
  });

  test('called after handle() has returned changes nothing: the record stays applied, and is not half lost', async () => {
    const fails: (() => void)[] = [];
    const stored: DeadLetter[] = [];
    const { deliver, applied, reports, ledger } = setUp(
      async ([first, ...others], context) => {
        context.fail(first!, new Error('bad'));
        await apply(others, context);
        fails.push(() => context.fail(others[0]!, new Error('late')));
      },
      {
        deadLetters: {
          put: async (letters) => {
            for (const late of fails) late();
            stored.push(...letters);
          },
        },
      },
    );
    await deliver(batchOf(3));
    expect(applied()).toEqual(['0/1', '0/2']);
    expect(stored.map(({ record }) => record.offset)).toEqual([0]);
    expect(reports).toMatchObject([{ applied: 2, deadLettered: 1 }]);
    expect(ledger()?.holes).toEqual([{ from: 0, to: 1 }]);
  });

  test('takes only a record of its own batch', async () => {
    const { deliver, letters } = setUp(async (records, { fail }) => {
      fail({ ...records[0]! }, new Error('copied'));
    });
    await deliver(batchOf(1));
    expect(letters).toMatchObject([
      { failure: { code: 'HANDLER_FAILED', message: expect.stringContaining('fail()') } },
    ]);
  });
});

describe('redrive', () => {
  const isMended = { now: false };
  const handler = async (records: Records, context: Context) => {
    if (!isMended.now && records.some(({ offset }) => offset === 1)) throw new Error('bug');
    await apply(records, context);
  };

  test('applies a mended letter once, however many twins of it come, and closes its hole', async () => {
    isMended.now = false;
    const { deliver, engine, letters, applied, ledger, invocation } = setUp(handler);
    await deliver(batchOf(3));
    const letter = letters[0]!;

    expect(await engine.redrive([letter], invocation())).toEqual(['dead-lettered']);
    expect(letters[1]!.failure).toMatchObject({ attempts: 6, firstFailedAt: letter.failure.firstFailedAt });
    isMended.now = true;
    expect(await engine.redrive([letter, letter], invocation())).toEqual(['applied', 'duplicate']);
    expect(await engine.redrive([letter], invocation())).toEqual(['duplicate']);
    expect(applied()).toEqual(['0/0', '0/2', '0/1']);
    expect(ledger()).toMatchObject({ first: 0, next: 3, holes: [] });
  });

  test("a letter ahead of the ledger waits, and another consumer's is refused", async () => {
    isMended.now = false;
    const { deliver, engine, letters, applied, invocation } = setUp(handler);
    await deliver(batchOf(2));
    const letter = letters[0]!;
    const early = { ...letter, record: eventRecord(0, 9) };
    isMended.now = true;
    expect(await engine.redrive([early, letter], invocation())).toEqual(['early', 'applied']);
    await expect(engine.redrive([{ ...letter, consumer: 'other' }], invocation())).rejects.toMatchObject({
      code: 'DEAD_LETTER_FOREIGN',
    });
    expect(applied()).toEqual(['0/0', '0/1']);
  });
});

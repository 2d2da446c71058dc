/** Promises 1 and 4 of docs/delivery.md, one failure at a time. */
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { DeadLetter } from '../../../runtime/delivery/dead-letter.ts';
import type { EnginePorts } from '../../../runtime/delivery/engine.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { settleKafkaEvent } from '../../../runtime/lambda/kafka-batch.ts';
import { encodeKafkaEvent } from '../../../runtime/lambda/kafka-event.ts';
import type { ConsumerRecord } from '../../../runtime/record.ts';
import { MemorySink } from '../../../testing/memory-sink.ts';
import { EVENT_SCHEMA_ID, type Event, eventRecord, eventRegistry, events } from '../events.ts';
import { anyRecord } from '../raw-record-arbitrary.ts';
import { apply, batchOf, type Context, type Records, setUp } from './engine-fixture.ts';

describe('deliver', () => {
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
      details: { returned: 3, delivered: 6 },
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

  test('says how many offsets the event source skipped', async () => {
    const { deliver, reports, logged, ledger } = setUp(apply);
    await deliver(batchOf(2));
    await deliver([eventRecord(0, 7)]);
    expect(reports[1]).toMatchObject({ applied: 1, skipped: 5 });
    expect(JSON.stringify(logged)).toContain('skipped records');
    expect(ledger()).toMatchObject({ skipped: [{ from: 2, to: 7 }] });
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
    expect([applied(), ledger()]).toMatchObject([['0/0'], { first: 0, next: 1, holes: [] }]);

    isDown = false;
    await deliver(records);
    expect(applied()).toEqual(['0/0', '0/2']);
    expect(letters.map(({ record, failure }) => [record.offset, failure.stage])).toEqual([[1, 'decode']]);
  });

  test('a dead-letter store that is down holds the partition of its letter, and no other', async () => {
    const { deliver, applied } = setUp(apply, {
      deadLetters: {
        put: async () => {
          throw new MillraceError('DEAD_LETTER_STORE_UNAVAILABLE', 'down');
        },
      },
    });
    const records = [...batchOf(3, 0), ...batchOf(2, 1)].map((each) =>
      each.partition === 0 && each.offset === 1 ? { ...each, value: Buffer.from('garbage') } : each,
    );
    const answer = await deliver(records, { partialResponses: true });
    expect(answer.batchItemFailures.map(({ itemIdentifier }) => itemIdentifier)).toEqual(
      [1, 2].map((offset) => ({ partition: `${events.name}-0`, offset })),
    );
    expect(applied()).toEqual(['0/0', '1/0', '1/1']);
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

describe('odd records', () => {
  test.each([-2, -62_135_596_800_000, -(2 ** 63), 2 ** 53, 1_764_000_000_000_000_000, 2 ** 63])(
    'a timestamp of %d costs its record nothing, nor any other',
    async (timestamp) => {
      const { deliver, applied } = setUp(apply);
      const records = batchOf(3).map((record) => (record.offset === 1 ? { ...record, timestamp } : record));
      expect(await deliver(records)).toEqual({ batchItemFailures: [] });
      expect(applied()).toEqual(['0/0', '0/1', '0/2']);
      // Delivered again, it is a duplicate, whatever its time says.
      expect(await deliver(records)).toEqual({ batchItemFailures: [] });
      expect(applied()).toHaveLength(3);
    },
  );

  test('what did not arrive as Kafka sends it is a dead letter with what arrived', async () => {
    const { engine, invocation, applied, letters } = setUp(apply);
    const event = structuredClone(encodeKafkaEvent(batchOf(3))) as unknown as {
      records: Record<string, Record<string, unknown>[]>;
    };
    event.records[`${events.name}-0`]![1]!.value = 'no base64!';
    await settleKafkaEvent(event, engine, invocation());
    expect(applied()).toEqual(['0/0', '0/2']);
    expect(letters).toMatchObject([
      {
        record: { offset: 1, value: Buffer.from('no base64!') },
        failure: { code: 'RECORD_MALFORMED', stage: 'decode' },
      },
    ]);
  });

  test('any mix of odd and good records applies exactly the good ones, in order', async () => {
    const odd = anyRecord(events.name);
    const mix = fc.array(fc.record({ isGood: fc.boolean(), odd }), { minLength: 1, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(mix, async (entries) => {
        const { deliver, applied, letters, ledger } = setUp(apply);
        const records = entries.map(({ isGood, odd }, offset) => {
          const { timestamp, timestampType, headers, key } = odd;
          // Good: odd in everything but its value. Bytes that are a value by chance are as good.
          const good = eventRecord(0, offset, { timestamp, timestampType, headers, key });
          return isGood ? good : { ...good, value: odd.value };
        });
        expect(await deliver(records)).toEqual({ batchItemFailures: [] });
        const bad = letters.map(({ record }) => record.offset);
        const good = records.filter(({ offset }) => !bad.includes(offset));
        expect(bad).toEqual(entries.flatMap(({ isGood }, offset) => (isGood ? [] : [offset])));
        expect(applied()).toEqual(good.map(({ offset }) => `0/${offset}`));
        expect(ledger()!.next).toBe(records.length);
      }),
      { numRuns: 300 },
    );
  });
});

describe('bad records', () => {
  /** Throws for the bad ones, before it has applied anything, and counts its calls. */
  const failing = (isBad: (record: ConsumerRecord<Event>) => boolean, error: () => Error) => {
    const calls: number[] = [];
    const handle = async (records: Records, context: Context) => {
      calls.push(records.length);
      if (records.some(isBad)) throw error();
      await apply(records, context);
    };
    return { calls, handle };
  };
  const final = () =>
    new MillraceError('SINK_REJECTED', 'a value is out of range', { action: 'dead-letter' });

  test('that no wait can change are dead-lettered at their first failure, without a wait', async () => {
    const { calls, handle } = failing(({ offset }) => offset % 10 === 3, final);
    const { deliver, applied, letters, reports, clock } = setUp(handle);
    const startedAt = clock.now();
    await deliver(batchOf(100));
    expect(clock.now()).toBe(startedAt);
    expect(applied()).toHaveLength(90);
    expect(letters.map(({ failure }) => failure.attempts)).toEqual(Array(10).fill(1));
    expect(reports).toMatchObject([{ applied: 90, deadLettered: 10, retries: 0 }]);
    expect(calls.length).toBeLessThan(80);
  });

  test('wait once for each round of tries, all of them together', async () => {
    const { handle } = failing(
      ({ offset }) => offset % 10 === 3,
      () => new Error('bad'),
    );
    const { deliver, letters, reports, clock } = setUp(handle, { random: { next: () => 0.999 } });
    const startedAt = clock.now();
    await deliver(batchOf(1_000));
    // Two waits, of up to 100 and 200 ms, and not 200.
    expect(reports).toMatchObject([{ applied: 900, deadLettered: 100, retries: 2 }]);
    expect(clock.now() - startedAt).toBeLessThanOrEqual(300);
    expect(letters.map(({ failure }) => failure.attempts)).toEqual(Array(100).fill(3));
  });

  test.each([
    [0, 1],
    [1, 30],
    [10, 150],
    [100, 1_000],
    [1_000, 5_500],
    [5_000, 5_300],
  ])('%d among 5,000 take at most %d calls of the handler, and few transactions', async (bad, mostCalls) => {
    const { calls, handle } = failing(({ offset }) => bad > 0 && offset % (5_000 / bad) === 0, final);
    let transactions = 0;
    const sink = new MemorySink();
    const { deliver, letters } = setUp(handle, {
      sink: {
        transaction(work, signal) {
          transactions++;
          return sink.transaction(work, signal);
        },
      },
    });
    await deliver(batchOf(5_000));
    expect(letters).toHaveLength(bad);
    expect(calls.length).toBeLessThanOrEqual(mostCalls);
    // One that fails, and one for each portion of letters.
    expect(transactions).toBeLessThanOrEqual(2 + bad / 250);
  });

  test('keep the order of what they stand among, and hold no other partition while they wait', async () => {
    let isBack = false;
    const order: string[] = [];
    const { deliver, applied, clock } = setUp(
      async (records, context) => {
        if (!isBack && records.some(({ partition, offset }) => partition === 0 && offset === 2))
          throw new Error('not yet');
        for (const { value } of records) order.push(`${clock.now()} ${value.id}`);
        await apply(records, context);
      },
      { random: { next: () => 0.999 } },
    );
    const startedAt = clock.now();
    void clock.sleep(50).then(() => {
      isBack = true;
    });
    await deliver([...batchOf(5, 0), ...batchOf(3, 1)]);
    const appliedAt = (id: string) =>
      Number(order.findLast((entry) => entry.endsWith(` ${id}`))!.split(' ')[0]) - startedAt;
    expect(applied().filter((id) => id.startsWith('0/'))).toEqual(['0/0', '0/1', '0/2', '0/3', '0/4']);
    expect(appliedAt('1/2')).toBe(0);
    expect(appliedAt('0/1')).toBe(0);
    expect(appliedAt('0/4')).toBeGreaterThan(50);
  });

  test('a record that failed only because one before it waits is not given up for that', async () => {
    // The second needs what the first writes; the first succeeds at its third try.
    let tries = 0;
    const { deliver, applied, letters } = setUp(async (records, { tx }) => {
      for (const { offset, value } of records) {
        if (offset === 0 && records.length === 1 && ++tries < 3) throw new Error('later');
        if (offset === 0 && records.length > 1) throw new Error('later');
        if (offset === 1 && (await tx.get('first')) === undefined) throw final();
        if (offset === 0) await tx.set('first', true);
        await tx.append('applied', value.id);
      }
    });
    await deliver(batchOf(3));
    expect(letters).toEqual([]);
    expect(applied()).toEqual(['0/0', '0/1', '0/2']);
  });
});

describe('the search for bad records', () => {
  const unavailable = (message: string) => new MillraceError('DEPENDENCY_UNAVAILABLE', message);
  const final = () => new MillraceError('SINK_REJECTED', 'out of range', { action: 'dead-letter' });

  test('in an outage calls the handler with one record more, and not with each half', async () => {
    const calls: number[] = [];
    let isDownFor = 6;
    const { deliver, applied } = setUp(async (records, context) => {
      calls.push(records.length);
      if (isDownFor-- > 0) throw unavailable('down');
      await apply(records, context);
    });
    await deliver(batchOf(1_000));
    expect(applied()).toHaveLength(1_000);
    expect(calls.slice(0, 6)).toEqual([1_000, 1, 1_000, 1, 1_000, 1]);
  });

  test('behind a record that is held tries none of its partition', async () => {
    const calls: string[][] = [];
    const { deliver, reports } = setUp(async (records, context) => {
      calls.push(records.map(({ value }) => value.id));
      if (records.some(({ value }) => value.id === '0/1')) throw unavailable('not for this one');
      await apply(records, context);
    });
    await expect(deliver([...batchOf(4, 0), ...batchOf(2, 1)])).rejects.toMatchObject({
      details: { returned: 3 },
    });
    expect(calls.filter((ids) => ids.includes('0/2') && !ids.includes('0/1'))).toEqual([]);
    // It waits for longer and longer, also while other partitions go on.
    expect(reports[0]!.retries).toBeLessThan(60);
  });

  test('does not put those that failed before into groups with others', async () => {
    const calls: number[] = [];
    const { deliver, letters } = setUp(async (records, context) => {
      calls.push(records.length);
      if (records.some(({ offset }) => offset % 20 === 7)) throw new Error('bad');
      await apply(records, context);
    });
    await deliver(batchOf(1_000));
    expect(letters).toHaveLength(50);
    // A later round has one call for each of them, and one for those between two.
    // A later round has one call for each of them, and one for those between two: in all 559 calls, with groups 957.
    expect(calls.length).toBeLessThan(700);
  });

  test('ends with its transaction where the sink is down', async () => {
    let downFor = 0;
    const calls: number[] = [];
    const memory = new MemorySink();
    const { deliver, letters, reports } = setUp(
      async (records, context) => {
        if (records.length < 40) {
          calls.push(records.length);
          if (downFor++ < 4) throw new MillraceError('SINK_UNAVAILABLE', 'down');
        }
        if (records.some(({ offset }) => offset === 33)) throw final();
        await apply(records, context);
      },
      {
        sink: {
          async transaction(work, signal) {
            calls.push(0);
            return memory.transaction(work, signal);
          },
        },
      },
    );
    await deliver(batchOf(40));
    // One call a transaction, as long as it is down.
    expect(calls.slice(0, 10)).toEqual([0, 0, 20, 0, 20, 0, 20, 0, 20, 0]);
    expect(letters.map(({ record }) => record.offset)).toEqual([33]);
    expect(reports).toMatchObject([{ applied: 39, retries: 4 }]);
  });

  test('finds one that hangs beside one that throws', async () => {
    const { deliver, letters, reports } = setUp(async (records, context) => {
      if (records.some(({ offset }) => offset === 10)) throw final();
      if (records.some(({ offset }) => offset === 50)) await new Promise(() => {});
      await apply(records, context);
    });
    await deliver(batchOf(100));
    expect(letters.map(({ record, failure }) => [record.offset, failure.code])).toEqual([
      [10, 'SINK_REJECTED'],
      [50, 'HANDLER_TIMEOUT'],
    ]);
    expect(reports).toMatchObject([{ applied: 98, deadLettered: 2 }]);
  });

  test.each([
    ['half of its time is over', 100],
    ['it has found as many as it may make letters of', 0],
  ])('stops when %s, so that what it has found is settled and not done again', async (_, ms) => {
    const memory = new MemorySink();
    let rolledBack = 0;
    const world = setUp(
      async (records, context) => {
        if (ms > 0) await world.clock.sleep(ms);
        if (records.some(({ offset }) => offset % 2 === 0)) throw final();
        await apply(records, context);
      },
      {
        sink: {
          transaction: (work, signal) =>
            memory.transaction(work, signal).catch((error) => {
              rolledBack++;
              throw error;
            }),
        },
      },
    );
    await world.deliver(batchOf(1_400), { partialResponses: true });
    expect(world.letters.length).toBeGreaterThan(100);
    // The one that found that there are bad records.
    expect(rolledBack).toBe(1);
  });

  test('goes some way in each transaction, however late the locks are had', async () => {
    const memory = new MemorySink();
    const world = setUp(
      async (records, context) => {
        if (records.some(({ offset }) => offset === 2)) throw final();
        await apply(records, context);
      },
      {
        sink: {
          transaction: (work, signal) =>
            memory.transaction(
              (inner) =>
                work({
                  ...inner,
                  async lockLedgers(key, requests) {
                    await world.clock.sleep(2_500);
                    return inner.lockLedgers(key, requests);
                  },
                }),
              signal,
            ),
        },
      },
    );
    await world.deliver(batchOf(4), { partialResponses: true, forMs: 15_000 });
    expect(world.reports[0]!.applied).toBeGreaterThan(0);
  });

  test('gives nothing up by fail() for effects that are to be taken back', async () => {
    // The second needs what the first writes; the first succeeds at its second try.
    let tries = 0;
    const { deliver, applied, letters } = setUp(async (records, { tx, fail }) => {
      for (const record of records) {
        if (record.offset === 0 && ++tries < 3) throw new Error('later');
        if (record.offset === 0) await tx.set('first', true);
        if (record.offset === 1 && (await tx.get('first')) === undefined) fail(record, new Error('no first'));
        else await tx.append('applied', record.value.id);
      }
    });
    await deliver(batchOf(3));
    expect(letters).toEqual([]);
    expect(applied()).toEqual(['0/0', '0/1', '0/2']);
  });
});

describe('a slow record', () => {
  /** Hangs at the record as often as told, and needs the effects of the one before each. */
  const slowAt = (offset: number, times: number) => {
    let left = times;
    return async (records: Records, { tx, fail }: Context) => {
      for (const record of records) {
        if (record.offset === offset && left-- > 0) await new Promise(() => {});
        const before = await tx.get('last');
        if (record.offset > 0 && before !== record.offset - 1) fail(record, new Error('out of order'));
        await tx.set('last', record.offset);
        await tx.append('applied', record.value.id);
      }
    };
  };

  test('that goes through in the end is applied in its order, whoever was asked behind it', async () => {
    const { deliver, applied, letters, reports, ledger } = setUp(slowAt(0, 2));
    await deliver(batchOf(4));
    expect(letters).toEqual([]);
    expect(applied()).toEqual(['0/0', '0/1', '0/2', '0/3']);
    expect(reports).toMatchObject([{ applied: 4, skipped: 0 }]);
    expect(ledger()).toMatchObject({ first: 0, next: 4, holes: [] });
  });

  test('alone in its partition is told by the records of another', async () => {
    const { deliver, letters, applied } = setUp(async (records, context) => {
      if (records.some(({ partition }) => partition === 0)) await new Promise(() => {});
      await apply(records, context);
    });
    await deliver([eventRecord(0, 0), ...batchOf(3, 1)]);
    expect(applied()).toEqual(['1/0', '1/1', '1/2']);
    expect(letters).toMatchObject([{ record: { partition: 0 }, failure: { code: 'HANDLER_TIMEOUT' } }]);
  });
});

describe('time', () => {
  test.each(['on demand', 'provisioned'])(
    'a record that is held holds its own partition only: %s',
    async (mode) => {
      const { deliver, applied, ledger } = setUp(async (records, context) => {
        if (records.some(({ partition, offset }) => partition === 1 && offset === 1))
          throw new MillraceError('DEPENDENCY_UNAVAILABLE', 'not for this one');
        await apply(records, context);
      });
      const delivery = deliver([...batchOf(3, 0), ...batchOf(3, 1), ...batchOf(3, 2)], {
        partialResponses: mode === 'provisioned',
      });
      if (mode === 'provisioned') {
        const returned = [1, 2].map((offset) => ({
          itemIdentifier: { partition: `${events.name}-1`, offset },
        }));
        expect(await delivery).toEqual({ batchItemFailures: returned });
      } else {
        // The poller delivers the whole batch again, and waits with all of its partitions for that.
        await expect(delivery).rejects.toMatchObject({ details: { returned: 2, delivered: 9 } });
      }
      expect(applied()).toEqual(['0/0', '0/1', '0/2', '1/0', '2/0', '2/1', '2/2']);
      expect([0, 1, 2].map((partition) => ledger(partition)!.next)).toEqual([3, 1, 3]);
    },
  );

  /** Waits as a service or the sink does that needs so long for each record, or answers never. */
  const slow =
    (msFor: (record: ConsumerRecord<Event>) => number) =>
    async (records: Records, context: Context, clock: { sleep(ms: number): Promise<void> }) => {
      await clock.sleep(records.reduce((ms, record) => ms + msFor(record), 0));
      await apply(records, context);
    };

  test.each(['a service', 'the sink', 'the ledger'])(
    'a batch that uses up its time is split, also where %s takes it',
    async (who) => {
      const handle = slow(() => (who === 'the ledger' ? 0 : 8));
      const memory = new MemorySink();
      const world = setUp(
        (records, context) => handle(records, context, world.clock),
        who === 'a service'
          ? {}
          : {
              sink: {
                transaction: (work, signal) =>
                  memory.transaction(
                    (inner) =>
                      work({
                        ...inner,
                        async lockLedgers(key, requests) {
                          const asked = requests.reduce((sum, { from, to }) => sum + to - from, 0);
                          if (who === 'the ledger') await world.clock.sleep(8 * asked);
                          return inner.lockLedgers(key, requests);
                        },
                        isWaiting: () => true,
                      }),
                    signal,
                  ),
              },
            },
      );
      let left = batchOf(5_000);
      for (let deliveries = 0; left.length > 0 && deliveries < 3; deliveries++) {
        const answer = await world.deliver(left, { partialResponses: true });
        left = left.slice(left.length - answer.batchItemFailures.length);
      }
      expect(left).toEqual([]);
      expect(world.letters).toEqual([]);
      expect(world.reports.reduce((sum, { applied }) => sum + applied, 0)).toBe(5_000);
    },
  );

  test.each([0, 3, 9])(
    'one record of ten that uses up its time, in the sink, is to blame: %d',
    async (bad) => {
      const memory = new MemorySink();
      const world = setUp(
        async (records, context) => {
          if (records.some(({ offset }) => offset === bad)) await new Promise(() => {});
          await apply(records, context);
        },
        {
          sink: {
            transaction: (work, signal) =>
              memory.transaction((inner) => work({ ...inner, isWaiting: () => true }), signal),
          },
        },
      );
      await world.deliver(batchOf(10));
      expect(world.letters).toMatchObject([
        { record: { offset: bad }, failure: { code: 'HANDLER_TIMEOUT', attempts: 3 } },
      ]);
      expect(world.reports).toMatchObject([{ applied: 9, deadLettered: 1 }]);
    },
  );

  test.each([1, 8, 100, 5_000])(
    'a service that hangs dead-letters nothing, delivery after delivery, in batches of %d',
    async (size) => {
      const { deliver, letters } = setUp(async (_, { signal }) => {
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      });
      for (let delivery = 0; delivery < 10; delivery++) {
        await expect(deliver(batchOf(size), { partialResponses: true })).rejects.toMatchObject({
          code: 'BATCH_INCOMPLETE',
        });
      }
      expect(letters).toEqual([]);
    },
  );

  test('what the handler says within a grace after its time counts: a service is down', async () => {
    const { deliver, letters, reports } = setUp(async (_, { signal }) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      throw new MillraceError('DEPENDENCY_UNAVAILABLE', 'the search index does not answer');
    });
    await expect(deliver(batchOf(10))).rejects.toMatchObject({
      details: { heldBy: 'DEPENDENCY_UNAVAILABLE' },
    });
    expect(letters).toEqual([]);
    expect(reports[0]!.retries).toBeGreaterThan(1);
  });

  test('a handler that computed past its share, without yielding, is not rolled back for it', async () => {
    const world = setUp(async (records, context) => {
      await apply(records, context);
      // As far as timers can tell, no time went by before it returned.
      world.elapse(30_000);
    });
    await world.deliver(batchOf(10));
    expect(world.reports).toMatchObject([{ applied: 10 }]);
  });

  test('a handler that used nearly all of its share leaves time for the ledger to be written', async () => {
    const memory = new MemorySink();
    let calls = 0;
    const world = setUp(
      async () => {
        calls++;
        await world.clock.sleep(17_500);
      },
      {
        sink: {
          transaction: (work, signal) =>
            memory.transaction(
              (inner) =>
                work({
                  ...inner,
                  async writeLedgers(key, patches) {
                    await world.clock.sleep(4_000);
                    await inner.writeLedgers(key, patches);
                  },
                }),
              signal,
            ),
        },
      },
    );
    await world.deliver(batchOf(10));
    expect(calls).toBe(1);
    expect(world.reports).toMatchObject([{ applied: 10 }]);
  });

  test('what escapes the handler is the failure of the handle() that runs', async () => {
    const world = setUp(async (records) => {
      if (records.some(({ offset }) => offset === 1)) {
        queueMicrotask(() => world.engine.escaped(new TypeError('nobody awaited me')));
        await new Promise(() => {});
      }
    });
    expect(world.engine.escaped(new Error('before'))).toBe(false);
    await world.deliver(batchOf(3));
    expect(world.letters).toMatchObject([
      { record: { offset: 1 }, failure: { code: 'HANDLER_FAILED', name: 'TypeError', attempts: 3 } },
    ]);
  });
});

describe('a transaction', () => {
  const junk = (count: number) => batchOf(count).map((record) => ({ ...record, value: Buffer.from('junk') }));
  /** A sink whose transactions, counted from 0, fail where an error is given, after all of their work. */
  const failing = (errorOf: (transaction: number) => Error | undefined) => {
    const memory = new MemorySink();
    let transactions = 0;
    const sink: EnginePorts['sink'] = {
      transaction: (work, signal) =>
        memory.transaction(async (inner) => {
          const result = await work(inner);
          const error = errorOf(transactions++);
          if (error) throw error;
          return result;
        }, signal),
    };
    return {
      sink,
      ledger: () => memory.ledger({ consumer: 'tested', epoch: 1 }, { topic: events.name, partition: 0 }),
    };
  };

  test.each([
    ['what nobody knows', new TypeError('of the driver')],
    ['an outage', new MillraceError('SINK_UNAVAILABLE', 'down')],
  ])(
    'that fails for %s, outside of the handler, is tried again as it is and blames no record',
    async (_, error) => {
      const calls: number[] = [];
      const { sink, ledger } = failing((transaction) => (transaction < 5 ? error : undefined));
      const { deliver, letters, reports } = setUp(async (records) => void calls.push(records.length), {
        sink,
      });
      await deliver(batchOf(8));
      expect(calls).toEqual(Array(6).fill(8));
      expect(letters).toEqual([]);
      expect(reports).toMatchObject([{ applied: 8, retries: 5 }]);
      expect(ledger()).toMatchObject({ next: 8, holes: [] });
    },
  );

  test('of given-up records that the sink refuses is tried again, after a wait, as it is', async () => {
    const refused = new MillraceError('SINK_REJECTED', 'a trigger');
    const { sink, ledger } = failing((transaction) => (transaction < 2 ? refused : undefined));
    const { deliver, letters, reports } = setUp(apply, { sink });
    await deliver(junk(3));
    expect(letters).toHaveLength(3);
    expect(reports).toMatchObject([{ deadLettered: 3, retries: 2 }]);
    expect(ledger()).toMatchObject({ next: 3, deadLettered: [{ from: 0, to: 3 }] });
  });

  test('leaves no timer behind', async () => {
    const { deliver, clock } = setUp(apply);
    await deliver(batchOf(3));
    const endedAt = clock.now();
    for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    expect(clock.now()).toBe(endedAt);
  });

  test('after an outage that is over waits from the beginning in the next one', async () => {
    const down = new MillraceError('SINK_UNAVAILABLE', 'down');
    // Of 600 letters, 250 at a time: an outage of four tries, a portion, and one of two.
    const { sink } = failing((transaction) => ([0, 1, 2, 3, 5, 6].includes(transaction) ? down : undefined));
    const { deliver, logged } = setUp(apply, { sink });
    await deliver(junk(600));
    const holds = (logged as [string, { holds?: number }][]).flatMap(([, facts]) => facts.holds ?? []);
    expect(holds).toEqual([1, 2, 3, 4, 1, 2]);
  });

  test('that a later one follows does not say what holds the line when time runs out', async () => {
    const down = new MillraceError('SINK_UNAVAILABLE', 'down');
    const { sink } = failing((transaction) => (transaction === 0 ? down : undefined));
    const stored: DeadLetter[] = [];
    const world = setUp(apply, {
      sink,
      deadLetters: {
        async put(letters) {
          stored.push(...letters);
          // The first try makes them durable, the second takes up their last hundred and all the time that is left.
          if (stored.length > 300) world.elapse(58_900);
        },
      },
    });
    await expect(world.deliver(junk(600))).rejects.toMatchObject({
      code: 'BATCH_INCOMPLETE',
      details: { heldBy: null },
      message: expect.stringContaining('the time ran out'),
    });
  });

  test('of other partitions does not hide what holds one of them when time runs out', async () => {
    let stored = 0;
    const world = setUp(
      async (records) => {
        if (records.some(({ partition }) => partition === 0))
          throw new MillraceError('DEPENDENCY_UNAVAILABLE', 'not for this one');
      },
      {
        deadLetters: {
          async put(letters) {
            stored += letters.length;
            if (stored > 300) world.elapse(58_900);
          },
        },
      },
    );
    const records = [...batchOf(1, 0), ...junk(600).map((each) => ({ ...each, partition: 1 }))];
    await expect(world.deliver(records)).rejects.toMatchObject({
      details: { heldBy: 'DEPENDENCY_UNAVAILABLE' },
    });
    expect(world.reports[0]!.deadLettered).toBeGreaterThan(250);
  });

  test('whose letters the store does not take in time names the store', async () => {
    const { deliver } = setUp(apply, { deadLetters: { put: () => new Promise(() => {}) } });
    await expect(deliver(junk(1))).rejects.toMatchObject({
      details: { heldBy: 'DEAD_LETTER_STORE_UNAVAILABLE' },
    });
  });

  test('counts the handler’s time in the report, also of the calls that failed', async () => {
    let calls = 0;
    const world = setUp(async (records, context) => {
      calls++;
      await world.clock.sleep(100);
      if (records.some(({ offset }) => offset === 5)) throw new Error('bad');
      await apply(records, context);
    });
    await world.deliver(batchOf(9));
    expect(calls).toBeGreaterThan(3);
    expect(world.reports).toMatchObject([{ applied: 8, deadLettered: 1, handlerMs: calls * 100 }]);
  });
});

describe('dead letters', () => {
  const junk = (count: number) => batchOf(count).map((record) => ({ ...record, value: Buffer.from('junk') }));

  test.each([
    [5, 0],
    [60, 0],
    [2_000, 300],
  ])(
    'in a store that takes %d ms for eighty are stored a portion at a time, with at most %d second copies a delivery',
    async (ms, mostCopies) => {
      const stored: string[] = [];
      const world = setUp(apply, {
        deadLetters: {
          async put(letters) {
            for (let at = 0; at < letters.length; at += 80) {
              await world.clock.sleep(ms);
              stored.push(...letters.slice(at, at + 80).map(({ id }) => id));
            }
          },
        },
      });
      let left = junk(2_000);
      for (let deliveries = 0; left.length > 0 && deliveries < 20; deliveries++) {
        const answer = await world.deliver(left, { partialResponses: true });
        left = left.slice(left.length - answer.batchItemFailures.length);
      }
      expect(left).toEqual([]);
      expect(new Set(stored).size).toBe(2_000);
      expect(stored.length - 2_000).toBeLessThanOrEqual(mostCopies * world.reports.length);
    },
  );

  test('in a store too slow for those of a transaction get there a portion at a time', async () => {
    const stored: string[] = [];
    const world = setUp(apply, {
      deadLetters: {
        async put(letters) {
          await world.clock.sleep(150 * letters.length);
          stored.push(...letters.map(({ id }) => id));
        },
      },
    });
    const answer = await world.deliver(junk(250), { partialResponses: true });
    // 250 take 37 s of the minute, and a transaction has no more than a third of it.
    expect(answer).toEqual({ batchItemFailures: [] });
    expect(new Set(stored).size).toBe(250);
    expect(stored.length - 250).toBeLessThanOrEqual(200);
  });

  test('in a store that is slow once hold nothing up, and those before them keep their place', async () => {
    let isSlow = true;
    const stored: number[] = [];
    const { deliver, applied, ledger, reports } = setUp(apply, {
      deadLetters: {
        async put(letters) {
          if (isSlow) {
            isSlow = false;
            await new Promise(() => {});
          }
          stored.push(...letters.map(({ record }) => record.offset));
        },
      },
    });
    await deliver(batchOf(5).map((each) => (each.offset === 2 ? junk(3)[2]! : each)));
    expect(applied()).toEqual(['0/0', '0/1', '0/3', '0/4']);
    expect(stored).toEqual([2]);
    expect(reports).toMatchObject([{ applied: 4, deadLettered: 1, skipped: 0 }]);
    expect(ledger()).toMatchObject({ first: 0, next: 5, holes: [{ from: 2, to: 3 }] });
  });

  test('more than a transaction takes cost no wait, also behind an outage', async () => {
    let calls = 0;
    const { deliver, letters, reports } = setUp(async (records, { fail }) => {
      if (calls++ < 2) throw new MillraceError('DEPENDENCY_UNAVAILABLE', 'down');
      for (const record of records) fail(record, new Error('no'));
    });
    await deliver(batchOf(1_200));
    expect(letters).toHaveLength(1_200);
    expect(reports).toMatchObject([{ deadLettered: 1_200, retries: 1 }]);
  });

  test('leave at most 500 second copies behind each crash, however many fail', async () => {
    const stored = new Map<string, number>();
    let storedSinceCommit = 0;
    let most = 0;
    const memory = new MemorySink();
    const { deliver } = setUp(
      async (records, { fail }) => {
        for (const record of records) fail(record, new Error('no'));
      },
      {
        deadLetters: {
          async put(letters) {
            for (const { id } of letters) stored.set(id, (stored.get(id) ?? 0) + 1);
            storedSinceCommit += letters.length;
            most = Math.max(most, storedSinceCommit);
          },
        },
        sink: {
          async transaction(work, signal) {
            const result = await memory.transaction(work, signal);
            storedSinceCommit = 0;
            return result;
          },
        },
      },
    );
    await deliver(batchOf(1_200));
    expect(stored.size).toBe(1_200);
    expect([...stored.values()].every((copies) => copies === 1)).toBe(true);
    expect(most).toBeLessThanOrEqual(500);
  });

  test('of a batch that is delivered again while a partition of it waits are stored once', async () => {
    const { deliver, letters, reports } = setUp(async (records) => {
      if (records.some(({ partition }) => partition === 1))
        throw new MillraceError('DEPENDENCY_UNAVAILABLE', 'not for these');
    });
    const records = [...junk(3), ...batchOf(2, 1)];
    for (let delivery = 0; delivery < 3; delivery++) {
      await expect(deliver(records)).rejects.toMatchObject({ code: 'BATCH_INCOMPLETE' });
    }
    expect(letters).toHaveLength(3);
    expect(reports.map(({ deadLettered }) => deadLettered)).toEqual([3, 3, 3]);
  });

  test('a commit that fails after them is tried again without storing them again', async () => {
    let conflicts = 1;
    const memory = new MemorySink();
    const { deliver, letters } = setUp(apply, {
      sink: {
        transaction: (work, signal) =>
          memory.transaction(async (inner) => {
            const result = await work(inner);
            if (conflicts-- > 0) throw new MillraceError('SINK_CONFLICT', 'deadlock');
            return result;
          }, signal),
      },
    });
    await deliver(junk(3));
    expect(letters).toHaveLength(3);
  });
});

describe('decoding', () => {
  const unknownIds = (count: number) =>
    batchOf(count).map((record) => {
      const value = Buffer.from(record.value!);
      value.writeUInt32BE(record.offset + 1, 14);
      return { ...record, value };
    });

  test('a storm of ids that nobody registered is settled as far as the time allows, and none is asked twice', async () => {
    const asked: string[] = [];
    let askedBeforeAny = 0;
    const world = setUp(apply, {
      registry: {
        ...eventRegistry,
        async schemaById(id) {
          asked.push(id);
          if (world.letters.length === 0) askedBeforeAny++;
          await world.clock.sleep(100);
          return eventRegistry.schemaById(id);
        },
      },
    });
    let left = unknownIds(1_000);
    const progress: number[] = [];
    while (left.length > 0 && progress.length < 5) {
      const answer = await world.deliver(left, { partialResponses: true, forMs: 10_000 });
      left = left.slice(left.length - answer.batchItemFailures.length);
      progress.push(world.letters.length);
    }
    expect(progress).toHaveLength(2);
    expect(world.letters).toHaveLength(1_000);
    expect(asked.length).toBeLessThanOrEqual(1_000 + 64);
    expect(askedBeforeAny).toBe(64);
  });

  test('reads no more of large values at once than the memory is sure to hold', async () => {
    const calls: number[] = [];
    const { deliver } = setUp(async (records) => void calls.push(records.length));
    const id = Buffer.alloc(1024 * 1024, 'i');
    // A string in Avro: its length as a zigzag varint, 2 · 2^20 here, and its bytes.
    const body = Buffer.concat([Buffer.from([0x80, 0x80, 0x80, 0x01]), id]);
    const large = batchOf(10).map((record) => ({
      ...record,
      value: Buffer.concat([record.value!.subarray(0, 18), body]),
    }));
    await deliver(large);
    expect(calls).toEqual([4, 4, 2]);
  });

  test('a registry that is down again, after it was back, is waited for from the beginning', async () => {
    let waits = 0;
    const world = setUp(apply, {
      random: { next: () => ++waits / 1_000 },
      registry: {
        ...eventRegistry,
        async schemaById() {
          if (waits < (world.letters.length === 0 ? 3 : 5))
            throw new MillraceError('REGISTRY_UNAVAILABLE', 'down');
          return undefined;
        },
      },
    });
    await world.deliver(unknownIds(100));
    expect(world.letters).toHaveLength(100);
    const holds = (world.logged as [string, { holds?: number }][]).flatMap(([, facts]) => facts.holds ?? []);
    expect(holds).toEqual([1, 2, 3, 1, 2]);
  });

  test('a registry that answers for some ids only holds the partitions of the others', async () => {
    const { deliver, applied, letters } = setUp(apply, {
      registry: {
        ...eventRegistry,
        schemaById: async (id) => {
          if (id !== EVENT_SCHEMA_ID) throw new MillraceError('REGISTRY_UNAVAILABLE', 'throttled');
          return eventRegistry.schemaById(id);
        },
      },
    });
    const throttled = Buffer.from(eventRecord(0, 1).value!);
    throttled.writeUInt32BE(7, 14);
    const records = [
      ...batchOf(3, 0).map((each) => (each.offset === 1 ? { ...each, value: throttled } : each)),
      ...batchOf(2, 1),
    ];
    await expect(deliver(records)).rejects.toMatchObject({
      details: { returned: 2, delivered: 5, heldBy: 'REGISTRY_UNAVAILABLE' },
    });
    expect(applied()).toEqual(['0/0', '1/0', '1/1']);
    expect(letters).toEqual([]);
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

  test('called after handle() has returned changes nothing behind a savepoint either', async () => {
    let late: (() => void) | undefined;
    const memory = new MemorySink();
    const { deliver, letters, reports } = setUp(
      async (records, context) => {
        if (records.some(({ offset }) => offset === 1)) throw new Error('bad');
        await apply(records, context);
        late = () => context.fail(records[0]!, new Error('late'));
      },
      {
        sink: {
          transaction: (work, signal) =>
            memory.transaction(
              (inner) =>
                work({
                  ...inner,
                  async savepoint(part) {
                    const result = await inner.savepoint(part);
                    late?.();
                    return result;
                  },
                }),
              signal,
            ),
        },
      },
    );
    await deliver(batchOf(4));
    expect(letters.map(({ record }) => record.offset)).toEqual([1]);
    expect(reports).toMatchObject([{ applied: 3, deadLettered: 1 }]);
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

  test('applies a fixed letter once, however many copies of it arrive, and closes its hole', async () => {
    isMended.now = false;
    const { deliver, engine, letters, applied, ledger, invocation } = setUp(handler);
    await deliver(batchOf(3));
    const letter = letters[0]!;

    expect(await engine.redrive([letter], invocation())).toEqual(['deadLettered']);
    expect(letters[1]!.failure).toMatchObject({ attempts: 6, firstFailedAt: letter.failure.firstFailedAt });
    isMended.now = true;
    expect(await engine.redrive([letter, letter], invocation())).toEqual(['applied', 'duplicate']);
    expect(await engine.redrive([letter], invocation())).toEqual(['duplicate']);
    expect(applied()).toEqual(['0/0', '0/2', '0/1']);
    expect(ledger()).toMatchObject({ first: 0, next: 3, holes: [] });
  });

  test('what halts one of several letters leaves the others settled; what halts all is thrown', async () => {
    let isMended = false;
    const halt = new MillraceError('SINK_MISCONFIGURED', 'relation "of_one_section" does not exist');
    const { deliver, engine, letters, applied, invocation } = setUp(async (records, context) => {
      if (!isMended) return records.forEach((record) => void context.fail(record, new Error('bug')));
      if (records.some(({ offset }) => offset > 0 && offset < 3)) throw halt;
      await apply(records, context);
    });
    await deliver(batchOf(4));
    isMended = true;
    expect(await engine.redrive(letters, invocation())).toEqual([
      'applied',
      'returned',
      'returned',
      'applied',
    ]);
    expect(applied()).toEqual(['0/0', '0/3']);
    await expect(engine.redrive(letters.slice(1, 3), invocation())).rejects.toBe(halt);
    await expect(engine.redrive(letters.slice(1, 2), invocation())).rejects.toBe(halt);
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

describe('whatever a handler does to it', () => {
  const unreadable = () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  };
  const throwing = (field: string) =>
    Object.defineProperty(new Error('a'), field, {
      get() {
        throw new Error('no');
      },
    });

  test.each<[string, () => unknown]>([
    ['a revoked proxy', unreadable],
    ['a proxy that answers nothing', () => new Proxy({}, { getPrototypeOf: () => unreadable() as object })],
    ['an error whose message throws', () => throwing('message')],
    ['an error whose stack throws', () => throwing('stack')],
    ['an error whose cause throws', () => throwing('cause')],
    ['an error whose stack is a number', () => Object.assign(new Error('a'), { stack: 42 })],
    ['an error that causes itself', () => ((e) => Object.assign(e, { cause: e }))(new Error('a'))],
    ['an error with a huge name', () => Object.assign(new Error('a'), { name: 'n'.repeat(2_000_000) })],
    ['what looks like one of ours', () => ({ [Symbol.for('millrace.error')]: true })],
    ['what has a code that is none', () => ({ [Symbol.for('millrace.error')]: true, code: 'toString' })],
    ['undefined', () => undefined],
    ['an object without a prototype', () => Object.create(null)],
  ])('a record for which it throws %s is dead-lettered, alone', async (_, make) => {
    const world = setUp(async (records, context) => {
      if (records.some(({ offset }) => offset === 2)) throw make();
      await apply(records, context);
    });
    await world.deliver(batchOf(5));
    expect(world.applied()).toEqual(['0/0', '0/1', '0/3', '0/4']);
    expect(world.letters).toMatchObject([{ record: { offset: 2 }, failure: { code: 'HANDLER_FAILED' } }]);
    expect(JSON.stringify(world.letters[0]!.failure).length).toBeLessThan(20_000);
  });

  test('the ledger goes by where a record stands, not by what its handler makes of it', async () => {
    for (const field of ['partition', 'offset'] as const) {
      const world = setUp(async (records, context) => {
        for (const { raw } of records) (raw as { [name in typeof field]: number })[field] += 100;
        await apply(records, context);
      });
      await world.deliver(batchOf(2));
      expect(world.applied()).toEqual([]);
      expect(world.letters.map(({ record }) => record.offset)).toEqual([0, 1]);
    }
  });

  test('statements that a failed call left running do not reach the next one', async () => {
    const world = setUp(async (records, { tx }) => {
      await Promise.all(
        records.map(async ({ offset, value }) => {
          if (offset === 5) throw new Error('bad');
          await world.clock.sleep(3);
          await tx.append('applied', value.id);
        }),
      );
    });
    await world.deliver(batchOf(8));
    expect(world.applied().toSorted()).toEqual(['0/0', '0/1', '0/2', '0/3', '0/4', '0/6', '0/7']);
  });
});

describe('an error that reads like the sink’s or the code’s', () => {
  const unclear = (code: 'SINK_MISCONFIGURED' | 'SINK_UNAVAILABLE') =>
    new MillraceError(code, 'cannot run the statement', { isUnclear: true });

  test.each([
    ['SINK_MISCONFIGURED', [0, 3, 7]],
    ['SINK_MISCONFIGURED', [7]],
    ['SINK_UNAVAILABLE', [0, 3, 7]],
    ['SINK_UNAVAILABLE', [7]],
  ] as const)('%s of records %j dead-letters these, if others go through', async (code, offsets) => {
    const bad = new Set<number>(offsets);
    const world = setUp(async (records, context) => {
      if (records.some(({ offset }) => bad.has(offset))) throw unclear(code);
      await apply(records, context);
    });
    await world.deliver([...batchOf(8), ...Array.from({ length: 3 }, (_, at) => eventRecord(1, at + 10))]);
    const good = [0, 1, 2, 3, 4, 5, 6, 7].filter((offset) => !bad.has(offset)).map((offset) => `0/${offset}`);
    expect(world.applied().toSorted()).toEqual([...good, '1/10', '1/11', '1/12']);
    expect(world.letters.map(({ record }) => record.offset)).toEqual(offsets);
    expect(world.letters[0]!.failure).toMatchObject({ code, stage: 'write', attempts: 3 });
  });

  test.each([
    ['of one key, before all others', 400, (offset: number) => offset < 400, () => 'one'],
    ['of many keys, at the front of a partition', 200, (offset: number) => offset < 200, String],
    ['of one key, everywhere', 400, (offset: number) => offset % 5 > 0, (offset: number) => `${offset % 5}`],
  ] as const)('of a run of records %s is theirs all the same', async (_, count, isBad, keyOf) => {
    const world = setUp(async (records, context) => {
      if (records.some(({ partition, offset }) => partition === 0 && isBad(offset)))
        throw unclear('SINK_MISCONFIGURED');
      await apply(records, context);
    });
    const records = batchOf(500).map((record) => ({
      ...record,
      key: Buffer.from(isBad(record.offset) ? keyOf(record.offset) : `good ${record.offset}`),
    }));
    await world.deliver([...records, ...batchOf(5, 1)], { forMs: 600_000 });
    expect(world.letters).toHaveLength(count);
    expect(world.applied()).toHaveLength(505 - count);
  });

  test('of all records but one goes through in the end', async () => {
    const world = setUp(async (records, context) => {
      if (records.some(({ offset }) => offset !== 200)) throw unclear('SINK_MISCONFIGURED');
      await apply(records, context);
    });
    let tries = 0;
    for (; world.applied().length === 0 && tries < 1_000; tries++) {
      world.elapse(1_000 + tries);
      await world.deliver(batchOf(300), { forMs: 600_000 }).catch(() => {});
    }
    expect(world.letters).toHaveLength(299);
  });

  test('of all records halts, or holds, as the table says', async () => {
    for (const [code, thrown] of [
      ['SINK_MISCONFIGURED', 'SINK_MISCONFIGURED'],
      ['SINK_UNAVAILABLE', 'BATCH_INCOMPLETE'],
    ] as const) {
      let calls = 0;
      const world = setUp(async () => {
        calls++;
        throw unclear(code);
      });
      await expect(world.deliver(batchOf(50))).rejects.toMatchObject({ code: thrown });
      expect(world.letters).toEqual([]);
      if (code === 'SINK_MISCONFIGURED') expect(calls).toBeLessThan(15);
    }
  });
});

describe('a partition that waits, with more records than are read at once,', () => {
  /** Records of partition 0: one, and many that name schemas nobody knows. */
  const waiting = [eventRecord(0, 0)];
  for (let offset = 1; offset <= 200; offset++) {
    const value = Buffer.concat([Buffer.from([3, 0]), Buffer.alloc(16, 7), Buffer.from([2, 0x61])]);
    value.writeUInt32BE(offset, 2);
    waiting.push({ ...eventRecord(0, offset), value });
  }
  const good = Array.from({ length: 5 }, (_, at) => eventRecord(1, at));
  const down = new MillraceError('DEPENDENCY_UNAVAILABLE', 'the geocoder is down');

  test('keeps no other waiting', async () => {
    const world = setUp(async (records, context) => {
      if (records.some(({ partition }) => partition === 0)) throw down;
      await apply(records, context);
    });
    const answer = await world.deliver([...waiting, ...good], { partialResponses: true });
    expect(world.applied()).toEqual(['1/0', '1/1', '1/2', '1/3', '1/4']);
    expect(answer.batchItemFailures).toHaveLength(201);
  });

  test('leaves others that wait their retries', async () => {
    const world = setUp(async (records, context) => {
      if (records.some(({ partition }) => partition === 0)) throw down;
      if (records.some(({ offset }) => offset === 2)) throw new Error('bad');
      await apply(records, context);
    });
    const answer = await world.deliver([...waiting, ...good], { partialResponses: true });
    expect(world.applied()).toEqual(['1/0', '1/1', '1/3', '1/4']);
    expect(world.letters).toMatchObject([{ record: { partition: 1, offset: 2 } }]);
    expect(answer.batchItemFailures).toHaveLength(201);
  });
});

test.each([3_000, 10_000, 60_000])(
  'what held the line is the cause of a batch incomplete after %d ms',
  async (forMs) => {
    const world = setUp(async () => {
      throw new MillraceError('DEPENDENCY_UNAVAILABLE', 'the geocoder is down');
    });
    await expect(world.deliver(batchOf(4), { forMs })).rejects.toMatchObject({
      code: 'BATCH_INCOMPLETE',
      cause: expect.objectContaining({ code: 'DEPENDENCY_UNAVAILABLE' }),
      details: expect.objectContaining({ heldBy: 'DEPENDENCY_UNAVAILABLE' }),
    });
  },
);

test('a store that fails half-way gets a few second letters with each try, not all of them', async () => {
  const puts: string[] = [];
  const world = setUp(apply, {
    deadLetters: {
      async put(letters) {
        puts.push(...letters.slice(0, 60).map(({ id }) => id));
        throw new MillraceError('DEAD_LETTER_STORE_UNAVAILABLE', 'throttled');
      },
    },
  });
  const junk = batchOf(300).map((record) => ({ ...record, value: Buffer.from('junk') }));
  await expect(world.deliver(junk)).rejects.toMatchObject({ code: 'BATCH_INCOMPLETE' });
  expect(puts.length - new Set(puts).size).toBeLessThan(11 * world.reports[0]!.retries + 11);
});

test('where failing costs nothing, fewer groups go through on the way to a bad record', async () => {
  const calls = async (msOfFailure: number) => {
    let through = 0;
    const world = setUp(async (records, context) => {
      if (records.some(({ offset }) => (offset * 7_919) % 1_000 < 60)) {
        await world.clock.sleep(msOfFailure);
        throw new MillraceError('HANDLER_REJECTED', 'bad');
      }
      through++;
      await world.clock.sleep(1);
      await apply(records, context);
    });
    await world.deliver(batchOf(1_000), { forMs: 600_000 });
    expect(world.letters).toHaveLength(60);
    expect(world.applied()).toHaveLength(940);
    return through;
  };
  expect(await calls(0)).toBeLessThan((await calls(1)) * 0.9);
});

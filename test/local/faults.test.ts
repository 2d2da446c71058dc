import { afterEach, describe, expect, test } from '@jest/globals';
import type { Context } from 'aws-lambda';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { createFaults, type FaultOptions } from '../../local/faults.ts';
import type { DeadLetterReader } from '../../runtime/dead-letters/reader.ts';
import { encodeKafkaEvent } from '../../runtime/lambda/kafka-event.ts';
import { createFakeClock } from '../../testing/fake-clock.ts';
import { createMemoryDeadLetters } from '../../testing/memory-dead-letters.ts';
import { MemorySink } from '../../testing/memory-sink.ts';
import { deadLetter } from '../dead-letters.ts';
import { codeOf } from '../rejection.ts';
import { createWorld, nameOf, stopSources } from './event-source/event-source-world.ts';

afterEach(stopSources);

const countOf = async (reader: DeadLetterReader) => (await Array.fromAsync(reader.scan())).length;

const LEDGER = { consumer: 'c', epoch: 1 };
const REQUEST = { topic: 't', partition: 0, from: 0, to: 1 };

/** A sink, a dead-letter store and a handler with faults, the random numbers given one by one. */
function setUp(options: Partial<FaultOptions>, drawn: readonly number[] = []) {
  const numbers = [...drawn];
  const clock = createFakeClock({ autoAdvance: true });
  const faults = createFaults({ clock, random: { next: () => numbers.shift() ?? 0.5 }, ...options });
  const inner = { sink: new MemorySink(), letters: createMemoryDeadLetters({ clock }) };
  const sink = faults.wrapSink(inner.sink);
  const letters = faults.wrapDeadLetters(inner.letters);
  /** One transaction, as the engine has it: locks first, then an effect, then what the test adds. */
  const write = (key: string, atEnd?: () => Promise<void>) =>
    sink.transaction(async ({ tx, lockLedgers }) => {
      await lockLedgers(LEDGER, [REQUEST]);
      await tx.increment(key);
      await atEnd?.();
      return key;
    });
  const invoke = (work: () => Promise<unknown>) =>
    faults.wrapHandler(work)(encodeKafkaEvent([]), { awsRequestId: 'r-1' } as Context);
  return { clock, faults, inner, sink, letters, write, invoke };
}

describe('without faults', () => {
  test('everything passes through as it is', async () => {
    const { inner, letters, write, invoke } = setUp({});
    const response = await invoke(async () => {
      await letters.put([deadLetter()]);
      return write('k');
    });
    expect(response).toBe('k');
    expect(inner.sink.value('k')).toBe(1);
    expect(await countOf(inner.letters)).toBe(1);
    await expect(invoke(() => Promise.reject(new Error('its own')))).rejects.toThrow('its own');
  });
});

describe('a crash', () => {
  const BEFORE_COMMIT = [0.5, 0, 0.2];
  const AFTER_COMMIT = [0.5, 0, 0.7];

  test('before the commit leaves nothing behind, not even a lock, and nothing goes on inside', async () => {
    const { inner, write, invoke } = setUp({ crash: 0.1 }, BEFORE_COMMIT);
    const steps: string[] = [];
    const dead = invoke(async () => {
      await write('k', async () => {
        steps.push('all of the work was done');
      }).finally(() => steps.push('and went on'));
    });
    await expect(dead).rejects.toThrow('Runtime exited');
    expect(steps).toEqual(['all of the work was done']);
    expect(inner.sink.value('k')).toBeUndefined();
    await write('k');
    expect(inner.sink.value('k')).toBe(1);
  });

  test('after the commit keeps the effects, and nothing goes on inside', async () => {
    const { inner, write, invoke } = setUp({ crash: 0.1 }, AFTER_COMMIT);
    const steps: string[] = [];
    const dead = invoke(async () => {
      await write('k');
      steps.push('went on');
    });
    await expect(dead).rejects.toThrow('Runtime exited');
    expect(steps).toEqual([]);
    expect(inner.sink.value('k')).toBe(1);
  });

  test('leaves the function no port to act on: what else was running in it stops there', async () => {
    const { clock, inner, letters, write, invoke } = setUp({ crash: 0.1 }, AFTER_COMMIT);
    const steps: string[] = [];
    const dead = invoke(async () => {
      const aside = async () => {
        await clock.sleep(1_000);
        steps.push('woke up');
        await letters.put([deadLetter()]);
        steps.push('put a letter');
      };
      const alsoAside = async () => {
        await clock.sleep(2_000);
        await write('other');
        steps.push('wrote');
      };
      await Promise.all([write('k'), aside(), alsoAside()]);
    });
    await expect(dead).rejects.toThrow('Runtime exited');
    await clock.sleep(5_000);
    expect(steps).toEqual(['woke up']);
    expect(inner.sink.value('other')).toBeUndefined();
    expect(await countOf(inner.letters)).toBe(0);
  });

  test('drops the other connections of the function: their transactions are rolled back, their locks freed', async () => {
    const { inner, sink, write, invoke } = setUp({ crash: 0.1 }, AFTER_COMMIT);
    const other = { topic: 't', partition: 1, from: 0, to: 1 };
    const hung = Promise.withResolvers<void>();
    const dead = invoke(() =>
      Promise.all([
        write('k'),
        sink.transaction(async ({ tx, lockLedgers }) => {
          await lockLedgers(LEDGER, [other]);
          await tx.increment('other');
          await hung.promise;
        }),
      ]),
    );
    await expect(dead).rejects.toThrow('Runtime exited');
    hung.resolve();
    await inner.sink.transaction(({ lockLedgers }) => lockLedgers(LEDGER, [other]));
    expect(inner.sink.value('k')).toBe(1);
    expect(inner.sink.value('other')).toBeUndefined();
  });

  test('comes only to a transaction that works: an error of the handler surfaces as it is', async () => {
    const { inner, write, invoke } = setUp({ crash: 0.1 }, BEFORE_COMMIT);
    const failing = invoke(async () => {
      await write('k', () => Promise.reject(new Error('its own')));
    });
    await expect(failing).rejects.toThrow('its own');
    expect(inner.sink.value('k')).toBeUndefined();
  });
});

describe('a batch delivered twice', () => {
  const ANY_REQUEST_ID = Array.from({ length: 16 }, () => 0.5);
  const TWIN_AFTER_1_MS = [0, 0.1, ...ANY_REQUEST_ID, 0.001];

  test('is delivered again when its response is lost after all was done', async () => {
    const { inner, write, invoke } = setUp({ redeliver: 0.3 }, [0, 0.9]);
    await expect(invoke(() => write('k'))).rejects.toThrow('lost');
    expect(inner.sink.value('k')).toBe(1);
  });

  test('comes as a slow second invocation beside the first, with a request id of its own', async () => {
    const { clock, faults } = setUp({ redeliver: 0.3 }, TWIN_AFTER_1_MS);
    const runs: string[] = [];
    const handler = faults.wrapHandler(async (event, context) => {
      runs.push(`begins ${context.awsRequestId === 'r-1'} ${Object.keys(event.records)}`);
      await clock.sleep(10);
      runs.push('ends');
      return 'the response of the first';
    });
    const event = encodeKafkaEvent([deadLetter().record]);
    expect(await handler(event, { awsRequestId: 'r-1' } as Context)).toBe('the response of the first');
    expect(runs).toEqual(['begins true t-0', 'begins false t-0', 'ends']);
    await faults.idle();
    expect(runs).toEqual(['begins true t-0', 'begins false t-0', 'ends', 'ends']);
  });

  test('is not disturbed by how the second one ends', async () => {
    const { faults, clock } = setUp({ redeliver: 1 }, TWIN_AFTER_1_MS);
    let runs = 0;
    const handler = faults.wrapHandler(async () => {
      const run = ++runs;
      await clock.sleep(run * 10);
      if (run === 2) throw new Error('the second one fails');
      return run;
    });
    expect(await handler(encodeKafkaEvent([]), { awsRequestId: 'r-1' } as Context)).toBe(1);
    await faults.idle();
    expect(runs).toBe(2);
  });
});

describe('an outage', () => {
  test.each([
    ['before', 0.2, undefined],
    ['after', 0.7, 1],
  ])(
    'of the sink cuts its first transaction off %s the commit, and ends in time',
    async (_, number, kept) => {
      const { clock, inner, write } = setUp({ sinkOutageMs: 2_000 }, [number]);
      const startedAt = clock.now();
      expect(await codeOf(write('k'))).toBe('SINK_UNAVAILABLE');
      expect(inner.sink.value('k')).toBe(kept);
      await clock.sleep(1_999);
      expect(await codeOf(write('down'))).toBe('SINK_UNAVAILABLE');
      expect(inner.sink.value('down')).toBeUndefined();
      await clock.sleep(startedAt + 2_000 - clock.now());
      expect(await write('up')).toBe('up');
      expect(inner.sink.value('up')).toBe(1);
    },
  );

  test("of the sink does not hide the work's own error", async () => {
    const { write } = setUp({ sinkOutageMs: 2_000 });
    await expect(write('k', () => Promise.reject(new Error('its own')))).rejects.toThrow('its own');
  });

  test.each([
    ['before', 0.2, 0],
    ['after', 0.7, 1],
  ])(
    'of the dead-letter store cuts its first put off %s it is durable, and ends in time',
    async (_, number, kept) => {
      const { clock, inner, letters } = setUp({ deadLetterOutageMs: 1_000 }, [number]);
      expect(await codeOf(letters.put([deadLetter({ offset: 1 })]))).toBe('DEAD_LETTER_STORE_UNAVAILABLE');
      expect(await countOf(inner.letters)).toBe(kept);
      expect(await codeOf(letters.put([deadLetter({ offset: 2 })]))).toBe('DEAD_LETTER_STORE_UNAVAILABLE');
      await clock.sleep(1_000);
      await letters.put([deadLetter({ offset: 3 })]);
      expect(await countOf(inner.letters)).toBe(kept + 1);
    },
  );
});

describe('all faults together, under an event source', () => {
  const run = async (seed: number) => {
    const world = await createWorld({ partitions: 3, seed });
    const { clock } = world;
    const faults = createFaults({
      clock,
      random: createSeededRandom(seed),
      redeliver: 0.3,
      crash: 0.3,
      sinkOutageMs: 2_000,
      deadLetterOutageMs: 500,
    });
    const inner = new MemorySink();
    const sink = faults.wrapSink(inner);
    const source = world.start({ batchSize: 7, pollers: 2 }, undefined, {
      handler: faults.wrapHandler(async (event) => {
        const records = Object.values(event.records).flat();
        await sink.transaction(async ({ tx }) => {
          for (const record of records) {
            await tx.append(nameOf({ ...record, key: null, value: null, headers: [] }), clock.now());
          }
        });
      }),
    });
    for (const partition of [0, 1, 2]) await world.send(partition, 100);
    await source.drained();
    await source.stop();
    await faults.idle();
    return { applied: inner.values() as ReadonlyMap<string, readonly number[]>, counts: source.counts() };
  };

  test('lose nothing, and deliver some of it twice', async () => {
    const { applied, counts } = await run(7);
    expect(applied.size).toBe(300);
    expect([...applied.values()].some((times) => times.length > 1)).toBe(true);
    expect(counts.failedInvocations).toBeGreaterThan(0);
  });

  test('are the same for the same seed', async () => {
    expect(await run(11)).toEqual(await run(11));
    expect((await run(12)).counts).not.toEqual((await run(11)).counts);
  });
});

test.each([
  ['redeliver', 1.1],
  ['crash', -0.1],
  ['sinkOutageMs', -1],
  ['deadLetterOutageMs', Number.NaN],
])('refuses %s of %d', (option, value) => {
  expect(() => setUp({ [option]: value })).toThrow(
    expect.objectContaining({ code: 'INPUT_INVALID', details: { option } }),
  );
});

/** What every sink promises the engine: promise 2 of docs/delivery.md rests on it. Each adapter runs it from test/adapters/. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { LedgerPatch } from '../../runtime/delivery/ledger.ts';
import type { OffsetRange } from '../../runtime/delivery/offset-ranges.ts';
import type { LedgerKey, LedgerRequest, Sink, SinkTransaction } from '../../runtime/delivery/sink.ts';
import type { TopicPartition } from '../../runtime/record.ts';
import { runs } from '../runs.ts';

export interface StoredLedger {
  readonly first: number | null;
  readonly next: number | null;
  readonly maxTimestamp: number;
  readonly deadLettered: readonly OffsetRange[];
  readonly skipped: readonly OffsetRange[];
}

export interface SinkFixture<Tx> {
  readonly sink: Sink<Tx>;
  /** An effect: adds to a counter. */
  add(tx: Tx, counter: string, by: number): Promise<void>;
  /** The counter as committed, 0 where it was never added to. */
  counter(name: string): Promise<number>;
  /** The ledger as committed, undefined where the partition has none. */
  ledger(key: LedgerKey, of: TopicPartition): Promise<StoredLedger | undefined>;
  close(): Promise<void>;
}

/** @param transactions how many can be open at a time */
export function sinkSuite<Tx>(
  name: string,
  open: () => Promise<SinkFixture<Tx>>,
  { transactions }: { readonly transactions: 'many' | 'one' },
): void {
  describe(name, () => {
    let fixture: SinkFixture<Tx>;
    let consumers = 0;
    /** A consumer no other test has used. */
    const newKey = (): LedgerKey => ({ consumer: `${name} ${consumers++}`, epoch: 1 });

    beforeAll(async () => {
      fixture = await open();
    }, 120_000);
    afterAll(() => fixture.close());

    test('commits effects and ledger together when work resolves, with its result', async () => {
      const { sink } = fixture;
      const key = newKey();
      const result = await sink.transaction(async (transaction) => {
        await transaction.lockLedgers(key, [request(0, 5, 8)]);
        await fixture.add(transaction.tx, key.consumer, 3);
        await transaction.writeLedgers(key, [patch(0, { first: 5, next: 8, maxTimestamp: 17 })]);
        return 'done';
      });

      expect(result).toBe('done');
      expect(await fixture.counter(key.consumer)).toBe(3);
      expect(await fixture.ledger(key, at(0))).toEqual({
        first: 5,
        next: 8,
        maxTimestamp: 17,
        deadLettered: [],
        skipped: [],
      });
    });

    test('rolls both back when work rejects, and rejects with the very error', async () => {
      const { sink } = fixture;
      const key = newKey();
      const error = new Error('the handler gave up');
      const outcome = sink.transaction(async (transaction) => {
        await transaction.lockLedgers(key, [request(0, 0, 1)]);
        await fixture.add(transaction.tx, key.consumer, 1);
        await transaction.writeLedgers(key, [patch(0, { first: 0, next: 1 })]);
        throw error;
      });

      await expect(outcome).rejects.toBe(error);
      expect(await fixture.counter(key.consumer)).toBe(0);
      expect(await fixture.ledger(key, at(0))).toBeUndefined();
    });

    test('gives one view a request, in the order asked, with nulls where there is no ledger yet', async () => {
      const { sink } = fixture;
      const key = newKey();
      await settle(sink, key, [patch(3, { first: 10, next: 20, skipped: [range(12, 14)] })]);

      const views = await sink.transaction(({ lockLedgers }) =>
        lockLedgers(key, [request(7, 0, 1), request(3, 0, 100), request(11, 2, 5)]),
      );
      expect(views).toEqual([
        { ...at(7), first: null, next: null, maxTimestamp: -1, holes: [] },
        { ...at(3), first: 10, next: 20, maxTimestamp: 0, holes: [range(12, 14)] },
        { ...at(11), first: null, next: null, maxTimestamp: -1, holes: [] },
      ]);
    });

    test('reads only the holes that meet the offsets asked for, joined and in order', async () => {
      const { sink } = fixture;
      const key = newKey();
      await settle(sink, key, [
        patch(0, {
          first: 0,
          next: 100,
          deadLettered: [range(40, 41), range(2, 3)],
          skipped: [range(41, 50), range(60, 70)],
        }),
      ]);

      const holesIn = (from: number, to: number) =>
        sink.transaction(
          async ({ lockLedgers }) => (await lockLedgers(key, [request(0, from, to)]))[0]!.holes,
        );
      expect(await holesIn(30, 60)).toEqual([range(40, 50)]);
      expect(await holesIn(0, 2)).toEqual([]);
      expect((await holesIn(2, 61)).map(({ from }) => from)).toEqual([2, 40, 60]);
    });

    test('keeps the ledgers of consumers and of epochs apart', async () => {
      const { sink } = fixture;
      const key = newKey();
      await settle(sink, key, [patch(0, { first: 0, next: 4 })]);
      await settle(sink, { ...key, epoch: 2 }, [patch(0, { first: 0, next: 9 })]);

      expect((await fixture.ledger(key, at(0)))?.next).toBe(4);
      expect((await fixture.ledger({ ...key, epoch: 2 }, at(0)))?.next).toBe(9);
      expect(await fixture.ledger(newKey(), at(0))).toBeUndefined();
    });

    test('keeps offsets up to 2^53 - 1 and a timestamp of -1 exactly', async () => {
      const { sink } = fixture;
      const key = newKey();
      const last = Number.MAX_SAFE_INTEGER;
      await settle(sink, key, [
        patch(0, { first: last - 9, next: last, maxTimestamp: -1, deadLettered: [range(last - 1, last)] }),
      ]);

      const [view] = await sink.transaction(({ lockLedgers }) =>
        lockLedgers(key, [request(0, last - 5, last)]),
      );
      expect(view).toEqual({
        ...at(0),
        first: last - 9,
        next: last,
        maxTimestamp: -1,
        holes: [range(last - 1, last)],
      });
    });

    test('lets concurrent transactions through one after the other, the first time included', async () => {
      const { sink } = fixture;
      const key = newKey();
      const twins = Array.from({ length: 8 }, (_, index) =>
        sink.transaction(async (transaction) => {
          const partitions = index % 2 ? [0, 1, 2] : [2, 1, 0];
          const views = await transaction.lockLedgers(
            key,
            partitions.map((partition) => request(partition, 0, 100)),
          );
          await fixture.add(transaction.tx, key.consumer, 1);
          await transaction.writeLedgers(
            key,
            views.map(({ partition, next }) => patch(partition, { first: 0, next: (next ?? 0) + 1 })),
          );
        }),
      );
      await Promise.all(twins);

      for (const partition of [0, 1, 2]) {
        expect((await fixture.ledger(key, at(partition)))?.next).toBe(twins.length);
      }
      expect(await fixture.counter(key.consumer)).toBe(twins.length);
    });

    test('applies patches as set arithmetic on offsets', async () => {
      const { sink } = fixture;
      const offsets = { min: 0, max: 30 };
      const ranges = fc.array(
        fc
          .tuple(fc.integer(offsets), fc.integer({ min: 1, max: 6 }))
          .map(([from, n]) => range(from, from + n)),
        { maxLength: 3 },
      );
      const changes = fc.record({ closed: ranges, deadLettered: ranges, skipped: ranges });
      const step = fc.record({
        partitions: fc.array(changes, { minLength: 1, maxLength: 3 }),
        window: ranges,
      });

      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
          const key = newKey();
          const model = new Map<number, { deadLettered: Set<number>; skipped: Set<number> }>();
          for (const { partitions, window } of steps) {
            const asked = window[0] ?? range(0, 40);
            await sink.transaction(async (transaction) => {
              const views = await transaction.lockLedgers(
                key,
                partitions.map((_, partition) => request(partition, asked.from, asked.to)),
              );
              for (const view of views) {
                const known = model.get(view.partition);
                const holes = [...(known?.deadLettered ?? []), ...(known?.skipped ?? [])];
                expect(view.holes).toEqual(
                  toRanges(holes.filter((offset) => offset >= asked.from && offset < asked.to)),
                );
              }
              await transaction.writeLedgers(
                key,
                partitions.map((change, partition) => patch(partition, { first: 0, next: 40, ...change })),
              );
            });
            partitions.forEach((change, partition) => {
              const known = model.get(partition) ?? { deadLettered: new Set(), skipped: new Set() };
              const [closed, deadLettered, skipped] = [
                change.closed,
                change.deadLettered,
                change.skipped,
              ].map(toOffsets) as [Set<number>, Set<number>, Set<number>];
              model.set(partition, {
                deadLettered: new Set([...without(known.deadLettered, closed), ...deadLettered]),
                skipped: new Set([...without(known.skipped, closed, deadLettered), ...skipped]),
              });
            });
          }
          for (const [partition, { deadLettered, skipped }] of model) {
            expect(await fixture.ledger(key, at(partition))).toMatchObject({
              deadLettered: toRanges([...deadLettered]),
              skipped: toRanges([...skipped]),
            });
          }
        }),
        { numRuns: runs(50) },
      );
    }, 180_000);

    test('rejects with the reason when the signal has aborted before, and runs no work', async () => {
      const reason = new Error('too late');
      let hasRun = false;
      const outcome = fixture.sink.transaction(async () => {
        hasRun = true;
      }, AbortSignal.abort(reason));

      await expect(outcome).rejects.toBe(reason);
      expect(hasRun).toBe(false);
    });

    test('rejects with the reason when the signal aborts, though work goes on, and nothing of it takes effect', async () => {
      const { sink } = fixture;
      const key = newKey();
      const reason = new Error('out of time');
      const abandon = new AbortController();
      const afterwards = Promise.withResolvers<void>();
      const lateStatements: Promise<unknown>[] = [];

      const outcome = sink.transaction(async (transaction) => {
        await transaction.lockLedgers(key, [request(0, 0, 1)]);
        await fixture.add(transaction.tx, key.consumer, 1);
        abandon.abort(reason);
        await afterwards.promise;
        lateStatements.push(
          fixture.add(transaction.tx, key.consumer, 1),
          transaction.writeLedgers(key, [patch(0, { first: 0, next: 1 })]),
        );
        await Promise.allSettled(lateStatements);
      }, abandon.signal);

      await expect(outcome).rejects.toBe(reason);
      // The lock is free again, though the first transaction's work has not returned.
      await settle(sink, key, [patch(0, { first: 0, next: 9 })]);
      afterwards.resolve();
      await turns();
      expect(lateStatements).toHaveLength(2);
      for (const statement of lateStatements) await expect(statement).rejects.toBe(reason);

      expect(await fixture.counter(key.consumer)).toBe(0);
      expect((await fixture.ledger(key, at(0)))?.next).toBe(9);
    });

    test('gives up waiting for another transaction when the signal aborts, and leaves the other alone', async () => {
      const { sink } = fixture;
      const key = newKey();
      const reason = new Error('out of time');
      const abandon = new AbortController();

      await sink.transaction(async (transaction) => {
        await transaction.lockLedgers(key, [request(0, 0, 1)]);
        const twin = sink.transaction(
          ({ lockLedgers }) => lockLedgers(key, [request(0, 0, 1)]),
          abandon.signal,
        );
        await turns();
        abandon.abort(reason);
        await expect(twin).rejects.toBe(reason);
        await transaction.writeLedgers(key, [patch(0, { first: 0, next: 1 })]);
      });

      await settle(sink, key, [patch(0, { first: 0, next: 2 })]);
      expect((await fixture.ledger(key, at(0)))?.next).toBe(2);
    });

    test('refuses statements after the transaction has ended, either way', async () => {
      const { sink } = fixture;
      const key = newKey();
      let committed: SinkTransaction<Tx> | undefined;
      let rolledBack: SinkTransaction<Tx> | undefined;
      await sink.transaction(async (transaction) => {
        committed = transaction;
      });
      await sink
        .transaction(async (transaction) => {
          rolledBack = transaction;
          throw new Error('no');
        })
        .catch(() => {});

      for (const ended of [committed!, rolledBack!]) {
        const late = { code: 'HANDLER_FAILED', message: expect.stringContaining('after its transaction') };
        await expect(fixture.add(ended.tx, key.consumer, 1)).rejects.toMatchObject(late);
        await expect(ended.lockLedgers(key, [request(0, 0, 1)])).rejects.toMatchObject(late);
      }
      expect(await fixture.counter(key.consumer)).toBe(0);
    });

    describe('a savepoint', () => {
      test('takes back its own part where it rejects, with the very error, and leaves the rest', async () => {
        const { sink } = fixture;
        const key = newKey();
        const error = new Error('this part is bad');
        await sink.transaction(async ({ tx, lockLedgers, writeLedgers, savepoint }) => {
          await lockLedgers(key, [request(0, 0, 4)]);
          await fixture.add(tx, key.consumer, 1);
          await savepoint(() => fixture.add(tx, key.consumer, 10));
          const part = savepoint(async () => {
            await fixture.add(tx, key.consumer, 100);
            throw error;
          });
          await expect(part).rejects.toBe(error);
          await savepoint(() => fixture.add(tx, key.consumer, 1_000));
          await writeLedgers(key, [patch(0, { first: 0, next: 4 })]);
        });
        expect(await fixture.counter(key.consumer)).toBe(1_011);
        expect(await fixture.ledger(key, at(0))).toMatchObject({ first: 0, next: 4 });
      });

      test.each(['rejects', 'resolves'])(
        'that %s leaves nothing behind that its work left running',
        async (end) => {
          const { sink } = fixture;
          const key = newKey();
          const stragglers: Promise<unknown>[] = [];
          await sink.transaction(async ({ savepoint }) => {
            const ended = Promise.withResolvers<void>();
            const part = savepoint(async (tx) => {
              // Begun in time, and not awaited: part of the part.
              stragglers.push(fixture.add(tx, key.consumer, 1).catch(() => {}));
              stragglers.push(
                ended.promise.then(() => fixture.add(tx, key.consumer, 10)).catch(({ code }) => code),
              );
              if (end === 'rejects') throw new Error('bad');
            });
            await part.catch(() => {});
            ended.resolve();
            await savepoint((tx) => fixture.add(tx, key.consumer, 100));
          });
          expect(await Promise.all(stragglers)).toEqual([undefined, 'HANDLER_FAILED']);
          expect(await fixture.counter(key.consumer)).toBe(end === 'rejects' ? 100 : 101);
        },
      );

      test('in a savepoint is taken back with it, though it was kept itself', async () => {
        const { sink } = fixture;
        const key = newKey();
        await sink.transaction(async ({ tx, savepoint }) => {
          const outer = savepoint(async () => {
            await savepoint(() => fixture.add(tx, key.consumer, 1));
            await savepoint(async () => {
              await fixture.add(tx, key.consumer, 10);
              throw new Error('inner');
            }).catch(() => {});
            await fixture.add(tx, key.consumer, 100);
            throw new Error('outer');
          });
          await expect(outer).rejects.toThrow('outer');
          await fixture.add(tx, key.consumer, 1_000);
        });
        expect(await fixture.counter(key.consumer)).toBe(1_000);
      });

      test('gives what its work gave, and costs nothing where that does nothing', async () => {
        const { sink } = fixture;
        const key = newKey();
        const given = await sink.transaction(async ({ tx, savepoint }) => {
          await savepoint(() => Promise.reject(new Error('at once'))).catch(() => {});
          await fixture.add(tx, key.consumer, 1);
          return savepoint(async () => 'given');
        });
        expect(given).toBe('given');
        expect(await fixture.counter(key.consumer)).toBe(1);
      });

      test('holds what its work did not wait for', async () => {
        const { sink } = fixture;
        const key = newKey();
        await sink.transaction(async ({ tx, savepoint }) => {
          await savepoint(async () => void fixture.add(tx, key.consumer, 1));
          await savepoint(async () => {
            void fixture.add(tx, key.consumer, 10).catch(() => {});
            await fixture.add(tx, key.consumer, 100);
            throw new Error('bad');
          }).catch(() => {});
        });
        expect(await fixture.counter(key.consumer)).toBe(1);
      });
    });

    test('tells whether a statement is unanswered', async () => {
      const key = newKey();
      await fixture.sink.transaction(async (transaction) => {
        expect(transaction.isWaiting()).toBe(false);
        const statement = fixture.add(transaction.tx, key.consumer, 1);
        expect(transaction.isWaiting()).toBe(true);
        await statement;
        expect(transaction.isWaiting()).toBe(false);
        const locked = transaction.lockLedgers(key, [request(0, 0, 1)]);
        expect(transaction.isWaiting()).toBe(true);
        await locked;
        expect(transaction.isWaiting()).toBe(false);
      });
    });

    test('lets batches of overlapping partitions through without a deadlock, the first time included', async () => {
      const { sink } = fixture;
      const key = newKey();
      const partitions = Array.from({ length: 24 }, (_, partition) => partition);
      // Half of the partitions each, a different half and another order every time.
      const batches = Array.from({ length: 40 }, (_, batch) => {
        const order = partitions.map((partition) => (partition * [1, 5, 7, 11][batch % 4]! + batch) % 24);
        return batch % 2 ? order.slice(0, 12) : order.slice(0, 12).reverse();
      });
      const outcomes = await Promise.allSettled(
        batches.map((batch) =>
          sink.transaction(async (transaction) => {
            const views = await transaction.lockLedgers(
              key,
              batch.map((partition) => request(partition, 0, 100)),
            );
            await transaction.writeLedgers(
              key,
              views.map(({ partition, next }) => patch(partition, { first: 0, next: (next ?? 0) + 1 })),
            );
          }),
        ),
      );

      expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([]);
      for (const partition of partitions) {
        const { length } = batches.filter((batch) => batch.includes(partition));
        expect((await fixture.ledger(key, at(partition)))?.next).toBe(length);
      }
    });

    if (transactions === 'many') {
      test('does not make batches of other partitions wait', async () => {
        const { sink } = fixture;
        const key = newKey();
        await settle(sink, key, [patch(0, { first: 0, next: 1 }), patch(1, { first: 0, next: 1 })]);

        await sink.transaction(async (transaction) => {
          await transaction.lockLedgers(key, [request(0, 0, 1)]);
          await settle(sink, key, [patch(1, { first: 0, next: 2 })]);
          expect((await fixture.ledger(key, at(1)))?.next).toBe(2);
        });
      });

      test('makes a first-time transaction wait until the other has committed', async () => {
        const { sink } = fixture;
        const key = newKey();
        const order: string[] = [];
        let twin: Promise<void> | undefined;
        await sink.transaction(async (transaction) => {
          await transaction.lockLedgers(key, [request(0, 0, 1)]);
          twin = sink.transaction(async (second) => {
            const [view] = await second.lockLedgers(key, [request(0, 0, 1)]);
            order.push(`twin sees next ${view!.next}`);
          });
          await turns();
          order.push('first settles');
          await transaction.writeLedgers(key, [patch(0, { first: 0, next: 1 })]);
        });
        await twin;
        expect(order).toEqual(['first settles', 'twin sees next 1']);
      });
    }
  });
}

const TOPIC = 'news.pageviews';
const at = (partition: number): TopicPartition => ({ topic: TOPIC, partition });
const range = (from: number, to: number): OffsetRange => ({ from, to });
const request = (partition: number, from: number, to: number): LedgerRequest => ({
  ...at(partition),
  from,
  to,
});

function patch(
  partition: number,
  change: Partial<LedgerPatch> & { first: number; next: number },
): LedgerPatch {
  return { ...at(partition), maxTimestamp: 0, closed: [], deadLettered: [], skipped: [], ...change };
}

function settle<Tx>(sink: Sink<Tx>, key: LedgerKey, patches: readonly LedgerPatch[]): Promise<void> {
  return sink.transaction(async ({ lockLedgers, writeLedgers }) => {
    await lockLedgers(
      key,
      patches.map(({ partition, next }) => request(partition, 0, next)),
    );
    await writeLedgers(key, patches);
  });
}

/** Lets whatever can run, run: a few turns of the event loop. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

function toOffsets(ranges: readonly OffsetRange[]): Set<number> {
  return new Set(ranges.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, n) => from + n)));
}

function without(offsets: ReadonlySet<number>, ...removed: readonly ReadonlySet<number>[]): number[] {
  return [...offsets].filter((offset) => !removed.some((set) => set.has(offset)));
}

function toRanges(offsets: readonly number[]): OffsetRange[] {
  const sorted = [...new Set(offsets)].sort((a, b) => a - b);
  const starts = sorted.filter((offset) => !sorted.includes(offset - 1));
  const ends = sorted.filter((offset) => !sorted.includes(offset + 1));
  return starts.map((from, index) => range(from, ends[index]! + 1));
}

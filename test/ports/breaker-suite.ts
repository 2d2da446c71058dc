/** What a sink that keeps the breaker's state promises the engine. */
import { beforeAll, describe, expect, test } from '@jest/globals';
import type { BreakerState, BreakerWindow } from '../../runtime/delivery/breaker.ts';
import type { LedgerKey, Sink } from '../../runtime/delivery/sink.ts';

/** @param transactions how many can be open at a time */
export function breakerSuite(
  name: string,
  open: () => Promise<Sink<unknown>>,
  { transactions }: { readonly transactions: 'many' | 'one' },
): void {
  describe(`${name}, of failures that the code is to blame for`, () => {
    let sink: Sink<unknown>;
    let consumers = 0;
    /** A consumer no other test has used. */
    const newKey = (): LedgerKey => ({ consumer: `breaker of ${name} ${consumers++}`, epoch: 1 });
    const window = (fields: Partial<BreakerWindow> = {}): BreakerWindow => ({
      code: 'code-1',
      name: 'TypeError',
      file: 'orders/consumer.ts',
      function: 'settleOrders',
      line: 29,
      failed: 1,
      handled: 2,
      waiting: 0,
      settled: 3,
      openedAt: null,
      heldAt: 4,
      heldMs: 5,
      isDoubted: false,
      usedAt: 6,
      ...fields,
    });
    const read = (key: LedgerKey) => sink.transaction(({ breaker }) => breaker!.read(key));
    const change = (key: LedgerKey, by: (state: BreakerState) => BreakerState) =>
      sink.transaction(async ({ breaker }) => {
        const { state } = await breaker!.read(key);
        await breaker!.write(key, by(state));
      });

    beforeAll(async () => {
      sink = await open();
    }, 120_000);

    test('a consumer begins with nothing, and what was written is read as it was', async () => {
      const key = newKey();
      expect(await read(key)).toEqual({ state: [], settled: 0 });
      const state = [
        window(),
        window({ file: null, function: null, line: null, openedAt: 1_767_225_600_000 }),
        window({ name: 'Fehler\u0000\ud800 "quoted"', file: '\u0000/ä.ts' }),
      ];
      await change(key, () => state);
      expect((await read(key)).state).toEqual(state);
      await change(key, ([first]) => [first!]);
      expect((await read(key)).state).toEqual([state[0]]);
    });

    test('each consumer and each epoch has its own', async () => {
      const key = newKey();
      await change(key, () => [window()]);
      expect((await read({ ...key, epoch: 2 })).state).toEqual([]);
      expect((await read(newKey())).state).toEqual([]);
    });

    test('a transaction that fails keeps the state as it was', async () => {
      const key = newKey();
      await change(key, () => [window()]);
      const failure = new Error('rolled back');
      const failed = sink.transaction(async ({ breaker }) => {
        await breaker!.read(key);
        await breaker!.write(key, []);
        throw failure;
      });
      await expect(failed).rejects.toBe(failure);
      expect((await read(key)).state).toEqual([window()]);
    });

    test('counts what all ledgers of the consumer have settled, wherever they begin', async () => {
      const key = newKey();
      const nothing = { maxTimestamp: 1, closed: [], deadLettered: [], skipped: [] };
      await sink.transaction(async ({ lockLedgers, writeLedgers }) => {
        const at = (partition: number) => ({ topic: 'breaker', partition });
        await lockLedgers(
          key,
          [0, 1, 2].map((partition) => ({ ...at(partition), from: 0, to: 1 })),
        );
        await writeLedgers(key, [
          { ...at(0), ...nothing, first: 0, next: 7 },
          { ...at(1), ...nothing, first: 1_000_000, next: 1_000_005 },
        ]);
      });
      expect((await read(key)).settled).toBe(12);
      expect((await read({ ...key, epoch: 2 })).settled).toBe(0);
    });

    test('a glance sees what is committed, and waits for no lock', async () => {
      const key = newKey();
      const glance = () => sink.transaction(({ breaker }) => breaker!.glance(key));
      expect(await glance()).toEqual({ state: [], settled: 0 });
      await change(key, () => [window()]);
      await sink.transaction(async ({ lockLedgers, writeLedgers, breaker }) => {
        const at = { topic: 'breaker', partition: 0 };
        await lockLedgers(key, [{ ...at, from: 0, to: 1 }]);
        const patch = { maxTimestamp: 1, closed: [], deadLettered: [], skipped: [] };
        await writeLedgers(key, [{ ...at, ...patch, first: 3, next: 7 }]);
        await breaker!.read(key);
        await breaker!.write(key, [window(), window({ name: 'Other' })]);
        if (transactions === 'many') expect(await glance()).toEqual({ state: [window()], settled: 0 });
      });
      expect(await glance()).toMatchObject({ state: [{}, { name: 'Other' }], settled: 4 });
    });

    test('transactions at once take turns, and none misses what another has counted', async () => {
      const key = newKey();
      const count = ([before = window({ failed: 0 })]: BreakerState) => [
        { ...before, failed: before.failed + 1 },
      ];
      if (transactions === 'one') for (let time = 0; time < 8; time++) await change(key, count);
      else await Promise.all(Array.from({ length: 8 }, () => change(key, count)));
      expect((await read(key)).state).toMatchObject([{ failed: 8 }]);
    });
  });
}

import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import { defineConsumer } from '../../runtime/delivery/consumer.ts';
import { MillraceError } from '../../runtime/errors.ts';
import {
  type AnyHarness,
  assertDeadLettered,
  assertEffectsOnce,
  assertNothingLost,
  assertOrderPerKey,
  FAULTS,
  type Fault,
  type Harness,
  harness,
  poison,
  record,
  recordsOf,
  tombstone,
} from '../../testing/index.ts';
import { ALL_COUNTS, type Order, order, orderCount, orders } from './orders.ts';

const opened: AnyHarness[] = [];
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close();
});

async function open(consumer = orderCount): Promise<Harness<Order>> {
  const made = await harness(consumer);
  opened.push(made);
  return made;
}

describe('a harness', () => {
  test('delivers values by the contract, partitioned by key, and shows tables and ledger', async () => {
    const shop = await open();
    const delivery = await shop.deliver([order('a'), order('b', 2), order('a', 3)]);
    expect(delivery).toEqual({ applied: 3, duplicates: 0, deadLettered: 0, invocations: 1 });
    expect(await shop.query(ALL_COUNTS)).toEqual([
      { id: 'a', orders: 2, pieces: 4 },
      { id: 'b', orders: 1, pieces: 2 },
    ]);
    const published = await shop.published();
    expect(published.map(({ key }) => key?.toString()).sort()).toEqual(['a', 'a', 'b']);
    expect(new Set(published.filter(({ key }) => key?.toString() === 'a').map((a) => a.partition)).size).toBe(
      1,
    );
    const settled = (await shop.ledger()).map(({ first, next }) => next - first);
    expect(settled.reduce((sum, each) => sum + each, 0)).toBe(3);
  });

  test('begins empty, whatever the one before it has left', async () => {
    const before = await open();
    await before.deliver([order('a'), poison()]);
    await before.query('CREATE TABLE of_the_test (a int)');
    await before.query("CREATE TYPE colour AS ENUM ('red')");
    await before[Symbol.asyncDispose]();
    const shop = await open();
    expect(await shop.query(ALL_COUNTS)).toEqual([]);
    expect(await shop.ledger()).toEqual([]);
    expect(await shop.deadLetters()).toEqual([]);
    expect(
      await shop.query("SELECT to_regclass('of_the_test') AS found, to_regtype('colour') AS type"),
    ).toEqual([{ found: null, type: null }]);
  });

  test('two at once do not see one another', async () => {
    const one = await open();
    const other = await open();
    await one.deliver([order('a')]);
    expect(await other.query(ALL_COUNTS)).toEqual([]);
    await other.deliver([order('b')]);
    expect(await one.query(ALL_COUNTS)).toEqual([{ id: 'a', orders: 1, pieces: 1 }]);
  });

  test('works under fake timers', async () => {
    jest.useFakeTimers();
    try {
      const shop = await open();
      await shop.deliver([order('a'), order('b', -1)], { faults: ['sink-down', 'slow-sink'] });
      expect(await shop.query(ALL_COUNTS)).toEqual([{ id: 'a', orders: 1, pieces: 1 }]);
    } finally {
      jest.useRealTimers();
    }
  });

  test('says that it is closed', async () => {
    const shop = await harness(orderCount);
    await shop.close();
    await shop.close();
    await expect(shop.deliver([order('a')])).rejects.toThrow(/order-count is closed/);
  });

  test('delivers records of an older version, with their headers and times', async () => {
    const shop = await open();
    const headers = [{ name: 'trace', value: Buffer.from('1') }];
    await shop.deliver([record({ id: 'a', pieces: 2 } as Order, { version: 1, timestamp: 5, headers })]);
    expect(await shop.query(ALL_COUNTS)).toEqual([{ id: 'a', orders: 1, pieces: 2 }]);
    expect(await shop.published()).toMatchObject([{ timestamp: 5, headers }]);
  });

  test('takes no value that no producer could publish, and publishes nothing then', async () => {
    const shop = await open();
    const wrong = { ...order('b'), pieces: 'two' } as unknown as Order;
    await expect(shop.deliver([order('a'), wrong])).rejects.toThrow(
      'Record 1 breaks contract "shop.orders": pieces takes an int',
    );
    expect(await shop.published()).toEqual([]);
    await expect(shop.deliver([record(order('a'), { version: 3 })])).rejects.toThrow(
      /got version 3 .* it has 2/,
    );
  });

  test('the handler has the rights of its role in AWS, and query() those of the owner of its tables', async () => {
    const dropping = defineConsumer({
      ...orderCount,
      handle: async (_, { tx }) => void (await tx.query('DROP TABLE order_line')),
    });
    const shop = await open(dropping);
    await expect(shop.deliver([order('a')])).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' });
    await shop.query('DROP TABLE order_line');
  });

  test('a migration that fails is said, and the next harness works', async () => {
    const broken = defineConsumer({
      ...orderCount,
      migrations: [{ name: '0001', sql: 'CREATE TABEL a ()' }],
    });
    await expect(harness(broken)).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' });
    const shop = await open();
    await shop.deliver([order('a')]);
  });

  test('holds what a dependency is down for, without waiting for real, until it is delivered again', async () => {
    let isDown = true;
    const dependent = defineConsumer({
      ...orderCount,
      handle: async (records, context) => {
        if (isDown) throw new MillraceError('DEPENDENCY_UNAVAILABLE', 'the price list is down');
        await orderCount.handle(records, context);
      },
    });
    const shop = await open(dependent);
    await expect(shop.deliver([order('a')])).rejects.toMatchObject({ code: 'BATCH_INCOMPLETE' });
    await expect(assertNothingLost(shop)).rejects.toThrow(
      /offset 0 to be applied or a dead letter; it is not settled/,
    );
    isDown = false;
    expect(await shop.redeliver()).toMatchObject({ applied: 1 });
    await assertNothingLost(shop);
  });

  test('stops a handler that hangs, and dead-letters the record that is to blame', async () => {
    const hanging = defineConsumer({
      ...orderCount,
      timeoutMs: 1_000,
      retry: { attempts: 1 },
      handle: async (records, context) => {
        if (records.some(({ key }) => key === 'slow')) await new Promise(() => {});
        await orderCount.handle(records, context);
      },
    });
    const shop = await open(hanging);
    for (let tries = 0; tries < 5; tries++) {
      try {
        await (tries === 0 ? shop.deliver([order('slow'), order('b')]) : shop.redeliver());
        break;
      } catch (error) {
        expect(error).toMatchObject({ code: 'BATCH_INCOMPLETE' });
      }
    }
    await assertDeadLettered(shop, [{ code: 'HANDLER_TIMEOUT', key: 'slow' }]);
    expect(await shop.query(ALL_COUNTS)).toEqual([{ id: 'b', orders: 1, pieces: 1 }]);
  });

  describe.each(['sqs', 'kafka'] as const)('with dead letters in %s', (deadLetter) => {
    let isMended = false;
    const consumer = defineConsumer({
      ...orderCount,
      deadLetter,
      handle: async (records, context) => {
        const mended = records.map((each) =>
          isMended && each.value.pieces < 0 ? { ...each, value: { ...each.value, pieces: 1 } } : each,
        );
        await orderCount.handle(mended, context);
      },
    });
    let shop: Harness<Order>;
    beforeAll(async () => {
      shop = await harness(consumer);
    });
    afterAll(() => shop.close());

    test('dead-letters what fails, and gives it back', async () => {
      await shop.deliver([order('a'), order('b', -1), order('c', 0), poison('d'), tombstone('e')]);
      await assertNothingLost(shop);
      await assertDeadLettered(shop, [
        { code: 'HANDLER_FAILED', key: 'b' },
        { code: 'HANDLER_REJECTED', key: 'c' },
        { code: 'FRAME_UNKNOWN' },
        { code: 'VALUE_MISSING', key: 'e' },
      ]);
      expect(await shop.redrive()).toEqual({
        applied: 0,
        alreadyApplied: 0,
        failedAgain: 4,
        overtaken: 0,
        returned: 0,
      });
      const again = await shop.deadLetters();
      expect(again.find(({ failure }) => failure.code === 'HANDLER_FAILED')?.failure.attempts).toBe(6);
      isMended = true;
      const redriven = await shop.redrive(({ failure }) => failure.code === 'HANDLER_FAILED');
      expect(redriven).toEqual({ applied: 1, alreadyApplied: 0, failedAgain: 0, overtaken: 0, returned: 0 });
      await assertNothingLost(shop);
      await assertEffectsOnce(shop, ALL_COUNTS);
      expect(await shop.deadLetters()).toHaveLength(3);
    });
  });
});

describe('faults', () => {
  test.each(FAULTS)('%s: effects apply once, and nothing is lost', async (fault) => {
    const shop = await open();
    const delivery = await shop.deliver(
      [order('a'), order('b', 0), order('a', 2), order('c', -1), poison('a'), order('a', 3)],
      { faults: [fault] },
    );
    expect(delivery.invocations).toBe(2);
    expect(await shop.query(ALL_COUNTS)).toEqual([{ id: 'a', orders: 3, pieces: 6 }]);
    await assertNothingLost(shop);
    await assertEffectsOnce(shop, ALL_COUNTS);
    await assertDeadLettered(shop, [
      { code: 'HANDLER_REJECTED', key: 'b' },
      { code: 'HANDLER_FAILED', key: 'c' },
      { code: 'FRAME_UNKNOWN', key: 'a' },
    ]);
  });

  test.each<[Fault, number, number]>([
    ['duplicate', 1, 1],
    ['crash-before-commit', 2, 0],
    ['crash-after-commit', 1, 1],
    ['slow-sink', 2, 0],
    ['sink-down', 1, 0],
    ['dead-letters-down', 2, 1],
  ])('%s does what it says: %i calls of the handler, %i duplicates', async (fault, calls, duplicates) => {
    let called = 0;
    const counted = defineConsumer({
      ...orderCount,
      handle: async (records, context) => {
        called += records.length;
        await orderCount.handle(records, context);
      },
    });
    const shop = await open(counted);
    const delivered = await shop.deliver([order('a'), poison('a')], { faults: [fault] });
    expect({ called, duplicates: delivered.duplicates }).toEqual({ called: calls, duplicates });
  });

  test('any records under any faults: nothing is lost, and what is applied is applied once, in order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(recordsOf(orders).any, { maxLength: 6 }), { maxLength: 3 }),
        fc.array(fc.constantFrom(...FAULTS), { maxLength: 3 }),
        async (batches, faults) => {
          const shop = await harness(orderCount);
          try {
            for (const batch of batches) await shop.deliver(batch, { faults });
            await assertNothingLost(shop);
            await assertEffectsOnce(shop, ALL_COUNTS);
            const lines = await shop.query<{ partition: number; record_offset: number }>(
              'SELECT partition, record_offset FROM order_line ORDER BY at',
            );
            if (!faults.includes('discarded')) {
              assertOrderPerKey(lines, {
                key: ({ partition }) => partition,
                of: (line) => line.record_offset,
              });
            }
          } finally {
            await shop.close();
          }
        },
      ),
      { numRuns: 10 },
    );
  });
});

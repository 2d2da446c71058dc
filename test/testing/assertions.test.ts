import { afterEach, describe, expect, test } from '@jest/globals';
import { defineConsumer } from '../../runtime/delivery/consumer.ts';
import {
  type AnyHarness,
  assertDeadLettered,
  assertEffectsOnce,
  assertNothingLost,
  assertOrderPerKey,
  type Harness,
  harness,
  poison,
} from '../../testing/index.ts';
import { ALL_COUNTS, type Order, order, orderCount } from './orders.ts';

const opened: AnyHarness[] = [];
afterEach(async () => {
  for (const each of opened.splice(0)) await each.close();
});

async function open(consumer = orderCount): Promise<Harness<Order>> {
  const made = await harness(consumer);
  opened.push(made);
  return made;
}

test('effects once: tells a handler whose effects depend on how often it runs', async () => {
  let calls = 0;
  const impure = defineConsumer({
    ...orderCount,
    handle: async (records, { tx }) => {
      calls++;
      for (const { value } of records)
        await tx.query('INSERT INTO order_count VALUES ($1, $2, 0)', [value.id, calls]);
    },
  });
  const shop = await open(impure);
  await shop.deliver([order('a')], { faults: ['crash-before-commit'] });
  await expect(assertEffectsOnce(shop, ALL_COUNTS)).rejects.toThrow(
    /^Effects once: 1 records are applied, .* Row 0 .* is {"id":"a","orders":2,"pieces":0}; expected {"id":"a","orders":3/,
  );
});

test('effects once: tells a row too many and a row too few', async () => {
  const shop = await open();
  await shop.deliver([order('a')]);
  await shop.query("INSERT INTO order_count VALUES ('z', 1, 1)");
  await expect(assertEffectsOnce(shop, ALL_COUNTS)).rejects.toThrow(/Row 1 .*"z".*; expected no such row/);
  await shop.query('DELETE FROM order_count');
  await expect(assertEffectsOnce(shop, ALL_COUNTS)).rejects.toThrow(
    /Row 0 .* is missing; expected {"id":"a"/,
  );
});

test('nothing lost: tells a dead letter that was removed, and offsets that were skipped', async () => {
  const shop = await open();
  await shop.deliver([poison('a')]);
  await assertNothingLost(shop);
  const emptied = { ...shop, deadLetters: async () => [] };
  await expect(assertNothingLost(emptied)).rejects.toThrow(/a hole in the ledger without a dead letter/);
  const [ledger] = await shop.ledger();
  const hole = { from: 0, to: 1 };
  const skipped = { ...shop, ledger: async () => [{ ...ledger!, deadLettered: [], skipped: [hole] }] };
  await expect(assertNothingLost(skipped)).rejects.toThrow(/it is skipped. Deliver it again with redeliver/);
});

test('dead-lettered: says what was expected and what there is', async () => {
  const shop = await open();
  await assertDeadLettered(shop, []);
  await shop.deliver([order('a', 0), poison('b')]);
  const rejected = { code: 'HANDLER_REJECTED', key: 'a' } as const;
  await assertDeadLettered(shop, [{ code: 'FRAME_UNKNOWN' }, rejected]);
  await expect(assertDeadLettered(shop, [rejected])).rejects.toThrow(
    /expected 1: HANDLER_REJECTED of key "a"; got 2: .*FRAME_UNKNOWN of key "b" at partition \d, offset 0/,
  );
  await expect(assertDeadLettered(shop, [rejected, rejected])).rejects.toThrow(/expected 2/);
  await expect(assertDeadLettered(shop, [])).rejects.toThrow(/expected none; got 2/);
});

describe('order per key', () => {
  const by = { key: ({ id }: { id: string }) => id, of: ({ at }: { at: number }) => at };

  test('takes rows whose keys are mixed, and equal values', () => {
    assertOrderPerKey(
      [
        { id: 'a', at: 2 },
        { id: 'b', at: 1 },
        { id: 'a', at: 2 },
        { id: 'b', at: 3 },
      ],
      by,
    );
  });

  test('tells a value that goes down within a key', () => {
    const rows = [
      { id: 'a', at: 2 },
      { id: 'b', at: 3 },
      { id: 'a', at: 1 },
    ];
    expect(() => assertOrderPerKey(rows, by)).toThrow(
      'Order per key: key "a" has 1 in row 2, after 2 in row 0; expected no value to go down within a key.',
    );
  });
});

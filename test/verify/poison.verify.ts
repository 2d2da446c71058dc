/** With parts of its own, a Kafka and a PostgreSQL, which are killed too. The long form has half a million records. */
import { expect, jest, test } from '@jest/globals';
import { poisonOrders } from './poison-of-orders.ts';

jest.setTimeout(900_000);

test('20,000 changes of orders, some of which fail, come out in their order through kills and redrives', async () => {
  const run = await poisonOrders(20_000, 3, 7);
  expect(run).toMatchObject({ missing: [], extra: [], waitingKeys: 0, letters: 0, parkedRows: 0 });
  expect(run.audit).toEqual({
    unaccounted: 0,
    applied: run.records - run.junk,
    parked: 0,
    discarded: run.junk,
  });
  expect(run.records).toBe(20_000 + run.junk);
  expect(run.copies).toBeGreaterThan(100);
  expect(run.middle.parked).toBeGreaterThan(100);
  expect(run.redrivenInTheMiddle).toBeGreaterThan(0);
});

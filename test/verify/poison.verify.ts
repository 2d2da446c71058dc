/** With parts of its own, a Kafka and a PostgreSQL, which are killed too. The long form has half a million records. */
import { expect, jest, test } from '@jest/globals';
import { expectInOrder, poisonOrders } from './poison-of-orders.ts';

jest.setTimeout(900_000);

test('20,000 changes of orders, some of which fail, come out in their order through kills and redrives', async () => {
  const run = await poisonOrders(20_000, 3, 7);
  expectInOrder(run, 20_000);
  expect(run.copies).toBeGreaterThan(100);
  expect(run.middle.parked).toBeGreaterThan(100);
});

/** With parts of its own, a Kafka and a PostgreSQL, which are killed too. */
import { expect, jest, test } from '@jest/globals';
import { expectInOrder, poisonOrders } from './poison-of-orders.ts';

jest.setTimeout(3_600_000);

test('500,000 changes of orders, some of which fail, come out in their order through 20 kills and redrives', async () => {
  const run = await poisonOrders(500_000, 20, 8);
  expectInOrder(run, 500_000);
  expect(run.rewound).toBeGreaterThan(10_000);
  expect(run.copies).toBeGreaterThan(4_000);
  expect(run.middle.parked).toBeGreaterThan(5_000);
});

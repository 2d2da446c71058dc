/** The examples are projects of their own; here their contracts are checked and their consumers run. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createContractSchemaRegistry } from '../adapters/contract-schema-registry.ts';
import { checkContracts } from '../adapters/files/contract-files.ts';
import { ledgerMigrations } from '../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../adapters/postgres/migrate.ts';
import { pgliteDriver } from '../adapters/postgres/pglite-driver.ts';
import { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import { createSeededRandom } from '../adapters/system/seeded-random.ts';
import type { Reading } from '../examples/minimal/contracts/greenhouse.readings/schema.ts';
import greenhouse from '../examples/minimal/millrace.config.ts';
import type { Order } from '../examples/orders/contracts/shop.orders/schema.ts';
import shop from '../examples/orders/millrace.config.ts';
import type { Payment } from '../examples/powertools-migrated/contracts/bank.payments/schema.ts';
import bank from '../examples/powertools-migrated/millrace.config.ts';
import { createGeneratedTraffic } from '../local/publishing/generated-traffic.ts';
import type { App } from '../runtime/app.ts';
import { createEngine } from '../runtime/delivery/engine.ts';
import type { Outcome } from '../runtime/delivery/item.ts';
import { createPublish } from '../runtime/publish/publish.ts';
import { createFakeClock } from '../testing/fake-clock.ts';
import { createMemoryDeadLetters } from '../testing/memory-dead-letters.ts';
import { createMemoryLog } from '../testing/memory-log.ts';
import { createPglite } from './prepared-pglite.ts';

interface Example {
  readonly folder: string;
  readonly app: App;
  /** What the consumer's tables hold, as the database gives it. */
  readonly sql: string;
  /** The same, from the values that were published. */
  readonly expected: (values: readonly never[]) => readonly object[];
  readonly deadLettered: (values: readonly never[]) => number;
  /** Values that are published besides the generated ones. */
  readonly besides?: readonly object[];
}

const none = () => 0;

const EXAMPLES: readonly Example[] = [
  {
    folder: 'minimal',
    app: greenhouse,
    sql: `SELECT sensor_id AS id, (extract(epoch FROM measured_at) * 1000)::float8 AS at
          FROM latest_reading ORDER BY sensor_id COLLATE "C"`,
    expected: (readings: readonly Reading[]) =>
      lastOf(readings, ({ sensorId }) => sensorId).map(({ sensorId, measuredAt }) => ({
        id: sensorId,
        at: measuredAt,
      })),
    deadLettered: none,
  },
  {
    folder: 'orders',
    app: shop,
    sql: `SELECT order_id AS id, customer_id AS customer,
            coalesce(json_agg(product_id ORDER BY line) FILTER (WHERE line IS NOT NULL), '[]')::text AS products
          FROM purchase LEFT JOIN order_line USING (order_id) GROUP BY order_id ORDER BY order_id COLLATE "C"`,
    expected: (orders: readonly Order[]) =>
      lastOf(orders, ({ orderId }) => orderId).map(({ orderId, customer, lines }) => ({
        id: orderId,
        customer: customer.customerId,
        products: `[${lines.map(({ productId }) => JSON.stringify(productId)).join(', ')}]`,
      })),
    deadLettered: none,
  },
  {
    folder: 'powertools-migrated',
    app: bank,
    sql: `SELECT account_id AS id, cents::float8 AS cents FROM account_balance ORDER BY account_id COLLATE "C"`,
    expected: (payments: readonly Payment[]) =>
      lastOf(
        payments.filter(({ cents }) => cents !== 0),
        ({ accountId }) => accountId,
      ).map(({ accountId }) => ({
        id: accountId,
        cents: payments
          .filter((other) => other.accountId === accountId)
          .reduce((sum, { cents }) => sum + cents, 0),
      })),
    besides: [{ paymentId: 'p-0', accountId: 'accountId-0', cents: 0, bookedAt: 0 } satisfies Payment],
    deadLettered: (payments: readonly Payment[]) => payments.filter(({ cents }) => cents === 0).length,
  },
];

/** The last value of each key, in the order of the keys. */
function lastOf<Value>(values: readonly Value[], keyOf: (value: Value) => string): readonly Value[] {
  const last = new Map(values.map((value) => [keyOf(value), value]));
  return [...last.keys()].sort().map((key) => last.get(key)!);
}

const pglite = createPglite();
const driver = pgliteDriver(pglite);
const sink = new PostgresSink(driver);
beforeAll(() => migrate(driver, 'millrace', ledgerMigrations));
afterAll(() => pglite.close());

test('every example is here, and has a short README', () => {
  const folders = readdirSync('examples', { withFileTypes: true }).filter((entry) => entry.isDirectory());
  expect(folders.map(({ name }) => name).sort()).toEqual(EXAMPLES.map(({ folder }) => folder).sort());
  for (const { name } of folders) {
    expect(
      readFileSync(`examples/${name}/README.md`, 'utf8').trimEnd().split('\n').length,
    ).toBeLessThanOrEqual(40);
  }
});

test.each(EXAMPLES)('the contracts of $folder have no problem', async ({ folder, app }) => {
  expect(await checkContracts(`examples/${folder}/contracts`, app.contracts)).toEqual([]);
});

test.each(EXAMPLES)(
  'the functions of $folder stand in folders with the names of its consumers',
  ({ folder, app }) => {
    for (const { name } of app.consumers) {
      expect(existsSync(`examples/${folder}/lambdas/${name}/consumer.ts`)).toBe(true);
    }
  },
);

test.each(EXAMPLES)(
  '$folder applies generated events once, also those that are delivered again',
  async (example) => {
    const { app, sql, expected, deadLettered, besides = [] } = example;
    const consumer = app.consumers[0]!;
    const contract = app.contracts[0]!;
    const clock = createFakeClock();
    const log = createMemoryLog({ clock });
    await log.createTopic(contract.name, contract.partitions);
    await migrate(driver, consumer.name, consumer.migrations);
    const registry = createContractSchemaRegistry(app.contracts);
    const traffic = createGeneratedTraffic(contract, createSeededRandom(7));
    // In the order of their times, as a producer sends them.
    const generated = Array.from({ length: 400 }, (_, n) => traffic.next(clock.now() + n * 1_000));
    const values = [...besides, ...generated] as never[];
    const { refused } = await createPublish(contract, { registry, producer: log })(values);
    expect(refused).toEqual([]);

    const deadLetters = createMemoryDeadLetters({ clock });
    const quiet = () => {};
    const engine = createEngine(consumer, {
      clock,
      random: createSeededRandom(8),
      registry,
      sink,
      deadLetters,
      log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
      metrics: { report: quiet, reportRedrive: quiet },
    });
    const invocation = {
      requestId: 'r1',
      functionName: consumer.name,
      functionVersion: '1',
      remainingMs: () => 60_000,
    };
    const deliverAll = async (maxRecords: number) => {
      const outcomes: Outcome[] = [];
      for (let partition = 0; partition < contract.partitions; partition++) {
        for (let from = 0; ; from += maxRecords) {
          const records = await log.read({ topic: contract.name, partition }, from, maxRecords);
          if (records.length === 0) break;
          outcomes.push(...(await engine.deliver(records, invocation)).outcomes);
        }
      }
      return outcomes;
    };
    const count = (outcomes: readonly Outcome[], of: Outcome) =>
      outcomes.filter((each) => each === of).length;
    const first = await deliverAll(40);
    expect(count(first, 'deadLettered')).toBe(deadLettered(values));
    expect(count(first, 'applied')).toBe(values.length - deadLettered(values));
    // In other batches than before.
    const again = await deliverAll(70);
    expect(count(again, 'duplicate')).toBe(count(first, 'applied'));
    const { rows } = await sink.transaction(({ tx }) => tx.query(sql));
    expect(rows).toEqual(expected(values));
    expect(rows.length).toBeGreaterThan(10);
  },
);

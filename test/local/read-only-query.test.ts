import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { migrateTables } from '../../adapters/postgres/consumer-schema.ts';
import { createPostgresGenerations } from '../../adapters/postgres/generations.ts';
import { ledgerMigrations } from '../../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../../adapters/postgres/migrate.ts';
import { pgliteDriver } from '../../adapters/postgres/pglite-driver.ts';
import { queryReadOnly, SANDBOX, TABLES } from '../../local/read-only-query.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { editorialAnalytics } from '../fixtures/newsdesk/lambdas/editorial-analytics/consumer.ts';
import { createPglite } from '../prepared-pglite.ts';

const pglite = createPglite();
beforeAll(
  () => pglite.exec(`CREATE TABLE kept (n int); INSERT INTO kept VALUES (1), (2); ${SANDBOX}`),
  30_000,
);
afterAll(() => pglite.close());

test('gives columns and rows, two columns of one name too', async () => {
  expect(await queryReadOnly(pglite, 'select n, n from kept order by n')).toEqual({
    columns: ['n', 'n'],
    rows: [
      [1, 1],
      [2, 2],
    ],
  });
});

test.each([
  ['sum(n)', 3],
  ['sum(n::bigint)', 3],
  ['count(*)', 2],
  ['9007199254740991::bigint', 9007199254740991],
  ['9007199254740993::bigint', '9007199254740993'],
  ['9007199254740993::numeric', '9007199254740993'],
  ['1.50::numeric', '1.50'],
  ['0.5::float8', 0.5],
  ['7::smallint', 7],
  ['true', true],
  ['null::text', null],
  ['\'{"a":[1]}\'::jsonb', { a: [1] }],
  ["timestamptz '2015-05-17 10:05:00+00'", '2015-05-17 10:05:00+00'],
  ["'{1,2}'::int[]", '{1,2}'],
])('%s is %j', async (expression, value) => {
  expect((await queryReadOnly(pglite, `select ${expression} from kept limit 1`)).rows).toEqual([[value]]);
});

describe('INPUT_INVALID', () => {
  test.each([
    ['delete from kept', /looking at tables only/],
    ['drop table kept', /looking at tables only/],
    ['with gone as (delete from kept returning n) select * from gone', /looking at tables only/],
    ["copy kept to '/tmp/kept'", /looking at tables only/],
    ["select pg_read_file('postgresql.conf')", /looking at tables only/],
    ['select 1; delete from kept', /several statements/],
    ['select * from nowhere', /relation "nowhere" does not exist/],
    ['selekt', /looking at tables only/],
    ['select from from', /syntax error/],
    ["do $$ begin reset role; copy (select 1) to '/tmp/kept'; end $$", /begins with SELECT/],
    ['call gone()', /begins with SELECT/],
    ['set role postgres', /begins with SELECT/],
    ['commit', /begins with SELECT/],
    ['/* select */ do $$ begin end $$', /begins with SELECT/],
    ['-- select\rdo $$ begin end; \nselect $$', /begins with SELECT/],
    ["select set_config('role', 'none', true)", /looking at tables only.*set_config/],
    ["explain analyze select set_config('role', 'none', true)", /looking at tables only.*set_config/],
    [
      "select query_to_xml('select set_config(''role'', ''none'', true)', true, true, '')",
      /looking at tables only.*set_config/,
    ],
    ['explain analyze delete from kept', /looking at tables only/],
  ])('%s', async (sql, message) => {
    await expect(queryReadOnly(pglite, sql)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringMatching(message),
    });
  });
});

test.each([
  '(select 1)',
  '-- the newest\nselect 1',
  'with a as (select 1) select * from a',
  'table kept',
  'values (1)',
])('runs %j', async (sql) => {
  expect((await queryReadOnly(pglite, sql)).rows.length).toBeGreaterThan(0);
});

test('shows a plan and a setting', async () => {
  expect((await queryReadOnly(pglite, 'explain select * from kept')).columns).toEqual(['QUERY PLAN']);
  expect((await queryReadOnly(pglite, 'show transaction_read_only')).rows).toEqual([['on']]);
});

describe('of a consumer with several generations', () => {
  const consumer: AnyConsumer = {
    ...editorialAnalytics,
    name: 'orders',
    migrations: [
      { name: '0001', sql: 'CREATE TABLE total (n int); CREATE VIEW twice AS SELECT 2 * n AS n FROM total' },
    ],
  };
  const driver = pgliteDriver(pglite);
  const store = createPostgresGenerations(driver);
  const names = async () => (await queryReadOnly(pglite, TABLES)).rows.map(([name]) => name);
  beforeAll(async () => {
    await migrate(driver, 'millrace', ledgerMigrations);
    await migrateTables(driver, consumer);
    await store.create(consumer, { id: 'r1', code: 'c1' });
    await pglite.exec('INSERT INTO orders.total VALUES (1); INSERT INTO "orders-g2".total VALUES (21)');
  }, 60_000);

  test('a table has the name that it always had, and is of the live one', async () => {
    const read = async () => (await queryReadOnly(pglite, 'select n, (select n from twice) from total')).rows;
    expect(await read()).toEqual([[1, 2]]);
    await store.promote(consumer, 2, { code: 'c1' });
    expect(await read()).toEqual([[21, 42]]);
  });

  test('each table is listed once, and one of a name that another consumer has, too, with its schema', async () => {
    const own = (await names()).filter((name) => !String(name).startsWith('millrace_'));
    expect(own).toEqual(['kept', 'total', 'twice']);
    await migrateTables(driver, { ...consumer, name: 'zoo' });
    expect((await names()).filter((name) => String(name).includes('total'))).toEqual([
      'total',
      '"zoo-reader".total',
    ]);
    expect((await queryReadOnly(pglite, 'select count(*) from "zoo-reader".total')).rows).toEqual([[0]]);
  });

  test('an error names the tables by those names', async () => {
    await expect(queryReadOnly(pglite, 'select 1 from totals')).rejects.toMatchObject({
      message: expect.stringMatching(/The tables are .*kept.*total.*twice/),
    });
    await expect(queryReadOnly(pglite, 'select 1 from totals')).rejects.not.toMatchObject({
      message: expect.stringContaining('orders-g2'),
    });
  });
});

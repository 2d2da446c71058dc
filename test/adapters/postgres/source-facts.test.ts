/** What `millrace capture check` reads from a real catalog, and that the SQL of `millrace capture sql` is what it wants. */
import type { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { readSourceFacts } from '../../../adapters/postgres/source-facts.ts';
import { checkSource } from '../../../runtime/capture/check.ts';
import { defineDatabase } from '../../../runtime/capture/database.ts';
import { CAPTURE_ROLE, captureSql } from '../../../runtime/capture/sql.ts';
import { capturedTables, defineTable } from '../../../runtime/capture/table.ts';
import { createPglite } from '../../prepared-pglite.ts';

const database = defineDatabase({ name: 'shop' });
const tables = capturedTables([
  defineTable({ database, table: 'orders', key: ['id'], columns: { id: 'bigint', note: 'text' } }),
]);
let pglite: PGlite;

beforeAll(async () => {
  pglite = await createPglite();
  await pglite.exec('CREATE TABLE orders (id bigint PRIMARY KEY, note text)');
});
afterAll(() => pglite.close());

const facts = () =>
  readSourceFacts(
    { query: async (sql, values = []) => ({ rows: (await pglite.query(sql, [...values])).rows as never }) },
    database,
    tables,
    CAPTURE_ROLE,
  );
const problems = async () =>
  checkSource(database, tables, await facts(), { role: CAPTURE_ROLE })
    .filter(({ verdict }) => verdict === 'problem')
    .map(({ subject, text }) => `${subject} ${text}`)
    // PGlite's log cannot be made logical.
    .filter((text) => !text.startsWith('server wal_level'));

test('after the SQL nothing is left to do, and after it again neither', async () => {
  expect(await problems()).not.toEqual([]);
  await pglite.exec(captureSql(database, tables));
  expect(await problems()).toEqual([]);
  await pglite.exec(captureSql(database, tables));
  expect(await problems()).toEqual([]);
});

test('where the server has rds_iam, the role needs it, and the SQL for RDS gives it', async () => {
  expect((await facts()).role?.hasRdsIam).toBe(null);
  await pglite.exec('CREATE ROLE rds_iam; CREATE ROLE rds_replication');
  expect((await problems()).join()).toContain('role millrace_capture lacks rds_iam');
  await pglite.exec(captureSql(database, tables, { onRds: true }));
  expect(await problems()).toEqual([]);
  expect((await facts()).role).toEqual({ canLogIn: true, canReplicate: true, hasRdsIam: true, lacks: [] });
});

test('the columns of INCLUDE are no part of the key, whose columns are in its order', async () => {
  const keyOf = async () => (await facts()).tables.find(({ table }) => table === 'orders')?.primaryKey;
  expect(await keyOf()).toEqual(['id']);
  await pglite.exec('ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (id) INCLUDE (note)');
  expect(await keyOf()).toEqual(['id']);
  expect(await problems()).toEqual([]);
  await pglite.exec('ALTER TABLE orders DROP CONSTRAINT orders_pkey, ADD PRIMARY KEY (note, id)');
  expect(await keyOf()).toEqual(['note', 'id']);
});

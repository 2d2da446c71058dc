/** Keys as the SQL of PostgreSQL and of the warehouses writes them. */
import type { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import type { WarehouseTarget } from '../../local/warehouse/python.ts';
import { keyText } from '../../local/warehouse/texts.ts';
import { defineDatabase } from '../../runtime/capture/database.ts';
import { defineTable } from '../../runtime/capture/table.ts';
import { createPglite } from '../prepared-pglite.ts';

const database = defineDatabase({ name: 'shop' });
let pglite: PGlite;
beforeAll(async () => {
  pglite = createPglite();
  await pglite.exec("SET timezone = 'UTC'");
});
afterAll(() => pglite.close());

const sqlOf = (types: readonly string[], target: WarehouseTarget = 'postgres') => {
  const columns = Object.fromEntries(types.map((type, at) => [`c${at}`, type]));
  const table = defineTable({ database, table: 'keys', key: Object.keys(columns), columns });
  return keyText(table, target, ({ name }) => name);
};
async function textOf(types: readonly string[], values: readonly string[]): Promise<string> {
  const row = types.map((type, at) => `'${values[at]}'::${type} AS c${at}`).join(', ');
  const { rows } = await pglite.query<{ key: string }>(
    `SELECT ${sqlOf(types)} AS key FROM (SELECT ${row}) r`,
  );
  return rows[0]!.key;
}

test.each([
  [['bytea'], [String.raw`\xAAbb`], 'aabb'],
  [['text'], ['a,b\\c'], 'a,b\\c'],
  [['char(4)'], ['ab'], 'ab'],
  [['double precision'], ['1'], '1'],
  [['double precision'], ['-0'], '0'],
  [['double precision'], ['0.5'], '0.5'],
  [['double precision'], ['NaN'], 'NaN'],
  [['timestamptz'], ['2026-11-27 04:00:00.500+01'], '2026-11-27 03:00:00.5+00'],
  [['bigint', 'text'], ['9007199254740993', "it''s"], "9007199254740993,it's"],
  [['bytea', 'bytea'], [String.raw`\xAA`, String.raw`\x2c`], 'aa,2c'],
])('a key of %j, %j, is %s', async (types, values, expected) => {
  expect(await textOf(types, values)).toBe(expected);
});

test('keys of several columns are never the same text unless they are the same key', async () => {
  const parts = ['', ',', '\\', 'a', 'a,', ',a', 'a\\', '\\,', 'a,b', ',,'];
  const pairs = parts.flatMap((a) => parts.map((b) => [a, b]));
  const texts = await Promise.all(pairs.map((pair) => textOf(['text', 'text'], pair)));
  expect(new Set(texts).size).toBe(pairs.length);
});

test('DuckDB and Snowflake write bytes and times as PostgreSQL does', () => {
  expect(sqlOf(['bytea'], 'duckdb')).toBe('lower(hex(c0))');
  expect(sqlOf(['bytea'], 'snowflake')).toBe('lower(hex_encode(c0))');
  expect(sqlOf(['timestamptz'], 'snowflake')).toBe(
    "rtrim(rtrim(to_varchar(convert_timezone('UTC', c0), 'YYYY-MM-DD HH24:MI:SS.FF6'), '0'), '.') || '+00'",
  );
});

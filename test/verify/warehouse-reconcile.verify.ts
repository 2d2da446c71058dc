/** `millrace warehouse` as a person runs it, on DuckDB, with a PostgreSQL that every value was read from. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { heartbeatOf } from '../../runtime/capture/table.ts';
import { millrace, millraceJson } from '../cli/millrace.ts';
import { part } from './part.ts';
import { heartbeatRow, KINDS, kinds, kindsRow, objectOf } from './warehouse-kinds.ts';
import { putObject } from './warehouse-source.ts';
import { sim, Warehouse } from './warehouse-targets.ts';

/** PostgreSQL's own way to write what Debezium wrote in JSON. */
const LITERALS: Readonly<Record<string, string>> = {
  tags: String.raw`'{a,"b,c",NULL,"\"q\""}'`,
  numbers: "'{9007199254740993,-1}'",
  none: "'{}'",
};

describe('millrace warehouse', () => {
  const url = part('MILLRACE_TEST_POSTGRES');
  const source = new pg.Client({ connectionString: url });
  const warehouse = new Warehouse('postgres', [kinds]);
  const { folder, archive } = warehouse;
  const reconcile = (...more: readonly string[]) =>
    millrace(['warehouse', 'reconcile', 'kinds', '--source', url, '--timeout', '20', ...more], '', folder);

  beforeAll(async () => {
    await source.connect();
    const columns = Object.entries(KINDS).map(
      ([name, [type]]) => `"${name}" ${type === 'enum' ? 'mood' : type}`,
    );
    await source.query("create type mood as enum ('happy', 'sad')");
    await source.query(
      `create table kinds (id bigint, part text, ${columns.join(', ')}, primary key (id, part))`,
    );
    const values = Object.entries(KINDS).map(([name, [type, , duckdb, postgres]]) => {
      const text = postgres === undefined ? duckdb : postgres;
      const literal = LITERALS[name] ?? (text === null ? 'null' : pg.escapeLiteral(text));
      return `${literal}::${type === 'enum' ? 'mood' : type}`;
    });
    await source.query(`insert into kinds values (9007199254740993, 'it''s', ${values.join(', ')})`);
    putObject(archive, objectOf(kinds, 0), [kindsRow(kinds, 0, 'c', KINDS)]);
    // A position that the source will not reach while this runs.
    putObject(archive, objectOf(heartbeatOf(sim), 0), [heartbeatRow(1, 2 ** 50)]);
    const sources = join(process.cwd(), 'runtime');
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
    writeFileSync(
      join(folder, 'millrace.config.ts'),
      `import { defineApp } from '${sources}/app.ts';
import { defineArchive } from '${sources}/archive/archive.ts';
import { defineDatabase } from '${sources}/capture/database.ts';
import { defineTable } from '${sources}/capture/table.ts';
const database = defineDatabase({ name: 'sim' });
const columns = ${JSON.stringify({ id: 'bigint', part: 'text', ...Object.fromEntries(Object.entries(KINDS).map(([name, [type]]) => [name, type])) })};
const table = defineTable({ database, table: 'kinds', key: ['id', 'part'], columns });
export default defineApp({
  name: 'sim', contracts: [], consumers: [defineArchive({ table, windowMs: 0 })], environments: {},
  tables: [table],
});
`,
    );
    await warehouse.prepare();
    rmSync(warehouse.project, { recursive: true });
  }, 400_000);
  afterAll(async () => {
    await source.query('drop table kinds; drop type mood').finally(() => source.end());
    rmSync(folder, { recursive: true });
  });

  test('generate writes once, and leaves what a person has changed', async () => {
    const first = await millraceJson(['warehouse', 'generate'], '', folder);
    expect(first.written).toContain('models/current/kinds.sql');
    const second = await millrace(['warehouse', 'generate'], '', folder);
    expect(second.stdout).toContain('nothing to write');
    const model = join(folder, 'dbt/models/current/kinds.sql');
    const text = readFileSync(model, 'utf8');
    writeFileSync(model, `${text}-- ours\n`);
    expect((await millrace(['warehouse', 'generate'], '', folder)).stdout).toContain(
      'kept     models/current/kinds.sql',
    );
    expect(readFileSync(model, 'utf8')).toBe(`${text}-- ours\n`);
  });

  test('run loads, builds and tests, and says how fresh the tables are', async () => {
    const report = await millraceJson(
      ['warehouse', 'run', '--archive', 'archive', '--dbt', warehouse.dbt],
      '',
      folder,
    );
    expect(report).toMatchObject({ target: 'duckdb', objects: 2, rows: 2, models: 6 });
    expect(report.freshnessMs).toBeGreaterThan(0);
    const again = await millrace(
      ['warehouse', 'run', '--archive', 'archive', '--dbt', warehouse.dbt],
      '',
      folder,
    );
    expect(again.code).toBe(0);
    expect(again.stdout).toMatch(/duckdb: 0 rows loaded, 6 models built, \d+ tests run/);
  }, 400_000);

  test('every value of every type equals the source', async () => {
    const { code, stdout, stderr } = await reconcile('--dbt', warehouse.dbt);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(stdout).toContain('1 of 1 ranges of keys alike');
  });

  test('rows that differ are named, their values only when asked for', async () => {
    await source.query("update kinds set mood = 'sad', numbers = '{1}'");
    await source.query("insert into kinds (id, part) values (2, 'secret')");
    const { code, stdout, stderr } = await reconcile('--dbt', warehouse.dbt);
    expect(code).toBe(1);
    expect(stdout).toContain("different  9007199254740993,it's: numbers, mood");
    expect(stdout).toContain('missing    2,secret');
    expect(stdout).not.toContain('sad');
    expect(stderr).toContain('WAREHOUSE_DIFFERS');
    const shown = await reconcile('--dbt', warehouse.dbt, '--json', '--show-values');
    expect(shown.code).toBe(1);
    const result = JSON.parse(shown.stdout);
    expect(result).toMatchObject({ missing: 1, extra: 0, different: 1, changing: 0 });
    expect(JSON.stringify(result.first)).toContain('sad');
  }, 200_000);

  test('a warehouse without the table is refused, not equal', async () => {
    const query = [
      'warehouse',
      'reconcile',
      'kinds',
      '--source',
      url,
      '--timeout',
      '1',
      '--dbt',
      warehouse.dbt,
    ];
    rmSync(join(folder, 'dbt/warehouse.duckdb'));
    const { code, stderr } = await millrace(query, '', folder);
    expect(code).toBe(1);
    expect(stderr).toContain('WAREHOUSE_FAILED');
  });
});

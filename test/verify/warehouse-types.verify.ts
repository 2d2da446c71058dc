/** Values, restored databases and new columns, on real dbt with DuckDB and PostgreSQL. */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineTable, heartbeatOf } from '../../runtime/capture/table.ts';
import { type Contract, defineTopic } from '../../runtime/contract/contract.ts';
import { heartbeatRow, KINDS, kinds, kindsRow, objectOf } from './warehouse-kinds.ts';
import { putObject, SimulatedTable, TODAY, type Values } from './warehouse-source.ts';
import { sim, Warehouse } from './warehouse-targets.ts';

const columns = { id: 'bigint', title: 'text', note: 'text', amount: 'numeric(38,9)' };
const tableNamed = (name: string, more: Readonly<Record<string, string>> = {}) =>
  defineTable({ database: sim, table: name, key: ['id'], partitions: 3, columns: { ...columns, ...more } });

const visits = defineTopic({
  name: 'web.visits',
  owner: 'web',
  key: 'id',
  versions: [
    {
      version: 1,
      schema: {
        type: 'record',
        name: 'Visit',
        fields: [
          { name: 'id', type: 'string' },
          { name: 'at', type: { type: 'long', logicalType: 'timestamp-millis' } },
          { name: 'reader', type: ['null', 'string'], default: null },
          { name: 'parts', type: { type: 'array', items: 'string' } },
          { name: 'bytes', type: 'bytes' },
          { name: 'total', type: 'long' },
        ],
      },
    },
  ],
}) as Contract<never>;

// PostgreSQL is MILLRACE_TEST_POSTGRES.
describe.each(['duckdb', 'postgres'] as const)('the warehouse on %s', (target) => {
  const names = ['restored', 'emptied', 'altered', 'by_offset'];
  const warehouse = new Warehouse(target, [kinds, ...names.map((name) => tableNamed(name))], [visits]);
  const [restored, emptied, altered, byOffset] = names.map(
    (name) => new SimulatedTable(tableNamed(name), warehouse.archive),
  ) as [SimulatedTable, SimulatedTable, SimulatedTable, SimulatedTable];
  const strategy = { millrace_strategies: { by_offset: 'max-offset' } };

  beforeAll(async () => {
    await warehouse.prepare();
    // Types come from PostgreSQL's own names; an interval as text has a style.
    putObject(warehouse.archive, objectOf(kinds, 0), [
      kindsRow(kinds, 0, 'c', KINDS),
      kindsRow(kinds, 1, 'u', KINDS),
    ]);
    const [first, second] = [visit(0, '"reader-1"'), visit(1, 'null')];
    const folderOf = `topics/web.visits/1/p0/${TODAY}/`;
    putObject(warehouse.archive, `${folderOf}${'0'.repeat(20)}.jsonl.gz`, [first, second]);
    putObject(warehouse.archive, `${folderOf}${'0'.repeat(20)}_000001.jsonl.gz`, [second]);
    for (const table of [restored, emptied, altered, byOffset]) fill(table);
    for (const table of [restored, emptied, altered]) table.archive();
    for (let id = 1; id <= 6; id++) byOffset.update(id, { title: 'newer' });
    byOffset.archive();
    await warehouse.build(strategy);
  }, 400_000);
  afterAll(() => rmSync(warehouse.folder, { recursive: true }));

  const found = async (name: string, more = '') =>
    warehouse.rows(`select id, title${more} from analytics.${name} order by id`);

  test('every type arrives digit for digit, and what it cannot hold stands beside the row', async () => {
    const expressions = Object.entries(KINDS).map(([name, [type]]) => {
      const column = `"${name.toLowerCase()}"`;
      return type.endsWith('[]') ? `cast(to_json(${column}) as varchar)` : `cast(${column} as varchar)`;
    });
    const rows = await warehouse.rows(`select ${expressions.join(', ')}, _cdc_specials from analytics.kinds`);
    const expected = Object.values(KINDS).map(([, , duckdb, postgres]) =>
      target === 'postgres' && postgres !== undefined ? postgres : duckdb,
    );
    expect(rows).toEqual([[...expected, target === 'postgres' ? null : 'nan=NaN; ']]);
  });

  test('an archived topic has each record once, with the fields of its contract', async () => {
    const names = ['_partition', '_offset', 'id', 'at', 'reader', 'parts', 'bytes', 'total'];
    const texts = names.map((name) => `cast("${name}" as varchar)`);
    const rows = await warehouse.rows(
      `select ${texts.join(', ')} from analytics_staging.stg_web_visits order by _offset`,
    );
    const bytes = target === 'postgres' ? String.raw`\x0001ff` : String.raw`\x00\x01\xFF`;
    const rest = ['["a",{"b":1}]', bytes, '9007199254740993'];
    expect(rows).toEqual([
      ['0', '0', 'visit-0', '2026-11-27 00:00:00.123', 'reader-1', ...rest],
      ['0', '1', 'visit-1', '2026-11-27 00:00:00.123', null, ...rest],
    ]);
  });

  test('a restored database replaces rows at once and removes rows when its snapshot has ended', async () => {
    const backup = new Map<number, Values>([2, 3, 4, 20].map((id) => [id, valuesOf(`restored ${id}`)]));
    restored.restore(backup);
    restored.snapshot();
    restored.archive(() => 0.5);
    emptied.restore(new Map());
    await warehouse.build(strategy, false);
    expect(await found('restored')).toEqual(titlesOf(restored.expected()));
    expect(restored.expected().size).toBeGreaterThanOrEqual(6);

    restored.update(2, { title: 'changed since' });
    restored.archive();
    putObject(warehouse.archive, objectOf(heartbeatOf(sim), 0), [heartbeatRow(2)]);
    await warehouse.build(strategy, false);
    // The archive of a partition may be behind: nothing is taken away yet.
    expect(await found('restored')).toEqual(titlesOf(restored.expected()));
    expect(await found('emptied')).toHaveLength(6);

    await warehouse.build({ ...strategy, millrace_snapshot_grace_minutes: 0 }, false);
    expect(await found('restored')).toEqual(titlesOf(restored.expected(2)));
    expect((await found('restored')).map(([id]) => id)).toEqual(['2', '3', '4', '20']);
    expect(await found('emptied')).toEqual([]);
  }, 400_000);

  test('a new column is filled by an incremental snapshot, and max-offset shows older rows in a replay', async () => {
    byOffset.replay(12);
    byOffset.archive(() => 0.4);
    altered.update(1, { title: 'after the new column' });
    altered.archive();
    await warehouse.redeclare([
      kinds,
      ...names.map((name) => tableNamed(name, name === 'altered' ? { extra: 'text' } : {})),
    ]);
    await warehouse.build(strategy, false);
    expect(await found('by_offset')).not.toEqual(titlesOf(byOffset.expected()));
    expect((await found('altered', ', extra')).map((row) => row[2])).toEqual(Array(6).fill(null));

    altered.incrementalSnapshot({ extra: 'its default' });
    altered.archive();
    byOffset.archive();
    await warehouse.build(strategy, false);
    expect((await found('altered', ', extra')).map((row) => row[2])).toEqual(Array(6).fill('its default'));
    expect(await found('altered')).toEqual(titlesOf(altered.expected()));
    expect(await found('by_offset')).toEqual(titlesOf(byOffset.expected()));
  }, 400_000);
});

function visit(offset: number, reader: string): string {
  return (
    `{"topic":"web.visits","partition":0,"offset":${offset},"timestamp":1795000000000,"timestamp_type":"CREATE_TIME",` +
    `"source_epoch":null,"key":"visit-${offset}","headers":[],"schema_id":"1","value":{"id":"visit-${offset}",` +
    `"at":${Date.UTC(2026, 10, 27, 0, 0, 0, 123)},"reader":${reader},"parts":["a",{"b":1}],"bytes":"AAH/",` +
    '"total":9007199254740993},"raw":{"value":"AA=="}}'
  );
}

function valuesOf(title: string): Values {
  return { title, note: null, amount: '1.000000000' };
}

function fill(table: SimulatedTable): void {
  for (let id = 1; id <= 6; id++) table.insert(id, valuesOf(`first ${id}`));
}

function titlesOf(rows: ReadonlyMap<number, Values>): readonly (readonly (string | null)[])[] {
  return [...rows].sort(([a], [b]) => a - b).map(([id, { title }]) => [String(id), title]);
}

/** Values, restored databases and new columns, on real dbt with DuckDB and PostgreSQL. */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type CapturedTable, defineTable, heartbeatOf } from '../../runtime/capture/table.ts';
import { putObject, SimulatedTable, type Values } from './warehouse-source.ts';
import { sim, Warehouse } from './warehouse-targets.ts';

const columns = { id: 'bigint', title: 'text', note: 'text', amount: 'numeric(38,9)' };
const tableNamed = (name: string, more: Readonly<Record<string, string>> = {}) =>
  defineTable({ database: sim, table: name, key: ['id'], partitions: 3, columns: { ...columns, ...more } });

/** Each type with Debezium's JSON, and what stands in the warehouse then, as text. Where they differ: DuckDB, PostgreSQL. */
const KINDS: Readonly<
  Record<string, readonly [type: string, json: string, duckdb: string | null, postgres?: string | null]>
> = {
  big: ['bigint', '9007199254740993', '9007199254740993'],
  least: ['bigint', '-9223372036854775808', '-9223372036854775808'],
  exact: [
    'numeric(38,9)',
    '"12345678901234567890123456789.123456789"',
    '12345678901234567890123456789.123456789',
  ],
  tiny: ['numeric(38,9)', '"1E-9"', '0.000000001'],
  free: [
    'numeric',
    '"123456789012345678901234567890.1234567890123456789"',
    '123456789012345678901234567890.1234567890123456789',
  ],
  nan: ['numeric(38,9)', '"NAN"', null, 'NaN'],
  free_nan: ['numeric', '"NAN"', 'NaN'],
  real_nan: ['double precision', '"NaN"', 'nan', 'NaN'],
  real_infinity: ['double precision', '"-Infinity"', '-inf', '-Infinity'],
  tenth: ['double precision', '0.1', '0.1'],
  yes: ['boolean', 'true', 'true'],
  day: ['date', '"2026-02-28Z"', '2026-02-28'],
  caesar: ['date', '"-0043-03-15Z"', '0044-03-15 (BC)', '0044-03-15 BC'],
  summer: ['timestamp', '"2026-10-25T01:30:00.123456Z"', '2026-10-25 01:30:00.123456'],
  never: ['timestamp', '"+294247-01-10T04:00:25.2Z"', 'infinity'],
  long_ago: ['timestamp', '"-290308-12-21T19:59:27.6Z"', '-infinity'],
  moment: ['timestamptz', '"2026-10-25T00:30:00.123456Z"', '2026-10-25 00:30:00.123456+00'],
  always: ['timestamptz', '"-infinity"', '-infinity'],
  late: ['time', '"23:59:59.999999Z"', '23:59:59.999999'],
  lasting: ['interval', '"P1Y2M3DT4H5M6.78S"', 'P1Y2M3DT4H5M6.78S'],
  doc: ['jsonb', String.raw`"{\"a\": 9007199254740993}"`, '{"a": 9007199254740993}'],
  uid: ['uuid', '"0190f3c2-1b2c-7def-8123-456789abcdef"', '0190f3c2-1b2c-7def-8123-456789abcdef'],
  bytes: ['bytea', '"AAH/"', String.raw`\x00\x01\xFF`, String.raw`\x0001ff`],
  tags: ['text[]', String.raw`["a","b,c",null,"\"q\""]`, String.raw`["a","b,c",null,"\"q\""]`],
  numbers: ['bigint[]', '[9007199254740993,-1]', '[9007199254740993,-1]'],
  none: ['text[]', '[]', '[]'],
  mood: ['enum', '"happy"', 'happy'],
  order: ['integer', '7', '7'],
  createdAt: ['text', String.raw`"tab\there, \"quotes\", \\ and 🦆"`, 'tab\there, "quotes", \\ and 🦆'],
  missing: ['integer', 'null', null],
};

// PostgreSQL is MILLRACE_TEST_POSTGRES.
describe.each(['duckdb', 'postgres'] as const)('the warehouse on %s', (target) => {
  const kinds = defineTable({
    database: sim,
    table: 'kinds',
    key: ['id', 'part'],
    columns: {
      id: 'bigint',
      part: 'text',
      ...Object.fromEntries(Object.entries(KINDS).map(([name, [type]]) => [name, type])),
    },
  });
  const names = ['restored', 'emptied', 'altered', 'by_offset'];
  const warehouse = new Warehouse(target, [kinds, ...names.map((name) => tableNamed(name))]);
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

  test('a restored database replaces rows at once and removes rows when its snapshot has ended', async () => {
    const backup = new Map<number, Values>([2, 3, 4, 20].map((id) => [id, valuesOf(`restored ${id}`)]));
    restored.restore(backup);
    restored.snapshot();
    restored.archive(() => 0.5);
    emptied.restore(new Map());
    await warehouse.build(strategy);
    expect(await found('restored')).toEqual(titlesOf(restored.expected()));
    expect(restored.expected().size).toBeGreaterThanOrEqual(6);

    restored.update(2, { title: 'changed since' });
    restored.archive();
    putObject(warehouse.archive, objectOf(heartbeatOf(sim), 0), [heartbeatRow(2)]);
    await warehouse.build(strategy);
    // The archive of a partition may be behind: nothing is taken away yet.
    expect(await found('restored')).toEqual(titlesOf(restored.expected()));
    expect(await found('emptied')).toHaveLength(6);

    await warehouse.build({ ...strategy, millrace_snapshot_grace_minutes: 0 });
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
    await warehouse.build(strategy);
    expect(await found('by_offset')).not.toEqual(titlesOf(byOffset.expected()));
    expect((await found('altered', ', extra')).map((row) => row[2])).toEqual(Array(6).fill(null));

    altered.incrementalSnapshot({ extra: 'its default' });
    altered.archive();
    byOffset.archive();
    await warehouse.build(strategy);
    expect((await found('altered', ', extra')).map((row) => row[2])).toEqual(Array(6).fill('its default'));
    expect(await found('altered')).toEqual(titlesOf(altered.expected()));
    expect(await found('by_offset')).toEqual(titlesOf(byOffset.expected()));
  }, 400_000);
});

function valuesOf(title: string): Values {
  return { title, note: null, amount: '1.000000000' };
}

function fill(table: SimulatedTable): void {
  for (let id = 1; id <= 6; id++) table.insert(id, valuesOf(`first ${id}`));
}

function titlesOf(rows: ReadonlyMap<number, Values>): readonly (readonly (string | null)[])[] {
  return [...rows].sort(([a], [b]) => a - b).map(([id, { title }]) => [String(id), title]);
}

function objectOf(table: CapturedTable, partition: number): string {
  return `topics/${table.topic.name}/1/p${partition}/2026-11-27/${'0'.repeat(20)}.jsonl.gz`;
}

function rowOf(table: CapturedTable, offset: number, epoch: number, key: string, value: string): string {
  return (
    `{"topic":"${table.topic.name}","partition":0,"offset":${offset},"timestamp":1795000000000,` +
    `"timestamp_type":"CREATE_TIME","source_epoch":${epoch},"key":${JSON.stringify(key)},"headers":[],` +
    `"schema_id":null,"value":${value}}`
  );
}

function kindsRow(table: CapturedTable, offset: number, op: string, kinds: typeof KINDS): string {
  const fields = Object.entries(kinds).map(([name, [, json]]) => `"${name}":${json}`);
  const after = `{"id":9007199254740993,"part":"it's",${fields.join(',')}}`;
  return rowOf(table, offset, 1, '{"id":9007199254740993,"part":"it\'s"}', changeOf(op, after, 100 + offset));
}

function heartbeatRow(epoch: number): string {
  const after = '{"id":1,"beat_at":"2026-11-27T00:00:00Z"}';
  return rowOf(heartbeatOf(sim), 0, epoch, '{"id":1}', changeOf('u', after, 900));
}

function changeOf(op: string, after: string, lsn: number): string {
  return `{"before":null,"after":${after},"source":{"ts_ms":1795000000000,"snapshot":"false","lsn":${lsn}},"op":"${op}","ts_ms":1795000000000}`;
}

/** Columns, fields and tables whose names a warehouse or its models could take for their own, on real dbt with DuckDB. */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { defineDatabase } from '../../runtime/capture/database.ts';
import { defineTable, heartbeatOf } from '../../runtime/capture/table.ts';
import { type Contract, defineTopic } from '../../runtime/contract/contract.ts';
import { heartbeatRow, objectOf } from './warehouse-kinds.ts';
import { putObject, SimulatedTable, TODAY, type Values } from './warehouse-source.ts';
import { sim, Warehouse } from './warehouse-targets.ts';

/** Words of SQL, what the models call the record, and what they have called columns of their own. */
const NAMES = [
  ...['order', 'group', 'select', 'record', 'loaded_at', 'object', 'changes', 'p', 'e', 'text'],
  ...['place', 'kind', 'lsn', 'life', 'born', 'top', 'moved', 'epoch', 'truncated_at', 'is_stored'],
  ...['top_offset', 'top_position', 'ended_at', 'value_1', 'at_1', 'stored_1', 'row_number', 'position'],
];
const RECORDED_AT = 1_795_000_000_000;
/** Long values: a change that leaves one alone lacks it. */
const LONG_NAMES = ['note', 'value_2', 'at_2', 'stored_2'];

const places = defineTable({
  database: sim,
  table: 'places',
  key: ['id'],
  partitions: 3,
  columns: {
    id: 'bigint',
    title: 'text',
    amount: 'numeric(38,9)',
    ...Object.fromEntries(NAMES.map((name) => [name, 'bigint'])),
    ...Object.fromEntries(LONG_NAMES.map((name) => [name, 'text'])),
  },
});
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
        fields: ['id', ...NAMES, ...LONG_NAMES].map((name) => ({ name, type: 'string' })),
      },
    },
  ],
} as never) as Contract<never>;

/** Of a database that is new: nothing has been captured yet. */
const silent = defineTable({
  database: defineDatabase({ name: 'silent' }),
  table: 'pending',
  key: ['id'],
  columns: { id: 'bigint' },
});

const warehouse = new Warehouse('duckdb', [places, silent], [visits]);
const table = new SimulatedTable(places, warehouse.archive);

beforeAll(() => warehouse.prepare(), 300_000);
afterAll(() => rmSync(warehouse.folder, { recursive: true }));

/** Greater with each change, and then smaller: whichever a model would order by, one of the two would be wrong. */
const valuesOf = (number: number): Values =>
  ({
    title: `title ${number}`,
    amount: null,
    ...Object.fromEntries(NAMES.map((name, at) => [name, at % 2 === 0 ? number : -number])),
  }) as unknown as Values;
const longOf = (number: number): Values =>
  Object.fromEntries(LONG_NAMES.map((name) => [name, `${name} ${number}`])) as unknown as Values;

const quoted = [...NAMES, ...LONG_NAMES].map((name) => `"${name}"`).join(', ');
const rowOf = (number: number, long: number) => [
  ...NAMES.map((_, at) => String(at % 2 === 0 ? number : -number)),
  ...LONG_NAMES.map((name) => `${name} ${long}`),
];

test('a table shows its newest rows if its columns have names that the models use or SQL reserves', async () => {
  const found = () => warehouse.rows(`select id, ${quoted} from analytics.places order by id`);
  for (const id of [1, 2, 3, 4]) table.insert(id, { ...valuesOf(100), ...longOf(100) });
  table.update(1, { ...valuesOf(50), ...longOf(50) });
  table.archive();
  await warehouse.build();
  expect(await found()).toEqual([
    ['1', ...rowOf(50, 50)],
    ...['2', '3', '4'].map((id) => [id, ...rowOf(100, 100)]),
  ]);

  table.update(1, { ...valuesOf(75), ...longOf(75) });
  table.update(2, { ...valuesOf(300), ...longOf(300) });
  table.update(3, { ...valuesOf(-300), ...longOf(-300) });
  table.delete(4);
  table.replay(3);
  table.archive();
  await warehouse.build();
  expect(await found()).toEqual([
    ['1', ...rowOf(75, 75)],
    ['2', ...rowOf(300, 300)],
    ['3', ...rowOf(-300, -300)],
  ]);
}, 400_000);

test('an archived topic has each record once if its fields have such names', async () => {
  const record = (offset: number) =>
    JSON.stringify({
      topic: 'web.visits',
      partition: 0,
      offset,
      timestamp: RECORDED_AT,
      timestamp_type: 'CREATE_TIME',
      source_epoch: null,
      key: null,
      headers: [],
      schema_id: '1',
      value: Object.fromEntries(['id', ...NAMES, ...LONG_NAMES].map((name) => [name, `${name} ${offset}`])),
    });
  const at = (object: number) =>
    `topics/web.visits/1/p0/${TODAY}/${String(object).padStart(20, '0')}.jsonl.gz`;
  putObject(warehouse.archive, at(0), [record(0), record(1)]);
  await warehouse.build();
  putObject(warehouse.archive, at(1), [record(1), record(2)]);
  await warehouse.build();
  expect(
    await warehouse.rows(
      `select _offset, id, ${quoted} from analytics_staging.stg_web_visits order by _offset`,
    ),
  ).toEqual(
    [0, 1, 2].map((offset) => [
      String(offset),
      ...['id', ...NAMES, ...LONG_NAMES].map((name) => `${name} ${offset}`),
    ]),
  );
}, 400_000);

test('freshness is of the databases that have a heartbeat, and of topics where there are no tables', async () => {
  expect((await warehouse.build()).beatAt).toBeUndefined();
  putObject(warehouse.archive, objectOf(heartbeatOf(sim), 0), [heartbeatRow(1)]);
  expect((await warehouse.build()).beatAt).toBe(Date.UTC(2026, 10, 27));
  await warehouse.redeclare([]);
  expect((await warehouse.build()).beatAt).toBe(RECORDED_AT);
}, 400_000);

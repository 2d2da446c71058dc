/** Values, restored databases and new columns, on real dbt with DuckDB and PostgreSQL. */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { defineTable, heartbeatOf } from '../../runtime/capture/table.ts';
import { heartbeatRow, KINDS, kinds, kindsRow, objectOf } from './warehouse-kinds.ts';
import { putObject, SimulatedTable, type Values } from './warehouse-source.ts';
import { sim, Warehouse } from './warehouse-targets.ts';

const columns = { id: 'bigint', title: 'text', note: 'text', amount: 'numeric(38,9)' };
const tableNamed = (name: string, more: Readonly<Record<string, string>> = {}) =>
  defineTable({ database: sim, table: name, key: ['id'], partitions: 3, columns: { ...columns, ...more } });

// PostgreSQL is MILLRACE_TEST_POSTGRES.
describe.each(['duckdb', 'postgres'] as const)('the warehouse on %s', (target) => {
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

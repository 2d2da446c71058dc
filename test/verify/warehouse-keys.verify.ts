/** Random histories on DuckDB: keys change often, changes lack long values, and records come twice. */
import { rmSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { defineTable } from '../../runtime/capture/table.ts';
import type { Random } from '../../runtime/ports.ts';
import { SimulatedTable, type Values } from './warehouse-source.ts';
import { sim, Warehouse } from './warehouse-targets.ts';

const TABLES = 10;
const CHANGES = 40;
/** A run takes one link of a chain of changed keys. */
const MOST_RUNS = 6;

const declared = Array.from({ length: TABLES }, (_, at) =>
  defineTable({
    database: sim,
    table: `keys_${at}`,
    key: ['id'],
    partitions: 3,
    columns: { id: 'bigint', title: 'text', note: 'text', amount: 'numeric(38,9)' },
  }),
);
const warehouse = new Warehouse('duckdb', declared);
const histories = declared.map((table, at) => ({
  table: new SimulatedTable(table, warehouse.archive),
  random: createSeededRandom(at + 1),
}));

beforeAll(() => warehouse.prepare(), 300_000);
afterAll(() => rmSync(warehouse.folder, { recursive: true }));

let texts = 0;
/** A key that was left behind is never used again. */
let nextId = 1_000;

function change(table: SimulatedTable, random: Random): void {
  const ids = [...table.rows.keys()];
  const id = ids[Math.floor(random.next() * ids.length)];
  const title = `change ${++texts}`;
  const note = random.next() < 0.3 ? null : title.repeat(400);
  const dice = random.next();
  if (id === undefined || dice < 0.25) table.insert(nextId++, { title, note, amount: '0.000000000' });
  else if (dice < 0.5) table.update(id, { title });
  else if (dice < 0.58) table.update(id, { title, note });
  else if (dice < 0.64) table.delete(id);
  else if (dice < 0.86) table.changeKey(id, nextId++);
  else if (dice < 0.9) table.incrementalSnapshot();
  else if (dice < 0.95) table.replay(1 + Math.floor(random.next() * CHANGES));
  else if (dice < 0.96) table.widen(6);
}

test('every row has its values, however its key changed, a run for each link of a chain', async () => {
  for (let slice = 0; slice < 3; slice++) {
    for (const { table, random } of histories) {
      for (let at = 0; at < CHANGES; at++) change(table, random);
      table.archive(() => random.next());
    }
    await warehouse.build({}, false);
  }
  for (const { table } of histories) table.archive();
  let unlike: string[] = [];
  for (let run = 0; run < MOST_RUNS; run++) {
    await warehouse.build({}, false);
    // One after another: DuckDB's file has one process at a time.
    unlike = [];
    for (const { table } of histories) unlike.push(...(await differences(table)));
    if (unlike.length === 0) break;
  }
  expect(unlike).toEqual([]);
}, 600_000);

async function differences(table: SimulatedTable): Promise<readonly string[]> {
  const { name } = table.table;
  const found = new Map(
    (await warehouse.rows(`select id, title, note, cast(amount as varchar) from analytics.${name}`)).map(
      ([id, ...values]) => [Number(id), JSON.stringify(values)],
    ),
  );
  const expected = table.expected();
  const textOf = ({ title, note, amount }: Values) => JSON.stringify([title, note, amount]);
  return [
    ...[...expected]
      .filter(([id, values]) => found.get(id) !== textOf(values))
      .map(([id]) => `${name} ${id}`),
    ...[...found.keys()].filter((id) => !expected.has(id)).map((id) => `${name} ${id}, which is gone`),
  ];
}

/** Compares a table of the source with its mart, row by row and column by column. */
import type pg from 'pg';
import { qualified, quoted } from '../../runtime/capture/sql.ts';
import type { CapturedTable, Column } from '../../runtime/capture/table.ts';
import { canonicalText } from '../../runtime/warehouse/canonical.ts';
import { type ComparedRow, compareRows, hashOfKey } from '../../runtime/warehouse/compare.ts';
import { connectSource } from '../source-database.ts';
import { TEXTS } from '../warehouse/texts.ts';

export interface Difference {
  readonly rows: number;
  /** In the source, not in the mart. */
  readonly missing: number;
  /** In the mart, not in the source. */
  readonly extra: number;
  readonly different: number;
  /** Left out, because they are still changing. */
  readonly unsettled: number;
  /** The first that differ, as TABLE KEY COLUMN. */
  readonly examples: readonly string[];
}

type Texts = readonly (readonly (string | null)[])[];
/** Rows as texts. */
export type Query = (sql: string) => Promise<Texts>;

const EXAMPLES = 5;

/** @param isUnsettled leaves a row out, by table and key */
export async function compareTables(
  url: string,
  mart: Query,
  tables: readonly CapturedTable[],
  /** The mart's. */
  martSchema: string,
  isUnsettled: (table: string, key: string) => boolean = () => false,
): Promise<Difference> {
  const source = await connectSource(url);
  const total = { rows: 0, missing: 0, extra: 0, different: 0, unsettled: 0, examples: [] as string[] };
  try {
    await source.query("SET timezone = 'UTC'");
    for (const table of tables) {
      const expected = toRows(table, await sourceTexts(source, table));
      const actual = toRows(table, await mart(martSql(table, martSchema)));
      const unsettled = new Set(
        [...expected, ...actual].map(({ key }) => key).filter((key) => isUnsettled(table.name, key)),
      );
      const settled = (rows: readonly ComparedRow[]) =>
        inOrder(rows.filter(({ key }) => !unsettled.has(key)));
      const { missing, extra, different, differences } = await compareRows(
        table.columns.map(({ name }) => name),
        settled(expected),
        settled(actual),
        { limit: EXAMPLES },
      );
      total.rows += actual.length;
      total.unsettled += unsettled.size;
      total.missing += missing;
      total.extra += extra;
      total.different += different;
      for (const { kind, key, columns } of differences) {
        const what = { missing: 'is missing', extra: 'is too many', different: `differs in ${columns[0]}` };
        if (total.examples.length < EXAMPLES) total.examples.push(`${table.name} ${key} ${what[kind]}`);
      }
    }
  } finally {
    await source.end();
  }
  return total;
}

async function sourceTexts(source: pg.Client, table: CapturedTable): Promise<Texts> {
  const { rows: found } = await source.query<{ readonly name: string }>(
    'SELECT column_name AS name FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2',
    [table.schema, table.table],
  );
  // A declared column may have yet to be added.
  const real = new Set(found.map(({ name }) => name));
  const texts = table.columns.map((column) =>
    real.has(column.name) ? TEXTS.postgres(column, quoted(column.name)) : 'NULL::text',
  );
  const { rows } = await source.query<(string | null)[]>({
    text: `SELECT ${texts.join(', ')} FROM ${qualified(table)}`,
    rowMode: 'array',
  });
  return rows;
}

function martSql({ name, columns }: CapturedTable, schema: string): string {
  const texts = columns.map((column) => TEXTS.duckdb(column, quoted(column.name.toLowerCase())));
  return `SELECT ${texts.join(', ')} FROM ${schema}.${name}`;
}

function toRows({ key, columns }: CapturedTable, rows: Texts): readonly ComparedRow[] {
  const at = key.map((name) => columns.findIndex((column) => column.name === name));
  return rows.map((row) => ({
    key: at.map((index) => row[index]).join('/'),
    values: row.map((text, index) => exactText(columns[index]!, text)),
  }));
}

/** Numbers and times keep the digits that each side wrote: a mart in which they are others is not equal here. */
function exactText({ type }: Column, text: string | null): string | null {
  const isWrittenApart = type.isArray || ['json', 'jsonb', 'real', 'double precision'].includes(type.base);
  return isWrittenApart ? canonicalText(type, text) : text;
}

/** As compareRows takes them. */
async function* inOrder(rows: readonly ComparedRow[]): AsyncIterable<ComparedRow> {
  const hashed = rows.map((row) => ({ hash: hashOfKey(row.key), row }));
  for (const { row } of hashed.sort((a, b) => (a.hash < b.hash ? -1 : 1))) yield row;
}

/** Compares a table of the source with its mart, row by row and column by column. */
import pg from 'pg';
import { qualified, quoted } from '../../runtime/capture/sql.ts';
import type { CapturedTable, Column } from '../../runtime/capture/table.ts';

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

type Rows = ReadonlyMap<string, readonly (string | null)[]>;
/** Rows as texts. */
export type Query = (sql: string) => Promise<readonly (readonly (string | null)[])[]>;

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
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const total = { rows: 0, missing: 0, extra: 0, different: 0, unsettled: 0, examples: [] as string[] };
  const tell = (text: string) => {
    if (total.examples.length < EXAMPLES) total.examples.push(text);
  };
  try {
    await client.query("SET timezone = 'UTC'");
    for (const table of tables) {
      const real = await columnsOf(client, table);
      const source = toRows(table, await sourceRows(client, table, real));
      const built = toRows(table, await mart(martSql(table, martSchema)));
      for (const key of new Set([...source.keys(), ...built.keys()])) {
        const [expected, got] = [source.get(key), built.get(key)];
        if (got) total.rows++;
        if (isUnsettled(table.name, key)) {
          total.unsettled++;
          continue;
        }
        if (!got) {
          total.missing++;
          tell(`${table.name} ${key} is missing`);
        } else if (!expected) {
          total.extra++;
          tell(`${table.name} ${key} is too many`);
        } else {
          const at = expected.findIndex((value, index) => value !== got[index]);
          if (at < 0) continue;
          total.different++;
          tell(`${table.name} ${key} differs in ${table.columns[at]?.name}`);
        }
      }
    }
  } finally {
    await client.end();
  }
  return total;
}

async function columnsOf(client: pg.Client, { schema, table }: CapturedTable): Promise<ReadonlySet<string>> {
  const { rows } = await client.query<{ readonly name: string }>(
    'SELECT column_name AS name FROM information_schema.columns WHERE table_schema = $1 AND table_name = $2',
    [schema, table],
  );
  return new Set(rows.map(({ name }) => name));
}

async function sourceRows(client: pg.Client, table: CapturedTable, real: ReadonlySet<string>) {
  const columns = table.columns.map((column) => (real.has(column.name) ? sourceText(column) : 'NULL::text'));
  const { rows } = await client.query<(string | null)[]>({
    text: `SELECT ${columns.join(', ')} FROM ${qualified(table)}`,
    rowMode: 'array',
  });
  return rows;
}

function martSql({ name, columns }: CapturedTable, schema: string): string {
  return `SELECT ${columns.map(martText).join(', ')} FROM ${schema}.${name}`;
}

function sourceText({ name, type }: Column): string {
  if (type.isArray) return `to_json(${quoted(name)})::text`;
  if (type.base === 'bytea') return `encode(${quoted(name)}, 'hex')`;
  return `${quoted(name)}::text`;
}

function martText({ name, type }: Column): string {
  const column = `"${name.toLowerCase()}"`;
  if (type.isArray) return `cast(to_json(${column}) as varchar)`;
  if (type.base === 'bytea') return `lower(hex(${column}))`;
  return `cast(${column} as varchar)`;
}

function toRows(table: CapturedTable, rows: readonly (readonly (string | null)[])[]): Rows {
  const at = table.key.map((name) => table.columns.findIndex((column) => column.name === name));
  return new Map(
    rows.map((row) => [
      at.map((index) => row[index]).join('/'),
      row.map((text, index) => (text === null ? null : normal(table.columns[index]!, text))),
    ]),
  );
}

/** One text for one value, whichever database wrote it. */
function normal({ type }: Column, text: string): string {
  if (type.isArray || type.base === 'json' || type.base === 'jsonb') return sorted(JSON.parse(text));
  if (type.base === 'real' || type.base === 'double precision') return String(Number(text));
  return text;
}

function sorted(value: unknown): string {
  return JSON.stringify(value, (_, each) =>
    each && typeof each === 'object' && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  );
}

import type { LedgerBounds } from '../../runtime/replay/rebuild.ts';
import type { TableDifference } from '../../runtime/replay/shadow.ts';
import type { SqlDriver } from './sql-driver.ts';
import { inTransaction } from './sql-transaction.ts';
import { decodeRows, identifier } from './sql-values.ts';

/** The tables of a schema, but partitions of others, each with the columns of its primary key. */
const TABLES = `
  SELECT c.relname AS name, coalesce((
    SELECT json_agg(a.attname ORDER BY k.at)
    FROM pg_index i, unnest(i.indkey::int[]) WITH ORDINALITY AS k (attnum, at)
    JOIN pg_attribute a ON a.attnum = k.attnum
    WHERE i.indrelid = c.oid AND i.indisprimary AND a.attrelid = c.oid
  ), '[]') AS key
  FROM pg_class c
  WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  ORDER BY 1`;

const LEDGER = `
  SELECT partition, first::float8 AS first, next::float8 AS next
  FROM millrace_ledger WHERE consumer = $1 AND epoch = $2 AND topic = $3`;

/**
 * Compares the tables of a schema with those of the live one, as they are at one moment.
 * @param ledger the live consumer's, as it is at that moment
 */
export async function compareTables(
  driver: SqlDriver,
  live: string,
  shadow: string,
  ledger: { readonly epoch: number; readonly topic: string },
): Promise<{ readonly tables: readonly TableDifference[]; readonly live: readonly LedgerBounds[] }> {
  return inTransaction(driver, async (open) => {
    await open.run('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
    const bounds = decodeRows(await open.query(LEDGER, [live, ledger.epoch, ledger.topic]));
    const tables = decodeRows(await open.query(TABLES, [shadow])) as unknown as readonly {
      readonly name: string;
      readonly key: readonly string[];
    }[];
    const differences: TableDifference[] = [];
    for (const { name, key } of tables) {
      const [ofLive, ofShadow] = [live, shadow].map((schema) => `${identifier(schema)}.${identifier(name)}`);
      const sql = key.length > 0 ? byKey(ofLive!, ofShadow!, key) : byRow(ofLive!, ofShadow!);
      const [counts] = decodeRows(await open.query(sql, []));
      differences.push({ table: name, ...(counts as Omit<TableDifference, 'table'>) });
    }
    return { tables: differences, live: bounds as unknown as readonly LedgerBounds[] };
  });
}

function byKey(live: string, shadow: string, key: readonly string[]): string {
  const columns = key.map(identifier).join(', ');
  // A row that one side lacks is null as a whole, which no row with a key is.
  return `
    SELECT count(*) FILTER (WHERE l IS NOT NULL AND s IS NOT NULL AND l = s)::float8 AS same,
      count(*) FILTER (WHERE l IS NOT NULL AND s IS NOT NULL AND l <> s)::float8 AS changed,
      count(*) FILTER (WHERE l IS NULL)::float8 AS missing, count(*) FILTER (WHERE s IS NULL)::float8 AS other
    FROM (SELECT ${columns}, to_jsonb(t) AS l FROM ${live} t) a
    FULL JOIN (SELECT ${columns}, to_jsonb(t) AS s FROM ${shadow} t) b USING (${columns})`;
}

/** Without a key, equal rows are counted against one another. */
function byRow(live: string, shadow: string): string {
  return `
    SELECT coalesce(sum(least(l, s)), 0)::float8 AS same, 0::float8 AS changed,
      coalesce(sum(greatest(s - l, 0)), 0)::float8 AS missing, coalesce(sum(greatest(l - s, 0)), 0)::float8 AS other
    FROM (
      SELECT coalesce(l, 0) AS l, coalesce(s, 0) AS s
      FROM (SELECT to_jsonb(t)::text AS r, count(*) AS l FROM ${live} t GROUP BY 1) a
      FULL JOIN (SELECT to_jsonb(t)::text AS r, count(*) AS s FROM ${shadow} t GROUP BY 1) b USING (r)
    ) c`;
}

import type { PgliteSession } from '../adapters/postgres/pglite-driver.ts';
import { BIGINT, NUMERIC, PLAIN_DECODERS } from '../adapters/postgres/sql-values.ts';
import { MillraceError } from '../runtime/errors.ts';

/** A query's answer. A row is an array, because two columns may have one name. */
export interface QueryResult {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
}

/**
 * The tables there are, with their columns; not those of PostgreSQL itself. Those of a consumer are told once, as its readers
 * see them, whatever generations there are of it.
 */
export const TABLES = `
  SELECT CASE WHEN pg_table_is_visible(c.oid) THEN c.relname ELSE format('%I.%I', n.nspname, c.relname) END AS "table",
    string_agg(a.attname || ' ' || format_type(a.atttypid, NULL), ', ' ORDER BY a.attnum) AS columns
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND NOT EXISTS (
      SELECT FROM pg_namespace r
      WHERE r.nspname IN (n.nspname || '-reader', regexp_replace(n.nspname, '-g[0-9]+$', '') || '-reader')
    )
  GROUP BY c.oid, n.nspname, c.relname ORDER BY c.relname, n.nspname`;

/** The names that readers use first, then the ledger's and what else there is. */
export const READERS_PATH = `
  SELECT set_config('search_path', coalesce(string_agg(quote_ident(nspname), ', ' ORDER BY nspname) || ', ', '') || 'public', true)
  FROM pg_namespace WHERE nspname LIKE '%-reader'`;

/**
 * What only reads, by its first word. DO and CALL run code of one's own, in which RESET ROLE gives the superuser back; a
 * comment before the word could hide one from this pattern, so there may be none but a line's.
 */
const READS = /^(?:[\s(]|--[^\r\n]*[\r\n])*(?:select|with|values|table|explain|show)\b/i;

/** In SELECT, set_config('role', …) would be the same way back: once and for all, nobody but the superuser may call it. */
export const SANDBOX = 'REVOKE EXECUTE ON FUNCTION pg_catalog.set_config(text, text, boolean) FROM PUBLIC';

/**
 * Runs one statement that cannot change anything: in a read-only transaction that is rolled back at its end, as a
 * role that may read every table and nothing else (the superuser could still write files with COPY).
 * Cells: integers and numeric as numbers where a number holds them exactly as safe integers, else as text; real and
 * double precision as numbers; boolean; json parsed; null; everything else as PostgreSQL writes it.
 * @throws INPUT_INVALID when PostgreSQL refuses the statement, with its reason
 */
export async function queryReadOnly(pglite: PgliteSession, sql: string): Promise<QueryResult> {
  if (!READS.test(sql)) throw notReading();
  const parsers = {
    ...Object.fromEntries(Object.keys(pglite.parsers).map((type) => [type, asText])),
    ...PARSERS,
  };
  try {
    return await pglite.transaction(async (transaction) => {
      await transaction.exec(`SET TRANSACTION READ ONLY; ${READERS_PATH}; SET LOCAL ROLE pg_read_all_data`);
      const { fields, rows } = await transaction.query<unknown[]>(sql, [], { rowMode: 'array', parsers });
      await transaction.rollback();
      return { columns: fields.map(({ name }) => name), rows };
    });
  } catch (cause) {
    const isTableMissing = (cause as PostgresError).code === UNDEFINED_TABLE && sql !== TABLES;
    const tables = isTableMissing
      ? (await queryReadOnly(pglite, TABLES)).rows.map(([name]) => String(name))
      : [];
    const known = tables.length > 0 ? ` The tables are ${tables.join(', ')}.` : '';
    throw new MillraceError('INPUT_INVALID', `${refusal(cause as PostgresError)}${known}`, { cause });
  }
}

interface PostgresError extends Error {
  readonly code?: string;
  readonly hint?: string;
}

const READ_ONLY_SQL_TRANSACTION = '25006';
const INSUFFICIENT_PRIVILEGE = '42501';
const SEVERAL_STATEMENTS = '42601';
const UNDEFINED_TABLE = '42P01';

function notReading(): MillraceError {
  return new MillraceError(
    'INPUT_INVALID',
    'This is for looking at tables only: a query begins with SELECT, WITH, VALUES, TABLE, EXPLAIN or SHOW. Write a SELECT that ' +
      'changes nothing and touches no file.',
  );
}

function refusal({ code, message, hint }: PostgresError): string {
  if (code === READ_ONLY_SQL_TRANSACTION || code === INSUFFICIENT_PRIVILEGE) {
    return `This is for looking at tables only: ${message}. Write a SELECT that changes nothing and touches no file.`;
  }
  if (code === SEVERAL_STATEMENTS && message.includes('multiple commands')) {
    return 'The query has several statements; it takes one. Run them one by one.';
  }
  return `PostgreSQL refuses the query: ${message}.${hint ? ` ${hint}` : ''} Correct it and try again.`;
}

const asText = (text: string) => text;
const asExactNumber = (text: string) => {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : text;
};

const PARSERS = Object.fromEntries<(text: string) => unknown>([
  ...PLAIN_DECODERS,
  [BIGINT, asExactNumber],
  [NUMERIC, asExactNumber],
]);

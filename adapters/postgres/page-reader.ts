import { MillraceError } from '../../runtime/errors.ts';
import {
  type DemoPage,
  freshnessByTables,
  type PageAnswer,
  type PageData,
  pageStatement,
} from '../../runtime/page.ts';
import { readerSchema } from '../../runtime/replay/generation.ts';
import { PAGE_STATEMENT_MS } from './page-role.ts';
import type { SqlDriver } from './sql-driver.ts';
import { inRolledBackTransaction } from './sql-transaction.ts';
import { decodeRows, searchPath } from './sql-values.ts';

/** A row of `statementOf`. */
interface Row {
  readonly as_of: number | null;
  readonly rows: PageData['rows'];
  readonly settled_at: number | null;
  readonly at: number;
}

export type PageReader = (signal?: AbortSignal) => Promise<PageAnswer>;

/**
 * Reads a page's queries and how fresh they are, in one statement and so in one snapshot, from the reader views of the page's consumer. The
 * transaction writes nothing, whatever the queries say, and the statement ends after five seconds.
 * @throws SINK_UNAVAILABLE, SINK_CONFLICT, SINK_REJECTED, SINK_MISCONFIGURED; `signal`'s reason when it aborts
 */
export function createPageReader(
  driver: SqlDriver,
  page: Pick<DemoPage, 'consumer' | 'queries'>,
): PageReader {
  const { consumer } = page;
  const statement = statementOf(page);
  const opening = `SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = ${PAGE_STATEMENT_MS}; ${searchPath(readerSchema(consumer))}`;
  return async (signal) => {
    const result = await inRolledBackTransaction(
      driver,
      async (open) => {
        await open.run(opening);
        return open.query(statement, [consumer]);
      },
      signal,
    );
    const [row] = decodeRows(result) as unknown as Row[];
    if (!row) throw new MillraceError('SINK_REJECTED', 'The page’s statement gave no row.');
    const { at, as_of: asOf, settled_at: settledAt, rows } = row;
    return {
      data: { at, asOf, rows },
      freshness: freshnessByTables(consumer, { at, asOf, settledAt }),
    };
  };
}

function statementOf(page: Pick<DemoPage, 'consumer' | 'queries'>): string {
  return `SELECT page.as_of, page.rows,
    (SELECT (extract(epoch FROM max(settled_at)) * 1000)::bigint FROM millrace_as_of WHERE consumer = $1) AS settled_at,
    (extract(epoch FROM now()) * 1000)::bigint AS at
  FROM (${pageStatement(page)}) AS page`;
}

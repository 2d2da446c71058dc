/** What a page of the app shows, from whichever PostgreSQL the run has. */
import type { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import { MillraceError } from '../runtime/errors.ts';
import { type DemoPage, type PageData, pageStatement } from '../runtime/page.ts';
import { READERS_PATH } from './read-only-query.ts';

/** A server ends what takes longer; the embedded one has nothing that could. */
const LONGEST = "SELECT set_config('statement_timeout', '10s', true)";

interface Row {
  readonly as_of: unknown;
  readonly rows: unknown;
}

/**
 * One snapshot. It changes nothing.
 * @throws APP_INVALID where a query is wrong, with its name; what the sink throws, where it is down
 */
export async function readPageData(
  sink: Pick<PostgresSink, 'transaction'>,
  page: DemoPage,
  now: () => number,
): Promise<PageData> {
  const read = async (queries: DemoPage['queries']) => {
    const { rows } = await sink.transaction(async ({ tx }) => {
      for (const statement of ['SET TRANSACTION READ ONLY', LONGEST, READERS_PATH])
        await tx.query(statement, []);
      return tx.query<Row>(pageStatement({ ...page, queries }), []);
    });
    return rows[0]!;
  };
  try {
    const { as_of: asOf, rows: byName } = await read(page.queries);
    return {
      at: now(),
      asOf: asOf === null ? null : Number(asOf),
      rows: (typeof byName === 'string' ? JSON.parse(byName) : byName) as PageData['rows'],
    };
  } catch (error) {
    if (!isOfQuery(error)) throw error;
    for (const [name, sql] of Object.entries(page.queries)) {
      const own = await read({ [name]: sql }).then(
        () => undefined,
        (itsError: unknown) => itsError,
      );
      if (own !== undefined) throw isOfQuery(own) ? queryWrong(`The query "${name}"`, sql, own) : own;
    }
    throw queryWrong('The queries together', Object.values(page.queries).join(), error);
  }
}

/** Not the server's and not the moment's: it fails the next time, too. */
function isOfQuery(error: unknown): error is MillraceError {
  if (!(error instanceof MillraceError)) return false;
  return ['SINK_MISCONFIGURED', 'SINK_REJECTED'].includes(error.code) || error.isUnclear;
}

/** With PostgreSQL's reason. What that quotes is of the query's own text, or left out: it may be of a row. */
function queryWrong(what: string, sql: string, cause: MillraceError): MillraceError {
  const [reason] = /^.*?\(SQLSTATE \w+[^)]*\)/s.exec(cause.message) ?? [cause.message];
  const safe = reason.replace(/"([^"]+)"/g, (quoted, text: string) =>
    /^\W+$/.test(text) || sql.toLowerCase().includes(text.toLowerCase()) ? quoted : '"…"',
  );
  return new MillraceError(
    'APP_INVALID',
    `${what} of demo.page cannot be read: ${safe}. Correct demo.page.queries in millrace.config.ts; "millrace sql '\\dt'" lists the tables.`,
    { details: cause.details },
  );
}

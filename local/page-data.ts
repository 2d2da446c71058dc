/** What a page of the app shows, from whichever PostgreSQL the run has. */
import type { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import { type DemoPage, type PageData, pageStatement } from '../runtime/page.ts';
import { READERS_PATH } from './read-only-query.ts';

/** A server ends what takes longer; the embedded one has nothing that could. */
const LONGEST = "SELECT set_config('statement_timeout', '10s', true)";

/** One snapshot. It changes nothing. @throws what the sink throws, where it is down or refuses a query */
export async function readPageData(
  sink: Pick<PostgresSink, 'transaction'>,
  page: DemoPage,
  now: () => number,
): Promise<PageData> {
  const { rows } = await sink.transaction(async ({ tx }) => {
    for (const statement of ['SET TRANSACTION READ ONLY', LONGEST, READERS_PATH])
      await tx.query(statement, []);
    return tx.query<{ as_of: unknown; rows: unknown }>(pageStatement(page), []);
  });
  const { as_of: asOf, rows: byName } = rows[0]!;
  return {
    at: now(),
    asOf: asOf === null ? null : Number(asOf),
    rows: (typeof byName === 'string' ? JSON.parse(byName) : byName) as PageData['rows'],
  };
}

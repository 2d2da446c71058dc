/** Whose session keeps what from its locks. */
import { MillraceError } from '../../runtime/errors.ts';
import type { SqlDriver } from './sql-driver.ts';
import { inTransaction } from './sql-transaction.ts';

const HOLDERS = `
  SELECT DISTINCT a.pid::text, a.usename, nullif(a.application_name, '') AS application,
    extract(epoch FROM now() - a.xact_start)::int::text AS seconds
  FROM pg_locks l JOIN pg_stat_activity a USING (pid)
  WHERE l.granted AND l.locktype = 'relation' AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND a.pid <> pg_backend_pid() AND (a.xact_start IS NULL OR a.xact_start < clock_timestamp() - interval '400 ms') AND l.relation IN (
      SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = ANY ($1) OR n.nspname = 'public' AND c.relname IN ('millrace_ledger', 'millrace_generation')
    )
  ORDER BY 4 DESC LIMIT 5`;

/**
 * Names the sessions that keep a promote or a drop from its locks.
 * @param schemas whose relations it locks, beside the ledger
 */
export async function inTheWay(
  driver: SqlDriver,
  consumer: string,
  schemas: readonly string[],
  cause: MillraceError,
): Promise<MillraceError> {
  const { rows } = await inTransaction(driver, (open) => open.query(HOLDERS, [schemas]));
  // Of other logins' sessions, one that is not among pg_read_all_stats sees the pid and the user alone.
  const holders = rows.map(
    ([pid, user, application, seconds]) =>
      `session ${pid} of ${user}${application ? ` (${application})` : ''}${seconds ? `, in a transaction for ${seconds} s` : ''}`,
  );
  const who = holders.length > 0 ? holders.join('; ') : 'Sessions that have ended by now';
  return new MillraceError(
    'REBUILD_REFUSED',
    `The tables, views or ledger of ${consumer} were in use at every try, and nobody is made to wait long for this. In the way: ${who}. ` +
      'Nothing has changed. Wait until that is over, or end it with pg_terminate_backend, and try again.',
    { cause, details: { consumer, sessions: rows.map(([pid]) => Number(pid)) } },
  );
}

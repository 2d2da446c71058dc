import { migrate } from '../adapters/postgres/migrate.ts';
import { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import type { SqlDriver } from '../adapters/postgres/sql-driver.ts';
import type { Migration } from '../runtime/consumer.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { TopicLog } from './topic-log.ts';

const MIGRATIONS: readonly Migration[] = [
  { name: '0001-origin', sql: 'CREATE TABLE millrace_ledger_origin (log_id text NOT NULL)' },
];

/**
 * A ledger is a list of offsets, which say nothing in another log: there, records would be taken for settled. So it is
 * bound to the log that it was first used with.
 * @throws STATE_UNREADABLE where it belongs to another one
 */
export async function bindLedger(driver: SqlDriver, log: TopicLog, sinkAt: string): Promise<void> {
  await migrate(driver, 'millrace-local', MIGRATIONS);
  const id = await log.id();
  const origin = await new PostgresSink(driver).transaction(async ({ tx }) => {
    const { rows } = await tx.query<{ log_id: string }>('SELECT log_id FROM millrace_ledger_origin');
    if (rows[0]) return rows[0].log_id;
    const { rows: ledger } = await tx.query('SELECT FROM millrace_ledger LIMIT 1');
    // A ledger from before this was written down is one of an embedded log.
    if (ledger.length > 0 && !id.startsWith('embedded')) return 'embedded';
    await tx.query('INSERT INTO millrace_ledger_origin VALUES ($1)', [id]);
    return id;
  });
  if (origin === id) return;
  throw new MillraceError(
    'STATE_UNREADABLE',
    `The ledger in ${sinkAt} belongs to other topics (${origin}) than those in ${log.at} (${id}): their records would be ` +
      'taken for applied. Name another folder with --state or another database with --postgres, or start over with --fresh.',
    { details: { origin, log: id } },
  );
}

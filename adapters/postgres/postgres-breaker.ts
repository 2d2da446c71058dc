import type { BreakerState } from '../../runtime/delivery/breaker.ts';
import type { BreakerStore } from '../../runtime/delivery/sink.ts';
import type { OpenTransaction } from './sql-transaction.ts';
import { decodeRows } from './sql-values.ts';

/** Locks the row, which it makes where there is none, and gives what was committed last. */
const LOCK = `
  INSERT INTO millrace_breaker (consumer, epoch) VALUES ($1, $2)
  ON CONFLICT (consumer, epoch) DO UPDATE SET updated_at = now()
  RETURNING state`;

/** After the lock, as a statement of its own: it sees what was committed while the lock was waited for. */
const SETTLED = `
  SELECT coalesce(sum(next - first), 0)::bigint AS settled FROM millrace_ledger WHERE consumer = $1 AND epoch = $2`;

/** One statement, so of one moment. */
const GLANCE = `
  SELECT (SELECT state FROM millrace_breaker WHERE consumer = $1 AND epoch = $2) AS state, (${SETTLED}) AS settled`;

const WRITE = 'UPDATE millrace_breaker SET state = $3, updated_at = now() WHERE consumer = $1 AND epoch = $2';

/** The breaker's state in an open transaction of the sink. */
export function createPostgresBreaker(open: OpenTransaction): BreakerStore {
  return {
    async glance({ consumer, epoch }) {
      const [row] = decodeRows(await open.query(GLANCE, [consumer, epoch]));
      return { state: (row!.state ?? []) as BreakerState, settled: row!.settled as number };
    },
    async read({ consumer, epoch }) {
      const [row] = decodeRows(await open.query(LOCK, [consumer, epoch]));
      const [ledgers] = decodeRows(await open.query(SETTLED, [consumer, epoch]));
      return { state: row!.state as BreakerState, settled: ledgers!.settled as number };
    },
    async write({ consumer, epoch }, state) {
      await open.query(WRITE, [consumer, epoch, JSON.stringify(state)]);
    },
  };
}

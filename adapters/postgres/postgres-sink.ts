import { MillraceError } from '../../runtime/errors.ts';
import type { LedgerPatch, LedgerView } from '../../runtime/ledger.ts';
import type { OffsetRange } from '../../runtime/offset-ranges.ts';
import type { LedgerKey, LedgerRequest, Sink, SinkTransaction, SqlTransaction } from '../../runtime/ports.ts';
import type { TopicPartition } from '../../runtime/record.ts';
import type { SqlDriver } from './sql-driver.ts';
import { inTransaction, type OpenTransaction } from './sql-transaction.ts';
import { decodeRows, encodeParameter } from './sql-values.ts';

/**
 * A PostgreSQL database as the sink, 14 or newer. A transaction costs BEGIN, one SELECT and one UPDATE for all of
 * its ledgers, COMMIT, and what the handler runs, whatever the size of the batch.
 *
 * No statement changes the session (no SET, no named statement, no session lock), so a pooler such as RDS Proxy
 * can share its connections: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html
 * (read 2026-11-24).
 */
export class PostgresSink implements Sink<SqlTransaction> {
  readonly #driver: SqlDriver;

  constructor(driver: SqlDriver) {
    this.#driver = driver;
  }

  transaction<Result>(
    work: (transaction: SinkTransaction<SqlTransaction>) => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> {
    return inTransaction(
      this.#driver,
      (open) => {
        let transactionId = '';
        return work({
          tx: { query: (sql, parameters) => handlerQuery(open, sql, parameters) },
          async lockLedgers(key, requests) {
            const locked = await lockLedgers(open, key, requests);
            ({ transactionId } = locked);
            return locked.views;
          },
          writeLedgers: (key, patches) => writeLedgers(open, key, patches, transactionId),
          savepoint: (savedWork) => open.savepoint(savedWork),
          isWaiting: () => open.isWaiting(),
        });
      },
      signal,
    );
  }
}

// COMMIT inside a handler would commit its effects without the ledger. ROLLBACK TO SAVEPOINT is fine. This catches plain
// spellings before they do harm; any other is found out when the ledger is written, since that is another transaction.
const COMMENTS = /^(?:[\s;]|--.*|\/\*[\s\S]*?\*\/)*/;
const ENDS_TRANSACTION =
  /^(?:begin|start|commit|end|abort|prepare\s+transaction|rollback(?!\s+(?:work\s+|transaction\s+)?to\b))\b/i;

// What these leave in the session (settings, locks, temporary tables, cursors) would reach the next batch. The connection is
// closed, not reset: a proxy would pin it. https://www.postgresql.org/docs/current/sql-discard.html lists what there is.
const LEAVES_STATE =
  /^(?:set(?!\s+(?:local|constraints|transaction)\b)|reset|listen|load|prepare|declare|discard|do|call|create\s+(?:(?:local|global)\s+)?temp)\b/i;
const CALLS_THAT_LEAVE_STATE = /\bset_config\b|\bpg_(?:try_)?advisory_lock|\binto\s+temp/i;

async function handlerQuery<Row>(
  open: OpenTransaction,
  sql: string,
  parameters: readonly unknown[] = [],
): Promise<{ readonly rows: readonly Row[]; readonly affectedRows: number }> {
  if (ENDS_TRANSACTION.test(sql.replace(COMMENTS, ''))) {
    throw new MillraceError(
      'SINK_MISCONFIGURED',
      "tx.query() takes no statement that begins or ends a transaction: the sink commits the handler's effects " +
        'together with the ledger. Remove it; SAVEPOINT and ROLLBACK TO are allowed.',
    );
  }
  if (LEAVES_STATE.test(sql.replace(COMMENTS, '')) || CALLS_THAT_LEAVE_STATE.test(sql)) open.retire();
  const { rows, affectedRows } = await query(open, sql, parameters);
  return { rows: rows as Row[], affectedRows };
}

// All rows or none: locking those that exist before inserting the rest would take the locks out of order.
const LOCK = `
  WITH request AS (
    SELECT topic, partition, int8multirange(int8range(lowest, beyond)) AS asked
    FROM unnest($3::text[], $4::int[], $5::bigint[], $6::bigint[]) AS r (topic, partition, lowest, beyond)
  )
  SELECT l.topic, l.partition, l.first, l.next, l.max_timestamp,
    l.dead_lettered * r.asked + l.passed_over * r.asked AS holes, pg_current_xact_id()::text AS transaction_id
  FROM request r
  JOIN millrace_ledger l USING (topic, partition)
  WHERE l.consumer = $1 AND l.epoch = $2
    AND (
      SELECT count(*) FROM request JOIN millrace_ledger k USING (topic, partition)
      WHERE k.consumer = $1 AND k.epoch = $2
    ) = cardinality($3::text[])
  ORDER BY l.topic, l.partition
  FOR UPDATE OF l`;

const CREATE = `
  INSERT INTO millrace_ledger (consumer, epoch, topic, partition)
  SELECT $1, $2, topic, partition FROM unnest($3::text[], $4::int[]) AS r (topic, partition)
  ORDER BY topic, partition
  ON CONFLICT DO NOTHING`;

interface LedgerRow {
  readonly topic: string;
  readonly partition: number;
  readonly first: number | null;
  readonly next: number | null;
  readonly max_timestamp: number;
  readonly holes: string;
  readonly transaction_id: string;
}

async function lockLedgers(
  open: OpenTransaction,
  key: LedgerKey,
  requests: readonly LedgerRequest[],
): Promise<{ readonly views: LedgerView[]; readonly transactionId: string }> {
  if (requests.length === 0) return { views: [], transactionId: '' };
  const which = [key.consumer, key.epoch, column(requests, 'topic'), column(requests, 'partition')];
  const lock = async () => {
    const parameters = [...which, column(requests, 'from'), column(requests, 'to')];
    return (await query(open, LOCK, parameters)).rows as unknown as LedgerRow[];
  };
  let rows = await lock();
  if (rows.length < requests.length) {
    // The first batch of these partitions. A twin that inserts them too waits here for the first to end.
    await query(open, CREATE, which);
    rows = await lock();
  }
  const byPartition = new Map(rows.map((row) => [nameOf(row), row]));
  const views = requests.map((request) => {
    const row = byPartition.get(nameOf(request));
    if (!row) throw ledgerLost(key, request);
    const { topic, partition, first, next, max_timestamp: maxTimestamp, holes } = row;
    return { topic, partition, first, next, maxTimestamp, holes: parseMultirange(holes) };
  });
  return { views, transactionId: rows[0]!.transaction_id };
}

// A hole column that does not change keeps its own value, so that PostgreSQL does not write a large one again.
const WRITE = `
  UPDATE millrace_ledger l SET
    first = p.first,
    next = p.next,
    max_timestamp = p.max_timestamp,
    dead_lettered = CASE WHEN isempty(p.closed) AND isempty(p.dead_lettered) THEN l.dead_lettered
      ELSE l.dead_lettered - p.closed + p.dead_lettered END,
    passed_over = CASE WHEN isempty(p.closed) AND isempty(p.dead_lettered) AND isempty(p.passed_over)
      THEN l.passed_over
      ELSE l.passed_over - p.closed - p.dead_lettered + p.passed_over END,
    updated_at = now()
  FROM unnest(
    $3::text[], $4::int[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::int8multirange[], $9::int8multirange[], $10::int8multirange[]
  ) AS p (topic, partition, first, next, max_timestamp, closed, dead_lettered, passed_over)
  WHERE l.consumer = $1 AND l.epoch = $2 AND l.topic = p.topic AND l.partition = p.partition
    AND pg_current_xact_id()::text = $11`;

async function writeLedgers(
  open: OpenTransaction,
  key: LedgerKey,
  patches: readonly LedgerPatch[],
  transactionId: string,
): Promise<void> {
  if (patches.length === 0) return;
  const { affectedRows } = await query(open, WRITE, [
    key.consumer,
    key.epoch,
    column(patches, 'topic'),
    column(patches, 'partition'),
    column(patches, 'first'),
    column(patches, 'next'),
    column(patches, 'maxTimestamp'),
    patches.map(({ closed }) => toMultirange(closed)),
    patches.map(({ deadLettered }) => toMultirange(deadLettered)),
    patches.map(({ passedOver }) => toMultirange(passedOver)),
    transactionId,
  ]);
  if (affectedRows === patches.length) return;
  const { rows } = await query(open, 'SELECT pg_current_xact_id()::text AS id', []);
  throw rows[0]!.id === transactionId ? ledgerLost(key, patches[0]!) : transactionEnded();
}

async function query(open: OpenTransaction, sql: string, parameters: readonly unknown[]) {
  const result = await open.query(sql, parameters.map(encodeParameter));
  return { rows: decodeRows(result), affectedRows: result.affectedRows };
}

function column<Row, Name extends keyof Row>(rows: readonly Row[], name: Name): Row[Name][] {
  return rows.map((row) => row[name]);
}

function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

/** `{[1,3),[7,9)}`, PostgreSQL's text for a multirange of whole numbers. */
function toMultirange(ranges: readonly OffsetRange[]): string {
  return `{${ranges.map(({ from, to }) => `[${from},${to})`).join(',')}}`;
}

function parseMultirange(text: string): OffsetRange[] {
  return Array.from(text.matchAll(/\[(\d+),(\d+)\)/g), ([, from, to]) => ({
    from: Number(from),
    to: Number(to),
  }));
}

function transactionEnded(): MillraceError {
  return new MillraceError(
    'SINK_MISCONFIGURED',
    'The handler ended the transaction that the sink had opened for it, by a COMMIT or a ROLLBACK in its SQL or in a procedure ' +
      'that it calls. The ledger was not written, so that what the handler may have committed is applied again when its ' +
      'records are. Remove the statement; SAVEPOINT and ROLLBACK TO are allowed.',
  );
}

function ledgerLost({ consumer, epoch }: LedgerKey, of: TopicPartition): MillraceError {
  return new MillraceError(
    'SINK_MISCONFIGURED',
    `millrace_ledger has no row that this transaction can see for consumer ${consumer}, epoch ${epoch}, ${nameOf(of)}, ` +
      'although it was made. Look for row-level security, triggers or deletes on the table; nothing was committed.',
    { details: { consumer, epoch, topic: of.topic, partition: of.partition } },
  );
}

import type { KeyCounts, LedgerPatch, LedgerView, Replay } from '../../runtime/delivery/ledger.ts';
import { type OffsetRange, union } from '../../runtime/delivery/offset-ranges.ts';
import type {
  LedgerKey,
  LedgerRequest,
  Sink,
  SinkTransaction,
  SqlTransaction,
} from '../../runtime/delivery/sink.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { TopicPartition } from '../../runtime/record.ts';
import { partOf } from './handler-tx.ts';
import { createPostgresBreaker } from './postgres-breaker.ts';
import { createPostgresKeys } from './postgres-keys.ts';
import { createPostgresSeen, logTimeOf, type PostgresSeen, type SeenLedger } from './postgres-seen.ts';
import type { SqlDriver } from './sql-driver.ts';
import { inTransaction, type OpenTransaction } from './sql-transaction.ts';
import { column, decodeRows, parseMultirange, toMultirange } from './sql-values.ts';

/**
 * A PostgreSQL database as the sink, 14 or newer. A transaction costs one SELECT and one UPDATE for all of its ledgers,
 * and what the handler runs, whatever the size of the batch. BEGIN travels with the SELECT, and COMMIT with the UPDATE.
 *
 * No statement changes the session (no SET, no named statement, no session lock), so a pooler such as RDS Proxy
 * can share its connections: https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html
 * (read 2026-11-24).
 */
export class PostgresSink implements Sink<SqlTransaction> {
  readonly #driver: SqlDriver;
  readonly #mostRangeBytes: number;

  /**
   * @param schema where names in a handler's SQL are looked up first, before `public`; travels with BEGIN. @default as the
   *   session has it: a role that is called as its schema needs none
   * @param mostRangeBytes what a ledger's row may hold of ranges before they are moved out. @default 16 KiB, about a thousand ranges: read in a fraction of a millisecond
   */
  constructor(
    driver: SqlDriver,
    { schema, mostRangeBytes = 16_384 }: { readonly schema?: string; readonly mostRangeBytes?: number } = {},
  ) {
    this.#driver = schema === undefined ? driver : { begin: () => driver.begin(schema) };
    this.#mostRangeBytes = mostRangeBytes;
  }

  transaction<Result>(
    work: (transaction: SinkTransaction<SqlTransaction>) => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> {
    return inTransaction(
      this.#driver,
      (open) => {
        let locked: Locked = NOTHING_LOCKED;
        const seen = createPostgresSeen(open, (of) => locked.rows.get(nameOf(of))!);
        return work({
          tx: partOf(open).tx,
          lockLedgers: async (key, requests) => {
            const { views, ...facts } = await lockLedgers(open, key, requests, this.#mostRangeBytes);
            locked = facts;
            return views;
          },
          writeLedgers: (key, patches) =>
            writeLedgers(open, key, patches, { ...locked, seen }, this.#mostRangeBytes),
          savepoint: (savedWork) =>
            open.savepoint(async () => {
              const part = partOf(open);
              try {
                return await savedWork(part.tx);
              } finally {
                part.close();
              }
            }),
          isWaiting: () => open.isWaiting(),
          keys: createPostgresKeys(open, () => rememberedIn(locked)),
          seen,
          breaker: createPostgresBreaker(open),
        });
      },
      signal,
    );
  }
}

// All rows or none: locking those that exist before inserting the rest would take the locks out of order.
const LOCK = `
  WITH request AS (
    SELECT topic, partition, int8multirange(int8range(lowest, beyond)) AS asked
    FROM unnest($3::text[], $4::int[], $5::bigint[], $6::bigint[]) AS r (topic, partition, lowest, beyond)
  )
  SELECT l.topic, l.partition, l.first, l.next, l.max_timestamp,
    l.dead_lettered * r.asked + l.passed_over * r.asked AS holes, l.ranges_below, l.replay,
    l.open_letters, l.parked_records, l.is_draining, l.id, l.log_time,
    l.moves_from <= now() AND pg_column_size(l.dead_lettered) + pg_column_size(l.passed_over) > $7::int AS is_full,
    pg_current_xact_id()::text AS transaction_id
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

interface LedgerRow extends SeenLedger {
  readonly first: number | null;
  readonly next: number | null;
  readonly max_timestamp: number;
  readonly holes: string;
  readonly ranges_below: number;
  readonly replay: Replay | null;
  readonly open_letters: number;
  readonly parked_records: number;
  readonly is_draining: boolean;
  readonly is_full: boolean;
  readonly transaction_id: string;
}

/** What a transaction has to remember of the ledgers that it locked. */
interface Locked {
  readonly transactionId: string;
  /** By partition, the offset below which some of its ranges are in rows of their own. */
  readonly rangesBelow: ReadonlyMap<string, number>;
  /** Whether one of them has to move ranges out of its row. */
  readonly isAnyFull: boolean;
  readonly rows: ReadonlyMap<string, LedgerRow>;
}

const NOTHING_LOCKED: Locked = {
  transactionId: '',
  rangesBelow: new Map(),
  isAnyFull: false,
  rows: new Map(),
};

/** Those that meet what is asked for; a statement of its own, which sees what was committed before the locks were had. */
const READ_RANGES = `
  SELECT r.topic, r.partition, string_agg((s.offsets * int8multirange(int8range(r.lowest, r.beyond)))::text, '') AS holes
  FROM unnest($3::text[], $4::int[], $5::bigint[], $6::bigint[]) AS r (topic, partition, lowest, beyond)
  JOIN millrace_ledger_range s USING (topic, partition)
  WHERE s.consumer = $1 AND s.epoch = $2 AND s.beyond > r.lowest AND s.lowest < r.beyond
    AND s.kind IN ('dead-lettered', 'skipped')
  GROUP BY 1, 2`;

async function lockLedgers(
  open: OpenTransaction,
  key: LedgerKey,
  requests: readonly LedgerRequest[],
  mostRangeBytes: number,
): Promise<Locked & { readonly views: LedgerView[] }> {
  if (requests.length === 0) return { views: [], ...NOTHING_LOCKED };
  const which = keysOf(key, requests);
  const lock = async () => {
    const parameters = [...which, column(requests, 'from'), column(requests, 'to'), mostRangeBytes];
    return (await query(open, LOCK, parameters)).rows as unknown as LedgerRow[];
  };
  let rows = await lock();
  if (rows.length < requests.length) {
    // The first batch of these partitions. A concurrent invocation that inserts them too waits here for the first to end.
    await query(open, CREATE, which);
    rows = await lock();
  }
  const byPartition = new Map(rows.map((row) => [nameOf(row), row]));
  const rangesBelow = new Map(rows.map((row) => [nameOf(row), row.ranges_below]));
  const behind = requests.filter((request) => request.from < (rangesBelow.get(nameOf(request)) ?? 0));
  const ranges = behind.length === 0 ? new Map() : await readRanges(open, key, behind);
  const views = requests.map((request) => {
    const row = byPartition.get(nameOf(request));
    if (!row) throw ledgerLost(key, request);
    const { topic, partition, first, next, max_timestamp: maxTimestamp, holes, replay } = row;
    const moved: readonly OffsetRange[] = ranges.get(nameOf(row)) ?? [];
    const view = { topic, partition, first, next, maxTimestamp, holes: union(parseMultirange(holes), moved) };
    const counts = countsOf(row);
    const { log_time: logTime } = row;
    return {
      ...view,
      ...(replay !== null && { replay }),
      ...(counts && { keys: counts }),
      ...(logTime !== null && { logTime: logTimeOf(logTime) }),
    };
  });
  const isAnyFull = rows.some(({ is_full }) => is_full);
  return { views, transactionId: rows[0]!.transaction_id, rangesBelow, isAnyFull, rows: byPartition };
}

/** A key is remembered for a letter or a parked record. */
function rememberedIn({ rows }: Locked): number {
  return [...rows.values()].reduce((sum, row) => sum + row.open_letters + row.parked_records, 0);
}

function countsOf(row: LedgerRow): KeyCounts | undefined {
  const counts = { letters: row.open_letters, parked: row.parked_records, isDraining: row.is_draining };
  return counts.letters > 0 || counts.parked > 0 || counts.isDraining ? counts : undefined;
}

async function readRanges(
  open: OpenTransaction,
  key: LedgerKey,
  requests: readonly LedgerRequest[],
): Promise<ReadonlyMap<string, readonly OffsetRange[]>> {
  const { rows } = await query(open, READ_RANGES, [
    ...keysOf(key, requests),
    column(requests, 'from'),
    column(requests, 'to'),
  ]);
  const found = rows as unknown as readonly (TopicPartition & { readonly holes: string })[];
  return new Map(found.map((row) => [nameOf(row), parseMultirange(row.holes)]));
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
    log_time = coalesce(p.log_time, l.log_time),
    updated_at = now()
  FROM unnest(
    $3::text[], $4::int[], $5::bigint[], $6::bigint[], $7::bigint[],
    $8::int8multirange[], $9::int8multirange[], $10::int8multirange[], $12::jsonb[]
  ) AS p (topic, partition, first, next, max_timestamp, closed, dead_lettered, passed_over, log_time)
  WHERE l.consumer = $1 AND l.epoch = $2 AND l.topic = p.topic AND l.partition = p.partition
    AND pg_current_xact_id()::text = $11
  RETURNING l.topic, l.partition,
    pg_column_size(l.dead_lettered) + pg_column_size(l.passed_over) AS bytes, l.moves_from <= now() AS may_move`;

/**
 * The same as the last statement of its transaction, which nobody looks at before COMMIT: it fails where it has not written
 * every ledger, and the server's message has the words that tell why.
 */
const WRITE_LAST = `
  WITH written AS (${WRITE})
  SELECT (CASE
    WHEN (SELECT count(*) FROM written) = cardinality($3::text[]) THEN '0'
    WHEN pg_current_xact_id()::text = $11 THEN 'millrace: no ledger'
    ELSE 'millrace: another transaction'
  END)::int`;

const MOVE_RANGES = `
  WITH ledger AS (
    SELECT l.* FROM millrace_ledger l JOIN unnest($3::text[], $4::int[]) AS p (topic, partition) USING (topic, partition)
    WHERE l.consumer = $1 AND l.epoch = $2
  ), numbered AS (
    SELECT topic, partition, kind, r, row_number() OVER (PARTITION BY topic, partition, kind ORDER BY r) - 1 AS n
    FROM (
      SELECT topic, partition, 'dead-lettered' AS kind, dead_lettered AS offsets FROM ledger
      UNION ALL SELECT topic, partition, 'skipped', passed_over FROM ledger
    ) k, unnest(offsets) AS r
  ), moved AS (
    INSERT INTO millrace_ledger_range (consumer, epoch, topic, partition, kind, lowest, beyond, offsets)
    SELECT $1, $2, topic, partition, kind, min(lower(r)), max(upper(r)), range_agg(r)
    FROM numbered GROUP BY topic, partition, kind, n / 1000
  )
  UPDATE millrace_ledger l SET dead_lettered = '{}', passed_over = '{}', ranges_below = l.next
  FROM ledger WHERE (l.consumer, l.epoch, l.topic, l.partition)
    = (ledger.consumer, ledger.epoch, ledger.topic, ledger.partition)`;

/** What is settled now, or is a dead letter in the ledger's own row, is taken out of the rows of ranges. */
const TAKE_FROM_RANGES = `
  WITH patch AS (
    SELECT topic, partition, taken FROM unnest($3::text[], $4::int[], $5::int8multirange[]) AS p (topic, partition, taken)
  ), touched AS (
    UPDATE millrace_ledger_range s SET offsets = s.offsets - p.taken
    FROM patch p
    WHERE s.consumer = $1 AND s.epoch = $2 AND s.topic = p.topic AND s.partition = p.partition
      AND s.beyond > lower(p.taken) AND s.lowest < upper(p.taken) AND s.offsets && p.taken
      AND NOT s.offsets <@ p.taken AND s.kind IN ('dead-lettered', 'skipped')
  )
  DELETE FROM millrace_ledger_range s USING patch p
  WHERE s.consumer = $1 AND s.epoch = $2 AND s.topic = p.topic AND s.partition = p.partition
    AND s.beyond > lower(p.taken) AND s.lowest < upper(p.taken) AND s.offsets <@ p.taken
    AND s.kind IN ('dead-lettered', 'skipped')`;

async function writeLedgers(
  open: OpenTransaction,
  key: LedgerKey,
  patches: readonly LedgerPatch[],
  { transactionId, rangesBelow, isAnyFull, seen }: Locked & { readonly seen: PostgresSeen },
  mostRangeBytes: number,
): Promise<void> {
  if (patches.length === 0) return;
  const parameters = [
    key.consumer,
    key.epoch,
    column(patches, 'topic'),
    column(patches, 'partition'),
    column(patches, 'first'),
    column(patches, 'next'),
    column(patches, 'maxTimestamp'),
    patches.map(({ closed }) => toMultirange(closed)),
    patches.map(({ deadLettered }) => toMultirange(deadLettered)),
    patches.map(({ skipped }) => toMultirange(skipped)),
    transactionId,
    patches.map((patch) => patch.logTime && seen.kept(patch, patch.logTime)),
  ];
  if (!isAnyFull && patches.every(leavesRangesAlone)) {
    open.last(WRITE_LAST, parameters, (error) => {
      const { message = '' } = error as { message?: string };
      if (message.includes('millrace: no ledger')) return ledgerLost(key, patches[0]!);
      return message.includes('millrace: another transaction') ? transactionEnded() : undefined;
    });
    return;
  }
  const { rows: written, affectedRows } = await query(open, WRITE, parameters);
  if (affectedRows === patches.length) {
    await takeFromRanges(open, key, patches, rangesBelow);
    const full = (written as unknown as readonly Written[]).filter(
      ({ bytes, may_move }) => may_move && bytes > mostRangeBytes,
    );
    if (full.length > 0) await query(open, MOVE_RANGES, keysOf(key, full));
    return;
  }
  const { rows } = await query(open, 'SELECT pg_current_xact_id()::text AS id', []);
  throw rows[0]!.id === transactionId ? ledgerLost(key, patches[0]!) : transactionEnded();
}

/** Whether nothing but the ends of the ledger change: the rule. */
function leavesRangesAlone({ closed, deadLettered, skipped }: LedgerPatch): boolean {
  return closed.length === 0 && deadLettered.length === 0 && skipped.length === 0;
}

interface Written extends TopicPartition {
  readonly bytes: number;
  readonly may_move: boolean;
}

async function takeFromRanges(
  open: OpenTransaction,
  key: LedgerKey,
  patches: readonly LedgerPatch[],
  rangesBelow: ReadonlyMap<string, number>,
): Promise<void> {
  const taken = patches
    .map(({ topic, partition, closed, deadLettered }) => ({
      topic,
      partition,
      ranges: union(closed, deadLettered),
    }))
    .filter((of) => of.ranges.length > 0 && of.ranges[0]!.from < (rangesBelow.get(nameOf(of)) ?? 0));
  if (taken.length === 0) return;
  await query(open, TAKE_FROM_RANGES, [
    ...keysOf(key, taken),
    taken.map(({ ranges }) => toMultirange(ranges)),
  ]);
}

function keysOf({ consumer, epoch }: LedgerKey, of: readonly TopicPartition[]): unknown[] {
  return [consumer, epoch, column(of, 'topic'), column(of, 'partition')];
}

async function query(open: OpenTransaction, sql: string, parameters: readonly unknown[]) {
  const result = await open.query(sql, parameters);
  return { rows: decodeRows(result), affectedRows: result.affectedRows };
}

function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}

function transactionEnded(): MillraceError {
  return new MillraceError(
    'SINK_MISCONFIGURED',
    'The handler ended the transaction that the sink had opened, with a COMMIT or a ROLLBACK in its SQL or in a procedure ' +
      'that it calls. The ledger was not written, so what the handler may have committed is applied again when its ' +
      'records are delivered again. Remove the statement; SAVEPOINT and ROLLBACK TO are allowed.',
  );
}

function ledgerLost({ consumer, epoch }: LedgerKey, of: TopicPartition): MillraceError {
  return new MillraceError(
    'SINK_MISCONFIGURED',
    `millrace_ledger has no row that this transaction can see for consumer ${consumer}, epoch ${epoch}, ${nameOf(of)}, ` +
      'although it was created. Nothing was committed. Check the table for row-level security, triggers or deletes.',
    { details: { consumer, epoch, topic: of.topic, partition: of.partition } },
  );
}

import type { ConsumerRecord, TopicPartition } from '../record.ts';
import type { LedgerPatch, LedgerView } from './ledger.ts';

/** The SQL that a handler may run inside the sink's transaction. Parameters are $1, $2 …; never text. */
export interface SqlTransaction {
  /**
   * Runs one statement, after those called before it. Parameters: null, strings, numbers, bigints, booleans, Dates,
   * bytes, arrays of these, and objects as JSON; the statement gives them their types. Rows come back as objects:
   * bigint as a number, timestamptz as a Date, json parsed, bytea as a Buffer, numeric and arrays as text.
   * `affectedRows` counts rows inserted, updated, deleted or merged.
   */
  query<Row = Record<string, unknown>>(
    sql: string,
    parameters?: readonly unknown[],
  ): Promise<{ readonly rows: readonly Row[]; readonly affectedRows: number }>;
}

/** What an archive's handler writes to. */
export interface ArchiveTransaction {
  /** Adds records of the batch to the objects that the transaction writes, one row each, as they came. */
  append(records: readonly ConsumerRecord<unknown>[]): Promise<void>;
}

/** Sinks by the name a consumer declares, each with what its handler gets as `tx`. */
export interface SinkTransactions {
  readonly postgres: SqlTransaction;
  readonly s3: ArchiveTransaction;
}
export type SinkKind = keyof SinkTransactions;

/** Which ledgers a batch touches, and the offsets it holds of each: `[from, to)`. */
export interface LedgerRequest extends TopicPartition {
  readonly from: number;
  readonly to: number;
}

export interface LedgerKey {
  readonly consumer: string;
  readonly epoch: number;
}

/** One open transaction: the handler's effects and the ledger, committed together or not at all. */
export interface SinkTransaction<Tx> {
  readonly tx: Tx;
  /**
   * Locks the ledgers until the transaction ends, in an order that cannot deadlock, and reads each with the holes
   * that meet its request's offsets. A partition without a ledger yet gives one with `first` and `next` null, and
   * is locked all the same.
   */
  lockLedgers(key: LedgerKey, requests: readonly LedgerRequest[]): Promise<readonly LedgerView[]>;
  writeLedgers(key: LedgerKey, patches: readonly LedgerPatch[]): Promise<void>;
  /**
   * Runs `work` as a part of the transaction: takes back what it changed where it rejects, and rejects with the very error
   * that `work` threw; the transaction can go on. Parts may hold parts, and stand one after the other, never side by side.
   * `work` gets a `tx` of its own, which takes no statement once `work` has settled: what `work` left running cannot reach
   * the next part.
   */
  savepoint<Result>(work: (tx: Tx) => Promise<Result>): Promise<Result>;
  /** Whether a statement is with the sink and unanswered: tells a slow sink from a slow handler. */
  isWaiting(): boolean;
}

export interface Sink<Tx> {
  /**
   * Runs `work` in one transaction: commits when it resolves, rolls back when it rejects, and rejects with the
   * very error that `work` threw. When `signal` aborts, rejects with its reason, the transaction is rolled back and
   * no later statement of it takes effect, even where `work` is still running.
   * Errors of the sink's own are SINK_UNAVAILABLE, SINK_CONFLICT, SINK_REJECTED or SINK_MISCONFIGURED, those that
   * `tx` throws included; a statement after the end is HANDLER_FAILED. Where the commit itself is lost or aborted,
   * its outcome is unknown, and the ledger tells it at the next try.
   */
  transaction<Result>(
    work: (transaction: SinkTransaction<Tx>) => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result>;
}

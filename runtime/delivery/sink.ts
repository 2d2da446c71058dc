import type { ConsumerRecord, Position, RawRecord, TopicPartition } from '../record.ts';
import type { BreakerState } from './breaker.ts';
import type { LedgerPatch, LedgerView } from './ledger.ts';
import type { OffsetRange } from './offset-ranges.ts';

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
  /** What the sink remembers of keys whose records have failed. Absent where it cannot: an archive writes no state by key. */
  readonly keys?: KeyStore;
  /** What the sink remembers of failures that the code is to blame for. Absent where it cannot: an archive runs no code of the project. */
  readonly breaker?: BreakerStore;
  /** Which events were applied lately. Absent where the sink cannot keep that. */
  readonly seen?: SeenStore;
}

/** The breaker's state of each consumer, in the sink's transaction. */
export interface BreakerStore {
  /** As `read`, of what was committed last: locks nothing and waits for nobody. */
  glance(key: LedgerKey): Promise<{ readonly state: BreakerState; readonly settled: number }>;
  /**
   * Locks the consumer's state until the transaction ends, and reads it, with how many offsets its ledgers have settled by
   * then. A transaction that locks ledgers locks them before: the other order could deadlock.
   */
  read(key: LedgerKey): Promise<{ readonly state: BreakerState; readonly settled: number }>;
  /** Keeps the state that was read and locked, changed. */
  write(key: LedgerKey, state: BreakerState): Promise<void>;
}

/** An event by its identity, which no other event of its partition has, at a time of the partition's log. */
export interface Sighting extends TopicPartition {
  readonly id: string;
  /** Epoch milliseconds, 0 to 8.64e15. */
  readonly at: number;
}

/** Ids of events that were applied, in the sink's transaction. Name partitions only whose ledgers it has locked. */
export interface SeenStore {
  /**
   * Tells of each sighting when its id was seen, where that was within `windowMs` of it; null where it was not, and then
   * the id is seen from now on. An id stands once a partition. By one statement, which also forgets some of what no
   * sighting can meet any more.
   */
  see(key: LedgerKey, sightings: readonly Sighting[], windowMs: number): Promise<readonly (number | null)[]>;
  /** Takes back what `see` has added in this transaction. */
  forget(key: LedgerKey, sightings: readonly Sighting[]): Promise<void>;
}

/** A record's place among those of its key. Keys are compared by their bytes, and belong to their partition. */
export interface KeyPosition extends Position {
  readonly key: Buffer;
}

/** What is remembered of a key: nothing, unless it has open letters or parked records. */
export interface KeyState extends TopicPartition {
  readonly key: Buffer;
  /** The lowest offset of its letters that later records wait for; null without one. */
  readonly firstLetter: number | null;
  /** The lowest offset of its parked records; null without one. */
  readonly firstParked: number | null;
  /** How many of its records are parked. */
  readonly parked: number;
  /** Which of the offsets asked for are open letters of the key. `overtakenBy`: a newer record that was applied since. */
  readonly letters: readonly { readonly offset: number; readonly overtakenBy: number | null }[];
  /** Which of the offsets asked for are parked. */
  readonly parkedAt: readonly number[];
}

/** A letter whose record failed just now. */
export interface OpenedLetter extends KeyPosition {
  /** Whether later records of its key wait for it. */
  readonly isWaitedFor: boolean;
  readonly overtakenBy: number | null;
}

/** What a transaction changes of what is remembered. Each list may be empty. */
export interface KeyChange {
  /**
   * Letters that are open from now on; one that is open already keeps what is known of it. A sink may forget a key's letters
   * 90 days after the newest, where no record waits.
   */
  readonly opened: readonly OpenedLetter[];
  /** Letters whose record is applied, whoever had discarded them before. */
  readonly closed: readonly KeyPosition[];
  /** Letters that their key waits for no longer, though they stay open. */
  readonly released: readonly KeyPosition[];
  /** The newest record of each key that was applied: it overtakes the key's letters below it, which the key waits for no longer. */
  readonly applied: readonly KeyPosition[];
  /** Records to park, each once, as they came. */
  readonly parked: readonly RawRecord[];
  /** Parked records that are applied, or are letters now. */
  readonly unparked: readonly KeyPosition[];
  /** Partitions by whether they may have parked records that wait for no letter. */
  readonly draining: readonly (TopicPartition & { readonly isDraining: boolean })[];
  /** Offsets that somebody discarded on purpose, so that an audit can tell. */
  readonly discarded: readonly (TopicPartition & { readonly offsets: readonly OffsetRange[] })[];
}

/** A change of nothing, to build others from. */
export const NO_CHANGE: KeyChange = {
  opened: [],
  closed: [],
  released: [],
  applied: [],
  parked: [],
  unparked: [],
  draining: [],
  discarded: [],
};

export interface Parked {
  readonly records: number;
  /** As `parkedBytes` counts them. */
  readonly bytes: number;
}

/** Of its key, value and headers. */
export function parkedBytes({ key, value, headers }: RawRecord): number {
  return headers.reduce(
    (total, header) => total + header.name.length + (header.value?.length ?? 0),
    (key?.length ?? 0) + (value?.length ?? 0),
  );
}

/**
 * Letters and parked records by key, in the sink's transaction. Ask for partitions only whose ledgers this transaction has
 * locked: the lock is what keeps a key's order. A partition whose view has no `keys` has nothing to read.
 */
export interface KeyStore {
  /** The states of the keys that have one, by one statement; also what is parked for the consumer in all. */
  read(
    key: LedgerKey,
    positions: readonly KeyPosition[],
  ): Promise<{ readonly states: readonly KeyState[]; readonly parkedInAll: Parked }>;
  /** Writes what has changed, and the counts of `LedgerView.keys`: one statement for each kind of change that there is. */
  write(key: LedgerKey, change: KeyChange): Promise<void>;
  /**
   * Parked records that wait for no letter, as they came, with their partition's lowest offsets first: at most `most`, and at least
   * one where there is any. Of each key they are its first.
   */
  nextParked(
    key: LedgerKey,
    partitions: readonly TopicPartition[],
    most: { readonly records: number; readonly bytes: number },
  ): Promise<readonly RawRecord[]>;
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

/**
 * The ports: all that the engine asks of the outside world. Each has one contract suite in `test/ports/` that
 * every adapter passes. Nothing in `runtime/` reaches a clock, randomness, the network or a disk but through these.
 */
import type { AvroSchema, Contract } from './contract.ts';
import type { DeadLetter } from './dead-letter.ts';
import type { LedgerPatch, LedgerView } from './ledger.ts';
import type { Header, Position, RawRecord, TopicPartition } from './record.ts';

export interface Clock {
  /** Epoch milliseconds. */
  now(): number;
  /** Resolves after `ms`, or as soon as `signal` aborts. Never rejects. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
}

export interface Logger {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** What one invocation did, in counts and milliseconds. */
export interface BatchReport {
  readonly consumer: string;
  readonly topic: string;
  /** Records delivered, duplicates included. */
  readonly records: number;
  /** Key and value bytes delivered. */
  readonly bytes: number;
  readonly applied: number;
  /** Records delivered that were settled already. */
  readonly duplicates: number;
  readonly deadLettered: number;
  /** Offsets that the event source passed over, seen for the first time. */
  readonly holes: number;
  /** Attempts beyond the first: of a record, or of a line that was held. */
  readonly retries: number;
  /** Records that go back to the event source. */
  readonly returned: number;
  readonly batchMs: number;
  /** The part of `batchMs` spent in `handle`. */
  readonly handlerMs: number;
}

export interface Metrics {
  /** Called once an invocation, whatever its end. */
  report(report: BatchReport): void;
}

/** A registry's name for a schema: a UUID for Glue, a decimal number for Confluent. */
export type SchemaId = string;

export interface SchemaRegistry {
  /**
   * The schema registered under `id`, or undefined where the registry knows no such id.
   * @throws REGISTRY_UNAVAILABLE when the registry did not answer
   */
  schemaById(id: SchemaId): Promise<AvroSchema | undefined>;
  /**
   * The id under which the contract's newest version is registered.
   * @throws SCHEMA_UNKNOWN when it is not registered; REGISTRY_UNAVAILABLE when the registry did not answer
   */
  latestId(contract: Contract<never>): Promise<SchemaId>;
}

/** A record on its way to a topic. Its partition follows from its key, as Kafka's own producers choose it. */
export interface OutgoingRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: readonly Header[];
  /** Epoch milliseconds. @default the time of sending */
  readonly timestamp?: number;
}

export interface Producer {
  /**
   * Appends records in the given order and resolves when they are durable, with the position of each.
   * @throws TOPIC_UNKNOWN; PUBLISH_FAILED when none or only some were taken
   */
  send(topic: string, records: readonly OutgoingRecord[]): Promise<readonly Position[]>;
}

export interface TopicAdmin {
  /** Creates the topic, or leaves it as it is where it exists with as many partitions. @throws INPUT_INVALID where it has another number */
  createTopic(topic: string, partitions: number): Promise<void>;
}

/** What an event source needs of a log: reading by offset, and where each consumer group stands. */
export interface LogReader {
  /** @throws TOPIC_UNKNOWN */
  partitions(topic: string): Promise<number>;
  /** Records from `fromOffset` on in offset order, up to `maxRecords`; empty at the end of the partition. */
  read(from: TopicPartition, fromOffset: number, maxRecords: number): Promise<readonly RawRecord[]>;
  /** The oldest offset still kept, and the offset the next record will get. */
  bounds(of: TopicPartition): Promise<{ readonly start: number; readonly end: number }>;
  /** The offset of the first record with a timestamp at or after `timestampMs`; the end where there is none. */
  offsetAt(of: TopicPartition, timestampMs: number): Promise<number>;
  /** The offset to go on from, undefined where the group never committed. */
  committed(group: string, of: TopicPartition): Promise<number | undefined>;
  /** Commits atomically; `offset` is the next one to read. */
  commit(group: string, offsets: readonly Position[]): Promise<void>;
}

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

/** Sinks by the name a consumer declares, each with what its handler gets as `tx`. */
export interface SinkTransactions {
  readonly postgres: SqlTransaction;
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

export interface DeadLetterStore {
  /** Durable when it resolves. Letters with an id the store has already are kept beside it or instead of it. @throws DEAD_LETTER_STORE_UNAVAILABLE */
  put(letters: readonly DeadLetter[]): Promise<void>;
}

/** Looking at dead letters without changing anything: no visibility timeout, no receive count. */
export interface DeadLetterReader {
  /** Oldest first; `after` is the last id of the page before. @throws DEAD_LETTER_UNREADABLE, DEAD_LETTER_STORE_UNAVAILABLE */
  list(
    consumer: string,
    page: { readonly limit: number; readonly after?: string },
  ): Promise<readonly DeadLetter[]>;
  /** The newest letter with this `consumer/topic/partition/offset`, undefined where there is none. */
  find(id: string): Promise<DeadLetter | undefined>;
  count(consumer: string): Promise<number>;
}

export interface QueueMessage {
  readonly id: string;
  readonly body: string;
  /** Epoch milliseconds. */
  readonly sentAt: number;
  /** How often it has been received, this time included. */
  readonly receiveCount: number;
}

/** A queue as SQS has them: at-least-once, a received message is hidden for a while and comes back unless deleted. */
export interface Queue {
  /** Durable when it resolves. */
  send(bodies: readonly string[]): Promise<void>;
  /** Up to `maxMessages` visible messages, oldest first, each hidden for `visibilityMs`. */
  receive(options: {
    readonly maxMessages: number;
    readonly visibilityMs: number;
  }): Promise<readonly (QueueMessage & { readonly receipt: string })[]>;
  /** Deletes what was received; a receipt that a later receive has replaced deletes nothing. */
  delete(receipts: readonly string[]): Promise<void>;
  /** Looks without hiding: visible and hidden messages, oldest first. */
  browse(options: { readonly limit: number; readonly after?: string }): Promise<readonly QueueMessage[]>;
  /** Messages in the queue, hidden ones included. */
  depth(): Promise<number>;
}

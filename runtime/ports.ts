/**
 * The ports: all that the engine asks of the outside world. Each has one contract suite in `test/ports/` that
 * every adapter passes. Nothing in `runtime/` reaches a clock, randomness, the network or a disk but through these.
 */
import type { AvroSchema, Contract } from './contract.ts';
import type { DeadLetter } from './dead-letters/dead-letter.ts';
import type { PayloadPointer } from './dead-letters/json-envelope.ts';
import type { MillraceError } from './errors.ts';
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

/** What became of the messages of one invocation by the redrive queue, in counts. */
export interface RedriveReport {
  readonly consumer: string;
  readonly topic: string;
  readonly applied: number;
  /** Letters whose record was settled already: acknowledged, and nothing changed. */
  readonly alreadyApplied: number;
  /** Letters that are dead letters once more. */
  readonly failedAgain: number;
  /** Messages of another consumer, or that cannot be read. */
  readonly refused: number;
  /** Letters to be delivered again: early ones, or the line was held. */
  readonly returned: number;
}

export interface Metrics {
  /** Called once for each batch that was settled, by delivery or by redrive, whatever its end. */
  report(report: BatchReport): void;
  /** Called once an invocation by the redrive queue. */
  reportRedrive(report: RedriveReport): void;
}

/** What became of the events of one request to the collector, in counts. */
export interface CollectReport {
  readonly topic: string;
  readonly accepted: number;
  readonly refused: number;
  readonly failed: number;
}

export interface CollectMetrics {
  /** Called once for each request whose events were judged. */
  reportCollect(report: CollectReport): void;
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

/** A registry that versions can be put into. Only `register` does so, never reading or publishing. */
export interface SchemaRegistrar extends SchemaRegistry {
  /**
   * Registers the contract's versions, oldest first, and gives the id of each. What is registered already stays as it is.
   * @throws CONTRACT_INCOMPATIBLE when the registry does not take a version: those before it are registered
   * @throws INPUT_INVALID when there is no such registry; REGISTRY_UNAVAILABLE when it did not answer
   */
  register(contract: Contract<never>): Promise<readonly SchemaId[]>;
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
  /**
   * Where to go on after `read` has found nothing from `fromOffset` on: behind offsets that hold no record and never will,
   * such as the marks of transactions. A log without such offsets need not have it.
   */
  passed?(of: TopicPartition, fromOffset: number): Promise<number>;
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

export interface DeadLetterStore {
  /** Durable when it resolves. Letters with an id the store has already are kept beside it or instead of it. @throws DEAD_LETTER_STORE_UNAVAILABLE */
  put(letters: readonly DeadLetter[]): Promise<void>;
}

/**
 * One copy of a dead letter, as it is stored. Its letter has no key, value and headers where `payload` says that they
 * are in an object.
 */
export interface StoredLetter {
  /** The store's own name for this copy, the same each time one looks: two copies of a letter have two. */
  readonly copy: string;
  /** Epoch milliseconds, from which the store's retention counts. */
  readonly storedAt: number;
  readonly letter: DeadLetter;
  readonly payload: PayloadPointer | null;
  /** The message as it stands in its queue; null where the letter is not in one. */
  readonly message: OutgoingMessage | null;
}

/** What stands among the dead letters and is none that can be read. */
export interface UnreadableLetter {
  readonly copy: string;
  readonly storedAt: number;
  readonly error: MillraceError;
  readonly message: OutgoingMessage | null;
}

/** One consumer's dead letters, for the person who looks after them. */
export interface DeadLetterShelf {
  /**
   * Every copy that is there when the look begins, each once, roughly oldest first. Looking costs nothing but on SQS,
   * which hides what it shows: until the loop ends, and at most for a minute.
   * @throws QUEUE_UNAVAILABLE, OBJECT_STORE_UNAVAILABLE, TOPIC_UNKNOWN
   */
  look(): AsyncIterable<StoredLetter | UnreadableLetter>;
  /** Takes copies away for good. One that is gone already is no error. Between `look` and this, not a minute may pass. */
  remove(copies: readonly (StoredLetter | UnreadableLetter)[]): Promise<void>;
}

export interface OutgoingMessage {
  readonly body: string;
  /** Text by name, shown beside the message by whatever shows queues. @default none */
  readonly attributes?: Readonly<Record<string, string>>;
}

export interface QueueMessage {
  /** Stays the same however often the message is received. */
  readonly id: string;
  readonly body: string;
  readonly attributes: Readonly<Record<string, string>>;
  /** Epoch milliseconds. */
  readonly sentAt: number;
  /** How often it has been received, this time included. */
  readonly receiveCount: number;
  /** What `delete` and `release` take. A later receive replaces it. */
  readonly receipt: string;
}

/** The most that a message may have, attributes included: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html (2026-11-25) */
export const MAX_MESSAGE_BYTES = 1_048_576;

/**
 * A queue as SQS has them: at-least-once, roughly in order; a received message is hidden for a while and comes back
 * unless deleted. With a redrive policy, a message that was received `maxReceiveCount` times goes to the dead-letter
 * queue instead of being received once more, with its id and the time it was sent.
 * Every method throws QUEUE_UNAVAILABLE when the queue does not answer.
 */
export interface Queue {
  /** Durable when it resolves. @throws QUEUE_UNAVAILABLE when not all were taken: some may have been, or one is over MAX_MESSAGE_BYTES */
  send(messages: readonly OutgoingMessage[]): Promise<void>;
  /** Up to `maxMessages` visible messages, each hidden for `visibilityMs`. */
  receive(options: {
    readonly maxMessages: number;
    readonly visibilityMs: number;
  }): Promise<readonly QueueMessage[]>;
  /** Deletes what was received; a receipt that a later receive has replaced deletes nothing. */
  delete(receipts: readonly string[]): Promise<void>;
  /** Makes received messages visible again. */
  release(receipts: readonly string[]): Promise<void>;
  /**
   * Every message that is there when the look begins, each once. SQS can show only what it hides: there this receives,
   * raises receive counts, misses what somebody else is holding, and releases what was not deleted when the loop ends.
   */
  look(): AsyncIterable<QueueMessage>;
  /** Messages in the queue, hidden ones included; a guess where the queue is distributed. */
  depth(): Promise<number>;
}

/** Moves all visible messages from a dead-letter queue to another queue, as SQS's message move tasks do. */
export interface MessageMover {
  /**
   * Resolves when the move is over. A moved message is a new one: with another id, sent now, received never; body and
   * attributes are the same. Messages that somebody is holding stay where they are.
   * @throws INPUT_INVALID when the queue is no other queue's dead-letter queue, or a move from it is under way
   * @throws QUEUE_UNAVAILABLE when it ended before all were moved
   */
  move(options: {
    readonly maxPerSecond: number;
    readonly onProgress?: (moved: number) => void;
  }): Promise<{ readonly moved: number }>;
}

export interface StoredObject {
  readonly key: string;
  /** Epoch milliseconds. */
  readonly storedAt: number;
  readonly bytes: number;
}

/** Objects by key, as S3 has them. Every method throws OBJECT_STORE_UNAVAILABLE when the store does not answer. */
export interface ObjectStore {
  /** Durable, and seen by every later `get` and `list`, when it resolves. Replaces an object of that key. */
  put(key: string, body: Buffer): Promise<void>;
  get(key: string): Promise<Buffer | undefined>;
  /** Objects whose keys begin with `prefix`, in the order of their keys' UTF-8 bytes. */
  list(prefix: string): AsyncIterable<StoredObject>;
  /** One that is not there is no error. */
  delete(keys: readonly string[]): Promise<void>;
}

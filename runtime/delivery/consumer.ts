import type { Topic } from '../contract/contract.ts';
import { MillraceError } from '../errors.ts';
import type { Logger } from '../ports.ts';
import type { ConsumerRecord } from '../record.ts';
import type { Replay } from './ledger.ts';
import type { SinkKind, SinkTransactions } from './sink.ts';

/** One step forward for the sink's tables. Applied once, in order, never edited after it has shipped. */
export interface Migration {
  readonly name: string;
  readonly sql: string;
}

export interface HandlerContext<Tx, Value> {
  /** The sink's open transaction: what is written here commits with the ledger, once. */
  readonly tx: Tx;
  /**
   * Gives a record up: it becomes a dead letter now, with no retry, and the others of the batch go through. The
   * handler must not have written effects of it. To have a record retried, throw instead.
   */
  fail(record: ConsumerRecord<Value>, error: unknown): void;
  /** Aborts when the handler's time is over; pass it to whatever can wait. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Set where the records are replayed, and effects outside `tx` should be left out. @default undefined: the live consumer */
  readonly replay?: Replay;
}

/**
 * Applies the records' effects, one flush for all of them. May run again for records whose effects were rolled
 * back, so effects outside `tx` are at-least-once, with `record.id` as their idempotency key. It gets the same
 * records then, and must not change them. When it throws, the batch is split until the bad record stands alone;
 * throw `MillraceError('DEPENDENCY_UNAVAILABLE', …)` for what no record is to blame for.
 */
export type Handle<Value, Tx> = (
  records: readonly ConsumerRecord<Value>[],
  context: HandlerContext<Tx, Value>,
) => Promise<void>;

interface ConsumerDeclaration<Value, Kind extends SinkKind> {
  /** The consumer group id, and the name of the consumer's role in the database. Immutable once deployed. */
  readonly name: string;
  readonly topic: Topic<Value>;
  readonly sink: Kind;
  /** The tables that `handle` writes; applied before the consumer starts. */
  readonly migrations?: readonly Migration[];
  /** @default 5,000 records, 500 ms: Lambda's own window, and a batch that amortises a transaction */
  readonly batch?: { readonly maxRecords?: number; readonly windowMs?: number };
  /** Exponential backoff with full jitter. @default 3 attempts, 100 ms to 5 s */
  readonly retry?: { readonly attempts?: number; readonly baseMs?: number; readonly maxMs?: number };
  /** How long one invocation may take, up to 840,000. @default 60,000 */
  readonly timeoutMs?: number;
  /** The function's memory, 128 to 10,240 MB; Lambda gives CPU by it. @default 1,024: more than half a CPU */
  readonly memoryMb?: number;
  /** Function instances at most, and set aside for this consumer. @default none: as many as there are partitions */
  readonly reservedConcurrency?: number;
  /** @default 'sqs' */
  readonly deadLetter?: 'sqs' | 'kafka';
  /** With `deadLetter: 'kafka'`. @default `<topic>.<name>.dead-letters` */
  readonly deadLetterTopic?: string;
  /**
   * What happens to later records of a dead letter's key. `continue`: they are applied. `park-key`: they are parked in the
   * sink until the letter is applied, skipped or discarded, so that each key stays in order. @default 'continue'
   */
  readonly onDeadLetter?: 'continue' | 'park-key';
  /** With `park-key`: how much may be parked. @default 10,000 records a key, 100,000 and 1 GiB in all, then 'dead-letter' */
  readonly parkLimit?: Partial<ParkLimit>;
  /**
   * What a redrive does with a letter after whose record a newer one of its key was applied. `refuse`: it stays a dead letter
   * unless the redrive permits it. `apply`: for handlers whose effects do not depend on order. @default 'refuse'
   */
  readonly onOvertaken?: 'refuse' | 'apply';
  /**
   * Holds records instead of dead-lettering them while the code, not the records, is broken.
   * @default 15 minutes at most for each version of the code, all failures together
   */
  readonly breaker?: false | { readonly holdMs?: number };
  /** Drops an event whose contract's `identity` was applied within the window. @default none: each record is an event */
  readonly once?: OncePolicy;
  /** When the event source gives a batch up and goes on; takes provisioned pollers. @default never, while it is kept */
  readonly giveUp?: GiveUpPolicy;
  /** Messages behind. @default a warning at 10,000, an incident at 100,000 */
  readonly lag?: { readonly warning?: number; readonly incident?: number };
  /** Where a group that never committed begins. @default 'TRIM_HORIZON': the oldest record kept */
  readonly startingPosition?: 'TRIM_HORIZON' | 'LATEST' | { readonly atTimestampMs: number };
  /** Raise by one when the topic was deleted and created again, so that the ledger starts over. @default 1 */
  readonly epoch?: number;
  readonly handle: Handle<Value, SinkTransactions[Kind]>;
}

/** A consumer group with one handler, on one topic. Made by `defineConsumer`, never by hand. */
export interface Consumer<Value = unknown, Kind extends SinkKind = SinkKind> {
  readonly name: string;
  readonly topic: Topic<Value>;
  readonly sink: Kind;
  readonly migrations: readonly Migration[];
  readonly batch: { readonly maxRecords: number; readonly windowMs: number };
  readonly retry: RetryPolicy;
  readonly timeoutMs: number;
  readonly memoryMb: number;
  readonly reservedConcurrency?: number;
  readonly deadLetter: 'sqs' | 'kafka';
  readonly deadLetterTopic: string;
  readonly onDeadLetter: 'continue' | 'park-key';
  readonly parkLimit: ParkLimit;
  readonly onOvertaken: 'refuse' | 'apply';
  readonly breaker: false | { readonly holdMs: number };
  readonly once?: OncePolicy;
  readonly giveUp: GiveUpPolicy;
  readonly lag: { readonly warning: number; readonly incident: number };
  readonly startingPosition: 'TRIM_HORIZON' | 'LATEST' | { readonly atTimestampMs: number };
  readonly epoch: number;
  readonly handle: Handle<Value, SinkTransactions[Kind]>;
}

/**
 * Deliveries after the first, where the declaration does not say. Lambda cuts "for ever" down to ten where there is a
 * destination, and ten are over within minutes of an outage:
 * https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure-destination.html (2026-11-24). So the most there is.
 */
export const MOST_RETRIES = 10_000;

/** The batch's records become holes of the ledger, and the batch itself lands in the consumer's bucket. */
export interface GiveUpPolicy {
  /** Deliveries after the first, 0 to 10,000. @default 10,000: outages last, and nothing is gained by giving up */
  readonly afterRetries?: number;
  /** The record's age, 60,000 to 604,800,000. @default none */
  readonly afterAgeMs?: number;
}

/** How many records may wait behind dead letters, and how much they may hold. */
export interface ParkLimit {
  readonly perKey: number;
  /** Of all keys of the consumer together. */
  readonly total: number;
  /** Of the keys, values and headers of all of these records. */
  readonly totalBytes: number;
  /** Whether a record beyond the limit becomes a dead letter, or its partition waits. */
  readonly then: 'dead-letter' | 'hold';
}

export interface OncePolicy {
  /** By the log's time, whatever the clock says: 1,000 to 604,800,000. */
  readonly windowMs: number;
}

export interface RetryPolicy {
  /** Tries in all, the first included. */
  readonly attempts: number;
  readonly baseMs: number;
  readonly maxMs: number;
}

/** A consumer of any topic and sink, for code that runs them without looking inside a record. */
// biome-ignore lint/suspicious/noExplicitAny: `handle` takes what its own contract and sink give; only `any` accepts each.
export type AnyConsumer = Consumer<any, any>;

/**
 * MSK publishes no lag metric for a group with a colon in its id, which Lambda itself would allow. PostgreSQL cuts a
 * role's name after 63 bytes, and `<name>-owner` is one. A database has roles already: PostgreSQL's, RDS's, and
 * Millrace's own, by whose name its migrations go.
 * https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS,
 * https://www.postgresql.org/docs/current/sql-createrole.html,
 * https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraPostgreSQL.Reference.html (2026-11-26)
 */
const CONSUMER_NAME =
  /^(?!(pg_|rds_|millrace(_|$)|(rds[a-z]*admin|postgres|public|none)$))[a-z\d][\w.-]{0,56}$/i;

const NAME_CHARACTERS = 'letters, digits, ".", "_" and "-"';

const TOPIC_NAME = /^[\w.-]{1,249}$/;

// https://docs.aws.amazon.com/lambda/latest/dg/with-msk-configure.html (2026-11-24): 14 minutes for a Kafka event source.
const MAX_TIMEOUT_MS = 840_000;

/** What an environment may set too: from, to. */
export const RANGES = { memoryMb: [128, 10_240], reservedConcurrency: [1, 100_000] } as const;

/**
 * Declares a consumer, with every default filled in. The one declaration drives the Lambda function, its event
 * source mapping, its alarms and the local event source.
 * @throws CONSUMER_INVALID when a field is not allowed, naming the field, what it got and what it takes
 */
export function defineConsumer<Value, Kind extends SinkKind>(
  declaration: ConsumerDeclaration<Value, Kind>,
): Consumer<Value, Kind> {
  return consumerOf(declaration, 'defineConsumer');
}

/** @param by what the person has called, and is told to correct */
export function consumerOf<Value, Kind extends SinkKind>(
  declaration: ConsumerDeclaration<Value, Kind>,
  by: 'defineConsumer' | 'defineArchive',
): Consumer<Value, Kind> {
  const consumer: Consumer<Value, Kind> = {
    migrations: [],
    timeoutMs: 60_000,
    memoryMb: 1_024,
    deadLetter: 'sqs',
    deadLetterTopic: `${declaration.topic.name}.${declaration.name}.dead-letters`,
    onDeadLetter: 'continue',
    onOvertaken: 'refuse',
    giveUp: {},
    startingPosition: 'TRIM_HORIZON',
    epoch: 1,
    ...declaration,
    batch: { maxRecords: 5_000, windowMs: 500, ...declaration.batch },
    retry: { attempts: 3, baseMs: 100, maxMs: 5_000, ...declaration.retry },
    lag: { warning: 10_000, incident: 100_000, ...declaration.lag },
    parkLimit: {
      perKey: 10_000,
      total: 100_000,
      totalBytes: 2 ** 30,
      // biome-ignore lint/suspicious/noThenProperty: a word of the declaration; nobody awaits a limit.
      then: 'dead-letter',
      ...declaration.parkLimit,
    },
    breaker: declaration.breaker !== false && { holdMs: 900_000, ...declaration.breaker },
  };
  const { name, batch, retry, lag, parkLimit, onDeadLetter, onOvertaken, breaker, once } = consumer;
  const check = (field: string, got: unknown, isAllowed: boolean, allowed: string) => {
    if (isAllowed) return;
    throw new MillraceError(
      'CONSUMER_INVALID',
      `Consumer ${JSON.stringify(name)}: ${field} is ${JSON.stringify(got)}; it takes ${allowed}. Change it in ${by}().`,
      { details: { consumer: name, field } },
    );
  };
  const checkWhole = (field: string, got: number, from: number, to: number) =>
    check(
      field,
      got,
      Number.isInteger(got) && got >= from && got <= to,
      `a whole number from ${from} to ${to}`,
    );

  check(
    'name',
    name,
    CONSUMER_NAME.test(name),
    `up to 57 ${NAME_CHARACTERS}, a letter or digit first, and no role's name`,
  );
  checkWhole('batch.maxRecords', batch.maxRecords, 1, 10_000);
  check(
    'batch.windowMs',
    batch.windowMs,
    batch.windowMs === 500 ||
      (batch.windowMs % 1_000 === 0 && batch.windowMs >= 0 && batch.windowMs <= 300_000),
    "500 (Lambda's default) or whole seconds up to 300,000",
  );
  checkWhole('retry.attempts', retry.attempts, 1, 100);
  checkWhole('retry.baseMs', retry.baseMs, 0, 900_000);
  checkWhole('retry.maxMs', retry.maxMs, retry.baseMs, 900_000);
  checkWhole('timeoutMs', consumer.timeoutMs, 1_000, MAX_TIMEOUT_MS);
  checkWhole('memoryMb', consumer.memoryMb, ...RANGES.memoryMb);
  checkWhole('reservedConcurrency', consumer.reservedConcurrency ?? 1, ...RANGES.reservedConcurrency);
  const { afterRetries = 0, afterAgeMs = 60_000 } = consumer.giveUp;
  checkWhole('giveUp.afterRetries', afterRetries, 0, 10_000);
  checkWhole('giveUp.afterAgeMs', afterAgeMs, 60_000, 604_800_000);
  check(
    'deadLetterTopic',
    consumer.deadLetterTopic,
    consumer.deadLetterTopic !== consumer.topic.name && TOPIC_NAME.test(consumer.deadLetterTopic),
    `a topic other than the one it consumes, of up to 249 ${NAME_CHARACTERS}`,
  );
  check(
    'onDeadLetter',
    onDeadLetter,
    onDeadLetter === 'continue' || (onDeadLetter === 'park-key' && consumer.sink === 'postgres'),
    `"continue"${consumer.sink === 'postgres' ? ' or "park-key"' : ": only the sink 'postgres' can park records"}`,
  );
  // Whose keys a batch held that the event source gave up on, nobody knows: later records of them have gone by.
  check(
    'giveUp',
    declaration.giveUp,
    onDeadLetter === 'continue' || Object.keys(consumer.giveUp).length === 0,
    'nothing with onDeadLetter: "park-key", since a batch that is given up would leave its keys out of order',
  );
  checkWhole('parkLimit.perKey', parkLimit.perKey, 1, 1_000_000);
  checkWhole('parkLimit.total', parkLimit.total, parkLimit.perKey, 10_000_000);
  checkWhole('parkLimit.totalBytes', parkLimit.totalBytes, 1, Number.MAX_SAFE_INTEGER);
  check(
    'parkLimit.then',
    parkLimit.then,
    ['dead-letter', 'hold'].includes(parkLimit.then),
    '"dead-letter" or "hold"',
  );
  check('onOvertaken', onOvertaken, ['refuse', 'apply'].includes(onOvertaken), '"refuse" or "apply"');
  if (breaker) checkWhole('breaker.holdMs', breaker.holdMs, 1_000, 86_400_000);
  if (once) {
    check(
      'once',
      once,
      consumer.sink === 'postgres',
      "nothing: only the sink 'postgres' keeps the ids of events",
    );
    check(
      'once',
      once,
      consumer.topic.format === 'avro' && consumer.topic.identity !== undefined,
      "nothing, unless the topic's contract names its event's identity",
    );
    checkWhole('once.windowMs', once.windowMs, 1_000, 604_800_000);
  }
  checkWhole('epoch', consumer.epoch, 1, 2_147_483_647);
  checkWhole('lag.warning', lag.warning, 1, Number.MAX_SAFE_INTEGER);
  checkWhole('lag.incident', lag.incident, lag.warning, Number.MAX_SAFE_INTEGER);
  // A record must be able to use up its retries inside one invocation, or it would hold its partition for ever.
  const waitingMs = longestWaitMs(retry);
  check(
    'retry',
    retry,
    waitingMs <= consumer.timeoutMs / 2,
    `a policy that waits at most half of timeoutMs in all (${consumer.timeoutMs / 2} ms; this one waits up to ${waitingMs} ms)`,
  );
  return Object.freeze(consumer);
}

/** The longest that a record's retries can wait in all. */
function longestWaitMs({ attempts, baseMs, maxMs }: RetryPolicy): number {
  let total = 0;
  for (let attempt = 1; attempt < attempts; attempt++) total += Math.min(maxMs, baseMs * 2 ** (attempt - 1));
  return total;
}

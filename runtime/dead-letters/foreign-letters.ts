/**
 * Records of dead-letter topics that other tools wrote, as dead letters of ours. Most tools copy the record and add
 * headers of their own, which `DIALECTS` lists; Lambda writes a JSON document instead.
 * docs/dead-letters-of-other-tools.md says the same in words.
 *
 * Where a record was dead-lettered more than once, it has several sets of headers, the oldest first. Where it came from
 * is what the first set says: the later ones name dead-letter topics. Why it failed is what the last of them says.
 */
import { MillraceError } from '../errors.ts';
import type { Header, RawRecord, TimestampType } from '../record.ts';
import { type DeadLetter, deadLetterId, type FailureStage } from './dead-letter.ts';
import { unreadable } from './fields.ts';
import { isGivenUpBatch, readGivenUpBatch, topicsInPayload } from './given-up-batch.ts';

/** Whose letters they become. */
interface Owner {
  readonly consumer: string;
  readonly epoch: number;
}

interface Dialect {
  readonly tool: string;
  /** How it writes numbers: as 4 or 8 bytes, big endian and signed, or as UTF-8 decimal text. */
  readonly numbers: 'bytes' | 'text';
  readonly headers: DialectHeaders;
  /** Headers that have to be there as well, because anybody may call a header as this dialect's first is called. */
  readonly needs?: readonly string[];
  /** Why a record without key and value may be one whose bytes were left out, not one that has none. */
  readonly bytesLeftOut?: string;
}

/** The names of a dialect's headers. Of a list, the first that the record has counts. */
interface DialectHeaders {
  readonly topic: string;
  readonly partition: string;
  readonly offset: string;
  readonly timestamp?: string;
  readonly timestampType?: string;
  readonly attempts?: string;
  readonly stage?: string;
  readonly name?: readonly string[];
  readonly message?: readonly string[];
  readonly stack?: readonly string[];
  readonly cause?: string;
  /** Those that say nothing a letter has room for. */
  readonly others?: readonly string[];
}

const DIALECTS: readonly Dialect[] = [
  {
    // https://github.com/spring-projects/spring-kafka/blob/main/spring-kafka/src/main/java/org/springframework/kafka/listener/DeadLetterPublishingRecoverer.java
    // and .../support/KafkaHeaders.java (2026-11-25). By default the original-* are added again each time (with
    // appendOriginalHeaders false they are only added once), and the exception's are replaced. The dlt-key-* stand
    // for the others where it was the key that did not deserialize. The cause is a class name alone.
    tool: 'spring-kafka',
    numbers: 'bytes',
    headers: {
      topic: 'kafka_dlt-original-topic',
      partition: 'kafka_dlt-original-partition',
      offset: 'kafka_dlt-original-offset',
      timestamp: 'kafka_dlt-original-timestamp',
      timestampType: 'kafka_dlt-original-timestamp-type',
      name: ['kafka_dlt-exception-fqcn', 'kafka_dlt-key-exception-fqcn'],
      message: ['kafka_dlt-exception-message', 'kafka_dlt-key-exception-message'],
      stack: ['kafka_dlt-exception-stacktrace', 'kafka_dlt-key-exception-stacktrace'],
      cause: 'kafka_dlt-exception-cause-fqcn',
      others: ['kafka_dlt-original-consumer-group'],
    },
  },
  {
    // https://github.com/spring-cloud/spring-cloud-stream/blob/main/binders/kafka-binder/spring-cloud-stream-binder-kafka/src/main/java/org/springframework/cloud/stream/binder/kafka/KafkaMessageChannelBinder.java
    // (2026-11-25): the same encodings as Spring for Apache Kafka; added again each time.
    tool: 'spring-cloud-stream',
    numbers: 'bytes',
    headers: {
      topic: 'x-original-topic',
      partition: 'x-original-partition',
      offset: 'x-original-offset',
      timestamp: 'x-original-timestamp',
      timestampType: 'x-original-timestamp-type',
      name: ['x-exception-fqcn'],
      message: ['x-exception-message'],
      stack: ['x-exception-stacktrace'],
    },
  },
  {
    // https://github.com/apache/kafka/blob/trunk/connect/runtime/src/main/java/org/apache/kafka/connect/runtime/errors/DeadLetterQueueReporter.java
    // (2026-11-25). Never adds a header that is there already. Without errors.deadletterqueue.context.headers.enable
    // it adds none at all, and the record cannot be told from any other.
    tool: 'kafka-connect',
    numbers: 'text',
    headers: {
      topic: '__connect.errors.topic',
      partition: '__connect.errors.partition',
      offset: '__connect.errors.offset',
      stage: '__connect.errors.stage',
      name: ['__connect.errors.exception.class.name'],
      message: ['__connect.errors.exception.message'],
      stack: ['__connect.errors.exception.stacktrace'],
      others: ['__connect.errors.connector.name', '__connect.errors.task.id', '__connect.errors.class.name'],
    },
  },
  {
    // https://github.com/apache/kafka/blob/trunk/streams/src/main/java/org/apache/kafka/streams/errors/internals/ExceptionHandlerUtils.java
    // (2026-11-25). Added again each time. The message is null where the exception has none.
    tool: 'kafka-streams',
    numbers: 'text',
    headers: {
      topic: '__streams.errors.topic',
      partition: '__streams.errors.partition',
      offset: '__streams.errors.offset',
      name: ['__streams.errors.exception'],
      message: ['__streams.errors.message'],
      stack: ['__streams.errors.stacktrace'],
    },
    // https://cwiki.apache.org/confluence/display/KAFKA/KIP-1034%3A+Dead+letter+queue+in+Kafka+Streams (2026-11-25):
    // sourceRawKey() and sourceRawValue() are null in punctuators and production handlers.
    bytesLeftOut: 'Kafka Streams has none for what failed in a punctuator or while it was produced',
  },
  {
    // https://cwiki.apache.org/confluence/display/KAFKA/KIP-1191:+Dead-letter+queues+for+share+groups and
    // https://github.com/apache/kafka/blob/trunk/server/src/main/java/org/apache/kafka/server/share/dlq/ShareGroupDLQStateManager.java
    // (2026-11-25). The record's own headers are not copied; delivery.count and message may be absent.
    tool: 'kafka-share-group',
    numbers: 'text',
    headers: {
      topic: '__dlq.errors.topic',
      partition: '__dlq.errors.partition',
      offset: '__dlq.errors.offset',
      attempts: '__dlq.errors.delivery.count',
      message: ['__dlq.errors.message'],
      others: ['__dlq.errors.group'],
    },
    // https://github.com/apache/kafka/blob/trunk/group-coordinator/src/main/java/org/apache/kafka/coordinator/group/GroupConfig.java
    // (2026-11-25): the setting is false by default.
    bytesLeftOut: 'the share group copies them only with errors.deadletterqueue.copy.record.enable',
  },
  {
    // https://github.com/karafka/karafka/blob/master/lib/karafka/pro/processing/strategies/dlq/default.rb and
    // https://karafka.io/docs/Upgrades-2.5 (2026-11-25). Replaced each time. Before Karafka 2.5 they began with
    // original_, and the record's key was replaced: those records are not read. It tells nothing of the error.
    tool: 'karafka',
    numbers: 'text',
    headers: {
      topic: 'source_topic',
      partition: 'source_partition',
      offset: 'source_offset',
      attempts: 'source_attempts',
      others: ['source_consumer_group', 'source_trace_id'],
    },
    needs: ['source_partition', 'source_offset', 'source_consumer_group', 'source_attempts'],
  },
];

/**
 * The letter that another tool's record stands for; undefined where the record is in no dialect known here.
 * Its schema id is null: it is found when the letter is redriven.
 * @throws DEAD_LETTER_UNREADABLE where the record is in a dialect and damaged, naming the header
 */
export function fromForeignRecord(record: RawRecord, of: Owner): DeadLetter | undefined {
  const dialect = dialectOf(record.headers);
  return dialect ? fromHeaders(record, dialect, of) : fromLambda(record, of);
}

function dialectOf(headers: readonly Header[]): Dialect | undefined {
  for (const header of headers) {
    const dialect = DIALECTS.find((each) => each.headers.topic === header.name);
    if (dialect && (dialect.needs ?? []).every((name) => headers.some((each) => each.name === name)))
      return dialect;
  }
  return undefined;
}

function fromHeaders(from: RawRecord, dialect: Dialect, { consumer, epoch }: Owner): DeadLetter {
  const { headers: names, bytesLeftOut } = dialect;
  const { key, value } = from;
  if (bytesLeftOut && key === null && value === null) {
    // As a letter it would be a tombstone, and a redrive might delete what the record was to write.
    throw unreadable('the key and the value', null, `one of them: ${bytesLeftOut}`);
  }
  const read = new HeaderReader(from.headers, dialect.numbers);
  const own = new Set(Object.values(names).flat());
  const record: RawRecord = {
    topic: read.topic(names.topic),
    partition: read.number(names.partition, INT32),
    offset: read.number(names.offset, INT64),
    ...timeOf(from, read, names),
    key,
    value,
    headers: from.headers.filter((header) => !own.has(header.name)),
  };
  const cause = read.text([names.cause], MAX_NAME_CHARS);
  const failedAt = Math.max(0, from.timestamp);
  return {
    id: deadLetterId(consumer, record),
    consumer,
    epoch,
    record,
    schemaId: null,
    failure: {
      stage: stageOf(read.text([names.stage], MAX_NAME_CHARS)),
      code: 'DEAD_LETTERED_ELSEWHERE',
      name: read.text(names.name, MAX_NAME_CHARS) ?? 'DeadLetteredElsewhere',
      message: read.text(names.message, MAX_MESSAGE_CHARS) ?? '',
      stack: read.text(names.stack, MAX_STACK_CHARS) ?? '',
      causes: cause === undefined ? [] : [{ name: cause, message: '' }],
      attempts: read.has(names.attempts) ? read.number(names.attempts, INT32) : 1,
      firstFailedAt: failedAt,
      lastFailedAt: failedAt,
      earlier: [],
    },
    functionName: dialect.tool,
    functionVersion: '',
    requestId: '',
  };
}

const MAX_NAME_CHARS = 512;
const MAX_MESSAGE_CHARS = 4_096;
const MAX_STACK_CHARS = 8_192;

/** The original's time where the dialect has it; else the dead-letter record's, which some tools copy from it. */
function timeOf(
  from: RawRecord,
  read: HeaderReader,
  names: DialectHeaders,
): Pick<RawRecord, 'timestamp' | 'timestampType'> {
  if (!read.has(names.timestamp)) return { timestamp: from.timestamp, timestampType: from.timestampType };
  return {
    timestamp: read.number(names.timestamp, { ...INT64, from: -1 }),
    timestampType: read.has(names.timestampType) ? read.timestampType(names.timestampType) : 'CREATE_TIME',
  };
}

/**
 * KEY_CONVERTER, VALUE_CONVERTER, HEADER_CONVERTER read bytes; TRANSFORMATION, TASK_PUT and the like come after.
 * https://github.com/apache/kafka/blob/trunk/connect/runtime/src/main/java/org/apache/kafka/connect/runtime/errors/Stage.java
 * (2026-11-25)
 */
function stageOf(connectStage: string | undefined): FailureStage {
  return connectStage?.endsWith('_CONVERTER') ? 'decode' : 'handle';
}

/** A kind of number: its bytes, and what it may be. Offsets and times above 2^53-1 are not exact in JavaScript. */
interface Int {
  readonly bytes: 4 | 8;
  readonly from: number;
  readonly to: number;
}

const INT32: Int = { bytes: 4, from: 0, to: 2 ** 31 - 1 };
const INT64: Int = { bytes: 8, from: 0, to: Number.MAX_SAFE_INTEGER };

/**
 * What `toString()` of Kafka's TimestampType gives.
 * https://github.com/apache/kafka/blob/trunk/clients/src/main/java/org/apache/kafka/common/record/TimestampType.java
 * (2026-11-25)
 */
const TIMESTAMP_TYPE_NAMES: Readonly<Record<string, TimestampType>> = {
  CreateTime: 'CREATE_TIME',
  LogAppendTime: 'LOG_APPEND_TIME',
  NoTimestampType: 'NO_TIMESTAMP_TYPE',
};

/** Reads a dialect's headers: of several with one name, the first for where and when, the last for why. */
class HeaderReader {
  readonly #headers: readonly Header[];
  readonly #numbers: Dialect['numbers'];

  constructor(headers: readonly Header[], numbers: Dialect['numbers']) {
    this.#headers = headers;
    this.#numbers = numbers;
  }

  has(name: string | undefined): name is string {
    return name !== undefined && this.#first(name) !== undefined;
  }

  topic(name: string): string {
    const topic = this.#first(name)?.value?.toString();
    if (topic === undefined || !/^[\w.-]{1,249}$/.test(topic))
      throw this.#refused(name, 'the name of a topic');
    return topic;
  }

  timestampType(name: string): TimestampType {
    const type = this.#first(name)?.value?.toString() ?? '';
    if (!Object.hasOwn(TIMESTAMP_TYPE_NAMES, type))
      throw this.#refused(name, Object.keys(TIMESTAMP_TYPE_NAMES).join(', '));
    return TIMESTAMP_TYPE_NAMES[type]!;
  }

  number(name: string, int: Int): number {
    const bytes = this.#first(name)?.value;
    const number = bytes ? parseNumber(bytes, this.#numbers, int) : Number.NaN;
    if (number >= int.from && number <= int.to) return number;
    const form = this.#numbers === 'text' ? 'as decimal text' : `in ${int.bytes} bytes, big endian`;
    throw this.#refused(name, `a whole number from ${int.from} to ${int.to}, ${form}`);
  }

  /** At most so many characters of the text; undefined where there is no such header, or all are null. */
  text(names: readonly (string | undefined)[] | undefined, maxChars: number): string | undefined {
    const last = (names ?? []).map((name) => this.#headers.findLast((header) => header.name === name)?.value);
    // A character takes 3 bytes at most: no more of a long stack is read than is kept.
    return last
      .find((value) => value)
      ?.toString('utf8', 0, maxChars * 3)
      .slice(0, maxChars);
  }

  #first(name: string): Header | undefined {
    return this.#headers.find((header) => header.name === name);
  }

  #refused(name: string, allowed: string): MillraceError {
    const header = this.#first(name);
    return unreadable(name, header?.value ? header.value.toString() : header?.value, allowed);
  }
}

/** NaN where the bytes are no number of this kind. */
function parseNumber(value: Buffer, form: Dialect['numbers'], { bytes }: Int): number {
  const text = form === 'text' ? value.toString('latin1') : undefined;
  if (text !== undefined) return /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (value.length !== bytes) return Number.NaN;
  return bytes === 4 ? value.readInt32BE() : Number(value.readBigInt64BE());
}

/** Lambda's document for a Kafka topic, which holds one record. */
function fromLambda({ value }: RawRecord, of: Owner): DeadLetter | undefined {
  const document = value?.includes('"KafkaBatchInfo"') ? jsonOf(value) : undefined;
  if (!isGivenUpBatch(document)) return undefined;
  const letters = lettersOfOneTopic(document, of);
  if (letters.length !== 1) {
    const { payload } = document as { readonly payload?: unknown };
    throw unreadable('payload', payload, 'an event that holds one record');
  }
  return { ...letters[0]!, functionName: 'lambda', functionVersion: '' };
}

/** None where the document holds records of no topic or of several: there is no consumer's topic to go by here. */
function lettersOfOneTopic(document: unknown, of: Owner): readonly DeadLetter[] {
  const [topic, another] = topicsInPayload(document) ?? [];
  if (topic === undefined || another !== undefined) return [];
  try {
    return readGivenUpBatch(document, { ...of, topic }).letters;
  } catch (error) {
    // A record of a topic that its array is not named after.
    if (error instanceof MillraceError && error.code === 'EVENT_FOREIGN_TOPIC') return [];
    throw error;
  }
}

function jsonOf(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}

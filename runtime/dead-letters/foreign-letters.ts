/**
 * Records of dead-letter topics that other tools wrote, as dead letters of ours. Most tools copy the record and add
 * headers of their own, which `TOOLS` lists; Lambda writes a JSON document instead.
 * docs/dead-letters-of-other-tools.md says the same in words.
 *
 * A record that was dead-lettered more than once has several sets of headers. The oldest set says where it came from:
 * the later ones name dead-letter topics. The newest says why it failed.
 */

import { dateMs } from '../dates.ts';
import { type DeadLetter, deadLetterId, type FailureStage } from '../delivery/dead-letter.ts';
import { MillraceError } from '../errors.ts';
import type { Header, RawRecord, TimestampType } from '../record.ts';
import { unreadable } from './fields.ts';
import { isGivenUpBatch, readGivenUpBatch, topicsInPayload } from './given-up-batch.ts';

/** Whose letters they become. */
interface Owner {
  readonly consumer: string;
  readonly epoch: number;
}

/** What a tool's header says. `nextAttempt` is one more than the attempts made; a letter has no room for `unused`. */
type Meaning =
  | 'topic'
  | 'partition'
  | 'offset'
  | 'timestamp'
  | 'timestampType'
  | 'attempts'
  | 'nextAttempt'
  | 'stage'
  | 'name'
  | 'message'
  | 'stack'
  | 'causeName'
  | 'causeMessage'
  | 'unused';

type Meanings = Readonly<Record<string, Meaning>>;

interface Tool {
  readonly name: string;
  /** How it writes numbers: big endian and signed, 4 bytes or 8; or as decimal text. */
  readonly numbers: 'binary' | 'text';
  /** What the names of its headers begin with, those in `others` excepted. */
  readonly prefix: string;
  readonly headers: Meanings;
  readonly others?: Meanings;
  /** Headers that must be there beside the topic's, where anybody may call a header as the tool does. */
  readonly needs?: readonly string[];
  /** It puts its headers before those that are there already, so the newest set comes first. */
  readonly newestFirst?: true;
  /** It gives the dead-letter record the failed record's time. */
  readonly keepsTimestamp?: true;
  /** Why a record without key and value may be one whose bytes were left out, not one that has none. */
  readonly bytesLeftOut?: string;
}

/** The names that the tools of Spring share. The `key-` ones are there where it was the key that did not deserialize. */
const SPRING: Meanings = {
  'original-topic': 'topic',
  'original-partition': 'partition',
  'original-offset': 'offset',
  'original-timestamp': 'timestamp',
  'original-timestamp-type': 'timestampType',
  'exception-fqcn': 'name',
  'exception-message': 'message',
  'exception-stacktrace': 'stack',
  'exception-cause-fqcn': 'causeName',
  'key-exception-fqcn': 'name',
  'key-exception-message': 'message',
  'key-exception-stacktrace': 'stack',
};

const TOOLS: readonly Tool[] = [
  {
    // https://github.com/spring-projects/spring-kafka/blob/main/spring-kafka/src/main/java/org/springframework/kafka/listener/DeadLetterPublishingRecoverer.java
    // and .../support/KafkaHeaders.java (2026-11-25). By default the original-* are added again each time (with
    // appendOriginalHeaders false they are only added once), and the exception's are replaced.
    name: 'spring-kafka',
    numbers: 'binary',
    prefix: 'kafka_dlt-',
    headers: SPRING,
    others: { 'kafka_dlt-original-consumer-group': 'unused' },
  },
  {
    // https://github.com/spring-projects/spring-kafka/blob/main/spring-kafka/src/main/java/org/springframework/kafka/retrytopic/DeadLetterPublishingRecovererFactory.java
    // (2026-11-26): what @RetryableTopic calls the same. The original-* are added once.
    name: 'spring-kafka-retry',
    numbers: 'binary',
    prefix: 'kafka_',
    headers: SPRING,
    others: {
      'kafka_dlt-original-consumer-group': 'unused',
      'retry_topic-attempts': 'nextAttempt',
      'retry_topic-original-timestamp': 'unused',
      'retry_topic-backoff-timestamp': 'unused',
    },
  },
  {
    // https://github.com/spring-cloud/spring-cloud-stream/blob/main/binders/kafka-binder/spring-cloud-stream-binder-kafka/src/main/java/org/springframework/cloud/stream/binder/kafka/KafkaMessageChannelBinder.java
    // (2026-11-25): the same encodings as Spring for Apache Kafka; added again each time.
    name: 'spring-cloud-stream',
    numbers: 'binary',
    prefix: 'x-',
    headers: SPRING,
  },
  {
    // https://github.com/apache/kafka/blob/trunk/connect/runtime/src/main/java/org/apache/kafka/connect/runtime/errors/DeadLetterQueueReporter.java
    // (2026-11-25). Never adds a header that is there already. Without errors.deadletterqueue.context.headers.enable
    // it adds none at all, and the record cannot be told from any other.
    name: 'kafka-connect',
    numbers: 'text',
    prefix: '__connect.errors.',
    headers: {
      topic: 'topic',
      partition: 'partition',
      offset: 'offset',
      stage: 'stage',
      'exception.class.name': 'name',
      'exception.message': 'message',
      'exception.stacktrace': 'stack',
      'connector.name': 'unused',
      'task.id': 'unused',
      'class.name': 'unused',
    },
    keepsTimestamp: true,
  },
  {
    // https://github.com/apache/kafka/blob/trunk/streams/src/main/java/org/apache/kafka/streams/errors/internals/ExceptionHandlerUtils.java
    // (2026-11-25). Added again each time. The message is null where the exception has none.
    name: 'kafka-streams',
    numbers: 'text',
    prefix: '__streams.errors.',
    headers: {
      topic: 'topic',
      partition: 'partition',
      offset: 'offset',
      exception: 'name',
      message: 'message',
      stacktrace: 'stack',
    },
    keepsTimestamp: true,
    // https://cwiki.apache.org/confluence/display/KAFKA/KIP-1034%3A+Dead+letter+queue+in+Kafka+Streams (2026-11-25):
    // sourceRawKey() and sourceRawValue() are null in punctuators and production handlers.
    bytesLeftOut: 'Kafka Streams has none for what failed in a punctuator or while it was produced',
  },
  {
    // https://cwiki.apache.org/confluence/display/KAFKA/KIP-1191:+Dead-letter+queues+for+share+groups and
    // https://github.com/apache/kafka/blob/trunk/server/src/main/java/org/apache/kafka/server/share/dlq/ShareGroupDLQStateManager.java
    // (2026-11-25). The record's own headers are not copied; delivery.count and message may be absent.
    name: 'kafka-share-group',
    numbers: 'text',
    prefix: '__dlq.errors.',
    headers: {
      topic: 'topic',
      partition: 'partition',
      offset: 'offset',
      'delivery.count': 'attempts',
      message: 'message',
      group: 'unused',
    },
    // https://github.com/apache/kafka/blob/trunk/group-coordinator/src/main/java/org/apache/kafka/coordinator/group/GroupConfig.java
    // (2026-11-25): the setting is false by default.
    bytesLeftOut: 'the share group copies them only with errors.deadletterqueue.copy.record.enable',
  },
  {
    // https://github.com/karafka/karafka/blob/master/lib/karafka/pro/processing/strategies/dlq/default.rb and
    // https://karafka.io/docs/Upgrades-2.5 (2026-11-25). Replaced each time. Before Karafka 2.5 they began with
    // original_, and the record's key was replaced: those records are not read. It tells nothing of the error.
    name: 'karafka',
    numbers: 'text',
    prefix: 'source_',
    headers: {
      topic: 'topic',
      partition: 'partition',
      offset: 'offset',
      attempts: 'attempts',
      consumer_group: 'unused',
      trace_id: 'unused',
    },
    needs: ['source_partition', 'source_offset', 'source_consumer_group', 'source_attempts'],
  },
  {
    // https://github.com/smallrye/smallrye-reactive-messaging/blob/main/smallrye-reactive-messaging-kafka/src/main/java/io/smallrye/reactive/messaging/kafka/fault/KafkaDeadLetterQueue.java
    // (2026-11-26), which Quarkus uses. Its headers come first, then the record's own, those of an earlier time included.
    name: 'smallrye',
    numbers: 'text',
    prefix: 'dead-letter-',
    headers: {
      topic: 'topic',
      partition: 'partition',
      offset: 'offset',
      'exception-class-name': 'name',
      reason: 'message',
      'cause-class-name': 'causeName',
      cause: 'causeMessage',
    },
    needs: ['dead-letter-partition', 'dead-letter-offset', 'dead-letter-reason'],
    newestFirst: true,
  },
];

/**
 * The letter that another tool's record stands for; undefined where no tool known here wrote it.
 * Its schema id is null: it is found when the letter is redriven.
 * @throws DEAD_LETTER_UNREADABLE when the headers do not say which record it was, naming the header
 */
export function fromForeignRecord(record: RawRecord, of: Owner): DeadLetter | undefined {
  const tool = toolOf(record.headers);
  return tool ? fromHeaders(record, tool, of) : fromLambda(record, of);
}

/** The tool that dead-lettered a record with such headers; undefined where none known here did. */
export function toolOf(headers: readonly Header[]): Tool | undefined {
  const has = (name: string) => headers.some((header) => header.name === name);
  for (const { name } of headers) {
    const tool = TOOLS.find((each) => meaningOf(name, each) === 'topic');
    if (tool && (tool.needs ?? []).every(has)) return tool;
  }
  return undefined;
}

function meaningOf(headerName: string, { prefix, headers, others = {} }: Tool): Meaning | undefined {
  if (Object.hasOwn(others, headerName)) return others[headerName];
  const rest = headerName.startsWith(prefix) ? headerName.slice(prefix.length) : '';
  return Object.hasOwn(headers, rest) ? headers[rest] : undefined;
}

function fromHeaders(from: RawRecord, tool: Tool, { consumer, epoch }: Owner): DeadLetter {
  const { key, value } = from;
  if (tool.bytesLeftOut && key === null && value === null) {
    // As a letter it would be a tombstone, and a redrive might delete what the record was to write.
    throw unreadable('the key and the value', null, `one of them: ${tool.bytesLeftOut}`);
  }
  const read = new HeaderReader(from.headers, tool);
  const record: RawRecord = {
    topic: read.topic(),
    partition: read.position('partition', INT32),
    offset: read.position('offset', INT64),
    ...timeOf(from, read, tool),
    key,
    value,
    headers: from.headers.filter(({ name }) => meaningOf(name, tool) === undefined),
  };
  const causeName = read.text('causeName', MAX_NAME_CHARS);
  const causeMessage = read.text('causeMessage', MAX_MESSAGE_CHARS) ?? '';
  // When it failed is nothing to refuse a letter for, whatever time its record has.
  const failedAt = dateMs(from.timestamp);
  return {
    id: deadLetterId(consumer, record),
    consumer,
    epoch,
    record,
    schemaId: null,
    failure: {
      stage: stageOf(read.text('stage', MAX_NAME_CHARS)),
      code: 'DEAD_LETTERED_ELSEWHERE',
      name: read.text('name', MAX_NAME_CHARS) ?? 'DeadLetteredElsewhere',
      message: read.text('message', MAX_MESSAGE_CHARS) ?? '',
      stack: read.text('stack', MAX_STACK_CHARS) ?? '',
      causes: causeName === undefined ? [] : [{ name: causeName, message: causeMessage }],
      attempts: read.attempts(),
      firstFailedAt: failedAt,
      lastFailedAt: failedAt,
      earlier: [],
    },
    functionName: tool.name,
    functionVersion: '',
    requestId: '',
  };
}

const MAX_NAME_CHARS = 512;
const MAX_MESSAGE_CHARS = 4_096;
const MAX_STACK_CHARS = 8_192;

type Time = Pick<RawRecord, 'timestamp' | 'timestampType'>;

const UNKNOWN_TIME: Time = { timestamp: -1, timestampType: 'NO_TIMESTAMP_TYPE' };

/**
 * The failed record's time, where the tool tells it. The dead-letter record's own is a later one, which would make the
 * topic look as if it had been made anew.
 */
function timeOf(from: RawRecord, read: HeaderReader, { keepsTimestamp }: Tool): Time {
  const timestamp = read.timestamp();
  if (timestamp !== undefined) return { timestamp, timestampType: read.timestampType() };
  if (!keepsTimestamp || from.timestampType !== 'CREATE_TIME') return UNKNOWN_TIME;
  return { timestamp: from.timestamp, timestampType: 'CREATE_TIME' };
}

/**
 * KEY_CONVERTER, VALUE_CONVERTER, HEADER_CONVERTER read bytes; TRANSFORMATION, TASK_PUT and the like come after.
 * https://github.com/apache/kafka/blob/trunk/connect/runtime/src/main/java/org/apache/kafka/connect/runtime/errors/Stage.java
 * (2026-11-25)
 */
function stageOf(connectStage: string | undefined): FailureStage {
  return connectStage?.endsWith('_CONVERTER') ? 'decode' : 'handle';
}

/** A position's bytes, and the greatest it may be: above 2^53-1 an offset is not exact in JavaScript. */
interface Int {
  readonly bytes: 4 | 8;
  readonly to: number;
}

const INT32: Int = { bytes: 4, to: 2 ** 31 - 1 };
const INT64: Int = { bytes: 8, to: Number.MAX_SAFE_INTEGER };

/**
 * What `toString()` of Kafka's TimestampType gives.
 * https://github.com/apache/kafka/blob/trunk/clients/src/main/java/org/apache/kafka/common/record/TimestampType.java
 * (2026-11-25)
 */
const TIMESTAMP_TYPES_BY_NAME: ReadonlyMap<string | undefined, TimestampType> = new Map([
  ['CreateTime', 'CREATE_TIME'],
  ['LogAppendTime', 'LOG_APPEND_TIME'],
  ['NoTimestampType', 'NO_TIMESTAMP_TYPE'],
]);

/** Reads a tool's headers: of several that say the same, the oldest for where and when, the newest for why. */
class HeaderReader {
  readonly #oldestFirst: readonly Header[];
  readonly #tool: Tool;

  constructor(headers: readonly Header[], tool: Tool) {
    this.#oldestFirst = tool.newestFirst ? headers.toReversed() : headers;
    this.#tool = tool;
  }

  topic(): string {
    const topic = this.#oldest('topic')?.toString();
    if (topic === undefined || !/^[\w.-]{1,249}$/.test(topic))
      throw this.#refused('topic', 'the name of a topic');
    return topic;
  }

  position(meaning: 'partition' | 'offset', { bytes, to }: Int): number {
    const number = this.#number(meaning, bytes);
    if (number !== undefined && number >= 0 && number <= to) return number;
    const form = this.#tool.numbers === 'text' ? 'as decimal text' : `in ${bytes} bytes, big endian`;
    throw this.#refused(meaning, `a whole number from 0 to ${to}, ${form}`);
  }

  timestamp(): number | undefined {
    return this.#number('timestamp', 8);
  }

  timestampType(): TimestampType {
    return TIMESTAMP_TYPES_BY_NAME.get(this.#oldest('timestampType')?.toString()) ?? 'CREATE_TIME';
  }

  attempts(): number {
    const attempts = this.#number('attempts', 4) ?? (this.#number('nextAttempt', 4) ?? 0) - 1;
    return Number.isSafeInteger(attempts) ? Math.max(attempts, 1) : 1;
  }

  /** At most so many characters of the text; undefined where there is no such header, or it is null. */
  text(meaning: Meaning, maxChars: number): string | undefined {
    // A character takes 3 bytes at most: no more of a long stack is read than is kept.
    return this.#oldestFirst
      .findLast(({ name }) => meaningOf(name, this.#tool) === meaning)
      ?.value?.toString('utf8', 0, maxChars * 3)
      .slice(0, maxChars);
  }

  /** Undefined where there is no such header, or its bytes are no number. */
  #number(meaning: Meaning, bytes: 4 | 8): number | undefined {
    const value = this.#oldest(meaning);
    if (!value) return undefined;
    if (this.#tool.numbers === 'text') {
      const text = value.toString('latin1');
      return /^-?\d{1,19}$/.test(text) ? Number(text) : undefined;
    }
    if (value.length !== bytes) return undefined;
    return bytes === 4 ? value.readInt32BE() : Number(value.readBigInt64BE());
  }

  #oldest(meaning: Meaning): Buffer | null | undefined {
    return this.#oldestFirst.find(({ name }) => meaningOf(name, this.#tool) === meaning)?.value;
  }

  #refused(meaning: Meaning, allowed: string): MillraceError {
    const { prefix, headers } = this.#tool;
    const [rest] = Object.entries(headers).find(([, each]) => each === meaning)!;
    const value = this.#oldest(meaning);
    return unreadable(prefix + rest, value ? value.toString() : value, allowed);
  }
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

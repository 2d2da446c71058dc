/**
 * The dead letter as a Kafka record: key, value and headers are the failed record's own, to the byte; what is known of
 * its failure follows them as further headers, UTF-8 text each. docs/dead-letters.md lists them.
 */

import { type DeadLetter, deadLetterId } from '../delivery/dead-letter.ts';
import { type Header, isExactTimestamp, type RawRecord, TIMESTAMP_TYPES } from '../record.ts';
import type { OutgoingRecord } from '../topics.ts';
import { Fields, parseJson, unreadable } from './fields.ts';
import { checkVersion, decodeFailure, ENVELOPE_VERSION } from './json-envelope.ts';

const PREFIX = 'millrace.dlq.';

/** How many of the record's headers are its own: those before ours, whatever they are called. */
const OWN_HEADERS = 'own-headers';

export function toKafkaRecord({ record, failure, ...letter }: DeadLetter): OutgoingRecord {
  const { stack, causes, earlier, ...facts } = failure;
  const headers: Record<string, string | number> = {
    version: ENVELOPE_VERSION,
    id: letter.id,
    consumer: letter.consumer,
    epoch: letter.epoch,
    topic: record.topic,
    partition: record.partition,
    offset: record.offset,
    timestamp: record.timestamp,
    ...(!isExactTimestamp(record.timestamp) && { 'timestamp-is-inexact': 'true' }),
    'timestamp-type': record.timestampType,
    ...(letter.schemaId !== null && { 'schema-id': letter.schemaId }),
    stage: facts.stage,
    'error-code': facts.code,
    'error-name': facts.name,
    'error-message': facts.message,
    attempts: facts.attempts,
    'first-failed-at': facts.firstFailedAt,
    'last-failed-at': facts.lastFailedAt,
    detail: JSON.stringify({ stack, causes, earlier }),
    'function-name': letter.functionName,
    'function-version': letter.functionVersion,
    'request-id': letter.requestId,
    [OWN_HEADERS]: record.headers.length,
  };
  const ours = Object.entries(headers).map(
    ([name, value]): Header => ({ name: PREFIX + name, value: Buffer.from(String(value)) }),
  );
  return { key: record.key, value: record.value, headers: [...record.headers, ...ours] };
}

/** Whether a record of a dead-letter topic is one of ours. */
export function isKafkaLetter({ headers }: RawRecord): boolean {
  return headers.some(isLastOfOurs);
}

/** What a replicator or a tracing agent adds stands behind it. */
function isLastOfOurs({ name }: Header): boolean {
  return name === PREFIX + OWN_HEADERS;
}

/**
 * The letter that `toKafkaRecord` wrote.
 * @throws DEAD_LETTER_UNREADABLE, DEAD_LETTER_VERSION_UNKNOWN when the record is not such a letter, naming the header
 */
export function fromKafkaRecord({ key, value, headers }: RawRecord): DeadLetter {
  const end = headers.findLastIndex(isLastOfOurs);
  const ownCount = Number(headers[end]?.value?.toString());
  if (!Number.isInteger(ownCount) || ownCount < 0 || ownCount > end) {
    throw unreadable(PREFIX + OWN_HEADERS, headers[end]?.value, 'the number of headers before ours');
  }
  const fields = new HeaderFields(headers.slice(ownCount, end));
  checkVersion(fields.text('version'));
  const consumer = fields.text('consumer');
  const record: RawRecord = {
    topic: fields.text('topic'),
    partition: fields.whole('partition'),
    offset: fields.whole('offset'),
    timestamp: fields.finite('timestamp'),
    timestampType: TIMESTAMP_TYPES.find((type) => type === fields.text('timestamp-type')) ?? 'CREATE_TIME',
    key,
    value,
    headers: headers.slice(0, ownCount),
  };
  if (fields.text('id') !== deadLetterId(consumer, record)) {
    throw unreadable(`${PREFIX}id`, fields.text('id'), 'consumer/topic/partition/offset of its own record');
  }
  return {
    id: fields.text('id'),
    consumer,
    epoch: fields.whole('epoch'),
    record,
    schemaId: fields.find('schema-id') ?? null,
    failure: decodeFailure(
      new Fields({
        ...(parseJson(fields.text('detail')) as object),
        stage: fields.text('stage'),
        code: fields.text('error-code'),
        name: fields.text('error-name'),
        message: fields.text('error-message'),
        attempts: fields.whole('attempts'),
        firstFailedAt: fields.whole('first-failed-at'),
        lastFailedAt: fields.whole('last-failed-at'),
      }),
    ),
    functionName: fields.text('function-name'),
    functionVersion: fields.text('function-version'),
    requestId: fields.text('request-id'),
  };
}

class HeaderFields {
  readonly #headers: readonly Header[];

  constructor(headers: readonly Header[]) {
    this.#headers = headers;
  }
  find(name: string): string | undefined {
    return this.#headers.find((header) => header.name === PREFIX + name)?.value?.toString();
  }
  text(name: string): string {
    const text = this.find(name);
    if (text === undefined) throw unreadable(PREFIX + name, text, 'UTF-8 text');
    return text;
  }
  whole(name: string): number {
    const text = this.text(name);
    if (!/^\d{1,16}$/.test(text)) throw unreadable(PREFIX + name, text, 'a decimal number');
    return Number(text);
  }
  /** Any number that JavaScript writes: a timestamp may be rounded, and so long that it has an exponent. */
  finite(name: string): number {
    const text = this.text(name);
    const number = Number(text);
    if (text.trim() === '' || !Number.isFinite(number)) throw unreadable(PREFIX + name, text, 'a number');
    return number;
  }
}

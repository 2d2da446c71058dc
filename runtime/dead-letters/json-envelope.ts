/** The dead letter as JSON: the body of a queue's message, a line of an export. docs/dead-letters.md lists its fields. */

import { dateMs } from '../dates.ts';
import {
  type DeadLetter,
  deadLetterId,
  type EarlierFailure,
  type Failure,
  type FailureStage,
} from '../delivery/dead-letter.ts';
import { type ErrorCode, MillraceError } from '../errors.ts';
import { MOST_PARTITION } from '../lambda/kafka-event.ts';
import { type Header, isExactTimestamp, type RawRecord, TIMESTAMP_TYPES } from '../record.ts';
import { Fields, parseJson, unreadable } from './fields.ts';

/** Raise the second number for a field that old readers can do without, the first for anything else. */
export const ENVELOPE_VERSION = '1.0';
const MAJOR = 1;

/** Where the record's bytes are, when they were too large for a message. */
export interface PayloadPointer {
  /** The object's key in the consumer's own object store. */
  readonly objectKey: string;
  /** Of the object, in hexadecimal. */
  readonly sha256: string;
  readonly bytes: number;
}

/** A letter whose key, value and headers have to be fetched: they are missing in its record. */
export interface Envelope {
  readonly letter: DeadLetter;
  /** Null where the letter is whole. */
  readonly payload: PayloadPointer | null;
}

/** Every byte of key, value and header values is kept, as base64; null stays null. */
export function encodeDeadLetter(letter: DeadLetter): string {
  const { key, value, headers } = letter.record;
  return encode(letter, {
    key: toBase64(key),
    value: toBase64(value),
    headers: headers.map((header) => ({ name: header.name, value: toBase64(header.value) })),
  });
}

/** The letter without its bytes, which are in an object. */
export function encodeWithPointer(letter: DeadLetter, payload: PayloadPointer): string {
  return encode(letter, { payload });
}

function encode(letter: DeadLetter, content: object): string {
  const { topic, partition, offset, timestamp, timestampType } = letter.record;
  const text = JSON.stringify({
    version: ENVELOPE_VERSION,
    id: letter.id,
    consumer: letter.consumer,
    epoch: letter.epoch,
    record: {
      topic,
      partition,
      offset,
      timestamp,
      ...(!isExactTimestamp(timestamp) && { timestampIsInexact: true }),
      timestampType,
      ...content,
    },
    schemaId: letter.schemaId,
    failure: letter.failure,
    functionName: letter.functionName,
    functionVersion: letter.functionVersion,
    requestId: letter.requestId,
  });
  // SQS refuses these two; JSON need not have them as they are:
  // https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html (2026-11-25)
  return text.replace(/[\ufffe\uffff]/g, (each) => `\\u${each.charCodeAt(0).toString(16)}`);
}

/**
 * The letter that `encodeDeadLetter` wrote; fields it does not know are left out.
 * @throws DEAD_LETTER_UNREADABLE when the text is not such a letter or not a whole one, naming the field
 * @throws DEAD_LETTER_VERSION_UNKNOWN when a later major version wrote it
 */
export function decodeDeadLetter(text: string): DeadLetter {
  const { letter, payload } = decodeEnvelope(text);
  if (payload) throw unreadable('record.payload', payload, 'nothing here: the letter has to be whole');
  return letter;
}

/** As `decodeDeadLetter`, for a letter that may have its bytes elsewhere. */
export function decodeEnvelope(text: string): Envelope {
  const letter = new Fields(parseJson(text));
  checkVersion(letter.text('version'));
  const consumer = letter.text('consumer');
  const fields = letter.object('record');
  const payload = fields.has('payload') ? decodePointer(fields.object('payload')) : null;
  const record = decodeRecord(fields, payload !== null);
  letter.check('id', deadLetterId(consumer, record));
  return {
    letter: {
      id: letter.text('id'),
      consumer,
      epoch: letter.whole('epoch', 1, 2 ** 31 - 1),
      record,
      schemaId: letter.textOrNull('schemaId'),
      failure: decodeFailure(letter.object('failure')),
      functionName: letter.text('functionName'),
      functionVersion: letter.text('functionVersion'),
      requestId: letter.text('requestId'),
    },
    payload,
  };
}

/** @throws DEAD_LETTER_UNREADABLE, DEAD_LETTER_VERSION_UNKNOWN when this version of Millrace cannot read it */
export function checkVersion(version: string): void {
  const [, major] = /^(\d{1,4})\.\d{1,4}$/.exec(version) ?? [];
  if (major === undefined) throw unreadable('version', version, 'two numbers with a dot between them');
  if (Number(major) === MAJOR) return;
  throw new MillraceError(
    'DEAD_LETTER_VERSION_UNKNOWN',
    `The dead letter has version ${version}; this version of Millrace reads ${MAJOR}.x. Read it with the Millrace that ` +
      'wrote it, or a later one.',
    { details: { version } },
  );
}

function decodePointer(pointer: Fields): PayloadPointer {
  return {
    objectKey: pointer.text('objectKey'),
    sha256: pointer.text('sha256'),
    bytes: pointer.whole('bytes', 0),
  };
}

function decodeRecord(record: Fields, isElsewhere: boolean): RawRecord {
  return {
    topic: record.text('topic'),
    partition: record.whole('partition', 0, MOST_PARTITION),
    offset: record.whole('offset', 0),
    timestamp: record.number('timestamp'),
    timestampType: record.oneOf('timestampType', TIMESTAMP_TYPES),
    key: isElsewhere ? null : record.bytesOrNull('key'),
    value: isElsewhere ? null : record.bytesOrNull('value'),
    headers: isElsewhere
      ? []
      : record.objects('headers').map(
          (header): Header => ({
            name: header.text('name'),
            value: header.bytesOrNull('value'),
          }),
        ),
  };
}

/**
 * Any stage and any code is read, so that a letter outlives a rollback to a version that lacks them. A time that no date holds, which
 * another tool's letter may have, is none to refuse a letter for.
 */
export function decodeFailure(failure: Fields): Failure {
  return {
    ...decodeCause(failure),
    stack: failure.text('stack'),
    causes: failure.objects('causes').map((cause) => ({
      name: cause.text('name'),
      message: cause.text('message'),
    })),
    attempts: failure.whole('attempts', 0),
    firstFailedAt: dateMs(failure.whole('firstFailedAt', 0)),
    lastFailedAt: dateMs(failure.whole('lastFailedAt', 0)),
    earlier: failure.objects('earlier').map(
      (earlier): EarlierFailure => ({
        ...decodeCause(earlier),
        failedAt: dateMs(earlier.whole('failedAt', 0)),
      }),
    ),
  };
}

function decodeCause(failure: Fields) {
  return {
    stage: failure.text('stage') as FailureStage,
    code: failure.text('code') as ErrorCode,
    name: failure.text('name'),
    message: failure.text('message'),
  };
}

function toBase64(bytes: Buffer | null): string | null {
  return bytes === null ? null : bytes.toString('base64');
}

/**
 * The documents that Lambda writes to a Kafka event source's on-failure destination when it gives up on a batch.
 *
 *     { requestContext: { requestId, functionArn, condition, approximateInvokeCount },
 *       responseContext: { statusCode, executedVersion, functionError } | null, version: '1.0', timestamp,
 *       KafkaBatchInfo: { batchSize, eventSourceArn, bootstrapServers, payloadSize,
 *         recordsInfo: { '<topic>-<partition>': { firstRecordOffset, lastRecordOffset, ...timestamps } } },
 *       payload }
 *
 * - S3 has the event in `payload`, as an escaped JSON string; SQS and SNS have no `payload`. The conditions named are
 *   RetryAttemptsExhausted and MaximumPayloadSizeExceeded.
 *   https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html (2026-11-25)
 * - A Kafka topic has one record a message, the event as an object in `payload`, `recordInfo` for `recordsInfo`, and
 *   the condition RetriesExhausted.
 *   https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure-destination.html (2026-11-25)
 */

import { type DeadLetter, deadLetterId, type Failure } from '../delivery/dead-letter.ts';
import { MillraceError } from '../errors.ts';
import { parseKafkaEvent } from '../lambda/kafka-event.ts';
import type { RawRecord } from '../record.ts';
import { Fields, unreadable } from './fields.ts';

/** Records that a document tells of and does not hold: the offsets `[from, to)` of a partition. */
export interface MissingRecords {
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  readonly to: number;
}

/** What the records of a document become. */
export interface GivenUpBatch {
  /** Empty where the document holds no records. */
  readonly letters: readonly DeadLetter[];
  /** Empty where it does. Some of the offsets may have no record: compacted, or a transaction's marker. */
  readonly missing: readonly MissingRecords[];
}

/** Whether it is such a document, told by its shape: those of other event sources have no KafkaBatchInfo. */
export function isGivenUpBatch(document: unknown): boolean {
  return isObject(document) && isObject(document.requestContext) && isObject(document.KafkaBatchInfo);
}

/**
 * The records of the document as dead letters of the consumer, or where they are, if it does not hold them.
 * @throws EVENT_FOREIGN_TOPIC when it tells of another topic's records
 * @throws DEAD_LETTER_UNREADABLE when it is damaged, naming the field
 */
export function readGivenUpBatch(
  document: unknown,
  of: { readonly consumer: string; readonly epoch: number; readonly topic: string },
): GivenUpBatch {
  const fields = new Fields(document);
  const { payload, timestamp } = document as Readonly<Record<'payload' | 'timestamp', unknown>>;
  if (!fields.has('payload')) return { letters: [], missing: readRecordsInfo(fields, document, of.topic) };
  const records = readEvent(payload, parsePayload(payload), of.topic);
  const facts = readFacts(fields, epochMs(timestamp));
  return { letters: records.map((record) => letterOf(record, facts, of)), missing: [] };
}

/** The topics whose records the document holds. Undefined where it holds none, or they cannot be read. */
export function topicsInPayload(document: unknown): readonly string[] | undefined {
  if (!isObject(document)) return undefined;
  const event = parsePayload(document.payload);
  if (!isObject(event) || !isObject(event.records)) return undefined;
  return [...new Set(Object.keys(event.records).map((name) => splitName(name).topic))];
}

/** What a document says of all its records. */
interface Facts {
  readonly failure: Failure;
  readonly functionName: string;
  readonly functionVersion: string;
  readonly requestId: string;
}

function readFacts(fields: Fields, failedAt: number): Facts {
  const request = fields.object('requestContext');
  const attempts = request.has('approximateInvokeCount') ? request.whole('approximateInvokeCount', 0) : 0;
  const condition = request.text('condition').slice(0, MAX_CONDITION_CHARS);
  const response = fields.has('responseContext') ? fields.object('responseContext') : undefined;
  return {
    failure: {
      stage: 'deliver',
      code: 'BATCH_GIVEN_UP',
      name: 'BatchGivenUp',
      message: `The event source gave up on the batch after ${attempts} ${attempts === 1 ? 'invocation' : 'invocations'}: ${condition}.`,
      stack: '',
      causes: [],
      attempts,
      firstFailedAt: failedAt,
      lastFailedAt: failedAt,
      earlier: [],
    },
    functionName: functionNamed(textOrEmpty(request, 'functionArn')),
    functionVersion: response ? textOrEmpty(response, 'executedVersion') : '',
    requestId: textOrEmpty(request, 'requestId'),
  };
}

const MAX_CONDITION_CHARS = 200;

function letterOf(
  record: RawRecord,
  facts: Facts,
  { consumer, epoch }: { readonly consumer: string; readonly epoch: number },
): DeadLetter {
  // The id in the framing is read again when the letter is redriven: here is nobody who knows the framing.
  return { id: deadLetterId(consumer, record), consumer, epoch, record, schemaId: null, ...facts };
}

/** The event in a payload; undefined where it is no JSON. */
function parsePayload(payload: unknown): unknown {
  if (typeof payload !== 'string') return payload;
  try {
    return JSON.parse(payload);
  } catch {
    return undefined;
  }
}

function readEvent(payload: unknown, event: unknown, topic: string): readonly RawRecord[] {
  if (event === undefined) throw unreadable('payload', payload, 'the event, as JSON');
  return unmalformed('payload', payload, () => parseKafkaEvent(event, topic));
}

/** What `parse` gives; what is malformed for it is unreadable here: a person has to look at the document. */
function unmalformed<Result>(field: string, got: unknown, parse: () => Result): Result {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof MillraceError) || error.code !== 'EVENT_MALFORMED') throw error;
    // Without its message, which may quote the name of an array.
    throw unreadable(
      field,
      got,
      `the event as Lambda sent it, and differs from it at ${error.details.where}`,
    );
  }
}

/** What `Fields` has checked and cannot list. */
interface Metadata {
  readonly KafkaBatchInfo: { readonly recordsInfo: Readonly<Record<string, unknown>> };
}

function readRecordsInfo(fields: Fields, document: unknown, topic: string): readonly MissingRecords[] {
  const info = fields.object('KafkaBatchInfo');
  const ranges = info.object('recordsInfo');
  const { recordsInfo } = (document as Metadata).KafkaBatchInfo;
  const names = Object.keys(recordsInfo);
  // An event with the same names and no records: its names are checked, and the topics told from foreign ones.
  const event = { records: Object.fromEntries(names.map((name) => [name, []])) };
  unmalformed(info.pathOf('recordsInfo'), recordsInfo, () => parseKafkaEvent(event, topic));
  return names.map((name): MissingRecords => {
    const range = ranges.object(name);
    const { firstRecordOffset, lastRecordOffset } = recordsInfo[name] as Record<string, unknown>;
    const from = asOffset(firstRecordOffset, range.pathOf('firstRecordOffset'), 0);
    const last = asOffset(lastRecordOffset, range.pathOf('lastRecordOffset'), from);
    return { topic, partition: Number(splitName(name).partition), from, to: last + 1 };
  });
}

/** AWS writes offsets as decimal text; plain numbers are taken too. */
function asOffset(value: unknown, field: string, from: number): number {
  const offset = typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value;
  if (Number.isSafeInteger(offset) && (offset as number) >= from) return offset as number;
  throw unreadable(field, value, `a whole number from ${from} to 2^53-1`);
}

/** `<topic>-<partition>`: topics may hold dashes themselves. */
function splitName(name: string): { readonly topic: string; readonly partition: string } {
  const dash = name.lastIndexOf('-');
  return { topic: name.slice(0, Math.max(dash, 0)), partition: name.slice(dash + 1) };
}

function textOrEmpty(fields: Fields, name: string): string {
  return fields.has(name) ? fields.text(name) : '';
}

/** `fn` of `arn:aws:lambda:<region>:<account>:function:fn`, with a version or an alias behind it or not. */
function functionNamed(arn: string): string {
  return /:function:([^:]+)/.exec(arn)?.[1] ?? arn.slice(arn.lastIndexOf(':') + 1);
}

/** 0 where it is no time, or one before 1970: when it failed is nothing to refuse a letter for. */
function epochMs(isoTime: unknown): number {
  return typeof isoTime === 'string' ? Math.max(0, Date.parse(isoTime) || 0) : 0;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

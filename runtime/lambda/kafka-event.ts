/**
 * The event that Lambda hands a function for a batch of Kafka records.
 *
 *     { eventSource: 'aws:kafka', eventSourceArn, bootstrapServers,
 *       records: { '<topic>-<partition>': [
 *         { topic, partition, offset, timestamp, timestampType, key, value, headers: [{ name: [bytes] }] } ] } }
 *
 * https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html (2026-11-24). What that page leaves out, as people met it:
 * - key and value are base64; without a key or a value the field is absent, or null
 *   (aws-powertools/powertools-lambda-python#6508, aws-powertools/powertools-lambda-typescript#4988 and #5016);
 * - header bytes are signed, as Java's are (aws-powertools/powertools-lambda-python#6862);
 * - a null header is `{}` (Nike-Inc/hal#143), whether in place of its bytes or of the whole header;
 * - a redelivered batch may hold `records` alone.
 */
import type { Replay } from '../delivery/ledger.ts';
import { MillraceError } from '../errors.ts';
import {
  ABSENT,
  type Header,
  PackedRecord,
  type Position,
  type RawRecord,
  TIMESTAMP_TYPES,
  type TimestampType,
} from '../record.ts';

/** A batch as Lambda sends it. */
export interface KafkaEvent {
  readonly eventSource: 'aws:kafka';
  readonly eventSourceArn: string;
  readonly bootstrapServers: string;
  readonly records: Readonly<Record<string, readonly KafkaEventRecord[]>>;
  /** Not Lambda's: set where Millrace itself sends the records, to replay them. */
  readonly millraceReplay?: Replay;
}

export interface KafkaEventRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly timestampType: TimestampType;
  /** Base64, absent where the record has none. */
  readonly key?: string;
  readonly value?: string;
  readonly headers: readonly Readonly<Record<string, readonly number[] | Record<string, never>>>[];
}

/**
 * The records of one topic's batch, in partition, then offset order, whatever order they came in. A record that
 * stands twice in the batch is given once.
 *
 * An absent or null key or value is null; an empty one is an empty Buffer: in Kafka they differ. A record whose
 * timestamp, headers, key or value is not as Kafka sends it is given with its `fault` and costs the others nothing.
 * @throws EVENT_MALFORMED naming where, and what kind of thing stands there; never what it holds
 * @throws EVENT_FOREIGN_TOPIC when it holds another topic's records
 */
export function parseKafkaEvent(event: unknown, topic: string): RawRecord[] {
  if (!isObject(event)) throw malformed('EVENT_MALFORMED', 'The event', event, 'an object with `records`');
  if (!isObject(event.records))
    throw malformed('EVENT_MALFORMED', 'records', event.records, 'an object of arrays');
  const batches = Object.entries(event.records).map(([name, records]): Batch => {
    const partition = partitionNamed(name, topic);
    const where = `records[${JSON.stringify(name)}]`;
    if (!Array.isArray(records)) throw malformed('EVENT_MALFORMED', where, records, 'an array');
    return { topic, partition, where, records };
  });
  batches.sort((a, b) => a.partition - b.partition);
  return batches.flatMap(parseBatch);
}

const REPLAY_KINDS: readonly unknown[] = ['gaps', 'shadow', 'rebuild'] satisfies Replay['kind'][];

/** What the event says it replays; undefined for what Lambda sends. @throws EVENT_MALFORMED where it is not as Millrace writes it */
export function replayOf(event: unknown): Replay | undefined {
  const replay = isObject(event) ? event.millraceReplay : undefined;
  if (replay === undefined) return undefined;
  if (isObject(replay) && typeof replay.id === 'string' && REPLAY_KINDS.includes(replay.kind)) {
    return { id: replay.id, kind: replay.kind as Replay['kind'] };
  }
  throw malformed('EVENT_MALFORMED', 'millraceReplay', replay, 'an object with `id` and `kind`');
}

/** What the event holds of one partition. */
interface Batch {
  readonly topic: string;
  readonly partition: number;
  /** Its place in the event, for messages. */
  readonly where: string;
  readonly records: readonly unknown[];
}

/** Kafka's partitions are 32 bits wide. */
export const MOST_PARTITION = 2 ** 31 - 1;

/** Topic names may hold dashes and digits; the partition is what follows the last dash. */
function partitionNamed(name: string, topic: string): number {
  const match = /^(.+)-(0|[1-9]\d{0,9})$/s.exec(name);
  if (!match || Number(match[2]) > MOST_PARTITION) {
    throw new MillraceError(
      'EVENT_MALFORMED',
      `records has an array called ${JSON.stringify(name.slice(0, 260))}; the name is <topic>-<partition>.`,
      { details: { where: 'records' } },
    );
  }
  if (match[1] !== topic) throw foreign(match[1]!, topic);
  return Number(match[2]);
}

function parseBatch(batch: Batch): RawRecord[] {
  const arena = new Arena(batch.records);
  const parsed: RawRecord[] = [];
  for (const record of batch.records) parsed.push(parseRecord(record, parsed.length, batch, arena));
  return inOffsetOrder(parsed, batch.where);
}

function parseRecord(record: unknown, index: number, batch: Batch, arena: Arena): RawRecord {
  const { topic, partition } = batch;
  if (!isObject(record)) throw malformed('EVENT_MALFORMED', `${batch.where}[${index}]`, record, 'an object');
  const refused = (field: string, allowed: string) =>
    malformed('EVENT_MALFORMED', `${batch.where}[${index}].${field}`, record[field], allowed);

  const { offset, timestamp, timestampType } = record;
  if (typeof record.topic !== 'string') throw refused('topic', 'a string');
  if (record.topic !== topic) throw foreign(record.topic, topic);
  if (record.partition !== partition)
    throw refused('partition', `${partition}, as the name of its array says`);
  if (!isWhole(offset, 0)) throw refused('offset', 'a whole number from 0 to 2^53-1');
  const headers = parseHeaders(record.headers);
  const start = arena.end;
  const keyStart = arena.add(record.key);
  const valueStart = arena.add(record.value);
  const isSound =
    Number.isFinite(timestamp) &&
    isTimestampType(timestampType) &&
    headers !== undefined &&
    keyStart !== null &&
    valueStart !== null;
  if (!isSound) {
    arena.end = start;
    return faultyRecord(record, { topic, partition, offset }, `${batch.where}[${index}]`);
  }
  return new PackedRecord(
    { topic, partition, offset, timestamp: timestamp as number, timestampType, headers },
    arena.bytes,
    keyStart,
    valueStart,
    arena.end,
  );
}

/**
 * A record of a known position of which something is not as Kafka sends it: its own fault, and no other record's. It
 * carries what arrived, so that nothing of it is lost.
 */
function faultyRecord(record: Record<string, unknown>, position: Position, where: string): RawRecord {
  const { timestamp, timestampType, key, value } = record;
  const headers = parseHeaders(record.headers);
  const wrong: readonly [field: string, isWrong: boolean, allowed: string][] = [
    ['timestamp', !Number.isFinite(timestamp), 'a number'],
    ['timestampType', !isTimestampType(timestampType), TIMESTAMP_TYPES.join(', ')],
    ['headers', headers === undefined, 'an array of {name: [bytes]}'],
    ['key', !isBase64(key), 'base64, null or nothing'],
    ['value', !isBase64(value), 'base64, null or nothing'],
  ];
  const [field, , allowed] = wrong.find(([, isWrong]) => isWrong)!;
  return {
    ...position,
    timestamp: Number.isFinite(timestamp) ? (timestamp as number) : -1,
    timestampType: isTimestampType(timestampType) ? timestampType : 'NO_TIMESTAMP_TYPE',
    headers: headers ?? [{ name: 'headers', value: asArrived(record.headers) }],
    key: isBase64(key) ? fromBase64(key) : asArrived(key),
    value: isBase64(value) ? fromBase64(value) : asArrived(value),
    fault: malformed('RECORD_MALFORMED', `${where}.${field}`, record[field], allowed),
  };
}

/** The UTF-8 bytes of a text, or of what stands in its place, as JSON. */
function asArrived(value: unknown): Buffer {
  try {
    return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value));
  } catch {
    // Nested deeper than JSON.stringify goes.
    return Buffer.from('(nested too deep to be kept)');
  }
}

const EQUALS = 0x3d;

/**
 * The keys and values of one partition's batch, one after the other in one allocation: to make a Buffer of each,
 * before anybody asks for it, would double the time that parsing takes.
 */
class Arena {
  readonly bytes: Buffer;
  end = 0;

  constructor(records: readonly unknown[]) {
    let chars = 0;
    for (const record of records) {
      if (!isObject(record)) continue;
      if (typeof record.key === 'string') chars += record.key.length;
      if (typeof record.value === 'string') chars += record.value.length;
    }
    this.bytes = Buffer.allocUnsafeSlow(Math.ceil((chars / 4) * 3));
  }

  /** Adds the bytes that `text` stands for and gives where they begin: ABSENT without a text, null if it is no base64. */
  add(text: unknown): number | null {
    if (text === undefined || text === null) return ABSENT;
    if (typeof text !== 'string') return null;
    const start = this.end;
    const added = this.bytes.write(text, start, 'base64');
    // Node skips what is not base64, so that too few bytes come out; and it takes base64url for base64.
    const { length } = text;
    const padding =
      text.charCodeAt(length - 1) !== EQUALS ? 0 : text.charCodeAt(length - 2) !== EQUALS ? 1 : 2;
    const isExact = length % 4 === 0 && added === (length / 4) * 3 - padding;
    if (!isExact || text.includes('-') || text.includes('_')) return null;
    this.end = start + added;
    return start;
  }
}

/** Whether the arena would take it; for the few records that it did not. */
function isBase64(text: unknown): text is string | null | undefined {
  return new Arena([{ key: text }]).add(text) !== null;
}

function fromBase64(text: string | null | undefined): Buffer | null {
  return typeof text === 'string' ? Buffer.from(text, 'base64') : null;
}

const NO_HEADERS: readonly Header[] = Object.freeze([]);

/** Undefined where they are malformed. */
function parseHeaders(headers: unknown): readonly Header[] | undefined {
  if (headers === undefined || headers === null || isEmptyObject(headers)) return NO_HEADERS;
  if (!Array.isArray(headers)) return undefined;
  if (headers.length === 0) return NO_HEADERS;
  const parsed: Header[] = [];
  for (const header of headers) {
    if (!isObject(header)) return undefined;
    // A null header that came as `{}` has lost its name too: nothing is left of it to keep.
    for (const [name, bytes] of Object.entries(header)) {
      const value = headerValueOf(bytes);
      if (value === undefined) return undefined;
      parsed.push({ name, value });
    }
  }
  return parsed;
}

/** Undefined where it is malformed. */
function headerValueOf(bytes: unknown): Buffer | null | undefined {
  if (bytes === null || isEmptyObject(bytes)) return null;
  if (!Array.isArray(bytes) || !bytes.every(isByte)) return undefined;
  return Buffer.from(bytes); // Takes -61 for 195.
}

function inOffsetOrder(records: RawRecord[], where: string): RawRecord[] {
  const isOrdered = records.every(
    (record, index) => index === 0 || record.offset > records[index - 1]!.offset,
  );
  if (isOrdered) return records;
  const ordered: RawRecord[] = [];
  for (const record of records.toSorted((a, b) => a.offset - b.offset)) {
    const last = ordered.at(-1);
    if (last?.offset !== record.offset) ordered.push(record);
    else if (!isSameRecord(last, record)) {
      throw new MillraceError(
        'EVENT_MALFORMED',
        `${where} holds two different records of offset ${record.offset}.`,
        {
          details: { where, offset: record.offset },
        },
      );
    }
  }
  return ordered;
}

function isSameRecord(a: RawRecord, b: RawRecord): boolean {
  return a.timestamp === b.timestamp && isSame(a.key, b.key) && isSame(a.value, b.value);
}

function isSame(a: Buffer | null, b: Buffer | null): boolean {
  return a === null || b === null ? a === b : a.equals(b);
}

/** The event in which Lambda would send the records; they keep their order. */
export function encodeKafkaEvent(records: readonly RawRecord[], replay?: Replay): KafkaEvent {
  const batches: Record<string, KafkaEventRecord[]> = {};
  for (const record of records) {
    const name = `${record.topic}-${record.partition}`;
    batches[name] ??= [];
    batches[name].push(encodeRecord(record));
  }
  return {
    eventSource: 'aws:kafka',
    eventSourceArn:
      'arn:aws:kafka:us-east-1:000000000000:cluster/local/00000000-0000-0000-0000-000000000000-1',
    bootstrapServers: 'localhost:9092',
    records: batches,
    ...(replay && { millraceReplay: replay }),
  };
}

/** The bytes that a record takes in the JSON of its event: what counts against Lambda's 6 MB. */
export function kafkaEventBytes(record: RawRecord): number {
  return Buffer.byteLength(JSON.stringify(encodeRecord(record))) + ','.length;
}

function encodeRecord(record: RawRecord): KafkaEventRecord {
  const { topic, partition, offset, timestamp, timestampType, key, value, headers } = record;
  return {
    topic,
    partition,
    offset,
    timestamp,
    timestampType,
    ...(key && { key: key.toString('base64') }),
    ...(value && { value: value.toString('base64') }),
    headers: headers.map(({ name, value: bytes }) => ({ [name]: bytes ? [...new Int8Array(bytes)] : {} })),
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEmptyObject(value: unknown): boolean {
  return isObject(value) && Object.keys(value).length === 0;
}

function isWhole(value: unknown, from: number): value is number {
  return Number.isSafeInteger(value) && (value as number) >= from;
}

function isByte(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= -128 && (value as number) <= 255;
}

function isTimestampType(value: unknown): value is TimestampType {
  return TIMESTAMP_TYPES.includes(value as TimestampType);
}

function malformed(
  code: 'EVENT_MALFORMED' | 'RECORD_MALFORMED',
  where: string,
  got: unknown,
  allowed: string,
): MillraceError {
  return new MillraceError(
    code,
    `${where} is ${kindOf(got)}; it takes ${allowed}. Only Lambda's Kafka event source, or one that sends the same, ` +
      'may invoke a consumer.',
    { details: { where, got: kindOf(got) } },
  );
}

function foreign(got: string, topic: string): MillraceError {
  return new MillraceError(
    'EVENT_FOREIGN_TOPIC',
    `The event holds records of topic ${JSON.stringify(got.slice(0, 249))}; this consumer reads ` +
      `${JSON.stringify(topic)}. Correct the topic of the function's event source mapping.`,
    { details: { topic } },
  );
}

/** What a thing is, and nothing of what it holds. */
function kindOf(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'number')
    return Number.isSafeInteger(value) ? `the number ${value}` : 'a number out of range';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

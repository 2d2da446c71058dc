/** A record as a line of JSON, and back: docs/archive.md has the table of its fields. */
import { isUtf8 } from 'node:buffer';
import type { AvroSchema } from '../avro/schema.ts';
import { EPOCH_HEADER } from '../capture/database.ts';
import type { Topic } from '../contract/contract.ts';
import { FRAME_HEADER_BYTES, type Framing, schemaIdOf } from '../contract/framing.ts';
import { MillraceError } from '../errors.ts';
import type { ConsumerRecord, Header, RawRecord, TimestampType } from '../record.ts';

/** Bytes as text where they are UTF-8, else as base64. */
type Text = string | null | { readonly base64: string };

/** Writes a topic's records as rows, each a line with its end. */
export function createRowWriter(topic: Topic<never>): (record: ConsumerRecord<unknown>) => string {
  if (topic.format === 'json') return jsonRow;
  const { framing, versions } = topic;
  // To ask of each value what it is takes as long as all the rest.
  const jsonOf = versions.some(({ schema }) => !isPlain(schema)) ? jsonWithBytes : JSON.stringify;
  const schemaIdText = lastSchemaId(framing);
  return ({ raw, value }) => {
    const bytes = raw.value;
    return (
      `${head(raw, 'null')},"schema_id":${schemaIdText(bytes)},"value":${jsonOf(value)},` +
      `"raw":{"value":${base64Of(bytes)}}}\n`
    );
  };
}

/** A batch has few schemas, and to write out an id takes longer than to compare its bytes. */
function lastSchemaId(framing: Framing): (value: Buffer | null) => string {
  const headerBytes = FRAME_HEADER_BYTES[framing];
  let header = Buffer.alloc(0);
  let text = 'null';
  return (value) => {
    if (value === null) return 'null';
    if (header.length > 0 && value.length >= headerBytes && header.compare(value, 0, headerBytes) === 0)
      return text;
    header = Buffer.from(value.subarray(0, headerBytes));
    text = JSON.stringify(schemaIdOf(framing, value));
    return text;
  };
}

/** Whether JSON has every value of the schema as it is: no bytes, and no number that may be NaN. */
function isPlain(schema: AvroSchema): boolean {
  return !/"(bytes|fixed|float|double)"/.test(JSON.stringify(schema));
}

/** The value's own text stands in the row, so that every digit of it does. */
function jsonRow({ raw }: ConsumerRecord<unknown>): string {
  const before = `${head(raw, String(sourceEpochOf(raw)))},"schema_id":null,"value":`;
  if (raw.value === null) return `${before}null}\n`;
  // The decoder has refused what is no UTF-8.
  const value = raw.value.toString();
  // Between tokens a line's end is a blank, and nowhere else can one stand.
  const oneLine = value.replace(/[\r\n]/g, ' ');
  if (oneLine === value) return `${before}${value}}\n`;
  return `${before}${oneLine},"raw":{"value":${base64Of(raw.value)}}}\n`;
}

function head(raw: RawRecord, sourceEpoch: string): string {
  const { topic, partition, offset, timestamp, timestampType, key } = raw;
  return (
    `{"topic":${JSON.stringify(topic)},"partition":${partition},"offset":${offset},"timestamp":${timestamp},` +
    `"timestamp_type":"${timestampType}","source_epoch":${sourceEpoch},"key":${JSON.stringify(textOf(key))},` +
    `"headers":${headersOf(raw.headers)}`
  );
}

function headersOf(headers: readonly Header[]): string {
  if (headers.length === 0) return '[]';
  return JSON.stringify(headers.map(({ name, value }) => ({ name, value: textOf(value) })));
}

function sourceEpochOf({ headers }: RawRecord): number | null {
  const header = headers.find(({ name }) => name === EPOCH_HEADER);
  const epoch = Number(header?.value?.toString());
  return header && Number.isSafeInteger(epoch) ? epoch : null;
}

function textOf(bytes: Buffer | null): Text {
  if (bytes === null) return null;
  return isUtf8(bytes) ? bytes.toString() : { base64: bytes.toString('base64') };
}

function base64Of(bytes: Buffer | null): string {
  return bytes === null ? 'null' : `"${bytes.toString('base64')}"`;
}

/** A decoded value as JSON: bytes as base64, and what JSON has no number for as text. */
function jsonWithBytes(value: unknown): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, name, given) {
    // A Buffer has become an object by its toJSON().
    const own = typeof given === 'object' && given !== null ? this[name] : given;
    if (Buffer.isBuffer(own)) return own.toString('base64');
    if (typeof given === 'number' && !Number.isFinite(given)) return String(given);
    return given;
  });
}

/**
 * The record that a row was made of, byte by byte.
 * @throws ARCHIVE_BROKEN where the row cannot be read
 */
export function readRow(line: Buffer, object: string): RawRecord {
  try {
    const row = JSON.parse(line.toString()) as Row;
    const { topic, partition, offset, timestamp, timestamp_type: timestampType, key, headers, raw } = row;
    return {
      topic,
      partition,
      offset,
      timestamp,
      timestampType,
      key: bytesOf(key),
      value: raw ? bytesOfBase64(raw.value) : row.value === null ? null : valueBytes(line),
      headers: headers.map(({ name, value }) => ({ name, value: bytesOf(value) })),
    };
  } catch (cause) {
    throw new MillraceError(
      'ARCHIVE_BROKEN',
      `An object of the archive has a row that cannot be read: ${object}.`,
      {
        cause,
        details: { object },
      },
    );
  }
}

interface Row {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly timestamp_type: TimestampType;
  readonly key: Text;
  readonly headers: readonly { readonly name: string; readonly value: Text }[];
  readonly value: unknown;
  readonly raw?: { readonly value: string | null };
}

function bytesOf(text: Text): Buffer | null {
  if (text === null) return null;
  return typeof text === 'string' ? Buffer.from(text) : Buffer.from(text.base64, 'base64');
}

function bytesOfBase64(text: string | null): Buffer | null {
  return text === null ? null : Buffer.from(text, 'base64');
}

const SCHEMA_ID = Buffer.from(',"schema_id":');
const VALUE = Buffer.from(',"value":');

/** Inside a JSON text, a quote has a backslash before it: neither name can stand there. */
function valueBytes(line: Buffer): Buffer {
  const from = line.indexOf(VALUE, line.indexOf(SCHEMA_ID)) + VALUE.length;
  const to = line.lastIndexOf('}');
  return Buffer.from(line.subarray(from, to));
}

/** A record as a line of JSON, and back: docs/archive.md has the table of its fields. */
import { EPOCH_HEADER } from '../capture/database.ts';
import type { Topic } from '../contract/contract.ts';
import { schemaIdOf } from '../contract/framing.ts';
import { MillraceError } from '../errors.ts';
import type { ConsumerRecord, Header, RawRecord, TimestampType } from '../record.ts';

/** Bytes as text where they are UTF-8, else as base64. */
type Text = string | null | { readonly base64: string };

/** Writes a topic's records as rows. */
export function createRowWriter(topic: Topic<never>): (record: ConsumerRecord<unknown>) => Buffer {
  if (topic.format === 'json') return jsonRow;
  return (record) => {
    const { raw } = record;
    const { key, value } = raw;
    const schemaId = value && schemaIdOf(topic.framing, value);
    const text =
      `${head(raw, null)},"schema_id":${JSON.stringify(schemaId)},"value":${jsonOf(record.value)},` +
      `"raw":{"key":${base64Of(key)},"value":${base64Of(value)}}}\n`;
    return Buffer.from(text);
  };
}

/** The value's own bytes stand in the row, so that every digit of it does. */
function jsonRow({ raw }: ConsumerRecord<unknown>): Buffer {
  const before = `${head(raw, sourceEpochOf(raw))},"schema_id":null,"value":`;
  const { value } = raw;
  if (value === null) return Buffer.from(`${before}null}\n`);
  // Between tokens a line's end is a blank, and nowhere else can one stand.
  if (!value.includes(LINE_FEED) && !value.includes(CARRIAGE_RETURN)) {
    return Buffer.concat([Buffer.from(before), value, END]);
  }
  const oneLine = Buffer.from(value);
  for (let at = 0; at < oneLine.length; at++) {
    if (oneLine[at] === LINE_FEED || oneLine[at] === CARRIAGE_RETURN) oneLine[at] = BLANK;
  }
  return Buffer.concat([Buffer.from(before), oneLine, Buffer.from(`,"raw":{"value":${base64Of(value)}}}\n`)]);
}

const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const BLANK = 0x20;
const END = Buffer.from('}\n');

function head(raw: RawRecord, sourceEpoch: number | null): string {
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

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function textOf(bytes: Buffer | null): Text {
  if (bytes === null) return null;
  try {
    return utf8.decode(bytes);
  } catch {
    return { base64: bytes.toString('base64') };
  }
}

function base64Of(bytes: Buffer | null): string {
  return bytes === null ? 'null' : `"${bytes.toString('base64')}"`;
}

/** A decoded value as JSON: bytes as base64, and what JSON has no number for as text. */
function jsonOf(value: unknown): string {
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
      key: raw && 'key' in raw ? bytesOfBase64(raw.key) : bytesOf(key),
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
  readonly raw?: { readonly key?: string | null; readonly value: string | null };
}

function bytesOf(text: Text): Buffer | null {
  if (text === null) return null;
  return typeof text === 'string' ? Buffer.from(text) : Buffer.from(text.base64, 'base64');
}

function bytesOfBase64(text: string | null | undefined): Buffer | null {
  return text === null || text === undefined ? null : Buffer.from(text, 'base64');
}

const SCHEMA_ID = Buffer.from(',"schema_id":');
const VALUE = Buffer.from(',"value":');

/** Inside a JSON text, a quote has a backslash before it: neither name can stand there. */
function valueBytes(line: Buffer): Buffer {
  const from = line.indexOf(VALUE, line.indexOf(SCHEMA_ID)) + VALUE.length;
  const to = line.lastIndexOf('}');
  return Buffer.from(line.subarray(from, to));
}

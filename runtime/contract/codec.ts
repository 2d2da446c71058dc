/** Between a record's bytes and its value: framing, the writer's schema and Avro, by a topic's contract. */
import { type AvroReader, type AvroType, createAvroReader, parseAvro } from '../avro/avro-type.ts';
import { createValidator, type Violation } from '../avro/validator.ts';
import { MillraceError } from '../errors.ts';
import type { Clock } from '../ports.ts';
import {
  ABSENT,
  type ConsumerRecord,
  type Header,
  PackedRecord,
  type RawRecord,
  recordId,
  type TimestampType,
} from '../record.ts';
import type { Contract, JsonTopic, Topic } from './contract.ts';
import {
  type Compression,
  createFramer,
  FRAME_HEADER_BYTES,
  readFrameBody,
  readFrameHeader,
  schemaIdOf,
} from './framing.ts';
import type { SchemaId, SchemaRegistry } from './registry.ts';

/** A record read, or why it cannot be: for good, or because the registry did not answer, which is no record's fault. */
export type Decoded<Value> =
  | { readonly record: ConsumerRecord<Value> }
  | { readonly error: MillraceError }
  | { readonly held: MillraceError };

/** What one call may spend, so that no crafted batch uses up a function's time or memory. */
export interface DecodeBudget {
  /** Schema ids asked of the registry. */
  readonly lookUps: number;
  /** Bytes of Avro bodies, inflated. */
  readonly bodyBytes: number;
  /** Milliseconds for the registry's answers. */
  readonly waitMs: number;
}

export const UNLIMITED: DecodeBudget = {
  lookUps: Number.POSITIVE_INFINITY,
  bodyBytes: Number.POSITIVE_INFINITY,
  waitMs: Number.POSITIVE_INFINITY,
};

export interface Decoder<Value> {
  /**
   * Reads each record's value as the contract's newest version, whichever version wrote it; one result a record, in
   * order. Where the budget runs out, the results end early: the rest is for the next call. The first record always
   * gets a result, unless the registry uses up the time. A record without a value reads as null where the contract's
   * cleanup is 'compact'.
   *
   * A record's own error is RECORD_MALFORMED, VALUE_MISSING, FRAME_*, SCHEMA_UNKNOWN, SCHEMA_INVALID,
   * SCHEMA_INCOMPATIBLE or AVRO_*; `held` is REGISTRY_UNAVAILABLE. An id not seen before is asked of the registry once,
   * however many records and batches wait for it. An id that the registry does not know is not asked for again for a
   * while; a failed answer holds for the records that wait for it, and the next batch asks again.
   */
  decodeBatch(records: readonly RawRecord[], budget?: DecodeBudget): Promise<readonly Decoded<Value>[]>;
  /** The writer's schema id, null where the framing cannot be read. */
  schemaIdOf(record: RawRecord): SchemaId | null;
}

/** A value as the record to send, or how it breaks its contract. */
export type Encoded =
  | { readonly record: { readonly key: Buffer; readonly value: Buffer } }
  | { readonly violations: readonly Violation[] };

export interface Encoder {
  /**
   * Checks each value by the contract's newest version and encodes those that keep it; one result a value, in
   * order. The record's key is the value's field that the contract names, as UTF-8 text.
   * Values are read before the first await: to change one afterwards changes nothing.
   * @throws SCHEMA_UNKNOWN when the contract's newest version is not registered; REGISTRY_UNAVAILABLE
   */
  encodeBatch(values: readonly unknown[]): Promise<readonly Encoded[]>;
}

/** How values behind one frame header are read. */
interface FrameReader {
  readonly header: Buffer;
  readonly compression: Compression;
  readonly reader: AvroReader;
}

/** Requests to the registry at once: a batch of damaged ids must not become a storm of them. */
const MAX_REQUESTS = 8;
/** Long enough for a batch that is delivered again; short, because the id may be registered at any time. */
const UNKNOWN_FOR_MS = 15_000;
const MOST_UNKNOWN_IDS = 10_000;

/**
 * A decoder for one topic. Keep it between batches: it holds each schema it has seen, parsed and resolved.
 * @param clock for how long unknown ids are remembered. @default none: for no longer than their batch
 * @throws CONTRACT_INVALID when the contract's newest version does not parse
 */
export function createDecoder<Value>(
  topic: Topic<Value>,
  registry: SchemaRegistry,
  clock?: Clock,
): Decoder<Value> {
  return topic.format === 'json' ? createJsonDecoder(topic) : createAvroDecoder(topic, registry, clock);
}

/**
 * Values as JSON.parse reads them, so that numbers beyond 2^53 are rounded; `record.raw.value` has their digits. A record
 * without a value is a tombstone, and reads as null.
 */
function createJsonDecoder<Value>({ maxBodyBytes }: JsonTopic<Value>): Decoder<Value> {
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const decode = (raw: RawRecord): Decoded<Value> => {
    if (raw.fault) return { error: raw.fault };
    const { value } = raw;
    if (value === null) return { record: new DecodedRecord(raw, null as Value) };
    if (value.length > maxBodyBytes) return { error: valueTooLarge(value.length, maxBodyBytes) };
    try {
      return { record: new DecodedRecord(raw, JSON.parse(utf8.decode(value)) as Value) };
    } catch {
      // What JSON.parse says of it would quote the value.
      return { error: new MillraceError('JSON_INVALID', 'The value is not JSON in UTF-8.') };
    }
  };
  return {
    async decodeBatch(records, { bodyBytes } = UNLIMITED) {
      const results: Decoded<Value>[] = [];
      let spent = 0;
      for (const raw of records) {
        if (spent >= bodyBytes) break;
        spent += raw.value?.length ?? 0;
        results.push(decode(raw));
      }
      return results;
    },
    schemaIdOf: () => null,
  };
}

function createAvroDecoder<Value>(
  contract: Contract<Value>,
  registry: SchemaRegistry,
  clock?: Clock,
): Decoder<Value> {
  const { framing, maxBodyBytes } = contract;
  const headerBytes = FRAME_HEADER_BYTES[framing];
  const readerType = parseLatest(contract);
  const readers = new Map<SchemaId, AvroReader>();
  /** A topic has few headers in use: to compare their bytes is quicker than to write out the id of each record. */
  const frameReaders: FrameReader[] = [];
  const requests = new Map<SchemaId, Promise<void>>();
  /** Ids that the registry does not know, oldest first, each with the time until which that is believed. */
  const unknown = new Map<SchemaId, { readonly error: MillraceError; readonly until: number }>();

  /** For the value at `start`. Undefined where the schema has yet to be asked for. @throws FRAME_* */
  function frameReaderOf(bytes: Buffer, start: number, end: number): FrameReader | undefined {
    for (const known of frameReaders) {
      if (standsAt(bytes, start, end, known.header)) return known;
    }
    const value = bytes.subarray(start, end);
    const { schemaId, compression } = readFrameHeader(framing, value);
    const reader = readers.get(schemaId);
    if (!reader) return undefined;
    const frameReader = { header: Buffer.from(value.subarray(0, headerBytes)), compression, reader };
    frameReaders.push(frameReader);
    return frameReader;
  }

  /** The value at `start`. Undefined where the schema has yet to be asked for. */
  function read(
    raw: RawRecord,
    bytes: Buffer,
    start: number,
    end: number,
    spent: Spent,
  ): Decoded<Value> | undefined {
    try {
      const frameReader = frameReaderOf(bytes, start, end);
      if (!frameReader) return undefined;
      const { compression, reader } = frameReader;
      if (compression === 'none') {
        spent.bodyBytes += end - start - headerBytes;
        return { record: new DecodedRecord(raw, reader.read(bytes, start + headerBytes, end) as Value) };
      }
      const body = readFrameBody(framing, compression, bytes.subarray(start, end), maxBodyBytes);
      spent.bodyBytes += body.length;
      return { record: new DecodedRecord(raw, reader.read(body, 0, body.length) as Value) };
    } catch (error) {
      if (error instanceof MillraceError) return { error };
      throw error;
    }
  }

  /** Undefined where the schema has yet to be asked for. */
  function decode(raw: RawRecord, spent: Spent): Decoded<Value> | undefined {
    if (raw.fault) return { error: raw.fault };
    if (raw instanceof PackedRecord && raw.valueStart !== ABSENT) {
      return read(raw, raw.bytes, raw.valueStart, raw.end, spent);
    }
    const { value } = raw;
    if (value !== null) return read(raw, value, 0, value.length, spent);
    if (contract.cleanup === 'compact') return { record: new DecodedRecord(raw, null as Value) };
    return { error: missingValue(contract.name) };
  }

  /** Resolves once the id's reader is known. Requests under way are shared; failed ones are forgotten. */
  function request(id: SchemaId): Promise<void> {
    const underWay = requests.get(id);
    if (underWay) return underWay;
    const started = ask(id).finally(() => requests.delete(id));
    requests.set(id, started);
    return started;
  }

  async function ask(id: SchemaId): Promise<void> {
    const schema = await registry.schemaById(id);
    if (schema === undefined) {
      const error = unknownSchema(id, contract.name);
      if (clock) rememberUnknown(id, error, clock.now() + UNKNOWN_FOR_MS);
      throw error;
    }
    readers.set(id, createAvroReader(readerType, schema, id));
  }

  function rememberUnknown(id: SchemaId, error: MillraceError, until: number): void {
    unknown.delete(id);
    unknown.set(id, { error, until });
    if (unknown.size > MOST_UNKNOWN_IDS) unknown.delete(unknown.keys().next().value!);
  }

  function knownUnknown(id: SchemaId): MillraceError | undefined {
    const known = unknown.get(id);
    if (!known) return undefined;
    if (known.until > clock!.now()) return known.error;
    unknown.delete(id);
    return undefined;
  }

  /** Asks for the ids, as many as the time allows, and gives the error of each that has no reader then; null where the time was over. */
  async function requestAll(
    ids: readonly SchemaId[],
    waitMs: number,
  ): Promise<ReadonlyMap<SchemaId, MillraceError | null>> {
    const errors = new Map<SchemaId, MillraceError | null>(ids.map((id) => [id, null]));
    const requestOne = async (id: SchemaId) => {
      try {
        await request(id);
        errors.delete(id);
      } catch (error) {
        if (!(error instanceof MillraceError)) throw error;
        errors.set(id, error);
      }
    };
    const enough = new AbortController();
    const timeIsOver =
      clock && Number.isFinite(waitMs)
        ? clock.sleep(waitMs, enough.signal).then(() => 'over' as const)
        : null;
    try {
      for (let from = 0; from < ids.length; from += MAX_REQUESTS) {
        const answers = Promise.all(ids.slice(from, from + MAX_REQUESTS).map(requestOne));
        if ((await (timeIsOver ? Promise.race([answers, timeIsOver]) : answers)) === 'over') {
          answers.catch(() => {});
          break;
        }
      }
    } finally {
      enough.abort();
    }
    return errors;
  }

  return {
    async decodeBatch(records, { lookUps, bodyBytes, waitMs } = UNLIMITED) {
      const spent: Spent = { bodyBytes: 0 };
      const results: (Decoded<Value> | undefined)[] = [];
      const waiting = new Map<number, SchemaId>();
      const ids = new Set<SchemaId>();
      for (const raw of records) {
        if (spent.bodyBytes >= bodyBytes) break;
        let result = decode(raw, spent);
        if (!result) {
          const id = schemaIdOf(framing, raw.value)!;
          const error = knownUnknown(id);
          if (error) result = { error };
          else if (!ids.has(id) && ids.size >= lookUps) break;
          else waiting.set(results.length, id);
          if (!error) ids.add(id);
        }
        results.push(result);
      }
      if (waiting.size === 0) return results as Decoded<Value>[];

      const errors = await requestAll([...ids], waitMs);
      for (const [index, id] of waiting) {
        const error = errors.get(id);
        // Of those behind, some may have been read: they are read again with the next call.
        if (error === null || (index > 0 && spent.bodyBytes >= bodyBytes)) {
          return results.slice(0, index) as Decoded<Value>[];
        }
        if (!error) results[index] = decode(records[index]!, spent);
        else results[index] = error.action === 'dead-letter' ? { error } : { held: error };
      }
      return results as Decoded<Value>[];
    },
    schemaIdOf: ({ value }) => schemaIdOf(framing, value),
  };
}

/** What a call has spent of its budget. */
interface Spent {
  bodyBytes: number;
}

/**
 * An encoder for one topic's newest version. Keep it between batches: it asks the registry for the id once.
 * @throws CONTRACT_INVALID when that version does not parse
 */
export function createEncoder(contract: Contract<never>, registry: SchemaRegistry): Encoder {
  const { framing, compression, maxBodyBytes } = contract;
  const type = parseLatest(contract);
  const violationsOf = createValidator(type);
  let framer: Promise<(body: Buffer) => Buffer> | undefined;

  async function requestFramer(): Promise<(body: Buffer) => Buffer> {
    return createFramer(framing, compression, await registry.latestId(contract));
  }

  /** As `Encoded`, but for the framing. */
  function encode(value: unknown): { key: Buffer; body: Buffer } | { violations: readonly Violation[] } {
    const refuse = (path: string, reason: string) => ({ violations: [{ path, reason }] });
    try {
      const violations = violationsOf(value);
      if (violations.length > 0) return { violations };
      const key = keyOf((value as Record<string, unknown>)[contract.key]);
      if (!key) return refuse(contract.key, 'is the key: takes a string or a number');
      const body = type.toBuffer(value);
      if (body.length > maxBodyBytes) {
        return refuse('', `takes up to ${maxBodyBytes} bytes as Avro; got ${body.length}`);
      }
      return { key, body };
    } catch {
      // A getter that throws, or gives something else each time. The error may quote the value.
      return refuse('', 'cannot be read, or changes while it is read');
    }
  }

  return {
    async encodeBatch(values) {
      const encoded = values.map(encode);
      framer ??= requestFramer().catch((error: unknown) => {
        framer = undefined;
        throw error;
      });
      const frame = await framer;
      return encoded.map((result) => {
        if ('violations' in result) return result;
        return { record: { key: result.key, value: frame(result.body) } };
      });
    },
  };
}

function keyOf(value: unknown): Buffer | null {
  return typeof value === 'string' || typeof value === 'number' ? Buffer.from(String(value)) : null;
}

class DecodedRecord<Value> implements ConsumerRecord<Value> {
  readonly raw: RawRecord;
  readonly value: Value;
  declare readonly arrival: ConsumerRecord<Value>['arrival'];
  declare readonly overtaken: boolean;

  // On the class, for the few that came otherwise to have one of their own: there are thousands in a batch.
  static {
    const isWritable = { writable: true, configurable: true };
    Object.defineProperties(DecodedRecord.prototype, {
      arrival: { value: 'delivery', ...isWritable },
      overtaken: { value: false, ...isWritable },
    });
  }

  constructor(raw: RawRecord, value: Value) {
    this.raw = raw;
    this.value = value;
  }

  get id(): string {
    return recordId(this.raw);
  }
  get topic(): string {
    return this.raw.topic;
  }
  get partition(): number {
    return this.raw.partition;
  }
  get offset(): number {
    return this.raw.offset;
  }
  get timestamp(): number {
    return this.raw.timestamp;
  }
  get timestampType(): TimestampType {
    return this.raw.timestampType;
  }
  get key(): string | null {
    return this.raw instanceof PackedRecord ? this.raw.keyText : (this.raw.key?.toString() ?? null);
  }
  get headers(): readonly Header[] {
    return this.raw.headers;
  }
}

function standsAt(bytes: Buffer, start: number, end: number, header: Buffer): boolean {
  if (end - start < header.length) return false;
  for (let index = 0; index < header.length; index++) {
    if (bytes[start + index] !== header[index]) return false;
  }
  return true;
}

function parseLatest(contract: Contract<never>): AvroType {
  const { name, latest } = contract;
  try {
    return parseAvro(latest.schema);
  } catch (error) {
    throw new MillraceError(
      'CONTRACT_INVALID',
      `Contract ${JSON.stringify(name)}: version ${latest.version} does not parse as Avro. Run \`millrace contracts check\`.`,
      { cause: error, details: { topic: name, version: latest.version } },
    );
  }
}

function valueTooLarge(got: number, most: number): MillraceError {
  return new MillraceError(
    'FRAME_BODY_TOO_LARGE',
    `The value has ${got} bytes; its topic takes up to ${most}. Raise the table's maxRecordBytes, deploy, and redrive the record.`,
  );
}

function missingValue(topic: string): MillraceError {
  return new MillraceError(
    'VALUE_MISSING',
    `The record has no value (a tombstone); topic ${JSON.stringify(topic)} takes one only where its contract's ` +
      "cleanup is 'compact'.",
    { details: { topic } },
  );
}

function unknownSchema(schemaId: SchemaId, topic: string): MillraceError {
  return new MillraceError(
    'SCHEMA_UNKNOWN',
    `The registry has no schema ${schemaId}. Either the record's first bytes are damaged, or it was written with a ` +
      'schema of another registry: register that schema, then redrive the record.',
    { details: { schemaId, topic } },
  );
}

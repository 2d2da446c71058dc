/** Between a record's bytes and its value: framing, the writer's schema and Avro, by a topic's contract. */
import {
  type AvroReader,
  type AvroType,
  createAvroReader,
  parseAvro,
  withoutSchema,
} from './avro/avro-type.ts';
import { createValidator, type Violation } from './avro/validator.ts';
import type { Contract } from './contract.ts';
import { MillraceError } from './errors.ts';
import {
  type Compression,
  createFramer,
  FRAME_HEADER_BYTES,
  MAX_BODY_BYTES,
  readFrameBody,
  readFrameHeader,
  schemaIdOf,
} from './framing.ts';
import type { SchemaId, SchemaRegistry } from './ports.ts';
import {
  ABSENT,
  type ConsumerRecord,
  type Header,
  PackedRecord,
  type RawRecord,
  recordId,
  type TimestampType,
} from './record.ts';

/** A record read, or why it cannot be. */
export type Decoded<Value> = { readonly record: ConsumerRecord<Value> } | { readonly error: MillraceError };

export interface Decoder<Value> {
  /**
   * Reads each record's value as the contract's newest version, whichever version wrote it; one result a record,
   * in order. A record without a value reads as null where the contract's cleanup is 'compact'.
   *
   * A record's own error is VALUE_MISSING, FRAME_*, SCHEMA_UNKNOWN, SCHEMA_INVALID, SCHEMA_INCOMPATIBLE or AVRO_*.
   * An id not seen before is asked of the registry once, however many records and batches wait for it. A failed
   * answer holds for those; the next batch asks again.
   * @throws REGISTRY_UNAVAILABLE when the registry did not answer: no record is to blame, so none gets a result
   */
  decodeBatch(records: readonly RawRecord[]): Promise<readonly Decoded<Value>[]>;
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

/**
 * A decoder for one topic. Keep it between batches: it holds each schema it has seen, parsed and resolved.
 * @throws CONTRACT_INVALID when the contract's newest version does not parse
 */
export function createDecoder<Value>(contract: Contract<Value>, registry: SchemaRegistry): Decoder<Value> {
  const { framing } = contract;
  const headerBytes = FRAME_HEADER_BYTES[framing];
  const readerType = parseLatest(contract);
  const readers = new Map<SchemaId, AvroReader>();
  /** A topic has few headers in use: to compare their bytes is quicker than to write out the id of each record. */
  const frameReaders: FrameReader[] = [];
  const requests = new Map<SchemaId, Promise<void>>();

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

  /** The value at `start`. Undefined where the schema has yet to be asked for. @throws FRAME_*, AVRO_* */
  function read(raw: RawRecord, bytes: Buffer, start: number, end: number): Decoded<Value> | undefined {
    try {
      const frameReader = frameReaderOf(bytes, start, end);
      if (!frameReader) return undefined;
      const { compression, reader } = frameReader;
      if (compression === 'none') {
        return { record: new DecodedRecord(raw, reader.read(bytes, start + headerBytes, end) as Value) };
      }
      const body = readFrameBody(framing, compression, bytes.subarray(start, end));
      return { record: new DecodedRecord(raw, reader.read(body, 0, body.length) as Value) };
    } catch (error) {
      if (error instanceof MillraceError) return { error };
      throw error;
    }
  }

  /** Undefined where the schema has yet to be asked for. */
  function decode(raw: RawRecord): Decoded<Value> | undefined {
    if (raw instanceof PackedRecord && raw.valueStart !== ABSENT) {
      return read(raw, raw.bytes, raw.valueStart, raw.end);
    }
    const { value } = raw;
    if (value !== null) return read(raw, value, 0, value.length);
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
    if (schema === undefined) throw unknownSchema(id, contract.name);
    readers.set(id, createAvroReader(readerType, schema, id));
  }

  /** Asks for all the ids, and gives the errors of those that have no reader then. */
  async function requestAll(ids: readonly SchemaId[]): Promise<ReadonlyMap<SchemaId, MillraceError>> {
    const errors = new Map<SchemaId, MillraceError>();
    const requestOne = async (id: SchemaId) => {
      try {
        await request(id);
      } catch (error) {
        if (!(error instanceof MillraceError) || error.action !== 'dead-letter') throw error;
        errors.set(id, error);
      }
    };
    for (let from = 0; from < ids.length; from += MAX_REQUESTS) {
      await Promise.all(ids.slice(from, from + MAX_REQUESTS).map(requestOne));
    }
    return errors;
  }

  return {
    async decodeBatch(records) {
      const results = records.map(decode);
      const waiting = new Map<number, SchemaId>();
      results.forEach((result, index) => {
        if (!result) waiting.set(index, schemaIdOf(framing, records[index]!.value)!);
      });
      if (waiting.size > 0) {
        const errors = await requestAll([...new Set(waiting.values())]);
        for (const [index, id] of waiting) {
          const error = errors.get(id);
          results[index] = error ? { error } : decode(records[index]!);
        }
      }
      return results as Decoded<Value>[];
    },
    schemaIdOf: ({ value }) => schemaIdOf(framing, value),
  };
}

/**
 * An encoder for one topic's newest version. Keep it between batches: it asks the registry for the id once.
 * @throws CONTRACT_INVALID when that version does not parse
 */
export function createEncoder(contract: Contract<never>, registry: SchemaRegistry): Encoder {
  const { framing, compression } = contract;
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
      if (body.length > MAX_BODY_BYTES) {
        return refuse('', `takes up to ${MAX_BODY_BYTES} bytes as Avro; got ${body.length}`);
      }
      return { key, body };
    } catch {
      // A getter that throws, or gives something else each time. The error may quote the value.
      return refuse('', 'cannot be read, or changes while it is');
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
      { ...withoutSchema(error), details: { topic: name, version: latest.version } },
    );
  }
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

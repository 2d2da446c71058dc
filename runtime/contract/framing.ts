/**
 * How the writer's schema id stands before the Avro body in a record's value.
 *
 * Glue:      0x03 | compression: 0x00 none, 0x05 zlib | schema version UUID, 16 bytes big-endian | body
 *            https://github.com/awslabs/aws-glue-schema-registry, SerializationDataEncoder.java (2026-11-24)
 * Confluent: 0x00 | schema id, 4 bytes big-endian | body
 *            https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/index.html#wire-format
 *            (2026-11-24)
 */
import { deflateSync, inflateSync } from 'node:zlib';
import { MillraceError } from '../errors.ts';
import type { Contract } from './contract.ts';
import type { SchemaId } from './registry.ts';

export type Framing = Contract['framing'];
export type Compression = Contract['compression'];

export interface FrameHeader {
  /** A lower-case UUID for Glue, a decimal number for Confluent. */
  readonly schemaId: SchemaId;
  readonly compression: Compression;
}

export interface Frame {
  readonly schemaId: SchemaId;
  /** The Avro bytes, inflated. Shares memory with the value it came from unless that was compressed. */
  readonly body: Buffer;
}

/** Bytes before the body. */
export const FRAME_HEADER_BYTES = { glue: 18, confluent: 5 } as const satisfies Record<Framing, number>;

/** The first byte of a value. */
export const FRAME_MAGIC = { glue: 0x03, confluent: 0x00 } as const satisfies Record<Framing, number>;

const GLUE_COMPRESSION_BYTES = { none: 0x00, zlib: 0x05 } as const satisfies Record<Compression, number>;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** Confluent's ids are Java ints, counted from 1. */
const MAX_CONFLUENT_ID = 0x7fff_ffff;

/**
 * Splits a record's value into the writer's schema id and the Avro body.
 * @throws FRAME_TRUNCATED, FRAME_UNKNOWN, FRAME_COMPRESSION_UNKNOWN, FRAME_COMPRESSION_CORRUPT, FRAME_BODY_TOO_LARGE
 */
export function decodeFrame(framing: Framing, value: Buffer, maxBodyBytes: number): Frame {
  const { schemaId, compression } = readFrameHeader(framing, value);
  return { schemaId, body: readFrameBody(framing, compression, value, maxBodyBytes) };
}

/**
 * Reads what stands before the body, and leaves the body alone.
 * @throws FRAME_TRUNCATED, FRAME_UNKNOWN, FRAME_COMPRESSION_UNKNOWN
 */
export function readFrameHeader(framing: Framing, value: Buffer): FrameHeader {
  const magic = FRAME_MAGIC[framing];
  if (value.length > 0 && value[0] !== magic) {
    throw new MillraceError(
      'FRAME_UNKNOWN',
      `The value begins with byte ${hexOf(value[0]!)}; ${framing} framing begins with ${hexOf(magic)}. Its producer ` +
        "uses another framing or none: compare it with the contract's `framing`.",
      { details: { framing, firstByte: value[0] } },
    );
  }
  if (value.length < FRAME_HEADER_BYTES[framing]) {
    throw new MillraceError(
      'FRAME_TRUNCATED',
      `The value has ${value.length} bytes; ${framing} framing takes ${FRAME_HEADER_BYTES[framing]} before the body. ` +
        'Its producer wrote no schema id, or the record was cut.',
      { details: { framing, bytes: value.length } },
    );
  }
  if (framing === 'confluent') return { schemaId: String(value.readUInt32BE(1)), compression: 'none' };
  return { schemaId: uuidAt(value, 2), compression: glueCompressionOf(value[1]!) };
}

/**
 * The body of a value whose header was read.
 * @throws FRAME_COMPRESSION_CORRUPT, FRAME_BODY_TOO_LARGE
 */
export function readFrameBody(
  framing: Framing,
  compression: Compression,
  value: Buffer,
  maxBodyBytes: number,
): Buffer {
  const body = value.subarray(FRAME_HEADER_BYTES[framing]);
  return compression === 'none' ? body : inflate(body, maxBodyBytes);
}

/** The schema id in the value's framing, null where the framing cannot be read. */
export function schemaIdOf(framing: Framing, value: Buffer | null): SchemaId | null {
  if (value === null) return null;
  try {
    return readFrameHeader(framing, value).schemaId;
  } catch {
    return null;
  }
}

/**
 * A function that puts Avro bodies behind one schema id.
 * @throws CONTRACT_INVALID when the id is not of the framing's kind
 */
export function createFramer(
  framing: Framing,
  compression: Compression,
  schemaId: SchemaId,
): (body: Buffer) => Buffer {
  const header = frameHeader(framing, compression, schemaId);
  if (compression === 'none') return (body) => Buffer.concat([header, body]);
  return (body) => Buffer.concat([header, deflateSync(body)]);
}

function frameHeader(framing: Framing, compression: Compression, schemaId: SchemaId): Buffer {
  const header = Buffer.alloc(FRAME_HEADER_BYTES[framing]);
  if (framing === 'glue') {
    if (!UUID.test(schemaId)) throw foreignSchemaId(framing, 'a UUID');
    header[0] = FRAME_MAGIC.glue;
    header[1] = GLUE_COMPRESSION_BYTES[compression];
    header.write(schemaId.replaceAll('-', ''), 2, 'hex');
    return header;
  }
  const id = /^[1-9]\d{0,9}$/.test(schemaId) ? Number(schemaId) : Number.NaN;
  if (!(id <= MAX_CONFLUENT_ID))
    throw foreignSchemaId(framing, `a whole number from 1 to ${MAX_CONFLUENT_ID}`);
  header[0] = FRAME_MAGIC.confluent;
  header.writeUInt32BE(id, 1);
  return header;
}

function glueCompressionOf(byte: number): Compression {
  if (byte === GLUE_COMPRESSION_BYTES.none) return 'none';
  if (byte === GLUE_COMPRESSION_BYTES.zlib) return 'zlib';
  throw new MillraceError(
    'FRAME_COMPRESSION_UNKNOWN',
    `The value's compression byte is ${hexOf(byte)}; Glue framing knows 0x00 (none) and 0x05 (zlib). The record is ` +
      'damaged, or its producer is newer than this consumer.',
    { details: { compressionByte: byte } },
  );
}

function inflate(body: Buffer, maxBodyBytes: number): Buffer {
  try {
    // With `info`, zlib tells how much it has read: bytes after the end of the stream are otherwise skipped.
    const { buffer, engine } = inflateSync(body, {
      maxOutputLength: maxBodyBytes,
      info: true,
    }) as unknown as {
      buffer: Buffer;
      engine: { bytesWritten: number };
    };
    if (engine.bytesWritten === body.length) return buffer;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new MillraceError(
        'FRAME_BODY_TOO_LARGE',
        `The ${body.length} compressed bytes inflate to more than ${maxBodyBytes}, the most that a body may have. ` +
          "If the producer means to send it, raise the contract's `maxBodyBytes` and redrive the record.",
        { cause, details: { compressedBytes: body.length, maxBodyBytes } },
      );
    }
    throw corrupt(body.length, 'are not a zlib stream', cause);
  }
  throw corrupt(body.length, 'continue after the end of their zlib stream');
}

function corrupt(compressedBytes: number, what: string, cause?: unknown): MillraceError {
  return new MillraceError(
    'FRAME_COMPRESSION_CORRUPT',
    `The framing says zlib, but the ${compressedBytes} bytes of the body ${what}. The record is damaged, or its ` +
      'producer set the compression byte wrongly.',
    { ...(cause === undefined ? {} : { cause }), details: { compressedBytes } },
  );
}

function foreignSchemaId(framing: Framing, allowed: string): MillraceError {
  return new MillraceError(
    'CONTRACT_INVALID',
    `The registry's schema id does not fit ${framing} framing, which takes ${allowed}. Use the registry that the ` +
      "contract's `framing` names, or change `framing` in the topic's defineTopic().",
    { details: { framing } },
  );
}

function uuidAt(bytes: Buffer, at: number): string {
  const hex = bytes.toString('hex', at, at + 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function hexOf(byte: number): string {
  return `0x${byte.toString(16).padStart(2, '0')}`;
}

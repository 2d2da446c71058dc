/** Avro types and readers: avsc's, made safe for bytes and schemas that came from somewhere else. */
import avsc from 'avsc';
import type { AvroSchema } from '../contract.ts';
import { MillraceError } from '../errors.ts';
import { AvroInput, AvroTruncated, type Readable } from './avro-input.ts';

export type AvroType = avsc.Type;

/** Reads values that one writer's schema wrote as values of the reader's type. Not for use by two at once. */
export interface AvroReader {
  /**
   * The value that `bytes` hold from `start` to `end`, by default all of them.
   * @throws AVRO_TRUNCATED, AVRO_TRAILING_BYTES, AVRO_INVALID
   */
  read(bytes: Buffer, start?: number, end?: number): unknown;
}

/**
 * Parses a schema. Parsing is pure: nothing is registered and no other schema's names are seen.
 * Logical types stay the numbers, strings and bytes that Avro stores; unions are plain values where JavaScript can
 * tell the branches apart, else `{branch: value}`.
 * @throws Error of avsc's, whose message may quote the schema: `withoutSchema` before it goes anywhere
 */
export function parseAvro(schema: AvroSchema): AvroType {
  return avsc.Type.forSchema(schema as unknown as AvroType, {
    // Without a prototype: a type called "constructor" must be unknown, not Object's own.
    registry: Object.create(null),
    omitRecordMethods: true,
    typeHook: ourTypeOf,
  });
}

/**
 * Resolves the writer's schema into the reader's type by Avro's rules, once.
 * @throws SCHEMA_INVALID when `writerSchema` is no Avro schema; SCHEMA_INCOMPATIBLE when it does not resolve
 */
export function createAvroReader(
  readerType: AvroType,
  writerSchema: AvroSchema,
  schemaId: string,
): AvroReader {
  const writerType = parseWriter(writerSchema, schemaId);
  // Equal but for names' defaults, aliases and documentation: written alike, so no resolver has to stand between.
  const readable = (readerType.equals(writerType)
    ? readerType
    : resolve(readerType, writerType, schemaId)) as unknown as Readable;
  const input = new AvroInput();

  return {
    read(bytes, start = 0, end = bytes.length) {
      input.open(bytes, start, end);
      let value: unknown;
      try {
        value = readable._read(input);
      } catch (cause) {
        throw unreadable(cause, end - start, schemaId);
      }
      if (input.remaining > 0) throw trailing(input.remaining, end - start, schemaId);
      return value;
    },
  };
}

/** avsc's error, or nothing where its message quotes a schema: those print JSON. */
export function withoutSchema(error: unknown): { cause?: unknown } {
  return error instanceof Error && /[{[]/.test(error.message) ? {} : { cause: error };
}

function parseWriter(schema: AvroSchema, schemaId: string): AvroType {
  try {
    return parseAvro(schema);
  } catch (error) {
    throw new MillraceError(
      'SCHEMA_INVALID',
      `The registry's schema ${schemaId} does not parse as Avro. Look at it in the registry; records written with it ` +
        'can be redriven once it is a valid schema.',
      { ...withoutSchema(error), details: { schemaId } },
    );
  }
}

function resolve(readerType: AvroType, writerType: AvroType, schemaId: string): unknown {
  try {
    // The specification matches names without their namespaces.
    return readerType.createResolver(writerType, { ignoreNamespaces: true });
  } catch (error) {
    throw new MillraceError(
      'SCHEMA_INCOMPATIBLE',
      `Schema ${schemaId} (${nameOf(writerType)}) does not resolve into the contract's newest version ` +
        `(${nameOf(readerType)}). Run \`millrace contracts check\`, or find who published with a schema of their own.`,
      {
        ...withoutSchema(error),
        details: { schemaId, writer: nameOf(writerType), reader: nameOf(readerType) },
      },
    );
  }
}

function nameOf(type: AvroType): string {
  return type.name ?? type.typeName;
}

function unreadable(cause: unknown, bodyBytes: number, schemaId: string): MillraceError {
  const details = { bodyBytes, schemaId };
  if (cause instanceof AvroTruncated) {
    return new MillraceError(
      'AVRO_TRUNCATED',
      `The ${bodyBytes} bytes of the Avro body end in the middle of a value by schema ${schemaId}. The record was ` +
        'cut, or written with another schema than its id says.',
      { details },
    );
  }
  const isTooDeep = cause instanceof RangeError;
  return new MillraceError(
    'AVRO_INVALID',
    `The ${bodyBytes} bytes of the Avro body do not decode by schema ${schemaId}` +
      `${isTooDeep ? ': values nest too deep' : ''}. The record is damaged, or written with another schema than its ` +
      'id says.',
    { ...withoutSchema(cause), details },
  );
}

function trailing(trailingBytes: number, bodyBytes: number, schemaId: string): MillraceError {
  return new MillraceError(
    'AVRO_TRAILING_BYTES',
    `${trailingBytes} of the ${bodyBytes} bytes of the Avro body are left over once the value is read by schema ` +
      `${schemaId}. The record was written with another schema than its id says.`,
    { details: { trailingBytes, bodyBytes, schemaId } },
  );
}

/** avsc calls this for every schema before it makes a type of it. */
function ourTypeOf(schema: unknown, options: unknown): AvroType | undefined {
  const type = typeof schema === 'string' ? schema : (schema as { type?: unknown }).type;
  if (type === 'long') return EXACT_LONG;
  if (typeof schema === 'string') return undefined;
  if (type === 'array') return new BoundedArray(schema as never, options);
  if (type === 'map') return new BoundedMap(schema as never, options);
  return undefined;
}

/** An array whose reading ends with its bytes, whatever its block counts say. */
class BoundedArray extends avsc.types.ArrayType {
  // `this` may also be a resolver, which has `itemsType` alike.
  _read(input: AvroInput): unknown[] {
    const items = this.itemsType as unknown as Readable;
    const values: unknown[] = [];
    for (let count = input.readBlockCount(); count > 0; count = input.readBlockCount()) {
      for (; count > 0; count--) {
        const start = input.pos;
        values.push(items._read(input));
        input.countItem(start);
      }
    }
    return values;
  }

  _skip(input: AvroInput): void {
    const items = this.itemsType as unknown as Readable;
    for (let block = input.skipBlock(); !block.isLast; block = input.skipBlock()) {
      for (let count = block.items; count > 0; count--) {
        const start = input.pos;
        items._skip(input);
        input.countItem(start);
      }
    }
  }
}

/** A map that keeps every key, `__proto__` too, as a property of its own. */
class BoundedMap extends avsc.types.MapType {
  _read(input: AvroInput): Record<string, unknown> {
    const values = this.valuesType as unknown as Readable;
    const map: Record<string, unknown> = {};
    for (let count = input.readBlockCount(); count > 0; count = input.readBlockCount()) {
      for (; count > 0; count--) {
        const key = input.readString();
        const value = values._read(input);
        if (key === '__proto__') setOwn(map, key, value);
        else map[key] = value;
      }
    }
    return map;
  }

  _skip(input: AvroInput): void {
    const values = this.valuesType as unknown as Readable;
    for (let block = input.skipBlock(); !block.isLast; block = input.skipBlock()) {
      for (let count = block.items; count > 0; count--) {
        input.skipString();
        values._skip(input);
      }
    }
  }
}

function setOwn(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}

/** avsc's `Tap`, as far as writing a long goes. */
interface Output {
  writeLong(value: number): void;
  writeFixed(bytes: Buffer): void;
}

/** A long that is written exactly. avsc 5.7.9 makes other, positive numbers of those below -2^52. */
class ExactLong extends avsc.types.LongType {
  _write(output: Output, value: number): void {
    if (!this.isValid(value)) throw new TypeError('not a long');
    if (value >= -(2 ** 52)) output.writeLong(value);
    else output.writeFixed(zigzag(value));
  }
}

const EXACT_LONG = new ExactLong();

/** A negative long as Avro writes it: seven bits a byte, lowest first, the sign below them all. */
function zigzag(negative: number): Buffer {
  const half = -negative - 1;
  const bytes = [(half % 64) * 2 + 1];
  for (let rest = Math.floor(half / 64); rest > 0; rest = Math.floor(rest / 128)) {
    bytes[bytes.length - 1]! |= 0x80;
    bytes.push(rest % 128);
  }
  return Buffer.from(bytes);
}

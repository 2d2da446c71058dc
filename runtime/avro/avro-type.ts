/** Avro's types as Millrace reads and writes them: a schema parsed once, and readers and writers made of it. */

import { MillraceError } from '../errors.ts';
import { AvroInput, AvroTruncated } from './avro-input.ts';
import { AvroUnresolved, compileReader } from './reader.ts';
import { type AvroSchema, branchName, describeNode, type SchemaNode } from './schema.ts';
import { parseSchema, parseShape } from './schema-parser.ts';
import { compileWriter } from './writer.ts';

/** A schema of one's own, with every value that its contract may hold. */
export interface AvroType {
  readonly node: SchemaNode;
  /**
   * The Avro body of a value that `createValidator` finds no fault with.
   * @throws TypeError when it meets another one
   */
  toBuffer(value: unknown): Buffer;
}

/** Reads values that one writer's schema wrote as values of the reader's type. Not for use by two at once. */
export interface AvroReader {
  /**
   * The value that `bytes` hold from `start` to `end`, by default all of them.
   * @throws AVRO_TRUNCATED, AVRO_TRAILING_BYTES, AVRO_INVALID; SCHEMA_INCOMPATIBLE when this value does not resolve
   */
  read(bytes: Buffer, start?: number, end?: number): unknown;
}

/**
 * Parses a schema of one's own. Logical types stay the numbers, strings and bytes that Avro stores; unions are plain
 * values where JavaScript can tell the branches apart, else `{branch: value}`.
 * @throws Error when `parseSchema` finds a problem with it; the message says which, and quotes no schema
 */
export function parseAvro(schema: AvroSchema): AvroType {
  const { node, problems } = parseSchema(schema);
  if (!node) throw new Error(problems.map(({ path, message }) => `${path}: ${message}`).join(' '));
  return { node, toBuffer: compileWriter(node) };
}

/**
 * Resolves the writer's schema into the reader's type by Avro's rules, once. Only its shape is needed: names, symbols and
 * defaults that Avro does not allow cost no record.
 * @throws SCHEMA_INVALID when `writerSchema` has no shape that says which bytes are what
 */
export function createAvroReader({ node }: AvroType, writerSchema: AvroSchema, schemaId: string): AvroReader {
  return readerOf(writerSchema, node, schemaId);
}

/**
 * Reads values as they were written.
 * @throws SCHEMA_INVALID as `createAvroReader`
 */
export function createWriterReader(writerSchema: AvroSchema, schemaId: string): AvroReader {
  return readerOf(writerSchema, null, schemaId);
}

function readerOf(writerSchema: AvroSchema, ownReader: SchemaNode | null, schemaId: string): AvroReader {
  const { writer, reader, readValue } = resolve(writerSchema, ownReader, schemaId);
  const input = new AvroInput();

  return {
    read(bytes, start = 0, end = bytes.length) {
      input.open(bytes, start, end);
      let value: unknown;
      try {
        value = readValue(input);
      } catch (cause) {
        if (cause instanceof AvroUnresolved) throw incompatible(cause, schemaId, writer, reader);
        throw unreadable(cause, end - start, schemaId);
      }
      if (input.remaining > 0) throw trailing(input.remaining, end - start, schemaId);
      return value;
    },
  };
}

function resolve(writerSchema: AvroSchema, ownReader: SchemaNode | null, schemaId: string) {
  try {
    const writer = parseShape(writerSchema);
    if (!writer) throw invalidSchema(schemaId);
    const reader = ownReader ?? writer;
    return { writer, reader, readValue: compileReader(writer, reader) };
  } catch (error) {
    // It nests deeper than the stack, or a record has more fields than a function takes parameters.
    if (error instanceof RangeError || error instanceof SyntaxError) throw invalidSchema(schemaId);
    throw error;
  }
}

function invalidSchema(schemaId: string): MillraceError {
  return new MillraceError(
    'SCHEMA_INVALID',
    `The registry's schema ${schemaId} does not parse as Avro. Check it in the registry. Records written with it ` +
      'can be redriven once it is a valid schema.',
    { details: { schemaId } },
  );
}

function incompatible(
  { message }: AvroUnresolved,
  schemaId: string,
  writer: SchemaNode,
  reader: SchemaNode,
): MillraceError {
  return new MillraceError(
    'SCHEMA_INCOMPATIBLE',
    `The value was written with schema ${schemaId} (${describeNode(writer)}) and does not resolve into the contract's ` +
      `newest version (${describeNode(reader)}): ${message}. Run \`millrace contracts check\`, or find who published ` +
      'with a schema of their own.',
    { details: { schemaId, writer: branchName(writer), reader: branchName(reader) } },
  );
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
    { cause, details },
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

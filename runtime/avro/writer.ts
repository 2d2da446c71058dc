/**
 * Writing values in Avro's binary encoding: https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
 * (2026-11-24). A validator has looked at the values before. What is checked here again is only what would make other
 * bytes of a value that changes between the two.
 */
import { createDefault } from './default.ts';
import { branchName, type FieldNode, type SchemaNode, type UnionNode } from './schema.ts';
import { fieldGetter, isWrapped, kindOfNode, kindOfValue } from './value.ts';

type Write = (output: AvroOutput, value: unknown) => void;

/**
 * Makes what writes the schema's values as an Avro body. A field that is undefined has its default written.
 * @throws TypeError when it meets a value that is none of the schema's
 */
export function compileWriter(node: SchemaNode): (value: unknown) => Buffer {
  const write = compile(node, new Map());
  let spare: AvroOutput | null = new AvroOutput();
  return (value) => {
    // A getter in the value may come back here.
    const output = spare ?? new AvroOutput();
    spare = null;
    try {
      write(output, value);
      return output.take();
    } finally {
      output.clear();
      spare = output;
    }
  };
}

function compile(node: SchemaNode, compiled: Map<SchemaNode, Write>): Write {
  const known = compiled.get(node);
  if (known) return known;
  // A type may hold itself: what asks for it meanwhile gets what looks it up when it runs.
  compiled.set(node, (output, value) => compiled.get(node)!(output, value));
  const write = compileNew(node, compiled);
  compiled.set(node, write);
  return write;
}

function compileNew(node: SchemaNode, compiled: Map<SchemaNode, Write>): Write {
  switch (node.kind) {
    case 'null':
      return (_, value) => ensure(value === null);
    case 'boolean':
      return (output, value) => {
        ensure(typeof value === 'boolean');
        output.writeByte(value ? 1 : 0);
      };
    case 'int':
      return (output, value) => {
        ensure(value === ((value as number) | 0));
        output.writeLong(value as number);
      };
    case 'long':
      return (output, value) => {
        ensure(Number.isSafeInteger(value));
        output.writeLong(value as number);
      };
    case 'float':
      return (output, value) => {
        ensure(typeof value === 'number');
        output.writeFloat(value as number);
      };
    case 'double':
      return (output, value) => {
        ensure(typeof value === 'number');
        output.writeDouble(value as number);
      };
    case 'string':
      return (output, value) => {
        ensure(typeof value === 'string');
        output.writeString(value as string);
      };
    case 'bytes':
      return (output, value) => {
        ensure(Buffer.isBuffer(value));
        output.writeLong((value as Buffer).length);
        output.writeBytes(value as Buffer);
      };
    case 'fixed':
      return (output, value) => {
        ensure(Buffer.isBuffer(value) && value.length === node.size);
        output.writeBytes(value as Buffer);
      };
    case 'enum': {
      const indexes = new Map<unknown, number>(node.symbols.map((symbol, index) => [symbol, index]));
      return (output, value) => {
        const index = indexes.get(value);
        ensure(index !== undefined);
        output.writeLong(index!);
      };
    }
    case 'array': {
      const write = compile(node.items, compiled);
      return (output, value) => {
        ensure(Array.isArray(value));
        const items = value as readonly unknown[];
        const { length } = items;
        if (length > 0) output.writeLong(length);
        for (let index = 0; index < length; index++) write(output, items[index]);
        output.writeLong(0);
      };
    }
    case 'map': {
      const write = compile(node.values, compiled);
      return (output, value) => {
        const map = value as Readonly<Record<string, unknown>>;
        const keys = Object.keys(map);
        if (keys.length > 0) output.writeLong(keys.length);
        for (const key of keys) {
          output.writeString(key);
          write(output, map[key]);
        }
        output.writeLong(0);
      };
    }
    case 'union':
      return unionWrite(node, compiled);
    case 'record': {
      const writes = node.fields.map((field) => fieldWrite(field, compiled));
      return (output, value) => {
        for (const write of writes) write(output, value);
      };
    }
  }
}

function fieldWrite({ name, type, default: otherwise }: FieldNode, compiled: Map<SchemaNode, Write>): Write {
  const get = fieldGetter(name);
  const write = compile(type, compiled);
  if (otherwise === undefined) {
    return (output, record) => write(output, get(record as Readonly<Record<string, unknown>>));
  }
  const createValue = createDefault(type, otherwise);
  return (output, record) => {
    const value = get(record as Readonly<Record<string, unknown>>);
    write(output, value === undefined ? createValue() : value);
  };
}

function unionWrite(node: UnionNode, compiled: Map<SchemaNode, Write>): Write {
  const isByName = isWrapped(node);
  const branches = new Map(
    node.branches.map((branch, index) => {
      const label = isByName && branch.kind !== 'null' ? branchName(branch) : kindOfNode(branch);
      return [label, { index, write: compile(branch, compiled) }];
    }),
  );
  return (output, value) => {
    const name = isByName && value !== null ? Object.keys(value as object)[0]! : null;
    const branch = branches.get(name ?? kindOfValue(value));
    ensure(branch !== undefined);
    output.writeLong(branch!.index);
    branch!.write(output, name === null ? value : (value as Readonly<Record<string, unknown>>)[name]);
  };
}

function ensure(isKept: boolean): void {
  if (!isKept) throw new TypeError('the value is not of its type');
}

/** Bytes that grow as they are written. */
class AvroOutput {
  #bytes = Buffer.allocUnsafe(1_024);
  #length = 0;

  /** A copy of what was written. */
  take(): Buffer {
    return Buffer.from(this.#bytes.subarray(0, this.#length));
  }

  clear(): void {
    this.#length = 0;
    // One large value must not be kept for as long as the writer is.
    if (this.#bytes.length > MAX_KEPT_BYTES) this.#bytes = Buffer.allocUnsafe(1_024);
  }

  writeByte(byte: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = byte;
  }

  /** Zigzag, seven bits a byte, lowest first. */
  writeLong(value: number): void {
    this.#reserve(MAX_LONG_BYTES);
    if (value === (value | 0)) this.#writeInt(value);
    else this.#writeLarge(value);
  }

  writeFloat(value: number): void {
    this.#reserve(4);
    this.#length = this.#bytes.writeFloatLE(value, this.#length);
  }

  writeDouble(value: number): void {
    this.#reserve(8);
    this.#length = this.#bytes.writeDoubleLE(value, this.#length);
  }

  writeString(text: string): void {
    const length = Buffer.byteLength(text);
    this.writeLong(length);
    this.#reserve(length);
    this.#length += this.#bytes.write(text, this.#length);
  }

  writeBytes(bytes: Buffer): void {
    this.#reserve(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #writeInt(value: number): void {
    let rest = ((value << 1) ^ (value >> 31)) >>> 0;
    for (; rest >= 0x80; rest >>>= 7) this.#bytes[this.#length++] = (rest & 0x7f) | 0x80;
    this.#bytes[this.#length++] = rest;
  }

  #writeLarge(value: number): void {
    // The number without its sign, which becomes the lowest bit: doubled it would not be exact.
    const half = value < 0 ? -value - 1 : value;
    let byte = (half % 64) * 2 + (value < 0 ? 1 : 0);
    for (let rest = Math.floor(half / 64); rest > 0; rest = Math.floor(rest / 128)) {
      this.#bytes[this.#length++] = byte | 0x80;
      byte = rest % 128;
    }
    this.#bytes[this.#length++] = byte;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

const MAX_LONG_BYTES = 10;
const MAX_KEPT_BYTES = 65_536;

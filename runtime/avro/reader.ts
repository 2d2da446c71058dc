/**
 * Reading what one schema wrote as values of another, by Avro's schema resolution:
 * https://avro.apache.org/docs/1.12.0/specification/#schema-resolution (2026-11-24). A pair of schemas is compiled once.
 * What does not resolve costs only the values that have it: a union's other branches and an enum's other symbols read.
 */
import { type AvroInput, AvroMalformed } from './avro-input.ts';
import { createDefault } from './default.ts';
import {
  type ArrayNode,
  branchName,
  describeNode,
  type EnumNode,
  type FieldNode,
  isKindReadable,
  isNameReadable,
  joinPath,
  type MapNode,
  type RecordNode,
  type SchemaNode,
  type UnionNode,
  writtenAs,
} from './schema.ts';
import { isWrapped, withOwn } from './value.ts';

export type Read = (input: AvroInput) => unknown;
type Skip = (input: AvroInput) => void;

/** Thrown where a value is none of the reader's. The message names types and fields, and nothing of the value. */
export class AvroUnresolved extends Error {}

/** Makes what reads the writer's values as the reader's. It may be kept, and is safe on any bytes. */
export function compileReader(writer: SchemaNode, reader: SchemaNode): Read {
  return new ReaderCompiler().compile(writer, reader, '');
}

class ReaderCompiler {
  readonly #reads = new Map<SchemaNode, Map<SchemaNode, Read>>();
  readonly #skips = new Map<SchemaNode, Skip>();

  /** @param path in the reader's schema; of a type that is met several times the first one */
  compile(from: SchemaNode, to: SchemaNode, path: string): Read {
    if (from.kind === 'union') return this.#unionRead(from, to, path);
    if (to.kind === 'union') return this.#branchRead(from, to, path);
    if (!isKindReadable(from, to) || !isNameReadable(from, to)) return unresolved(from, [to], path);
    if (from.kind === 'record' && to.kind === 'record') return this.#recordRead(from, to, path);
    if (from.kind === 'array' && to.kind === 'array') return this.#arrayRead(from, to, path);
    if (from.kind === 'map' && to.kind === 'map') return this.#mapRead(from, to, path);
    if (from.kind === 'enum' && to.kind === 'enum') return enumRead(from, to, path);
    if (from.kind === 'fixed' && to.kind === 'fixed') {
      const { size } = from;
      if (size === to.size) return (input) => input.readFixed(size);
      return unresolvable(path, `${size} bytes were written, and the reader takes ${to.size}`);
    }
    return scalarRead(from.kind, to.kind);
  }

  #unionRead(from: UnionNode, to: SchemaNode, path: string): Read {
    const reads = from.branches.map((branch) => this.compile(branch, to, path));
    return (input) => reads[input.readBranch(reads.length)]!(input);
  }

  /** One type that was written, as the branch of the reader's union that it fits best. */
  #branchRead(from: SchemaNode, to: UnionNode, path: string): Read {
    const branch = findBranch(from, to.branches);
    if (!branch) return unresolved(from, to.branches, path);
    const read = this.compile(from, branch, joinPath(path, `<${branchName(branch)}>`));
    if (!isWrapped(to) || branch.kind === 'null') return read;
    const name = branchName(branch);
    return (input) => withOwn({}, name, read(input));
  }

  #arrayRead(from: ArrayNode, to: ArrayNode, path: string): Read {
    const read = this.compile(from.items, to.items, joinPath(path, '[]'));
    return (input) => {
      const items: unknown[] = [];
      for (let count = input.readBlockCount(); count > 0; count = input.readBlockCount()) {
        for (; count > 0; count--) {
          const start = input.pos;
          items.push(read(input));
          input.countItem(start);
        }
      }
      return items;
    };
  }

  #mapRead(from: MapNode, to: MapNode, path: string): Read {
    const read = this.compile(from.values, to.values, joinPath(path, '{}'));
    return (input) => {
      const map = {};
      for (let count = input.readBlockCount(); count > 0; count = input.readBlockCount()) {
        for (; count > 0; count--) withOwn(map, input.readString(), read(input));
      }
      return map;
    };
  }

  #recordRead(from: RecordNode, to: RecordNode, path: string): Read {
    const known = this.#reads.get(from) ?? new Map<SchemaNode, Read>();
    this.#reads.set(from, known);
    const compiled = known.get(to);
    if (compiled) return compiled;
    // A record may hold itself: what asks for it meanwhile gets what looks it up when it runs.
    known.set(to, (input) => known.get(to)!(input));
    const read = this.#newRecordRead(from, to, path);
    known.set(to, read);
    return read;
  }

  #newRecordRead(from: RecordNode, to: RecordNode, path: string): Read {
    const targets = new Map<FieldNode, FieldNode>();
    const defaults = new Map<FieldNode, () => unknown>();
    for (const field of to.fields) {
      const [written, ...others] = writtenAs(field, from);
      const fieldPath = joinPath(path, field.name);
      if (others.length > 0)
        return unresolvable(fieldPath, 'several fields that were written go by its name');
      if (written) targets.set(written, field);
      else if (field.default === undefined) {
        return unresolvable(fieldPath, 'it was not written, and the reader has no default for it');
      } else defaults.set(field, createDefault(field.type, field.default));
    }
    const steps = from.fields.map((written) => {
      const field = targets.get(written);
      if (!field) return { skip: this.#skip(written.type) };
      return { field, read: this.compile(written.type, field.type, joinPath(path, field.name)) };
    });
    return assembleRecord(steps, to.fields, defaults);
  }

  #skip(node: SchemaNode): Skip {
    const known = this.#skips.get(node);
    if (known) return known;
    this.#skips.set(node, (input) => this.#skips.get(node)!(input));
    const skip = this.#newSkip(node);
    this.#skips.set(node, skip);
    return skip;
  }

  #newSkip(node: SchemaNode): Skip {
    switch (node.kind) {
      case 'null':
        return () => {};
      case 'boolean':
        return (input) => input.skipFixed(1);
      case 'int':
      case 'long':
      case 'enum':
        return (input) => input.skipLong();
      case 'float':
        return (input) => input.skipFixed(4);
      case 'double':
        return (input) => input.skipFixed(8);
      case 'bytes':
      case 'string':
        return (input) => input.skipBytes();
      case 'fixed':
        return (input) => input.skipFixed(node.size);
      case 'array': {
        const skip = this.#skip(node.items);
        return (input) => skipBlocks(input, skip);
      }
      case 'map': {
        const skip = this.#skip(node.values);
        return (input) =>
          skipBlocks(input, (entry) => {
            entry.skipBytes();
            skip(entry);
          });
      }
      case 'union': {
        const skips = node.branches.map((branch) => this.#skip(branch));
        return (input) => skips[input.readBranch(skips.length)]!(input);
      }
      case 'record': {
        const skips = node.fields.map(({ type }) => this.#skip(type));
        return (input) => {
          for (const skip of skips) skip(input);
        };
      }
    }
  }
}

/**
 * The reader's branch for a type that was written: of the same kind and name, then of a name that matches by the rules,
 * then by promotion; the first of each.
 */
function findBranch(from: SchemaNode, branches: readonly SchemaNode[]): SchemaNode | undefined {
  const readable = branches.filter((to) => isKindReadable(from, to) && isNameReadable(from, to));
  return (
    readable.find((to) => branchName(to) === branchName(from)) ??
    readable.find(({ kind }) => kind === from.kind) ??
    readable[0]
  );
}

function enumRead(from: EnumNode, to: EnumNode, path: string): Read {
  const symbols = from.symbols.map((symbol) => (to.symbols.includes(symbol) ? symbol : to.default));
  return (input) => {
    const symbol = symbols[input.readBranch(symbols.length)]!;
    if (symbol === null)
      throw new AvroUnresolved(describe(path, 'the reader has no such symbol, nor a default'));
    return symbol;
  };
}

const readNull: Read = () => null;
const readLong: Read = (input) => {
  const value = input.readLong();
  if (!Number.isSafeInteger(value))
    throw new AvroMalformed('a long is beyond 2^53-1, and would not be exact');
  return value;
};
const readBytes: Read = (input) => input.readBytes();
const readString: Read = (input) => input.readString();

/** By the kind that was written; where the reader's is another one, the value is promoted to it. */
function scalarRead(from: SchemaNode['kind'], to: SchemaNode['kind']): Read {
  switch (from) {
    case 'null':
      return readNull;
    case 'boolean':
      return (input) => input.readBoolean();
    case 'int':
      return to === 'float' ? (input) => Math.fround(input.readInt()) : (input) => input.readInt();
    case 'long':
      if (to === 'long') return readLong;
      return to === 'float' ? (input) => Math.fround(input.readLong()) : (input) => input.readLong();
    case 'float':
      return (input) => input.readFloat();
    case 'double':
      return (input) => input.readDouble();
    default:
      return to === 'bytes' ? readBytes : readString;
  }
}

type Step = { readonly skip: Skip } | { readonly field: FieldNode; readonly read: Read };

/**
 * Reads the writer's fields in their order, and makes an object of the reader's in theirs. The object is a literal in
 * code of its own for each pair of records: with a loop that gives an empty object its fields, a batch takes a fifth
 * longer from Lambda's event to its values (10,000 pageviews, 2026-11-26). Of the schema only fields' names are in the
 * code, as JSON.
 */
function assembleRecord(
  steps: readonly Step[],
  fields: readonly FieldNode[],
  defaults: ReadonlyMap<FieldNode, () => unknown>,
): Read {
  const resources = new Map<FieldNode, string>();
  const functions: Record<string, Read | Skip> = {};
  const lines: string[] = [];
  for (const [index, step] of steps.entries()) {
    functions[`f${index}`] = 'skip' in step ? step.skip : step.read;
    if ('field' in step) resources.set(step.field, `v${index}`);
    lines.push(`${'skip' in step ? '' : `const v${index} = `}f${index}(input);`);
  }
  for (const [index, field] of fields.entries()) {
    const otherwise = defaults.get(field);
    if (!otherwise) continue;
    functions[`d${index}`] = otherwise;
    resources.set(field, `d${index}()`);
  }
  const properties = fields.map((field) => `${propertyKey(field.name)}: ${resources.get(field)}`);
  const body = `return (input) => { ${lines.join(' ')} return { ${properties.join(', ')} }; };`;
  return new Function(...Object.keys(functions), body)(...Object.values(functions));
}

/** `"__proto__": value` would set the prototype. */
function propertyKey(name: string): string {
  return name === '__proto__' ? '["__proto__"]' : JSON.stringify(name);
}

function skipBlocks(input: AvroInput, skip: Skip): void {
  for (let block = input.skipBlock(); !block.isLast; block = input.skipBlock()) {
    for (let count = block.items; count > 0; count--) {
      const start = input.pos;
      skip(input);
      input.countItem(start);
    }
  }
}

function unresolved(from: SchemaNode, readers: readonly SchemaNode[], path: string): Read {
  const taken = readers.map(describeNode).join(', ');
  return unresolvable(path, `${describeNode(from)} was written, and the reader takes ${taken}`);
}

function unresolvable(path: string, reason: string): Read {
  const message = describe(path, reason);
  return () => {
    throw new AvroUnresolved(message);
  };
}

function describe(path: string, reason: string): string {
  return path === '' ? `Of the value, ${reason}` : `Of ${path}, ${reason}`;
}

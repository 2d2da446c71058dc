/** Random Avro schemas, and random edits to them: pairs of versions as people make them. */
import fc from 'fast-check';
import type { SchemaNode } from '../../../runtime/avro/schema.ts';
import { inUnion, withOwn } from '../../../runtime/avro/value.ts';

type Json = Record<string, unknown>;
/** A whole number in [0, below). */
export type Choose = (below: number) => number;

export interface SchemaPair {
  readonly before: Json;
  readonly after: Json;
}

/** A record schema and the same one after one to three edits. Either may be invalid: edits do not look around. */
export const schemaPair: fc.Arbitrary<SchemaPair> = fc.noBias(fc.gen()).map((generate) => {
  const choose: Choose = (below) => generate(fc.nat, { max: below - 1 });
  const before = new SchemaWriter(choose).record(3);
  const after = structuredClone(before);
  const editor = new SchemaEditor(after, choose);
  for (let edits = 1 + choose(3); edits > 0; edits--) editor.edit();
  return { before, after };
});

/** A value that the schema takes, as deep as it has to be. */
export function sampleOf(node: SchemaNode, choose: Choose, depth = 4): unknown {
  switch (node.kind) {
    case 'null':
      return null;
    case 'boolean':
      return choose(2) === 1;
    case 'int':
      return pick([0, -1, 64, 16_777_217, -(2 ** 31), 2 ** 31 - 1, choose(1_000)], choose);
    case 'long':
      return pick(
        [0, -1, -(2 ** 52) - 1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, choose(1_000)],
        choose,
      );
    case 'float':
      return Math.fround(pick([0, -0.5, 0.1, 3.4028235e38, Number.NaN, choose(1_000) / 7], choose));
    case 'double':
      return pick([0, -0.5, 0.1, 5e-324, Number.MAX_VALUE, Number.NaN, choose(1_000) / 7], choose);
    case 'string':
      return pick(['', 'a', 'naïve', '😀', '\u{ffff}', 'x'.repeat(choose(80))], choose);
    case 'bytes':
      return Buffer.alloc(choose(4), 1 + choose(255));
    case 'fixed':
      return Buffer.alloc(node.size, choose(256));
    case 'enum':
      return pick(node.symbols, choose);
    case 'array':
      return Array.from({ length: lengthOf(choose, depth) }, () => sampleOf(node.items, choose, depth - 1));
    case 'map': {
      const keys = ['key', '', '__proto__', 'constructor'].slice(0, lengthOf(choose, depth));
      return keys.reduce((map, key) => withOwn(map, key, sampleOf(node.values, choose, depth - 1)), {});
    }
    case 'union': {
      // A record may hold the union again.
      const flat = node.branches.filter(({ kind }) => kind !== 'record');
      const branch = pick(depth <= 0 && flat.length > 0 ? flat : node.branches, choose);
      return inUnion(node, branch, sampleOf(branch, choose, depth));
    }
    case 'record':
      return node.fields.reduce(
        (record, { name, type }) => withOwn(record, name, sampleOf(type, choose, depth - 1)),
        {},
      );
  }
}

function pick<Item>(items: readonly Item[], choose: Choose): Item {
  return items[choose(items.length)]!;
}

function lengthOf(choose: Choose, depth: number): number {
  return depth <= 0 || choose(3) === 0 ? 0 : choose(depth + 1);
}

const PRIMITIVES = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'];
const LOGICAL = [
  { type: 'long', logicalType: 'timestamp-millis' },
  { type: 'long', logicalType: 'timestamp-micros' },
  { type: 'int', logicalType: 'date' },
  { type: 'string', logicalType: 'uuid' },
  { type: 'bytes', logicalType: 'decimal', precision: 6, scale: 2 },
  { type: 'bytes', logicalType: 'decimal', precision: 8, scale: 2 },
];
const SYMBOLS = ['A', 'B', 'C', 'D', 'E'];
const FIELD_NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];

class SchemaWriter {
  readonly #choose: Choose;
  readonly #open: string[] = [];
  readonly #closed: string[] = [];
  #count = 0;

  constructor(choose: Choose, firstName = 0) {
    this.#choose = choose;
    this.#count = firstName;
  }

  record(depth: number): Json {
    const name = this.#name('R');
    this.#open.push(name);
    const names = FIELD_NAMES.slice(0, 1 + this.#choose(4));
    const fields = names.map((field) => this.field(field, depth));
    this.#open.pop();
    this.#closed.push(name);
    return { type: 'record', name, ...(name === 'R0' && this.#choose(2) ? { namespace: 'x' } : {}), fields };
  }

  field(name: string, depth: number): Json {
    const type = this.type(depth);
    const otherwise = this.#choose(2) ? defaultOf(type) : undefined;
    return { name, type, ...(otherwise === undefined ? {} : { default: otherwise }) };
  }

  type(depth: number): unknown {
    const kind = this.#choose(depth > 0 ? 12 : 6);
    if (kind < 4) return PRIMITIVES[this.#choose(PRIMITIVES.length)];
    if (kind === 4) return LOGICAL[this.#choose(LOGICAL.length)];
    if (kind === 5) return this.#reference();
    if (kind === 6) return { type: 'array', items: this.type(depth - 1) };
    if (kind === 7) return { type: 'map', values: this.type(depth - 1) };
    if (kind === 8) return this.#enum();
    if (kind === 9) return { type: 'fixed', name: this.#name('F'), size: 1 + this.#choose(3) };
    if (kind === 10) return this.record(depth - 1);
    return this.#union(depth - 1);
  }

  #enum(): Json {
    const symbols = SYMBOLS.slice(0, 2 + this.#choose(3));
    return { type: 'enum', name: this.#name('E'), symbols, ...(this.#choose(2) ? { default: 'A' } : {}) };
  }

  /** Within a record that is not finished a reference may be left out, or its values would have no end. */
  #reference(): unknown {
    if (this.#open.length === 0) return 'string';
    const open = this.#open[this.#choose(this.#open.length)];
    if (this.#closed.length === 0 || this.#choose(2)) return ['null', open];
    return this.#closed[this.#choose(this.#closed.length)];
  }

  #union(depth: number): unknown[] {
    const branches = new Map<string, unknown>();
    for (let count = 1 + this.#choose(4); count > 0; count--) {
      const branch = this.type(depth);
      if (!Array.isArray(branch)) branches.set(branchOf(branch), branch);
    }
    return branches.size > 0 ? inReadingOrder([...branches.values()]) : ['null', 'string'];
  }

  #name(letter: string): string {
    return `${letter}${this.#count++}`;
  }
}

class SchemaEditor {
  readonly #schema: Json;
  readonly #choose: Choose;
  #newNames = 100;

  constructor(schema: Json, choose: Choose) {
    this.#schema = schema;
    this.#choose = choose;
  }

  edit(): void {
    const definitions = definitionsIn(this.#schema);
    const records = definitions.filter(({ type }) => type === 'record');
    if (this.#choose(4) > 0) this.#editField(records[this.#choose(records.length)]!);
    else this.#editDefinition(definitions[this.#choose(definitions.length)]!);
  }

  #editField(record: Json): void {
    const fields = record.fields as Json[];
    const index = this.#choose(Math.max(1, fields.length));
    const field = fields[index];
    const edit = this.#choose(10);
    if (!field || edit === 0) {
      fields.push(this.#writer().field(`n${this.#newNames++}`, 1));
      return;
    }
    if (edit === 1) fields.splice(index, 1);
    else if (edit === 2) fields.push(...fields.splice(index, 1));
    else if (edit === 3) {
      if (this.#choose(2)) field.aliases = [field.name];
      field.name = `n${this.#newNames++}`;
    } else if (edit === 4) delete field.default;
    else if (edit === 5 && fields.length > 1) {
      const [merged] = fields.splice((index + 1) % fields.length, 1);
      field.aliases = [merged!.name];
    } else {
      field.type = this.#editType(field.type);
      delete field.default;
      const otherwise = this.#choose(2) ? defaultOf(field.type) : undefined;
      if (otherwise !== undefined) field.default = otherwise;
    }
  }

  #editType(type: unknown): unknown {
    if (Array.isArray(type)) {
      const edit = this.#choose(4);
      if (edit === 0) return type[this.#choose(type.length)];
      if (edit === 1) return type.filter((_, index) => index !== 0 || type.length === 1);
      if (edit === 2) return inReadingOrder(type.toReversed());
      return inReadingOrder([...type, this.#writer().type(1)].filter((branch) => !Array.isArray(branch)));
    }
    const edit = this.#choose(6);
    if (edit === 0) return ['null', type];
    if (edit === 1) return [type, 'string'];
    if (edit === 2 && typeof type === 'string') return PROMOTED[type] ?? type;
    if (edit === 3 && isObject(type) && type.type === 'array')
      return { ...type, items: this.#editType(type.items) };
    if (edit === 4 && isObject(type) && 'logicalType' in type) return type.type;
    return this.#writer().type(1);
  }

  #editDefinition(definition: Json): void {
    const edit = this.#choose(3);
    if (edit === 0) {
      const name = `${definition.name}n${this.#newNames++}`;
      if (this.#choose(2)) definition.aliases = [definition.name];
      renameReferences(this.#schema, definition.name as string, name);
      definition.name = name;
    } else if (edit === 1) {
      this.#schema.namespace = ['x', 'y', 'x.z'][this.#choose(3)];
    } else if (definition.type === 'enum') {
      const symbols = definition.symbols as string[];
      if (this.#choose(2)) definition.symbols = SYMBOLS.slice(0, 2 + this.#choose(4));
      else if (symbols.length > 1) definition.symbols = symbols.slice(0, -1);
      if (this.#choose(3) === 0) delete definition.default;
    } else if (definition.type === 'fixed') {
      definition.size = 1 + this.#choose(3);
    }
  }

  #writer(): SchemaWriter {
    this.#newNames += 20;
    return new SchemaWriter(this.#choose, this.#newNames);
  }
}

const PROMOTED: Readonly<Record<string, string>> = {
  int: 'long',
  long: 'double',
  float: 'double',
  string: 'bytes',
  bytes: 'string',
};

/** A default that fits, undefined where that would take thought. */
function defaultOf(type: unknown): unknown {
  if (Array.isArray(type)) return defaultOf(type[0]);
  const name = isObject(type) ? type.type : type;
  switch (name) {
    case 'null':
      return null;
    case 'boolean':
      return true;
    case 'int':
    case 'long':
    case 'float':
    case 'double':
      return 1;
    case 'bytes':
    case 'string':
      return 'x';
    case 'array':
      return [];
    case 'map':
      return {};
    case 'enum':
      return 'A';
    default:
      return undefined;
  }
}

/** Numbers from the narrowest to the widest: a reader would take a wider branch that came first. */
function inReadingOrder(branches: readonly unknown[]): unknown[] {
  const widthOf = (branch: unknown) =>
    PRIMITIVES.indexOf(isObject(branch) ? String(branch.type) : String(branch));
  return branches.toSorted((a, b) => widthOf(a) - widthOf(b));
}

function branchOf(type: unknown): string {
  return isObject(type) ? String(type.name ?? type.type) : String(type);
}

function definitionsIn(schema: unknown): Json[] {
  if (Array.isArray(schema)) return schema.flatMap(definitionsIn);
  if (!isObject(schema)) return [];
  const { type, fields = [], items, values } = schema;
  const inside = [...(fields as Json[]).map((field) => field.type), items, values].flatMap(definitionsIn);
  return ['record', 'enum', 'fixed'].includes(type as string) ? [schema, ...inside] : inside;
}

function renameReferences(schema: unknown, from: string, to: string): unknown {
  if (schema === from) return to;
  if (Array.isArray(schema)) {
    for (const [index, part] of schema.entries()) schema[index] = renameReferences(part, from, to);
  } else if (isObject(schema)) {
    for (const key of ['items', 'values']) {
      if (key in schema) schema[key] = renameReferences(schema[key], from, to);
    }
    for (const field of (schema.fields as Json[] | undefined) ?? [])
      field.type = renameReferences(field.type, from, to);
  }
  return schema;
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

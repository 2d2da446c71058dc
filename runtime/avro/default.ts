import type { FieldNode, SchemaNode } from './schema.ts';
import { inUnion, isText, TEXT, withOwn } from './value.ts';

/**
 * Why a field's default is none of its type, null where it is fine. A union's default is one of its first branch:
 * so Avro had it up to 1.11, and so libraries of that age read it, though Avro 1.12 takes any branch's.
 * https://avro.apache.org/docs/1.12.0/specification/#schema-record (2026-11-24)
 *
 * @param within fields whose defaults this one is part of
 */
export function findDefaultFault(
  node: SchemaNode,
  value: unknown,
  within: readonly FieldNode[] = [],
): string | null {
  switch (node.kind) {
    case 'null':
      return value === null ? null : 'null takes only null';
    case 'boolean':
      return typeof value === 'boolean' ? null : 'boolean takes true or false';
    case 'int':
      return typeof value === 'number' && value === (value | 0)
        ? null
        : 'int takes a whole number of 32 bits';
    case 'long':
      return Number.isSafeInteger(value) ? null : 'long takes a whole number within 2^53-1 of 0';
    case 'float':
      return typeof value === 'number' && Number.isFinite(Math.fround(value))
        ? null
        : 'float takes a number within 3.4e38 of 0';
    case 'double':
      return Number.isFinite(value) ? null : 'double takes a number within 1.8e308 of 0';
    case 'string':
      return typeof value === 'string' && isText(value) ? null : `string takes a text of ${TEXT}`;
    case 'bytes':
      return isByteText(value) ? null : 'bytes takes a text of the characters \\u0000 to \\u00ff';
    case 'fixed':
      return isByteText(value) && value.length === node.size
        ? null
        : `fixed takes a text of ${node.size} characters from \\u0000 to \\u00ff`;
    case 'enum':
      return node.symbols.includes(value as string) ? null : `${node.fullName} takes one of its symbols`;
    case 'array':
      return Array.isArray(value)
        ? firstFault(value, (item) => findDefaultFault(node.items, item, within))
        : 'array takes a list';
    case 'map':
      if (!isObject(value)) return 'map takes an object';
      return firstFault(Object.entries(value), ([key, item]) =>
        isText(key) ? findDefaultFault(node.values, item, within) : `a map's key is a text of ${TEXT}`,
      );
    case 'union':
      return findUnionFault(node.branches, value, within);
    case 'record':
      if (!isObject(value)) return `${node.fullName} takes an object`;
      return firstFault(node.fields, (field) => {
        const { name, type, default: otherwise } = field;
        if (Object.hasOwn(value, name)) {
          const fault = findDefaultFault(type, value[name], within);
          return fault && `${name}: ${fault}`;
        }
        if (otherwise === undefined) return `${node.fullName} needs its field ${name}`;
        if (within.includes(field))
          return `${node.fullName} would hold itself without end by ${name}'s default`;
        return findDefaultFault(type, otherwise, [...within, field]);
      });
  }
}

/**
 * Makes a default's value of its JSON, a new one at each call: nobody may change another record's. Bytes become Buffers,
 * a float has 32 bits, and what a record leaves out is its own fields' default.
 * @param json what `findDefaultFault` finds no fault with
 */
export function createDefault(node: SchemaNode, json: unknown): () => unknown {
  const value = materialize(node, json);
  return typeof value === 'object' && value !== null ? () => materialize(node, json) : () => value;
}

function materialize(node: SchemaNode, json: unknown): unknown {
  switch (node.kind) {
    case 'int':
    case 'long':
      // JSON has a -0, which these types have not.
      return (json as number) + 0;
    case 'float':
      return Math.fround(json as number);
    case 'bytes':
    case 'fixed':
      return Buffer.from(json as string, 'latin1');
    case 'array':
      return (json as readonly unknown[]).map((item) => materialize(node.items, item));
    case 'map': {
      const map = {};
      for (const [key, item] of Object.entries(json as object))
        withOwn(map, key, materialize(node.values, item));
      return map;
    }
    case 'union':
      return inUnion(node, node.branches[0]!, materialize(node.branches[0]!, json));
    case 'record': {
      const given = json as Readonly<Record<string, unknown>>;
      const record = {};
      for (const { name, type, default: otherwise } of node.fields) {
        withOwn(record, name, materialize(type, Object.hasOwn(given, name) ? given[name] : otherwise));
      }
      return record;
    }
    default:
      return json;
  }
}

function findUnionFault(
  [first, ...others]: readonly SchemaNode[],
  value: unknown,
  within: readonly FieldNode[],
): string | null {
  const fault = findDefaultFault(first!, value, within);
  if (!fault || others.every((branch) => findDefaultFault(branch, value, within))) return fault;
  return `${fault}, and a union's default is of its first branch: put the default's branch first`;
}

function firstFault<Item>(items: readonly Item[], faultOf: (item: Item) => string | null): string | null {
  for (const item of items) {
    const fault = faultOf(item);
    if (fault) return fault;
  }
  return null;
}

function isByteText(value: unknown): value is string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: Avro writes bytes as the characters of these codes.
  return typeof value === 'string' && /^[\u0000-\u00ff]*$/.test(value);
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

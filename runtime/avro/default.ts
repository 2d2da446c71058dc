import type { SchemaNode } from './schema.ts';

/**
 * Why a field's default is none of its type, null where it is fine. A union's default is one of its first branch:
 * so Avro had it up to 1.11, and so avsc reads it, though Avro 1.12 takes any branch's.
 * https://avro.apache.org/docs/1.12.0/specification/#schema-record (2026-11-24)
 */
export function findDefaultFault(node: SchemaNode, value: unknown): string | null {
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
      return Number.isSafeInteger(value) ? null : 'long takes a whole number below 2^53';
    case 'float':
    case 'double':
      return typeof value === 'number' ? null : `${node.kind} takes a number`;
    case 'string':
      return typeof value === 'string' ? null : 'string takes a text';
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
        ? firstFault(value, (item) => findDefaultFault(node.items, item))
        : 'array takes a list';
    case 'map':
      return isObject(value)
        ? firstFault(Object.values(value), (item) => findDefaultFault(node.values, item))
        : 'map takes an object';
    case 'union':
      return findUnionFault(node.branches[0]!, node.branches.slice(1), value);
    case 'record':
      if (!isObject(value)) return `${node.fullName} takes an object`;
      return firstFault(node.fields, ({ name, type, default: otherwise }) => {
        // The field's own default is checked where it stands.
        if (!Object.hasOwn(value, name)) {
          return otherwise === undefined ? `${node.fullName} needs its field ${name}` : null;
        }
        const fault = findDefaultFault(type, value[name]);
        return fault && `${name}: ${fault}`;
      });
  }
}

function findUnionFault(first: SchemaNode, others: readonly SchemaNode[], value: unknown): string | null {
  const fault = findDefaultFault(first, value);
  if (!fault || others.every((branch) => findDefaultFault(branch, value))) return fault;
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

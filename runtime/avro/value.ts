/** How Avro's values stand in JavaScript; docs/contracts.md has the table. */
import { branchName, type SchemaNode, type UnionNode } from './schema.ts';

/** What tells values apart. `number` is any of Avro's four, `object` a map or a record. */
type ValueKind = 'null' | 'boolean' | 'number' | 'string' | 'Buffer' | 'array' | 'object' | 'other';

/** The kind of the values of a type that is no union. */
export function kindOfNode({ kind }: SchemaNode): ValueKind {
  switch (kind) {
    case 'int':
    case 'long':
    case 'float':
    case 'double':
      return 'number';
    case 'bytes':
    case 'fixed':
      return 'Buffer';
    case 'enum':
      return 'string';
    case 'map':
    case 'record':
      return 'object';
    case 'union':
      return 'other';
    default:
      return kind;
  }
}

export function kindOfValue(value: unknown): ValueKind {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (Buffer.isBuffer(value)) return 'Buffer';
  const kind = typeof value;
  return kind === 'boolean' || kind === 'number' || kind === 'string' || kind === 'object' ? kind : 'other';
}

/**
 * Whether a union's values stand as `{branch: value}`, because JavaScript cannot tell by a value which branch is meant.
 * Null is null in these too.
 */
export function isWrapped({ branches }: UnionNode): boolean {
  return new Set(branches.map(kindOfNode)).size < branches.length;
}

/** The value of a union as it stands, of a value of one of its branches. */
export function inUnion(union: UnionNode, branch: SchemaNode, value: unknown): unknown {
  return isWrapped(union) && branch.kind !== 'null' ? withOwn({}, branchName(branch), value) : value;
}

/**
 * Reads a record's field. Every object has properties such as `constructor` from Object.prototype: of these only the
 * object's own count.
 */
export function fieldGetter(name: string): (record: Readonly<Record<string, unknown>>) => unknown {
  if (!(name in Object.prototype)) return (record) => record[name];
  return (record) => (Object.hasOwn(record, name) ? record[name] : undefined);
}

/** Gives the object a property of its own, `__proto__` too, which an assignment would take for the prototype. */
export function withOwn<Target extends object>(target: Target, name: string, value: unknown): Target {
  if (name !== '__proto__') (target as Record<string, unknown>)[name] = value;
  else Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true });
  return target;
}

/**
 * Whether it is text that may be published. A lone surrogate has no UTF-8, so it would come back as another character.
 * U+0000 is Avro, but PostgreSQL's text cannot hold it, and the record would fail in every consumer that stores it.
 */
export function isText(value: string): boolean {
  return value.isWellFormed() && !value.includes('\0');
}

/** What `isText` takes, for people. */
export const TEXT = 'well-formed Unicode without U+0000';

/** Conditions on a value's fields, as `find --where` takes them. */
import type { SchemaNode } from '../avro/schema.ts';
import { parseShape } from '../avro/schema-parser.ts';
import { didYouMean } from '../closest-name.ts';
import type { Topic } from '../contract/contract.ts';
import { MillraceError } from '../errors.ts';

export interface Condition {
  /** Names from the outside in: `address.city` has two. */
  readonly path: readonly string[];
  readonly value: string;
}

/** `field=value`, or `outer.inner=value`; undefined for anything else. */
export function parseCondition(text: string): Condition | undefined {
  const [, path, value] = /^([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)=(.*)$/s.exec(text) ?? [];
  return path === undefined ? undefined : { path: path.split('.'), value: value! };
}

/** @throws INPUT_INVALID where the contract's newest version has no such field, with the closest name */
export function checkCondition({ path }: Condition, topic: Topic<never>): void {
  // Nothing says what is in a JSON value.
  if (topic.format === 'json') return;
  let node: SchemaNode | null = parseShape(topic.latest.schema);
  for (const [depth, name] of path.entries()) {
    if (node === null) return;
    const fields: ReadonlyMap<string, SchemaNode> | null = fieldsOf(node);
    // A map's keys are data.
    if (fields === null) return;
    const next = fields.get(name);
    if (next) {
      node = next;
      continue;
    }
    const names = [...fields.keys()];
    const inside = depth === 0 ? topic.name : `${topic.name}'s ${path.slice(0, depth).join('.')}`;
    const allowed = names.length > 0 ? `Its fields are ${names.join(', ')}.` : 'It has no fields.';
    throw new MillraceError(
      'INPUT_INVALID',
      `${inside} has no field ${JSON.stringify(name)}.${didYouMean(name, names)} ${allowed}`,
      { details: { topic: topic.name, field: path.join('.') } },
    );
  }
}

/** The fields below a type, whichever of its branches and items have them; null where its names are not known. */
function fieldsOf(node: SchemaNode): ReadonlyMap<string, SchemaNode> | null {
  switch (node.kind) {
    case 'record':
      return new Map(node.fields.map(({ name, type }) => [name, type]));
    case 'array':
      return fieldsOf(node.items);
    case 'map':
      return null;
    case 'union': {
      const all = node.branches.map(fieldsOf);
      return all.includes(null) ? null : new Map(all.flatMap((each) => [...each!]));
    }
    default:
      return new Map();
  }
}

/** Whether a value has the field, and in it what the condition says. In an array, one item is enough. */
export function meets(value: unknown, { path, value: wanted }: Condition): boolean {
  if (Array.isArray(value)) return value.some((item) => meets(item, { path, value: wanted }));
  const [name, ...rest] = path;
  if (name === undefined) return textsOf(value).includes(wanted);
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return false;
  if (Object.hasOwn(value, name)) {
    return meets((value as Record<string, unknown>)[name], { path: rest, value: wanted });
  }
  // A union whose branches look alike stands as { branch: value }.
  const [branch, ...others] = Object.values(value);
  return others.length === 0 && typeof branch === 'object' && meets(branch, { path, value: wanted });
}

/** How a person may write a value. */
function textsOf(value: unknown): readonly string[] {
  if (value instanceof Date) return [value.toISOString(), String(value.getTime())];
  if (Buffer.isBuffer(value)) return [value.toString('hex'), value.toString('base64')];
  if (typeof value === 'object' && value !== null) {
    const [branch, ...others] = Object.values(value);
    return others.length === 0 && branch !== undefined ? textsOf(branch) : [];
  }
  return [String(value)];
}

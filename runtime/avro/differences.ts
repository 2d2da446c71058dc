/** How two schemas of one topic differ, in sentences for a person who looks at a record. */
import { describeLogicalType, isSameLogicalType } from './logical-type.ts';
import {
  branchName,
  describeNode,
  isNamed,
  joinPath,
  type RecordNode,
  type SchemaNode,
  unqualify,
  writtenAs,
} from './schema.ts';

export interface NamedSchema {
  /** As sentences call it: `v1`. */
  readonly name: string;
  readonly node: SchemaNode;
}

/** A default that is longer stands for itself by its absence. */
const MAX_DEFAULT_CHARS = 60;

/**
 * What a reader makes of a writer's values that the writer did not: fields that only one of the two has, and types, symbols and
 * defaults that are others. A sentence each; none where the schemas mean the same. A record used twice is compared once.
 */
export function differencesOf(writer: NamedSchema, reader: NamedSchema): readonly string[] {
  const found: string[] = [];
  const compared = new Set<RecordNode>();
  const [from, to] = [writer.name, reader.name];

  const compare = (a: SchemaNode, b: SchemaNode, path: string): void => {
    if (a.kind === 'record' && b.kind === 'record') compareFields(a, b, path);
    else if (a.kind === 'array' && b.kind === 'array') compare(a.items, b.items, joinPath(path, '[]'));
    else if (a.kind === 'map' && b.kind === 'map') compare(a.values, b.values, joinPath(path, '{}'));
    else if (a.kind === 'union' && b.kind === 'union') compareBranches(a.branches, b.branches, path);
    else if (a.kind === 'enum' && b.kind === 'enum') compareSymbols(a.symbols, b.symbols, path);
    else if (typeText(a) !== typeText(b))
      found.push(`${nameOf(path)} is ${typeText(a)} in ${from} and ${typeText(b)} in ${to}.`);
    if (a.kind !== 'union' && a.kind === b.kind && !isSameLogicalType(a.logical, b.logical)) {
      found.push(
        `${nameOf(path)} has ${describeLogicalType(a.logical)} in ${from} and ${describeLogicalType(b.logical)} in ${to}.`,
      );
    }
  };

  const compareFields = (a: RecordNode, b: RecordNode, path: string): void => {
    if (compared.has(b)) return;
    compared.add(b);
    const taken = new Set<string>();
    for (const field of b.fields) {
      const at = joinPath(path, field.name);
      const [written] = writtenAs(field, a);
      if (!written) {
        const value = field.default === undefined ? '' : `; it reads as ${defaultText(field.default)}`;
        found.push(`${to} adds ${nameOf(at)}, which ${from} does not have${value}.`);
        continue;
      }
      taken.add(written.name);
      if (written.name !== field.name)
        found.push(`${nameOf(joinPath(path, written.name))} of ${from} is called ${nameOf(at)} in ${to}.`);
      compare(written.type, field.type, at);
      const [before, after] = [defaultText(written.default), defaultText(field.default)];
      if (before !== after)
        found.push(`The default of ${nameOf(at)} is ${before} in ${from} and ${after} in ${to}.`);
    }
    for (const { name } of a.fields) {
      if (!taken.has(name)) found.push(`${to} drops ${nameOf(joinPath(path, name))}, which ${from} has.`);
    }
  };

  const compareBranches = (a: readonly SchemaNode[], b: readonly SchemaNode[], path: string): void => {
    const [before, after] = [a.map(typeText), b.map(typeText)];
    if (before.join() !== after.join())
      found.push(`${nameOf(path)} is ${before.join(' or ')} in ${from} and ${after.join(' or ')} in ${to}.`);
    for (const branch of a) {
      const other = b.find((each) => each.kind === branch.kind && typeText(each) === typeText(branch));
      if (other) compare(branch, other, a.length > 2 ? joinPath(path, `<${branchName(branch)}>`) : path);
    }
  };

  const compareSymbols = (a: readonly string[], b: readonly string[], path: string): void => {
    const [added, dropped] = [b.filter((each) => !a.includes(each)), a.filter((each) => !b.includes(each))];
    if (added.length > 0) found.push(`${nameOf(path)} may also be ${added.join(' or ')} in ${to}.`);
    if (dropped.length > 0) found.push(`${nameOf(path)} may no longer be ${dropped.join(' or ')} in ${to}.`);
  };

  compare(writer.node, reader.node, '');
  return found;
}

function nameOf(path: string): string {
  return path === '' ? 'The value' : path;
}

/** Names count without their namespaces, as Avro compares them. */
function typeText(node: SchemaNode): string {
  if (node.kind === 'union') return node.branches.map(typeText).join(' or ');
  if (node.kind === 'fixed') return `fixed ${unqualify(node.fullName)} of ${node.size} bytes`;
  return isNamed(node) ? `${node.kind} ${unqualify(node.fullName)}` : describeNode(node);
}

function defaultText(value: unknown): string {
  if (value === undefined) return 'none';
  const text = JSON.stringify(value);
  return text.length > MAX_DEFAULT_CHARS ? 'its default' : text;
}

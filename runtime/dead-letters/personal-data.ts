/** What of a record a person may see: personal data shows only its shape, until somebody asks for the values. */
import { branchName, type FieldNode, type RecordNode, type SchemaNode, unqualify } from '../avro/schema.ts';
import { parseShape } from '../avro/schema-parser.ts';
import { isWrapped, kindOfNode, kindOfValue, withOwn } from '../avro/value.ts';
import type { Contract } from '../contract/contract.ts';

/** Where a contract has personal data: fields that any of its versions, or the writer's schema, tags with `"pii": true`. */
export interface PersonalData {
  /** Whether the contract tags any field. Bytes, headers and error texts of its records can hold what the field holds. */
  readonly isTagged: boolean;
  /** Whether the record's key is such a field. */
  readonly isKeyTagged: boolean;
  /** `Record.field`, without the namespace, under each name that the two go by; null for every field. */
  readonly fields: ReadonlySet<string> | null;
}

type Tagged = Pick<Contract<never>, 'versions' | 'key'>;

/** By versions, and by key: two topics can have the same versions, and different fields as their keys. */
type Known = WeakMap<Tagged['versions'], Map<string, PersonalData>>;
const known: Known = new WeakMap();
const knownByWriter = new WeakMap<SchemaNode, Known>();

/** @param writer a schema that the app may not have: a producer can register a version with a tag before the app is deployed */
export function personalDataOf(contract: Tagged, writer?: SchemaNode): PersonalData {
  const cache = writer ? (knownByWriter.get(writer) ?? new WeakMap()) : known;
  if (writer) knownByWriter.set(writer, cache);
  const byKey = cache.get(contract.versions) ?? new Map<string, PersonalData>();
  cache.set(contract.versions, byKey);
  const found = byKey.get(contract.key) ?? findPersonalData(contract, writer);
  byKey.set(contract.key, found);
  return found;
}

function findPersonalData({ versions, key }: Tagged, writer?: SchemaNode): PersonalData {
  // A contract that is not declared any more tags nothing, and may have tagged anything.
  if (versions.length === 0) return { isTagged: true, isKeyTagged: true, fields: null };
  const shapes = versions.map(({ schema }) => parseShape(schema)).filter((shape) => shape !== null);
  const roots = writer ? [...shapes, writer] : shapes;
  const fields = taggedIn(roots);
  const isKeyTagged = roots
    .filter((root) => root.kind === 'record')
    .some((root) => namesOf(root).some((name) => fields.has(`${name}.${key}`)));
  return { isTagged: fields.size > 0, isKeyTagged, fields };
}

/** A field that was renamed keeps its tag: each name leads to the others, whichever version has them. */
function taggedIn(roots: readonly SchemaNode[]): ReadonlySet<string> {
  const tagged = new Set<string>();
  const open = roots
    .flatMap(recordsIn)
    .flatMap((record) => record.fields.map((field) => ({ pii: field.pii, paths: pathsOf(record, field) })));
  for (let known = -1; known < tagged.size; ) {
    known = tagged.size;
    for (const { pii, paths } of open) {
      if (pii || paths.some((path) => tagged.has(path))) for (const path of paths) tagged.add(path);
    }
  }
  return tagged;
}

/** `Record.field` under each name that the two go by. */
function pathsOf(record: RecordNode, field: FieldNode): readonly string[] {
  return namesOf(record).flatMap((name) => [field.name, ...field.aliases].map((each) => `${name}.${each}`));
}

function recordsIn(root: SchemaNode): readonly RecordNode[] {
  const found = new Set<RecordNode>();
  const visit = (node: SchemaNode): void => {
    if (node.kind === 'array') visit(node.items);
    else if (node.kind === 'map') visit(node.values);
    else if (node.kind === 'union') node.branches.forEach(visit);
    else if (node.kind === 'record' && !found.has(node)) {
      found.add(node);
      for (const { type } of node.fields) visit(type);
    }
  };
  visit(root);
  return [...found];
}

function namesOf({ fullName, aliases }: RecordNode): readonly string[] {
  return [fullName, ...aliases].map(unqualify);
}

/** The value with only the shape of its personal data. What the writer's own schema tags counts, too. */
export function maskPersonal(value: unknown, writer: SchemaNode, { fields }: PersonalData): unknown {
  if (fields === null) return maskAll(value, writer);
  return mask(
    value,
    writer,
    (record, field) => field.pii || pathsOf(record, field).some((path) => fields.has(path)),
  );
}

/** The value's shape, and nothing of what it holds. */
export function maskAll(value: unknown, writer: SchemaNode): unknown {
  return mask(value, writer, () => true, true);
}

type IsHidden = (record: RecordNode, field: FieldNode) => boolean;

function mask(value: unknown, node: SchemaNode, isHidden: IsHidden, hides = false): unknown {
  if (value === null || value === undefined) return null;
  switch (node.kind) {
    case 'union': {
      if (isWrapped(node)) {
        const [[name = '', inner] = []] = Object.entries(value);
        const branch = node.branches.find((each) => branchName(each) === name);
        return branch ? withOwn({}, name, mask(inner, branch, isHidden, hides)) : '<value>';
      }
      const kind = kindOfValue(value);
      const branch = node.branches.find((each) => kindOfNode(each) === kind);
      return branch ? mask(value, branch, isHidden, hides) : '<value>';
    }
    case 'record': {
      const shown = {};
      for (const field of node.fields) {
        const { name, type } = field;
        const inner = (value as Readonly<Record<string, unknown>>)[name];
        withOwn(shown, name, mask(inner, type, isHidden, hides || isHidden(node, field)));
      }
      return shown;
    }
    case 'array': {
      const items = value as readonly unknown[];
      const shown = hides ? items.slice(0, 1) : items;
      return [
        ...shown.map((item) => mask(item, node.items, isHidden, hides)),
        ...(shown.length < items.length ? ['…'] : []),
      ];
    }
    case 'map': {
      const entries = Object.entries(value);
      // A map's keys are data as its values are.
      if (hides) return `<map of ${entries.length}>`;
      const shown = {};
      for (const [name, inner] of entries) withOwn(shown, name, mask(inner, node.values, isHidden));
      return shown;
    }
    default:
      return hides ? shapeOf(value, node) : value;
  }
}

function shapeOf(value: unknown, node: SchemaNode): string {
  // An enum's symbol could be told by its length.
  if (node.kind === 'enum') return `<enum ${unqualify(node.fullName)}>`;
  if (typeof value === 'string') return `<string of ${value.length}>`;
  if (value instanceof Uint8Array) return `<bytes of ${value.length}>`;
  return typeof value === 'boolean' ? '<boolean>' : '<number>';
}

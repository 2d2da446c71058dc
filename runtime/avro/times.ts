/** Times in a value that cannot be meant. */
import { branchName, joinPath, type SchemaNode } from './schema.ts';

/** How many of a logical type's units are a millisecond. Local times have no zone, so nothing to compare them with. */
const UNITS_PER_MS = new Map([
  ['timestamp-millis', 1],
  ['timestamp-micros', 1_000],
]);
/** Deeper values break every contract. */
const MAX_DEPTH = 512;

/**
 * The path of the first `timestamp-millis` or `timestamp-micros` of which `isWrong` says so, in milliseconds; undefined
 * where there is none. What does not fit the schema is skipped.
 */
export function findTime(
  node: SchemaNode,
  value: unknown,
  isWrong: (ms: number) => boolean,
  depth = 0,
): string | undefined {
  if (depth > MAX_DEPTH) return undefined;
  const within = (inner: SchemaNode, its: unknown, step: string) => {
    const path = findTime(inner, its, isWrong, depth + 1);
    return path === undefined ? undefined : joinPath(step, path);
  };
  switch (node.kind) {
    case 'long': {
      const unitsPerMs = UNITS_PER_MS.get(node.logical?.name ?? '');
      const isTime = unitsPerMs !== undefined && typeof value === 'number';
      return isTime && isWrong(value / unitsPerMs) ? '' : undefined;
    }
    case 'array':
      if (!Array.isArray(value)) return undefined;
      return firstOf(value, (item, index) => within(node.items, item, `[${index}]`));
    case 'map':
      return firstOf(Object.entries(propertiesOf(value)), ([key, item]) =>
        within(node.values, item, `[${JSON.stringify(key)}]`),
      );
    case 'record': {
      const properties = propertiesOf(value);
      return firstOf(node.fields, ({ name, type }) => within(type, properties[name], name));
    }
    case 'union': {
      // Where JSON cannot tell the branches apart, a value stands as {branch: value}.
      const [name, another] = Object.keys(propertiesOf(value));
      const named = node.branches.find((branch) => another === undefined && branchName(branch) === name);
      if (named) return within(named, propertiesOf(value)[name!], name!);
      const branch = node.branches.find(({ kind }) => JSON_KIND[kind] === kindOf(value));
      return branch && within(branch, value, '');
    }
    default:
      return undefined;
  }
}

/** Of what may hold a time, how it stands in JSON. */
const JSON_KIND: Partial<Record<SchemaNode['kind'], string>> = {
  long: 'number',
  array: 'array',
  map: 'object',
  record: 'object',
};

function kindOf(value: unknown): string {
  return Array.isArray(value) ? 'array' : typeof value;
}

function firstOf<Item, Found>(
  items: readonly Item[],
  find: (item: Item, index: number) => Found | undefined,
): Found | undefined {
  for (const [index, item] of items.entries()) {
    const found = find(item, index);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Its own, so that a field called `constructor` is none of Object's. */
function propertiesOf(value: unknown): Readonly<Record<string, unknown>> {
  const isPlain = typeof value === 'object' && value !== null && !Array.isArray(value);
  return Object.assign(Object.create(null), isPlain ? value : {});
}

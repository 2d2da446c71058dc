/** Values of any contract, made up from its schema: what `millrace up` publishes for an app without traffic of its own. */
import type { Traffic } from '../../runtime/app.ts';
import type { SchemaNode } from '../../runtime/avro/schema.ts';
import { parseSchema } from '../../runtime/avro/schema-parser.ts';
import { inUnion } from '../../runtime/avro/value.ts';
import type { Contract } from '../../runtime/contract/contract.ts';
import type { Random } from '../../runtime/ports.ts';

/** So few that a key comes up again and again, as an article or a customer does. */
const DISTINCT_TEXTS = 50;
const MAX_ITEMS = 3;
const DAY_MS = 24 * 60 * 60 * 1000;

/** Endless values that keep the contract. The same randomness and times give the same values. */
export function createGeneratedTraffic(contract: Contract<never>, random: Random): Traffic {
  const { node } = parseSchema(contract.latest.schema);
  const make = (atMs: number) => generate(node!, contract.name, { random, nowMs: atMs, within: [] });
  return { next: (atMs) => withIdentity(make(atMs), node!, contract, atMs, random) };
}

/** A small value that keeps the contract: the fields without a default; as they are in `like`, another value of it, if given. */
export function exampleEvent(contract: Contract<never>, nowMs: number, like?: unknown): unknown {
  const { node } = parseSchema(contract.latest.schema);
  const made = generate(node!, contract.name, { random: null, nowMs, within: [] });
  const small = withIdentity(made, node!, contract, nowMs, null);
  if (!isObject(small) || !isObject(like)) return small;
  return Object.fromEntries(Object.keys(small).map((field) => [field, like[field] ?? small[field]]));
}

/** Each event has an id of its own, also where another run makes the same choices at another time. */
function withIdentity(
  value: unknown,
  node: SchemaNode,
  { identity }: { readonly identity?: string },
  nowMs: number,
  random: Random | null,
): unknown {
  const field = node.kind === 'record' ? node.fields.find(({ name }) => name === identity) : undefined;
  if (!field || !isObject(value) || !(field.name in value)) return value;
  const kinds = field.type.kind === 'union' ? field.type.branches : [field.type];
  const isUuid = kinds.some(({ logical }) => logical?.name === 'uuid');
  const time = Math.trunc(nowMs);
  const number = Math.floor((random?.next() ?? 0) * 2 ** 48);
  const hex = (of: number, digits: number) => of.toString(16).padStart(digits, '0').slice(-digits);
  const id = isUuid
    ? `${hex(time, 12).slice(0, 8)}-${hex(time, 12).slice(8)}-4000-8000-${hex(number, 12)}`
    : `${field.name}-${time.toString(36)}-${number.toString(36)}`;
  return { ...value, [field.name]: id };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

interface Making {
  /** Null for the smallest value. */
  readonly random: Random | null;
  readonly nowMs: number;
  readonly within: readonly SchemaNode[];
}

function generate(node: SchemaNode, name: string, making: Making): unknown {
  const { random, nowMs, within } = making;
  const below = (limit: number) => (random ? Math.floor(random.next() * limit) : 0);
  const inner = (of: SchemaNode, its: string) => generate(of, its, { ...making, within: [...within, node] });
  const some = <Item>(make: () => Item) => Array.from({ length: below(MAX_ITEMS + 1) }, make);
  switch (node.kind) {
    case 'record': {
      const fields = node.fields.filter((field) => random || field.default === undefined);
      return Object.fromEntries(fields.map((field) => [field.name, inner(field.type, field.name)]));
    }
    case 'union': {
      // A branch that contains its own union would never end.
      const finite = node.branches.filter((branch) => !within.includes(branch));
      const branch = finite[below(finite.length)] ?? node.branches[0]!;
      return inUnion(node, branch, inner(branch, name));
    }
    case 'array':
      return within.includes(node) ? [] : some(() => inner(node.items, name));
    case 'map':
      return within.includes(node)
        ? {}
        : Object.fromEntries(some(() => [`key-${below(DISTINCT_TEXTS)}`, inner(node.values, name)] as const));
    case 'enum':
      return node.symbols[below(node.symbols.length)];
    case 'fixed':
      return Buffer.alloc(node.size, below(256));
    case 'bytes':
      return Buffer.alloc(0);
    case 'boolean':
      return below(2) === 1;
    case 'null':
      return null;
    case 'string':
      return textOf(node.logical?.name, name, below);
    case 'long':
      return longOf(node.logical?.name, nowMs, random !== null && !/At$|[Tt]ime/.test(name), below);
    case 'int':
      return node.logical?.name === 'date' ? Math.floor(nowMs / DAY_MS) : below(100);
    default:
      return below(10_000) / 100;
  }
}

function textOf(logical: string | undefined, name: string, below: (limit: number) => number): string {
  const number = below(DISTINCT_TEXTS);
  if (logical !== 'uuid') return `${name}-${number}`;
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

/** A long without a logical type is most often a time in milliseconds: a time of 1970 would look like a mistake. */
function longOf(
  logical: string | undefined,
  nowMs: number,
  isCount: boolean,
  below: (limit: number) => number,
): number {
  if (logical === undefined) return isCount ? below(1_000) : nowMs;
  if (logical.startsWith('time-')) return below(DAY_MS);
  if (logical.endsWith('-micros')) return nowMs * 1_000;
  return logical.endsWith('-nanos') ? 0 : nowMs;
}

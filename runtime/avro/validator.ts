/** Whether a value keeps a contract, and where it does not. */
import type { AvroType } from './avro-type.ts';
import { branchName, type MapNode, type RecordNode, type SchemaNode, type UnionNode } from './schema.ts';
import { fieldGetter, isText, isWrapped, kindOfNode, kindOfValue, TEXT } from './value.ts';

/** One way in which a value breaks its contract. Neither field holds what the value holds, map keys aside. */
export interface Violation {
  /** From the value's root: `engagedMs`, `items[3].price`, `labels["a b"]`; empty for the root itself. */
  readonly path: string;
  /** What is allowed there, and what kind of thing stands there. */
  readonly reason: string;
}

type PathStep = string | number;
type Check = (value: unknown, path: PathStep[], violations: Violation[]) => void;

/** Deeper values are a mistake (or an object that holds itself), and would overflow the stack of who reads them. */
const MAX_DEPTH = 512;

/** A function that lists every way in which a value breaks the type; an empty list when it keeps it. */
export function createValidator({ node }: Pick<AvroType, 'node'>): (value: unknown) => readonly Violation[] {
  const check = compile(node, new Map());
  return (value) => {
    const violations: Violation[] = [];
    check(value, [], violations);
    return violations;
  };
}

function compile(node: SchemaNode, compiled: Map<SchemaNode, Check>): Check {
  const known = compiled.get(node);
  if (known) return known;
  // A type may hold itself: what asks for it meanwhile gets a check that looks it up when it runs.
  compiled.set(node, (value, path, violations) => compiled.get(node)!(value, path, violations));
  const check = compileNew(node, compiled);
  compiled.set(node, check);
  return check;
}

function compileNew(node: SchemaNode, compiled: Map<SchemaNode, Check>): Check {
  switch (node.kind) {
    case 'record':
      return recordCheck(node, compiled);
    case 'array':
      return arrayCheck(node.items, compiled);
    case 'map':
      return mapCheck(node, compiled);
    case 'union':
      return isWrapped(node) ? wrappedUnionCheck(node, compiled) : unionCheck(node, compiled);
    default:
      return leafCheck(node);
  }
}

/** Scalars, enums and fixed. */
function leafCheck(node: SchemaNode): Check {
  const isAllowed = leafTest(node);
  const expected = describe(node);
  return (value, path, violations) => {
    if (!isAllowed(value)) violate(violations, path, expected, value);
  };
}

function leafTest(node: SchemaNode): (value: unknown) => boolean {
  switch (node.kind) {
    case 'null':
      return (value) => value === null;
    case 'boolean':
      return (value) => typeof value === 'boolean';
    case 'int':
      return (value) => typeof value === 'number' && value === (value | 0);
    case 'long':
      return Number.isSafeInteger;
    case 'float':
      // By what 32 bits make of it: 3.4028235e38 is the greatest float, 3.4028236e38 would turn into Infinity.
      return (value) => typeof value === 'number' && isFiniteOrNaN(Math.fround(value));
    case 'double':
      return (value) => typeof value === 'number' && isFiniteOrNaN(value);
    case 'string':
      return (value) => typeof value === 'string' && isText(value);
    case 'bytes':
      return (value) => Buffer.isBuffer(value);
    case 'fixed':
      return (value) => Buffer.isBuffer(value) && value.length === node.size;
    case 'enum': {
      const symbols = new Set<unknown>(node.symbols);
      return (value) => symbols.has(value);
    }
    default:
      return () => false;
  }
}

/** JSON's 1e400 is Infinity by the time that it is a value, and nothing tells it from one that was meant. */
function isFiniteOrNaN(value: number): boolean {
  return Number.isFinite(value) || Number.isNaN(value);
}

function recordCheck(node: RecordNode, compiled: Map<SchemaNode, Check>): Check {
  const expected = describe(node);
  const names = new Set(node.fields.map(({ name }) => name));
  const fields = node.fields.map((field) => ({
    name: field.name,
    get: fieldGetter(field.name),
    hasDefault: field.default !== undefined,
    check: compile(field.type, compiled),
  }));
  return (value, path, violations) => {
    if (!isPlain(value) || path.length >= MAX_DEPTH) return violate(violations, path, expected, value);
    for (const { name, get, hasDefault, check } of fields) {
      const field = get(value);
      if (field === undefined && hasDefault) continue;
      path.push(name);
      check(field, path, violations);
      path.pop();
    }
    for (const name of Object.keys(value)) {
      if (names.has(name) || value[name] === undefined) continue;
      violations.push({ path: formatPath([...path, name]), reason: `is not a field of ${node.fullName}` });
    }
  };
}

function arrayCheck(items: SchemaNode, compiled: Map<SchemaNode, Check>): Check {
  const check = compile(items, compiled);
  return (value, path, violations) => {
    if (!Array.isArray(value) || path.length >= MAX_DEPTH)
      return violate(violations, path, 'an array', value);
    for (let index = 0; index < value.length; index++) {
      path.push(index);
      check(value[index], path, violations);
      path.pop();
    }
  };
}

function mapCheck({ values }: MapNode, compiled: Map<SchemaNode, Check>): Check {
  const check = compile(values, compiled);
  return (value, path, violations) => {
    if (!isPlain(value) || path.length >= MAX_DEPTH) return violate(violations, path, 'a map', value);
    for (const key of Object.keys(value)) {
      path.push(key);
      if (isText(key)) check(value[key], path, violations);
      else violate(violations, path, `${TEXT} for a key`, key);
      path.pop();
    }
  };
}

/** A union whose branches JavaScript can tell apart: at most one of each kind. */
function unionCheck(node: UnionNode, compiled: Map<SchemaNode, Check>): Check {
  const expected = node.branches.map(describe).join(' or ');
  const branches = new Map(node.branches.map((branch) => [kindOfNode(branch), compile(branch, compiled)]));
  return (value, path, violations) => {
    const check = branches.get(kindOfValue(value));
    if (check) check(value, path, violations);
    else violate(violations, path, expected, value);
  };
}

/** A union whose values stand as `{branch: value}`, or null. */
function wrappedUnionCheck(node: UnionNode, compiled: Map<SchemaNode, Check>): Check {
  const named = node.branches.filter(({ kind }) => kind !== 'null');
  const branches = new Map(named.map((branch) => [branchName(branch), compile(branch, compiled)]));
  const takesNull = named.length < node.branches.length;
  const expected = `${takesNull ? 'null or ' : ''}an object with one of the keys ${[...branches.keys()].join(', ')}`;
  return (value, path, violations) => {
    if (value === null && takesNull) return;
    const keys = isPlain(value) ? Object.keys(value) : [];
    const check = keys.length === 1 ? branches.get(keys[0]!) : undefined;
    if (!check || path.length >= MAX_DEPTH) return violate(violations, path, expected, value);
    path.push(keys[0]!);
    check((value as Record<string, unknown>)[keys[0]!], path, violations);
    path.pop();
  };
}

function violate(violations: Violation[], path: readonly PathStep[], expected: string, got: unknown): void {
  const reason =
    path.length >= MAX_DEPTH
      ? `nests deeper than ${MAX_DEPTH} levels, or holds itself`
      : got === undefined && path.length > 0
        ? `is missing; it is ${inShort(expected)}`
        : `takes ${expected}; got ${kindOf(got)}`;
  violations.push({ path: formatPath(path), reason });
}

const UNITS: Readonly<Record<string, string>> = {
  date: 'days',
  'timestamp-millis': 'milliseconds',
  'local-timestamp-millis': 'milliseconds',
  'timestamp-micros': 'microseconds',
  'local-timestamp-micros': 'microseconds',
};

/** Without the limits, which nobody has met who gave nothing. */
function inShort(expected: string): string {
  return expected.replace(` of ${TEXT}`, '').replace(/an? \w+ \((a (?:whole )?number) [^)]*\)/g, '$1');
}

/** What a type takes, for people. */
function describe(node: SchemaNode): string {
  const unit = node.logical && UNITS[node.logical.name];
  if (unit) return `a whole number of ${unit} since 1970`;
  switch (node.kind) {
    case 'null':
      return 'null';
    case 'boolean':
      return 'a boolean';
    case 'int':
      return 'an int (a whole number from -2^31 to 2^31-1)';
    case 'long':
      return 'a long (a whole number within 2^53-1 of 0)';
    case 'float':
      return 'a float (a number within 3.4e38 of 0)';
    case 'double':
      return 'a double (a number within 1.8e308 of 0)';
    case 'string':
      return `a string of ${TEXT}`;
    case 'bytes':
      return 'a Buffer';
    case 'fixed':
      return `a Buffer of ${node.size} bytes`;
    case 'enum':
      return `one of ${node.symbols.join(', ')}`;
    case 'array':
      return 'an array';
    case 'map':
      return 'a map';
    case 'union':
      return node.branches.map(describe).join(' or ');
    case 'record':
      return `a record ${node.fullName}`;
  }
}

/** What a value is, for people, and nothing of what it holds. */
function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (typeof value === 'number') return kindOfNumber(value);
  if (typeof value === 'string') return kindOfString(value);
  if (Buffer.isBuffer(value)) return `a Buffer of ${value.length} bytes`;
  if (Array.isArray(value)) return 'an array';
  if (typeof value !== 'object') return `a ${typeof value}`;
  const { name } = (Object.getPrototypeOf(value)?.constructor ?? Object) as { name: string };
  return name === 'Object' ? 'an object' : `an object of class ${name}`;
}

function kindOfString(value: string): string {
  if (!value.isWellFormed()) return 'a string with a lone surrogate';
  return value.includes('\0') ? 'a string with U+0000' : 'a string';
}

function kindOfNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Number.isInteger(value) ? 'a whole number' : 'a number with a fraction';
}

/** An object that is all properties, a class's included: not an array, a Buffer, a Date, a Map, a Promise … */
function isPlain(value: unknown): value is Record<string, unknown> {
  return Object.prototype.toString.call(value) === '[object Object]';
}

const IDENTIFIER = /^[A-Za-z_][A-Za-z0-9_]*$/;

function formatPath(path: readonly PathStep[]): string {
  let text = '';
  for (const step of path.slice(0, 32)) {
    if (typeof step === 'number') text += `[${step}]`;
    else if (IDENTIFIER.test(step)) text += text ? `.${step}` : step;
    else text += `[${JSON.stringify(step.slice(0, 64))}]`;
  }
  return path.length > 32 ? `${text}…` : text;
}

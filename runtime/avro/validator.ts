/** Whether a value keeps a contract. Stricter than avsc's own check, which takes `'toString'` for an enum symbol. */
import type { types } from 'avsc';
import type { AvroType } from './avro-type.ts';

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
/** What avsc's `long` takes; one less than Number.MAX_SAFE_INTEGER. */
const MAX_LONG = Number.MAX_SAFE_INTEGER - 1;
const MAX_FLOAT = 3.4028234663852886e38;

/** A function that lists every way in which a value breaks the type; an empty list when it keeps it. */
export function createValidator(type: AvroType): (value: unknown) => readonly Violation[] {
  const check = compile(type, new Map());
  return (value) => {
    const violations: Violation[] = [];
    check(value, [], violations);
    return violations;
  };
}

function compile(type: AvroType, compiled: Map<AvroType, Check>): Check {
  const known = compiled.get(type);
  if (known) return known;
  // A type may hold itself: what asks for it meanwhile gets a check that looks it up when it runs.
  compiled.set(type, (value, path, violations) => compiled.get(type)!(value, path, violations));
  const check = compileNew(type, compiled);
  compiled.set(type, check);
  return check;
}

function compileNew(type: AvroType, compiled: Map<AvroType, Check>): Check {
  switch (type.typeName) {
    case 'record':
    case 'error':
      return recordCheck(type as types.RecordType, compiled);
    case 'array':
      return arrayCheck((type as types.ArrayType).itemsType, compiled);
    case 'map':
      return mapCheck((type as types.MapType).valuesType, compiled);
    case 'union:unwrapped':
      return unionCheck(type as types.UnwrappedUnionType, compiled);
    case 'union:wrapped':
      return wrappedUnionCheck(type as types.WrappedUnionType, compiled);
    default:
      return leafCheck(type);
  }
}

/** Scalars, enums and fixed. */
function leafCheck(type: AvroType): Check {
  const isAllowed = leafTest(type);
  const expected = describe(type);
  return (value, path, violations) => {
    if (!isAllowed(value)) violate(violations, path, expected, value);
  };
}

function leafTest(type: AvroType): (value: unknown) => boolean {
  switch (type.typeName) {
    case 'null':
      return (value) => value === null;
    case 'boolean':
      return (value) => typeof value === 'boolean';
    case 'int':
      return (value) => typeof value === 'number' && value === (value | 0);
    case 'long':
      return (value) => Number.isInteger(value) && Math.abs(value as number) <= MAX_LONG;
    case 'float':
      // A number that is too large for a float would turn into Infinity without a word.
      return (value) => typeof value === 'number' && !(Math.abs(value) > MAX_FLOAT && Number.isFinite(value));
    case 'double':
      return (value) => typeof value === 'number';
    case 'string':
      return (value) => typeof value === 'string' && isText(value);
    case 'bytes':
      return (value) => Buffer.isBuffer(value);
    case 'fixed': {
      const { size } = type as types.FixedType;
      return (value) => Buffer.isBuffer(value) && value.length === size;
    }
    case 'enum': {
      const symbols = new Set<unknown>((type as types.EnumType).symbols);
      return (value) => symbols.has(value);
    }
    default:
      return () => false;
  }
}

function recordCheck(type: types.RecordType, compiled: Map<AvroType, Check>): Check {
  const expected = describe(type);
  const names = new Set(type.fields.map(({ name }) => name));
  const fields = type.fields.map((field) => ({
    name: field.name,
    hasDefault: field.defaultValue() !== undefined,
    check: compile(field.type, compiled),
  }));
  return (value, path, violations) => {
    if (!isPlain(value) || path.length >= MAX_DEPTH) return violate(violations, path, expected, value);
    for (const { name, hasDefault, check } of fields) {
      const field = value[name];
      if (field === undefined && hasDefault) continue;
      path.push(name);
      check(field, path, violations);
      path.pop();
    }
    for (const name of Object.keys(value)) {
      if (names.has(name) || value[name] === undefined) continue;
      violations.push({
        path: formatPath([...path, name]),
        reason: `is not a field of ${type.name ?? 'the record'}`,
      });
    }
  };
}

function arrayCheck(itemsType: AvroType, compiled: Map<AvroType, Check>): Check {
  const check = compile(itemsType, compiled);
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

function mapCheck(valuesType: AvroType, compiled: Map<AvroType, Check>): Check {
  const check = compile(valuesType, compiled);
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
function unionCheck(type: types.UnwrappedUnionType, compiled: Map<AvroType, Check>): Check {
  const expected = type.types.map(describe).join(' or ');
  const branches = new Map<string, Check>();
  for (const branch of type.types) branches.set(kindTaken(branch), compile(branch, compiled));
  return (value, path, violations) => {
    const check = branches.get(kindGiven(value));
    if (check) check(value, path, violations);
    else violate(violations, path, expected, value);
  };
}

/** A union whose values stand as `{branch: value}`, or null. */
function wrappedUnionCheck(type: types.WrappedUnionType, compiled: Map<AvroType, Check>): Check {
  const named = type.types.map((branch) => [branch.branchName!, compile(branch, compiled)] as const);
  const branches = new Map(named.filter(([name]) => name !== 'null'));
  const takesNull = branches.size < named.length;
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
      : `takes ${expected}; got ${kindOf(got)}`;
  violations.push({ path: formatPath(path), reason });
}

/** What a type takes, for people. */
function describe(type: AvroType): string {
  switch (type.typeName) {
    case 'null':
      return 'null';
    case 'boolean':
      return 'a boolean';
    case 'int':
      return 'an int (a whole number from -2^31 to 2^31-1)';
    case 'long':
      return 'a long (a whole number within 2^53-2 of 0)';
    case 'float':
      return 'a float (a number within 3.4e38 of 0)';
    case 'double':
      return 'a double';
    case 'string':
      return `a string of ${TEXT}`;
    case 'bytes':
      return 'a Buffer';
    case 'fixed':
      return `a Buffer of ${(type as types.FixedType).size} bytes`;
    case 'enum':
      return `one of ${(type as types.EnumType).symbols.join(', ')}`;
    case 'array':
      return 'an array';
    case 'map':
      return 'a map';
    default:
      return `a record ${type.name ?? ''}`.trimEnd();
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

const TEXT = 'well-formed Unicode without U+0000';

/**
 * A lone surrogate has no UTF-8, so it would come back as another character. U+0000 is Avro, but PostgreSQL's text
 * cannot hold it, and the record would fail in every consumer that stores it.
 */
function isText(value: string): boolean {
  return value.isWellFormed() && !value.includes('\0');
}

function kindOfString(value: string): string {
  if (!value.isWellFormed()) return 'a string with a lone surrogate';
  return value.includes('\0') ? 'a string with U+0000' : 'a string';
}

function kindOfNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Number.isInteger(value) ? 'a whole number' : 'a number with a fraction';
}

/** The kind of value that a union's branch takes; branches of one unwrapped union differ in it. */
function kindTaken({ typeName }: AvroType): string {
  switch (typeName) {
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
    case 'error':
      return 'object';
    default:
      return typeName;
  }
}

function kindGiven(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (Buffer.isBuffer(value)) return 'Buffer';
  return typeof value;
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

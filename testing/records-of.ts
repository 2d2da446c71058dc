/** Records of a contract for property tests: what a producer can publish, what it cannot, and what it once could. */
import { createRequire } from 'node:module';
import type * as FastCheck from 'fast-check';
import type { FieldNode, RecordNode, SchemaNode } from '../runtime/avro/schema.ts';
import { parseSchema } from '../runtime/avro/schema-parser.ts';
import { createValidator } from '../runtime/avro/validator.ts';
import { inUnion, withOwn } from '../runtime/avro/value.ts';
import type { Contract, ContractVersion } from '../runtime/contract/contract.ts';
import { MillraceError } from '../runtime/errors.ts';
import { poison, record, type TestRecord } from './test-record.ts';

/** A value with one field wrong. */
export interface NearValid {
  readonly value: unknown;
  /** The field: `engagedMs`, `device.kind`. */
  readonly path: string;
}

export interface Records<Value> {
  /** Values that the contract takes: text of any script, any number, times of the years 1 to 9999. Some keys repeat. */
  readonly valid: FastCheck.Arbitrary<Value>;
  /** Values that no producer can publish: a field of another type, one that is missing, or one too many. */
  readonly nearValid: FastCheck.Arbitrary<NearValid>;
  /** Records of any version of the contract, as producers write them that are not deployed anew. */
  readonly evolved: FastCheck.Arbitrary<TestRecord<Value>>;
  /** What a topic can hold: most of it valid, some of it evolved, some of it bytes that nobody can read. */
  readonly any: FastCheck.Arbitrary<TestRecord<Value>>;
}

const MOST_ITEMS = 3;
const MAX_LONG = Number.MAX_SAFE_INTEGER;
const DAY_MS = 24 * 60 * 60 * 1_000;
/** The years 1 to 9999: any database holds them. */
const FIRST_MS = -62_135_596_800_000;
const LAST_MS = 253_402_300_799_999;
const MILLIS = { min: FIRST_MS, max: LAST_MS };
/** In microseconds, 2^53 is reached first. */
const MICROS = { min: -MAX_LONG, max: MAX_LONG };
/** The values that a time or a date has. */
const RANGES: Readonly<Record<string, { readonly min: number; readonly max: number }>> = {
  date: { min: FIRST_MS / DAY_MS, max: Math.floor(LAST_MS / DAY_MS) },
  'time-millis': { min: 0, max: DAY_MS - 1 },
  'time-micros': { min: 0, max: DAY_MS * 1_000 - 1 },
  'timestamp-millis': MILLIS,
  'timestamp-micros': MICROS,
  'local-timestamp-millis': MILLIS,
  'local-timestamp-micros': MICROS,
};

/** So few that a key comes up again. */
const KEYS = ['a', 'b', 'c'];

/**
 * Arbitraries of a contract's records, for fast-check, which has to be installed beside Millrace.
 * @throws INPUT_INVALID when fast-check is not installed
 */
export function recordsOf<Value>(contract: Contract<Value>): Records<Value> {
  const fc = loadFastCheck();
  const make = createMaker(fc, contract.key);
  const valid = make.value(rootOf(contract.latest)) as FastCheck.Arbitrary<Value>;
  const evolved = fc
    .constantFrom(...contract.versions)
    .chain((version) =>
      make.value(rootOf(version)).map((value) => record(value as Value, { version: version.version })),
    );
  const unreadable = fc
    .tuple(fc.constantFrom(...KEYS), fc.uint8Array({ maxLength: 40 }))
    // No framing begins with it.
    .map(([key, bytes]) => poison(key, Buffer.concat([Buffer.from([0xff]), bytes])));
  return {
    valid,
    nearValid: make.nearValid(rootOf(contract.latest)),
    evolved,
    any: fc.oneof(
      { arbitrary: valid.map((value) => record(value)), weight: 6 },
      { arbitrary: evolved, weight: 2 },
      { arbitrary: unreadable as FastCheck.Arbitrary<TestRecord<Value>>, weight: 1 },
    ),
  };
}

function loadFastCheck(): typeof FastCheck {
  try {
    return createRequire(import.meta.url)('fast-check') as typeof FastCheck;
  } catch (cause) {
    throw new MillraceError(
      'INPUT_INVALID',
      'recordsOf() needs fast-check, which is not installed. Install it: npm install --save-dev fast-check',
      { cause },
    );
  }
}

/** `defineTopic` takes no contract whose value is no record: it could have no key. */
function rootOf({ schema }: ContractVersion): RecordNode {
  return parseSchema(schema).node as RecordNode;
}

function createMaker(fc: typeof FastCheck, keyField: string) {
  const text = fc.string({ unit: 'binary' }).map((made) => made.replaceAll('\0', '\u{1}'));

  /** @param within the types that hold this one: a type that holds itself ends at once */
  function value(node: SchemaNode, within: readonly SchemaNode[] = []): FastCheck.Arbitrary<unknown> {
    const inner = (of: SchemaNode) => value(of, [...within, node]);
    const isWithin = within.includes(node);
    switch (node.kind) {
      case 'null':
        return fc.constant(null);
      case 'boolean':
        return fc.boolean();
      case 'int':
        return fc.integer(RANGES[node.logical?.name ?? '']);
      case 'long': {
        const range = RANGES[node.logical?.name ?? ''] ?? { min: -MAX_LONG, max: MAX_LONG };
        const near = fc.integer({
          min: Math.max(range.min, -(2 ** 31)),
          max: Math.min(range.max, 2 ** 31 - 1),
        });
        return fc.oneof(near, fc.integer(range));
      }
      case 'float':
        return fc.float({ noDefaultInfinity: true });
      case 'double':
        return fc.double({ noDefaultInfinity: true });
      case 'bytes':
        return fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes));
      case 'string':
        return node.logical?.name === 'uuid' ? fc.uuid() : text;
      case 'enum':
        return fc.constantFrom(...node.symbols);
      case 'fixed':
        return fc
          .uint8Array({ minLength: node.size, maxLength: node.size })
          .map((bytes) => Buffer.from(bytes));
      case 'array':
        return isWithin ? fc.constant([]) : fc.array(inner(node.items), { maxLength: MOST_ITEMS });
      case 'map':
        if (isWithin) return fc.constant({});
        return fc
          .array(fc.tuple(text, inner(node.values)), { maxLength: MOST_ITEMS })
          .map((entries) => entries.reduce((map, [key, item]) => withOwn(map, key, item), {}));
      case 'union': {
        const finite = node.branches.filter((branch) => !within.includes(branch));
        return fc.oneof(...finite.map((branch) => inner(branch).map((made) => inUnion(node, branch, made))));
      }
      case 'record':
        return recordOf(
          node.fields,
          node.fields.map((field) => (within.length === 0 ? rootField(field, node) : inner(field.type))),
        );
    }
  }

  function recordOf(
    fields: readonly FieldNode[],
    values: readonly FastCheck.Arbitrary<unknown>[],
  ): FastCheck.Arbitrary<Record<string, unknown>> {
    return fc
      .tuple(...values)
      .map((made) => fields.reduce((all, { name }, at) => withOwn(all, name, made[at]), {}));
  }

  /** The key is text or a number, and some keys repeat. */
  function rootField({ name, type }: FieldNode, root: SchemaNode): FastCheck.Arbitrary<unknown> {
    const any = value(type, [root]);
    if (name !== keyField) return any;
    const isKey = (made: unknown) => typeof made === 'string' || typeof made === 'number';
    const takes = createValidator({ node: type });
    const repeated = [...KEYS, 1, 2, 3].filter((key) => takes(key).length === 0);
    const others = any.filter(isKey);
    return repeated.length === 0 ? others : fc.oneof(fc.constantFrom(...repeated), others);
  }

  /** None of these is right everywhere, and for each type some are wrong. */
  const CANDIDATES: readonly unknown[] = [
    null,
    true,
    1.5,
    2 ** 40,
    2 ** 60,
    'one of nothing',
    'a lone surrogate: \ud800',
    Buffer.alloc(0),
    [],
    {},
    new Date(0),
    5n,
  ];

  function nearValid(root: RecordNode): FastCheck.Arbitrary<NearValid> {
    const faults: FastCheck.Arbitrary<NearValid>[] = [
      value(root).map((made) => ({
        value: withOwn({ ...(made as object) }, 'notOfTheContract', 1),
        path: 'notOfTheContract',
      })),
    ];
    for (const { name, type, default: otherwise } of root.fields) {
      const violationsOf = createValidator({ node: type });
      const wrong = CANDIDATES.filter((candidate) => violationsOf(candidate).length > 0);
      faults.push(
        fc
          .tuple(value(root), fc.constantFrom(...wrong))
          .map(([made, instead]) => ({ value: withOwn({ ...(made as object) }, name, instead), path: name })),
      );
      if (otherwise !== undefined) continue;
      faults.push(
        value(root).map((made) => {
          const { [name]: _, ...rest } = made as Record<string, unknown>;
          return { value: rest, path: name };
        }),
      );
    }
    return fc.oneof(...faults);
  }

  return { value, nearValid };
}

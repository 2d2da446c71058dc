import { describe, expect, test } from '@jest/globals';
import { createAvroReader, parseAvro } from '../../../runtime/avro/avro-type.ts';
import { findIncompatibilities } from '../../../runtime/avro/compatibility.ts';
import type { AvroSchema } from '../../../runtime/avro/schema.ts';
import { parseSchema } from '../../../runtime/avro/schema-parser.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { sampleOf } from './schema-pair.ts';

type Json = { readonly [attribute: string]: unknown };

function record(fields: readonly Json[], attributes: Json = {}): Json {
  return { type: 'record', name: 'Event', namespace: 'news', fields, ...attributes };
}

function field(name: string, type: unknown, attributes: Json = {}): Json {
  return { name, type, ...attributes };
}

/** `path rule` of each fault that keeps the newer version from reading the older one. */
function backward(older: AvroSchema, newer: AvroSchema): readonly string[] {
  return faults(version(1, older), version(2, newer));
}

/** The same for the older version reading the newer one. */
function forward(older: AvroSchema, newer: AvroSchema): readonly string[] {
  return faults(version(2, newer), version(1, older));
}

function faults(...[writer, reader]: Parameters<typeof findIncompatibilities>): readonly string[] {
  return findIncompatibilities(writer, reader).map(({ path, rule }) => `${path} ${rule}`.trim());
}

function version(number: number, schema: AvroSchema) {
  const { node, problems } = parseSchema(schema);
  if (!node) throw new Error(JSON.stringify(problems));
  return { version: number, node };
}

/** Whether the engine reads a value of the writer's. */
function isRead(writer: AvroSchema, reader: AvroSchema): boolean {
  const { node, toBuffer } = parseAvro(writer);
  const bytes = toBuffer(sampleOf(node, () => 0));
  try {
    createAvroReader(parseAvro(reader), writer, 'test').read(bytes);
    return true;
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'SCHEMA_INCOMPATIBLE') return false;
    throw error;
  }
}

const PRIMITIVES = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'];
const PROMOTED = [
  'int→long',
  'int→float',
  'int→double',
  'long→float',
  'long→double',
  'float→double',
  'string→bytes',
  'bytes→string',
];

describe('types', () => {
  test.each(PRIMITIVES.flatMap((from) => PRIMITIVES.map((to) => [from, to])))('%s read as %s', (from, to) => {
    const isAllowed = from === to || PROMOTED.includes(`${from}→${to}`);
    const found = backward(record([field('a', from)]), record([field('a', to)]));
    expect(found).toEqual(isAllowed ? [] : ['a type-changed']);
  });

  test('arrays and maps go by what they hold', () => {
    const of = (type: string) =>
      record([field('tags', { type: 'array', items: type }), field('scores', { type: 'map', values: type })]);
    expect(backward(of('int'), of('long'))).toEqual([]);
    expect(backward(of('long'), of('int'))).toEqual(['tags[] type-changed', 'scores{} type-changed']);
    const swapped = record([
      field('tags', { type: 'map', values: 'int' }),
      field('scores', { type: 'array', items: 'int' }),
    ]);
    expect(backward(of('int'), swapped)).toEqual(['tags type-changed', 'scores type-changed']);
  });

  test('a fixed keeps its size', () => {
    const of = (size: number) => record([field('hash', { type: 'fixed', name: 'Hash', size })]);
    expect(backward(of(16), of(16))).toEqual([]);
    expect(backward(of(16), of(32))).toEqual(['hash size-changed']);
  });
});

describe('records', () => {
  const plain = record([field('a', 'string')]);

  test('a field may go, may move, and may come with a default', () => {
    const two = record([field('b', 'int'), field('a', 'string')]);
    expect(backward(two, plain)).toEqual([]);
    expect(backward(two, record([field('a', 'string'), field('b', 'int')]))).toEqual([]);
    expect(backward(plain, two)).toEqual(['b field-without-default']);
    expect(backward(plain, record([field('a', 'string'), field('b', 'int', { default: 0 })]))).toEqual([]);
    expect(
      backward(plain, record([field('a', 'string'), field('b', ['null', 'int'], { default: null })])),
    ).toEqual([]);
  });

  test('a nullable field without a default still needs to be written', () => {
    expect(backward(plain, record([field('a', 'string'), field('b', ['null', 'int'])]))).toEqual([
      'b field-without-default',
    ]);
  });

  test('a renamed field is found by its alias, in the reader only', () => {
    const renamed = record([field('z', 'string', { aliases: ['a'] })]);
    expect(backward(plain, renamed)).toEqual([]);
    expect(forward(plain, renamed)).toEqual(['a field-without-default']);
  });

  test('an alias that finds two fields is refused', () => {
    const both = record([field('a', 'string'), field('b', 'string')]);
    const merged = record([field('a', 'string', { aliases: ['b'] })]);
    expect(backward(both, merged)).toEqual(['a field-ambiguous']);
    expect(isRead(both, merged)).toBe(false);
  });

  test('names match without the namespace, or by a whole alias', () => {
    expect(backward(plain, { ...plain, namespace: 'other' })).toEqual([]);
    expect(backward(plain, { ...plain, name: 'Other' })).toEqual(['name-changed']);
    expect(backward(plain, { ...plain, name: 'Other', aliases: ['Event'] })).toEqual([]);
    expect(backward(plain, { ...plain, name: 'Other', namespace: 'x', aliases: ['news.Event'] })).toEqual([]);
    expect(forward(plain, { ...plain, name: 'Other', aliases: ['Event'] })).toEqual(['name-changed']);
  });

  test('a fault deep inside has its whole path', () => {
    const of = (type: string) =>
      record([
        field('visits', {
          type: 'array',
          items: [
            'null',
            { type: 'record', name: 'Visit', fields: [field('seconds', { type: 'map', values: type })] },
          ],
        }),
      ]);
    expect(backward(of('int'), of('string'))).toEqual(['visits[]<news.Visit>.seconds{} type-changed']);
  });

  test('recursive records end, and their faults are told once', () => {
    const list = (type: string) => record([field('value', type), field('next', ['null', 'Event'])]);
    expect(backward(list('int'), list('long'))).toEqual([]);
    expect(backward(list('long'), list('int'))).toEqual(['value type-changed']);
    const tree = (type: string) =>
      record([
        field('left', ['null', 'Event']),
        field('children', { type: 'array', items: 'Event' }),
        field('value', type),
      ]);
    expect(backward(tree('string'), tree('int'))).toEqual(['value type-changed']);
  });

  test('a record that refers to itself through another one ends', () => {
    const of = (type: string) =>
      record([
        field('section', { type: 'record', name: 'Section', fields: [field('top', ['null', 'Event'])] }),
        field('also', 'Section'),
        field('value', type),
      ]);
    expect(backward(of('int'), of('boolean'))).toEqual(['value type-changed']);
  });
});

describe('enums', () => {
  const of = (symbols: readonly string[], otherwise?: string) =>
    record([field('device', { type: 'enum', name: 'Device', symbols, default: otherwise })]);

  test('a symbol that the reader does not have needs the reader’s enum default', () => {
    expect(backward(of(['A', 'B']), of(['A']))).toEqual(['device symbol-missing']);
    expect(backward(of(['A', 'B']), of(['A'], 'A'))).toEqual([]);
    expect(forward(of(['A']), of(['A', 'B'], 'A'))).toEqual(['device symbol-missing']);
    expect(forward(of(['A'], 'A'), of(['A', 'B'], 'A'))).toEqual([]);
  });

  test('the default of a field is none of its enum', () => {
    const older = of(['A', 'B']);
    const newer = record([
      field('device', { type: 'enum', name: 'Device', symbols: ['A'] }, { default: 'A' }),
    ]);
    expect(backward(older, newer)).toEqual(['device symbol-missing']);
  });

  test('symbols may be put into another order', () => {
    expect(backward(of(['A', 'B']), of(['B', 'A']))).toEqual([]);
  });

  test('an enum is no string', () => {
    expect(backward(of(['A']), record([field('device', 'string')]))).toEqual(['device type-changed']);
  });
});

describe('unions', () => {
  const of = (...branches: unknown[]) => record([field('a', branches)]);

  test('each branch of the writer needs one of the reader', () => {
    expect(backward(of('null', 'string'), of('string', 'null'))).toEqual([]);
    expect(backward(of('null', 'string'), of('null', 'string', 'int'))).toEqual([]);
    expect(backward(of('null', 'string', 'int'), of('null', 'string'))).toEqual(['a<int> branch-missing']);
    expect(backward(of('null', 'int'), of('null', 'double'))).toEqual([]);
  });

  test('a type becomes a union that has it, and a union becomes a type that takes all of it', () => {
    const text = record([field('a', 'string')]);
    expect(backward(text, of('null', 'string'))).toEqual([]);
    expect(backward(of('null', 'string'), text)).toEqual(['a<null> branch-missing']);
    expect(backward(of('int', 'long'), record([field('a', 'long')]))).toEqual([]);
    expect(backward(text, of('null', 'int'))).toEqual(['a<string> branch-missing']);
  });

  test('what is wrong inside the branch that is meant is told, not that none fits', () => {
    const inner = (type: string) => of('null', { type: 'record', name: 'Inner', fields: [field('x', type)] });
    expect(backward(inner('int'), inner('string'))).toEqual(['a<news.Inner>.x type-changed']);
  });
});

describe('logical types', () => {
  const of = (type: string, attributes: Json = {}) => record([field('at', { type, ...attributes })]);
  const millis = of('long', { logicalType: 'timestamp-millis' });
  const micros = of('long', { logicalType: 'timestamp-micros' });
  const decimal = (precision: number, scale?: number) =>
    of('bytes', { logicalType: 'decimal', precision, ...(scale === undefined ? {} : { scale }) });

  test('are part of the type: another unit, another scale, or none', () => {
    expect(backward(millis, millis)).toEqual([]);
    expect(backward(millis, micros)).toEqual(['at logical-type-changed']);
    expect(backward(millis, of('long'))).toEqual(['at logical-type-changed']);
    expect(backward(of('long'), millis)).toEqual(['at logical-type-changed']);
    expect(backward(of('int', { logicalType: 'date' }), of('long'))).toEqual(['at logical-type-changed']);
    expect(backward(of('string'), of('string', { logicalType: 'uuid' }))).toEqual([
      'at logical-type-changed',
    ]);
  });

  test('decimals match when precision and scale do; a scale left out is 0', () => {
    expect(backward(decimal(8, 2), decimal(8, 2))).toEqual([]);
    expect(backward(decimal(8), decimal(8, 0))).toEqual([]);
    expect(backward(decimal(8, 2), decimal(9, 2))).toEqual(['at logical-type-changed']);
    expect(backward(decimal(8, 2), decimal(8, 3))).toEqual(['at logical-type-changed']);
  });

  test('are looked for in unions, and names of one’s own count too', () => {
    const nullable = (logicalType: string) => record([field('at', ['null', { type: 'long', logicalType }])]);
    expect(backward(nullable('timestamp-millis'), nullable('timestamp-micros'))).toEqual([
      'at<long> logical-type-changed',
    ]);
    expect(backward(of('string', { logicalType: 'iban' }), of('string', { logicalType: 'bic' }))).toEqual([
      'at logical-type-changed',
    ]);
  });
});

describe('messages', () => {
  test('say what to do in the newer version, whichever side it is on', () => {
    const older = version(1, record([field('a', 'string')]));
    const newer = version(2, record([field('a', 'string'), field('b', 'int')]));
    expect(findIncompatibilities(older, newer)[0]?.message).toBe(
      'v2 needs this field and has no default for it, and v1 does not write it. Give it a default in v2; if it is an old field under a new name, list the old name in its aliases.',
    );
    const shrunk = version(2, record([]));
    expect(findIncompatibilities(shrunk, older)[0]?.message).toBe(
      'v1 needs this field and has no default for it, and v2 does not write it. Keep it, under this name, in v2.',
    );
  });
});

describe('beside the engine', () => {
  test('it knows no logical types, and reads the type underneath', () => {
    const of = (logicalType: string) => record([field('at', { type: 'long', logicalType })]);
    expect(isRead(of('timestamp-millis'), of('timestamp-micros'))).toBe(true);
    expect(backward(of('timestamp-millis'), of('timestamp-micros'))).toEqual(['at logical-type-changed']);
  });

  test('an alias has to match with its namespace, to both', () => {
    const older = record([field('a', 'string')]);
    const newer = { ...older, name: 'Other', namespace: 'x', aliases: ['Event'] };
    expect(isRead(older, newer)).toBe(false);
    expect(backward(older, newer)).toEqual(['name-changed']);
  });
});

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createAvroReader, parseAvro } from '../../../runtime/avro/avro-type.ts';
import type { AvroSchema } from '../../../runtime/avro/schema.ts';
import { createValidator } from '../../../runtime/avro/validator.ts';
import { schemaOf, shapes, valuesOf } from '../../avro-arbitraries.ts';

const violationsOf = (schema: AvroSchema, value: unknown) => createValidator(parseAvro(schema))(value);
const ENUM: AvroSchema = { type: 'enum', name: 'E', symbols: ['A', 'B'] };
const FIXED: AvroSchema = { type: 'fixed', name: 'F', size: 2 };
const recordOf = (...fields: object[]): AvroSchema => ({ type: 'record', name: 'news.R', fields });

test('a value that keeps its schema has no violations', () => {
  fc.assert(
    fc.property(
      shapes.chain((shape) => fc.tuple(fc.constant(schemaOf(shape)), valuesOf(shape))),
      ([schema, value]) => {
        expect(violationsOf(schema, value)).toEqual([]);
      },
    ),
  );
});

test('whatever has no violations encodes and reads, also what was meant for another schema', () => {
  const strays = fc.anything({ withDate: true, withBigInt: true, withTypedArray: true, maxDepth: 2 });
  fc.assert(
    fc.property(shapes, fc.oneof(shapes.chain(valuesOf), strays), (shape, value) => {
      const schema = schemaOf(shape);
      if (violationsOf(schema, value).length > 0) return;
      const type = parseAvro(schema);
      const read = createAvroReader(type, schema, 'the schema').read(type.toBuffer(value));
      expect(violationsOf(schema, read)).toEqual([]);
    }),
    { numRuns: 1_000 },
  );
});

describe('what a type does not take', () => {
  class Money {}
  test.each<[AvroSchema, unknown, string]>([
    ['int', 2 ** 31, 'a whole number'],
    ['int', 1.5, 'a number with a fraction'],
    ['int', Number.NaN, 'NaN'],
    ['int', '1', 'a string'],
    ['int', undefined, 'nothing'],
    ['long', -(2 ** 53), 'a whole number'],
    ['long', 2 ** 53, 'a whole number'],
    ['long', Number.NaN, 'NaN'],
    ['long', Number.POSITIVE_INFINITY, 'Infinity'],
    ['int', 5n, 'a bigint'],
    ['long', 5n, 'a bigint'],
    ['float', 5n, 'a bigint'],
    ['long', new Date(5), 'an object of class Date'],
    [{ type: 'long', logicalType: 'timestamp-millis' }, new Date(5), 'an object of class Date'],
    ['float', 1e39, 'a whole number'],
    ['float', 3.4028236e38, 'a whole number'],
    ['float', Number.NEGATIVE_INFINITY, '-Infinity'],
    ['double', JSON.parse('1e400'), 'Infinity'],
    [['null', 'double'], JSON.parse('-1e400'), '-Infinity'],
    ['double', '1.5', 'a string'],
    ['boolean', 1, 'a whole number'],
    ['string', null, 'null'],
    ['string', '\ud800', 'a string with a lone surrogate'],
    ['string', 'a\0b', 'a string with U+0000'],
    [['null', 'string'], '\0', 'a string with U+0000'],
    ['bytes', new Uint8Array(2), 'an object of class Uint8Array'],
    [FIXED, Buffer.alloc(3), 'a Buffer of 3 bytes'],
    [ENUM, 'C', 'a string'],
    [ENUM, 'toString', 'a string'],
    [ENUM, ['A'], 'an array'],
    ['null', undefined, 'nothing'],
    [['null', 'string'], undefined, 'nothing'],
    [['null', 'string'], 5, 'a whole number'],
    [['null', ENUM], 'C', 'a string'],
    [['int', 'long'], 5, 'a whole number'],
    [['int', 'long'], { int: 1, long: 1 }, 'an object'],
    [['int', 'long'], { toString: 1 }, 'an object'],
    [{ type: 'array', items: 'int' }, { length: 0 }, 'an object'],
    [{ type: 'map', values: 'int' }, [], 'an array'],
    [{ type: 'map', values: 'int' }, new Date(5), 'an object of class Date'],
    [{ type: 'map', values: 'int' }, new Map(), 'an object of class Map'],
    [recordOf(), null, 'null'],
    [recordOf(), 'text', 'a string'],
    [recordOf(), Promise.resolve(), 'an object of class Promise'],
    ['string', new Money(), 'an object of class Money'],
    ['string', () => {}, 'a function'],
  ])('%j', (schema, value, got) => {
    const [violation, ...others] = violationsOf(schema, value);
    expect(others).toEqual([]);
    expect(violation).toMatchObject({ path: '', reason: expect.stringMatching(/^takes .+; got /) });
    expect(violation!.reason.split('; got ')[1]).toBe(got);
  });

  test.each<[AvroSchema, unknown]>([
    ['double', Number.NaN],
    // As Java, C#, Go and Python print the greatest float.
    ['float', 3.4028235e38],
    ['float', -3.4028235e38],
    ['double', Number.MAX_VALUE],
    ['int', -0],
    ['long', Number.MAX_SAFE_INTEGER],
    ['long', Number.MIN_SAFE_INTEGER],
    ['string', '😀'],
    [recordOf(), new Money()],
    [recordOf(), Object.create(null)],
  ])('is not %j: %p', (schema, value) => {
    expect(violationsOf(schema, value)).toEqual([]);
  });
});

describe('a record', () => {
  const schema = recordOf(
    { name: 'id', type: 'string' },
    { name: 'section', type: 'string', default: 'home' },
    { name: 'items', type: { type: 'array', items: recordItem() } },
    { name: 'labels', type: { type: 'map', values: 'int' } },
  );
  function recordItem(): AvroSchema {
    return { type: 'record', name: 'Item', fields: [{ name: 'price', type: ['null', 'int'] }] };
  }

  test('has every violation told, with its path', () => {
    const value = {
      section: undefined,
      items: [{ price: 1 }, { price: 'secret' }, 7],
      labels: { 'a b': 'secret', plain: null },
      extra: 'secret',
    };
    const violations = violationsOf(schema, value);
    expect(violations.map(({ path }) => path)).toEqual([
      'id',
      'items[1].price',
      'items[2]',
      'labels["a b"]',
      'labels.plain',
      'extra',
    ]);
    expect(violations[0]!.reason).toBe('is missing; it is a string');
    expect(violations.at(-1)!.reason).toBe('is not a field of news.R');
    expect(JSON.stringify(violations)).not.toContain('secret');
  });

  test('may leave out what has a default, and hold undefined where it has no field', () => {
    expect(violationsOf(schema, { id: 'a', items: [], labels: {}, extra: undefined })).toEqual([]);
  });

  test('holds U+0000 nowhere, at no depth and in no key of a map', () => {
    const value = { id: 'a\0', section: '\0', items: [], labels: { 'b\0': 1, c: 2 } };
    const reasons = violationsOf(schema, value).map(({ path, reason }) => `${path} ${reason}`);
    const rule = 'takes a string of well-formed Unicode without U+0000; got a string with U+0000';
    expect(reasons).toEqual([
      `id ${rule}`,
      `section ${rule}`,
      'labels["b\\u0000"] takes well-formed Unicode without U+0000 for a key; got a string with U+0000',
    ]);
  });

  test('takes no name of the language for a field', () => {
    const value = JSON.parse('{"id": "a", "items": [], "labels": {}, "constructor": 1, "__proto__": 1}');
    expect(violationsOf(schema, value).map(({ path }) => path)).toEqual(['constructor', '__proto__']);
  });
});

test.each<[AvroSchema, unknown, string]>([
  [
    { type: 'long', logicalType: 'timestamp-millis' },
    'now',
    'takes a whole number of milliseconds since 1970; got a string',
  ],
  [
    { type: 'long', logicalType: 'timestamp-millis' },
    undefined,
    'is missing; it is a whole number of milliseconds since 1970',
  ],
  ['long', undefined, 'is missing; it is a whole number'],
  ['double', undefined, 'is missing; it is a number'],
  [['null', 'int'], undefined, 'is missing; it is null or a whole number'],
])('a field of %j that is %j %s', (type, at, reason) => {
  expect(violationsOf(recordOf({ name: 'at', type }), { at })).toEqual([{ path: 'at', reason }]);
});

test('a value that holds itself ends all the same', () => {
  const schema: AvroSchema = {
    type: 'record',
    name: 'List',
    fields: [{ name: 'next', type: ['null', 'List'] }],
  };
  const loop: { next: unknown } = { next: null };
  loop.next = loop;
  const [violation] = violationsOf(schema, loop);
  expect(violation!.reason).toContain('holds itself');
  expect(violation!.path.length).toBeLessThan(300);
});

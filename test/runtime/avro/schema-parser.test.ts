import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseAvro } from '../../../runtime/avro/avro-type.ts';
import type { AvroSchema, RecordNode } from '../../../runtime/avro/schema.ts';
import { parseSchema } from '../../../runtime/avro/schema-parser.ts';
import { schemaPair } from './schema-pair.ts';

type Json = { readonly [attribute: string]: unknown };

function record(...fields: readonly unknown[]): Json {
  return { type: 'record', name: 'Event', namespace: 'news', fields };
}

/** A record with one field `a` of the type. */
function holding(type: unknown, attributes: Json = {}): Json {
  return record({ name: 'a', type, ...attributes });
}

function problemsOf(schema: AvroSchema): readonly string[] {
  return parseSchema(schema).problems.map(({ rule, path }) => `${path} ${rule}`.trim());
}

const device = { type: 'enum', name: 'Device', symbols: ['PHONE', 'OTHER'] };

describe('what Avro allows', () => {
  test.each<[string, AvroSchema]>([
    ['a primitive', 'string'],
    ['a record without fields', record()],
    ['a recursive record', holding(['null', 'Event'], { default: null })],
    [
      'a type used again by its short name',
      record({ name: 'a', type: device }, { name: 'b', type: 'Device' }),
    ],
    [
      'a type used again by its full name',
      record({ name: 'a', type: device }, { name: 'b', type: 'news.Device' }),
    ],
    ['a name with its namespace in it', { type: 'fixed', name: 'a.b.Hash', size: 16 }],
    ['a type called as a complex one is', { type: 'record', name: 'map', namespace: 'news', fields: [] }],
    ['a union of numbers, narrow ones first', holding(['null', 'int', 'long', 'double'])],
    ['attributes of one’s own', holding({ type: 'string', 'java-class': 'java.net.URI' }, { pii: true })],
    ['a logical type of one’s own', holding({ type: 'string', logicalType: 'iban' })],
    ['a uuid in 16 bytes', holding({ type: 'fixed', name: 'Id', size: 16, logicalType: 'uuid' })],
    [
      'the greatest longs and floats',
      record(
        { name: 'a', type: 'long', default: Number.MAX_SAFE_INTEGER },
        { name: 'b', type: 'long', default: Number.MIN_SAFE_INTEGER },
        { name: 'c', type: 'float', default: 3.4028235e38 },
      ),
    ],
    ['bytes as a default', holding('bytes', { default: '\u0000\u00ff' })],
    [
      'a record as a default',
      holding({ type: 'record', name: 'In', fields: [{ name: 'x', type: 'int' }] }, { default: { x: 1 } }),
    ],
    [
      'the defaults of lists and maps',
      record(
        { name: 'a', type: { type: 'array', items: device }, default: ['PHONE'] },
        { name: 'b', type: { type: 'map', values: 'long' }, default: { x: 1 } },
      ),
    ],
  ])('%s', (_, schema) => {
    expect(problemsOf(schema)).toEqual([]);
    expect(() => parseAvro(schema)).not.toThrow();
  });

  test('a record that holds itself, by a default that ends', () => {
    expect(problemsOf(holding(['null', 'Event'], { default: null }))).toEqual([]);
    const list = {
      type: 'record',
      name: 'List',
      fields: [{ name: 'next', type: ['null', 'List'], default: null }],
    };
    expect(problemsOf(holding(list, { default: {} }))).toEqual([]);
  });
});

describe('what is refused, and where', () => {
  test.each<[string, unknown, string]>([
    ['no schema at all', null, 'type-invalid'],
    ['an object without a type', {}, 'type-invalid'],
    ['a type inside a type', holding({ type: { type: 'string' } }), 'a type-invalid'],
    ['a union inside a type', holding({ type: ['null', 'string'] }), 'a type-invalid'],
    ['a field without a type', record({ name: 'a' }), 'a type-invalid'],
    ['a record without fields', { type: 'record', name: 'A' }, 'type-invalid'],
    ['an array without items', holding({ type: 'array' }), 'a[] type-invalid'],
    [
      'an array written on the field',
      record({ name: 'a', type: 'array', items: 'string' }),
      'a type-unknown',
    ],
    ['a type that is not there', holding('Device'), 'a type-unknown'],
    [
      'a type that comes later',
      record({ name: 'a', type: 'Device' }, { name: 'b', type: device }),
      'a type-unknown',
    ],
    [
      'a type of another namespace',
      record({ name: 'a', type: { ...device, namespace: 'x' } }, { name: 'b', type: 'Device' }),
      'b type-unknown',
    ],
    [
      'a reference as an object',
      record({ name: 'a', type: device }, { name: 'b', type: { type: 'Device' } }),
      'b type-unknown',
    ],
    ['an error, which only protocols have', { type: 'error', name: 'A', fields: [] }, 'type-unknown'],
    ['a record without a name', { type: 'record', fields: [] }, 'name-invalid'],
    ['a name with a hyphen', { type: 'record', name: 'page-view', fields: [] }, 'name-invalid'],
    [
      'a namespace with a hyphen',
      { type: 'record', name: 'A', namespace: 'the-news', fields: [] },
      'name-invalid',
    ],
    ['a primitive’s name', holding({ type: 'fixed', name: 'string', size: 1 }), 'a name-invalid'],
    ['a field without a name', record({ type: 'string' }), 'fields[0] name-invalid'],
    ['a field with a space', record({ name: 'a b', type: 'string' }), 'fields[0] name-invalid'],
    [
      'a field that JavaScript would swallow',
      record({ name: '__proto__', type: 'string' }),
      'fields[0] name-invalid',
    ],
    ['a field twice', record({ name: 'a', type: 'int' }, { name: 'a', type: 'int' }), 'a name-duplicate'],
    ['a type twice', record({ name: 'a', type: device }, { name: 'b', type: device }), 'b name-duplicate'],
    ['aliases that are none', holding('string', { aliases: 'b' }), 'a alias-invalid'],
    [
      'an alias that is a field',
      record({ name: 'a', type: 'int', aliases: ['b'] }, { name: 'b', type: 'int' }),
      'a alias-invalid',
    ],
    [
      'an alias of two fields',
      record({ name: 'a', type: 'int', aliases: ['z'] }, { name: 'b', type: 'int', aliases: ['z'] }),
      'b alias-invalid',
    ],
    ['an alias that is the field itself', holding('int', { aliases: ['a'] }), 'a alias-invalid'],
    ['a type’s alias that is a type', holding({ ...device, aliases: ['Event'] }), 'a alias-invalid'],
    ['an enum without symbols', holding({ ...device, symbols: [] }), 'a symbols-invalid'],
    ['a symbol with a hyphen', holding({ ...device, symbols: ['SMART-TV'] }), 'a symbols-invalid'],
    ['a symbol twice', holding({ ...device, symbols: ['A', 'B', 'A'] }), 'a symbols-invalid'],
    [
      'a record whose default holds it again, without end',
      holding('Event', { default: {} }),
      'a default-invalid',
    ],
    ['a default beyond a double', holding('double', { default: JSON.parse('1e400') }), 'a default-invalid'],
    ['a default beyond a float', holding('float', { default: 3.4028236e38 }), 'a default-invalid'],
    ['a default that JavaScript rounds', holding('long', { default: 2 ** 53 }), 'a default-invalid'],
    ['a default that publishing refuses', holding('string', { default: 'a\0' }), 'a default-invalid'],
    [
      'the same in a key',
      holding({ type: 'map', values: 'int' }, { default: { 'a\0': 1 } }),
      'a default-invalid',
    ],
    ['an enum default that is no symbol', holding({ ...device, default: 'TV' }), 'a default-invalid'],
    ['a fixed of no size', holding({ type: 'fixed', name: 'F' }), 'a size-invalid'],
    ['a fixed of half a byte', holding({ type: 'fixed', name: 'F', size: 0.5 }), 'a size-invalid'],
    ['an empty union', holding([]), 'a union-invalid'],
    ['a union in a union', holding(['null', ['int', 'string']]), 'a union-invalid'],
    ['a union with a type twice', holding(['int', 'int']), 'a union-invalid'],
    [
      'a union with one type under two logical types',
      holding([{ type: 'long', logicalType: 'timestamp-millis' }, 'long']),
      'a union-invalid',
    ],
    [
      'a union with two lists',
      holding([
        { type: 'array', items: 'int' },
        { type: 'array', items: 'string' },
      ]),
      'a union-invalid',
    ],
    [
      'a union with one name in two namespaces',
      holding([
        { ...device, namespace: 'x' },
        { ...device, namespace: 'y' },
      ]),
      'a union-invalid',
    ],
    [
      'a union with a branch that another goes by',
      holding([device, { ...device, name: 'Machine', aliases: ['x.Device'] }]),
      'a union-invalid',
    ],
    ['a union that would read long as double', holding(['double', 'long']), 'a union-invalid'],
    ['a union of string and bytes, which read each other', holding(['string', 'bytes']), 'a union-invalid'],
    ['a pii that is no yes and no no', holding('int', { pii: 'email' }), 'a pii-invalid'],
    ['an order that is none', holding('int', { order: 'up' }), 'a order-invalid'],
    ['a default of another type', holding('string', { default: 1 }), 'a default-invalid'],
    ['null where the type is not', holding('string', { default: null }), 'a default-invalid'],
    [
      'a default of the union’s second branch',
      holding(['null', 'string'], { default: '' }),
      'a default-invalid',
    ],
    ['an int that is too great', holding('int', { default: 2 ** 31 }), 'a default-invalid'],
    ['a long that is not exact', holding('long', { default: 2 ** 53 }), 'a default-invalid'],
    ['bytes that are no bytes', holding('bytes', { default: '€' }), 'a default-invalid'],
    [
      'a fixed that is too short',
      holding({ type: 'fixed', name: 'F', size: 2 }, { default: 'x' }),
      'a default-invalid',
    ],
    ['a symbol that is none', holding(device, { default: 'TV' }), 'a default-invalid'],
    [
      'a list with one item that is wrong',
      holding({ type: 'array', items: 'int' }, { default: [1, 'x'] }),
      'a default-invalid',
    ],
    [
      'a record without a field',
      holding({ type: 'record', name: 'In', fields: [{ name: 'x', type: 'int' }] }, { default: {} }),
      'a default-invalid',
    ],
    [
      'a logical type on the field',
      holding('long', { logicalType: 'timestamp-millis' }),
      'a logical-type-invalid',
    ],
    [
      'a timestamp on an int',
      holding({ type: 'int', logicalType: 'timestamp-millis' }),
      'a logical-type-invalid',
    ],
    ['a date on a long', holding({ type: 'long', logicalType: 'date' }), 'a logical-type-invalid'],
    [
      'a uuid in 8 bytes',
      holding({ type: 'fixed', name: 'Id', size: 8, logicalType: 'uuid' }),
      'a logical-type-invalid',
    ],
    [
      'nanoseconds, which numbers cannot hold',
      holding({ type: 'long', logicalType: 'timestamp-nanos' }),
      'a logical-type-invalid',
    ],
    [
      'a decimal without a precision',
      holding({ type: 'bytes', logicalType: 'decimal' }),
      'a logical-type-invalid',
    ],
    [
      'a decimal with more scale than precision',
      holding({ type: 'bytes', logicalType: 'decimal', precision: 2, scale: 3 }),
      'a logical-type-invalid',
    ],
    [
      'a decimal that its fixed cannot hold',
      holding({ type: 'fixed', name: 'D', size: 4, logicalType: 'decimal', precision: 10 }),
      'a logical-type-invalid',
    ],
  ])('%s', (_, schema, problem) => {
    expect(problemsOf(schema as AvroSchema)).toEqual([problem]);
  });

  test('everything at once, each where it is', () => {
    const schema = record(
      { name: 'a', type: { type: 'array', items: { type: 'map', values: 'Nothing' } } },
      { name: 'b', type: ['null', { type: 'record', name: 'In', fields: [{ name: 'x', type: 'Nothing' }] }] },
    );
    expect(problemsOf(schema)).toEqual(['a[]{} type-unknown', 'b<In>.x type-unknown']);
  });

  test('a fixed of 4 bytes holds a decimal of 9 digits', () => {
    const of = (precision: number) =>
      holding({ type: 'fixed', name: 'D', size: 4, logicalType: 'decimal', precision });
    expect(problemsOf(of(9))).toEqual([]);
  });

  test('any JSON ends in a schema or in problems, never in an error', () => {
    const attribute = fc.constantFrom(
      'type',
      'name',
      'namespace',
      'fields',
      'items',
      'values',
      'symbols',
      'size',
      'default',
      'aliases',
      'logicalType',
      'precision',
      'doc',
    );
    const { json } = fc.letrec<{ json: unknown }>((tie) => ({
      json: fc.oneof(
        { maxDepth: 5 },
        fc.constantFrom(
          'record',
          'enum',
          'fixed',
          'array',
          'map',
          'string',
          'int',
          'null',
          'A',
          'a.B',
          '',
          '__proto__',
          'constructor',
        ),
        fc.constantFrom<unknown>(null, true, 0, 1, -1, 0.5, 1e300),
        fc.array(tie('json'), { maxLength: 4 }),
        fc.dictionary(attribute, tie('json'), { maxKeys: 6 }),
      ),
    }));
    fc.assert(
      fc.property(json, (schema) => {
        const { node, problems } = parseSchema(schema as AvroSchema);
        expect(node === null).toBe(problems.length > 0);
      }),
      { numRuns: 2_000 },
    );
  });

  test('avsc takes what the parser takes', () => {
    fc.assert(
      fc.property(schemaPair, ({ before, after }) => {
        for (const schema of [before, after]) {
          if (parseSchema(schema).node) expect(() => parseAvro(schema)).not.toThrow();
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('the graph', () => {
  test('has names, aliases and references resolved', () => {
    const { node } = parseSchema({
      ...record(
        { name: 'device', type: { ...device, aliases: ['Machine', 'old.Machine'] }, doc: 'On what.' },
        { name: 'last', type: ['null', 'Device'] },
        { name: 'parent', type: ['null', 'Event'] },
      ),
      aliases: ['Pageview'],
    });
    const event = node as RecordNode;
    expect(event.fullName).toBe('news.Event');
    expect(event.aliases).toEqual(['news.Pageview']);
    const [first, last, parent] = event.fields;
    expect(first).toMatchObject({
      doc: 'On what.',
      type: { fullName: 'news.Device', aliases: ['news.Machine', 'old.Machine'] },
    });
    expect(last?.type).toMatchObject({
      kind: 'union',
      branches: [{ kind: 'null' }, { fullName: 'news.Device' }],
    });
    expect(parent?.type.kind === 'union' && parent.type.branches[1]).toBe(event);
  });

  test('messages name what is wrong and never quote the schema', () => {
    const [problem] = parseSchema(holding(['null', 'string'], { default: 'a secret default' })).problems;
    expect(problem?.message).toBe(
      "The default does not fit: null takes only null, and a union's default is of its first branch: put the default's branch first.",
    );
  });
});

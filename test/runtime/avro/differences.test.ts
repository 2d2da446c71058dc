import { expect, test } from '@jest/globals';
import { differencesOf } from '../../../runtime/avro/differences.ts';
import type { AvroSchema } from '../../../runtime/avro/schema.ts';
import { parseShape } from '../../../runtime/avro/schema-parser.ts';

const record = (...fields: object[]): AvroSchema => ({ type: 'record', name: 'Order', fields });
const differences = (from: AvroSchema, to: AvroSchema) =>
  differencesOf({ name: 'v1', node: parseShape(from)! }, { name: 'v2', node: parseShape(to)! });

const id = { name: 'id', type: 'string' };

test('a schema does not differ from itself, however it refers to itself', () => {
  const tree = record(id, { name: 'next', type: ['null', 'Order'], default: null });
  expect(differences(tree, tree)).toEqual([]);
});

test('fields that one of the two lacks are named, with what they read as', () => {
  const note = { name: 'note', type: ['null', 'string'], default: null };
  expect(differences(record(id), record(id, note))).toEqual([
    'v2 adds note, which v1 does not have; it reads as null.',
  ]);
  expect(differences(record(id, note), record(id))).toEqual(['v2 drops note, which v1 has.']);
});

test('a field under a new name is no new field', () => {
  expect(differences(record(id), record({ name: 'number', aliases: ['id'], type: 'string' }))).toEqual([
    'id of v1 is called number in v2.',
  ]);
});

test.each<[string, object, object, string[]]>([
  ['type', { type: 'int' }, { type: 'long' }, ['total is int in v1 and long in v2.']],
  [
    'default',
    { type: 'int', default: 0 },
    { type: 'int', default: 1 },
    ['The default of total is 0 in v1 and 1 in v2.'],
  ],
  [
    'logical type',
    { type: 'long' },
    { type: { type: 'long', logicalType: 'timestamp-millis' } },
    ['total has no logical type in v1 and timestamp-millis in v2.'],
  ],
  ['branches', { type: 'int' }, { type: ['null', 'int'] }, ['total is int in v1 and null or int in v2.']],
  [
    'symbols',
    { type: { type: 'enum', name: 'E', symbols: ['A', 'B'] } },
    { type: { type: 'enum', name: 'E', symbols: ['A', 'C'] } },
    ['total may also be C in v2.', 'total may no longer be B in v2.'],
  ],
  [
    'items',
    { type: { type: 'array', items: 'int' } },
    { type: { type: 'array', items: 'string' } },
    ['total[] is int in v1 and string in v2.'],
  ],
])('a changed %s is one sentence each', (_, from, to, expected) => {
  expect(differences(record(id, { name: 'total', ...from }), record(id, { name: 'total', ...to }))).toEqual(
    expected,
  );
});

test('fields of records inside are named by their path', () => {
  const inner = (...fields: object[]) => ({
    name: 'address',
    type: ['null', { type: 'record', name: 'Address', fields }],
  });
  const city = { name: 'city', type: 'string' };
  expect(differences(record(inner(city)), record(inner(city, { name: 'zip', type: 'string' })))).toEqual([
    'v2 adds address.zip, which v1 does not have.',
  ]);
});

import { expect, test } from '@jest/globals';
import type { AvroSchema } from '../../../runtime/avro/schema.ts';
import { parseSchema } from '../../../runtime/avro/schema-parser.ts';
import { findTime } from '../../../runtime/avro/times.ts';

const MILLIS = { type: 'long', logicalType: 'timestamp-millis' };
const MICROS = { type: 'long', logicalType: 'timestamp-micros' };
const LATEST_MS = 1_764_000_000_000;
const LATER_MS = LATEST_MS + 1;

const record = (name: string, ...fields: { name: string; type: AvroSchema }[]) => ({
  type: 'record',
  name,
  fields,
});
const find = (type: AvroSchema, value: unknown) => {
  const { node } = parseSchema(record('Root', { name: 'f', type }));
  return findTime(node!, { f: value }, (ms) => ms > LATEST_MS);
};

test.each<[string, AvroSchema, unknown, string]>([
  ['milliseconds', MILLIS, LATER_MS, 'f'],
  ['microseconds', MICROS, LATEST_MS * 1_000 + 1, 'f'],
  ['an array', { type: 'array', items: MILLIS }, [1, LATER_MS], 'f[1]'],
  ['a map', { type: 'map', values: MILLIS }, { a: 1, __proto: LATER_MS }, 'f["__proto"]'],
  [
    'a record',
    record('Inner', { name: 'constructor', type: MILLIS }),
    { constructor: LATER_MS },
    'f.constructor',
  ],
  ['a union that may be null', ['null', MILLIS], LATER_MS, 'f'],
  [
    'a union of records',
    ['null', record('A', { name: 'at', type: MILLIS }), record('B')],
    { A: { at: LATER_MS } },
    'f.A.at',
  ],
  ['a union with text', ['null', 'string', { type: 'array', items: MILLIS }], [LATER_MS], 'f[0]'],
])('a later time is found in %s', (_, type, value, path) => {
  expect(find(type, value)).toBe(path);
});

test.each<[string, AvroSchema, unknown]>([
  ['the latest', MILLIS, LATEST_MS],
  ['the latest in microseconds', MICROS, LATEST_MS * 1_000],
  ['a number that is no time', 'long', LATER_MS],
  ['a local time, which has no zone', { type: 'long', logicalType: 'local-timestamp-millis' }, LATER_MS],
  ['what breaks the schema', MILLIS, '9999999999999'],
  ['an object in place of a list', { type: 'array', items: MILLIS }, { 0: LATER_MS }],
  ['a field that is not there', record('Inner', { name: 'valueOf', type: MILLIS }), {}],
  ['null', ['null', MILLIS], null],
])('%s is not', (_, type, value) => {
  expect(find(type, value)).toBeUndefined();
});

test('a value that nests without end ends the search', () => {
  const list = record('List', { name: 'next', type: ['null', 'List'] }, { name: 'at', type: MILLIS });
  let value: object | null = null;
  for (let depth = 0; depth < 100_000; depth++) value = { at: 0, next: value };
  expect(find(list, value)).toBeUndefined();
});

test('each part of a value is looked at once, however many branches could hold it', () => {
  const branch = (name: string) => record(name, { name: 'next', type: ['null', 'A', 'B'] });
  let value: object = { next: null };
  for (let depth = 0; depth < 200; depth++) value = { next: value };
  expect(
    find(['null', { ...branch('A'), fields: [{ name: 'next', type: ['null', 'A', branch('B')] }] }], value),
  ).toBeUndefined();
});

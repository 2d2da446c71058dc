/** Reading what another schema wrote: what Avro says of a value, whatever else is in the schema. */
import { describe, expect, test } from '@jest/globals';
import avsc from 'avsc';
import fc from 'fast-check';
import { createAvroReader, createWriterReader, parseAvro } from '../../../runtime/avro/avro-type.ts';
import type { AvroSchema } from '../../../runtime/avro/schema.ts';
import { parseSchema } from '../../../runtime/avro/schema-parser.ts';
import { createValidator } from '../../../runtime/avro/validator.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { sampleOf, schemaPair } from './schema-pair.ts';

type Json = Readonly<Record<string, unknown>>;

const row = (...fields: readonly Json[]): Json => ({
  type: 'record',
  name: 'Row',
  fields: [{ name: 'id', type: 'string' }, ...fields],
});
const hex = (text: string) => Buffer.from(text, 'hex');

/** The value, or the code of its error. */
function outcomeOf(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    if (error instanceof MillraceError) return error.code;
    throw error;
  }
}

const readAs = (reader: AvroSchema, writer: AvroSchema, bytes: Buffer) =>
  outcomeOf(() => createAvroReader(parseAvro(reader), writer, 'the-writer').read(bytes));

describe("a writer's schema", () => {
  const int64Max = JSON.parse('9223372036854775807');
  test.each<[string, Json, Json, string, unknown]>([
    ['a default that JavaScript rounds', { type: 'long', default: int64Max }, { type: 'long' }, '02', 1],
    [
      "a default of a union's second branch",
      { type: ['string', 'null'], default: null },
      { type: ['null', 'string'] },
      '000278',
      'x',
    ],
    ['a default of another type', { type: 'long', default: '0' }, { type: 'long' }, '02', 1],
    ['NaN as a text', { type: 'double', default: 'NaN' }, { type: 'double' }, '000000000000f03f', 1],
    ['a default that is no symbol', { type: 'long', default: {} }, { type: 'double' }, '02', 1],
    ['an alias that is no list', { type: 'int', aliases: 'b' }, { type: 'int' }, '02', 1],
    ['an order that is none', { type: 'int', order: 'up' }, { type: 'int' }, '02', 1],
    ['a logical type on the wrong type', { type: 'int', logicalType: 'uuid' }, { type: 'int' }, '02', 1],
    ['a type in a type', { type: { type: { type: 'string' } } }, { type: 'string' }, '0278', 'x'],
    [
      'symbols that are no names, and one that is',
      { type: { type: 'enum', name: 'E', symbols: ['2 x', 'constructor', 'A', 'A'] } },
      { type: { type: 'enum', name: 'E', symbols: ['A'] } },
      '04',
      'A',
    ],
    [
      'a namespace that is none',
      { type: { type: 'enum', name: 'E', namespace: 'a-b.2', symbols: ['A'] } },
      { type: { type: 'enum', name: 'E', symbols: ['A'] } },
      '00',
      'A',
    ],
    [
      'a fixed of no bytes, not read',
      { type: { type: 'fixed', name: 'F', size: 0 } },
      { type: 'int', default: 5 },
      '',
      5,
    ],
  ])('costs no record by %s', (_, written, read, bytes, value) => {
    const isRead = !('default' in read);
    const writer = row({ name: isRead ? 'n' : 'other', ...written });
    const reader = row({ name: 'n', ...read });
    expect(readAs(reader, writer, hex(`0261${bytes}`))).toEqual({ id: 'a', n: value });
    // Nor where the field is skipped.
    expect(readAs(row(), writer, hex(`0261${bytes}`))).toEqual({ id: 'a' });
  });

  test('may define a type twice, as long as nobody has to know which one a name means', () => {
    const item = (type: string) => ({ type: 'record', name: 'Item', fields: [{ name: 'x', type }] });
    const reader = row({ name: 'b', type: item('long') });
    const writer = (second: unknown) => row({ name: 'a', type: item('long') }, { name: 'b', type: second });
    expect(readAs(reader, writer(item('long')), hex('02610204'))).toEqual({ id: 'a', b: { x: 2 } });
    expect(readAs(reader, writer(item('int')), hex('02610204'))).toEqual({ id: 'a', b: { x: 2 } });
    const third = {
      ...writer(item('int')),
      fields: [...(writer(item('int')).fields as []), { name: 'c', type: 'Item' }],
    };
    expect(readAs(reader, third, hex('0261020406'))).toBe('SCHEMA_INVALID');
  });

  test('of any shape reads the same whatever its defaults, documentation and orders say', () => {
    const noise = fc.record(
      { default: fc.jsonValue(), doc: fc.jsonValue(), order: fc.string(), aliases: fc.jsonValue() },
      { requiredKeys: ['default'] },
    );
    fc.assert(
      fc.property(schemaPair, noise, fc.gen(), ({ before, after }, attributes, generate) => {
        const [written, read] = [parseSchema(before).node, parseSchema(after).node];
        fc.pre(written !== null && read !== null);
        const choose = (below: number) => generate(fc.nat, { max: below - 1 });
        const bytes = parseAvro(before).toBuffer(sampleOf(written!, choose));
        const noisy = JSON.parse(JSON.stringify(before), (_, value) =>
          value?.type !== undefined &&
          value?.name !== undefined &&
          value?.fields === undefined &&
          !('symbols' in value) &&
          !('size' in value)
            ? { ...value, ...attributes }
            : value,
        );
        expect(readAs(after, noisy, bytes)).toEqual(readAs(after, before, bytes));
      }),
      { numRuns: 300 },
    );
  });
});

describe('what does not resolve costs only the values that have it', () => {
  const enumOf = (...symbols: string[]) => ({ type: 'enum', name: 'E', symbols });
  const other = { type: 'record', name: 'Other', fields: [] };
  test.each<[string, AvroSchema, AvroSchema, string, unknown]>([
    ['a branch', ['null', 'string'], 'string', '020278', 'x'],
    ['a branch', ['null', 'string'], 'string', '00', 'SCHEMA_INCOMPATIBLE'],
    ['a branch', ['null', 'string', 'long'], ['null', 'string'], '00', null],
    ['a branch', ['null', 'string', 'long'], ['null', 'string'], '0402', 'SCHEMA_INCOMPATIBLE'],
    ['a symbol', enumOf('A', 'B', 'C'), enumOf('B', 'A'), '02', 'B'],
    ['a symbol', enumOf('A', 'B', 'C'), enumOf('B', 'A'), '04', 'SCHEMA_INCOMPATIBLE'],
    ['a symbol', enumOf('A', 'C'), { ...enumOf('A', 'B'), default: 'B' }, '02', 'B'],
    ['a record of a union', [row(), other], row(), '000261', { id: 'a' }],
    ['a record of a union', [row(), other], row(), '02', 'SCHEMA_INCOMPATIBLE'],
    ['the items of a list', { type: 'array', items: 'string' }, { type: 'array', items: 'long' }, '00', []],
    [
      'the items of a list',
      { type: 'array', items: 'string' },
      { type: 'array', items: 'long' },
      '02027800',
      'SCHEMA_INCOMPATIBLE',
    ],
    [
      'a field that was not written',
      ['null', other],
      ['null', { ...other, fields: [{ name: 'x', type: 'int' }] }],
      '00',
      null,
    ],
    [
      'a field that was not written',
      ['null', other],
      ['null', { ...other, fields: [{ name: 'x', type: 'int' }] }],
      '02',
      'SCHEMA_INCOMPATIBLE',
    ],
  ])('%s: %j as %j, %s', (_, writer, reader, bytes, value) => {
    expect(readAs(reader, writer, hex(bytes))).toEqual(value);
  });
});

describe('names that every JavaScript object has', () => {
  const NAMES = Object.getOwnPropertyNames(Object.prototype).filter((name) => name !== '__proto__');

  test.each(NAMES)('%s as a field: written, left out, filled in, skipped', (name) => {
    const [v1, v2] = [row(), row({ name, type: 'string', default: 'none' })];
    expect(readAs(v2, v1, hex('0261'))).toEqual({ id: 'a', [name]: 'none' });
    expect(readAs(v1, v2, hex('0261027a'))).toEqual({ id: 'a' });
    expect(readAs(v2, v2, hex('0261027a'))).toEqual({ id: 'a', [name]: 'z' });
    const type = parseAvro(v2);
    expect(createValidator(type)({ id: 'a' })).toEqual([]);
    expect(type.toBuffer({ id: 'a' })).toEqual(hex('0261086e6f6e65'));
    expect(type.toBuffer({ id: 'a', [name]: 'z' })).toEqual(hex('0261027a'));
    const required = parseAvro(row({ name, type: 'string' }));
    expect(createValidator(required)({ id: 'a' })).toEqual([
      { path: name, reason: expect.stringContaining('is missing') },
    ]);
  });

  test('as symbols, as names of types and of branches, as keys and in defaults', () => {
    const symbols = [...NAMES, '__proto__'];
    const kind = { type: 'enum', name: 'constructor', symbols };
    const holder = { type: 'record', name: 'toString', fields: [{ name: 'valueOf', type: 'int' }] };
    const schema = row(
      { name: 'kind', type: kind },
      { name: 'either', type: ['null', holder, { type: 'map', values: 'int' }] },
      {
        name: 'counts',
        type: { type: 'map', values: 'int' },
        default: JSON.parse('{"__proto__": 1, "a": 2}'),
      },
    );
    const type = parseAvro(schema);
    for (const symbol of symbols) {
      const value = { id: 'a', kind: symbol, either: { toString: { valueOf: 7 } } };
      expect(createValidator(type)(value)).toEqual([]);
      const read = readAs(schema, schema, type.toBuffer(value)) as { counts: object };
      expect(read).toMatchObject(value);
      expect(JSON.stringify(read.counts)).toBe('{"__proto__":1,"a":2}');
    }
    expect(createValidator(type)({ id: 'a', kind: 'A', either: null })).toHaveLength(1);
  });

  test('a foreign __proto__ is a property of its own', () => {
    const writer = row({ name: '__proto__', type: 'string' });
    const value = createWriterReader(writer, 'x').read(hex('02610278')) as object;
    expect(JSON.stringify(value)).toBe('{"id":"a","__proto__":"x"}');
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
  });
});

describe('a float has 32 bits', () => {
  const float = (otherwise: number) => row({ name: 'd', type: 'float', default: otherwise });

  test('a default is the same value whoever fills it in', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, min: -3.4e38, max: 3.4e38 }), (otherwise) => {
        const schema = float(otherwise);
        const filled = readAs(schema, row(), hex('0261'));
        expect(filled).toEqual({ id: 'a', d: Math.fround(otherwise) });
        expect(readAs(schema, schema, parseAvro(schema).toBuffer({ id: 'a' }))).toEqual(filled);
      }),
    );
  });

  test('what is promoted to one is rounded, once', () => {
    expect(readAs('float', 'int', parseAvro('int').toBuffer(16_777_217))).toBe(16_777_216);
    expect(readAs('float', 'long', parseAvro('long').toBuffer(-16_777_217))).toBe(-16_777_216);
    expect(readAs('double', 'int', parseAvro('int').toBuffer(16_777_217))).toBe(16_777_217);
    // -2^53 - 1, halfway between two doubles; and 2^63 - 1.
    expect(readAs('double', 'long', hex('8180808080808020'))).toBe(-(2 ** 53));
    expect(readAs('double', 'long', hex('feffffffffffffffff01'))).toBe(2 ** 63);
    expect(readAs('double', 'long', hex('feffffffffffffffff03'))).toBe('AVRO_INVALID');
  });

  test('the greatest one is written as all languages print it', () => {
    expect(parseAvro('float').toBuffer(3.4028235e38)).toEqual(hex('ffff7f7f'));
  });
});

describe('of generated pairs of versions', () => {
  test('a value is read, or does not resolve, and reads as avsc reads it where avsc resolves its schemas', () => {
    const seen = { read: 0, incompatible: 0, alsoByAvsc: 0 };
    fc.assert(
      fc.property(schemaPair, fc.gen(), (pair, generate) => {
        // avsc compares aliases without their namespaces.
        const { before, after } = JSON.parse(JSON.stringify(pair), (key, value) =>
          key === 'namespace' ? undefined : value,
        );
        const [written, read] = [parseSchema(before).node, parseSchema(after).node];
        fc.pre(written !== null && read !== null);
        const choose = (below: number) => generate(fc.nat, { max: below - 1 });
        const readByAvsc = avscReader(before, after);
        for (let count = 0; count < 4; count++) {
          const value = sampleOf(written!, choose);
          const bytes = parseAvro(before).toBuffer(value);
          expect(createWriterReader(before, 'x').read(bytes)).toEqual(value);
          const outcome = readAs(after, before, bytes);
          seen[outcome === 'SCHEMA_INCOMPATIBLE' ? 'incompatible' : 'read']++;
          if (outcome !== 'SCHEMA_INCOMPATIBLE') expect(typeof outcome).toBe('object');
          const theirs = readByAvsc?.(bytes, value);
          if (theirs === undefined) continue;
          seen.alsoByAvsc++;
          // Through bytes, because avsc leaves a promoted float as wide as it was.
          const rounded = createWriterReader(after, 'x').read(parseAvro(after).toBuffer(theirs));
          expect(outcome).toEqual(rounded);
        }
      }),
      { numRuns: 600 },
    );
    expect(seen.read).toBeGreaterThan(300);
    expect(seen.incompatible).toBeGreaterThan(300);
    expect(seen.alsoByAvsc).toBeGreaterThan(300);
  });
});

/** Null where avsc does not resolve the schemas; it gives undefined for what it cannot hold: longs beyond 2^52, `__proto__`. */
function avscReader(
  writer: AvroSchema,
  reader: AvroSchema,
): ((bytes: Buffer, value: unknown) => unknown) | null {
  const [from, to] = [writer, reader].map((schema) => avsc.Type.forSchema(schema as never));
  try {
    const resolver = to!.createResolver(from!, { ignoreNamespaces: true });
    return (bytes, value) => {
      if (/__proto__|-\d{16}/.test(JSON.stringify(value))) return undefined;
      try {
        return to!.fromBuffer(bytes, resolver);
      } catch {
        return undefined;
      }
    };
  } catch {
    return null;
  }
}

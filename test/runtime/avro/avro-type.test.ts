import { describe, expect, test } from '@jest/globals';
import avsc from 'avsc';
import fc from 'fast-check';
import { createAvroReader, parseAvro } from '../../../runtime/avro/avro-type.ts';
import type { AvroSchema } from '../../../runtime/avro/schema.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { schemaOf, shapes, valuesOf } from '../../avro-arbitraries.ts';

const ID = 'the-writer';
const readerOf = (reader: AvroSchema, writer: AvroSchema = reader) =>
  createAvroReader(parseAvro(reader), writer, ID);
const record = (...types: AvroSchema[]): AvroSchema => ({
  type: 'record',
  name: 'R',
  fields: types.map((type, index) => ({ name: `f${index}`, type })),
});

/** What reading does with the bytes: the value, or the code and message of its error. */
function outcomeOf(
  schema: AvroSchema,
  bytes: Buffer | readonly number[],
  writer: AvroSchema = schema,
): unknown {
  try {
    return readerOf(schema, writer).read(Buffer.from(bytes as Buffer), 0);
  } catch (error) {
    if (error instanceof MillraceError) return error.code;
    throw error;
  }
}

/** A number as Avro writes it, of any size. */
function long(value: bigint): number[] {
  let rest = value >= 0n ? value * 2n : -value * 2n - 1n;
  const bytes: number[] = [];
  for (; rest >= 128n; rest /= 128n) bytes.push(Number(rest % 128n) + 128);
  return [...bytes, Number(rest)];
}

const LIST: AvroSchema = {
  type: 'record',
  name: 'List',
  fields: [{ name: 'next', type: ['List', 'null'] }],
};

describe('a value', () => {
  test('of any schema reads as it was written', () => {
    fc.assert(
      fc.property(
        shapes.chain((shape) => fc.tuple(fc.constant(schemaOf(shape)), valuesOf(shape))),
        ([schema, value]) => {
          const bytes = parseAvro(schema).toBuffer(value);
          expect(readerOf(schema).read(bytes, 0)).toEqual(value);
        },
      ),
    );
  });

  test('of any schema is written as avsc writes it', () => {
    fc.assert(
      fc.property(
        shapes.chain((shape) => fc.tuple(fc.constant(schemaOf(shape)), valuesOf(shape))),
        ([schema, value]) => {
          // Which loses __proto__, and makes other numbers of longs below -2^52.
          fc.pre(!/__proto__|-\d{16}/.test(JSON.stringify(value)));
          const theirs = avsc.Type.forSchema(schema as never);
          fc.pre(theirs.isValid(value));
          expect(parseAvro(schema).toBuffer(value)).toEqual(theirs.toBuffer(value));
        },
      ),
    );
  });

  test('is read from where it starts', () => {
    expect(readerOf('string').read(Buffer.from([9, 9, 4, 0x68, 0x69]), 2)).toBe('hi');
  });

  test('of bytes is a copy', () => {
    const body = Buffer.from([4, 1, 2]);
    const value = readerOf('bytes').read(body, 0) as Buffer;
    body.fill(0);
    expect([...value]).toEqual([1, 2]);
  });

  test.each([
    [0n, 0],
    [-1n, -1],
    [63n, 63],
    [-64n, -64],
    [64n, 64],
    [2n ** 27n, 2 ** 27],
    [-(2n ** 28n), -(2 ** 28)],
    [2n ** 31n, 2 ** 31],
    [2n ** 53n - 1n, Number.MAX_SAFE_INTEGER],
    [-(2n ** 53n) + 1n, Number.MIN_SAFE_INTEGER],
    [2n ** 53n + 1n, 'AVRO_INVALID'],
    [-(2n ** 53n), 'AVRO_INVALID'],
    [9_007_199_254_740_992n, 'AVRO_INVALID'],
    [-(2n ** 63n), 'AVRO_INVALID'],
    [2n ** 63n - 1n, 'AVRO_INVALID'],
  ])('of the long %s is exact or refused', (written, read) => {
    expect(outcomeOf('long', long(written))).toBe(read);
  });

  test.each([
    [2n ** 31n - 1n, 2 ** 31 - 1],
    [-(2n ** 31n), -(2 ** 31)],
    [2n ** 31n, 'AVRO_INVALID'],
    [-(2n ** 31n) - 1n, 'AVRO_INVALID'],
  ])('of the int %s has 32 bits or is refused', (written, read) => {
    expect(outcomeOf('int', long(written))).toBe(read);
  });

  test('of a map keeps __proto__ as a key like any other', () => {
    const schema: AvroSchema = { type: 'map', values: { type: 'map', values: 'int' } };
    const written = JSON.parse('{"__proto__": {"polluted": 1}, "constructor": {}}');
    const read = readerOf(schema).read(parseAvro(schema).toBuffer(written), 0) as object;
    expect(Object.keys(read)).toEqual(['__proto__', 'constructor']);
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
    expect(JSON.stringify(read)).toBe(JSON.stringify(written));
    expect('polluted' in {}).toBe(false);
  });

  test('may hold empty items, as many as anybody would write', () => {
    const schema: AvroSchema = { type: 'array', items: 'null' };
    const value = Array.from({ length: 1_000 }, () => null);
    expect(readerOf(schema).read(parseAvro(schema).toBuffer(value), 0)).toEqual(value);
  });
});

test.each([
  -(2 ** 52),
  -(2 ** 52) - 1,
  -(2 ** 52) - 2,
  Number.MIN_SAFE_INTEGER,
  2 ** 31,
  -(2 ** 31) - 1,
  2 ** 52 + 1,
  Number.MAX_SAFE_INTEGER,
])('the long %s is written to the bit', (value) => {
  expect([...parseAvro('long').toBuffer(value)]).toEqual(long(BigInt(value)));
  expect([...parseAvro({ type: 'long', logicalType: 'x' }).toBuffer(value)]).toEqual(long(BigInt(value)));
});

describe('bytes that are cut', () => {
  test('are truncated wherever they end', () => {
    fc.assert(
      fc.property(
        shapes.chain((shape) => fc.tuple(fc.constant(schemaOf(shape)), valuesOf(shape))),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        ([schema, value], share) => {
          const bytes = parseAvro(schema).toBuffer(value);
          fc.pre(bytes.length > 0);
          const cut = bytes.subarray(0, Math.floor(bytes.length * share));
          expect(outcomeOf(schema, cut)).toBe('AVRO_TRUNCATED');
        },
      ),
    );
  });

  test('are truncated in a list too, whose next item would be a list again', () => {
    expect(outcomeOf(LIST, [0, 0, 0])).toBe('AVRO_TRUNCATED');
  });
});

test('bytes left over are not read as part of the value, and are not skipped', () => {
  expect(outcomeOf('int', [2, 2])).toBe('AVRO_TRAILING_BYTES');
  expect(outcomeOf('null', [0])).toBe('AVRO_TRAILING_BYTES');
});

describe('bytes that Avro never writes are invalid', () => {
  const notBefore = (size: number) => Buffer.alloc(size, 0x80);
  const cases: readonly [string, AvroSchema, Buffer | readonly number[], string][] = [
    ['a boolean of 2', 'boolean', [2], 'AVRO_INVALID'],
    ['an enum symbol that is not there', { type: 'enum', name: 'E', symbols: ['A'] }, [2], 'AVRO_INVALID'],
    ['a negative enum symbol', { type: 'enum', name: 'E', symbols: ['A'] }, [1], 'AVRO_INVALID'],
    ['a union branch that is not there', ['null', 'int'], [4, 0], 'AVRO_INVALID'],
    ['a negative length', 'string', [1, 65], 'AVRO_INVALID'],
    ['a number of eleven bytes', 'long', Buffer.concat([notBefore(10), Buffer.from([0])]), 'AVRO_INVALID'],
    ['a length of 150 bytes', 'bytes', Buffer.concat([notBefore(150), Buffer.from([0])]), 'AVRO_INVALID'],
    ['a length of 2^53', 'string', long(2n ** 53n), 'AVRO_TRUNCATED'],
    ['2^40 strings', { type: 'array', items: 'string' }, long(2n ** 40n), 'AVRO_TRUNCATED'],
    ['2^40 map entries', { type: 'map', values: 'null' }, long(2n ** 40n), 'AVRO_TRUNCATED'],
    ['2^40 nulls', { type: 'array', items: 'null' }, [...long(2n ** 40n), 0], 'AVRO_INVALID'],
    ['-2^40 nulls', { type: 'array', items: 'null' }, [...long(-(2n ** 40n)), 0, 0], 'AVRO_INVALID'],
    ['2^40 empty records', { type: 'array', items: record() }, [...long(2n ** 40n), 0], 'AVRO_INVALID'],
    [
      '2^40 lists of nothing',
      { type: 'array', items: record('null', 'null') },
      long(2n ** 40n),
      'AVRO_INVALID',
    ],
  ];
  test.each(cases)('%s', (_, schema, bytes, code) => {
    expect(outcomeOf(schema, bytes)).toBe(code);
  });

  test('nulls in many arrays, none of them long', () => {
    const arrays: AvroSchema = { type: 'array', items: { type: 'array', items: 'null' } };
    const one = [...long(50_000n), 0];
    expect(outcomeOf(arrays, [...long(1_000n), ...Array.from({ length: 1_000 }, () => one).flat(), 0])).toBe(
      'AVRO_INVALID',
    );
  });

  test('values that nest deeper than the stack', () => {
    expect(outcomeOf(LIST, Buffer.alloc(1_000_000))).toBe('AVRO_INVALID');
  });

  test('a record that holds itself with no end', () => {
    const endless: AvroSchema = {
      type: 'record',
      name: 'Endless',
      fields: [{ name: 'self', type: 'Endless' }],
    };
    expect(outcomeOf(endless, [1, 2, 3])).toBe('AVRO_INVALID');
  });
});

describe('a field that the reader does not have', () => {
  const writerOf = (dropped: AvroSchema): AvroSchema => ({
    type: 'record',
    name: 'R',
    fields: [
      { name: 'dropped', type: dropped },
      { name: 'kept', type: 'string' },
    ],
  });
  const reader: AvroSchema = { type: 'record', name: 'R', fields: [{ name: 'kept', type: 'string' }] };

  test('is skipped, whatever it is', () => {
    fc.assert(
      fc.property(
        shapes.chain((shape) => fc.tuple(fc.constant(schemaOf(shape)), valuesOf(shape))),
        fc.string(),
        ([schema, dropped], kept) => {
          const bytes = parseAvro(writerOf(schema)).toBuffer({ dropped, kept });
          expect(readerOf(reader, writerOf(schema)).read(bytes, 0)).toEqual({ kept });
        },
      ),
    );
  });

  test('is skipped by its blocks where they say how long they are', () => {
    const writer = writerOf({ type: 'array', items: 'string' });
    // Two items in eight bytes, of which none would read as a string.
    const blocks = [...long(-2n), ...long(8n), ...Buffer.alloc(8, 0xff), 0];
    expect(outcomeOf(reader, [...blocks, 4, 0x68, 0x69], writer)).toEqual({ kept: 'hi' });
  });

  test.each<[string, AvroSchema, readonly number[], string]>([
    // Without a check this goes back to its own block, for ever.
    ['an array block that goes back', { type: 'array', items: 'int' }, [1, 5], 'AVRO_INVALID'],
    ['a map block that goes back', { type: 'map', values: 'int' }, [1, 5], 'AVRO_INVALID'],
    [
      'an array block of 2^53 bytes',
      { type: 'array', items: 'int' },
      [1, ...long(2n ** 53n)],
      'AVRO_TRUNCATED',
    ],
    ['2^40 nulls', { type: 'array', items: 'null' }, [...long(2n ** 40n), 0, 0], 'AVRO_INVALID'],
    ['2^40 strings', { type: 'array', items: 'string' }, [...long(2n ** 40n), 2, 65], 'AVRO_TRUNCATED'],
    ['a negative length', 'bytes', [1, 0, 0], 'AVRO_INVALID'],
    ['a union branch that is not there', ['null', 'int'], [8, 0, 0], 'AVRO_INVALID'],
  ])('ends all the same: %s', (_, dropped, bytes, code) => {
    expect(outcomeOf(reader, bytes, writerOf(dropped))).toBe(code);
  });
});

test('a damaged value leaves the next ones alone, whoever reads them', () => {
  const poison = Buffer.concat([Buffer.alloc(150, 0x80), Buffer.from([0])]);
  expect(outcomeOf('bytes', poison)).toBe('AVRO_INVALID');
  const written = Buffer.from([4, 1, 2]);
  expect(outcomeOf('bytes', written)).toEqual(Buffer.from([1, 2]));
  expect(avsc.Type.forSchema('bytes').fromBuffer(written)).toEqual(Buffer.from([1, 2]));
});

describe('resolving', () => {
  const resolved = (writer: AvroSchema, reader: AvroSchema, value: unknown) =>
    readerOf(reader, writer).read(parseAvro(writer).toBuffer(value), 0);

  test.each<[AvroSchema, AvroSchema, unknown, unknown]>([
    ['int', 'long', 7, 7],
    ['int', 'double', 7, 7],
    ['long', 'float', 7, 7],
    ['float', 'double', 0.5, 0.5],
    ['string', 'bytes', 'hi', Buffer.from('hi')],
    ['bytes', 'string', Buffer.from('hi'), 'hi'],
    ['int', ['null', 'long'], 7, 7],
    [['null', 'int'], ['null', 'long'], 7, 7],
  ])('%j is read as %j', (writer, reader, written, read) => {
    expect(resolved(writer, reader, written)).toEqual(read);
  });

  test('follows aliases, defaults, new enum symbols, other namespaces and other orders', () => {
    const writer: AvroSchema = {
      type: 'record',
      name: 'old.R',
      fields: [
        { name: 'count', type: 'int' },
        { name: 'title', type: 'string' },
        { name: 'device', type: { type: 'enum', name: 'Device', symbols: ['PHONE', 'WATCH'] } },
      ],
    };
    const reader: AvroSchema = {
      type: 'record',
      name: 'new.R',
      fields: [
        { name: 'headline', type: 'string', aliases: ['title'] },
        {
          name: 'device',
          type: { type: 'enum', name: 'Device', symbols: ['OTHER', 'PHONE'], default: 'OTHER' },
        },
        { name: 'count', type: 'long' },
        { name: 'section', type: 'string', default: 'home' },
      ],
    };
    expect(resolved(writer, reader, { count: 1, title: 'a', device: 'WATCH' })).toEqual({
      headline: 'a',
      device: 'OTHER',
      count: 1,
      section: 'home',
    });
  });

  const codeFor = (reader: AvroSchema, writer: unknown) => {
    try {
      return readerOf(reader, writer as AvroSchema);
    } catch (error) {
      return error as MillraceError;
    }
  };

  test.each([
    null,
    5,
    'constructor',
    '__proto__',
    'Missing',
    {},
    { type: 'toString' },
    { type: 'record', name: 'R' },
    { type: 'enum', name: 'E', symbols: [1] },
    { type: 'fixed', name: 'F', size: -1 },
    { type: 'record', name: 'R', fields: [{ type: 'int' }] },
    { type: 'array' },
    [],
  ])('a schema that is none is invalid: %j', (writer) => {
    expect(codeFor('string', writer)).toMatchObject({ code: 'SCHEMA_INVALID' });
  });

  test('a schema of more fields than anybody writes is invalid', () => {
    const fields = Array.from({ length: 70_000 }, (_, index) => ({ name: `f${index}`, type: 'null' }));
    expect(codeFor(record(), { type: 'record', name: 'R', fields })).toMatchObject({
      code: 'SCHEMA_INVALID',
    });
  });

  test('a schema that nests deeper than the stack is invalid', () => {
    const deep = JSON.parse(`${'{"type":"array","items":'.repeat(100_000)}"int"${'}'.repeat(100_000)}`);
    expect(codeFor('string', deep)).toMatchObject({ code: 'SCHEMA_INVALID' });
  });

  test('a value that does not fit is incompatible: the message says where and why, and not what it holds', () => {
    const tagged = (type: AvroSchema) => record({ type: 'map', values: type });
    const bytes = parseAvro(tagged(['null', 'string'])).toBuffer({ f0: { secret: 'hunter2' } });
    const read = () => readerOf(tagged('long'), tagged(['null', 'string'])).read(bytes);
    expect(read).toThrow(
      expect.objectContaining({
        code: 'SCHEMA_INCOMPATIBLE',
        message: expect.stringContaining('Of f0{}, string was written, and the reader takes long.'),
      }),
    );
    expect(read).toThrow(
      expect.objectContaining({ message: expect.not.stringMatching(/secret|hunter2|values/) }),
    );
  });
});

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { AvroSchema } from '../../../runtime/avro/schema.ts';
import { createDecoder, createEncoder, type Decoder, UNLIMITED } from '../../../runtime/contract/codec.ts';
import { type Contract, defineTopic } from '../../../runtime/contract/contract.ts';
import type { SchemaId, SchemaRegistry } from '../../../runtime/contract/registry.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import type { ConsumerRecord, RawRecord } from '../../../runtime/record.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { publishableText, schemaOf, shapes, valuesOf } from '../../avro-arbitraries.ts';
import { codeOf } from '../../rejection.ts';

interface Order {
  readonly id: string;
}

const V1: AvroSchema = {
  type: 'record',
  name: 'Order',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'amount', type: 'int' },
    { name: 'tags', type: { type: 'array', items: 'string' } },
  ],
};
const V2: AvroSchema = {
  type: 'record',
  name: 'Order',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'cents', aliases: ['amount'], type: 'long' },
    { name: 'currency', type: 'string', default: 'EUR' },
  ],
};

const UUIDS = ['00000000-0000-4000-8000-000000000001', '00000000-0000-4000-8000-000000000002'] as const;

type Options = Partial<Pick<Contract, 'framing' | 'compression' | 'cleanup'>>;

function topicOf(schemas: readonly AvroSchema[], options: Options = {}): Contract<Order> {
  const versions = schemas.map((schema, index) => ({ version: index + 1, schema }));
  return defineTopic<Order>({ name: 'orders', owner: 'tests', key: 'id', versions, ...options });
}

/** Knows the given schemas, counts what it is asked, and answers when told to where `isGated`. */
function fakeRegistry(schemas: Readonly<Record<SchemaId, AvroSchema>>, { isGated = false } = {}) {
  const asked: SchemaId[] = [];
  const waiting: (() => void)[] = [];
  let failure: Error | null = null;
  const answer = async <Answer>(found: Answer): Promise<Answer> => {
    if (isGated) await new Promise<void>((resolve) => waiting.push(resolve));
    if (failure) throw failure;
    return found;
  };
  const registry: SchemaRegistry = {
    schemaById(id) {
      asked.push(id);
      return answer(schemas[id]);
    },
    latestId(contract) {
      asked.push(`latest of ${contract.name}`);
      return answer(Object.keys(schemas).at(-1)!);
    },
  };
  return {
    registry,
    asked,
    schemas,
    /** Answers everything that waits, and whatever that makes wait, until nothing does. */
    async release() {
      for (let idle = 0; idle < 3; idle++) {
        for (const resolve of waiting.splice(0)) {
          resolve();
          idle = 0;
        }
        await new Promise<void>((resolve) => setImmediate(resolve));
      }
    },
    get waiting() {
      return waiting.length;
    },
    failWith(error: Error | null) {
      failure = error;
    },
  };
}

const unavailable = () => new MillraceError('REGISTRY_UNAVAILABLE', 'The registry is down.');

let nextOffset = 0;
function rawOf(value: Buffer | null, fields: Partial<RawRecord> = {}): RawRecord {
  return {
    topic: 'orders',
    partition: 3,
    offset: nextOffset++,
    timestamp: 1_700_000_000_000,
    timestampType: 'CREATE_TIME',
    key: Buffer.from('k'),
    value,
    headers: [],
    ...fields,
  };
}

async function written(contract: Contract<never>, id: SchemaId, value: unknown): Promise<Buffer> {
  const [encoded] = await createEncoder(contract, fakeRegistry({ [id]: {} }).registry).encodeBatch([value]);
  if (!encoded || 'violations' in encoded) throw new Error(JSON.stringify(encoded));
  return encoded.record.value;
}

const orderV1 = (id: string) => written(topicOf([V1]), UUIDS[0], { id, amount: 7, tags: ['a', 'b'] });
const orderV2 = (id: string) => written(topicOf([V2]), UUIDS[1], { id, cents: 700, currency: 'USD' });

/** The values of a batch, a code where there is none. */
async function outcomes(decoder: Decoder<unknown>, records: readonly RawRecord[]): Promise<unknown[]> {
  const decoded = await decoder.decodeBatch(records);
  return decoded.map((result) => {
    if ('record' in result) return result.record.value;
    return 'error' in result ? result.error.code : `held: ${result.held.code}`;
  });
}

describe('what the encoder wrote, the decoder reads', () => {
  const settings: readonly Options[] = [
    { framing: 'glue' },
    { framing: 'glue', compression: 'zlib' },
    { framing: 'confluent' },
  ];
  test.each(settings)('with %j, of any schema', async (options) => {
    await fc.assert(
      fc.asyncProperty(
        shapes.chain((shape) =>
          fc.tuple(fc.constant(shape), fc.array(fc.tuple(publishableText(), valuesOf(shape)))),
        ),
        async ([shape, rows]) => {
          const schema: AvroSchema = {
            type: 'record',
            name: 'R',
            fields: [
              { name: 'id', type: 'string' },
              { name: 'of', type: schemaOf(shape) },
            ],
          };
          const contract = topicOf([schema], options);
          const id = options.framing === 'glue' ? UUIDS[0] : '17';
          const { registry } = fakeRegistry({ [id]: schema });
          const values = rows.map(([key, of]) => ({ id: key, of }));

          const encoded = await createEncoder(contract, registry).encodeBatch(values);
          const records = encoded.map((result) => {
            if ('violations' in result) throw new Error(JSON.stringify(result.violations));
            return rawOf(result.record.value, { key: result.record.key });
          });
          const decoded = await createDecoder(contract, registry).decodeBatch(records);

          expect(decoded).toHaveLength(values.length);
          decoded.forEach((result, index) => {
            if (!('record' in result)) throw new Error(JSON.stringify(result));
            expect(result.record.value).toEqual(values[index]);
            expect(result.record.key).toBe(values[index]!.id);
          });
        },
      ),
    );
  });

  test('in the framing that the contract names, and compressed when it says so', async () => {
    const value = { id: 'x'.repeat(500), amount: 1, tags: [] };
    const plain = await written(topicOf([V1]), UUIDS[0], value);
    const packed = await written(topicOf([V1], { compression: 'zlib' }), UUIDS[0], value);
    expect([plain[0], plain[1]]).toEqual([3, 0]);
    expect([packed[0], packed[1]]).toEqual([3, 5]);
    expect(packed.length).toBeLessThan(plain.length / 5);
    const both = createDecoder(topicOf([V1]), fakeRegistry({ [UUIDS[0]]: V1 }).registry);
    expect(await outcomes(both, [rawOf(plain), rawOf(packed)])).toEqual([value, value]);
  });
});

test('a record gives its position, key and bytes beside its value', async () => {
  const raw = rawOf(await orderV2('a'), {
    key: Buffer.from('clé'),
    headers: [{ name: 'h', value: Buffer.from([195]) }],
  });
  const decoder = createDecoder(topicOf([V1, V2]), fakeRegistry({ [UUIDS[1]]: V2 }).registry);
  const [result] = await decoder.decodeBatch([raw]);
  const { record } = result as { record: ConsumerRecord<Order> };
  const { topic, partition, offset, timestamp, timestampType, headers } = raw;
  expect(record).toMatchObject({ topic, partition, offset, timestamp, timestampType, headers, key: 'clé' });
  expect(record.id).toBe(`orders/3/${offset}`);
  expect(record.raw).toBe(raw);
  expect(decoder.schemaIdOf(raw)).toBe(UUIDS[1]);
});

describe('a topic with two versions', () => {
  test('reads both as the newest', async () => {
    const decoder = createDecoder(
      topicOf([V1, V2]),
      fakeRegistry({ [UUIDS[0]]: V1, [UUIDS[1]]: V2 }).registry,
    );
    const records = [rawOf(await orderV1('a')), rawOf(await orderV2('b')), rawOf(await orderV1('c'))];
    expect(await outcomes(decoder, records)).toEqual([
      { id: 'a', cents: 7, currency: 'EUR' },
      { id: 'b', cents: 700, currency: 'USD' },
      { id: 'c', cents: 7, currency: 'EUR' },
    ]);
  });

  test('reads records of a newer version than its own', async () => {
    const decoder = createDecoder(
      topicOf([{ ...(V1 as object), fields: [{ name: 'id', type: 'string' }] }]),
      fakeRegistry({ [UUIDS[1]]: V2 }).registry,
    );
    expect(await outcomes(decoder, [rawOf(await orderV2('b'))])).toEqual([{ id: 'b' }]);
  });
});

test('U+0000 is refused by the encoder, and read where it is in a topic already', async () => {
  const { registry } = fakeRegistry({ [UUIDS[0]]: V1 });
  const [refused] = await createEncoder(topicOf([V1]), registry).encodeBatch([
    { id: 'a', amount: 1, tags: ['b\0'] },
  ]);
  expect(refused).toMatchObject({ violations: [{ path: 'tags[0]' }] });
  const good = await written(topicOf([V1]), UUIDS[0], { id: 'a', amount: 1, tags: ['b!'] });
  const value = Buffer.from(good.map((byte) => (byte === 0x21 ? 0 : byte)));
  const decoder = createDecoder(topicOf([V1]), registry);
  expect(await outcomes(decoder, [rawOf(value)])).toEqual([{ id: 'a', amount: 1, tags: ['b\0'] }]);
});

describe('a record that cannot be read', () => {
  test('has its own code, and the others of the batch are read', async () => {
    const good = await orderV2('good');
    const decoder = createDecoder(
      topicOf([V1, V2]),
      fakeRegistry({
        [UUIDS[0]]: 'string',
        [UUIDS[1]]: V2,
        [UUIDS[1].replace('0', '1')]: { type: 'nonsense' },
      }).registry,
    );
    const withId = (id: string) => Buffer.concat([Buffer.from(`0300${id.replaceAll('-', '')}`, 'hex'), good]);
    const values: readonly [Buffer | null, unknown][] = [
      [good, { id: 'good', cents: 700, currency: 'USD' }],
      [null, 'VALUE_MISSING'],
      [Buffer.alloc(0), 'FRAME_TRUNCATED'],
      [Buffer.from('{}'), 'FRAME_UNKNOWN'],
      [Buffer.concat([Buffer.from([3, 9]), good.subarray(2)]), 'FRAME_COMPRESSION_UNKNOWN'],
      [Buffer.concat([Buffer.from([3, 5]), good.subarray(2)]), 'FRAME_COMPRESSION_CORRUPT'],
      [withId(UUIDS[0]), 'SCHEMA_INCOMPATIBLE'],
      [withId(UUIDS[1].replace('0', '1')), 'SCHEMA_INVALID'],
      [withId(UUIDS[1].replace('0', '2')), 'SCHEMA_UNKNOWN'],
      [good.subarray(0, -1), 'AVRO_TRUNCATED'],
      [Buffer.concat([good, good]), 'AVRO_TRAILING_BYTES'],
      [Buffer.concat([good.subarray(0, 18), Buffer.from([1])]), 'AVRO_INVALID'],
      [good, { id: 'good', cents: 700, currency: 'USD' }],
    ];
    const records = values.map(([value]) => rawOf(value));
    const expected = values.map(([, outcome]) => outcome);
    expect(await outcomes(decoder, records)).toEqual(expected);
    // Once more, now that the schemas are known: in another order of events, to the same end.
    expect(await outcomes(decoder, records)).toEqual(expected);
  });

  test('is none where a compacted topic has a tombstone', async () => {
    const decoder = createDecoder(topicOf([V1], { cleanup: 'compact' }), fakeRegistry({}).registry);
    expect(await outcomes(decoder, [rawOf(null)])).toEqual([null]);
  });

  test('has an error that is a dead letter by the table, and does not quote the record', async () => {
    const secret = Buffer.concat([(await orderV2('')).subarray(0, 18), Buffer.from('\x0esecret!')]);
    const decoder = createDecoder(topicOf([V2]), fakeRegistry({ [UUIDS[1]]: V2 }).registry);
    const [result] = await decoder.decodeBatch([rawOf(secret)]);
    const { error } = result as { error: MillraceError };
    expect(error.action).toBe('dead-letter');
    expect(`${error.message}${JSON.stringify(error.details)}${error.cause}`).not.toContain('secret!');
  });
});

describe('the registry', () => {
  test('is asked once for an id, however many records have it and however often', async () => {
    const fake = fakeRegistry({ [UUIDS[0]]: V1, [UUIDS[1]]: V2 });
    const decoder = createDecoder(topicOf([V1, V2]), fake.registry);
    const records = [await orderV1('a'), await orderV2('b'), await orderV1('c')].map((value) => rawOf(value));
    await decoder.decodeBatch(records);
    await decoder.decodeBatch(records);
    expect(fake.asked.sort()).toEqual([...UUIDS]);
  });

  test('is asked once by batches that are decoded at the same time', async () => {
    const fake = fakeRegistry({ [UUIDS[0]]: V1 }, { isGated: true });
    const decoder = createDecoder(topicOf([V1]), fake.registry);
    const batches = [1, 2, 3].map(async () => outcomes(decoder, [rawOf(await orderV1('a'))]));
    await fake.release();
    const value = { id: 'a', amount: 7, tags: ['a', 'b'] };
    expect(await Promise.all(batches)).toEqual([[value], [value], [value]]);
    expect(fake.asked).toEqual([UUIDS[0]]);
  });

  test('is asked for an unknown id once a batch, and again in the next', async () => {
    const fake = fakeRegistry({});
    const decoder = createDecoder(topicOf([V1]), fake.registry);
    const records = [rawOf(await orderV1('a')), rawOf(await orderV1('b'))];
    expect(await outcomes(decoder, records)).toEqual(['SCHEMA_UNKNOWN', 'SCHEMA_UNKNOWN']);
    expect(fake.asked).toHaveLength(1);
    (fake.schemas as Record<string, AvroSchema>)[UUIDS[0]] = V1;
    expect(await outcomes(decoder, records.slice(0, 1))).toEqual([{ id: 'a', amount: 7, tags: ['a', 'b'] }]);
    expect(fake.asked).toHaveLength(2);
  });

  test('is not asked again for a while for an id that it does not know', async () => {
    const clock = createFakeClock();
    const fake = fakeRegistry({});
    const decoder = createDecoder(topicOf([V1]), fake.registry, clock);
    const records = [rawOf(await orderV1('a'))];
    expect(await outcomes(decoder, records)).toEqual(['SCHEMA_UNKNOWN']);
    (fake.schemas as Record<string, AvroSchema>)[UUIDS[0]] = V1;
    await clock.advance(14_999);
    expect(await outcomes(decoder, records)).toEqual(['SCHEMA_UNKNOWN']);
    expect(fake.asked).toHaveLength(1);
    await clock.advance(1);
    expect(await outcomes(decoder, records)).toEqual([{ id: 'a', amount: 7, tags: ['a', 'b'] }]);
  });

  test('that does not answer holds the records that need it and no others, until it answers', async () => {
    const fake = fakeRegistry({ [UUIDS[0]]: V1 });
    fake.failWith(unavailable());
    const decoder = createDecoder(topicOf([V1]), fake.registry);
    const records = [rawOf(Buffer.from('no frame')), rawOf(await orderV1('a'))];
    expect(await outcomes(decoder, records)).toEqual(['FRAME_UNKNOWN', 'held: REGISTRY_UNAVAILABLE']);
    fake.failWith(null);
    expect(await outcomes(decoder, records)).toEqual([
      'FRAME_UNKNOWN',
      { id: 'a', amount: 7, tags: ['a', 'b'] },
    ]);
  });

  test('fails all batches that waited for the same answer', async () => {
    const fake = fakeRegistry({ [UUIDS[0]]: V1 }, { isGated: true });
    fake.failWith(unavailable());
    const decoder = createDecoder(topicOf([V1]), fake.registry);
    const value = await orderV1('a');
    const batches = Promise.all([1, 2].map(() => outcomes(decoder, [rawOf(value)])));
    await fake.release();
    expect(await batches).toEqual([['held: REGISTRY_UNAVAILABLE'], ['held: REGISTRY_UNAVAILABLE']]);
    expect(fake.asked).toHaveLength(1);
  });

  test('gets few requests at a time, however many ids a damaged batch holds', async () => {
    const fake = fakeRegistry({}, { isGated: true });
    const decoder = createDecoder(topicOf([V1]), fake.registry);
    const good = await orderV1('a');
    const records = Array.from({ length: 100 }, (_, index) => {
      const value = Buffer.from(good);
      value.writeUInt32BE(index, 14);
      return rawOf(value);
    });
    const decoding = outcomes(decoder, records);
    await new Promise<void>((resolve) => setImmediate(resolve));
    expect(fake.waiting).toBeLessThanOrEqual(8);
    await fake.release();
    expect(new Set(await decoding)).toEqual(new Set(['SCHEMA_UNKNOWN']));
    expect(fake.asked).toHaveLength(100);
  });

  test('is asked by the encoder once, and again after a failure', async () => {
    const fake = fakeRegistry({ [UUIDS[0]]: V1 });
    const encoder = createEncoder(topicOf([V1]), fake.registry);
    fake.failWith(unavailable());
    const value = { id: 'a', amount: 1, tags: [] };
    expect(await codeOf(encoder.encodeBatch([value]))).toBe('REGISTRY_UNAVAILABLE');
    fake.failWith(null);
    await Promise.all([encoder.encodeBatch([value]), encoder.encodeBatch([value])]);
    await encoder.encodeBatch([value]);
    expect(fake.asked).toHaveLength(2);
  });
});

describe('the budget of a decoder', () => {
  const idsRead = async (decoder: Decoder<Order>, records: readonly RawRecord[], budget: object) =>
    (await decoder.decodeBatch(records, { ...UNLIMITED, ...budget })).map((result) =>
      'record' in result ? result.record.value.id : 'none',
    );
  const ordersV1 = (...ids: string[]) => Promise.all(ids.map(async (id) => rawOf(await orderV1(id))));
  const FRAME_BYTES = 18;

  test.each(['known', 'new'])(
    'ends a batch where its bytes are used up; its schema is %s',
    async (schema) => {
      const decoder = createDecoder(topicOf([V1]), fakeRegistry({ [UUIDS[0]]: V1 }).registry);
      const records = await ordersV1('a', 'b', 'c', 'd', 'e');
      if (schema === 'known') await decoder.decodeBatch(records.slice(0, 1));
      const bytes = records[0]!.value!.length - FRAME_BYTES;
      expect(await idsRead(decoder, records, { bodyBytes: 3 * bytes })).toEqual(['a', 'b', 'c']);
      expect(await idsRead(decoder, records, { bodyBytes: 1 })).toEqual(['a']);
    },
  );

  test('counts what is compressed by what it takes when it is not', async () => {
    const contract = topicOf([V1], { compression: 'zlib' });
    const decoder = createDecoder(contract, fakeRegistry({ [UUIDS[0]]: V1 }).registry);
    const value = await written(contract, UUIDS[0], { id: 'a'.repeat(10_000), amount: 1, tags: [] });
    expect(value.length).toBeLessThan(200);
    const records = [1, 2, 3, 4].map(() => rawOf(value));
    await decoder.decodeBatch(records.slice(0, 1));
    expect(await idsRead(decoder, records, { bodyBytes: 15_000 })).toHaveLength(2);
  });

  test('lets the first record through, also where those behind it have used it up', async () => {
    const decoder = createDecoder(
      topicOf([V1, V2]),
      fakeRegistry({ [UUIDS[0]]: V1, [UUIDS[1]]: V2 }).registry,
    );
    const known = [rawOf(await orderV2('b')), rawOf(await orderV2('c'))];
    await decoder.decodeBatch(known);
    const records = [...(await ordersV1('a')), ...known];
    expect(await idsRead(decoder, records, { bodyBytes: 1 })).toEqual(['a', 'b']);
  });

  const unknownIds = async (count: number) => {
    const good = await orderV1('a');
    return Array.from({ length: count }, (_, index) => {
      const value = Buffer.from(good);
      value.writeUInt32BE(index + 9, 14);
      return rawOf(value);
    });
  };

  test('ends a batch before the id that it has no question left for', async () => {
    const fake = fakeRegistry({});
    const decoder = createDecoder(topicOf([V1]), fake.registry);
    const records = await unknownIds(30);
    expect(await idsRead(decoder, [...records, records[0]!], { lookUps: 10 })).toHaveLength(10);
    expect(fake.asked).toHaveLength(10);
  });

  test('ends a batch before the first record that the registry has no answer for in time', async () => {
    const clock = createFakeClock({ autoAdvance: true });
    const fake = fakeRegistry({ [UUIDS[0]]: V1, [UUIDS[1]]: V2 }, { isGated: true });
    const decoder = createDecoder(topicOf([V1, V2]), fake.registry, clock);
    const [known] = await ordersV1('a');
    const first = decoder.decodeBatch([known!]);
    await fake.release();
    await first;
    const startedAt = clock.now();
    const records = [known!, rawOf(await orderV2('b')), known!];
    expect(await idsRead(decoder, records, { waitMs: 500 })).toEqual(['a']);
    expect(clock.now() - startedAt).toBe(500);
  });

  test('remembers ten thousand ids that the registry does not know, and forgets the oldest', async () => {
    const fake = fakeRegistry({});
    const decoder = createDecoder(topicOf([V1]), fake.registry, createFakeClock());
    const records = await unknownIds(10_001);
    await decoder.decodeBatch(records);
    expect(fake.asked).toHaveLength(10_001);
    await decoder.decodeBatch(records.slice(-1));
    expect(fake.asked).toHaveLength(10_001);
    await decoder.decodeBatch(records.slice(0, 1));
    expect(fake.asked).toHaveLength(10_002);
  });
});

describe('the encoder', () => {
  const encoder = createEncoder(topicOf([V1]), fakeRegistry({ [UUIDS[0]]: V1 }).registry);

  test('refuses what breaks the contract and encodes the rest, each in its place', async () => {
    const results = await encoder.encodeBatch([
      { id: 'a', amount: 1, tags: [] },
      { id: 'b', amount: '1', tags: [] },
      { id: 'c', amount: 1, tags: [] },
    ]);
    expect(results.map((result) => ('record' in result ? result.record.key.toString() : 'refused'))).toEqual([
      'a',
      'refused',
      'c',
    ]);
  });

  test('reads the values at once: a change while the registry answers changes nothing', async () => {
    const fake = fakeRegistry({ [UUIDS[0]]: V1 }, { isGated: true });
    const value = { id: 'before', amount: 1, tags: [] as string[] };
    const encoding = createEncoder(topicOf([V1]), fake.registry).encodeBatch([value]);
    value.id = 'after';
    await fake.release();
    const [result] = await encoding;
    expect(result).toMatchObject({ record: { key: Buffer.from('before') } });
  });

  test('survives values whose getters throw or change', async () => {
    let reads = 0;
    const throwing = Object.defineProperty({ amount: 1, tags: [] }, 'id', {
      enumerable: true,
      get: () => {
        throw new Error('secret');
      },
    });
    const changing = Object.defineProperty({ id: 'a', tags: [] }, 'amount', {
      enumerable: true,
      get: () => (reads++ === 0 ? 1 : 'secret'),
    });
    const refused = { violations: [{ path: '', reason: 'cannot be read, or changes while it is read' }] };
    expect(await encoder.encodeBatch([throwing, changing])).toEqual([refused, refused]);
  });

  test.each([
    ['string', 'naïve', 'naïve'],
    ['long', 42, '42'],
    [{ type: 'enum', name: 'E', symbols: ['A', 'B'] }, 'B', 'B'],
  ] as const)('writes a key of type %j as text', async (type, id, text) => {
    const schema: AvroSchema = { type: 'record', name: 'R', fields: [{ name: 'id', type }] };
    const keyed = createEncoder(topicOf([schema]), fakeRegistry({ [UUIDS[0]]: schema }).registry);
    expect(await keyed.encodeBatch([{ id }])).toMatchObject([{ record: { key: Buffer.from(text) } }]);
  });

  test.each([
    [['null', 'string'], null],
    ['bytes', Buffer.from('a')],
  ] as const)('refuses a key of type %j that is no text', async (type, id) => {
    const schema: AvroSchema = { type: 'record', name: 'R', fields: [{ name: 'id', type }] };
    const keyed = createEncoder(topicOf([schema]), fakeRegistry({ [UUIDS[0]]: schema }).registry);
    expect(await keyed.encodeBatch([{ id }])).toMatchObject([{ violations: [{ path: 'id' }] }]);
  });
});

test('a contract whose newest version is no Avro is refused at once, without its text', () => {
  const contract = topicOf([
    V1,
    { type: 'record', name: 'Secret', fields: [{ name: 'a', type: { type: 'b' } }] },
  ]);
  const { registry } = fakeRegistry({});
  for (const create of [createDecoder, createEncoder]) {
    expect(() => create(contract, registry)).toThrow(
      expect.objectContaining({ code: 'CONTRACT_INVALID', message: expect.not.stringContaining('Secret') }),
    );
  }
});

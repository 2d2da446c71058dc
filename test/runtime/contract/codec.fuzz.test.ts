import { deflateSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import type { AvroSchema } from '../../../runtime/avro/schema.ts';
import { createDecoder, createEncoder } from '../../../runtime/contract/codec.ts';
import { defineTopic } from '../../../runtime/contract/contract.ts';
import type { ErrorCode } from '../../../runtime/errors.ts';
import type { Random } from '../../../runtime/ports.ts';
import type { RawRecord } from '../../../runtime/record.ts';
import { runs } from '../../runs.ts';

const PAYLOADS = runs(100_000);
const BATCH = 1_000;

/** One of every type, with all that could run away: collections in collections, empty items, and a type in itself. */
const NODE: AvroSchema = {
  type: 'record',
  name: 'Node',
  fields: [
    { name: 'id', type: 'string' },
    { name: 'flag', type: 'boolean' },
    { name: 'count', type: 'int' },
    { name: 'total', type: 'long' },
    { name: 'ratio', type: 'double' },
    { name: 'kind', type: { type: 'enum', name: 'Kind', symbols: ['A', 'B', 'C'] } },
    { name: 'hash', type: { type: 'fixed', name: 'Hash', size: 4 } },
    { name: 'blob', type: ['null', 'bytes'] },
    { name: 'nothing', type: { type: 'array', items: 'null' } },
    { name: 'labels', type: { type: 'map', values: ['null', 'string'] } },
    { name: 'children', type: { type: 'array', items: 'Node' } },
    { name: 'parent', type: ['Node', 'null'] },
  ],
};
/** Drops most of it, so that the same bytes are skipped too. */
const SLIM: AvroSchema = { type: 'record', name: 'Node', fields: [{ name: 'id', type: 'string' }] };

const IDS = { node: '00000000-0000-4000-8000-000000000001', broken: '00000000-0000-4000-8000-000000000002' };

const registry = {
  schemaById: async (id: string) => ({ [IDS.node]: NODE, [IDS.broken]: { type: 'nonsense' } })[id],
  latestId: async () => IDS.node,
};
const topicOf = (schema: AvroSchema, name: string) =>
  defineTopic<{ id: string }>({ name, owner: 'tests', key: 'id', versions: [{ version: 1, schema }] });

function node(random: Random, depth: number): object {
  const below = () => node(random, depth - 1);
  return {
    id: 'x'.repeat(intBelow(30, random)),
    flag: random.next() < 0.5,
    count: intBelow(2 ** 31, random),
    total: intBelow(2 ** 53 - 2, random),
    ratio: random.next(),
    kind: ['A', 'B', 'C'][intBelow(3, random)],
    hash: Buffer.alloc(4, 7),
    blob: random.next() < 0.5 ? null : Buffer.alloc(intBelow(20, random)),
    nothing: Array.from({ length: intBelow(4, random) }, () => null),
    labels: { a: null, b: 'c' },
    children: depth > 0 ? Array.from({ length: intBelow(3, random) }, below) : [],
    parent: depth > 0 && random.next() < 0.5 ? below() : null,
  };
}

const intBelow = (limit: number, random: Random) => Math.floor(random.next() * limit);
const randomBytes = (length: number, random: Random) =>
  Buffer.from(Array.from({ length }, () => intBelow(256, random)));

/** Counts and lengths that readers trip over: negative ones, 2^31, 2^40, 2^53, too many bytes. */
const HOSTILE = [
  '01',
  '03',
  'ffffffff0f',
  '8080808080804002',
  'feffffffffffff1f',
  'ffffffffffffffffff01',
  '80'.repeat(150),
].map((hex) => Buffer.from(hex, 'hex'));

type Mutation = (value: Buffer, random: Random) => Buffer | null;
const MUTATIONS: readonly Mutation[] = [
  (value) => value,
  () => null,
  (value, random) => value.subarray(0, intBelow(value.length, random)),
  (value, random) => Buffer.concat([value, randomBytes(1 + intBelow(5, random), random)]),
  (_, random) => randomBytes(intBelow(200, random), random),
  (value, random) => Buffer.concat([value.subarray(0, 18), randomBytes(intBelow(200, random), random)]),
  // Flips a few bytes anywhere.
  (value, random) => {
    const mutated = Buffer.from(value);
    for (let flips = 1 + intBelow(4, random); flips > 0; flips--) {
      mutated[intBelow(mutated.length, random)]! ^= 1 << intBelow(8, random);
    }
    return mutated;
  },
  // Puts a hostile number somewhere into the body, in place of a byte or between two.
  (value, random) => {
    const at = 18 + intBelow(value.length - 18, random);
    const hostile = HOSTILE[intBelow(HOSTILE.length, random)]!;
    return Buffer.concat([value.subarray(0, at), hostile, value.subarray(at + intBelow(2, random))]);
  },
  (value) => Buffer.concat([Buffer.from([3, 5]), value.subarray(2, 18), deflateSync(value.subarray(18))]),
  (value, random) => Buffer.concat([Buffer.from([3, 5]), value.subarray(2, 18), randomBytes(20, random)]),
  (value) => Buffer.concat([Buffer.from(`0300${IDS.broken.replaceAll('-', '')}`, 'hex'), value.subarray(18)]),
];

test(`${PAYLOADS} random and mutated payloads each end in a value or in a code of the table`, async () => {
  const random = createSeededRandom(20_261_124);
  const encoded = await createEncoder(topicOf(NODE, 'nodes'), registry).encodeBatch(
    Array.from({ length: 200 }, () => node(random, 2)),
  );
  const samples = encoded.map((result) => ('record' in result ? result.record.value : Buffer.alloc(0)));
  const decoders = [topicOf(NODE, 'nodes'), topicOf(SLIM, 'slim')].map((topic) =>
    createDecoder(topic, registry),
  );

  const seen = new Map<ErrorCode | 'value', number>();
  for (let batch = 0; batch < PAYLOADS / BATCH; batch++) {
    const records = Array.from({ length: BATCH }, (_, index): RawRecord => {
      const sample = samples[intBelow(samples.length, random)]!;
      const value = MUTATIONS[intBelow(MUTATIONS.length, random)]!(sample, random);
      const offset = batch * BATCH + index;
      return {
        topic: 't',
        partition: 0,
        offset,
        timestamp: 0,
        timestampType: 'CREATE_TIME',
        key: null,
        value,
        headers: [],
      };
    });
    const decoded = await decoders[batch % decoders.length]!.decodeBatch(records);
    expect(decoded).toHaveLength(records.length);
    for (const result of decoded) {
      const outcome = 'error' in result ? result.error.code : 'value';
      seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
    }
  }

  const expected: readonly (ErrorCode | 'value')[] = [
    'value',
    'VALUE_MISSING',
    'FRAME_TRUNCATED',
    'FRAME_UNKNOWN',
    'FRAME_COMPRESSION_UNKNOWN',
    'FRAME_COMPRESSION_CORRUPT',
    'SCHEMA_UNKNOWN',
    'SCHEMA_INVALID',
    'AVRO_TRUNCATED',
    'AVRO_TRAILING_BYTES',
    'AVRO_INVALID',
  ];
  expect([...seen.keys()].sort()).toEqual([...expected].sort());
}, 180_000);

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createContractSchemaRegistry } from '../../adapters/contract-schema-registry.ts';
import { parseAvro } from '../../runtime/avro/avro-type.ts';
import type { AvroSchema } from '../../runtime/avro/schema.ts';
import { createValidator } from '../../runtime/avro/validator.ts';
import { createDecoder } from '../../runtime/contract/codec.ts';
import { defineTopic } from '../../runtime/contract/contract.ts';
import { recordsOf } from '../../testing/index.ts';
import { encodeRecords } from '../../testing/test-record.ts';
import { orders } from './orders.ts';

const wide: AvroSchema = {
  type: 'record',
  name: 'Wide',
  fields: [
    { name: 'id', type: { type: 'string', logicalType: 'uuid' } },
    { name: 'price', type: { type: 'bytes', logicalType: 'decimal', precision: 9, scale: 2 } },
    { name: 'ratio', type: 'float' },
    { name: 'isPaid', type: 'boolean' },
    { name: 'colour', type: { type: 'enum', name: 'Colour', symbols: ['RED', 'BLUE'] } },
    { name: 'hash', type: { type: 'fixed', name: 'Hash', size: 4 } },
    { name: 'lines', type: { type: 'array', items: 'long' } },
    { name: 'labels', type: { type: 'map', values: ['null', 'double'] } },
    { name: 'either', type: ['int', 'long'] },
    {
      name: 'tree',
      type: { type: 'record', name: 'Tree', fields: [{ name: 'child', type: ['null', 'Tree'] }] },
    },
  ],
};
const wides = defineTopic<{ id: string }>({
  name: 'shop.wide',
  owner: 'tests',
  key: 'id',
  versions: [{ version: 1, schema: wide }],
});

describe.each([orders, wides])('recordsOf %#', (contract) => {
  const violationsOf = createValidator(parseAvro(contract.latest.schema));
  const records = recordsOf<{ id: string }>(contract as never);

  test('valid values keep the contract, and have a key', () => {
    fc.assert(
      fc.property(records.valid, (value) => {
        expect(violationsOf(value)).toEqual([]);
        expect(typeof value.id).toBe('string');
      }),
    );
  });

  test('near-valid values break it in one field, and nothing encodes them', async () => {
    await fc.assert(
      fc.asyncProperty(records.nearValid, async ({ value, path }) => {
        expect(violationsOf(value).map((violation) => violation.path.split(/[.[]/)[0])).toContain(path);
        expect(new Set(violationsOf(value).map((violation) => violation.path.split(/[.[]/)[0])).size).toBe(1);
        await expect(encodeRecords(contract as never, [value])).rejects.toThrow(/breaks contract/);
      }),
    );
  });

  test('evolved records read as the newest version, whichever wrote them', async () => {
    const decoder = createDecoder(contract as never, createContractSchemaRegistry([contract as never]));
    const versions = new Set<number | undefined>();
    await fc.assert(
      fc.asyncProperty(records.evolved, async (record) => {
        versions.add(record.version);
        const [sent] = await encodeRecords(contract as never, [record]);
        const position = { topic: contract.name, partition: 0, offset: 0 };
        const raw = {
          ...position,
          timestamp: 0,
          timestampType: 'CREATE_TIME' as const,
          headers: [],
          ...sent!,
        };
        const [decoded] = await decoder.decodeBatch([raw]);
        expect(decoded).toHaveProperty('record');
        expect(violationsOf((decoded as unknown as { record: { value: unknown } }).record.value)).toEqual([]);
      }),
    );
    expect(versions.size).toBe(contract.versions.length);
  });

  test('some keys are delivered again', () => {
    if (contract !== orders) return expect(fc.sample(records.valid, 1)).toHaveLength(1);
    const keys = fc.sample(records.valid, 50).map(({ id }) => id);
    expect(new Set(keys).size).toBeLessThan(45);
  });
});

import { expect, test } from '@jest/globals';
import { createContractSchemaRegistry } from '../../adapters/contract-schema-registry.ts';
import type { AvroSchema } from '../../runtime/avro/schema.ts';
import { type Contract, defineTopic } from '../../runtime/contract/contract.ts';
import { schemaRegistrySuite } from '../ports/schema-registry-suite.ts';

for (const framing of ['glue', 'confluent'] as const) {
  schemaRegistrySuite('createContractSchemaRegistry', framing, async (contracts) => ({
    registry: createContractSchemaRegistry(contracts),
    dispose: () => {},
  }));
}

const field = { name: 'a', type: 'string' };
const v1: AvroSchema = { type: 'record', name: 'R', fields: [field] };
const v2: AvroSchema = { type: 'record', name: 'R', fields: [field, { name: 'b', type: 'int', default: 0 }] };
const topic = (name: string, ...schemas: readonly AvroSchema[]): Contract<{ a: string }> =>
  defineTopic({
    name,
    owner: 'tests',
    key: 'a',
    versions: schemas.map((schema, index) => ({ version: index + 1, schema })),
  });
const latestIdOf = (contract: Contract<never>) => createContractSchemaRegistry([contract]).latestId(contract);

test('an id stays the same from one process to the next, and however the JSON is laid out', async () => {
  expect(await latestIdOf(topic('orders', v1))).toBe('bf17f5b1-1b20-84bc-acb3-21f8b82cfabd');
  const relaid: AvroSchema = { fields: [{ type: 'string', name: 'a' }], name: 'R', type: 'record' };
  expect(await latestIdOf(topic('orders', relaid))).toBe(await latestIdOf(topic('orders', v1)));
});

test('an older version stays readable under its id', async () => {
  const oldId = await latestIdOf(topic('orders', v1));
  const registry = createContractSchemaRegistry([topic('orders', v1, v2)]);
  expect(await registry.schemaById(oldId)).toEqual(v1);
});

test('the same schema has another id in another topic', async () => {
  expect(await latestIdOf(topic('orders', v1))).not.toBe(await latestIdOf(topic('refunds', v1)));
});

test('a contract listed twice is refused', () => {
  const orders = topic('orders', v1);
  expect(() => createContractSchemaRegistry([orders, orders])).toThrow(
    expect.objectContaining({ code: 'CONTRACT_INVALID' }),
  );
});

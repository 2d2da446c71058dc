import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import { createGeneratedTraffic, exampleEvent } from '../../../local/publishing/generated-traffic.ts';
import { parseAvro } from '../../../runtime/avro/avro-type.ts';
import type { AvroSchema } from '../../../runtime/avro/schema.ts';
import { createValidator } from '../../../runtime/avro/validator.ts';
import { defineTopic } from '../../../runtime/contract/contract.ts';
import newsdesk from '../../fixtures/newsdesk/millrace.config.ts';

const NOW_MS = 1_764_000_000_000;

const exampleOf = (schema: AvroSchema) =>
  exampleEvent(
    defineTopic({ name: 't', owner: 'tests', key: 'id' as never, versions: [{ version: 1, schema }] }),
    NOW_MS,
  );

test.each(newsdesk.contracts)('keeps the contract of $name, as JSON', (contract) => {
  const event = JSON.parse(JSON.stringify(exampleEvent(contract, NOW_MS)));
  expect(createValidator(parseAvro(contract.latest.schema))(event)).toEqual([]);
});

const simple = fc.constantFrom<AvroSchema>('string', 'int', 'long', 'float', 'double', 'boolean', 'null', {
  type: 'enum',
  name: 'E',
  symbols: ['A', 'B'],
});
const field = fc.oneof(
  simple,
  simple.map((items): AvroSchema => ({ type: 'array', items })),
  simple.map((values): AvroSchema => ({ type: 'map', values })),
  fc.constantFrom<AvroSchema>(['R', 'null'], ['null', 'string'], ['int', 'string'], {
    type: 'record',
    name: 'Inner',
    fields: [{ name: 'a', type: ['R', 'string', { type: 'map', values: 'int' }] }],
  }),
);

test('keeps any contract, one that holds itself included', () => {
  fc.assert(
    fc.property(field, (type) => {
      const schema = {
        type: 'record',
        name: 'R',
        fields: [
          { name: 'id', type: 'string' },
          { name: 'f', type },
        ],
      };
      expect(createValidator(parseAvro(schema))(exampleOf(schema))).toEqual([]);
    }),
  );
});

test.each<[string, unknown]>([
  ['text', 'string'],
  ['text or null', ['null', 'string']],
  ['a UUID', { type: 'string', logicalType: 'uuid' }],
])('gives each event an identity of its own: %s', (_, type) => {
  const schema = {
    type: 'record',
    name: 'R',
    fields: [
      { name: 'id', type: 'string' },
      { name: 'eventId', type },
    ],
  } as AvroSchema;
  const versions = [{ version: 1, schema }];
  const topic = defineTopic<{ id: string; eventId: string }>({
    name: 't',
    owner: 'tests',
    key: 'id',
    identity: 'eventId',
    versions,
  });
  const violationsOf = createValidator(parseAvro(schema));
  const ids = [0, 60_000].flatMap((later) => {
    const traffic = createGeneratedTraffic(topic, createSeededRandom(7));
    const values = Array.from({ length: 1_000 }, () => traffic.next(NOW_MS + later));
    values.push(exampleEvent(topic, NOW_MS + later));
    expect(values.flatMap((value) => violationsOf(value))).toEqual([]);
    return values.map((value) => (value as { eventId: string }).eventId);
  });
  expect(new Set(ids).size).toBe(2_002);
});

/** The schema registries' contract suites, on servers that answer as Confluent's and Glue's do. */
import { CreateRegistryCommand, GlueClient } from '@aws-sdk/client-glue';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { createGlueSchemaRegistrar } from '../../adapters/aws/glue-schema-registrar.ts';
import { createConfluentSchemaRegistry } from '../../adapters/confluent/confluent-schema-registry.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { systemRandom } from '../../adapters/system/system-random.ts';
import type { AvroSchema } from '../../runtime/avro/schema.ts';
import { type Contract, defineTopic } from '../../runtime/contract/contract.ts';
import type { SchemaRegistrar } from '../../runtime/contract/registry.ts';
import { schemaRegistrarSuite, schemaRegistrySuite } from '../ports/schema-registry-suite.ts';
import { codeOf } from '../rejection.ts';
import { part } from './part.ts';

jest.setTimeout(60_000);
const url = part('MILLRACE_TEST_REGISTRY');
const glue = new GlueClient({ endpoint: part('MILLRACE_TEST_AWS') });
afterAll(() => glue.destroy());

const confluent = createConfluentSchemaRegistry({ url, clock: systemClock, random: systemRandom });
/** One for all tests: moto takes ten registries. */
const registryName = `suite-${process.pid}`;
const moto = createGlueSchemaRegistrar({ client: glue, registryName, clock: systemClock });
beforeAll(async () => {
  await glue.send(new CreateRegistryCommand({ RegistryName: registryName }));
});

let count = 0;

/** The registry as one that holds nothing yet: topics get a name that no test had before. */
function empty(registrar: SchemaRegistrar): SchemaRegistrar {
  const prefix = `suite-${count++}-`;
  const own = (contract: Contract<never>) => ({ ...contract, name: prefix + contract.name });
  return {
    schemaById: registrar.schemaById,
    latestId: (contract) => registrar.latestId(own(contract)),
    register: (contract) => registrar.register(own(contract)),
  };
}

for (const [name, framing, registrar] of [
  ['Apicurio', 'confluent', confluent],
  ['moto', 'glue', moto],
] as const) {
  const dispose = () => {};
  schemaRegistrarSuite(name, framing, async () => ({ registrar: empty(registrar), dispose }));
  schemaRegistrySuite(name, framing, async (contracts) => {
    const registry = empty(registrar);
    for (const contract of contracts) await registry.register(contract);
    return { registry, dispose };
  });
}

test('a version that breaks the level of its subject is not registered', async () => {
  const registrar = empty(confluent);
  const schema = (type: string): AvroSchema => ({ type: 'record', name: 'R', fields: [{ name: 'a', type }] });
  const topic = (...schemas: AvroSchema[]) =>
    defineTopic<{ a: string }>({
      name: 'strict',
      owner: 'tests',
      key: 'a',
      framing: 'confluent',
      versions: schemas.map((of, index) => ({ version: index + 1, schema: of })),
    });
  const [id] = await registrar.register(topic(schema('string')));
  const level = await fetch(`${url}/config`, {
    method: 'PUT',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify({ compatibility: 'FULL' }),
  });
  expect(level.status).toBe(200);
  expect(await codeOf(registrar.register(topic(schema('string'), schema('int'))))).toBe(
    'CONTRACT_INCOMPATIBLE',
  );
  expect(await registrar.latestId(topic(schema('string')))).toBe(id);
});

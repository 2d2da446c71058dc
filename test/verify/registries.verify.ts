/** The schema registries' contract suites, on servers that answer as Confluent's and Glue's do. */
import { CreateRegistryCommand, GlueClient } from '@aws-sdk/client-glue';
import { afterAll, expect, jest, test } from '@jest/globals';
import { createGlueSchemaRegistrar } from '../../adapters/aws/glue-schema-registrar.ts';
import { createConfluentSchemaRegistry } from '../../adapters/confluent/confluent-schema-registry.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { systemRandom } from '../../adapters/system/system-random.ts';
import { type AvroSchema, type Contract, defineTopic } from '../../runtime/contract.ts';
import type { SchemaRegistrar } from '../../runtime/ports.ts';
import { schemaRegistrarSuite, schemaRegistrySuite } from '../ports/schema-registry-suite.ts';
import { codeOf } from '../rejection.ts';

jest.setTimeout(60_000);
const variable = (name: string) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; run npm run verify`);
  return value;
};
const url = variable('MILLRACE_TEST_REGISTRY');
const glue = new GlueClient({ endpoint: variable('MILLRACE_TEST_AWS') });
afterAll(() => glue.destroy());

let count = 0;

/** The registry as one that holds nothing yet: topics get a name that no test had before. */
function emptyConfluent(): SchemaRegistrar {
  const prefix = `suite-${count++}-`;
  const registrar = createConfluentSchemaRegistry({ url, clock: systemClock, random: systemRandom });
  const own = (contract: Contract<never>) => ({ ...contract, name: prefix + contract.name });
  return {
    schemaById: registrar.schemaById,
    latestId: (contract) => registrar.latestId(own(contract)),
    register: (contract) => registrar.register(own(contract)),
  };
}

async function emptyGlue(): Promise<SchemaRegistrar> {
  const registryName = `suite-${process.pid}-${count++}`;
  await glue.send(new CreateRegistryCommand({ RegistryName: registryName }));
  return createGlueSchemaRegistrar({ client: glue, registryName, clock: systemClock });
}

for (const [name, framing, empty] of [
  ['Apicurio', 'confluent', emptyConfluent],
  ['moto', 'glue', emptyGlue],
] as const) {
  const dispose = () => {};
  schemaRegistrarSuite(name, framing, async () => ({ registrar: await empty(), dispose }));
  schemaRegistrySuite(name, framing, async (contracts) => {
    const registry = await empty();
    for (const contract of contracts) await registry.register(contract);
    return { registry, dispose };
  });
}

test('a version that breaks the level of its subject is not registered', async () => {
  const registrar = emptyConfluent();
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

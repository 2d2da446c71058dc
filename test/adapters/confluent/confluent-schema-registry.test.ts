import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import {
  type ConfluentConnection,
  createConfluentSchemaRegistry,
} from '../../../adapters/confluent/confluent-schema-registry.ts';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import type { AvroSchema } from '../../../runtime/avro/schema.ts';
import { defineTopic } from '../../../runtime/contract/contract.ts';
import { schemaRegistrarSuite, schemaRegistrySuite } from '../../ports/schema-registry-suite.ts';
import { codeOf } from '../../rejection.ts';
import { type FakeRegistry, startFakeRegistry } from './fake-registry.ts';

let waits: number[] = [];

function connect(connection: ConfluentConnection) {
  const clock = { now: () => 0, sleep: async (ms: number) => void waits.push(ms) };
  return createConfluentSchemaRegistry({ ...connection, clock, random: createSeededRandom(1) });
}

schemaRegistrySuite('Confluent', 'confluent', async (contracts) => {
  const server = await startFakeRegistry();
  const registry = connect(server);
  for (const contract of contracts) await registry.register(contract);
  return { registry, dispose: server.close };
});

schemaRegistrarSuite('Confluent', 'confluent', async () => {
  const server = await startFakeRegistry();
  return { registrar: connect(server), dispose: server.close };
});

describe('Confluent as a schema registry', () => {
  let server: FakeRegistry;
  beforeEach(async () => {
    waits = [];
    server = await startFakeRegistry();
  });
  afterEach(() => server.close());

  const schema: AvroSchema = { type: 'record', name: 'Secret', fields: [{ name: 'a', type: 'string' }] };
  const orders = defineTopic<{ a: string }>({
    name: 'shop.orders',
    owner: 'tests',
    key: 'a',
    framing: 'confluent',
    versions: [{ version: 1, schema }],
  });
  const asked = () => server.requests.map(({ method, url }) => `${method} ${url}`);

  test('asks for the subject of the topic’s values, below the path that it is given', async () => {
    const registry = connect({ url: `${server.url}/` });
    const [id] = await registry.register(orders);
    await registry.latestId(orders);
    await registry.schemaById(id!);
    expect(asked()).toEqual([
      'POST /subjects/shop.orders-value/versions',
      'POST /subjects/shop.orders-value',
      'GET /schemas/ids/1',
    ]);
    server.replyNext([200, { id: 5 }]);
    await connect({ url: `${server.url}/apis/ccompat/v7` }).latestId(orders);
    expect(asked().at(-1)).toBe('POST /apis/ccompat/v7/subjects/shop.orders-value');
  });

  test('logs in with its username and password, and with nothing where there are none', async () => {
    await connect({ url: server.url, login: { username: 'me', password: 'p:ä' } }).schemaById('1');
    await connect({ url: server.url }).schemaById('1');
    const [basic, none] = server.requests.map(({ headers }) => headers.authorization);
    expect(Buffer.from(basic!.replace('Basic ', ''), 'base64').toString()).toBe('me:p:ä');
    expect(none).toBeUndefined();
  });

  test.each([
    ['a 503', [503, 'upstream']],
    ['a 429', [429, '']],
    ['a connection that breaks', 'drop'],
  ] as const)('tries again after %s', async (_, failure) => {
    const registry = connect(server);
    await registry.register(orders);
    server.replyNext(failure, failure);
    expect(await registry.latestId(orders)).toBe('1');
    expect(waits).toHaveLength(2);
  });

  test.each([
    ['a 500, three times', [500, { error_code: 50001, message: 'store {"name":"Secret"}' }], 3],
    ['connections that break, three times', 'drop', 3],
    ['a 401, which no other attempt would change', [401, { error_code: 401, message: 'Unauthorized' }], 1],
    ['a 404 of somebody else', [404, '<html>'], 1],
    ['an answer that is not the registry’s', [200, '<html>'], 1],
  ] as const)(
    '%s is an unavailable registry, which holds the line, and not an unknown schema',
    async (_, failure, attempts) => {
      const registry = connect(server);
      for (const ask of [
        () => registry.schemaById('1'),
        () => registry.latestId(orders),
        () => registry.register(orders),
      ]) {
        server.replyNext(...Array.from({ length: attempts }, () => failure));
        const outcome = ask();
        await expect(outcome).rejects.toMatchObject({
          code: 'REGISTRY_UNAVAILABLE',
          action: 'hold',
          message: expect.stringContaining(server.url),
        });
        await expect(outcome).rejects.toMatchObject({ message: expect.not.stringContaining('Secret') });
      }
      expect(server.requests).toHaveLength(3 * attempts);
    },
  );

  test('nobody there is an unavailable registry', async () => {
    server.close();
    const outcome = connect(server).schemaById('1');
    await expect(outcome).rejects.toMatchObject({ message: expect.stringContaining('ECONNREFUSED') });
    expect(await codeOf(outcome)).toBe('REGISTRY_UNAVAILABLE');
  });

  test.each([
    [409, 'compatibility level'],
    [422, 'does not accept the schema'],
  ])('a version that the registry answers with %d is not registered', async (status, why) => {
    server.replyNext([status, { error_code: status, message: 'of {"name":"Secret"}' }]);
    const outcome = connect(server).register(orders);
    await expect(outcome).rejects.toMatchObject({
      code: 'CONTRACT_INCOMPATIBLE',
      message: expect.stringContaining(why),
    });
    await expect(outcome).rejects.toMatchObject({ message: expect.not.stringContaining('Secret') });
  });

  test('a schema that is not JSON is left for the Avro parser to refuse', async () => {
    server.replyNext([200, { schemaType: 'PROTOBUF', schema: 'message R {}' }]);
    expect(await connect(server).schemaById('1')).toBe('message R {}');
  });
});

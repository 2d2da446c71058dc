import { describe, expect, test } from '@jest/globals';
import { createGlueSchemaRegistry } from '../../../adapters/aws/glue-schema-registry.ts';
import { pageviews } from '../../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import { schemaRegistrySuite } from '../../ports/schema-registry-suite.ts';
import { fakeGlue, glueError, versionsOf } from './fake-glue.ts';

schemaRegistrySuite('Glue', 'glue', async (contracts) => ({
  registry: createGlueSchemaRegistry({
    ...fakeGlue('millrace-dev', versionsOf(contracts)),
    registryName: 'millrace-dev',
  }),
  dispose: () => {},
}));

describe('Glue as a schema registry', () => {
  const failing = (error: Error) =>
    createGlueSchemaRegistry({ client: { send: () => Promise.reject(error) } as never, registryName: 'r' });

  test.each(['ThrottlingException', 'AccessDeniedException', 'TimeoutError'])(
    '%s is an unavailable registry, which holds the line, and not an unknown schema',
    async (name) => {
      const error = glueError(name, 'with the schema {"name":"Secret"}');
      const unavailable = { code: 'REGISTRY_UNAVAILABLE', action: 'hold', cause: error };
      const registry = failing(error);
      for (const outcome of [
        registry.schemaById('6b1f0e6c-6c0a-4b0e-8f5a-000000000000'),
        registry.latestId(pageviews),
      ]) {
        await expect(outcome).rejects.toMatchObject(unavailable);
        await expect(outcome).rejects.toMatchObject({ message: expect.stringContaining(name) });
        await expect(outcome).rejects.toMatchObject({ message: expect.not.stringContaining('Secret') });
      }
    },
  );

  test.each(['PENDING', 'FAILURE', 'DELETING'])('a version that is %s is not registered', async (status) => {
    const versions = new Map(
      [...versionsOf([pageviews])].map(([id, version]) => [id, { ...version, status }]),
    );
    const registry = createGlueSchemaRegistry({ ...fakeGlue('r', versions), registryName: 'r' });
    await expect(registry.latestId(pageviews)).rejects.toMatchObject({
      code: 'SCHEMA_UNKNOWN',
      message: expect.stringContaining('Glue\'s registry "r"'),
    });
  });

  test('a definition that is not JSON is left for the Avro parser to refuse', async () => {
    const id = '6b1f0e6c-6c0a-4b0e-8f5a-000000000000';
    const glue = fakeGlue('r', new Map([[id, { schemaName: 's', definition: '{damaged' }]]));
    const registry = createGlueSchemaRegistry({ ...glue, registryName: 'r' });
    expect(await registry.schemaById(id)).toBe('{damaged');
  });
});

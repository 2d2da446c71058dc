import { describe, expect, test } from '@jest/globals';
import { createGlueSchemaRegistrar } from '../../../adapters/aws/glue-schema-registrar.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { pageviews } from '../../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import { schemaRegistrarSuite } from '../../ports/schema-registry-suite.ts';
import { fakeGlue, glueError } from './fake-glue.ts';

const clock = createFakeClock({ autoAdvance: true });
const over = ({ client }: { client: never }, registryName = 'r') =>
  createGlueSchemaRegistrar({ client, registryName, clock });

schemaRegistrarSuite('Glue', 'glue', async () => ({
  registrar: over(fakeGlue('r', new Map())),
  dispose: () => {},
}));

describe('Glue as a schema registrar', () => {
  test("makes the topic's schema with the contract's compatibility mode", async () => {
    const glue = fakeGlue('r', new Map());
    await over(glue).register(pageviews);
    expect([...glue.modes]).toEqual([['news.pageviews', 'AVRO FULL_ALL']]);
  });

  test('waits while Glue compares a version with the others', async () => {
    const registrar = over(fakeGlue('r', new Map(), { pendingFor: 20 }));
    expect(await registrar.register(pageviews)).toHaveLength(pageviews.versions.length);
  });

  test.each([
    ['which Glue finds incompatible', { verdict: 'FAILURE' }],
    ['which stays pending', { pendingFor: 1_000 }],
  ])('says so of a version %s', async (_, options) => {
    const registrar = over(fakeGlue('r', new Map(), options));
    await expect(registrar.register(pageviews)).rejects.toMatchObject({
      code: 'CONTRACT_INCOMPATIBLE',
      message: expect.stringContaining('version 1 of "news.pageviews"'),
    });
  });

  test('says so where there is no such registry', async () => {
    await expect(over(fakeGlue('r', new Map()), 'other').register(pageviews)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringContaining('no registry "other"'),
    });
  });

  test.each([
    ['InvalidInputException', 'CONTRACT_INCOMPATIBLE'],
    ['AccessDeniedException', 'REGISTRY_UNAVAILABLE'],
  ])('%s is %s, without what Glue says of the schema', async (name, code) => {
    const error = glueError(name, 'with the schema {"name":"Secret"}');
    const registering = over({ client: { send: () => Promise.reject(error) } as never }).register(pageviews);
    await expect(registering).rejects.toMatchObject({ code, cause: error });
    await expect(registering).rejects.toMatchObject({ message: expect.not.stringContaining('Secret') });
  });
});

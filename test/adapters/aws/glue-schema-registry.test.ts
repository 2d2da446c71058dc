import { GetSchemaByDefinitionCommand, GetSchemaVersionCommand } from '@aws-sdk/client-glue';
import { describe, expect, test } from '@jest/globals';
import { createGlueSchemaRegistry } from '../../../adapters/aws/glue-schema-registry.ts';
import { pageviews } from '../../../contracts/news.pageviews/topic.ts';
import type { Contract } from '../../../runtime/contract.ts';
import { schemaRegistrySuite } from '../../ports/schema-registry-suite.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** An error as the SDK throws it: told apart by its name. */
const glueError = (name: string, message = 'Glue says so') => Object.assign(new Error(message), { name });

interface Version {
  readonly schemaName: string;
  readonly definition: string;
  readonly status?: string;
}

/** As much of Glue as the adapter calls, over versions by their ids. */
function fakeGlue(registryName: string, versions: ReadonlyMap<string, Version>) {
  return {
    async send(command: unknown): Promise<unknown> {
      if (command instanceof GetSchemaVersionCommand) {
        const id = command.input.SchemaVersionId!;
        if (!UUID.test(id)) throw glueError('InvalidInputException');
        const version = versions.get(id);
        if (!version) throw glueError('EntityNotFoundException');
        return { SchemaVersionId: id, SchemaDefinition: version.definition, Status: 'AVAILABLE' };
      }
      if (command instanceof GetSchemaByDefinitionCommand) {
        const { SchemaId, SchemaDefinition } = command.input;
        const found = [...versions].find(
          ([, { schemaName, definition }]) =>
            SchemaId?.RegistryName === registryName &&
            SchemaId.SchemaName === schemaName &&
            SchemaDefinition === definition,
        );
        if (!found) throw glueError('EntityNotFoundException');
        return { SchemaVersionId: found[0], Status: found[1].status ?? 'AVAILABLE' };
      }
      throw new Error('not asked for');
    },
  } as never;
}

function versionsOf(contracts: readonly Contract<never>[]): ReadonlyMap<string, Version> {
  const all = contracts.flatMap(({ name, versions }) =>
    versions.map(({ schema }) => ({ schemaName: name, definition: JSON.stringify(schema) })),
  );
  return new Map(
    all.map((version, index) => [`6b1f0e6c-6c0a-4b0e-8f5a-${String(index).padStart(12, '0')}`, version]),
  );
}

schemaRegistrySuite('Glue', 'glue', async (contracts) => ({
  registry: createGlueSchemaRegistry({
    client: fakeGlue('millrace-dev', versionsOf(contracts)),
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
    const registry = createGlueSchemaRegistry({ client: fakeGlue('r', versions), registryName: 'r' });
    await expect(registry.latestId(pageviews)).rejects.toMatchObject({
      code: 'SCHEMA_UNKNOWN',
      message: expect.stringContaining('Glue\'s registry "r"'),
    });
  });

  test('a definition that is no JSON is left for the Avro parser to refuse', async () => {
    const id = '6b1f0e6c-6c0a-4b0e-8f5a-000000000000';
    const client = fakeGlue('r', new Map([[id, { schemaName: 's', definition: '{damaged' }]]));
    const registry = createGlueSchemaRegistry({ client, registryName: 'r' });
    expect(await registry.schemaById(id)).toBe('{damaged');
  });
});

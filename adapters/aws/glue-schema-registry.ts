import {
  GetSchemaByDefinitionCommand,
  GetSchemaVersionCommand,
  GlueClient,
  type GlueClientConfig,
} from '@aws-sdk/client-glue';
import type { AvroSchema } from '../../runtime/avro/schema.ts';
import { definitionsOf } from '../../runtime/contract/contract.ts';
import type { SchemaId, SchemaRegistry } from '../../runtime/contract/registry.ts';
import { MillraceError } from '../../runtime/errors.ts';

/**
 * AWS Glue's schema registry. Ids are schema version UUIDs, the ones in Glue's framing. Registers nothing: the stacks
 * of an environment do, from its contracts, and createGlueSchemaRegistrar. Keeps no cache: decoders and encoders do, and
 * ask for an id once. The client tries again by itself.
 * Source: https://docs.aws.amazon.com/glue/latest/dg/schema-registry-gs.html (read 2026-11-24).
 */
export function createGlueSchemaRegistry({
  client,
  registryName,
}: {
  readonly client: Pick<GlueClient, 'send'>;
  readonly registryName: string;
}): SchemaRegistry {
  return {
    async schemaById(id) {
      try {
        const { SchemaDefinition } = await client.send(new GetSchemaVersionCommand({ SchemaVersionId: id }));
        return SchemaDefinition === undefined ? undefined : parseDefinition(SchemaDefinition);
      } catch (cause) {
        if (knowsNoSuchId(cause)) return undefined;
        throw unavailable(cause);
      }
    },

    async latestId({ name, latest }) {
      const id = await findByDefinition({ client, registryName }, name, definitionsOf(latest)).catch(
        (cause) => {
          throw unavailable(cause);
        },
      );
      if (id !== undefined) return id;
      throw new MillraceError(
        'SCHEMA_UNKNOWN',
        `Version ${latest.version} of ${JSON.stringify(name)} is not registered in Glue's registry ` +
          `${JSON.stringify(registryName)}. Deploy the environment's contracts stack, or run \`millrace contracts register\`.`,
        { details: { topic: name, version: latest.version, registry: registryName } },
      );
    },
  };
}

/** The same, with a client of its own. */
export function openGlueSchemaRegistry(config: GlueClientConfig, registryName: string): SchemaRegistry {
  return createGlueSchemaRegistry({ client: new GlueClient(config), registryName });
}

/**
 * The id of the version that is available under one of the texts.
 * @throws what Glue's client throws, but for not found
 */
export async function findByDefinition(
  { client, registryName }: { readonly client: Pick<GlueClient, 'send'>; readonly registryName: string },
  schemaName: string,
  definitions: readonly string[],
): Promise<SchemaId | undefined> {
  for (const definition of definitions) {
    try {
      const { SchemaVersionId, Status } = await client.send(
        new GetSchemaByDefinitionCommand({
          SchemaId: { RegistryName: registryName, SchemaName: schemaName },
          SchemaDefinition: definition,
        }),
      );
      if (Status === 'AVAILABLE') return SchemaVersionId;
    } catch (cause) {
      if (nameOf(cause) !== 'EntityNotFoundException') throw cause;
    }
  }
  return undefined;
}

/** Glue keeps the text it was given; what is no JSON is left for the Avro parser to refuse, as the record's error. */
function parseDefinition(definition: string): AvroSchema {
  try {
    return JSON.parse(definition);
  } catch {
    return definition as AvroSchema;
  }
}

/** A damaged record can hold any bytes as its id: whether Glue finds it unknown or ill-formed, it has no schema. */
function knowsNoSuchId(cause: unknown): boolean {
  return ['EntityNotFoundException', 'InvalidInputException'].includes(nameOf(cause));
}

export function nameOf(cause: unknown): string {
  return cause instanceof Error ? cause.name : '';
}

export function unavailable(cause: unknown): MillraceError {
  return new MillraceError(
    'REGISTRY_UNAVAILABLE',
    `Glue's schema registry did not answer (${nameOf(cause) || 'no reason given'}). A consumer holds the partition and ` +
      'tries again. If this continues, check region, credentials, the endpoint for Glue and the permissions.',
    { cause },
  );
}

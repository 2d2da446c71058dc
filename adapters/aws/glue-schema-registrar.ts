import {
  CreateSchemaCommand,
  GetSchemaVersionCommand,
  GlueClient,
  RegisterSchemaVersionCommand,
} from '@aws-sdk/client-glue';
import {
  type Contract,
  type ContractVersion,
  definitionsOf,
  GLUE_COMPATIBILITY,
} from '../../runtime/contract/contract.ts';
import type { SchemaRegistrar } from '../../runtime/contract/registry.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { Clock } from '../../runtime/ports.ts';
import { createGlueSchemaRegistry, findByDefinition, nameOf, unavailable } from './glue-schema-registry.ts';
import { requestTimeouts } from './request-timeouts.ts';

/** Glue compares a new version with the others after it has answered; its console calls that pending. */
const POLL_MS = 500;
const MAX_POLLS = 60;

const TIMEOUT_MS = 10_000;

/**
 * AWS Glue's schema registry, for who may register in it. A topic without a schema gets one, with the contract's
 * compatibility mode; a schema that exists keeps its own. Apart from createGlueSchemaRegistry, so that what only reads
 * and publishes has no such code.
 * Source: https://docs.aws.amazon.com/glue/latest/webapi/API_RegisterSchemaVersion.html (read 2026-11-25).
 */
export function createGlueSchemaRegistrar(options: {
  readonly client: Pick<GlueClient, 'send'>;
  readonly registryName: string;
  readonly clock: Clock;
}): SchemaRegistrar {
  const { client, registryName, clock } = options;

  async function register(contract: Contract<never>, of: ContractVersion) {
    const { version } = of;
    const definitions = definitionsOf(of);
    const [SchemaDefinition] = definitions;
    // Registering finds a version under its own text. One under another text would get a second version beside it.
    try {
      const known = definitions.length > 1 && (await findByDefinition(options, contract.name, definitions));
      if (known) return { id: known, status: 'AVAILABLE' };
      const { SchemaVersionId, Status } = await client.send(
        new RegisterSchemaVersionCommand({
          SchemaId: { RegistryName: registryName, SchemaName: contract.name },
          SchemaDefinition,
        }),
      );
      return { id: SchemaVersionId!, status: Status };
    } catch (cause) {
      // Only a schema that is not there at all gets one: any other version belongs to what its mode allows.
      if (nameOf(cause) !== 'EntityNotFoundException') throw refusal(cause, contract, version);
    }
    try {
      const { SchemaVersionId, SchemaVersionStatus } = await client.send(
        new CreateSchemaCommand({
          RegistryId: { RegistryName: registryName },
          SchemaName: contract.name,
          DataFormat: 'AVRO',
          Compatibility: GLUE_COMPATIBILITY[contract.compatibility],
          SchemaDefinition,
        }),
      );
      return { id: SchemaVersionId!, status: SchemaVersionStatus };
    } catch (cause) {
      if (nameOf(cause) === 'EntityNotFoundException') throw noRegistry(cause, registryName);
      throw refusal(cause, contract, version);
    }
  }

  async function statusOf(id: string) {
    const { Status } = await client
      .send(new GetSchemaVersionCommand({ SchemaVersionId: id }))
      .catch((cause) => {
        throw unavailable(cause);
      });
    return Status;
  }

  return {
    ...createGlueSchemaRegistry(options),

    async register(contract) {
      const ids: string[] = [];
      for (const version of contract.versions) {
        let { id, status } = await register(contract, version);
        for (let polls = 0; status === 'PENDING' && polls < MAX_POLLS; polls++) {
          await clock.sleep(POLL_MS);
          status = await statusOf(id);
        }
        if (status !== 'AVAILABLE') throw notTaken(contract, version.version, status);
        ids.push(id);
      }
      return ids;
    },
  };
}

/**
 * With credentials, region and endpoint of the SDK's: environment variables, profiles, AWS_ENDPOINT_URL_*.
 * @throws INPUT_INVALID where none of these tells the region
 */
export async function openGlueSchemaRegistrar(registryName: string, clock: Clock): Promise<SchemaRegistrar> {
  const client = new GlueClient(requestTimeouts(TIMEOUT_MS));
  await client.config.region().catch((cause: unknown) => {
    throw new MillraceError(
      'INPUT_INVALID',
      `Glue's registry ${JSON.stringify(registryName)} needs a region, and none is set. Set AWS_REGION.`,
      { cause },
    );
  });
  return createGlueSchemaRegistrar({ client, registryName, clock });
}

function refusal(cause: unknown, contract: Contract<never>, version: number): MillraceError {
  if (nameOf(cause) !== 'InvalidInputException') return unavailable(cause);
  return notTaken(contract, version, 'invalid', cause);
}

function notTaken(
  { name }: Contract<never>,
  version: number,
  status: string | undefined,
  cause?: unknown,
): MillraceError {
  return new MillraceError(
    'CONTRACT_INCOMPATIBLE',
    `Glue refused version ${version} of ${JSON.stringify(name)}: ${status ?? 'no status'}. The versions before it are registered. ` +
      "Compare the schema's versions and its compatibility mode in Glue with the contract's.",
    {
      ...(cause === undefined ? {} : { cause }),
      details: { topic: name, version, ...(status && { status }) },
    },
  );
}

function noRegistry(cause: unknown, registryName: string): MillraceError {
  return new MillraceError(
    'INPUT_INVALID',
    `Glue has no registry ${JSON.stringify(registryName)} in this account and region. Name one that exists, or create it first.`,
    { cause, details: { registry: registryName } },
  );
}

import {
  CreateSchemaCommand,
  GetSchemaByDefinitionCommand,
  GetSchemaVersionCommand,
  RegisterSchemaVersionCommand,
} from '@aws-sdk/client-glue';
import type { Contract } from '../../../runtime/contract/contract.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** An error as the SDK throws it: told apart by its name. */
export const glueError = (name: string, message = 'Glue says so') =>
  Object.assign(new Error(message), { name });

export interface Version {
  readonly schemaName: string;
  readonly definition: string;
  readonly status?: string;
}

/**
 * As much of Glue as the adapters call, over versions by their ids. A version that is registered is pending for
 * `pendingFor` looks at it, and `verdict` after that.
 */
export function fakeGlue(
  registryName: string,
  versions: ReadonlyMap<string, Version>,
  { pendingFor = 0, verdict = 'AVAILABLE' } = {},
) {
  const all = new Map(versions);
  const pending = new Map<string, number>();
  const modes = new Map<string, string>();

  function add(schemaName: string, definition: string) {
    const known = [...all].find(([, of]) => of.schemaName === schemaName && of.definition === definition);
    const id = known?.[0] ?? idOf(all.size);
    if (!known) {
      all.set(id, { schemaName, definition, status: verdict });
      pending.set(id, pendingFor);
    }
    return { SchemaVersionId: id, ...statusOf(id) };
  }

  function statusOf(id: string) {
    const looks = pending.get(id) ?? 0;
    pending.set(id, looks - 1);
    const Status = looks > 0 ? 'PENDING' : (all.get(id)!.status ?? 'AVAILABLE');
    return { Status, SchemaVersionStatus: Status };
  }

  async function send(command: unknown): Promise<unknown> {
    if (command instanceof GetSchemaVersionCommand) {
      const id = command.input.SchemaVersionId!;
      if (!UUID.test(id)) throw glueError('InvalidInputException');
      const version = all.get(id);
      if (!version) throw glueError('EntityNotFoundException');
      return { SchemaVersionId: id, SchemaDefinition: version.definition, ...statusOf(id) };
    }
    if (command instanceof GetSchemaByDefinitionCommand) {
      const { SchemaId, SchemaDefinition } = command.input;
      const found = [...all].find(
        ([, { schemaName, definition }]) =>
          SchemaId?.RegistryName === registryName &&
          SchemaId.SchemaName === schemaName &&
          SchemaDefinition === definition,
      );
      if (!found) throw glueError('EntityNotFoundException');
      return { SchemaVersionId: found[0], ...statusOf(found[0]) };
    }
    if (command instanceof RegisterSchemaVersionCommand) {
      const { SchemaId, SchemaDefinition } = command.input;
      const name = SchemaId!.SchemaName!;
      const isThere = [...all.values()].some(({ schemaName }) => schemaName === name);
      if (SchemaId!.RegistryName !== registryName || !isThere) throw glueError('EntityNotFoundException');
      return add(name, SchemaDefinition!);
    }
    if (command instanceof CreateSchemaCommand) {
      const { RegistryId, SchemaName, SchemaDefinition, Compatibility, DataFormat } = command.input;
      if (RegistryId!.RegistryName !== registryName) throw glueError('EntityNotFoundException');
      modes.set(SchemaName!, `${DataFormat} ${Compatibility}`);
      return add(SchemaName!, SchemaDefinition!);
    }
    throw new Error('not asked for');
  }
  return { client: { send } as never, modes };
}

const idOf = (index: number) => `6b1f0e6c-6c0a-4b0e-8f5a-${String(index).padStart(12, '0')}`;

/** Every version of the contracts, registered. */
export function versionsOf(contracts: readonly Contract<never>[]): ReadonlyMap<string, Version> {
  const all = contracts.flatMap(({ name, versions }) =>
    versions.map(({ schema }) => ({ schemaName: name, definition: JSON.stringify(schema) })),
  );
  return new Map(all.map((version, index) => [idOf(index), version]));
}

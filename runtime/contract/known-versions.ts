import type { Contract } from './contract.ts';
import type { SchemaId, SchemaRegistry } from './registry.ts';

/** A version of a topic's contract, with the id under which the registry has it. */
export interface KnownVersion {
  readonly topic: string;
  readonly version: number;
  readonly id: SchemaId;
}

/**
 * A registry that answers for the contracts' versions whose ids are known already, without a call: while it is out of
 * reach, their records are read and written. Every other id it asks `registry` for, as ever.
 */
export function withKnownVersions(
  registry: SchemaRegistry,
  contracts: readonly Contract<never>[],
  known: readonly KnownVersion[],
): SchemaRegistry {
  // An id of a version that this code does not have yet, or no longer, is the registry's to answer.
  const schemas = new Map(
    known.flatMap(({ topic, version, id }) => {
      const contract = contracts.find(({ name }) => name === topic);
      const schema = contract?.versions.find((each) => each.version === version)?.schema;
      return schema === undefined ? [] : [[id, schema] as const];
    }),
  );
  const idOf = ({ name, latest }: Contract<never>) =>
    known.find(({ topic, version }) => topic === name && version === latest.version)?.id;
  return {
    schemaById: async (id) => schemas.get(id) ?? (await registry.schemaById(id)),
    latestId: async (contract) => idOf(contract) ?? (await registry.latestId(contract)),
  };
}

import type { AvroSchema } from '../avro/schema.ts';
import type { Contract } from './contract.ts';

/** A registry's name for a schema: a UUID for Glue, a decimal number for Confluent. */
export type SchemaId = string;

export interface SchemaRegistry {
  /**
   * The schema registered under `id`, or undefined where the registry knows no such id.
   * @throws REGISTRY_UNAVAILABLE when the registry did not answer
   */
  schemaById(id: SchemaId): Promise<AvroSchema | undefined>;
  /**
   * The id under which the contract's newest version is registered.
   * @throws SCHEMA_UNKNOWN when it is not registered; REGISTRY_UNAVAILABLE when the registry did not answer
   */
  latestId(contract: Contract<never>): Promise<SchemaId>;
}

/** A registry that versions can be put into. Only `register` does so, never reading or publishing. */
export interface SchemaRegistrar extends SchemaRegistry {
  /**
   * Registers the contract's versions, oldest first, and gives the id of each. What is registered already stays as it is.
   * @throws CONTRACT_INCOMPATIBLE when the registry does not take a version: those before it are registered
   * @throws INPUT_INVALID when there is no such registry; REGISTRY_UNAVAILABLE when it did not answer
   */
  register(contract: Contract<never>): Promise<readonly SchemaId[]>;
}

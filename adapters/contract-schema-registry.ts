import { createHash } from 'node:crypto';
import type { AvroSchema } from '../runtime/avro/schema.ts';
import type { Contract, ContractVersion } from '../runtime/contract/contract.ts';
import type { SchemaId, SchemaRegistry } from '../runtime/contract/registry.ts';
import { MillraceError } from '../runtime/errors.ts';

/**
 * A registry of the given contracts that keeps no state: a version's id follows from its topic, number and schema
 * alone, so that what one process has written another one reads. Ids suit the contract's framing: a UUID for Glue,
 * a number from 1 to 2^31-1 for Confluent.
 * @throws CONTRACT_INVALID when two schemas get the same id; only Confluent's 31 bits leave that a chance
 */
export function createContractSchemaRegistry(contracts: readonly Contract<never>[]): SchemaRegistry {
  const schemas = new Map<SchemaId, AvroSchema>();
  for (const contract of contracts) {
    for (const version of contract.versions) {
      const id = idOf(contract, version);
      if (schemas.has(id)) throw clash(contract, version);
      schemas.set(id, version.schema);
    }
  }

  return {
    async schemaById(id) {
      return schemas.get(id);
    },
    async latestId(contract) {
      const id = idOf(contract, contract.latest);
      if (!schemas.has(id)) throw unregistered(contract);
      return id;
    },
  };
}

/** A hash that is the same however the schema's JSON is laid out. */
function idOf({ name, framing }: Contract<never>, { version, schema }: ContractVersion): SchemaId {
  const hash = createHash('sha256')
    .update(JSON.stringify([name, version, sorted(schema)]))
    .digest();
  if (framing === 'confluent') return String(hash.readUInt32BE() >>> 1 || 1);
  // Version 8: bits of one's own making. https://www.rfc-editor.org/rfc/rfc9562#section-5.8 (2026-11-24)
  hash[6] = (hash[6]! & 0x0f) | 0x80;
  hash[8] = (hash[8]! & 0x3f) | 0x80;
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

/** The value with every object's keys in alphabetical order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)]),
  );
}

function clash({ name }: Contract<never>, { version }: ContractVersion): MillraceError {
  return new MillraceError(
    'CONTRACT_INVALID',
    `Contract ${JSON.stringify(name)}: version ${version} gets a schema id that another schema has. List each contract ` +
      'once; if it is, change the doc text of the version that was not published yet.',
    { details: { topic: name, version } },
  );
}

function unregistered({ name, latest }: Contract<never>): MillraceError {
  return new MillraceError(
    'SCHEMA_UNKNOWN',
    `Version ${latest.version} of contract ${JSON.stringify(name)} is not in the registry. Add the contract to the ` +
      'contracts in millrace.config.ts.',
    { details: { topic: name, version: latest.version } },
  );
}

import { createWriterReader } from '../avro/avro-type.ts';
import type { Contract } from '../contract/contract.ts';
import { decodeFrame } from '../contract/framing.ts';
import type { SchemaRegistry } from '../contract/registry.ts';
import { MillraceError } from '../errors.ts';

/** A value as its writer meant it, or why it cannot be read. */
export type WrittenValue = { readonly value: unknown } | { readonly problem: string };

/**
 * Reads a record's value by the schema that it was written with, whatever its contract says by now: to be looked at.
 * @throws REGISTRY_UNAVAILABLE
 */
export async function decodeByWriter(
  bytes: Buffer | null,
  { framing, maxBodyBytes }: Contract<never>,
  registry: SchemaRegistry,
): Promise<WrittenValue> {
  if (bytes === null) return { problem: 'no value: a tombstone' };
  try {
    const { schemaId, body } = decodeFrame(framing, bytes, maxBodyBytes);
    const schema = await registry.schemaById(schemaId);
    if (schema === undefined) return { problem: `no schema ${schemaId} in the registry` };
    return { value: createWriterReader(schema, schemaId).read(body) };
  } catch (error) {
    if (!(error instanceof MillraceError) || error.action === 'hold') throw error;
    return { problem: `${error.message} [${error.code}]` };
  }
}

/** The value with nothing of what it holds but its shape. */
export function masked(value: unknown): unknown {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return `<string of ${value.length}>`;
  if (value instanceof Uint8Array) return `<bytes of ${value.length}>`;
  if (Array.isArray(value))
    return value
      .slice(0, 1)
      .map(masked)
      .concat(value.length > 1 ? ['…'] : []);
  if (typeof value !== 'object') return `<${typeof value}>`;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, masked(each)]));
}

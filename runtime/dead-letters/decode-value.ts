import { createWriterReader } from '../avro/avro-type.ts';
import type { SchemaNode } from '../avro/schema.ts';
import { parseShape } from '../avro/schema-parser.ts';
import type { Topic } from '../contract/contract.ts';
import { decodeFrame } from '../contract/framing.ts';
import type { SchemaRegistry } from '../contract/registry.ts';
import { MillraceError } from '../errors.ts';

/** A value as its writer meant it, or why it cannot be read. */
export type WrittenValue =
  | { readonly value: unknown; readonly writer: SchemaNode }
  | { readonly problem: string };

/**
 * Reads a record's value by the schema that it was written with, whatever its contract says by now: to be looked at.
 * @throws REGISTRY_UNAVAILABLE
 */
export async function decodeByWriter(
  bytes: Buffer | null,
  topic: Topic<never>,
  registry: SchemaRegistry,
): Promise<WrittenValue> {
  if (bytes === null) {
    const verdict = topic.cleanup === 'compact' ? '' : ', which this contract does not allow';
    return { problem: `no value (null): a tombstone${verdict}` };
  }
  if (topic.format === 'json') return { problem: 'JSON without a schema: see the bytes' };
  try {
    const { schemaId, body } = decodeFrame(topic.framing, bytes, topic.maxBodyBytes);
    const schema = await registry.schemaById(schemaId);
    if (schema === undefined) return { problem: `no schema ${schemaId} in the registry` };
    const value = createWriterReader(schema, schemaId).read(body);
    // The reader above has refused a schema without a shape.
    return { value, writer: parseShape(schema)! };
  } catch (error) {
    if (!(error instanceof MillraceError) || error.action === 'hold') throw error;
    return { problem: `${error.message} [${error.code}]` };
  }
}

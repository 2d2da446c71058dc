import type { SchemaNode } from '../runtime/avro/schema.ts';
import { parseSchema } from '../runtime/avro/schema-parser.ts';
import { inUnion } from '../runtime/avro/value.ts';
import type { Contract } from '../runtime/contract.ts';

/** A value that keeps the contract, as small as it can be: the fields without a default, strings called by their field. */
export function exampleEvent({ latest, name }: Contract<never>, nowMs: number): unknown {
  return exampleOf(parseSchema(latest.schema).node!, name, nowMs, []);
}

function exampleOf(node: SchemaNode, name: string, nowMs: number, within: readonly SchemaNode[]): unknown {
  const inner = (of: SchemaNode, its: string) => exampleOf(of, its, nowMs, [...within, node]);
  switch (node.kind) {
    case 'record': {
      const fields = node.fields.filter((field) => field.default === undefined);
      return Object.fromEntries(fields.map((field) => [field.name, inner(field.type, field.name)]));
    }
    case 'union': {
      // Not one that holds itself, which would never end.
      const branch = node.branches.find((each) => !within.includes(each)) ?? node.branches[0]!;
      return inUnion(node, branch, inner(branch, name));
    }
    case 'array':
      return [];
    case 'map':
      return {};
    case 'enum':
      return node.symbols[0];
    case 'string':
      return name;
    case 'boolean':
      return false;
    case 'null':
      return null;
    case 'long':
      // Most often a time, and a time of 1970 would look like a mistake.
      return nowMs;
    default:
      return 0;
  }
}

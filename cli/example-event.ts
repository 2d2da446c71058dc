import type { types } from 'avsc';
import { type AvroType, parseAvro } from '../runtime/avro/avro-type.ts';
import type { Contract } from '../runtime/contract.ts';

/** A value that keeps the contract, as small as it can be: the fields without a default, strings called by their field. */
export function exampleEvent({ latest, name }: Contract<never>, nowMs: number): unknown {
  return exampleOf(parseAvro(latest.schema), name, nowMs, []);
}

function exampleOf(type: AvroType, name: string, nowMs: number, within: readonly AvroType[]): unknown {
  const inner = (of: AvroType, its: string) => exampleOf(of, its, nowMs, [...within, type]);
  switch (type.typeName) {
    case 'record': {
      const fields = (type as types.RecordType).fields.filter((field) => field.defaultValue() === undefined);
      return Object.fromEntries(fields.map((field) => [field.name, inner(field.type, field.name)]));
    }
    case 'union:unwrapped':
    case 'union:wrapped': {
      const { types } = type as types.UnwrappedUnionType;
      // Not one that holds itself, which would never end.
      const branch = types.find((each) => !within.includes(each)) ?? types[0]!;
      const value = inner(branch, name);
      return type.typeName === 'union:wrapped' && value !== null ? { [branch.branchName!]: value } : value;
    }
    case 'array':
      return [];
    case 'map':
      return {};
    case 'enum':
      return (type as types.EnumType).symbols[0];
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

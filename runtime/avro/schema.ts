/**
 * An Avro schema as a graph of nodes: references resolved, names qualified, aliases too. For checking and comparing
 * schemas, and for making what reads, writes and checks their values.
 */
import type { LogicalType } from './logical-type.ts';

/** An Avro schema as JSON. */
export type AvroSchema = string | readonly AvroSchema[] | { readonly [attribute: string]: unknown };

export const PRIMITIVES = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'] as const;
export type Primitive = (typeof PRIMITIVES)[number];

interface Node {
  /** Null where there is none; on unions always. */
  readonly logical: LogicalType | null;
}

interface NamedNode extends Node {
  /** With its namespace: `news.Pageview`. */
  readonly fullName: string;
  /** Full names that a reader's type also goes by. */
  readonly aliases: readonly string[];
  readonly doc: string | null;
}

export interface PrimitiveNode extends Node {
  readonly kind: Primitive;
}

export interface ArrayNode extends Node {
  readonly kind: 'array';
  readonly items: SchemaNode;
}

export interface MapNode extends Node {
  readonly kind: 'map';
  readonly values: SchemaNode;
}

export interface UnionNode extends Node {
  readonly kind: 'union';
  readonly branches: readonly SchemaNode[];
}

export interface FixedNode extends NamedNode {
  readonly kind: 'fixed';
  readonly size: number;
}

export interface EnumNode extends NamedNode {
  readonly kind: 'enum';
  readonly symbols: readonly string[];
  /** What a reader takes for a symbol that it does not have; null where there is none. */
  readonly default: string | null;
}

export interface RecordNode extends NamedNode {
  readonly kind: 'record';
  readonly fields: readonly FieldNode[];
}

export interface FieldNode {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly doc: string | null;
  readonly type: SchemaNode;
  /** Whether it holds personal data, by `"pii": true` on the field. */
  readonly pii: boolean;
  /** What a reader takes where the writer has no such field, as Avro's JSON; undefined where there is none. */
  readonly default: unknown;
}

export type SchemaNode = PrimitiveNode | ArrayNode | MapNode | UnionNode | FixedNode | EnumNode | RecordNode;

const PROMOTIONS: Partial<Record<SchemaNode['kind'], readonly SchemaNode['kind'][]>> = {
  int: ['long', 'float', 'double'],
  long: ['float', 'double'],
  float: ['double'],
  string: ['bytes'],
  bytes: ['string'],
};

/**
 * Whether a reader's type takes what a writer's other type wrote:
 * https://avro.apache.org/docs/1.12.0/specification/#schema-resolution (2026-11-24).
 */
export function isPromoted(from: SchemaNode['kind'], to: SchemaNode['kind']): boolean {
  return PROMOTIONS[from]?.includes(to) ?? false;
}

/** Whether the types' kinds let a reader's take what a writer's wrote. */
export function isKindReadable(from: SchemaNode, to: SchemaNode): boolean {
  return from.kind === to.kind || isPromoted(from.kind, to.kind);
}

/** Names match without their namespaces; an alias has to match whole. */
export function isNameReadable(from: SchemaNode, to: SchemaNode): boolean {
  if (!isNamed(from) || !isNamed(to)) return true;
  return unqualify(from.fullName) === unqualify(to.fullName) || to.aliases.includes(from.fullName);
}

/** The writer's fields that a reader's field goes by: one, or none, or several where its aliases are ambiguous. */
export function writtenAs(field: FieldNode, { fields }: RecordNode): readonly FieldNode[] {
  return fields.filter(({ name }) => name === field.name || field.aliases.includes(name));
}

/** The name without its namespace: what Avro compares between a writer's type and a reader's. */
export function unqualify(fullName: string): string {
  return fullName.slice(fullName.lastIndexOf('.') + 1);
}

export function isNamed(node: SchemaNode): node is FixedNode | EnumNode | RecordNode {
  return 'fullName' in node;
}

/** As a branch of a union is called: `string`, `array`, `news.Device`. */
export function branchName(node: SchemaNode): string {
  return isNamed(node) ? node.fullName : node.kind;
}

/** As in a message: `string`, `enum news.Device`. */
export function describeNode(node: SchemaNode): string {
  return isNamed(node) ? `${node.kind} ${node.fullName}` : node.kind;
}

/** `engagement` and `device` make `engagement.device`; `[]`, `{}` and `<string>` follow without a dot. */
export function joinPath(path: string, step: string): string {
  return path === '' || step === '' || /^[[{<]/.test(step) ? path + step : `${path}.${step}`;
}

import { didYouMean } from '../closest-name.ts';
import { findDefaultFault } from './default.ts';
import { findLogicalTypeFault, type LogicalType, readLogicalType } from './logical-type.ts';
import {
  type AvroSchema,
  type EnumNode,
  type FieldNode,
  type FixedNode,
  joinPath,
  PRIMITIVES,
  type Primitive,
  type RecordNode,
  type SchemaNode,
  unqualify,
} from './schema.ts';
import { findUnionFault } from './union.ts';

/** The rules that a schema keeps by itself; docs/contracts.md has them with examples. */
export type SchemaRule =
  | 'type-invalid'
  | 'type-unknown'
  | 'name-invalid'
  | 'name-duplicate'
  | 'alias-invalid'
  | 'symbols-invalid'
  | 'size-invalid'
  | 'union-invalid'
  | 'default-invalid'
  | 'order-invalid'
  | 'pii-invalid'
  | 'logical-type-invalid';

export interface SchemaProblem {
  readonly rule: SchemaRule;
  /** Where in the schema: `engagement.device`, `tags[]`, `scores{}`, `section<string>`; empty for the schema itself. */
  readonly path: string;
  /** What is wrong and what to do, without the schema's text. */
  readonly message: string;
}

export type ParsedSchema =
  | { readonly node: SchemaNode; readonly problems: readonly [] }
  | { readonly node: null; readonly problems: readonly SchemaProblem[] };

/**
 * Parses a schema, or says everything that is wrong with it; never throws. Stricter than the specification, where that
 * leaves values that no reader could be sure of: aliases that collide, branches of a union that promotion confuses.
 */
export function parseSchema(schema: AvroSchema): ParsedSchema {
  const parser = new SchemaParser();
  const node = parser.parse(schema, '', '');
  parser.finish();
  const { problems } = parser;
  return node && problems.length === 0 ? { node, problems: [] } : { node: null, problems };
}

/**
 * The shape of somebody else's schema: what it takes to read the bytes that were written with it. Null where that cannot
 * be known. Whatever else is wrong with it, its names, symbols, defaults, aliases or logical types, costs no record.
 */
export function parseShape(schema: AvroSchema): SchemaNode | null {
  const parser = new SchemaParser();
  const node = parser.parse(schema, '', '');
  return parser.hasShape ? node : null;
}

type Attributes = Readonly<Record<string, unknown>>;

const NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const COMPLEX = ['record', 'enum', 'fixed', 'array', 'map'];
const ORDERS = ['ascending', 'descending', 'ignore'];

class SchemaParser {
  readonly problems: SchemaProblem[] = [];
  /** Whether the bytes of a value can be told apart, whatever the problems. */
  hasShape = true;
  readonly #named = new Map<string, { readonly node: SchemaNode; readonly schema: Attributes }>();
  /** Names that were defined twice, and not alike. */
  readonly #ambiguous = new Set<string>();
  /** Names and aliases in use, each with where it stands. */
  readonly #taken = new Map<string, string>();
  /** What can be checked only once every record has its fields. */
  readonly #deferred: (() => void)[] = [];

  /** The node, or null where `problems` says why there is none. */
  parse(schema: unknown, namespace: string, path: string): SchemaNode | null {
    if (typeof schema === 'string') return this.#parseReference(schema, namespace, path);
    if (Array.isArray(schema)) return this.#parseUnion(schema, namespace, path);
    if (!isAttributes(schema)) {
      return this.#giveUp(
        'type-invalid',
        path,
        `The type is ${kindOf(schema)}. Write a type's name, an object or a list.`,
      );
    }
    const { type } = schema;
    const logical = readLogicalType(schema);
    if (typeof type !== 'string') {
      this.#refuse(
        'type-invalid',
        path,
        `The object's type is ${kindOf(type)}, where Avro takes a name. Write what is inside without the object around it.`,
      );
      if (Array.isArray(type) || isAttributes(type)) return this.parse(type, namespace, path);
      this.hasShape = false;
      return null;
    }
    if (isPrimitive(type)) return this.#checkLogical({ kind: type, logical }, path);
    switch (type) {
      case 'array':
        return this.#parseArray(schema, logical, namespace, path);
      case 'map':
        return this.#parseMap(schema, logical, namespace, path);
      case 'enum':
      case 'fixed':
      case 'record':
        return this.#parseNamed(type, schema, logical, namespace, path);
    }
    this.#refuse(
      'type-unknown',
      path,
      `There is no type ${show(type)}.${didYouMean(type, [...PRIMITIVES, ...COMPLEX]) || ` Use ${COMPLEX.join(', ')} or a primitive type; name a type that is already defined as plain text, without an object.`}`,
    );
    // What Java's parser makes of these.
    return type === 'error'
      ? this.#parseNamed('record', schema, logical, namespace, path)
      : this.#find(type, namespace);
  }

  /** To be called once the whole schema is parsed. */
  finish(): void {
    if (this.problems.length > 0) return;
    for (const check of this.#deferred) check();
  }

  #parseReference(name: string, namespace: string, path: string): SchemaNode | null {
    if (isPrimitive(name)) return { kind: name, logical: null };
    if (!this.#named.has(qualify(name, namespace))) {
      const what = COMPLEX.includes(name)
        ? `A type of ${name} is an object of its own: {"type": {"type": "${name}", …}}.`
        : `There is no type ${show(name)} here.${didYouMean(name, [...PRIMITIVES, ...this.#named.keys()]) || ' Define a type before you use it, and write out its namespace if that is another one.'}`;
      this.#refuse('type-unknown', path, what);
    }
    return this.#find(name, namespace);
  }

  /** The type that a name means in a namespace or, as Java's parser has it, outside of any. */
  #find(name: string, namespace: string): SchemaNode | null {
    const fullName = qualify(name, namespace);
    const key = this.#named.has(fullName) ? fullName : name;
    const { node = null } = this.#named.get(key) ?? {};
    this.hasShape &&= node !== null && !this.#ambiguous.has(key);
    return node;
  }

  #parseArray(
    schema: Attributes,
    logical: LogicalType | null,
    namespace: string,
    path: string,
  ): SchemaNode | null {
    const items = this.parse(schema.items, namespace, `${path}[]`);
    return items && this.#checkLogical({ kind: 'array', items, logical }, path);
  }

  #parseMap(
    schema: Attributes,
    logical: LogicalType | null,
    namespace: string,
    path: string,
  ): SchemaNode | null {
    const values = this.parse(schema.values, namespace, `${path}{}`);
    return values && this.#checkLogical({ kind: 'map', values, logical }, path);
  }

  #parseUnion(schema: readonly unknown[], namespace: string, path: string): SchemaNode | null {
    const branches = schema.map((part, index) =>
      this.parse(part, namespace, `${path}<${branchLabel(part, index)}>`),
    );
    if (!branches.every((branch) => branch !== null)) return null;
    const fault = findUnionFault(branches);
    if (fault) this.#refuse('union-invalid', path, fault);
    // It has no values.
    this.hasShape &&= branches.length > 0;
    return { kind: 'union', branches, logical: null };
  }

  #parseNamed(
    kind: 'enum' | 'fixed' | 'record',
    schema: Attributes,
    logical: LogicalType | null,
    outerNamespace: string,
    path: string,
  ): SchemaNode | null {
    const { name } = schema;
    const fullName = typeof name === 'string' ? qualify(name, namespaceOf(schema, outerNamespace)) : '';
    if (!fullName.split('.').every(isName) || isPrimitive(unqualify(fullName))) {
      const got =
        name === undefined
          ? `The ${kind} has no name`
          : `The ${kind}'s name is ${show(typeof name === 'string' ? fullName : name)}`;
      this.#refuse(
        'name-invalid',
        path,
        `${got}. Give it one of letters, digits and "_" that does not begin with a digit and is not a primitive type's.`,
      );
    }
    const namespace = fullName.slice(0, Math.max(0, fullName.lastIndexOf('.')));
    const aliases = this.#parseAliases(schema, path).map((alias) => qualify(alias, namespace));
    if (fullName !== '') this.#claim(fullName, 'name-duplicate', path);
    for (const alias of aliases) this.#claim(alias, 'alias-invalid', path);
    const common = { fullName, aliases, doc: textOf(schema.doc), logical };
    switch (kind) {
      case 'enum':
        return this.#define(this.#parseEnum(schema, common, path), schema, path);
      case 'fixed':
        return this.#define(this.#parseFixed(schema, common, path), schema, path);
      case 'record': {
        const fields: FieldNode[] = [];
        const record: RecordNode = { kind, ...common, fields };
        // Defined before its fields, which may refer to it.
        this.#define(record, schema, path);
        fields.push(...this.#parseFields(schema.fields, namespace, path));
        return record;
      }
    }
  }

  #parseEnum(schema: Attributes, common: Common, path: string): EnumNode {
    const symbols: unknown[] = Array.isArray(schema.symbols) ? schema.symbols : [];
    this.hasShape &&= Array.isArray(schema.symbols) && symbols.every((symbol) => typeof symbol === 'string');
    const bad = symbols.find((symbol, index) => !isName(symbol) || symbols.indexOf(symbol) !== index);
    if (symbols.length === 0 || bad !== undefined) {
      const got =
        symbols.length === 0
          ? 'The enum has no symbols'
          : `The symbol ${show(bad)} is not a name, or is there twice`;
      this.#refuse(
        'symbols-invalid',
        path,
        `${got}. List each symbol once, of letters, digits and "_", not beginning with a digit.`,
      );
    }
    const { default: otherwise = null } = schema;
    if (otherwise !== null && !symbols.includes(otherwise)) {
      this.#refuse(
        'default-invalid',
        path,
        `The enum's default ${show(otherwise)} is none of its symbols. Choose one of them.`,
      );
    }
    return { kind: 'enum', ...common, symbols: symbols as string[], default: otherwise as string | null };
  }

  #parseFixed(schema: Attributes, common: Common, path: string): FixedNode {
    const { size } = schema;
    if (!Number.isInteger(size) || (size as number) < 1) {
      this.#refuse(
        'size-invalid',
        path,
        `The fixed's size is ${show(size)}. Give it a whole number of bytes from 1.`,
      );
      this.hasShape &&= size === 0;
    }
    return { kind: 'fixed', ...common, size: size as number };
  }

  #parseFields(fields: unknown, namespace: string, path: string): FieldNode[] {
    if (!Array.isArray(fields)) {
      this.#giveUp('type-invalid', path, 'The record has no list of fields. Give it one; it may be empty.');
      return [];
    }
    const nodes: FieldNode[] = [];
    const taken = new Set<string>();
    for (const [index, field] of fields.entries()) {
      const node = this.#parseField(field, namespace, path, index);
      if (!node) continue;
      nodes.push(node);
      if (taken.has(node.name)) {
        this.#refuse(
          'name-duplicate',
          joinPath(path, node.name),
          'The record has the field twice. Remove one.',
        );
      }
      taken.add(node.name);
    }
    for (const { name, aliases } of nodes) {
      const clash = aliases.find((alias) => taken.has(alias));
      if (clash !== undefined) {
        this.#refuse(
          'alias-invalid',
          joinPath(path, name),
          `The alias ${show(clash)} is already the name or the alias of a field here, so readers cannot tell which one is meant. Remove it.`,
        );
      }
      for (const alias of aliases) taken.add(alias);
    }
    return nodes;
  }

  #parseField(field: unknown, namespace: string, recordPath: string, index: number): FieldNode | null {
    const name = isAttributes(field) ? field.name : undefined;
    if (!isName(name) || name === '__proto__') {
      this.#refuse(
        'name-invalid',
        joinPath(recordPath, `fields[${index}]`),
        `The field's name is ${show(name)}. Give it one of letters, digits and "_" that does not begin with a digit (nor is __proto__, which JavaScript keeps for itself).`,
      );
    }
    if (!isAttributes(field) || typeof name !== 'string') {
      this.hasShape = false;
      return null;
    }
    const path = joinPath(recordPath, name);
    if ('logicalType' in field) {
      this.#refuse(
        'logical-type-invalid',
        path,
        'logicalType is on the field, where Avro ignores it. Put it into the type: "type": {"type": …, "logicalType": …}.',
      );
    }
    if (field.order !== undefined && !ORDERS.includes(field.order as string)) {
      this.#refuse(
        'order-invalid',
        path,
        `The field's order is ${show(field.order)}. It takes ${ORDERS.join(', ')}.`,
      );
    }
    if (field.pii !== undefined && typeof field.pii !== 'boolean') {
      this.#refuse('pii-invalid', path, `The field's pii is ${show(field.pii)}. Write true or false.`);
    }
    const aliases = this.#parseAliases(field, path);
    const type = this.parse(field.type, namespace, path);
    if (!type) return null;
    // Somebody else's schema may say it in another way: what is not a clear no is masked.
    const pii = field.pii !== undefined && field.pii !== false;
    const node: FieldNode = { name, aliases, doc: textOf(field.doc), type, pii, default: field.default };
    if (field.default !== undefined) {
      this.#deferred.push(() => {
        const fault = findDefaultFault(type, field.default, [node]);
        if (fault) this.#refuse('default-invalid', path, `The default does not fit: ${fault}.`);
      });
    }
    return node;
  }

  #parseAliases({ aliases = [] }: Attributes, path: string): readonly string[] {
    if (
      Array.isArray(aliases) &&
      aliases.every((alias) => typeof alias === 'string' && alias.split('.').every(isName))
    ) {
      return aliases;
    }
    this.#refuse('alias-invalid', path, 'The aliases are not a list of names. Write each as a name.');
    return [];
  }

  #define<Named extends SchemaNode & Common>(node: Named, schema: Attributes, path: string): Named {
    const earlier = this.#named.get(node.fullName)?.schema;
    if (earlier && JSON.stringify(earlier) !== JSON.stringify(schema)) this.#ambiguous.add(node.fullName);
    this.#named.set(node.fullName, { node, schema });
    this.#checkLogical(node, path);
    return node;
  }

  #claim(name: string, rule: SchemaRule, path: string): void {
    const holder = this.#taken.get(name);
    if (holder === undefined) this.#taken.set(name, path);
    else
      this.#refuse(
        rule,
        path,
        `The name ${name} is taken by the type at ${holder || 'the top'}. To use a type again write its name; a type of its own needs a name of its own.`,
      );
  }

  #checkLogical(node: SchemaNode, path: string): SchemaNode {
    const fault = node.logical && findLogicalTypeFault(node.logical, node);
    if (fault) this.#refuse('logical-type-invalid', path, fault);
    return node;
  }

  #refuse(rule: SchemaRule, path: string, message: string): void {
    this.problems.push({ rule, path, message });
  }

  /** Where not even the shape can be known. */
  #giveUp(rule: SchemaRule, path: string, message: string): null {
    this.hasShape = false;
    this.#refuse(rule, path, message);
    return null;
  }
}

interface Common {
  readonly fullName: string;
  readonly aliases: readonly string[];
  readonly doc: string | null;
  readonly logical: LogicalType | null;
}

/** How a branch that is not parsed yet is called in a path. */
function branchLabel(branch: unknown, index: number): string {
  const name = isAttributes(branch) ? (branch.name ?? branch.type) : branch;
  return typeof name === 'string' ? name : `${index}`;
}

function qualify(name: string, namespace: string): string {
  return name.includes('.') || namespace === '' ? name : `${namespace}.${name}`;
}

function namespaceOf({ namespace }: Attributes, outer: string): string {
  return typeof namespace === 'string' ? namespace : outer;
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && NAME.test(value);
}

function isPrimitive(name: string): name is Primitive {
  return (PRIMITIVES as readonly string[]).includes(name);
}

function isAttributes(value: unknown): value is Attributes {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function show(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value.slice(0, 100)) : kindOf(value);
}

function kindOf(value: unknown): string {
  if (value === undefined) return 'missing';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}

/**
 * From a topic's schemas to the text of its `schema.ts`: the newest version's types, and every version's file (Node cannot
 * import one) as it is. The text is laid out as biome would, so that formatting never makes it stale.
 */
import { type LogicalType, meaningOf } from '../avro/logical-type.ts';
import {
  branchName,
  type EnumNode,
  type FieldNode,
  type RecordNode,
  type SchemaNode,
  unqualify,
} from '../avro/schema.ts';
import { parseSchema } from '../avro/schema-parser.ts';
import { isWrapped } from '../avro/value.ts';
import { MillraceError } from '../errors.ts';
import { type ContractVersion, definitionOf } from './contract.ts';

/** The width that biome.json sets. */
const LINE_WIDTH = 110;

/**
 * The text of `contracts/<topic>/schema.ts`, the same for the same versions. Its types are what handlers get and
 * publishers give; docs/contracts.md has the table. A field with a default is not optional: "The presence of a default value
 * does not make the field optional at encoding time",
 * https://avro.apache.org/docs/1.12.0/specification/#schema-record (2026-11-24).
 * @throws CONTRACT_INVALID when there is no version, or the newest one does not parse
 */
export function generateSchemaModule(topic: string, versions: readonly ContractVersion[]): string {
  const latest = versions.at(-1);
  const root = latest && parseSchema(latest.schema).node;
  if (!root) {
    const what = latest ? `v${latest.version}.avsc does not parse` : 'there is no version';
    throw new MillraceError(
      'CONTRACT_INVALID',
      `Contract ${topic}: ${what}, so there is nothing to generate. Run \`millrace contracts check\`.`,
      { details: { topic } },
    );
  }
  const declared = declaredNodesOf(root);
  const names = nameTypes(declared);
  const files = versions.map(({ version }) => `v${version}.avsc`).join(', ');
  return [
    `// Generated from ${files} by \`millrace contracts generate\`. Do not edit.`,
    "import type { ContractVersion } from 'millrace';",
    '',
    ...declared.map((node) => declare(node, names)),
    '/** Every version, oldest first: its schema, and the text of its file. */',
    'export const versions = [',
    ...versions.map((version) => `  ${printTemplate(definitionOf(version))},`),
    '].map(',
    '  (definition, index): ContractVersion => ({',
    '    version: index + 1,',
    '    schema: JSON.parse(definition),',
    '    definition,',
    '  }),',
    ');',
    '',
  ].join('\n');
}

type DeclaredNode = RecordNode | EnumNode;
type TypeNames = ReadonlyMap<SchemaNode, string>;

/** The types to declare, the outermost first. A fixed needs none: it is a Buffer. */
function declaredNodesOf(root: SchemaNode): readonly DeclaredNode[] {
  const found = new Set<DeclaredNode>();
  const visit = (node: SchemaNode): void => {
    if (node.kind === 'array') visit(node.items);
    else if (node.kind === 'map') visit(node.values);
    else if (node.kind === 'union') node.branches.forEach(visit);
    else if (node.kind === 'enum') found.add(node);
    else if (node.kind === 'record' && !found.has(node)) {
      found.add(node);
      for (const { type } of node.fields) visit(type);
    }
  };
  visit(root);
  return [...found];
}

/** Names without the namespace where that is enough to tell them apart. */
function nameTypes(declared: readonly DeclaredNode[]): TypeNames {
  const taken = new Set(['Buffer', 'ContractVersion']);
  const names = new Map<SchemaNode, string>();
  for (const node of declared) {
    const short = pascalCase(unqualify(node.fullName));
    let name = taken.has(short) ? pascalCase(node.fullName) : short;
    while (taken.has(name)) name += '_';
    taken.add(name);
    names.set(node, name);
  }
  return names;
}

function declare(node: DeclaredNode, names: TypeNames): string {
  const name = names.get(node)!;
  const doc = comment([node.doc], '');
  if (node.kind === 'enum') {
    return (
      doc +
      assign(
        `export type ${name} =`,
        node.symbols.map((symbol) => `'${symbol}'`),
        '',
      )
    );
  }
  if (node.fields.length === 0) return `${doc}export type ${name} = { readonly [field: string]: never };\n`;
  return `${doc}export interface ${name} {\n${node.fields.map((field) => declareField(field, names)).join('')}}\n`;
}

function declareField({ name, doc, type, pii }: FieldNode, names: TypeNames): string {
  const logical = logicalTypeIn(type);
  const meaning = logical && meaningOf(logical);
  const privacy = pii ? 'Personal data ("pii": true): masked wherever a person sees values.' : null;
  return (
    comment([doc, meaning, privacy], '  ') + assign(`  readonly ${name}:`, alternativesOf(type, names), '  ')
  );
}

/** A union of types after its head: on the head's line where it fits, else one alternative a line. */
function assign(head: string, alternatives: readonly string[], indent: string): string {
  const line = `${head} ${alternatives.join(' | ')};`;
  if (alternatives.length === 1 || line.length <= LINE_WIDTH) return `${line}\n`;
  return `${head}\n${alternatives.map((alternative) => `${indent}  | ${alternative}`).join('\n')};\n`;
}

/** How values of the type stand in TypeScript. */
function typeText(node: SchemaNode, names: TypeNames): string {
  switch (node.kind) {
    case 'null':
    case 'boolean':
    case 'string':
      return node.kind;
    case 'int':
    case 'long':
    case 'float':
    case 'double':
      return 'number';
    case 'bytes':
    case 'fixed':
      return 'Buffer';
    case 'array': {
      const items = alternativesOf(node.items, names);
      const isSimple = items.length === 1 && node.items.kind !== 'array';
      return `readonly ${isSimple ? items[0] : `(${items.join(' | ')})`}[]`;
    }
    case 'map':
      return `{ readonly [key: string]: ${typeText(node.values, names)} }`;
    case 'union':
      return alternativesOf(node, names).join(' | ');
    case 'enum':
    case 'record':
      return names.get(node)!;
  }
}

function alternativesOf(node: SchemaNode, names: TypeNames): readonly string[] {
  if (node.kind !== 'union') return [typeText(node, names)];
  const isByName = isWrapped(node);
  return [...node.branches]
    .sort((a, b) => Number(a.kind === 'null') - Number(b.kind === 'null'))
    .map((branch) => {
      const text = typeText(branch, names);
      return isByName && branch.kind !== 'null'
        ? `{ readonly ${propertyName(branchName(branch))}: ${text} }`
        : text;
    });
}

/** The logical type of a field's own values, or of its items'. */
function logicalTypeIn(node: SchemaNode): LogicalType | null {
  if (node.kind === 'array') return node.logical ?? logicalTypeIn(node.items);
  if (node.kind === 'map') return node.logical ?? logicalTypeIn(node.values);
  if (node.kind !== 'union') return node.logical;
  for (const branch of node.branches) {
    const logical = logicalTypeIn(branch);
    if (logical) return logical;
  }
  return null;
}

function comment(sentences: readonly (string | null)[], indent: string): string {
  const text = sentences
    .filter((sentence) => sentence?.trim())
    .join(' ')
    .replaceAll('*/', '*\\/');
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  if (text === '') return '';
  if (lines.length === 1) return `${indent}/** ${lines[0]} */\n`;
  return `${indent}/**\n${lines.map((line) => `${indent} * ${line}`.trimEnd()).join('\n')}\n${indent} */\n`;
}

function propertyName(name: string): string {
  return name.includes('.') ? `'${name}'` : name;
}

/** A type's name; what Avro's name makes no identifier of gets its underscore back: `_2fa`, `__`. */
function pascalCase(name: string): string {
  const words = name.split(/[._]/).map((word) => word.charAt(0).toUpperCase() + word.slice(1));
  const joined = words.join('');
  return /^[A-Z]/.test(joined) ? joined : `_${joined}`;
}

/** The text as a template literal, whose value is the text to the character. */
function printTemplate(text: string): string {
  // A literal's own line ends are always \n.
  return `\`${text.replaceAll(/[`\\]|\$\{/g, '\\$&').replaceAll('\r', '\\r')}\``;
}

/**
 * Can data that one version wrote be read with another? By Avro's schema resolution,
 * https://avro.apache.org/docs/1.12.0/specification/#schema-resolution (2026-11-24), and stricter in one thing: a
 * logical type is part of the type, because a reader that takes microseconds for milliseconds gets no error.
 */
import { describeLogicalType, isSameLogicalType } from './logical-type.ts';
import {
  branchName,
  describeNode,
  type EnumNode,
  type FieldNode,
  isKindReadable,
  isNameReadable,
  joinPath,
  type RecordNode,
  type SchemaNode,
  writtenAs,
} from './schema.ts';

/** The rules between a writer and a reader; docs/contracts.md has them with examples. */
export type CompatibilityRule =
  | 'type-changed'
  | 'name-changed'
  | 'logical-type-changed'
  | 'field-without-default'
  | 'field-ambiguous'
  | 'symbol-missing'
  | 'size-changed'
  | 'branch-missing';

export interface Incompatibility {
  readonly rule: CompatibilityRule;
  /** Where in the reader's schema: `engagement.device`, `tags[]`, `scores{}`, `section<string>`; empty for the top. */
  readonly path: string;
  /** What does not fit, and what to do about it in the newer version. */
  readonly message: string;
}

/** A version's schema, as `parseSchema` gives it. The greater number is the newer one, which can still change. */
export interface SchemaVersion {
  readonly version: number;
  readonly node: SchemaNode;
}

/**
 * Everything that keeps `reader` from reading what `writer` wrote; empty when it reads all of it. A record that is
 * used twice is compared once, where it is met first. Pure; ends for recursive schemas too.
 */
export function findIncompatibilities(
  writer: SchemaVersion,
  reader: SchemaVersion,
): readonly Incompatibility[] {
  const isReaderNewer = reader.version > writer.version;
  const comparison = new Comparison({
    writer: `v${writer.version}`,
    reader: `v${reader.version}`,
    newer: `v${isReaderNewer ? reader.version : writer.version}`,
    isReaderNewer,
  });
  comparison.compare(writer.node, reader.node, '');
  return comparison.found;
}

/** What the versions are called in messages. */
interface Sides {
  readonly writer: string;
  readonly reader: string;
  readonly newer: string;
  readonly isReaderNewer: boolean;
}

/**
 * One walk finds everything, because `parseSchema` leaves a writer's type at most one branch of a reader's union to go
 * to: names in a union are distinct, and no branch is promoted to an earlier one. So a pair of records that is being
 * compared already, as recursive ones are, has nothing to add, and no pair is only tried.
 */
class Comparison {
  readonly found: Incompatibility[] = [];
  readonly #sides: Sides;
  readonly #compared = new Map<RecordNode, Set<RecordNode>>();

  constructor(sides: Sides) {
    this.#sides = sides;
  }

  compare(from: SchemaNode, to: SchemaNode, path: string): void {
    if (from.kind === 'union') {
      for (const branch of from.branches) this.#compareBranch(branch, to, path);
    } else if (to.kind === 'union') {
      this.#compareBranch(from, to, path);
    } else if (!isKindReadable(from, to)) {
      this.#report('type-changed', path, typeChanged(from, to, this.#sides));
    } else if (!isNameReadable(from, to)) {
      this.#report('name-changed', path, nameChanged(from, to, this.#sides));
    } else {
      this.#compareInside(from, to, path);
    }
  }

  /** One type that the writer may write, against the first of the reader's branches that takes it. */
  #compareBranch(from: SchemaNode, to: SchemaNode, path: string): void {
    const branchPath = joinPath(path, `<${branchName(from)}>`);
    const readers = to.kind === 'union' ? to.branches : [to];
    const taker = readers.find((reader) => isKindReadable(from, reader) && isNameReadable(from, reader));
    if (taker) this.#compareInside(from, taker, branchPath);
    else this.#report('branch-missing', branchPath, branchMissing(from, readers, this.#sides));
  }

  #compareInside(from: SchemaNode, to: SchemaNode, path: string): void {
    if (!isSameLogicalType(from.logical, to.logical)) {
      this.#report('logical-type-changed', path, logicalTypeChanged(from, to, this.#sides));
    }
    if (from.kind === 'array' && to.kind === 'array')
      this.compare(from.items, to.items, joinPath(path, '[]'));
    if (from.kind === 'map' && to.kind === 'map') this.compare(from.values, to.values, joinPath(path, '{}'));
    if (from.kind === 'fixed' && to.kind === 'fixed' && from.size !== to.size) {
      this.#report('size-changed', path, sizeChanged(from.size, to.size, this.#sides));
    }
    if (from.kind === 'enum' && to.kind === 'enum') this.#compareSymbols(from, to, path);
    if (from.kind === 'record' && to.kind === 'record') this.#compareFields(from, to, path);
  }

  #compareSymbols(from: EnumNode, to: EnumNode, path: string): void {
    const missing = from.symbols.filter((symbol) => !to.symbols.includes(symbol));
    if (missing.length === 0 || to.default !== null) return;
    this.#report('symbol-missing', path, symbolMissing(missing, to, this.#sides));
  }

  #compareFields(from: RecordNode, to: RecordNode, path: string): void {
    const compared = this.#compared.get(from) ?? new Set();
    if (compared.has(to)) return;
    this.#compared.set(from, compared.add(to));
    for (const field of to.fields) {
      const fieldPath = joinPath(path, field.name);
      const written = writtenAs(field, from);
      if (written.length > 1)
        this.#report('field-ambiguous', fieldPath, fieldAmbiguous(written, this.#sides));
      else if (written[0]) this.compare(written[0].type, field.type, fieldPath);
      else if (field.default === undefined) {
        this.#report('field-without-default', fieldPath, fieldWithoutDefault(this.#sides));
      }
    }
  }

  #report(rule: CompatibilityRule, path: string, message: string): void {
    this.found.push({ rule, path, message });
  }
}

function typeChanged(
  from: SchemaNode,
  to: SchemaNode,
  { writer, reader, newer, isReaderNewer }: Sides,
): string {
  const old = describeNode(isReaderNewer ? from : to);
  return `${writer} writes ${describeNode(from)} and ${reader} reads ${describeNode(to)}, to which Avro does not promote it. Keep ${old} in ${newer}, or add a new field for the new type.`;
}

function nameChanged(
  from: SchemaNode,
  to: SchemaNode,
  { writer, reader, newer, isReaderNewer }: Sides,
): string {
  const what = `The ${from.kind} is called ${branchName(from)} in ${writer} and ${branchName(to)} in ${reader}. Give it its old name in ${newer}`;
  if (!isReaderNewer) return `${what}: ${reader} cannot know a later one.`;
  // An alias without a dot is in its own type's namespace: from there no name without a namespace can be reached.
  const canAlias = branchName(from).includes('.') || !branchName(to).includes('.');
  return canAlias ? `${what}, or list "${branchName(from)}" in its aliases.` : `${what}.`;
}

function logicalTypeChanged(
  from: SchemaNode,
  to: SchemaNode,
  { writer, reader, newer, isReaderNewer }: Sides,
): string {
  const [written, read] = [describeLogicalType(from.logical), describeLogicalType(to.logical)];
  return `${writer} writes ${from.kind} with ${written} and ${reader} reads ${to.kind} with ${read}: no error, but another meaning. Keep ${isReaderNewer ? written : read} in ${newer}, or add a new field for the new meaning.`;
}

function fieldWithoutDefault({ writer, reader, newer, isReaderNewer }: Sides): string {
  const what = `${reader} needs this field and has no default for it, and ${writer} does not write it.`;
  return isReaderNewer
    ? `${what} Give it a default in ${newer}; if it is an old field under a new name, list the old name in its aliases.`
    : `${what} Keep it, under this name, in ${newer}.`;
}

function fieldAmbiguous(
  written: readonly FieldNode[],
  { writer, reader, newer, isReaderNewer }: Sides,
): string {
  const names = written.map(({ name }) => name).join(', ');
  return `In ${writer} the fields ${names} all go by this field's name and aliases in ${reader}. ${isReaderNewer ? 'Remove aliases from' : 'Rename all but one in'} ${newer}.`;
}

function symbolMissing(
  missing: readonly string[],
  to: EnumNode,
  { writer, reader, newer, isReaderNewer }: Sides,
): string {
  const what = `${writer} can write ${missing.join(', ')}, which ${reader} does not have, and enum ${to.fullName} has no default in ${reader}.`;
  return isReaderNewer
    ? `${what} Put the symbols back in ${newer}, or give the enum a default there.`
    : `${what} Remove the symbols from ${newer}: an enum can grow only where the older version has a default.`;
}

function sizeChanged(from: number, to: number, { writer, reader, newer, isReaderNewer }: Sides): string {
  return `${writer} writes ${from} bytes and ${reader} reads ${to}. Keep ${isReaderNewer ? from : to} in ${newer}, or add a new field for the new size.`;
}

function branchMissing(
  from: SchemaNode,
  readers: readonly SchemaNode[],
  { writer, reader, newer, isReaderNewer }: Sides,
): string {
  const what = `${writer} can write ${describeNode(from)} here, and ${reader} takes only ${readers.map(describeNode).join(', ')}.`;
  return isReaderNewer
    ? `${what} Let ${newer} take it too, as a branch of a union.`
    : `${what} Remove it from ${newer}, or add a new field that may hold it.`;
}

import { type CompatibilityRule, findIncompatibilities, type SchemaVersion } from '../avro/compatibility.ts';
import { describeNode, type FieldNode, type RecordNode } from '../avro/schema.ts';
import { parseSchema, type SchemaRule } from '../avro/schema-parser.ts';
import type { CompatibilityMode, Contract, ContractVersion } from './contract.ts';

export type ContractRule =
  | SchemaRule
  | CompatibilityRule
  | 'value-not-record'
  | 'key-missing'
  | 'key-unstable'
  | 'identity-missing'
  | 'identity-not-text'
  | 'identity-defaulted';

/** One thing wrong with a contract, as plain data: for text and for `--json`. */
export interface ContractProblem<Rule extends string = ContractRule> {
  readonly topic: string;
  readonly code: 'CONTRACT_INVALID' | 'CONTRACT_INCOMPATIBLE' | 'CONTRACT_STALE';
  readonly rule: Rule;
  /** The versions it is about; of an incompatibility the writer's, then the reader's. */
  readonly versions: readonly number[];
  /** Where in the schema: `engagement.device`, `tags[]`, `scores{}`, `section<string>`; empty for the whole. */
  readonly path: string;
  /** What is wrong, and what to do. Names, never values or a schema's text. */
  readonly message: string;
}

/** The part of a contract that its check looks at. */
export type CheckedContract = Pick<Contract<never>, 'name' | 'versions' | 'compatibility'> & {
  readonly key: string;
  readonly identity?: string | undefined;
};

/**
 * Everything wrong with a contract's schemas; empty when each version is a record that Avro takes, every
 * version holds the key as one stable text, the newest holds the identity, if there is one, and the versions keep the
 * declared compatibility mode. Needs no network and never throws. Versions that do not parse are left out of the comparison.
 */
export function checkContract(contract: CheckedContract): readonly ContractProblem[] {
  const checked = contract.versions.map((version) => checkVersion(contract, version));
  const nodes = new Map(checked.flatMap(({ schema }) => (schema ? [[schema.version, schema]] : [])));
  const compatibility = pairsToCheck(contract.compatibility, contract.versions.length).flatMap(
    ([writerVersion, readerVersion]) => {
      const [writer, reader] = [nodes.get(writerVersion), nodes.get(readerVersion)];
      return writer && reader ? checkPair(contract.name, writer, reader) : [];
    },
  );
  return [
    ...checked.flatMap(({ problems }) => problems),
    ...checkIdentity(contract, [...nodes.values()]),
    ...compatibility,
  ];
}

/**
 * The [writer, reader] versions that a mode holds together. BACKWARD: the new version reads what the old one wrote;
 * FORWARD: the old one reads what the new one writes; FULL: both. With the version before, or with all of them.
 */
function pairsToCheck(mode: CompatibilityMode, versions: number): readonly (readonly [number, number])[] {
  const pairs: (readonly [number, number])[] = [];
  for (let newer = 2; newer <= versions; newer++) {
    for (let older = mode.endsWith('_TRANSITIVE') ? 1 : newer - 1; older < newer; older++) {
      if (/^(BACKWARD|FULL)/.test(mode)) pairs.push([older, newer]);
      if (/^(FORWARD|FULL)/.test(mode)) pairs.push([newer, older]);
    }
  }
  return pairs;
}

function checkPair(topic: string, writer: SchemaVersion, reader: SchemaVersion): readonly ContractProblem[] {
  return findIncompatibilities(writer, reader).map((found) => ({
    topic,
    code: 'CONTRACT_INCOMPATIBLE',
    rule: found.rule,
    versions: [writer.version, reader.version],
    path: found.path,
    message: found.message,
  }));
}

interface CheckedVersion {
  /** Null where the schema does not parse. */
  readonly schema: SchemaVersion | null;
  readonly problems: readonly ContractProblem[];
}

function checkVersion(
  { name: topic, key }: CheckedContract,
  { version, schema }: ContractVersion,
): CheckedVersion {
  const problem = (rule: ContractRule, path: string, message: string): ContractProblem => ({
    topic,
    code: 'CONTRACT_INVALID',
    rule,
    versions: [version],
    path,
    message,
  });
  const { node, problems } = parseSchema(schema);
  if (!node) {
    return {
      schema: null,
      problems: problems.map(({ rule, path, message }) => problem(rule, path, message)),
    };
  }
  if (node.kind !== 'record') {
    const message = `The value is ${describeNode(node)}; a topic's values are records, so that fields can be added. Put it into a record's field.`;
    return { schema: null, problems: [problem('value-not-record', '', message)] };
  }
  const fault = findKeyFault(node, key);
  return {
    schema: { version, node },
    problems: fault ? [problem(fault.rule, key, fault.message)] : [],
  };
}

/** Consumers read every record as the newest version, so that is the one that counts. */
function checkIdentity(
  { name: topic, identity, versions }: CheckedContract,
  schemas: readonly SchemaVersion[],
): readonly ContractProblem[] {
  const newest = schemas.find(({ version }) => version === versions.length);
  if (identity === undefined || newest?.node.kind !== 'record') return [];
  const problem = (rule: ContractRule, message: string): readonly ContractProblem[] => [
    { topic, code: 'CONTRACT_INVALID', rule, versions: [newest.version], path: identity, message },
  ];
  const field = newest.node.fields.find(({ name }) => name === identity);
  if (!field) {
    return problem(
      'identity-missing',
      `The contract's identity is ${identity}, and the newest version has no such field. Add the field, or name another in the contract's identity.`,
    );
  }
  const kinds = field.type.kind === 'union' ? field.type.branches.map(({ kind }) => kind) : [field.type.kind];
  if (!kinds.includes('string') || kinds.some((kind) => kind !== 'string' && kind !== 'null')) {
    return problem(
      'identity-not-text',
      `The identity ${identity} is ${describeNode(field.type)}: ids are compared as text. Make it a string, or a string that may be null, or name another field.`,
    );
  }
  if (typeof field.default === 'string' && field.default !== '') {
    return problem(
      'identity-defaulted',
      `The identity ${identity} has a default, so all events written without it would have one id, and all but one would be dropped. Remove the default, or make it null.`,
    );
  }
  return [];
}

function findKeyFault(
  record: RecordNode,
  key: string,
): { readonly rule: ContractRule; readonly message: string } | null {
  const field = record.fields.find(({ name }) => name === key);
  if (!field) {
    return {
      rule: 'key-missing',
      message: `The contract's key is ${key}, and this version has no such field: its records would have no key. Add the field, or name another in the contract's key.`,
    };
  }
  const reason = whyUnstable(field);
  if (!reason) return null;
  return {
    rule: 'key-unstable',
    message: `The key ${key} is ${describeNode(field.type)}: ${reason}. Make it a string, int, long or enum that is never null, or key by another field.`,
  };
}

/** The same value must give the same text for ever, or one thing's records land in different partitions. */
function whyUnstable({ type }: FieldNode): string | null {
  switch (type.kind) {
    case 'string':
    case 'int':
    case 'long':
    case 'enum':
      return null;
    case 'null':
      return 'there is no key in it';
    case 'union':
      return 'it may be null or of several types, and a record without a key lands in any partition';
    case 'boolean':
      return 'two values would fill two partitions and leave the others empty';
    case 'float':
    case 'double':
      return 'equal numbers are written differently by different languages';
    case 'bytes':
    case 'fixed':
      return 'bytes are not text, and changing them into text loses some';
    case 'array':
    case 'map':
    case 'record':
      return 'it has no one text form';
  }
}

import type { AvroSchema } from '../avro/schema.ts';
import { MillraceError } from '../errors.ts';

export const COMPATIBILITY_MODES = [
  'BACKWARD',
  'BACKWARD_TRANSITIVE',
  'FORWARD',
  'FORWARD_TRANSITIVE',
  'FULL',
  'FULL_TRANSITIVE',
  'NONE',
] as const;
export type CompatibilityMode = (typeof COMPATIBILITY_MODES)[number];

/** Glue's names for the same modes: https://docs.aws.amazon.com/glue/latest/dg/schema-registry.html (2026-11-24) */
export const GLUE_COMPATIBILITY = {
  BACKWARD: 'BACKWARD',
  BACKWARD_TRANSITIVE: 'BACKWARD_ALL',
  FORWARD: 'FORWARD',
  FORWARD_TRANSITIVE: 'FORWARD_ALL',
  FULL: 'FULL',
  FULL_TRANSITIVE: 'FULL_ALL',
  NONE: 'NONE',
} as const satisfies Readonly<Record<CompatibilityMode, string>>;

export interface ContractVersion {
  readonly version: number;
  readonly schema: AvroSchema;
  /**
   * The .avsc file's own text, which registries are given. To others 0.0 and 0 are two defaults; to JSON.parse they are
   * one. @default what JSON.stringify makes of the schema
   */
  readonly definition?: string;
}

/** The text that registries are given for a version. */
export function definitionOf({ schema, definition }: ContractVersion): string {
  return definition ?? JSON.stringify(schema);
}

/** The same without the blanks between its tokens, for places where space is short. */
export function compactDefinitionOf(version: ContractVersion): string {
  return definitionOf(version).replaceAll(/("(?:[^"\\]|\\.)*")|\s+/g, '$1');
}

/**
 * The texts under which a registry may know a version: what it is given, the compact form that a deployment registers, and
 * what JSON.stringify makes of the schema, as Millrace registered versions before they had a text.
 */
export function definitionsOf(version: ContractVersion): readonly string[] {
  const texts = [definitionOf(version), compactDefinitionOf(version), JSON.stringify(version.schema)];
  return [...new Set(texts)];
}

interface TopicDeclaration<Value> {
  /** The topic's name: letters, digits, `.`, `_` and `-`, 249 at most (Kafka's own rule). */
  readonly name: string;
  /** Who answers for the topic: a team's name or address. */
  readonly owner: string;
  /** The field of the value that becomes the record's key, as UTF-8 text. It decides what stays in order. */
  readonly key: keyof Value & string;
  /**
   * The field of the value that tells one event from every other, whoever sends it and however often: a string that the
   * producer makes once an event. Consumers with `once` apply an event with it once. @default none
   */
  readonly identity?: keyof Value & string;
  /** Every version that was ever published, oldest first, numbered 1, 2, 3 … The last one is written. */
  readonly versions: readonly ContractVersion[];
  /** What a new version may change. @default 'FULL_TRANSITIVE': producers and consumers deploy in any order */
  readonly compatibility?: CompatibilityMode;
  /** @default 12: divides evenly among 1, 2, 3, 4, 6 and 12 pollers */
  readonly partitions?: number;
  /** @default seven days, Kafka's own */
  readonly retentionMs?: number;
  /** `compact` keeps the newest record of a key; a null value (a tombstone) then removes it. @default 'delete' */
  readonly cleanup?: 'delete' | 'compact';
  /**
   * `sparse` says that offsets may be missing for good (compacted, transactional or filtered topics), so that a
   * gap is no sign of a skipped batch. @default 'contiguous', 'sparse' where cleanup is 'compact'
   */
  readonly offsets?: 'contiguous' | 'sparse';
  /** How the schema id stands before the Avro body. @default 'glue' */
  readonly framing?: 'glue' | 'confluent';
  /** Compression of the Avro body; only Glue's framing has one. @default 'none': brokers compress whole batches */
  readonly compression?: 'none' | 'zlib';
  /**
   * The most bytes that a value may have as Avro, inflated; up to 64 MiB. A larger one is refused at publish and a dead
   * letter at the consumer. @default 1 MiB, Kafka's own limit of a record
   */
  readonly maxBodyBytes?: number;
}

/** What a topic promises. `Value` is the newest version's type. Made by `defineTopic`, never by hand. */
export interface Contract<Value = unknown> extends Required<Omit<TopicDeclaration<Value>, 'identity'>> {
  readonly identity?: keyof Value & string;
  readonly format: 'avro';
  /** The version that producers write and consumers read: the last one. */
  readonly latest: ContractVersion;
}

/** A topic whose values are JSON, written by somebody else's software: a captured table's. It has no schema of ours. */
export interface JsonTopic<Value = unknown>
  extends Pick<
    Contract<Value>,
    'name' | 'owner' | 'partitions' | 'retentionMs' | 'cleanup' | 'offsets' | 'maxBodyBytes'
  > {
  readonly format: 'json';
  /** None: nothing tells which of its fields are personal, so that tools hide them all. */
  readonly versions: readonly [];
  readonly key: string;
}

/** What a consumer can read. */
export type Topic<Value = unknown> = Contract<Value> | JsonTopic<Value>;

/** Those of the topics that have schemas of ours. */
export function contractsAmong(topics: readonly Topic<never>[]): readonly Contract<never>[] {
  return topics.filter((topic) => topic.format === 'avro');
}

/**
 * The most that a compressed body may inflate to, where its contract does not say: what Kafka lets a record have by
 * default. A byte of Avro can become an object of forty bytes, so that this is what keeps a crafted record from
 * exhausting a function's memory.
 */
export const MAX_BODY_BYTES = 1024 * 1024;

const TOPIC_NAME = /^[a-zA-Z0-9._-]{1,249}$/;

/**
 * Declares a topic's contract. Checks the declaration itself; `checkContract` checks the schemas.
 * @throws CONTRACT_INVALID when a field is not allowed, naming the field, what it got and what it takes
 */
export function defineTopic<Value>(declaration: TopicDeclaration<Value>): Contract<Value> {
  const { name, versions } = declaration;
  const cleanup = declaration.cleanup ?? 'delete';
  const contract = {
    format: 'avro' as const,
    compatibility: 'FULL_TRANSITIVE' as const,
    partitions: 12,
    retentionMs: 7 * 24 * 60 * 60 * 1000,
    cleanup,
    offsets: cleanup === 'compact' ? ('sparse' as const) : ('contiguous' as const),
    framing: 'glue' as const,
    compression: 'none' as const,
    maxBodyBytes: MAX_BODY_BYTES,
    ...declaration,
  };
  const refuse = (field: string, got: unknown, allowed: string): never => {
    throw new MillraceError(
      'CONTRACT_INVALID',
      `Contract ${JSON.stringify(name)}: ${field} is ${JSON.stringify(got)}; it takes ${allowed}. Change it in the topic's defineTopic().`,
      { details: { topic: name, field } },
    );
  };
  if (!TOPIC_NAME.test(name) || name === '.' || name === '..') {
    refuse('name', name, 'up to 249 letters, digits, ".", "_" and "-", and not "." or ".."');
  }
  if (!declaration.owner.trim()) refuse('owner', declaration.owner, 'the name of who answers for the topic');
  if (!declaration.key) refuse('key', declaration.key, "the name of one of the value's fields");
  versions.forEach(({ version }, index) => {
    if (version !== index + 1) refuse(`versions[${index}].version`, version, `${index + 1}`);
  });
  if (!COMPATIBILITY_MODES.includes(contract.compatibility)) {
    refuse('compatibility', contract.compatibility, COMPATIBILITY_MODES.join(', '));
  }
  if (!Number.isInteger(contract.partitions) || contract.partitions < 1) {
    refuse('partitions', contract.partitions, 'a whole number from 1');
  }
  if (!Number.isInteger(contract.retentionMs) || (contract.retentionMs < 1 && contract.retentionMs !== -1)) {
    refuse('retentionMs', contract.retentionMs, 'whole milliseconds from 1, or -1 to keep records for good');
  }
  if (contract.cleanup === 'compact' && contract.offsets === 'contiguous') {
    refuse(
      'offsets',
      contract.offsets,
      '"sparse" where cleanup is "compact", since compaction removes offsets',
    );
  }
  if (contract.framing === 'confluent' && contract.compression !== 'none') {
    refuse('compression', contract.compression, '"none" where framing is "confluent"');
  }
  if (
    !Number.isInteger(contract.maxBodyBytes) ||
    contract.maxBodyBytes < 1 ||
    contract.maxBodyBytes > 2 ** 26
  ) {
    refuse('maxBodyBytes', contract.maxBodyBytes, `a whole number from 1 to ${2 ** 26}`);
  }
  const latest = versions.at(-1) ?? refuse('versions', [], 'at least one version');
  return Object.freeze({ ...contract, latest });
}

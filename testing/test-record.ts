import { createContractSchemaRegistry } from '../adapters/contract-schema-registry.ts';
import { createEncoder } from '../runtime/contract/codec.ts';
import type { Contract } from '../runtime/contract/contract.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { Header } from '../runtime/record.ts';
import type { OutgoingRecord } from '../runtime/topics.ts';

/** A record to deliver that is more than a value: of an older version, with headers, or broken. */
export class TestRecord<Value = unknown> {
  /** What the contract encodes; undefined where `bytes` are the record's value. */
  readonly value: Value | undefined;
  /** The version that writes the value; undefined for the newest. */
  readonly version: number | undefined;
  /** The record's value as it stands in Kafka. */
  readonly bytes: Buffer | null | undefined;
  /** Undefined for the field that the contract names. */
  readonly key: string | null | undefined;
  /** Epoch milliseconds. */
  readonly timestamp: number | undefined;
  readonly headers: readonly Header[];

  constructor(fields: {
    readonly value?: Value | undefined;
    readonly version?: number | undefined;
    readonly bytes?: Buffer | null;
    readonly key?: string | null | undefined;
    readonly timestamp?: number | undefined;
    readonly headers?: readonly Header[] | undefined;
  }) {
    this.value = fields.value;
    this.version = fields.version;
    this.bytes = fields.bytes;
    this.key = fields.key;
    this.timestamp = fields.timestamp;
    this.headers = fields.headers ?? [];
  }
}

export interface RecordOptions {
  /** The version of the contract that writes it. @default the newest */
  readonly version?: number;
  /** Epoch milliseconds. @default now */
  readonly timestamp?: number;
  /** @default none */
  readonly headers?: readonly Header[];
}

/** A value as a record of its own: of an older version of the contract, with a time, or with headers. */
export function record<Value>(value: Value, options: RecordOptions = {}): TestRecord<Value> {
  return new TestRecord({ value, ...options });
}

/** Bytes that no version of a contract reads, unless you give others: the record becomes a dead letter. */
export function poison(
  key = 'poison',
  bytes = Buffer.from('not a record of the contract'),
): TestRecord<never> {
  return new TestRecord<never>({ bytes, key });
}

/** A record without a value, which removes its key from a compacted topic. Elsewhere it becomes a dead letter. */
export function tombstone(key: string): TestRecord<never> {
  return new TestRecord<never>({ bytes: null, key });
}

/**
 * Encodes by the contract, and by what the CLI takes for a registry.
 * @throws INPUT_INVALID when a value breaks the contract, naming the field and the rule
 */
export async function encodeRecords(
  contract: Contract<never>,
  records: readonly unknown[],
): Promise<readonly OutgoingRecord[]> {
  const encoders = new Map<number, ReturnType<typeof createEncoder>>();
  const encoderOf = (version: number) => {
    const known = encoders.get(version);
    if (known) return known;
    const asOf = contractAsOf(contract, version);
    const encoder = createEncoder(asOf, createContractSchemaRegistry([asOf]));
    encoders.set(version, encoder);
    return encoder;
  };
  return Promise.all(
    records.map(async (each, at): Promise<OutgoingRecord> => {
      const { value, version, bytes, key, timestamp, headers } =
        each instanceof TestRecord ? each : new TestRecord({ value: each });
      const rest = { headers, ...(timestamp !== undefined && { timestamp }) };
      if (bytes !== undefined) return { ...rest, key: keyBytes(key ?? null), value: bytes };
      const [encoded] = await encoderOf(version ?? contract.latest.version).encodeBatch([value]);
      if ('violations' in encoded!) throw broken(contract, at, encoded.violations);
      return { ...rest, ...encoded!.record, ...(key !== undefined && { key: keyBytes(key) }) };
    }),
  );
}

function keyBytes(key: string | null): Buffer | null {
  return key === null ? null : Buffer.from(key);
}

/** The contract as it was when the version was its newest. */
function contractAsOf(contract: Contract<never>, version: number): Contract<never> {
  const latest = contract.versions[version - 1];
  if (latest) return { ...contract, versions: contract.versions.slice(0, version), latest };
  throw new MillraceError(
    'INPUT_INVALID',
    `record() got version ${version} of contract ${JSON.stringify(contract.name)}; it has ${contract.versions.length}.`,
    { details: { topic: contract.name, version } },
  );
}

function broken(
  { name }: Contract<never>,
  at: number,
  violations: readonly { readonly path: string; readonly reason: string }[],
): MillraceError {
  const [{ path, reason }] = violations as readonly [{ path: string; reason: string }];
  return new MillraceError(
    'INPUT_INVALID',
    `Record ${at} breaks contract ${JSON.stringify(name)}: ${path || 'the value'} ${reason}. No producer could publish it. ` +
      'Correct the value, or deliver poison() if the consumer must survive such a record.',
    { details: { topic: name, at, path } },
  );
}

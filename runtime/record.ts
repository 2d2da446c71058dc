import { isDate } from './dates.ts';
import type { MillraceError } from './errors.ts';

/** Where a record stands in Kafka. `offset` is exact: Lambda sends it as a JSON number, below 2^53. */
export interface Position {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** A header as Kafka keeps it: names may repeat, order counts, the value may be null or any bytes. */
export interface Header {
  readonly name: string;
  readonly value: Buffer | null;
}

export const TIMESTAMP_TYPES = ['CREATE_TIME', 'LOG_APPEND_TIME', 'NO_TIMESTAMP_TYPE'] as const;
export type TimestampType = (typeof TIMESTAMP_TYPES)[number];

/**
 * A record's bytes, unread.
 * Copy it field by field: a spread misses `key` and `value` where they are made when asked for.
 */
export interface RawRecord extends Position {
  /**
   * What Kafka holds: epoch milliseconds by convention, -1 for none, and any int64 that a producer chose. Beyond 2^53 it
   * is rounded, as `isExactTimestamp` tells.
   */
  readonly timestamp: number;
  readonly timestampType: TimestampType;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly Header[];
  /** Why the record cannot be read whatever its bytes are: what arrived is not what Kafka sends. Its key, value and headers hold what did arrive. */
  readonly fault?: MillraceError | undefined;
}

/** Whether a record's timestamp is the very number that Kafka holds, not one rounded to fit a JSON number. */
export function isExactTimestamp(timestamp: number): boolean {
  return Number.isSafeInteger(timestamp);
}

/** A timestamp for people: ISO 8601 where a date can hold it, else the number itself. */
export function timestampText(timestamp: number): string {
  if (timestamp === -1) return 'none';
  if (isDate(timestamp)) return new Date(timestamp).toISOString();
  return isExactTimestamp(timestamp) ? String(timestamp) : `about ${timestamp}`;
}

/** What a handler sees: the value decoded by the contract, and the bytes it came from. */
export interface ConsumerRecord<Value> extends Position {
  /** `topic/partition/offset`: the idempotency key for effects outside the sink. */
  readonly id: string;
  /** Epoch milliseconds, -1 where Kafka has none, and whatever else its producer chose: any int64. */
  readonly timestamp: number;
  readonly timestampType: TimestampType;
  /** The key as UTF-8 text, null where the record has none; `raw.key` has the bytes. */
  readonly key: string | null;
  readonly value: Value;
  readonly headers: readonly Header[];
  readonly raw: RawRecord;
  /** How it came: in its partition's order, as a dead letter given back, or from the log once more. */
  readonly arrival: 'delivery' | 'redrive' | 'replay';
  /** Whether a newer record of its key was applied before it: only with a redrive that permits it. */
  readonly overtaken: boolean;
}

export function recordId(position: Position): string {
  return `${position.topic}/${position.partition}/${position.offset}`;
}

/** Tells a partition's keys apart by their bytes: two that are not UTF-8 may read the same. */
export function keyId({ partition, key }: { readonly partition: number; readonly key: Buffer }): string {
  return `${partition}/${key.toString('latin1')}`;
}

/** Where the key or the value of a packed record would begin, if it had one. */
export const ABSENT = -1;

/**
 * A record whose key and value stand side by side inside a larger buffer, and become Buffers when somebody asks for
 * them: to make those of each record of a batch would take as long as reading its values.
 */
export class PackedRecord implements RawRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly timestampType: TimestampType;
  readonly headers: readonly Header[];
  readonly bytes: Buffer;
  readonly keyStart: number;
  readonly valueStart: number;
  readonly end: number;

  /** The key, if there is one, stands right before the value; what there is ends at `end`. */
  constructor(
    fields: Omit<RawRecord, 'key' | 'value'>,
    bytes: Buffer,
    keyStart: number,
    valueStart: number,
    end: number,
  ) {
    this.topic = fields.topic;
    this.partition = fields.partition;
    this.offset = fields.offset;
    this.timestamp = fields.timestamp;
    this.timestampType = fields.timestampType;
    this.headers = fields.headers;
    this.bytes = bytes;
    this.keyStart = keyStart;
    this.valueStart = valueStart;
    this.end = end;
    // The ledger goes by it, and a handler has it in its hands.
    Object.freeze(this);
  }

  get key(): Buffer | null {
    if (this.keyStart === ABSENT) return null;
    return this.bytes.subarray(this.keyStart, this.#keyEnd);
  }

  get value(): Buffer | null {
    return this.valueStart === ABSENT ? null : this.bytes.subarray(this.valueStart, this.end);
  }

  /** The key as UTF-8 text. */
  get keyText(): string | null {
    if (this.keyStart === ABSENT) return null;
    return this.bytes.toString('utf8', this.keyStart, this.#keyEnd);
  }

  get #keyEnd(): number {
    return this.valueStart === ABSENT ? this.end : this.valueStart;
  }
}

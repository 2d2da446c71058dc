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
 * A record's bytes, unread. `timestamp` is in epoch milliseconds, -1 where Kafka has none.
 * Copy it field by field: a spread misses `key` and `value` where they are made when asked for.
 */
export interface RawRecord extends Position {
  readonly timestamp: number;
  readonly timestampType: TimestampType;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly Header[];
}

/** What a handler sees: the value decoded by the contract, and the bytes it came from. */
export interface ConsumerRecord<Value> extends Position {
  /** `topic/partition/offset`: the idempotency key for effects outside the sink. */
  readonly id: string;
  /** Epoch milliseconds, -1 where Kafka has none. */
  readonly timestamp: number;
  readonly timestampType: TimestampType;
  /** The key as UTF-8 text, null where the record has none; `raw.key` has the bytes. */
  readonly key: string | null;
  readonly value: Value;
  readonly headers: readonly Header[];
  readonly raw: RawRecord;
}

export function recordId(position: Position): string {
  return `${position.topic}/${position.partition}/${position.offset}`;
}

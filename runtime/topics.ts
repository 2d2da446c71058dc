import type { CapturedTable } from './capture/table.ts';
import type { Contract } from './contract/contract.ts';
import type { Header, Position, RawRecord, TopicPartition } from './record.ts';

/** Topics as Kafka has them: what makes one, writes to it and reads it by offset. */

/** A record on its way to a topic. Its partition follows from its key, as Kafka's own producers choose it. */
export interface OutgoingRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: readonly Header[];
  /** Epoch milliseconds. @default the time of sending */
  readonly timestamp?: number;
}

export interface Producer {
  /**
   * Appends records in the given order and resolves when they are durable, with the position of each.
   * @throws TOPIC_UNKNOWN; PUBLISH_FAILED when none or only some were taken
   */
  send(topic: string, records: readonly OutgoingRecord[]): Promise<readonly Position[]>;
}

export interface TopicAdmin {
  /** Creates the topic, or leaves it as it is where it exists with as many partitions. @throws INPUT_INVALID where it has another number */
  createTopic(topic: string, partitions: number): Promise<void>;
}

/** What an event source needs of a log: reading by offset, and where each consumer group stands. */
export interface LogReader {
  /** @throws TOPIC_UNKNOWN */
  partitions(topic: string): Promise<number>;
  /** Records from `fromOffset` on in offset order, up to `maxRecords`; empty at the end of the partition. */
  read(from: TopicPartition, fromOffset: number, maxRecords: number): Promise<readonly RawRecord[]>;
  /**
   * Where to go on after `read` has found nothing from `fromOffset` on: behind offsets that hold no record and never will,
   * such as the marks of transactions. A log without such offsets need not have it.
   */
  passed?(of: TopicPartition, fromOffset: number): Promise<number>;
  /** The oldest offset still kept, and the offset the next record will get. */
  bounds(of: TopicPartition): Promise<{ readonly start: number; readonly end: number }>;
  /** The offset of the first record with a timestamp at or after `timestampMs`; the end where there is none. */
  offsetAt(of: TopicPartition, timestampMs: number): Promise<number>;
  /** The offset to go on from, undefined where the group never committed. */
  committed(group: string, of: TopicPartition): Promise<number | undefined>;
  /** Commits atomically; `offset` is the next one to read. */
  commit(group: string, offsets: readonly Position[]): Promise<void>;
}

/** The numbers of a topic's partitions. @throws TOPIC_UNKNOWN */
export async function partitionsOf(
  log: Pick<LogReader, 'partitions'>,
  topic: string,
): Promise<readonly number[]> {
  return Array.from({ length: await log.partitions(topic) }, (_, partition) => partition);
}

/** What a topic is made by. */
export type TopicContract = Pick<Contract<never>, 'name' | 'partitions' | 'retentionMs' | 'cleanup'> & {
  /** The largest record, with its headers. @default what the cluster says */
  readonly maxRecordBytes?: number;
};

/** Key and headers of a change, over its value: what its connector reckons with (runtime/capture/connector.ts). */
const CHANGE_OVERHEAD_BYTES = 65_536;

/** The topic of a table's changes, which may be larger than what brokers take by default. */
export function topicOfTable({ topic }: CapturedTable): TopicContract {
  return { ...topic, maxRecordBytes: topic.maxBodyBytes + CHANGE_OVERHEAD_BYTES };
}

/** The same in Kafka's names: https://kafka.apache.org/documentation/#topicconfigs (2026-11-25) */
export function topicSettings({
  cleanup,
  retentionMs,
  maxRecordBytes,
}: TopicContract): Readonly<Record<string, string>> {
  return {
    'cleanup.policy': cleanup,
    'retention.ms': String(retentionMs),
    ...(maxRecordBytes !== undefined && { 'max.message.bytes': String(maxRecordBytes) }),
  };
}

/** How many records are read in one go. */
const PAGE = 500;

/** All records of a partition with offsets in `[from, to)` that the log still has. */
export async function* readRange(
  reader: Pick<LogReader, 'read'>,
  of: TopicPartition,
  from: number,
  to: number,
): AsyncIterable<RawRecord> {
  for (let next = from; next < to; ) {
    const page = await reader.read(of, next, Math.min(PAGE, to - next));
    if (page.length === 0) return;
    for (const record of page) if (record.offset < to) yield record;
    next = page.at(-1)!.offset + 1;
  }
}

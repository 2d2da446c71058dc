import { MillraceError } from '../runtime/errors.ts';
import type { Clock } from '../runtime/ports.ts';
import { partitionOf } from '../runtime/publish/partitioner.ts';
import type { RawRecord, TopicPartition } from '../runtime/record.ts';
import type { LogReader, Producer, TopicAdmin } from '../runtime/topics.ts';

export type MemoryLog = Producer & TopicAdmin & LogReader;

/** A log that lives as long as the process; every record gets CREATE_TIME. */
export function createMemoryLog({ clock }: { readonly clock: Clock }): MemoryLog {
  const topics = new Map<string, readonly RawRecord[][]>();
  const committed = new Map<string, number>();
  let unkeyedSends = 0;

  const partitionsOf = (topic: string) => {
    const partitions = topics.get(topic);
    if (partitions) return partitions;
    throw new MillraceError(
      'TOPIC_UNKNOWN',
      `Topic ${JSON.stringify(topic)} does not exist. Create it first.`,
      {
        details: { topic },
      },
    );
  };
  const recordsOf = ({ topic, partition }: TopicPartition) => partitionsOf(topic)[partition] ?? [];
  const commitKey = (group: string, { topic, partition }: TopicPartition) => `${group}/${topic}/${partition}`;

  return {
    async createTopic(topic, partitions) {
      const existing = topics.get(topic)?.length;
      if (!Number.isInteger(partitions) || partitions < 1 || (existing ?? partitions) !== partitions) {
        throw new MillraceError(
          'INPUT_INVALID',
          `Topic ${JSON.stringify(topic)} cannot have ${partitions} partitions: ${existing ? `it exists with ${existing}` : 'it takes a whole number from 1'}.`,
          { details: { topic, partitions } },
        );
      }
      if (!existing)
        topics.set(
          topic,
          Array.from({ length: partitions }, () => []),
        );
    },

    async send(topic, records) {
      const partitions = partitionsOf(topic);
      const unkeyed = unkeyedSends++ % partitions.length;
      const now = clock.now();
      return records.map(({ key, value, headers = [], timestamp = now }) => {
        const partition = key === null ? unkeyed : partitionOf(key, partitions.length);
        const log = partitions[partition]!;
        const position = { topic, partition, offset: log.length };
        log.push({
          ...position,
          timestamp,
          timestampType: 'CREATE_TIME',
          key: copy(key),
          value: copy(value),
          headers: headers.map((header) => ({ name: header.name, value: copy(header.value) })),
        });
        return position;
      });
    },

    async partitions(topic) {
      return partitionsOf(topic).length;
    },
    async read(from, fromOffset, maxRecords) {
      return recordsOf(from).slice(fromOffset, fromOffset + maxRecords);
    },
    async bounds(of) {
      return { start: 0, end: recordsOf(of).length };
    },
    async offsetAt(of, timestampMs) {
      const records = recordsOf(of);
      const offset = records.findIndex(({ timestamp }) => timestamp >= timestampMs);
      return offset === -1 ? records.length : offset;
    },

    async committed(group, of) {
      partitionsOf(of.topic);
      return committed.get(commitKey(group, of));
    },
    async commit(group, offsets) {
      for (const { topic } of offsets) partitionsOf(topic);
      for (const position of offsets) committed.set(commitKey(group, position), position.offset);
    },
  };
}

/** What the caller does to its buffer afterwards must not change the log. */
function copy(bytes: Buffer | null): Buffer | null {
  return bytes === null ? null : Buffer.from(bytes);
}

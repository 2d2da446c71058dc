import type { RecordReader } from '../runtime/archive/reader.ts';
import type { RawRecord, TopicPartition } from '../runtime/record.ts';
import type { PartitionPlan } from '../runtime/replay/rebuild.ts';
import type { LogReader } from '../runtime/topics.ts';

/**
 * A topic's log with what its archive has of the records that the topic has deleted, for who reads from the beginning.
 * Everything else is the log's own. A partition is read by one caller, in offset order.
 * @param archive reads the topic, too: it has nothing older than the topic where nothing was archived
 */
export function logWithArchive(log: LogReader, topic: string, archive: RecordReader): LogReader {
  const open = new Map<number, { next: number; readonly records: AsyncIterator<RawRecord> }>();

  const startOf = async ({ partition }: TopicPartition) => (await archive.bounds(partition)).start;

  const readArchive = async (
    partition: number,
    from: number,
    to: number,
    most: number,
  ): Promise<readonly RawRecord[]> => {
    const kept = open.get(partition);
    const reading =
      kept?.next === from
        ? kept
        : { next: from, records: archive.read(partition, from, to)[Symbol.asyncIterator]() };
    open.set(partition, reading);
    const page: RawRecord[] = [];
    while (page.length < most) {
      const { done, value } = await reading.records.next();
      if (done) {
        open.delete(partition);
        break;
      }
      page.push(value);
      reading.next = value.offset + 1;
    }
    // What ended at an earlier look may go on by now: retention has moved, and the archive with it.
    if (page.length === 0 && reading === kept) return readArchive(partition, from, to, most);
    return page;
  };

  return {
    ...log,
    async bounds(of) {
      const { start, end } = await log.bounds(of);
      return of.topic === topic ? { start: Math.min(start, await startOf(of)), end } : { start, end };
    },
    async read(of, fromOffset, maxRecords) {
      if (of.topic !== topic) return log.read(of, fromOffset, maxRecords);
      for (;;) {
        const { start } = await log.bounds(of);
        if (fromOffset < start) {
          const archived = await readArchive(of.partition, fromOffset, start, maxRecords);
          if (archived.length > 0) return archived;
        }
        // What the archive lacks is gone, and the topic goes on.
        const at = Math.max(start, fromOffset);
        const page = await log.read(of, at, maxRecords);
        // Unless retention has moved since: what it took between is the archive's.
        const isWhole = page.length === 0 || page[0]!.offset === at || (await log.bounds(of)).start <= at;
        if (isWhole) return page;
      }
    },
    async offsetAt(of, timestampMs) {
      const inTopic = await log.offsetAt(of, timestampMs);
      if (of.topic !== topic) return inTopic;
      const { start } = await log.bounds(of);
      if (inTopic > start) return inTopic;
      for await (const { offset, timestamp } of archive.read(of.partition, await startOf(of), start)) {
        if (timestamp >= timestampMs) return offset;
      }
      return inTopic;
    },
  };
}

/**
 * A log of which no more is read than a limit allows, which may rise: what is behind it is there, and comes later.
 * @param limitOf one past the last offset that may be read
 */
export function limitedReader(log: LogReader, limitOf: (of: TopicPartition) => Promise<number>): LogReader {
  return {
    ...log,
    async read(of, fromOffset, maxRecords) {
      const limit = await limitOf(of);
      const most = Math.min(maxRecords, limit - fromOffset);
      if (most <= 0) return [];
      return (await log.read(of, fromOffset, most)).filter(({ offset }) => offset < limit);
    },
    ...(log.passed && {
      async passed(of: TopicPartition, fromOffset: number) {
        const limit = await limitOf(of);
        if (limit <= fromOffset) return fromOffset;
        return Math.min(limit, await log.passed!(of, fromOffset));
      },
    }),
  };
}

/** A log that ends where the plan says, for a run that follows nothing. */
export function boundedReader(log: LogReader, plan: readonly PartitionPlan[]): LogReader {
  const ends = new Map(plan.map(({ partition, to }) => [partition, to]));
  const endOf = ({ partition }: TopicPartition) => ends.get(partition) ?? 0;
  return {
    ...log,
    async bounds(of) {
      const { start, end } = await log.bounds(of);
      return { start, end: Math.min(end, endOf(of)) };
    },
    async read(of, fromOffset, maxRecords) {
      const most = Math.min(maxRecords, endOf(of) - fromOffset);
      if (most <= 0) return [];
      return (await log.read(of, fromOffset, most)).filter(({ offset }) => offset < endOf(of));
    },
    ...(log.passed && {
      passed: async (of: TopicPartition, fromOffset: number) =>
        Math.min(Math.max(fromOffset, endOf(of)), await log.passed!(of, fromOffset)),
    }),
  };
}

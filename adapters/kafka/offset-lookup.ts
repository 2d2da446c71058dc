import type { Admin, Consumer } from '@platformatic/kafka';
import type { LogReader } from '../../runtime/topics.ts';

interface OffsetLookupOptions {
  readonly lookup: Consumer;
  readonly admin: Admin;
  readonly partitionsOf: (topic: string) => Promise<number>;
  readonly attempt: <Result>(
    doing: string,
    details: Readonly<Record<string, unknown>>,
    work: () => Promise<Result>,
  ) => Promise<Result>;
}

/** Kafka's own signs for the two ends: https://kafka.apache.org/protocol#The_Messages_ListOffsets (2026-11-25) */
const LATEST = -1n;
const EARLIEST = -2n;

/**
 * Where partitions begin and end, and where groups stand in them. What is asked of the partitions of a topic one after
 * the other in one turn of the event loop, as for a lag, becomes one request.
 */
export function createOffsetLookup({
  lookup,
  admin,
  partitionsOf,
  attempt,
}: OffsetLookupOptions): Pick<LogReader, 'bounds' | 'offsetAt' | 'committed'> {
  const share = createSharing();

  const boundsOf = (topic: string) =>
    share(`bounds ${topic}`, async () => {
      await partitionsOf(topic);
      return attempt(`The ends of topic ${topic} could not be read`, { topic }, async () => {
        const [starts, ends] = await Promise.all(
          [EARLIEST, LATEST].map((timestamp) => lookup.listOffsets({ topics: [topic], timestamp })),
        );
        return { starts: starts!.get(topic)!, ends: ends!.get(topic)! };
      });
    });

  const committedIn = (group: string, topic: string) =>
    share(`committed ${JSON.stringify([group, topic])}`, async () => {
      const partitions = await partitionsOf(topic);
      return attempt(`The offsets of group ${group} could not be read`, { group, topic }, async () => {
        const partitionIndexes = Array.from({ length: partitions }, (_, partition) => partition);
        const groups = await admin.listConsumerGroupOffsets({
          groups: [{ groupId: group, topics: [{ name: topic, partitionIndexes }] }],
        });
        const found = groups.flatMap(({ topics }) => topics).flatMap((each) => each.partitions);
        return new Map(
          found.map(({ partitionIndex, committedOffset }) => [partitionIndex, Number(committedOffset)]),
        );
      });
    });

  return {
    async bounds({ topic, partition }) {
      const { starts, ends } = await boundsOf(topic);
      return { start: Number(starts[partition] ?? 0n), end: Number(ends[partition] ?? 0n) };
    },

    async offsetAt({ topic, partition }, timestampMs) {
      await partitionsOf(topic);
      const offset = await attempt(
        `Topic ${topic} could not be searched by time`,
        { topic, partition },
        async () => {
          const found = await lookup.listOffsetsWithTimestamps({
            topics: [topic],
            partitions: { [topic]: [partition] },
            timestamp: BigInt(Math.max(0, Math.floor(timestampMs))),
          });
          return found.get(topic)?.get(partition)?.offset ?? -1n;
        },
      );
      return offset >= 0n ? Number(offset) : Number((await boundsOf(topic)).ends[partition] ?? 0n);
    },

    async committed(group, { topic, partition }) {
      const offset = (await committedIn(group, topic)).get(partition);
      return offset === undefined || offset < 0 ? undefined : offset;
    },
  };
}

/** Who asks the same thing in one turn of the event loop gets one answer, which is looked up after the last has asked. */
function createSharing() {
  const asked = new Map<string, Promise<unknown>>();
  return <Answer>(question: string, answer: () => Promise<Answer>): Promise<Answer> => {
    let pending = asked.get(question) as Promise<Answer> | undefined;
    if (!pending) {
      pending = new Promise<void>((resolve) => setImmediate(resolve)).then(() => {
        asked.delete(question);
        return answer();
      });
      asked.set(question, pending);
    }
    return pending;
  };
}

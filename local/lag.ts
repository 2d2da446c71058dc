import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { TopicPartition } from '../runtime/record.ts';
import type { LogReader } from '../runtime/topics.ts';

export type LagLevel = 'ok' | 'warning' | 'incident';

export interface ConsumerLag {
  readonly consumer: string;
  /** The consumer group whose offsets these are. */
  readonly group: string;
  readonly topic: string;
  /** Messages behind, over all partitions. */
  readonly lag: number;
  /** What the consumer's declaration calls this lag. */
  readonly level: LagLevel;
  readonly warning: number;
  readonly incident: number;
  readonly partitions: readonly PartitionLag[];
}

export interface PartitionLag {
  readonly partition: number;
  /** The offset to go on from; null where the group never committed. */
  readonly committed: number | null;
  /** The offset that the next record will get. */
  readonly end: number;
  readonly lag: number;
}

/** How far behind a consumer's group is, by what the log holds. A topic that nobody has published to yet has no partitions. */
export async function measureLag(
  log: LogReader,
  consumer: AnyConsumer,
  group: string = consumer.name,
): Promise<ConsumerLag> {
  const topic = consumer.topic.name;
  const partitions = await Promise.all(
    Array.from({ length: await partitionsOf(log, topic) }, async (_, partition) => {
      const of = { topic, partition };
      const { start, end } = await log.bounds(of);
      const committed = await log.committed(group, of);
      const from = committed ?? (await startOf(log, consumer, of, start, end));
      return { partition, committed: committed ?? null, end, lag: Math.max(0, end - from) };
    }),
  );
  const lag = partitions.reduce((sum, each) => sum + each.lag, 0);
  return {
    consumer: consumer.name,
    group,
    topic,
    lag,
    level: levelOf(lag, consumer),
    ...consumer.lag,
    partitions,
  };
}

function levelOf(lag: number, { lag: { warning, incident } }: AnyConsumer): LagLevel {
  if (lag >= incident) return 'incident';
  return lag >= warning ? 'warning' : 'ok';
}

async function partitionsOf(log: LogReader, topic: string): Promise<number> {
  try {
    return await log.partitions(topic);
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'TOPIC_UNKNOWN') return 0;
    throw error;
  }
}

async function startOf(
  log: LogReader,
  { startingPosition }: AnyConsumer,
  of: TopicPartition,
  start: number,
  end: number,
): Promise<number> {
  if (startingPosition === 'TRIM_HORIZON') return start;
  if (startingPosition === 'LATEST') return end;
  return log.offsetAt(of, startingPosition.atTimestampMs);
}

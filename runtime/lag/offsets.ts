/** Samples out of offsets: what a log and a cluster have in common. */
import { beginningOf } from '../delivery/beginning.ts';
import { MillraceError } from '../errors.ts';
import type { Clock } from '../ports.ts';
import { type LogReader, partitionsOf } from '../topics.ts';
import {
  type ConsumerSample,
  type LagSource,
  type PartitionSample,
  unknownSample,
  type WatchedConsumer,
} from './sample.ts';

export type PartitionOffsets = Omit<PartitionSample, 'begins' | 'failing'>;

export interface GroupOffsets {
  /** When the committed offsets were read, in epoch milliseconds. */
  readonly at: number;
  /** Empty where there is no such topic, which `unknown` then says; null where it could not be read. */
  readonly partitions: readonly PartitionOffsets[] | null;
  /** Why something is null. A sentence. */
  readonly unknown?: string;
}

/** Reads where groups stand. What it cannot read is null, and costs nothing else. */
export interface OffsetReader {
  /** Committed offsets are read before ends. @returns for each of `asked`, in its order */
  read(
    asked: readonly { readonly group: string; readonly topic: string }[],
  ): Promise<readonly GroupOffsets[]>;
  /** The offsets of the first records at or after that time, by partition; none where there is no such record. */
  offsetsAt(topic: string, timestampMs: number): Promise<ReadonlyMap<number, number>>;
}

/** What is known of a consumer besides its offsets. */
export type ConsumerFacts = Pick<
  ConsumerSample,
  'retentionMs' | 'deadLetters' | 'parked' | 'runner' | 'unknown'
> & {
  readonly failing?: ReadonlyMap<number, NonNullable<PartitionSample['failing']>>;
};

/** A source that reads offsets. @param factsOf asked at each look; rejects where it cannot be found out */
export function createOffsetSource({
  offsets,
  clock,
  factsOf,
}: {
  readonly offsets: OffsetReader;
  readonly clock: Pick<Clock, 'now'>;
  factsOf(consumers: readonly WatchedConsumer[]): Promise<(consumer: WatchedConsumer) => ConsumerFacts>;
}): LagSource {
  return {
    async sample(consumers) {
      const [found, facts] = await Promise.all([offsets.read(consumers), factsOf(consumers)]);
      return Promise.all(
        consumers.map(async (watched, index) => {
          const { at, partitions, unknown } = found[index]!;
          const { failing, ...known } = facts(watched);
          try {
            const begins = await beginnings(watched, partitions ?? [], offsets);
            const why = unknown ?? known.unknown;
            return {
              consumer: watched.consumer,
              at,
              ...known,
              ...(why !== undefined && { unknown: why }),
              partitions:
                partitions?.map((each): PartitionSample => {
                  const fails = failing?.get(each.partition);
                  const from = begins.get(each.partition);
                  return {
                    ...each,
                    ...(from !== undefined && { begins: from }),
                    ...(fails && { failing: fails }),
                  };
                }) ?? null,
            };
          } catch (error) {
            return unknownSample(watched.consumer, clock.now(), (error as Error).message);
          }
        }),
      );
    },
  };
}

/** Where the partitions begin that nothing is committed in, of a consumer that does not begin at their start anyway. */
async function beginnings(
  { startingPosition, commitsBeginning = false, topic }: WatchedConsumer,
  partitions: readonly PartitionOffsets[],
  offsets: OffsetReader,
): Promise<ReadonlyMap<number, number | null>> {
  const uncommitted = partitions.filter(({ committed }) => committed === 'none');
  if (startingPosition === 'TRIM_HORIZON' || uncommitted.length === 0) return new Map();
  const hasBegun = partitions.some(({ committed }) => typeof committed === 'number');
  let found: Promise<ReadonlyMap<number, number>> | undefined;
  const begins = uncommitted.map(async ({ partition, start, end }) => {
    if (start === null || end === null) return [partition, null] as const;
    const offsetAt = async (timestampMs: number) => {
      // One request has the answer for all partitions.
      found ??= offsets.offsetsAt(topic, timestampMs);
      return (await found).get(partition);
    };
    const at = { start, end, commitsBeginning, hasBegun, offsetAt };
    return [partition, await beginningOf(startingPosition, at)] as const;
  });
  return new Map(await Promise.all(begins));
}

/** Reads a log that costs nothing to ask, one partition after the other. */
export function readLogOffsets(
  log: Pick<LogReader, 'partitions' | 'bounds' | 'committed' | 'offsetAt' | 'read'>,
  clock: Pick<Clock, 'now'>,
): OffsetReader {
  const readOne = async (group: string, topic: string, partition: number): Promise<PartitionOffsets> => {
    const of = { topic, partition };
    const committed = (await log.committed(group, of)) ?? ('none' as const);
    const { start, end } = await log.bounds(of);
    const next = Math.max(start, committed === 'none' ? start : committed);
    const [record] = next < end ? await log.read(of, next, 1) : [];
    const nextAt = record && record.timestamp >= 0 ? record.timestamp : null;
    return { partition, committed, start, end, nextAt };
  };
  return {
    read: (asked) =>
      Promise.all(
        asked.map(async ({ group, topic }): Promise<GroupOffsets> => {
          const at = clock.now();
          try {
            const partitions = await partitionsOf(log, topic);
            const found = partitions.map((partition) => readOne(group, topic, partition));
            return { at, partitions: await Promise.all(found) };
          } catch (error) {
            const isMissing = error instanceof MillraceError && error.code === 'TOPIC_UNKNOWN';
            return { at, partitions: isMissing ? [] : null, unknown: (error as Error).message };
          }
        }),
      ),
    async offsetsAt(topic, timestampMs) {
      const found = (await partitionsOf(log, topic)).map(
        async (partition) => [partition, await log.offsetAt({ topic, partition }, timestampMs)] as const,
      );
      return new Map(await Promise.all(found));
    },
  };
}

/** Where partitions begin and end, in two requests to each broker that leads some. */
import type { Consumer } from '@platformatic/kafka';
import { errorsIn } from './kafka-errors.ts';

export interface LedTopic {
  readonly partitions: readonly { readonly leader: number }[];
}

/** The oldest offset that is kept, and the one that the next record gets; null where it could not be read. */
export interface Bounds {
  readonly start: number | null;
  readonly end: number | null;
}

/** https://kafka.apache.org/protocol#The_Messages_ListOffsets (2026-11-25) */
const LATEST = -1n;
const EARLIEST = -2n;

/**
 * A broker that does not answer leaves out the partitions that it leads, and no others.
 * @returns of each topic by partition; and the error of what is missing, where there is one
 */
export async function readBounds(
  lookup: Consumer,
  topics: ReadonlyMap<string, LedTopic>,
): Promise<{ readonly bounds: ReadonlyMap<string, readonly Bounds[]>; readonly error: unknown }> {
  const bounds = new Map(
    [...topics].map(([name, { partitions }]) => [
      name,
      partitions.map((): { start: number | null; end: number | null } => ({ start: null, end: null })),
    ]),
  );
  const led = [...topics].flatMap(([name, { partitions }]) =>
    partitions.map(({ leader }, partition) => ({ name, partition, leader })),
  );
  let error: unknown = led.some(({ leader }) => leader < 0)
    ? new Error('some partitions have no leader')
    : undefined;
  const byLeader = Map.groupBy(
    led.filter(({ leader }) => leader >= 0),
    ({ leader }) => leader,
  );
  const requests = [...byLeader.values()].flatMap((of) => {
    const partitions = Object.fromEntries(
      [...Map.groupBy(of, ({ name }) => name)].map(([name, each]) => [
        name,
        each.map(({ partition }) => partition),
      ]),
    );
    return [EARLIEST, LATEST].map((timestamp) => ({ partitions, timestamp }));
  });
  await Promise.all(
    requests.map(async ({ partitions, timestamp }) => {
      const side = timestamp === EARLIEST ? 'start' : 'end';
      const note = (name: string, partition: number, offset: bigint) => {
        const of = bounds.get(name)?.[partition];
        if (of && offset >= 0n) of[side] = Number(offset);
      };
      try {
        const topics = Object.keys(partitions);
        const found = await lookup.listOffsetsWithTimestamps({ topics, partitions, timestamp });
        for (const [name, of] of found)
          for (const [partition, { offset }] of of) note(name, partition, offset);
      } catch (failure) {
        error = failure;
        lookup.clearMetadata();
        // What came with the error of one partition holds for the others.
        for (const { name, partitions: of } of answersIn(failure)) {
          for (const { partitionIndex, errorCode, offset } of of)
            if (errorCode === 0) note(name, partitionIndex, offset);
        }
      }
    }),
  );
  return { bounds, error };
}

interface OffsetsAnswer {
  readonly name: string;
  readonly partitions: readonly {
    readonly partitionIndex: number;
    readonly errorCode: number;
    readonly offset: bigint;
  }[];
}

function answersIn(error: unknown): readonly OffsetsAnswer[] {
  return errorsIn(error).flatMap(
    ({ response }) => (response as { readonly topics?: readonly OffsetsAnswer[] } | undefined)?.topics ?? [],
  );
}

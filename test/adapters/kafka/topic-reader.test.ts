import { describe, expect, test } from '@jest/globals';
import type { Consumer } from '@platformatic/kafka';
import { TopicReader } from '../../../adapters/kafka/topic-reader.ts';
import { codeOf } from '../../rejection.ts';

interface Asked {
  readonly node: number;
  readonly partitions: Map<number, number>;
}

const apiError = (apiId: string, response?: object) => Object.assign(new Error(apiId), { apiId, response });

/** A client whose partitions have so many records of 1 byte each, and what it was asked for. */
function open(ends: readonly number[], { start = 0, headers = [] as [Buffer, Buffer][] } = {}) {
  const leaders = ends.map(() => 1);
  const fetches: Asked[] = [];
  let metadataAsked = 0;
  /** Takes the place of the next answers. */
  const answers: (() => unknown)[] = [];
  const consumer = {
    topics: { track() {} },
    async metadata({ forceUpdate = false }) {
      metadataAsked++;
      if (forceUpdate) while (leaders.length < ends.length) leaders.push(1);
      const partitions = leaders.map((leader) => ({ leader }));
      return { topics: new Map([['t', { id: 'id', partitions }]]) };
    },
    clearMetadata() {
      leaders.fill(2);
    },
    async fetch({ node, topics }: { node: number; topics: { partitions: readonly FetchPartition[] }[] }) {
      const asked = topics[0]!.partitions;
      fetches.push({
        node,
        partitions: new Map(asked.map((each) => [each.partition, Number(each.fetchOffset)])),
      });
      const answer = answers.shift();
      if (answer) return answer();
      return {
        responses: [
          { partitions: asked.map(({ partition, fetchOffset }) => part(partition, Number(fetchOffset))) },
        ],
      };
    },
    async close() {},
  };
  interface FetchPartition {
    readonly partition: number;
    readonly fetchOffset: bigint;
  }
  const part = (partition: number, from: number, most = 10) => {
    const count = Math.max(0, Math.min(most, ends[partition]! - from));
    const record = (offsetDelta: number) => ({
      offsetDelta,
      timestampDelta: 0n,
      key: null,
      value: Buffer.alloc(1),
      headers,
    });
    return {
      partitionIndex: partition,
      lastStableOffset: BigInt(ends[partition]!),
      records:
        count === 0
          ? []
          : [
              {
                firstOffset: BigInt(from),
                lastOffsetDelta: count - 1,
                attributes: 0,
                producerId: -1n,
                firstTimestamp: 0n,
                maxTimestamp: 0n,
                records: Array.from({ length: count }, (_, delta) => record(delta)),
              },
            ],
    };
  };
  const nothing = () => ({
    responses: [
      {
        partitions: ends.map((end, partition) => ({
          partitionIndex: partition,
          lastStableOffset: BigInt(end),
          records: [],
        })),
      },
    ],
  });
  const reader = new TopicReader('t', consumer as unknown as Consumer, async () => start);
  const read = async (partition: number, from: number, most = 100) =>
    (await reader.read(partition, from, most)).map(({ offset }) => offset);
  return {
    reader,
    read,
    ends: ends as number[],
    fetches,
    answers,
    nothing,
    metadataAsked: () => metadataAsked,
  };
}
const upTo = (end: number, from = 0) => Array.from({ length: end - from }, (_, index) => from + index);

describe('a topic’s reader', () => {
  test('reads to the end, in as many fetches as it takes, and sees what comes behind it later', async () => {
    const { read, ends } = open([25]);
    expect(await read(0, 0)).toEqual(upTo(25));
    expect(await read(0, 25)).toEqual([]);
    await new Promise((resolve) => setImmediate(resolve));
    ends[0] = 26;
    expect(await read(0, 25)).toEqual([25]);
  });

  test('gives what it has in memory again when it is asked again, and fetches anew further back', async () => {
    const { read, fetches } = open([10]);
    await read(0, 0);
    const before = fetches.length;
    expect(await read(0, 4, 3)).toEqual([4, 5, 6]);
    expect(fetches.length).toBe(before);
    expect(await read(0, 2, 2)).toEqual([2, 3]);
    expect(fetches.length).toBe(before + 1);
  });

  test('holds no more in memory than it has to, headers included', async () => {
    const headers: [Buffer, Buffer][] = [[Buffer.from('h'), Buffer.alloc(1_000_000)]];
    expect(await open([100], { headers }).read(0, 0)).toEqual(upTo(10));
  });

  test.each([
    ['it has moved', 'NOT_LEADER_OR_FOLLOWER'],
    ['the topic is another one of its name', 'UNKNOWN_TOPIC_ID'],
  ])('asks the partition’s new leader when %s', async (_, apiId) => {
    const { read, fetches, answers } = open([5]);
    answers.push(() => {
      throw apiError(apiId);
    });
    expect(await read(0, 0)).toEqual(upTo(5));
    expect(fetches.map(({ node }) => node)).toEqual([1, 2]);
  });

  test('reads a partition that the topic was given meanwhile, though it keeps what it knows of leaders', async () => {
    const { read, ends } = open([5]);
    expect(await read(0, 0)).toEqual(upTo(5));
    ends.push(3);
    expect(await read(1, 0)).toEqual(upTo(3));
  });

  test('asks anew who leads after any other failure', async () => {
    const { read, fetches, answers } = open([5]);
    answers.push(() => {
      throw new Error('Cannot find broker with node id 1');
    });
    await expect(read(0, 0)).rejects.toThrow('Cannot find broker');
    expect(await read(0, 0)).toEqual(upTo(5));
    expect(fetches.map(({ node }) => node)).toEqual([1, 2]);
  });

  test('never takes for the end that a broker brings nothing of what there is', async () => {
    const { read, answers, nothing } = open([5]);
    answers.push(nothing, nothing);
    expect(await read(0, 0)).toEqual(upTo(5));
    const silent = open([5]);
    silent.answers.push(silent.nothing, silent.nothing, silent.nothing);
    expect(await codeOf(silent.read(0, 0))).toBe('KAFKA_UNAVAILABLE');
  });

  test('asks for a partition alone where others took all of a fetch', async () => {
    const { read, fetches, answers, nothing } = open([30, 30]);
    await read(0, 0, 5);
    answers.push(nothing);
    expect(await read(1, 0, 5)).toEqual(upTo(5));
    expect(fetches.map(({ partitions }) => partitions)).toContainEqual(new Map([[1, 0]]));
  });

  test('goes to the start that retention has left, and takes an offset behind the end for the end', async () => {
    const outOfRange = () => {
      throw apiError('OFFSET_OUT_OF_RANGE', {
        responses: [{ partitions: [{ partitionIndex: 0, errorCode: 1 }] }],
      });
    };
    const { read, answers } = open([5], { start: 3 });
    answers.push(outOfRange, outOfRange);
    expect(await read(0, 9)).toEqual([]);
    expect(await read(0, 1)).toEqual([3, 4]);
  });
});

import { describe, expect, test } from '@jest/globals';
import { MillraceError } from '../../../runtime/errors.ts';
import { answerLogCalls, createCallingLog } from '../../../runtime/operator/log-calls.ts';
import type { LogAnswer, LogCall } from '../../../runtime/operator/operator.ts';
import type { RawRecord } from '../../../runtime/record.ts';

const TOPIC = 'news.pageviews';
const of = (partition: number) => ({ topic: TOPIC, partition });

function record(partition: number, offset: number, bytes: number): RawRecord {
  return {
    topic: TOPIC,
    partition,
    offset,
    timestamp: 1_764_000_000_000 + offset,
    timestampType: 'CREATE_TIME',
    key: offset === 0 ? null : Buffer.from(`k${offset}`),
    value: Buffer.alloc(bytes, offset),
    headers: [{ name: 'h', value: Buffer.from([0xc3, offset]) }],
  };
}

/** Two partitions of records, and what was asked of them. */
function log(records: readonly RawRecord[]) {
  const asked: string[] = [];
  return {
    asked,
    async partitions(topic: string) {
      asked.push(`partitions ${topic}`);
      return 2;
    },
    async bounds({ partition }: { partition: number }) {
      asked.push(`bounds ${partition}`);
      return { start: 0, end: records.filter((each) => each.partition === partition).length };
    },
    offsetAt: async (_: unknown, timestampMs: number) => timestampMs,
    async committed(group: string, { partition }: { partition: number }) {
      if (group === 'broken') throw new MillraceError('KAFKA_REFUSED', 'It is refused.');
      return partition === 0 ? 7 : undefined;
    },
    passed: async (_: unknown, fromOffset: number) => fromOffset + 1,
    async read({ partition }: { partition: number }, fromOffset: number, maxRecords: number) {
      return records
        .filter((each) => each.partition === partition && each.offset >= fromOffset)
        .slice(0, maxRecords);
    },
  };
}

/** Both sides, with JSON between them as Lambda has it; and how many calls each request took across. */
function across(far: ReturnType<typeof log>) {
  const requests: number[] = [];
  const sizes: number[] = [];
  const near = createCallingLog(async (calls): Promise<readonly LogAnswer[]> => {
    requests.push(calls.length);
    const answer = JSON.stringify(await answerLogCalls(far, JSON.parse(JSON.stringify(calls)) as LogCall[]));
    sizes.push(Buffer.byteLength(answer));
    return JSON.parse(answer);
  });
  return { near, requests, sizes };
}

test('every call answers as the log itself does', async () => {
  const records = [record(0, 0, 3), record(0, 1, 0), record(0, 2, 5)];
  const { near } = across(log(records));
  expect(await near.partitions(TOPIC)).toBe(2);
  expect(await near.bounds(of(0))).toEqual({ start: 0, end: 3 });
  expect(await near.offsetAt(of(0), 12)).toBe(12);
  expect(await near.committed('g', of(0))).toBe(7);
  expect(await near.committed('g', of(1))).toBeUndefined();
  expect(await near.passed(of(0), 4)).toBe(5);
  const read = await near.read(of(0), 1, 10);
  expect(read.map(({ offset, timestamp }) => [offset, timestamp])).toEqual([
    [1, 1_764_000_000_001],
    [2, 1_764_000_000_002],
  ]);
  expect(read.map(({ key, value }) => [key?.toString(), [...value!]])).toEqual([
    ['k1', []],
    ['k2', [2, 2, 2, 2, 2]],
  ]);
  expect(read[1]!.headers).toEqual([{ name: 'h', value: Buffer.from([0xc3, 2]) }]);
  expect((await near.read(of(0), 0, 1))[0]!.key).toBeNull();
  expect(await near.read(of(1), 0, 10)).toEqual([]);
});

test('calls of one moment travel together, and two hundred at most', async () => {
  const { near, requests } = across(log([]));
  await Promise.all(Array.from({ length: 450 }, (_, index) => near.bounds(of(index % 2))));
  expect(requests).toEqual([200, 200, 50]);
  await near.bounds(of(0));
  expect(requests).toEqual([200, 200, 50, 1]);
});

test('a call that fails fails alone, with its code', async () => {
  const { near } = across(log([]));
  const [refused, fine] = await Promise.allSettled([near.committed('broken', of(0)), near.bounds(of(0))]);
  expect(refused).toMatchObject({ reason: { code: 'KAFKA_REFUSED', message: 'It is refused.' } });
  expect(fine).toMatchObject({ status: 'fulfilled' });
});

describe('records of more than an answer holds', () => {
  const megabyte = 1_000_000;
  const records = Array.from({ length: 12 }, (_, index) =>
    record(index % 2, Math.floor(index / 2), megabyte),
  );

  test('come page by page, of one partition and of several, and no answer is over Lambda’s 6 MB', async () => {
    const { near, requests, sizes } = across(log(records));
    const [first, second] = await Promise.all([near.read(of(0), 0, 100), near.read(of(1), 0, 100)]);
    expect(first!.map(({ offset }) => offset)).toEqual([0, 1, 2, 3]);
    expect(second!.length).toBeGreaterThan(0);
    let next = 4;
    while (next < 6) next = (await near.read(of(0), next, 100)).at(-1)!.offset + 1;
    expect(requests.length).toBeGreaterThan(2);
    expect(Math.max(...sizes)).toBeLessThan(6 * 1_048_576);
  });

  test('one that is too large for any answer is named', async () => {
    const { near } = across(log([record(0, 0, 5 * megabyte)]));
    await expect(near.read(of(0), 0, 1)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringContaining('news.pageviews/0: the record at offset 0 takes'),
    });
  });
});

test('a far side that cannot be reached fails every call that waits for it', async () => {
  const near = createCallingLog(() => Promise.reject(new Error('nobody there')));
  const settled = await Promise.allSettled([near.bounds(of(0)), near.partitions(TOPIC)]);
  expect(settled.map((each) => String((each as PromiseRejectedResult).reason))).toEqual([
    'Error: nobody there',
    'Error: nobody there',
  ]);
});

test('a call of a later version is refused in words', async () => {
  const calls = [['commit', 'g']] as unknown as readonly LogCall[];
  expect(await answerLogCalls(log([]), calls)).toEqual([
    {
      error: {
        code: 'INPUT_INVALID',
        message: expect.stringContaining('"commit". Deploy the environment again'),
      },
    },
  ]);
});

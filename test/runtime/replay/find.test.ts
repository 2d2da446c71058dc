import { describe, expect, test } from '@jest/globals';
import { partitionOf } from '../../../runtime/publish/partitioner.ts';
import type { RawRecord } from '../../../runtime/record.ts';
import { parseCondition } from '../../../runtime/replay/conditions.ts';
import { findRecords, type Search } from '../../../runtime/replay/find.ts';
import { offsetBehind } from '../../../runtime/replay/time-bounds.ts';
import { eventRecord, eventRegistry, events } from '../events.ts';

const PARTITIONS = 3;

function logOf(records: readonly RawRecord[]) {
  const read: number[] = [];
  const of = (partition: number) => records.filter((record) => record.partition === partition);
  return {
    read,
    log: {
      partitions: async () => PARTITIONS,
      bounds: async ({ partition }: { partition: number }) => ({
        start: of(partition)[0]?.offset ?? 0,
        end: (of(partition).at(-1)?.offset ?? -1) + 1,
      }),
      async read({ partition }: { partition: number }, from: number, most: number) {
        read.push(partition);
        return of(partition)
          .filter(({ offset }) => offset >= from)
          .slice(0, most);
      },
      offsetAt: async ({ partition }: { partition: number }, ms: number) =>
        of(partition).find(({ timestamp }) => timestamp >= ms)?.offset ??
        (of(partition).at(-1)?.offset ?? -1) + 1,
    },
  };
}

const all = [0, 1, 2].flatMap((partition) =>
  Array.from({ length: 20 }, (_, offset) => eventRecord(partition, offset)),
);
const search = (log: Search['log'], of: Partial<Search>): Search => ({
  topic: events as never,
  log,
  registry: eventRegistry,
  where: [],
  limit: 100,
  ...of,
});
const where = (...texts: string[]) => texts.map((text) => parseCondition(text)!);
const positions = (found: readonly { readonly raw: RawRecord }[]) =>
  found.map(({ raw }) => `${raw.partition}/${raw.offset}`);

describe('a search', () => {
  test('by key reads the key’s own partition, unless it is told otherwise', async () => {
    const key = '2/7';
    const own = partitionOf(Buffer.from(key), PARTITIONS);
    const records = [...all, eventRecord(own, 20, { key: Buffer.from(key) })];
    const { log, read } = logOf(records.toSorted((a, b) => a.partition - b.partition || a.offset - b.offset));
    const result = await findRecords(search(log, { key }));
    expect(new Set(read)).toEqual(new Set([own]));
    expect(result.partitions).toEqual([own]);
    expect(positions(result.found)).toContain(`${own}/20`);
    const everywhere = await findRecords(search(log, { key, everywhere: true }));
    expect(positions(everywhere.found)).toEqual(expect.arrayContaining(['2/7', `${own}/20`]));
  });

  test('by value reads all partitions, and goes on behind what cannot be decoded', async () => {
    const broken = all.map((record) =>
      record.partition === 1 && record.offset === 3 ? eventRecord(1, 3, { value: Buffer.from('?') }) : record,
    );
    const { log } = logOf(broken);
    const result = await findRecords(search(log, { where: where('id=1/9') }));
    expect(positions(result.found)).toEqual(['1/9']);
    expect(result).toMatchObject({ looked: 60, unreadable: 1, isWhole: true, oldest: 1_000_000 });
    expect(result.found[0]!.value).toEqual({ id: '1/9' });
  });

  test('since a time neither ends nor begins at a record from the future', async () => {
    const future = all.map((record) =>
      record.offset === 2 ? eventRecord(record.partition, 2, { timestamp: 9_999_999_999_999 }) : record,
    );
    const { log } = logOf(future);
    const result = await findRecords(search(log, { since: 1_000_150, where: where() }));
    expect(positions(result.found).filter((each) => each.startsWith('0/'))).toEqual([
      '0/2',
      '0/15',
      '0/16',
      '0/17',
      '0/18',
      '0/19',
    ]);
    expect(result.looked).toBe(54);
  });

  test('ends at its limit, and when it is told to', async () => {
    const { log } = logOf(all);
    const limited = await findRecords(search(log, { limit: 2 }));
    expect([positions(limited.found), limited.isWhole]).toEqual([['0/0', '0/1'], false]);
    const stop = new AbortController();
    const stopped = await findRecords(search(log, {}), () => stop.abort(), stop.signal);
    expect([stopped.found.length, stopped.isWhole]).toEqual([20, false]);
  });
});

test('a time bound does not end early at a record from the future', async () => {
  const records = Array.from({ length: 1_200 }, (_, offset) =>
    eventRecord(0, offset, { timestamp: offset === 3 || offset === 40 ? 9e12 : 1_000 + offset }),
  );
  const { log } = logOf(records);
  const of = { topic: events.name, partition: 0 };
  expect(await log.offsetAt(of, 1_700)).toBe(3);
  expect(await offsetBehind(log, of, 1_700, 1_200)).toBe(700);
  expect(await offsetBehind(log, of, 1_700, 500)).toBe(500);
  expect(await offsetBehind(log, of, 5_000, 1_200)).toBe(1_200);
  expect(await offsetBehind(log, of, 0, 1_200)).toBe(0);
});

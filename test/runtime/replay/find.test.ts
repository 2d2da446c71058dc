import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
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

describe('a search from the newest record on', () => {
  /** Partitions of different lengths, with times of their own, and gaps as compaction leaves them. */
  const logs = fc.array(
    fc.array(
      fc.record({
        gap: fc.integer({ min: 0, max: 700 }),
        at: fc.integer({ min: 0, max: 40 }),
        is: fc.boolean(),
      }),
      {
        maxLength: 60,
      },
    ),
    { minLength: 3, maxLength: 3 },
  );
  const recordsOf = (partitions: readonly (readonly { gap: number; at: number; is: boolean }[])[]) =>
    partitions.flatMap((rows, partition) => {
      let offset = 0;
      let timestamp = 1_000_000;
      return rows.map(({ gap, at, is }) => {
        offset += gap + 1;
        timestamp += at;
        return eventRecord(partition, offset, { timestamp, key: Buffer.from(is ? 'yes' : 'no') });
      });
    });

  test('finds the newest of all partitions, in the order of a sort by time, and says whether there may be older ones', async () => {
    await fc.assert(
      fc.asyncProperty(logs, fc.integer({ min: 1, max: 80 }), async (partitions, limit) => {
        const records = recordsOf(partitions);
        const { log } = logOf(records);
        const wanted = records.filter(({ key }) => key!.toString() === 'yes');
        const request = { key: 'yes', everywhere: true, limit, order: 'newest' as const };
        const { found, isWhole } = await findRecords(search(log, request));
        const newest = wanted
          .toSorted((a, b) => b.timestamp - a.timestamp || a.partition - b.partition || b.offset - a.offset)
          .slice(0, limit);
        expect(found.map(({ raw }) => raw.timestamp)).toEqual(newest.map(({ timestamp }) => timestamp));
        for (const partition of [0, 1, 2]) {
          const offsets = found.filter(({ raw }) => raw.partition === partition).map(({ raw }) => raw.offset);
          expect(offsets).toEqual(offsets.toSorted((a, b) => b - a));
          const own = wanted.filter((each) => each.partition === partition).map(({ offset }) => offset);
          expect(offsets).toEqual(own.toReversed().slice(0, offsets.length));
        }
        if (wanted.length > limit) expect(isWhole).toBe(false);
        if (wanted.length < limit) expect(isWhole).toBe(true);
      }),
      { numRuns: 60 },
    );
  });

  test('reads no more than it needs, and the same records as one from the oldest on where it needs all', async () => {
    const many = Array.from({ length: 5_000 }, (_, offset) =>
      eventRecord(0, offset, { timestamp: 1_000 + offset }),
    );
    const { log } = logOf(many);
    const few = await findRecords(search(log, { limit: 100, order: 'newest' }));
    expect(positions(few.found).slice(0, 2)).toEqual(['0/4999', '0/4998']);
    expect([few.found.length, few.looked, few.isWhole]).toEqual([100, 500, false]);
    const since = { since: 3_500, limit: 9_999 };
    const [forward, backward] = await Promise.all(
      (['oldest', 'newest'] as const).map((order) => findRecords(search(log, { ...since, order }))),
    );
    expect(positions(backward!.found).toReversed()).toEqual(positions(forward!.found));
    expect(backward).toMatchObject({ looked: forward!.looked, isWhole: true, oldest: forward!.oldest });
  });

  test('that is told to end gives what it has', async () => {
    const { log } = logOf(Array.from({ length: 1_200 }, (_, offset) => eventRecord(0, offset)));
    const stop = new AbortController();
    const stopped = await findRecords(
      search(log, { limit: 9_999, order: 'newest' }),
      () => stop.abort(),
      stop.signal,
    );
    expect([stopped.found.length, stopped.isWhole]).toEqual([500, false]);
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

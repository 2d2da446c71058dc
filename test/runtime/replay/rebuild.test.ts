import { describe, expect, test } from '@jest/globals';
import { defineConsumer } from '../../../runtime/delivery/consumer.ts';
import {
  type CandidatePosition,
  coversLedger,
  planRebuild,
  planShadow,
  progressOf,
} from '../../../runtime/replay/rebuild.ts';
import { events } from '../events.ts';

const consumer = defineConsumer({ name: 'sums', topic: events, sink: 'postgres', handle: async () => {} });

/** A log of partitions, each with the times of its records from `start` on. */
function logOf(...partitions: readonly { readonly start: number; readonly times: readonly number[] }[]) {
  const of = ({ partition }: { partition: number }) => partitions[partition]!;
  return {
    partitions: async () => partitions.length,
    bounds: async (which: { partition: number }) => {
      const { start, times } = of(which);
      return { start, end: start + times.length };
    },
    offsetAt: async (which: { partition: number }, timestampMs: number) => {
      const { start, times } = of(which);
      const at = times.findIndex((time) => time >= timestampMs);
      return start + (at < 0 ? times.length : at);
    },
    read: async (which: { topic: string; partition: number }, from: number, most: number) => {
      const { start, times } = of(which);
      return times
        .map((timestamp, at) => ({
          ...which,
          offset: start + at,
          timestamp,
          key: null,
          value: null,
          headers: [],
          timestampType: 'CREATE_TIME' as const,
        }))
        .filter(({ offset }) => offset >= from)
        .slice(0, most);
    },
  };
}

const about = { id: 'r', ledger: 'l', code: 'c', plannedAt: 0, consumer };

describe('a plan', () => {
  test('reads all that is kept, up to where the live ledger is now', async () => {
    const log = logOf({ start: 3, times: [10, 20, 30] }, { start: 0, times: [] });
    const plan = await planRebuild({ ...about, fromMs: null }, log, [{ partition: 0, first: 3, next: 6 }]);
    expect(plan.partitions).toEqual([
      { partition: 0, from: 3, to: 6 },
      { partition: 1, from: 0, to: 0 },
    ]);
    expect(plan).toMatchObject({ consumer: 'sums', missing: 0, migrations: [] });
  });

  test('counts what the live ledger has and the log has lost', async () => {
    const log = logOf({ start: 30, times: [1, 2] }, { start: 5, times: [1] });
    const live = [
      { partition: 0, first: 10, next: 31 },
      { partition: 1, first: null, next: null },
    ];
    expect((await planRebuild({ ...about, fromMs: null }, log, live)).missing).toBe(20);
  });

  test('from a time leaves out older records, and says what that leaves out of the live tables', async () => {
    const log = logOf({ start: 0, times: [10, 20, 30, 40] });
    const plan = await planRebuild({ ...about, fromMs: 25 }, log, [{ partition: 0, first: 0, next: 4 }]);
    expect(plan.partitions).toEqual([{ partition: 0, from: 2, to: 4 }]);
    expect(plan.missing).toBe(2);
  });

  test('of a consumer that began later begins where its ledger does', async () => {
    const late = defineConsumer({ ...consumer, startingPosition: 'LATEST' });
    const log = logOf({ start: 0, times: [10, 20, 30, 40] });
    const live = [{ partition: 0, first: 2, next: 4 }];
    const plan = await planRebuild({ ...about, consumer: late, fromMs: null }, log, live);
    expect(plan.partitions).toEqual([{ partition: 0, from: 2, to: 4 }]);
    expect(plan.missing).toBe(0);
  });

  test('leaves to the live one what that has yet to apply', async () => {
    const log = logOf({ start: 0, times: [10, 20, 30, 40] }, { start: 5, times: [10, 20] });
    const plan = await planRebuild({ ...about, fromMs: null }, log, [{ partition: 0, first: 0, next: 3 }]);
    expect(plan.partitions).toEqual([
      { partition: 0, from: 0, to: 3 },
      { partition: 1, from: 5, to: 5 },
    ]);
  });

  test('from a time that the live one has yet to reach begins with the last record that it has had', async () => {
    const log = logOf({ start: 0, times: [10, 20, 30, 40] });
    const plan = await planRebuild({ ...about, fromMs: 35 }, log, [{ partition: 0, first: 0, next: 2 }]);
    expect(plan.partitions).toEqual([{ partition: 0, from: 1, to: 2 }]);
    expect(plan.missing).toBe(1);
    const none = await planRebuild({ ...about, fromMs: 35 }, log, [
      { partition: 0, first: null, next: null, committed: 2 },
    ]);
    expect(none.partitions).toEqual([{ partition: 0, from: 2, to: 2 }]);
  });

  test('of a consumer that began later and has had nothing yet begins where that stands', async () => {
    const late = defineConsumer({ ...consumer, startingPosition: 'LATEST' });
    const log = logOf({ start: 0, times: [10, 20, 30, 40] });
    const stood = [{ partition: 0, first: null, next: null, committed: 3 }];
    const plan = await planRebuild({ ...about, consumer: late, fromMs: null }, log, stood);
    expect(plan.partitions).toEqual([{ partition: 0, from: 3, to: 3 }]);
    const never = await planRebuild({ ...about, consumer: late, fromMs: null }, log, []);
    expect(never.partitions).toEqual([{ partition: 0, from: 4, to: 4 }]);
  });

  test('of a shadow run ends before a time, whatever stamp a record in between has', async () => {
    const log = logOf({ start: 0, times: [10, 20, 9_999, 30, 40] });
    const plan = await planShadow({ ...about, fromMs: 15, toMs: 35 }, log, [
      { partition: 0, first: 0, next: 5 },
    ]);
    expect(plan.partitions).toEqual([{ partition: 0, from: 1, to: 4 }]);
    expect(coversLedger(plan, [{ partition: 0, first: 1, next: 4 }])).toBe(true);
    expect(coversLedger(plan, [{ partition: 0, first: 0, next: 4 }])).toBe(false);
    expect(coversLedger(plan, [{ partition: 0, first: 1, next: 5 }])).toBe(false);
  });
});

describe('progress', () => {
  const plan = [
    { partition: 0, from: 10, to: 20 },
    { partition: 1, from: 0, to: 0 },
  ];
  const at = (position: Partial<CandidatePosition>): readonly CandidatePosition[] => [
    { partition: 0, next: null, committed: null, live: 20, ...position },
    { partition: 1, next: null, committed: null, live: null },
  ];

  test.each([
    ['nothing yet', {}, { done: 0, total: 10, behind: 10, isThrough: false, isCaughtUp: false }],
    ['half', { next: 15 }, { done: 5, behind: 5, isThrough: false, isCaughtUp: false }],
    [
      'its end, with traffic since',
      { next: 20, live: 25 },
      { done: 10, behind: 5, isThrough: true, isCaughtUp: false },
    ],
    ['the live one', { next: 25, live: 25 }, { done: 10, behind: 0, isThrough: true, isCaughtUp: true }],
    ['more than the live one', { next: 26, live: 25 }, { behind: 0, isCaughtUp: true }],
    [
      'offsets without a record',
      { next: 18, committed: 20, live: 18 },
      { isThrough: true, isCaughtUp: true },
    ],
  ])('at %s', (_, position, expected) => {
    expect(progressOf(plan, at(position))).toMatchObject(expected);
  });

  test('a partition that the topic was given since must not be behind', () => {
    const added = { partition: 2, next: null, committed: 0, live: 3 };
    expect(progressOf(plan, [...at({ next: 20 }), added])).toMatchObject({ behind: 3, isCaughtUp: false });
    expect(progressOf(plan, [...at({ next: 20 }), { ...added, next: 3 }])).toMatchObject({
      isCaughtUp: true,
    });
  });
});

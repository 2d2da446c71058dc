import { describe, expect, test } from '@jest/globals';
import { advance, judge, type LedgerView, type Settlement } from '../../../runtime/delivery/ledger.ts';

const none: LedgerView = { topic: 't', partition: 0, first: null, next: null, maxTimestamp: -1, holes: [] };
const tenToTwenty: LedgerView = {
  ...none,
  first: 10,
  next: 20,
  maxTimestamp: 500,
  holes: [{ from: 13, to: 15 }],
};

/** Epoch milliseconds; a timestamp may be an hour ahead of it. */
const NOW = 10_000;

const at = (offset: number, timestamp = 100) => ({ offset, timestamp });
const settled = (offset: number, timestamp = 100): Settlement => ({
  offset,
  timestamp,
  isDeadLettered: false,
});
const deadLettered = (offset: number, timestamp = 100): Settlement => ({
  offset,
  timestamp,
  isDeadLettered: true,
});

describe('judge', () => {
  test('a delivery is fresh where the ledger does not call its offset settled', () => {
    expect(judge(none, at(7), 'delivery', NOW)).toBe('fresh');
    expect(judge(tenToTwenty, at(20), 'delivery', NOW)).toBe('fresh');
    expect(judge(tenToTwenty, at(9), 'delivery', NOW)).toBe('fresh');
    expect([12, 13, 14, 15].map((offset) => judge(tenToTwenty, at(offset), 'delivery', NOW))).toEqual([
      'settled',
      'fresh',
      'fresh',
      'settled',
    ]);
  });

  test('a letter ahead of the ledger is early; behind it, it is judged as a delivery', () => {
    expect(judge(none, at(7), 'redrive', NOW)).toBe('early');
    expect(judge(tenToTwenty, at(20), 'redrive', NOW)).toBe('early');
    expect(judge(tenToTwenty, at(13), 'redrive', NOW)).toBe('fresh');
    expect(judge(tenToTwenty, at(9), 'redrive', NOW)).toBe('fresh');
    expect(judge(tenToTwenty, at(19), 'redrive', NOW)).toBe('settled');
  });

  test('a settled offset with a newer record than was ever settled means that the topic was recreated', () => {
    expect(judge(tenToTwenty, at(12, 500), 'delivery', NOW)).toBe('settled');
    expect(() => judge(tenToTwenty, at(12, 501), 'delivery', NOW)).toThrow(
      expect.objectContaining({ code: 'TOPIC_RECREATED', message: expect.stringContaining('epoch') }),
    );
  });

  test('a record that was too far ahead when it was settled is none either, when a crash brings it again', () => {
    const ahead = NOW + 3_600_000 + 1;
    const honest = settled(20, NOW);
    const { patch } = advance(tenToTwenty, [honest, settled(21, ahead)], 'contiguous', NOW);
    const ledger = { ...tenToTwenty, next: patch.next, maxTimestamp: patch.maxTimestamp };
    for (const laterMs of [0, 2, 60_000, 1_800_000])
      expect(judge(ledger, at(21, ahead), 'delivery', NOW + laterMs)).toBe('settled');
    // Records of a new topic are, by clocks that are half an hour wrong.
    expect(() => judge(ledger, at(15, NOW + 1_800_001), 'delivery', NOW + 1)).toThrow(/epoch/);
  });

  test('a record ahead of the clock is no sign of a new topic, and no ledger newest by one is', () => {
    const hourAhead = NOW + 3_600_000;
    const halfAnHourAhead = NOW + 1_800_000;
    expect(judge(tenToTwenty, at(12, halfAnHourAhead + 1), 'delivery', NOW)).toBe('settled');
    expect(() => judge(tenToTwenty, at(12, halfAnHourAhead), 'delivery', NOW)).toThrow();
    expect(judge({ ...tenToTwenty, maxTimestamp: hourAhead + 1 }, at(12, 501), 'delivery', NOW)).toBe(
      'settled',
    );
  });

  test('a dead letter is never a sign of a new topic: its time may be that of the letter', () => {
    expect(judge(tenToTwenty, at(12, 501), 'redrive', NOW)).toBe('settled');
  });

  test('records without a timestamp are told apart by offset alone', () => {
    expect(judge(tenToTwenty, at(12, -1), 'delivery', NOW)).toBe('settled');
  });
});

describe('advance', () => {
  test('the first batch begins the interval at its own first offset', () => {
    const { patch, skipped } = advance(none, [settled(5, 70), settled(6, 60)], 'contiguous', NOW);
    expect(patch).toMatchObject({ first: 5, next: 7, maxTimestamp: 70, skipped: [], deadLettered: [] });
    expect(skipped).toBe(0);
  });

  test('offsets missing above the ledger become holes in a contiguous topic only', () => {
    const batch: [Settlement, ...Settlement[]] = [settled(23), settled(26)];
    expect(advance(tenToTwenty, batch, 'contiguous', NOW)).toMatchObject({
      patch: {
        next: 27,
        skipped: [
          { from: 20, to: 23 },
          { from: 24, to: 26 },
        ],
      },
      skipped: 5,
    });
    expect(advance(tenToTwenty, batch, 'sparse', NOW)).toMatchObject({
      patch: { next: 27, skipped: [] },
      skipped: 0,
    });
  });

  test('the ledger grows downwards with holes for what was never delivered, and that is no alarm', () => {
    expect(advance(tenToTwenty, [settled(4), settled(7)], 'sparse', NOW)).toMatchObject({
      patch: {
        first: 4,
        next: 20,
        skipped: [
          { from: 5, to: 7 },
          { from: 8, to: 10 },
        ],
      },
      skipped: 0,
    });
  });

  test('a dead letter leaves a hole and does not count for the newest timestamp', () => {
    expect(
      advance(tenToTwenty, [settled(20, 600), deadLettered(21, 9_999)], 'contiguous', NOW).patch,
    ).toMatchObject({
      next: 22,
      maxTimestamp: 600,
      deadLettered: [{ from: 21, to: 22 }],
    });
  });

  test.each([Number.MAX_SAFE_INTEGER, 2 ** 63, 4_102_444_800_000, NOW + 3_600_001])(
    'a timestamp ahead of the clock, %d, does not become the newest',
    (timestamp) => {
      const { patch } = advance(tenToTwenty, [settled(20, 600), settled(21, timestamp)], 'contiguous', NOW);
      expect(patch.maxTimestamp).toBe(600);
    },
  );

  test('a newest timestamp that an earlier version took from the future is forgotten', () => {
    const blinded = { ...tenToTwenty, maxTimestamp: 4_102_444_800_000 };
    expect(advance(blinded, [settled(20, 600)], 'contiguous', NOW).patch.maxTimestamp).toBe(600);
  });

  test.each([-2, -(2 ** 63), 0.5])(
    'a timestamp of %d stays a whole number from -1 in the ledger',
    (timestamp) => {
      const { patch } = advance(none, [settled(0, timestamp)], 'contiguous', NOW);
      expect(patch.maxTimestamp).toBe(Math.max(-1, Math.floor(timestamp)));
    },
  );

  test('what lies outside of the ledger closes nothing, so that its holes need not be written again', () => {
    const { patch } = advance(
      tenToTwenty,
      [settled(8), settled(9), settled(20), settled(21)],
      'contiguous',
      NOW,
    );
    expect(patch).toMatchObject({ first: 8, next: 22, closed: [] });
  });

  test('a redriven offset closes its part of its hole, a letter that fails again keeps it', () => {
    expect(advance(tenToTwenty, [settled(13)], 'contiguous', NOW).patch).toMatchObject({
      first: 10,
      next: 20,
      closed: [{ from: 13, to: 14 }],
      deadLettered: [],
    });
    expect(advance(tenToTwenty, [deadLettered(13), settled(14)], 'contiguous', NOW).patch).toMatchObject({
      closed: [{ from: 14, to: 15 }],
      deadLettered: [{ from: 13, to: 14 }],
    });
  });
});

import { describe, expect, test } from '@jest/globals';
import { advance, judge, type LedgerView, type Settlement } from '../../runtime/ledger.ts';

const none: LedgerView = { topic: 't', partition: 0, first: null, next: null, maxTimestamp: -1, holes: [] };
const tenToTwenty: LedgerView = {
  ...none,
  first: 10,
  next: 20,
  maxTimestamp: 500,
  holes: [{ from: 13, to: 15 }],
};

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
    expect(judge(none, at(7), 'delivery')).toBe('fresh');
    expect(judge(tenToTwenty, at(20), 'delivery')).toBe('fresh');
    expect(judge(tenToTwenty, at(9), 'delivery')).toBe('fresh');
    expect([12, 13, 14, 15].map((offset) => judge(tenToTwenty, at(offset), 'delivery'))).toEqual([
      'settled',
      'fresh',
      'fresh',
      'settled',
    ]);
  });

  test('a letter ahead of the ledger is early; behind it, it is judged as a delivery', () => {
    expect(judge(none, at(7), 'redrive')).toBe('early');
    expect(judge(tenToTwenty, at(20), 'redrive')).toBe('early');
    expect(judge(tenToTwenty, at(13), 'redrive')).toBe('fresh');
    expect(judge(tenToTwenty, at(9), 'redrive')).toBe('fresh');
    expect(judge(tenToTwenty, at(19), 'redrive')).toBe('settled');
  });

  test('a settled offset with a newer record than was ever settled means that the topic was recreated', () => {
    expect(judge(tenToTwenty, at(12, 500), 'delivery')).toBe('settled');
    expect(() => judge(tenToTwenty, at(12, 501), 'delivery')).toThrow(
      expect.objectContaining({ code: 'TOPIC_RECREATED', message: expect.stringContaining('epoch') }),
    );
  });

  test('records without a timestamp are told apart by offset alone', () => {
    expect(judge(tenToTwenty, at(12, -1), 'delivery')).toBe('settled');
  });
});

describe('advance', () => {
  test('the first batch begins the interval at its own first offset', () => {
    const { patch, passedOver } = advance(none, [settled(5, 70), settled(6, 60)], 'contiguous');
    expect(patch).toMatchObject({ first: 5, next: 7, maxTimestamp: 70, passedOver: [], deadLettered: [] });
    expect(passedOver).toBe(0);
  });

  test('offsets missing above the ledger become holes in a contiguous topic only', () => {
    const batch: [Settlement, ...Settlement[]] = [settled(23), settled(26)];
    expect(advance(tenToTwenty, batch, 'contiguous')).toMatchObject({
      patch: {
        next: 27,
        passedOver: [
          { from: 20, to: 23 },
          { from: 24, to: 26 },
        ],
      },
      passedOver: 5,
    });
    expect(advance(tenToTwenty, batch, 'sparse')).toMatchObject({
      patch: { next: 27, passedOver: [] },
      passedOver: 0,
    });
  });

  test('the ledger grows downwards with holes for what was never delivered, and that is no alarm', () => {
    expect(advance(tenToTwenty, [settled(4), settled(7)], 'sparse')).toMatchObject({
      patch: {
        first: 4,
        next: 20,
        passedOver: [
          { from: 5, to: 7 },
          { from: 8, to: 10 },
        ],
      },
      passedOver: 0,
    });
  });

  test('a dead letter leaves a hole and does not count for the newest timestamp', () => {
    expect(
      advance(tenToTwenty, [settled(20, 600), deadLettered(21, 9_999)], 'contiguous').patch,
    ).toMatchObject({
      next: 22,
      maxTimestamp: 600,
      deadLettered: [{ from: 21, to: 22 }],
    });
  });

  test('a redriven offset closes its part of its hole, a letter that fails again keeps it', () => {
    expect(advance(tenToTwenty, [settled(13)], 'contiguous').patch).toMatchObject({
      first: 10,
      next: 20,
      closed: [{ from: 13, to: 14 }],
      deadLettered: [],
    });
    expect(advance(tenToTwenty, [deadLettered(13), settled(14)], 'contiguous').patch).toMatchObject({
      closed: [{ from: 14, to: 15 }],
      deadLettered: [{ from: 13, to: 14 }],
    });
  });
});

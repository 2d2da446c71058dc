import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type Ledger, NO_LEDGER } from '../../../runtime/delivery/ledger.ts';
import {
  checkLedgers,
  countOffsets,
  historyLost,
  partitionsBehind,
} from '../../../runtime/replay/promotion.ts';

const ledger = (
  first: number,
  next: number,
  skipped: readonly (readonly [number, number])[] = [],
): Ledger => ({
  ...NO_LEDGER,
  first,
  next,
  skipped: skipped.map(([from, to]) => ({ from, to })),
});
const of = (...ledgers: Ledger[]) => new Map(ledgers.map((each, partition) => [partition, each]));

describe('partitionsBehind()', () => {
  test('names each partition in which the candidate has not come as far, lowest first', () => {
    const live = new Map([
      [2, ledger(0, 9)],
      [1, ledger(0, 5)],
      [0, ledger(0, 5)],
    ]);
    expect(partitionsBehind(live, of(ledger(0, 6), ledger(0, 4)))).toEqual([
      { partition: 1, live: 5, candidate: 4 },
      { partition: 2, live: 9, candidate: null },
    ]);
  });

  test('a partition in which the live one has settled nothing is not behind', () => {
    expect(partitionsBehind(of(NO_LEDGER), of())).toEqual([]);
  });

  test('where the log has nothing left for it to read, the candidate is as far as it can come', () => {
    expect(partitionsBehind(of(ledger(0, 5)), of(), new Map([[0, 5]]))).toEqual([]);
    expect(partitionsBehind(of(ledger(0, 5)), of(), new Map([[0, 4]]))).toHaveLength(1);
  });
});

describe('historyLost()', () => {
  test('is what the live ledger has below the first offset of the candidate', () => {
    expect(historyLost(of(ledger(3, 9)), of(ledger(5, 9)))).toEqual([
      { partition: 0, ranges: [{ from: 3, to: 5 }] },
    ]);
    expect(historyLost(of(ledger(5, 9)), of(ledger(3, 9)))).toEqual([]);
  });

  test('is what the candidate skipped and the live one did not', () => {
    const lost = historyLost(of(ledger(0, 9, [[2, 3]])), of(ledger(0, 9, [[1, 4]])));
    expect(lost).toEqual([
      {
        partition: 0,
        ranges: [
          { from: 1, to: 2 },
          { from: 3, to: 4 },
        ],
      },
    ]);
    expect(countOffsets(lost)).toBe(2);
  });

  test('is everything where the log has nothing left', () => {
    expect(countOffsets(historyLost(of(ledger(2, 9)), of(), new Map([[0, 20]])))).toBe(7);
  });

  test('with what is behind and what the candidate has, it is all that the live ledger has', () => {
    const ends = fc.tuple(fc.nat(20), fc.nat(20)).map(([a, b]) => ledger(Math.min(a, b), Math.max(a, b)));
    fc.assert(
      fc.property(ends, ends, (live, candidate) => {
        const lost = countOffsets(historyLost(of(live), of(candidate)));
        const [behind] = partitionsBehind(of(live), of(candidate));
        const missing = behind ? behind.live - Math.max(live.first!, behind.candidate!) : 0;
        const had = Math.max(
          0,
          Math.min(live.next!, candidate.next!) - Math.max(live.first!, candidate.first!),
        );
        expect(lost + missing + had).toBe(live.next! - live.first!);
      }),
    );
  });
});

describe('checkLedgers()', () => {
  test('refuses a partition behind, and names where both are', () => {
    expect(() => checkLedgers('c', of(ledger(0, 9)), of(ledger(0, 7)), {})).toThrow(
      expect.objectContaining({
        code: 'REBUILD_REFUSED',
        message: expect.stringContaining('partition 0 (at 7, live at 9)'),
      }),
    );
  });

  test('refuses to lose history beyond what was said, and says how much it is', () => {
    const check = (mayLose?: number) => () =>
      checkLedgers('c', of(ledger(0, 9)), of(ledger(4, 9)), mayLose === undefined ? {} : { mayLose });
    expect(check()).toThrow(
      expect.objectContaining({
        code: 'REBUILD_REFUSED',
        details: { consumer: 'c', offsets: 4, partitions: [0] },
      }),
    );
    expect(check(3)).toThrow('lack 4 offsets');
    expect(check(4)).not.toThrow();
  });
});

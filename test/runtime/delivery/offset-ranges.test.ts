import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  covers,
  intersect,
  type OffsetRange,
  sizeOf,
  subtract,
  union,
  within,
} from '../../../runtime/delivery/offset-ranges.ts';

const range = fc
  .tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 8 }))
  .map(([from, length]): OffsetRange => ({ from, to: from + length }));
const ranges = fc.array(range, { maxLength: 8 });

/** The same set by counting through every offset there can be. */
function rangesWhere(includes: (offset: number) => boolean): OffsetRange[] {
  const found: { from: number; to: number }[] = [];
  for (let offset = 0; offset <= 50; offset++) {
    if (!includes(offset)) continue;
    const last = found.at(-1);
    if (last?.to === offset) last.to++;
    else found.push({ from: offset, to: offset + 1 });
  }
  return found;
}

const has = (set: readonly OffsetRange[]) => (offset: number) =>
  set.some(({ from, to }) => offset >= from && offset < to);

describe('offset ranges, whatever their order and overlap', () => {
  test('union has what any of the sets has', () => {
    fc.assert(
      fc.property(ranges, ranges, (a, b) => {
        expect(union(a, b)).toEqual(rangesWhere((offset) => has(a)(offset) || has(b)(offset)));
      }),
    );
  });

  test('intersect has what both have', () => {
    fc.assert(
      fc.property(ranges, ranges, (a, b) => {
        expect(intersect(a, b)).toEqual(rangesWhere((offset) => has(a)(offset) && has(b)(offset)));
      }),
    );
  });

  test('a set in normal form tells which offsets it covers, and how many', () => {
    fc.assert(
      fc.property(ranges, (a) => {
        const set = union(a);
        const covered = Array.from({ length: 51 }, (_, offset) => offset).filter((offset) =>
          covers(set, offset),
        );
        expect(covered).toEqual(Array.from({ length: 51 }, (_, offset) => offset).filter(has(a)));
        expect(sizeOf(set)).toBe(covered.length);
      }),
    );
  });

  test('subtract has what the first has and the second has not', () => {
    fc.assert(
      fc.property(ranges, ranges, (a, b) => {
        expect(subtract(a, b)).toEqual(rangesWhere((offset) => has(a)(offset) && !has(b)(offset)));
      }),
    );
  });

  test('within has what the set has inside the window', () => {
    fc.assert(
      fc.property(ranges, range, (a, window) => {
        expect(within(a, window)).toEqual(rangesWhere((offset) => has(a)(offset) && has([window])(offset)));
      }),
    );
  });
});

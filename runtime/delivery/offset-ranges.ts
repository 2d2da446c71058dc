/**
 * Sets of offsets as ranges. Each function gives the normal form: sorted, non-empty, apart from each other
 * (ranges that touch are one). Inputs may be in any order and may overlap.
 */

/** Offsets `[from, to)`. */
export interface OffsetRange {
  readonly from: number;
  readonly to: number;
}

/** Single offsets as ranges. */
export function rangesOf(offsets: readonly number[]): OffsetRange[] {
  return union(offsets.map((from) => ({ from, to: from + 1 })));
}

/** All offsets that are in any of the sets. */
export function union(...sets: readonly (readonly OffsetRange[])[]): OffsetRange[] {
  const sorted = sets.flat().filter(({ from, to }) => from < to);
  sorted.sort((a, b) => a.from - b.from);
  const merged: OffsetRange[] = [];
  for (const range of sorted) {
    const last = merged.at(-1);
    if (last && range.from <= last.to) {
      merged[merged.length - 1] = { from: last.from, to: Math.max(last.to, range.to) };
    } else {
      merged.push({ from: range.from, to: range.to });
    }
  }
  return merged;
}

/** The offsets of `set` that are not in `removed`. */
export function subtract(set: readonly OffsetRange[], removed: readonly OffsetRange[]): OffsetRange[] {
  const cuts = union(removed);
  const kept: OffsetRange[] = [];
  let at = 0;
  for (const range of union(set)) {
    let from = range.from;
    while (at < cuts.length && cuts[at]!.to <= from) at++;
    // The last cut that begins in this range may reach into the next.
    for (; at < cuts.length && cuts[at]!.from < range.to; at++) {
      const cut = cuts[at]!;
      if (cut.from > from) kept.push({ from, to: cut.from });
      from = cut.to;
      if (cut.to > range.to) break;
    }
    if (from < range.to) kept.push({ from, to: range.to });
  }
  return kept;
}

/** The offsets that are in both sets. */
export function intersect(a: readonly OffsetRange[], b: readonly OffsetRange[]): OffsetRange[] {
  return subtract(a, subtract(a, b));
}

/** How many offsets the ranges hold. */
export function sizeOf(ranges: readonly OffsetRange[]): number {
  return ranges.reduce((sum, { from, to }) => sum + to - from, 0);
}

/** Whether one of the ranges, which are in normal form, holds the offset. */
export function covers(sortedRanges: readonly OffsetRange[], offset: number): boolean {
  let low = 0;
  let high = sortedRanges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sortedRanges[middle]!.to <= offset) low = middle + 1;
    else high = middle;
  }
  return low < sortedRanges.length && sortedRanges[low]!.from <= offset;
}

/** The offsets of `set` that `window` holds too. */
export function within(set: readonly OffsetRange[], window: OffsetRange): OffsetRange[] {
  return union(
    set.map(({ from, to }) => ({ from: Math.max(from, window.from), to: Math.min(to, window.to) })),
  );
}

/**
 * Sets of offsets as ranges. Each function gives the normal form: sorted, non-empty, apart from each other
 * (ranges that touch are one). Inputs may be in any order and may overlap.
 */

/** Offsets `[from, to)`. */
export interface OffsetRange {
  readonly from: number;
  readonly to: number;
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
  return union(set).flatMap((range) => {
    const kept: OffsetRange[] = [];
    let from = range.from;
    for (const cut of cuts) {
      if (cut.to <= from) continue;
      if (cut.from >= range.to) break;
      if (cut.from > from) kept.push({ from, to: cut.from });
      from = cut.to;
    }
    if (from < range.to) kept.push({ from, to: range.to });
    return kept;
  });
}

/** The offsets of `set` that `window` holds too. */
export function within(set: readonly OffsetRange[], window: OffsetRange): OffsetRange[] {
  return union(
    set.map(({ from, to }) => ({ from: Math.max(from, window.from), to: Math.min(to, window.to) })),
  );
}

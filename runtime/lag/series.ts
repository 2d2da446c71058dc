/** Samples over time: how fast records come in and go out, and since when nothing has moved. */
import type { ConsumerSample, PartitionSample } from './sample.ts';

/** What a sample says of one partition, or of all together. */
export interface Point {
  readonly at: number;
  readonly committed: number | null;
  readonly start: number | null;
  readonly end: number | null;
  readonly lag: number | null;
  /** Offsets that were deleted before they were read. */
  readonly lost: number | null;
  /** How many were deleted unread since the first of a series' points: they are not read, and not committed. */
  readonly deleted: number;
  readonly nextAt: number | null;
  /** Why `lag` is null. */
  readonly unknown?: string;
}

export interface Rates {
  readonly inPerSecond: number | null;
  readonly outPerSecond: number | null;
  /**
   * How fast the lag shrinks by what is read; negative where it grows. Known also where only the lag is. One odd sample
   * does not move it.
   */
  readonly drainPerSecond: number;
  /** The same between samples one after the other. */
  readonly drains: readonly number[];
  /** The faster of in and out, so that one odd sample does not move it; null where the offsets are unknown. */
  readonly pace: number | null;
  readonly spanMs: number;
}

function partitionPoint(at: number, of: PartitionSample): Point {
  const { committed, start, end, nextAt } = of;
  const unknown = (why: string): Point => ({
    at,
    committed: typeof committed === 'number' ? committed : null,
    start,
    end,
    lag: null,
    lost: null,
    deleted: 0,
    nextAt: null,
    unknown: `Partition ${of.partition}: ${why}`,
  });
  if (committed === null) return unknown('its committed offset is unknown.');
  if (start === null || end === null) return unknown('where it begins and ends is unknown.');
  const begins = of.begins === undefined ? start : of.begins;
  if (committed === 'none' && begins === null)
    return unknown(
      `nothing is committed in it, and where a consumer that starts at LATEST began there only its runner knows: of ${end - start} records it may have read none or all.`,
    );
  const from = committed === 'none' ? begins! : committed;
  if (from > end)
    return unknown(`${from} is committed and it ends at ${end}: the topic was created again, or cut off.`);
  const lag = end - Math.max(from, start);
  const lost = committed === 'none' ? 0 : Math.max(0, start - committed);
  return { at, committed: from, start, end, lag, lost, deleted: 0, nextAt: lag > 0 ? nextAt : null };
}

/** All partitions together: null as soon as one is unknown, because a part of a sum would look like a small sum. */
export function totalPoint(sample: Pick<ConsumerSample, 'at' | 'partitions' | 'total' | 'unknown'>): Point {
  return sumOf(sample, sample.partitions?.map((each) => partitionPoint(sample.at, each)) ?? []);
}

/** @param points of the sample's partitions */
function sumOf(
  { at, partitions, total, unknown: why }: Pick<ConsumerSample, 'at' | 'partitions' | 'total' | 'unknown'>,
  points: readonly Point[],
): Point {
  const nothing = { at, committed: null, start: null, end: null, lost: null, deleted: 0 };
  if (partitions === null) {
    const { lag = null, nextAt = null, lost = null } = total ?? {};
    const known = { ...nothing, lag, nextAt, lost };
    if (known.lag !== null) return known;
    return { ...known, unknown: why ?? 'Its lag is unknown.' };
  }
  // A topic that was deleted, or a cluster that is the wrong one: that would look like nothing to do.
  if (partitions.length === 0)
    return { ...nothing, lag: null, nextAt: null, unknown: why ?? 'Its topic does not exist.' };
  const sum = (of: (point: Point) => number | null) => {
    const values = points.map(of);
    return values.includes(null) ? null : values.reduce<number>((all, value) => all + value!, 0);
  };
  const times = points.flatMap(({ nextAt }) => (nextAt === null ? [] : [nextAt]));
  const unknown = points.find((point) => point.unknown !== undefined)?.unknown;
  return {
    at,
    committed: sum(({ committed, lag }) => (lag === null ? null : committed)),
    start: sum(({ start }) => start),
    end: sum(({ end }) => end),
    lag: sum(({ lag }) => lag),
    lost: sum(({ lost }) => lost),
    deleted: points.reduce((all, { deleted }) => all + deleted, 0),
    nextAt: times.length > 0 ? Math.min(...times) : null,
    ...(unknown !== undefined && { unknown }),
  };
}

/** What samples say over time, the oldest first: of each partition, and of all together. */
export interface PointSeries {
  readonly byPartition: ReadonlyMap<number, readonly Point[]>;
  readonly total: readonly Point[];
}

export function pointsOf(samples: readonly ConsumerSample[]): PointSeries {
  const byPartition = new Map<number, Point[]>();
  const known = new Map<number | 'total', Known>();
  let total: Point[] = [];
  let most = 0;
  for (const sample of samples) {
    const points = (sample.partitions ?? []).map((each) => {
      const point = following(
        partitionPoint(sample.at, each),
        each.committed !== 'none',
        known,
        each.partition,
      );
      const before = byPartition.get(each.partition);
      if (before) before.push(point);
      else byPartition.set(each.partition, [point]);
      return point;
    });
    // What partitions hold when they are first seen did not come in since the sample before.
    if (points.length > most) total = [];
    most = Math.max(most, points.length);
    const sum = sumOf(sample, points);
    total.push(sample.partitions === null ? following(sum, true, known, 'total') : sum);
  }
  return { byPartition, total };
}

/** The last point of a partition whose lag was known. */
interface Known {
  readonly point: Point;
  readonly isCommitted: boolean;
}

/** The point with what was deleted unread up to it. */
function following(
  point: Point,
  isCommitted: boolean,
  known: Map<number | 'total', Known>,
  of: number | 'total',
): Point {
  const before = known.get(of);
  if (point.lag === null) return { ...point, deleted: before?.point.deleted ?? 0 };
  let deleted = 0;
  if (before) {
    const moved =
      isCommitted || before.isCommitted
        ? (point.lost ?? 0) - (before.point.lost ?? 0)
        : firstUnread(point) - firstUnread(before.point);
    deleted = before.point.deleted + Math.max(0, moved);
  }
  const next = { ...point, deleted };
  known.set(of, { point: next, isCommitted });
  return next;
}

function firstUnread({ end, lag }: Point): number {
  return end! - lag!;
}

/**
 * How far a consumer has come by reading. Its commits tell, but for what was deleted before it: a group that goes on behind
 * that has not read it, and one that never commits gets nowhere, though the oldest offset moves.
 */
function progress({ end, lag, deleted }: Point): number | null {
  return end === null || lag === null ? null : end - lag - deleted;
}

/** The rates over the newest points; null where there are not two points with a lag, or time stood still. */
export function ratesOver(points: readonly Point[], windowMs: number): Rates | null {
  const known = points.filter(({ lag }) => lag !== null);
  const last = known.at(-1);
  if (!last || last !== points.at(-1)) return null;
  // A slow watch has few points in the window: three are needed for a range.
  const from = Math.min(
    known.findIndex(({ at }) => at >= last.at - windowMs),
    Math.max(0, known.length - 3),
  );
  const used = known.slice(from).filter(({ at }, index, all) => index === 0 || at > all[index - 1]!.at);
  const first = used[0]!;
  if (used.length < 2) return null;
  const seconds = (a: Point, b: Point) => (b.at - a.at) / 1_000;
  const mean = (of: (point: Point) => number | null) => {
    const [from, to] = [of(first), of(last)];
    return from === null || to === null ? null : Math.max(0, to - from) / seconds(first, last);
  };
  // Of thousands of partitions at each look: without a list for each point.
  const slope = (of: (point: Point) => number | null) => {
    const values = used.map(of);
    const slopes: number[] = [];
    for (const [index, a] of values.entries()) {
      for (let next = index + 1; next < used.length; next++) {
        const b = values[next];
        if (a !== null && b != null) slopes.push((b - a) / seconds(used[index]!, used[next]!));
      }
    }
    return median(slopes);
  };
  const [incoming, outgoing] = [slope(({ end }) => end), slope(progress)];
  return {
    inPerSecond: mean(({ end }) => end),
    outPerSecond: mean(progress),
    drainPerSecond: -slope(unread)!,
    drains: used
      .slice(1)
      .map((point, index) => (unread(used[index]!) - unread(point)) / seconds(used[index]!, point)),
    pace: incoming === null || outgoing === null ? null : Math.max(incoming, outgoing, 0),
    spanMs: last.at - first.at,
  };
}

/** The lag with what was deleted meanwhile: retention catches up for nobody. */
function unread({ lag, deleted }: Point): number {
  return lag! + deleted;
}

/** Of the slopes between all pairs it is a line that no single point can bend (Theil and Sen). */
function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  if (sorted.length === 0) return null;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** When the consumer last got on; null where no two points differ. */
export function lastProgressAt(points: readonly Point[]): number | null {
  const known = points.filter((point) => progress(point) !== null);
  const newest = known.at(-1);
  const before = newest ? known.findLastIndex((point) => progress(point) !== progress(newest)) : -1;
  return before < 0 ? null : known[before + 1]!.at;
}

/** Since when there has been work and no commit, as far as the points go back; null where that is not so. */
export function idleSince(points: readonly Point[]): number | null {
  const newest = points.at(-1);
  if (!newest?.lag || progress(newest) === null) return null;
  let since = newest.at;
  for (const point of points.toReversed()) {
    // A sample that failed says nothing.
    if (progress(point) === null) continue;
    if (progress(point) !== progress(newest) || point.lag === 0) break;
    since = point.at;
  }
  return since;
}

/**
 * Which of these times to remember: the older, the further apart. `newest` is one of them.
 * @param gapShare how far apart, as a share of their age. @default 1/8, some forty in an hour
 */
export function thinned<Item extends { readonly at: number }>(
  items: readonly Item[],
  {
    keptMs,
    leastGapMs,
    gapShare = 1 / 8,
  }: { readonly keptMs: number; readonly leastGapMs: number; readonly gapShare?: number },
): Item[] {
  const newest = items.at(-1);
  if (!newest) return [];
  const kept: Item[] = [];
  // From the oldest on, or each sample would move the gaps and nothing would ever grow old.
  for (const item of items) {
    const age = newest.at - item.at;
    const before = kept.at(-1);
    if (age > keptMs) continue;
    const gap = Math.max(leastGapMs, age * gapShare);
    if (item !== newest && before && item.at - before.at < gap) continue;
    kept.push(item);
  }
  return kept;
}

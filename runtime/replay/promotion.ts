/**
 * What promote asks of two ledgers: whether the candidate's has come as far as the live one, and what of the live one's
 * history it lacks. All whole ledgers, by partition, as read under both locks.
 */
import { type Ledger, NO_LEDGER } from '../delivery/ledger.ts';
import { type OffsetRange, subtract, union } from '../delivery/offset-ranges.ts';
import { MillraceError } from '../errors.ts';

/** By partition. One that is missing has settled nothing. */
export type Ledgers = ReadonlyMap<number, Ledger>;

/** By partition, the oldest offset that the log still has. Nothing below it can be read again. */
export type OldestOffsets = ReadonlyMap<number, number>;

export interface PartitionBehind {
  readonly partition: number;
  /** One past the highest offset the live ledger knows. */
  readonly live: number;
  /** How far the candidate has come; null where it has settled nothing. */
  readonly candidate: number | null;
}

/**
 * The partitions in which the candidate lacks offsets that the live ledger knows, lowest first. Were one promoted, those
 * offsets might be committed in its group already, so that nobody delivers them again.
 * @param oldest without it, a partition that retention has emptied counts as behind until its next record
 */
export function partitionsBehind(
  live: Ledgers,
  candidate: Ledgers,
  oldest: OldestOffsets = new Map(),
): readonly PartitionBehind[] {
  return sorted(live).flatMap(([partition, { next }]) => {
    const reached = candidate.get(partition)?.next ?? null;
    if (next === null || Math.max(reached ?? 0, oldest.get(partition) ?? 0) >= next) return [];
    return [{ partition, live: next, candidate: reached }];
  });
}

export interface PartitionHistory {
  readonly partition: number;
  readonly ranges: readonly OffsetRange[];
}

/**
 * The offsets that the live ledger has settled or holds as dead letters, and that the candidate never had, because retention
 * had deleted them: below its first one, and skipped by it. What it has yet to reach is not among them.
 */
export function historyLost(
  live: Ledgers,
  candidate: Ledgers,
  oldest: OldestOffsets = new Map(),
): readonly PartitionHistory[] {
  return sorted(live).flatMap(([partition, { first, next, skipped }]) => {
    if (first === null || next === null) return [];
    const other = candidate.get(partition) ?? NO_LEDGER;
    const reached = Math.min(next, Math.max(other.next ?? 0, oldest.get(partition) ?? 0));
    const had =
      other.first === null || other.next === null
        ? []
        : subtract([{ from: other.first, to: other.next }], other.skipped);
    const ranges = reached <= first ? [] : subtract([{ from: first, to: reached }], union(skipped, had));
    return ranges.length === 0 ? [] : [{ partition, ranges }];
  });
}

export function countOffsets(histories: readonly PartitionHistory[]): number {
  return histories.flatMap(({ ranges }) => ranges).reduce((total, { from, to }) => total + to - from, 0);
}

/**
 * Lets a promote go on.
 * @param mayLose how many offsets of the live ledger the candidate may lack for good
 * @throws REBUILD_REFUSED naming the partitions behind, or how much history would be lost
 */
export function checkLedgers(
  consumer: string,
  live: Ledgers,
  candidate: Ledgers,
  {
    mayLose = 0,
    oldest,
  }: { readonly mayLose?: number | undefined; readonly oldest?: OldestOffsets | undefined },
): void {
  const behind = partitionsBehind(live, candidate, oldest);
  if (behind.length > 0) throw refusedBehind(consumer, behind);
  const lost = historyLost(live, candidate, oldest);
  const offsets = countOffsets(lost);
  if (offsets > mayLose) throw refusedHistory(consumer, lost, offsets);
}

function refusedBehind(consumer: string, behind: readonly PartitionBehind[]): MillraceError {
  const each = behind.map(
    ({ partition, live, candidate }) => `${partition} (at ${candidate ?? 'its start'}, live at ${live})`,
  );
  return new MillraceError(
    'REBUILD_REFUSED',
    `The rebuild of ${consumer} is behind the live tables in partition ${someOf(each)}. Nothing has changed. Wait until it has caught ` +
      'up, see that its consumer runs, and promote again.',
    { details: { reason: 'behind', consumer, partitions: behind.map(({ partition }) => partition) } },
  );
}

function refusedHistory(consumer: string, lost: readonly PartitionHistory[], offsets: number): MillraceError {
  const each = lost.map(
    ({ partition, ranges }) =>
      `${partition} (${ranges.map(({ from, to }) => `${from} to ${to - 1}`).join(', ')})`,
  );
  return new MillraceError(
    'REBUILD_REFUSED',
    `The other tables of ${consumer} lack ${offsets} offsets that the live ones have, in partition ${someOf(each)}: they have not been ` +
      'read for them, and the topic has them no longer. Nothing has changed. If the archive has them, let the rebuild read it to its end, ' +
      `or rebuild from it; to lose them: --may-lose ${offsets}.`,
    { details: { consumer, offsets, partitions: lost.map(({ partition }) => partition) } },
  );
}

const MOST_NAMED = 8;

function someOf(names: readonly string[]): string {
  const rest = names.length - MOST_NAMED;
  return names.slice(0, MOST_NAMED).join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}

function sorted(ledgers: Ledgers): (readonly [number, Ledger])[] {
  return [...ledgers].sort(([a], [b]) => a - b);
}

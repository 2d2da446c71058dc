/**
 * Replays what a ledger does not hold: skipped offsets, offsets below its `first`, and those from its `next` up to the
 * committed one, which a sink restored to an earlier time lacks. A plan's ends are offsets and do not move.
 */

import type { RecordReader } from '../archive/reader.ts';
import { type OffsetRange, sizeOf, subtract, union, within } from '../delivery/offset-ranges.ts';
import { account, type PartitionFacts } from './audit.ts';

export interface PartitionGaps {
  readonly partition: number;
  /** What the log or the archive still has, at least in part. */
  readonly ranges: readonly OffsetRange[];
  /** Older than all that the log and the archive have. */
  readonly deleted: readonly OffsetRange[];
}

/**
 * The gaps of each partition that has any. Dead-lettered offsets are none, since a redrive brings them; nor are discarded
 * ones, which nobody wants.
 */
export async function findGaps(
  partitions: readonly PartitionFacts[],
  reader: Pick<RecordReader, 'bounds'>,
): Promise<readonly PartitionGaps[]> {
  const found = await Promise.all(
    partitions.map(async (facts): Promise<PartitionGaps> => {
      const { partition } = facts;
      const missing = gapsIn(facts);
      if (missing.length === 0) return { partition, ranges: [], deleted: [] };
      const { start, end } = await reader.bounds(partition);
      const kept = { from: start, to: end };
      return { partition, ranges: within(missing, kept), deleted: within(missing, { from: 0, to: start }) };
    }),
  );
  return found.filter(({ ranges, deleted }) => ranges.length + deleted.length > 0);
}

/**
 * What of one partition is in no table, and nothing but a replay brings. Of what a restored sink lacks, records that had
 * become dead letters are part, too: behind the ledger's end no redrive reaches them, and they fail again in their order.
 */
function gapsIn(facts: PartitionFacts): readonly OffsetRange[] {
  const { skipped, unaccounted, deleted, deadLettered } = account(facts);
  const dead = facts.ledger?.deadLettered ?? [];
  // The archive may have what retention has deleted; nobody has what the log never had.
  return within(subtract(union(skipped, unaccounted, deleted, deadLettered), dead), {
    from: 0,
    to: facts.end,
  });
}

/** What of the plan's ranges the ledgers still lack: a replay that was killed goes on with it. */
export function remainingOf(
  planned: readonly Pick<PartitionGaps, 'partition' | 'ranges'>[],
  partitions: readonly PartitionFacts[],
): readonly Pick<PartitionGaps, 'partition' | 'ranges'>[] {
  const factsOf = new Map(partitions.map((facts) => [facts.partition, facts]));
  return planned.flatMap(({ partition, ranges }) => {
    const facts = factsOf.get(partition);
    if (!facts) return [];
    const left = subtract(ranges, subtract(ranges, gapsIn(facts)));
    return left.length > 0 ? [{ partition, ranges: left }] : [];
  });
}

/** What a replay of these ranges came to, by the ledgers after it. */
export interface GapsOutcome {
  readonly applied: number;
  readonly deadLettered: number;
  /** Delivered, and yet in no table. */
  readonly left: number;
}

export function outcomeOf(
  planned: readonly Pick<PartitionGaps, 'partition' | 'ranges'>[],
  partitions: readonly PartitionFacts[],
  unread: ReadonlyMap<number, readonly OffsetRange[]>,
): GapsOutcome {
  const factsOf = new Map(partitions.map((facts) => [facts.partition, facts]));
  const outcome = { applied: 0, deadLettered: 0, left: 0 };
  for (const { partition, ranges } of planned) {
    const facts = factsOf.get(partition);
    if (!facts) continue;
    const { applied, deadLettered } = account(facts);
    const sizeIn = (of: readonly OffsetRange[]) => sizeOf(ranges.flatMap((range) => within(of, range)));
    outcome.applied += sizeIn(applied);
    outcome.deadLettered += sizeIn(deadLettered);
    outcome.left += sizeIn(subtract(gapsIn(facts), unread.get(partition) ?? []));
  }
  return outcome;
}

/**
 * What a rebuild reads, and when it has caught up. Its ends are frozen in the plan, as offsets: a record with a time in
 * the future, or traffic that never stops, cannot move them.
 */
import type { AnyConsumer } from '../delivery/consumer.ts';
import type { TopicPartition } from '../record.ts';
import type { LogReader } from '../topics.ts';
import { offsetBehind } from './time-bounds.ts';

/** The offsets `[from, to)` of a partition that a rebuild reads before it follows the live generation. */
export interface PartitionPlan {
  readonly partition: number;
  readonly from: number;
  readonly to: number;
}

/** What a rebuild does. The same plan, run again after a kill, goes on. */
export interface RebuildPlan {
  /** The rebuild's, and the handler's `replay.id`. */
  readonly id: string;
  readonly consumer: string;
  /** What tells the ledger that its offsets are about from every other. */
  readonly ledger: string;
  /** What tells the code that it runs with. */
  readonly code: string;
  /** Records from this time on, in epoch milliseconds; null for as much history as there is. */
  readonly fromMs: number | null;
  /** Epoch milliseconds. */
  readonly plannedAt: number;
  readonly partitions: readonly PartitionPlan[];
  /** Offsets that the live ledger holds and that the rebuild does not read: deleted by retention, or before `fromMs`. */
  readonly missing: number;
  /** The names of the migrations that make the candidate's tables. */
  readonly migrations: readonly string[];
}

/** A ledger's bounds in one partition. */
export interface LedgerBounds {
  readonly partition: number;
  readonly first: number | null;
  readonly next: number | null;
  /** What its group has committed; missing or null where that is unknown, or nothing. */
  readonly committed?: number | null;
}

/** Where the candidate stands in one partition. */
export interface CandidatePosition {
  readonly partition: number;
  /** The candidate ledger's `next`; null before its first record. */
  readonly next: number | null;
  /** What its group has committed; null before it began. Passes offsets that hold no record. */
  readonly committed: number | null;
  /** The live ledger's `next`; null where it has none. */
  readonly live: number | null;
}

export interface RebuildProgress {
  /** Offsets of the plan that the candidate has been through. */
  readonly done: number;
  readonly total: number;
  /** Offsets that the candidate's ledger is behind the live one. */
  readonly behind: number;
  /** Whether the plan's ends are reached. */
  readonly isThrough: boolean;
  /** Whether they are, and no partition is behind the live one: a promote may be tried. */
  readonly isCaughtUp: boolean;
}

/**
 * Freezes what a rebuild reads: from the oldest record, or where the live ledger begins if the consumer began later than
 * that, up to where the live ledger is now. What the live one has yet to apply is left to whichever is live then: only that
 * one's handlers may have effects outside.
 * @param live the bounds of the live ledger, by partition
 */
export async function planRebuild(
  {
    consumer,
    ...about
  }: Pick<RebuildPlan, 'id' | 'ledger' | 'code' | 'fromMs' | 'plannedAt'> & {
    readonly consumer: AnyConsumer;
  },
  reader: Pick<LogReader, 'partitions' | 'bounds' | 'offsetAt'>,
  live: readonly LedgerBounds[],
): Promise<RebuildPlan> {
  const topic = consumer.topic.name;
  const boundsOf = new Map(live.map((each) => [each.partition, each]));
  const count = await reader.partitions(topic);
  const partitions: PartitionPlan[] = [];
  let missing = 0;
  for (let partition = 0; partition < count; partition++) {
    const of = { topic, partition };
    const { start, end } = await reader.bounds(of);
    const known = boundsOf.get(partition);
    const wanted = await beginning(consumer, about.fromMs, known, reader, of, { start, end });
    // At least the last record that the live one has had: a ledger without a record has no place to go on from.
    const last = known?.next != null ? known.next - 1 : (known?.committed ?? end);
    const from = Math.min(end, Math.max(start, Math.min(wanted, last)));
    partitions.push({ partition, from, to: Math.max(from, Math.min(end, known?.next ?? from)) });
    if (known?.first != null && known.next != null) {
      missing += Math.max(0, Math.min(from, known.next) - known.first);
    }
  }
  return {
    ...about,
    consumer: consumer.name,
    partitions,
    missing,
    migrations: consumer.migrations.map(({ name }) => name),
  };
}

/** Freezes the records of a time: from the first at or after `fromMs` to the last before `toMs`. */
export async function planShadow(
  {
    toMs,
    consumer,
    ...about
  }: Pick<RebuildPlan, 'id' | 'ledger' | 'code' | 'plannedAt'> & {
    readonly fromMs: number;
    readonly toMs: number;
    readonly consumer: AnyConsumer;
  },
  reader: Pick<LogReader, 'partitions' | 'bounds' | 'offsetAt' | 'read' | 'passed'>,
  live: readonly LedgerBounds[],
): Promise<RebuildPlan> {
  const plan = await planRebuild({ ...about, consumer }, reader, live);
  const partitions = plan.partitions.map(async ({ partition, from, to }) => {
    const end = await offsetBehind(reader, { topic: consumer.topic.name, partition }, toMs, to);
    return { partition, from, to: Math.max(from, end) };
  });
  return { ...plan, partitions: await Promise.all(partitions), missing: 0 };
}

/** Whether the plan reads everything that the ledger has been through, so that the tables of both can be told to be equal. */
export function coversLedger({ partitions }: RebuildPlan, live: readonly LedgerBounds[]): boolean {
  const planned = new Map(partitions.map((each) => [each.partition, each]));
  return live.every(({ partition, first, next }) => {
    const { from, to } = planned.get(partition) ?? { from: 0, to: 0 };
    return first === null || next === null || (from <= first && to >= next);
  });
}

async function beginning(
  { startingPosition }: AnyConsumer,
  fromMs: number | null,
  live: LedgerBounds | undefined,
  reader: Pick<LogReader, 'offsetAt'>,
  of: TopicPartition,
  { start, end }: { readonly start: number; readonly end: number },
): Promise<number> {
  if (fromMs !== null) return reader.offsetAt(of, fromMs);
  if (startingPosition === 'TRIM_HORIZON') return start;
  // One that began later has never had what is older, and its readers do not expect it.
  const begun = live?.first ?? live?.committed;
  if (begun != null) return begun;
  return startingPosition === 'LATEST' ? end : reader.offsetAt(of, startingPosition.atTimestampMs);
}

/** How far a candidate is. */
export function progressOf(
  plan: readonly PartitionPlan[],
  positions: readonly CandidatePosition[],
): RebuildProgress {
  const planned = new Map(plan.map((each) => [each.partition, each]));
  let [done, total, behind] = [0, 0, 0];
  let isThrough = true;
  for (const { partition, next, committed, live } of positions) {
    // A partition that the topic was given since has no end to reach; it must not be behind.
    const { from, to } = planned.get(partition) ?? { from: 0, to: 0 };
    // A group stands behind what its ledger holds, but for offsets without a record.
    const reached = Math.max(next ?? from, committed ?? from);
    total += to - from;
    done += Math.min(to, Math.max(from, reached)) - from;
    behind += Math.max(0, (live ?? 0) - (next ?? from));
    if (reached < to) isThrough = false;
  }
  return { done, total, behind, isThrough, isCaughtUp: isThrough && behind === 0 };
}

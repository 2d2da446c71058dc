/**
 * The ledger as pure arithmetic: which offsets of a partition are settled, as one interval `[first, next)` minus
 * holes. A sink keeps it; `settle` is its only writer. Promises 1 and 2 of docs/delivery.md rest on this file.
 */
import { MillraceError } from '../errors.ts';
import { type TopicPartition, timestampText } from '../record.ts';
import type { LogTime } from './log-time.ts';
import { covers, type OffsetRange, subtract, union, within } from './offset-ranges.ts';

/**
 * Why records come that the consumer has had before, or that its readers do not see: `gaps` fills what the ledger lacks,
 * `shadow` compares, `rebuild` fills tables that are not live. Effects outside the sink, such as e-mails, have been
 * had already.
 */
export interface Replay {
  readonly id: string;
  readonly kind: 'gaps' | 'shadow' | 'rebuild';
}

/** A ledger as read under its lock. */
export interface LedgerView extends TopicPartition {
  /** The lowest offset the ledger knows; null, like `next`, before anything was settled. */
  readonly first: number | null;
  /** One past the highest offset the ledger knows. */
  readonly next: number | null;
  /** The greatest timestamp among the records settled, but for those ahead of the clock; -1 before any. */
  readonly maxTimestamp: number;
  /** The holes, dead-lettered or skipped, that meet the offsets asked for; sorted, disjoint. */
  readonly holes: readonly OffsetRange[];
  /** Set where the ledger is that of tables which readers do not see: as read under the lock, so never a moment late. */
  readonly replay?: Replay | null;
  /** What is remembered of the partition's keys: absent where there is nothing, so that nothing is looked up. */
  readonly keys?: KeyCounts;
  /** The time that its records tell; absent before it was ever asked for. */
  readonly logTime?: LogTime;
}

/** How much a partition remembers of its keys. Read from the locked ledger itself, so never a moment late. */
export interface KeyCounts {
  /** Open letters of records with a key. */
  readonly letters: number;
  /** Parked records. */
  readonly parked: number;
  /** Whether parked records may be waiting for no letter any more. */
  readonly isDraining: boolean;
}

/**
 * What to change in a ledger. The sink applies it as set arithmetic on offsets:
 * `deadLettered' = deadLettered − closed + patch.deadLettered`,
 * `skipped' = skipped − closed − patch.deadLettered + patch.skipped`.
 */
export interface LedgerPatch extends TopicPartition {
  readonly first: number;
  readonly next: number;
  readonly maxTimestamp: number;
  /** Offsets inside `[first, next)` that are settled now. */
  readonly closed: readonly OffsetRange[];
  readonly deadLettered: readonly OffsetRange[];
  readonly skipped: readonly OffsetRange[];
  /** @default as it was */
  readonly logTime?: LogTime | undefined;
}

/** A whole ledger, with its holes told apart: for sinks that keep it as one thing. */
export interface Ledger {
  readonly first: number | null;
  readonly next: number | null;
  readonly maxTimestamp: number;
  readonly deadLettered: readonly OffsetRange[];
  readonly skipped: readonly OffsetRange[];
  readonly logTime?: LogTime | undefined;
}

/** Of a partition of which nothing was ever settled. */
export const NO_LEDGER: Ledger = { first: null, next: null, maxTimestamp: -1, deadLettered: [], skipped: [] };

/** The ledger as `LedgerPatch` says. */
export function applyPatch(ledger: Ledger, { first, next, maxTimestamp, ...change }: LedgerPatch): Ledger {
  const { closed, deadLettered, skipped, logTime = ledger.logTime } = change;
  return {
    first,
    next,
    maxTimestamp,
    ...(logTime && { logTime }),
    deadLettered: union(subtract(ledger.deadLettered, closed), deadLettered),
    skipped: union(subtract(ledger.skipped, [...closed, ...deadLettered]), skipped),
  };
}

/** What a request sees of a ledger. */
export function viewOf(ledger: Ledger, window: TopicPartition & OffsetRange): LedgerView {
  const { topic, partition } = window;
  const { first, next, maxTimestamp, deadLettered, skipped, logTime } = ledger;
  const holes = within(union(deadLettered, skipped), window);
  return { topic, partition, first, next, maxTimestamp, holes, ...(logTime && { logTime }) };
}

/**
 * How a record came: from the event source, in the partition's order; as a dead letter given back; or from those
 * parked. Only a delivery may move `next` on: a letter ahead of it belongs to a delivery that is not over.
 */
export type Arrival = 'delivery' | 'redrive' | 'release';

/**
 * - `fresh`: not settled; run it.
 * - `settled`: applied or discarded before; drop it.
 * - `early`: a letter whose own delivery has not been committed; it waits.
 */
export type Verdict = 'fresh' | 'settled' | 'early';

interface Stamped {
  readonly offset: number;
  readonly timestamp: number;
}

/**
 * Judges one record against the ledger, at the time `now`.
 *
 * A record that a delivery brings under a settled offset, newer than all that ever was settled, is of a new topic. A
 * dead letter proves nothing of the kind: its time may be that of the letter.
 * @throws TOPIC_RECREATED when an offset counts as settled but its record is newer than all that ever was
 */
export function judge(ledger: LedgerView, record: Stamped, arrival: Arrival, now: number): Verdict {
  const { first, next, maxTimestamp } = ledger;
  if (first === null || next === null || record.offset >= next) {
    return arrival === 'delivery' ? 'fresh' : 'early';
  }
  if (record.offset < first || covers(ledger.holes, record.offset)) return 'fresh';
  // One that was left out of `maxTimestamp` for being ahead is less so when a crash has it delivered again.
  const isDated = isPlausible(record.timestamp, now - REDELIVERED_MS) && isPlausible(maxTimestamp, now);
  if (arrival === 'delivery' && isDated && record.timestamp > maxTimestamp)
    throw topicRecreated(ledger, record);
  return 'settled';
}

/** Kafka 4's own default: https://kafka.apache.org/documentation/#topicconfigs_message.timestamp.after.max.ms (2026-11-26) */
const MOST_AHEAD_MS = 3_600_000;
/** What a crash, an outage or a retry delivers again comes sooner. */
const REDELIVERED_MS = 1_800_000;

/** Producers set timestamps as they like: one ahead of the clock says nothing about when its record was written. */
function isPlausible(timestamp: number, now: number): boolean {
  return timestamp <= now + MOST_AHEAD_MS;
}

/** A record that was `fresh` and what became of it. */
export interface Settlement extends Stamped {
  readonly isDeadLettered: boolean;
}

/**
 * The patch that settles `settlements` (of one partition, in offset order, each judged `fresh`), and how many
 * offsets the event source skipped to get here.
 *
 * Offsets missing above the ledger are a batch that the event source gave up on, unless the topic's offsets are
 * `sparse`. Offsets missing below it were never delivered, so they are holes too, but no sign of trouble.
 */
export function advance(
  ledger: LedgerView,
  settlements: readonly [Settlement, ...Settlement[]],
  offsets: 'contiguous' | 'sparse',
  now: number,
): { readonly patch: LedgerPatch; readonly skipped: number } {
  const lowest = settlements[0].offset;
  const highest = settlements.at(-1)!.offset;
  const first = ledger.first ?? lowest;
  const next = ledger.next ?? first;

  const isInside = ({ offset }: Settlement) => offset >= first && offset < next;
  const delivered = ranges(settlements, () => true);
  const skippedBelow = subtract([{ from: lowest, to: first }], delivered);
  const skippedAbove = offsets === 'contiguous' ? subtract([{ from: next, to: highest + 1 }], delivered) : [];
  return {
    patch: {
      topic: ledger.topic,
      partition: ledger.partition,
      first: Math.min(first, lowest),
      next: Math.max(next, highest + 1),
      maxTimestamp: settlements.reduce(
        (newest, { timestamp, isDeadLettered }) =>
          isDeadLettered || !isPlausible(timestamp, now) ? newest : Math.max(newest, Math.floor(timestamp)),
        isPlausible(ledger.maxTimestamp, now) ? ledger.maxTimestamp : -1,
      ),
      closed: ranges(settlements, (settlement) => isInside(settlement) && !settlement.isDeadLettered),
      deadLettered: ranges(settlements, ({ isDeadLettered }) => isDeadLettered),
      skipped: [...skippedBelow, ...skippedAbove],
    },
    skipped: skippedAbove.reduce((total, { from, to }) => total + to - from, 0),
  };
}

/** The offsets of those settlements that `include` takes, adjacent ones joined. */
function ranges(
  settlements: readonly Settlement[],
  include: (settlement: Settlement) => boolean,
): OffsetRange[] {
  const joined: { from: number; to: number }[] = [];
  for (const settlement of settlements) {
    if (!include(settlement)) continue;
    const last = joined.at(-1);
    if (last?.to === settlement.offset) last.to++;
    else joined.push({ from: settlement.offset, to: settlement.offset + 1 });
  }
  return joined;
}

function topicRecreated({ topic, partition, maxTimestamp }: LedgerView, record: Stamped): MillraceError {
  return new MillraceError(
    'TOPIC_RECREATED',
    `${topic}/${partition}: offset ${record.offset} is settled, yet this record is from ${timestampText(record.timestamp)}, ` +
      `later than any settled before (${timestampText(maxTimestamp)}). The topic was deleted and created again, so its ` +
      "offsets started over. Nothing was applied or dropped. Raise the consumer's `epoch` by one and deploy it: the " +
      'ledger then starts over.',
    { details: { topic, partition, offset: record.offset, timestamp: record.timestamp, maxTimestamp } },
  );
}

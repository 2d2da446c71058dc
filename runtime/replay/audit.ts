/**
 * Accounts for every offset of a partition. It is a proof only because it does not believe the ledger alone: a dead letter
 * must be there to be redriven or have been discarded, what the group has committed must be in the ledger, and the ledger
 * may not have what the log never had.
 */
import {
  covers,
  intersect,
  type OffsetRange,
  sizeOf,
  subtract,
  union,
  within,
} from '../delivery/offset-ranges.ts';
import type { WholeLedger } from './ledgers.ts';

/** What is known of one partition, from the four places that know something. */
export interface PartitionFacts {
  readonly partition: number;
  /** Undefined where the sink has none. */
  readonly ledger: WholeLedger | undefined;
  /** The oldest offset that the log has, and the one behind its newest; read after the ledger. */
  readonly start: number;
  readonly end: number;
  /** The group's; null where it never committed. Read before the ledger, which then has what lies below it. */
  readonly committed: number | null;
  /** The offset from which on the consumer is to have everything. */
  readonly begins: number;
  /** Offsets of dead letters that can be redriven; read after the ledger. */
  readonly letters: readonly OffsetRange[];
  /** Offsets of dead letters that somebody has discarded. */
  readonly discards: readonly OffsetRange[];
  /** Offsets from the ledger's end to the committed one that the log says hold no record. */
  readonly empty?: readonly OffsetRange[];
}

/**
 * - `applied`: settled, so that its effect is in the tables.
 * - `deadLettered`: a letter is there to be redriven.
 * - `parked`: stored in the sink behind a dead letter of its key.
 * - `discarded`: its letter was discarded by a person.
 * - `skipped`: the event source moved past it, and the ledger says so.
 * - `deleted`: retention took it before it was settled.
 * - `unaccounted`: should be one of those, and is none.
 */
export const CATEGORIES = [
  'applied',
  'deadLettered',
  'parked',
  'discarded',
  'skipped',
  'deleted',
  'unaccounted',
] as const;
export type Category = (typeof CATEGORIES)[number];

/** Sorted, disjoint sets: no offset is in two of them. What the consumer has not reached is in none. */
export type Account = Readonly<Record<Category, readonly OffsetRange[]>>;

export interface PartitionAudit extends Readonly<Record<Category, number>> {
  readonly partition: number;
  readonly ranges: Account;
}

export interface ConsumerAudit {
  readonly consumer: string;
  readonly topic: string;
  readonly unaccounted: number;
  readonly partitions: readonly PartitionAudit[];
}

const ALL: OffsetRange = { from: 0, to: Number.MAX_SAFE_INTEGER };

/** What became of every offset of `window` that the consumer has reached. */
export function account(facts: PartitionFacts, window: OffsetRange = ALL): Account {
  const { ledger, start, end, letters, discards, begins, empty = [] } = facts;
  const committed = facts.committed ?? 0;
  const first = ledger?.first ?? null;
  const known = first === null ? [] : [{ from: first, to: ledger!.next! }];
  const inLedger = (ranges: readonly OffsetRange[] = []) => intersect(ranges, known);
  const [dead, skipped] = [inLedger(ledger?.deadLettered), inLedger(ledger?.skipped)];
  const [parked, settledUnwanted] = [inLedger(ledger?.parked), inLedger(ledger?.discarded)];

  // Nothing can have been applied that the log never had.
  const impossible = subtract(known, [{ from: 0, to: end }]);
  // What the group has left behind and the ledger does not have: a batch given up, until the ledger hears of it.
  const unknown = subtract([{ from: begins, to: committed }], known);
  const open = union(dead, unknown);
  const deadLettered = intersect(open, letters);
  // A letter that is there counts, also where another copy of it was discarded.
  const letterGone = subtract(union(open, skipped), letters);
  const discarded = union(subtract(settledUnwanted, letters), intersect(letterGone, discards));
  // Of a partition without a ledger nobody knows whether retention was first.
  const deletedBelow = first === null ? [] : [{ from: begins, to: Math.min(start, first) }];
  const reached = Math.max(committed, ledger?.next ?? 0, begins);
  const applied = union(
    subtract(known, [...dead, ...skipped, ...parked, ...settledUnwanted, ...impossible]),
    subtract(intersect(empty, unknown), letters),
  );
  const explained: Omit<Account, 'unaccounted'> = {
    applied,
    deadLettered,
    parked,
    discarded,
    skipped: subtract(skipped, discarded),
    deleted: subtract(
      [...deletedBelow, { from: reached, to: start }],
      [...known, ...deadLettered, ...discarded, ...applied],
    ),
  };
  const due = union([{ from: begins, to: committed }], impossible, dead);
  const all: Account = { ...explained, unaccounted: subtract(due, Object.values(explained).flat()) };
  return Object.fromEntries(
    CATEGORIES.map((name) => [name, within(all[name], window)]),
  ) as unknown as Account;
}

/** The account of one partition, with its counts. */
export function auditPartition(facts: PartitionFacts, window?: OffsetRange): PartitionAudit {
  const ranges = account(facts, window);
  const counts = Object.fromEntries(CATEGORIES.map((name) => [name, sizeOf(ranges[name])]));
  return { partition: facts.partition, ...(counts as Record<Category, number>), ranges };
}

/** What became of one record, as `find` tells it. */
export type RecordOutcome = 'applied' | 'dead-lettered' | 'parked' | 'discarded' | 'skipped' | 'pending';

/** `before` is a record that is older than the consumer, or than its epoch: an earlier one may have applied it. */
export type FoundOutcome = RecordOutcome | 'before';

/** What scripts are told of it: this consumer's ledger does not have it. */
export function toldOutcome(outcome: FoundOutcome): RecordOutcome {
  return outcome === 'before' ? 'skipped' : outcome;
}

/**
 * Tells what became of an offset. `skipped` is also what nothing explains: it is not in the tables, and nothing will bring
 * it but a replay.
 */
export function outcomesOf(facts: PartitionFacts): (offset: number) => FoundOutcome {
  const { applied, deadLettered, parked, discarded } = account(facts);
  const { ledger, committed, begins } = facts;
  const reached = Math.max(committed ?? 0, ledger?.next ?? 0);
  return (offset) => {
    if (covers(applied, offset)) return 'applied';
    if (covers(deadLettered, offset)) return 'dead-lettered';
    if (covers(parked, offset)) return 'parked';
    if (covers(discarded, offset)) return 'discarded';
    // Its letter is gone.
    if (covers(ledger?.deadLettered ?? [], offset)) return 'dead-lettered';
    if (offset >= reached) return 'pending';
    return offset < begins ? 'before' : 'skipped';
  };
}

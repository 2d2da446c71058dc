/** Keys whose records wait behind a dead letter, as operators see them. Reading them locks nothing. */
import type { RawRecord, TopicPartition } from '../record.ts';
import type { LedgerOwner } from './ledgers.ts';

/** A key that has parked records, or a letter that later ones would wait for. */
export interface WaitingKey extends TopicPartition {
  readonly key: Buffer;
  /** The offset of the letter that it waits for; null where its parked records are being applied. */
  readonly blockedBy: number | null;
  /** The highest offset of the letters that it waits for: more than one only where `parkLimit` made letters of what came. */
  readonly lastLetter: number | null;
  /** How many of its records are parked. */
  readonly records: number;
  /** When the first of those was parked, in epoch milliseconds; null where none is. */
  readonly oldestAt: number | null;
}

/** Of all keys that have parked records. */
export interface ParkedTotals {
  readonly keys: number;
  readonly records: number;
  /** When the oldest of them was parked, in epoch milliseconds; null where none is. */
  readonly oldestAt: number | null;
}

/** A part of a list; `next` is where to go on, null at its end. */
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly next: number | null;
}

/** Each method throws SINK_UNAVAILABLE where the sink does not answer. */
export interface WaitingKeyReader {
  totals(of: LedgerOwner): Promise<ParkedTotals>;
  /** Whether any key has parked records, or a letter that later ones would wait for: also of a consumer that no longer parks. */
  isAnyWaiting(of: LedgerOwner): Promise<boolean>;
  /** The keys that have parked records. @param from 0, or a page's `next` */
  list(of: LedgerOwner, from: number): Promise<Page<WaitingKey>>;
  /** The key in each partition where it waits, also where nothing is parked behind its letter yet. */
  find(of: LedgerOwner, key: Buffer): Promise<readonly WaitingKey[]>;
  /** The key's parked records as they came, from an offset on. */
  records(
    of: LedgerOwner,
    key: TopicPartition & Pick<WaitingKey, 'key'>,
    from: number,
  ): Promise<Page<RawRecord>>;
}

/** Of a sink that parks nothing: an archive. */
export const NO_WAITING_KEYS: WaitingKeyReader = {
  totals: async () => ({ keys: 0, records: 0, oldestAt: null }),
  isAnyWaiting: async () => false,
  list: async () => ({ items: [], next: null }),
  find: async () => [],
  records: async () => ({ items: [], next: null }),
};

/** Everything, a page after the other. */
export async function allPages<Item>(page: (from: number) => Promise<Page<Item>>): Promise<Item[]> {
  const all: Item[] = [];
  for (let from: number | null = 0; from !== null; ) {
    const { items, next }: Page<Item> = await page(from);
    all.push(...items);
    from = next;
  }
  return all;
}

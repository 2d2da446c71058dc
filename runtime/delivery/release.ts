/** What a person decides about a key whose records wait behind a letter, in one transaction of the sink. */
import type { TopicPartition } from '../record.ts';
import { covers, type OffsetRange, rangesOf, union } from './offset-ranges.ts';
import { type KeyPosition, type LedgerKey, NO_CHANGE, type Sink } from './sink.ts';

/** Each part of it may be done twice: what is done already changes nothing. */
export interface KeyRelease extends TopicPartition {
  readonly epoch: number;
  readonly key: Buffer;
  /** The key stops waiting for its letters below this offset; null where it waits on for those that are not discarded. */
  readonly below: number | null;
  /** Letters of the key that nobody wants applied. They stay holes, and the key waits for them no longer. */
  readonly discardedLetters: readonly OffsetRange[];
  /** Parked records of the key that nobody wants applied. */
  readonly discardedParked: readonly OffsetRange[];
}

/** What it changed, in counts of records. */
export interface Released {
  /** Letters that the key waits for no longer, though nobody discarded them. */
  readonly letters: number;
  readonly discardedLetters: number;
  readonly discardedParked: number;
}

/** How the key is once it is done. */
export interface KeyAfter {
  /** The offset of the letter that it waits for; null where it waits for none. */
  readonly blockedBy: number | null;
  /** How many of its records are parked. */
  readonly parked: number;
}

export const NOTHING_RELEASED: Released = { letters: 0, discardedLetters: 0, discardedParked: 0 };

/** What one transaction has done of it. */
interface ReleasePart {
  readonly released: Released;
  readonly isWhole: boolean;
  /** Whether the partition may have parked records that wait for no letter. */
  readonly isDraining: boolean;
}

export function addReleased(a: Released, b: Released): Released {
  return {
    letters: a.letters + b.letters,
    discardedLetters: a.discardedLetters + b.discardedLetters,
    discardedParked: a.discardedParked + b.discardedParked,
  };
}

/** A key waits for one letter, unless `parkLimit` made letters of what came behind it. */
const LETTERS_AT_ONCE = 500;

/**
 * Does as much of the release as one transaction should, and tells whether that is all of it. The partition is `draining`
 * from then on where records of the key are left.
 * @throws what the sink throws
 */
export async function releaseKey(
  { topic, partition, epoch, key, below, discardedLetters, discardedParked }: KeyRelease,
  consumer: string,
  sink: Sink<unknown>,
  signal: AbortSignal,
): Promise<ReleasePart> {
  const of = { topic, partition };
  const ledger: LedgerKey = { consumer, epoch };
  const at = (offset: number): KeyPosition => ({ ...of, key, offset });
  const unwanted = { letters: union(discardedLetters), parked: union(discardedParked) };
  const asked = [...offsetsOf(unwanted.letters), ...offsetsOf(unwanted.parked)].map(at);
  return sink.transaction(async (opened) => {
    const [view] = await opened.lockLedgers(ledger, [{ ...of, from: 0, to: 0 }]);
    const { keys } = opened;
    if (!keys || !view?.keys) return { released: NOTHING_RELEASED, isWhole: true, isDraining: false };
    const read = async (positions: readonly KeyPosition[]) =>
      (await keys.read(ledger, positions.length > 0 ? positions : [at(0)])).states[0];

    const known = await read(asked);
    const { isDraining } = view.keys;
    if (!known) return { released: NOTHING_RELEASED, isWhole: true, isDraining };
    // A letter that is discarded is still known: were it imported and redriven, it would come after newer records of its key.
    // The store is asked for one place at least, which is none of these where nothing is discarded.
    const letters = known.letters
      .map(({ offset }) => offset)
      .filter((offset) => covers(unwanted.letters, offset));
    const parked = known.parkedAt.filter((offset) => covers(unwanted.parked, offset));
    const isLeft = known.parked > parked.length;
    await keys.write(ledger, {
      ...NO_CHANGE,
      released: letters.map(at),
      unparked: parked.map(at),
      discarded:
        letters.length + parked.length === 0 ? [] : [{ ...of, offsets: rangesOf([...letters, ...parked]) }],
      draining: isLeft ? [{ ...of, isDraining: true }] : [],
    });

    let first = letters.length === 0 ? known.firstLetter : ((await read([]))?.firstLetter ?? null);
    let stopped = 0;
    while (first !== null && below !== null && first < below && stopped < LETTERS_AT_ONCE) {
      await keys.write(ledger, { ...NO_CHANGE, released: [at(first)] });
      stopped++;
      first = (await read([]))?.firstLetter ?? null;
    }
    return {
      released: { letters: stopped, discardedLetters: letters.length, discardedParked: parked.length },
      isWhole: first === null || below === null || first >= below,
      isDraining: isLeft || isDraining,
    };
  }, signal);
}

/** @throws what the sink throws */
export async function readKey(
  { topic, partition, epoch, key }: KeyRelease,
  consumer: string,
  sink: Sink<unknown>,
  signal: AbortSignal,
): Promise<KeyAfter> {
  const ledger: LedgerKey = { consumer, epoch };
  return sink.transaction(async (opened) => {
    const [view] = await opened.lockLedgers(ledger, [{ topic, partition, from: 0, to: 0 }]);
    const state =
      opened.keys && view?.keys
        ? (await opened.keys.read(ledger, [{ topic, partition, key, offset: 0 }])).states[0]
        : undefined;
    return { blockedBy: state?.firstLetter ?? null, parked: state?.parked ?? 0 };
  }, signal);
}

function offsetsOf(ranges: readonly OffsetRange[]): readonly number[] {
  return ranges.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, index) => from + index));
}

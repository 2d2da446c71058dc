/** What dead letters that failed alike have in common. */
import { isDate } from '../dates.ts';

/** What a summary of letters is made of. Times are epoch milliseconds. */
export interface SummarizedLetter {
  readonly partition: number | undefined;
  readonly schemaId: string | undefined;
  /** The record's key as base64 behind `=`; empty where it has none, undefined where its bytes are elsewhere. */
  readonly recordKey: string | undefined;
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
  readonly storedAt: number;
  readonly isOvertaken: boolean;
  /** The version of the code that it first failed in; empty where nothing says. */
  readonly functionVersion: string;
}

/** What letters have in common, and when they failed. */
export interface LetterSummary {
  /** Where all of them have the same; so with `schemaId`. */
  readonly partition?: number;
  readonly schemaId?: string;
  /** Every partition, in order. */
  readonly partitions: readonly number[];
  /** The record keys with the most letters, the first three, and how many keys there are. */
  readonly keys: readonly KeyCount[];
  readonly keyCount: number;
  readonly count: number;
  /** How many of them were overtaken: a newer record of their key was applied since. */
  readonly overtaken: number;
  /**
   * Epoch milliseconds: when the first of them first failed, and the last of them last. A time that no date can hold counts
   * where there is no other.
   */
  readonly firstSeenAt: number;
  readonly lastSeenAt: number;
  /** Epoch milliseconds, from which the store's retention counts. */
  readonly oldestStoredAt: number;
  /** Letters by when they last failed, where that is known: 24 equal parts of the time from the first failure to the last. */
  readonly histogram: readonly number[];
  /** The version of the code that the first of them failed in; null where none says. */
  readonly introducedBy: string | null;
}

export interface KeyCount {
  readonly key: string;
  readonly count: number;
}

const MOST_KEYS = 3;
const HISTOGRAM_PARTS = 24;
/** What Lambda calls code that was never published as a version, and the laptop its own: it names none. */
const UNPUBLISHED = '$LATEST';

/** @param letters at least one */
export function summaryOf(letters: readonly SummarizedLetter[]): LetterSummary {
  const [first] = letters;
  const partitions = new Set<number>();
  const keys = new Map<string, number>();
  let { partition, schemaId, firstFailedAt: firstSeenAt, lastFailedAt: lastSeenAt, storedAt } = first!;
  let overtaken = 0;
  let introducing: SummarizedLetter | undefined;
  for (const letter of letters) {
    if (letter.partition !== undefined) partitions.add(letter.partition);
    if (letter.recordKey !== undefined) keys.set(letter.recordKey, (keys.get(letter.recordKey) ?? 0) + 1);
    if (letter.isOvertaken) overtaken++;
    if (letter.partition !== partition) partition = undefined;
    if (letter.schemaId !== schemaId) schemaId = undefined;
    firstSeenAt = eitherDate(firstSeenAt, letter.firstFailedAt, Math.min);
    lastSeenAt = eitherDate(lastSeenAt, letter.lastFailedAt, Math.max);
    storedAt = Math.min(storedAt, letter.storedAt);
    const names = letter.functionVersion !== '' && letter.functionVersion !== UNPUBLISHED;
    if (names && (!introducing || letter.firstFailedAt < introducing.firstFailedAt)) introducing = letter;
  }
  const histogram = new Array<number>(HISTOGRAM_PARTS).fill(0);
  for (const { lastFailedAt } of letters) {
    if (!isDate(lastFailedAt)) continue;
    const part = ((lastFailedAt - firstSeenAt) / (lastSeenAt - firstSeenAt)) * HISTOGRAM_PARTS;
    // All at one time are in the last part, where the newest are.
    const at = Number.isNaN(part) ? HISTOGRAM_PARTS - 1 : Math.floor(part);
    histogram[Math.max(0, Math.min(HISTOGRAM_PARTS - 1, at))]!++;
  }
  return {
    ...(partition !== undefined && { partition }),
    ...(schemaId !== undefined && { schemaId }),
    partitions: [...partitions].sort((a, b) => a - b),
    keys: [...keys]
      .sort(([, a], [, b]) => b - a)
      .slice(0, MOST_KEYS)
      .map(([key, count]) => ({ key, count })),
    keyCount: keys.size,
    count: letters.length,
    overtaken,
    firstSeenAt,
    lastSeenAt,
    oldestStoredAt: storedAt,
    histogram,
    introducedBy: introducing?.functionVersion ?? null,
  };
}

/** One of two times, by the choice where both are any. */
function eitherDate(a: number, b: number, choose: (a: number, b: number) => number): number {
  return isDate(a) && isDate(b) ? choose(a, b) : isDate(b) ? b : a;
}

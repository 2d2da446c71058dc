/**
 * A partition's own time, told by its records alone: whoever reads the log later, faster or in other batches, comes to the
 * same time at each record. No single timestamp moves it far, since producers choose timestamps as they like.
 */

/** As it is kept with the ledger. */
export interface LogTime {
  /** Epoch milliseconds; -1 before any record had a timestamp. */
  readonly time: number;
  /** The last timestamps, oldest first; times beyond what a Date can hold are cut to that. */
  readonly recent: readonly number[];
  /** How many records in a row were more than a window behind `time`. */
  readonly behind: number;
}

export const NO_LOG_TIME: LogTime = { time: -1, recent: [], behind: 0 };

/** Of so many, the middle one is an honest one, should four be wrong. */
const RECENT = 9;
/**
 * A producer whose clock is years ahead may send five of nine records. The log's time would stand still for those years, and
 * with it everything that waits for a window to pass. After so many records that say otherwise, it goes back.
 */
const BACK_AFTER = 10_000;
const LAST_DATE_MS = 8.64e15;

/** Follows the records of a partition, in the log's order. */
export class LogClock {
  readonly #windowMs: number;
  readonly #recent: number[];
  readonly #sorted: number[];
  #time: number;
  #behind: number;

  constructor({ time, recent, behind }: LogTime, windowMs: number) {
    this.#windowMs = windowMs;
    this.#recent = [...recent];
    this.#sorted = recent.toSorted((a, b) => a - b);
    this.#time = time;
    this.#behind = behind;
  }

  get time(): number {
    return this.#time;
  }

  /** The log's time once it has this record. One without a timestamp leaves it as it is. */
  take(timestamp: number): number {
    if (!(timestamp >= 0)) return this.#time;
    const middle = this.#middleWith(Math.min(timestamp, LAST_DATE_MS));
    // Before there are enough to judge by, the first one must not decide for good.
    if (this.#recent.length < RECENT || middle >= this.#time) this.#moveTo(middle);
    else if (this.#time - middle <= this.#windowMs) this.#behind = 0;
    else if (++this.#behind >= BACK_AFTER) this.#moveTo(middle);
    return this.#time;
  }

  get state(): LogTime {
    return { time: this.#time, recent: [...this.#recent], behind: this.#behind };
  }

  #moveTo(time: number): void {
    this.#time = time;
    this.#behind = 0;
  }

  #middleWith(timestamp: number): number {
    const sorted = this.#sorted;
    if (this.#recent.push(timestamp) > RECENT) sorted.splice(sorted.indexOf(this.#recent.shift()!), 1);
    let at = sorted.length;
    while (at > 0 && sorted[at - 1]! > timestamp) at--;
    sorted.splice(at, 0, timestamp);
    return sorted[(sorted.length - 1) >> 1]!;
  }
}

import { recordId } from '../record.ts';
import type { Item } from './item.ts';

/**
 * Tells a record that uses up its time from a service that hangs: a record is to blame only if others go through while
 * it does not. Keep it between invocations, so that a record that comes alone can be told by the batches in between.
 */
export interface Patience {
  /** The handler has taken records, in a transaction that was committed or only probed. */
  wentThrough(): void;
  /** The items, together, have used up their time. */
  timedOut(items: readonly Item[]): void;
  /** The item has used up its time on its own. */
  timedOutAlone(item: Item): void;
  /** Whether others went through since the item, and the last record before it that timed out alone, ran out of time. */
  othersGoThrough(item: Item): boolean;
  /**
   * The item has failed on its own for what may be a fault of the sink or of the code. True where it did so before, and
   * others went through in between.
   */
  failedAloneAgain(item: Item): boolean;
}

const MOST_REMEMBERED = 1_000;

export function createPatience(): Patience {
  // A count of events stands for the time: two of them may fall into one millisecond.
  let now = 0;
  let throughAt = 0;
  let alone = { id: '', at: 0 };
  let aloneBefore = 0;
  /** Records that timed out alone, each with when it first ran out of time; oldest first. */
  const since = new Map<string, number>();
  /** Records that failed on their own for what may be no fault of theirs, each with when it first did; oldest first. */
  const unclearSince = new Map<string, number>();

  return {
    wentThrough() {
      throughAt = ++now;
    },
    timedOut(items) {
      now++;
      for (const item of items) item.slowSince ??= since.get(recordId(item.raw)) ?? now;
    },
    timedOutAlone(item) {
      const id = recordId(item.raw);
      now++;
      if (alone.id !== id) aloneBefore = alone.at;
      alone = { id, at: now };
      since.set(id, item.slowSince ?? now);
      forgetSome(since);
    },
    othersGoThrough(item) {
      return throughAt > Math.max(item.slowSince ?? now, aloneBefore);
    },
    failedAloneAgain({ raw }) {
      const id = recordId(raw);
      const first = unclearSince.get(id);
      if (first !== undefined) return throughAt > first;
      unclearSince.set(id, ++now);
      forgetSome(unclearSince);
      return false;
    },
  };
}

function forgetSome(of: Map<string, number>): void {
  if (of.size > MOST_REMEMBERED) of.delete(of.keys().next().value!);
}

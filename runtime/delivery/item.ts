import type { ConsumerRecord, RawRecord } from '../record.ts';
import type { Fingerprint } from './breaker.ts';
import type { Failure, FailureHistory } from './dead-letter.ts';

/**
 * What became of a record; `returned` until it is settled. `early` and `overtaken` letters are not: the one is to come
 * again, the other is a dead letter still.
 */
export type Outcome =
  | 'returned'
  | 'applied'
  | 'duplicate'
  | 'repeated'
  | 'deadLettered'
  | 'parked'
  | 'early'
  | 'overtaken';

/** A record on its way through the engine. */
export interface Item {
  readonly raw: RawRecord;
  /** Null before the bytes are read, where they cannot be (`failure` is set then), and once it is settled. */
  record: ConsumerRecord<unknown> | null;
  /** Set when the record was given up: it goes to the dead letters instead of the handler. */
  failure: Failure | null;
  /** The failure whose letter is durable, should the transaction that was to settle it not have been committed. */
  stored: Failure | null;
  /** Whether a store failed while it was given the letter. */
  wasRefused: boolean;
  /** When it first ran out of time, as `Patience` counts; null where it has not. */
  slowSince: number | null;
  outcome: Outcome;
  /** Whether a newer record of its key was applied before it. */
  isOvertaken: boolean;
  /** Whether it may be applied although a newer record of its key was. */
  readonly mayBeOvertaken: boolean;
  /** How often it has failed on its own, in this invocation. */
  tries: number;
  /** Whether it failed, while others went through, for what reads like a fault of the sink or of the code. */
  isToBlame: boolean;
  /** What its last failure on its own has in common with others; null where its data is to blame. */
  fingerprint: Fingerprint | null;
  /** Whether the handler has taken it behind a record that waits, with effects that did not stay. */
  wentThrough: boolean;
  /** Whether a copy of its event was taken in its place, by a handler that had both: it is not to get this one again. */
  isRepeat: boolean;
  /** How it has failed before, from earlier redrives on. */
  history: FailureHistory;
}

export function newItem(raw: RawRecord, history: FailureHistory, mayBeOvertaken = false): Item {
  return {
    raw,
    record: null,
    failure: null,
    stored: null,
    wasRefused: false,
    slowSince: null,
    outcome: 'returned',
    isOvertaken: false,
    mayBeOvertaken,
    tries: 0,
    isToBlame: false,
    fingerprint: null,
    wentThrough: false,
    isRepeat: false,
    history,
  };
}

/** An item's history with one more failed try at `now`. */
export function historyWith(
  { history }: Item,
  now: number,
): Pick<Failure, 'attempts' | 'firstFailedAt' | 'lastFailedAt' | 'earlier'> {
  const { attempts, firstFailedAt, earlier } = history;
  return { attempts: attempts + 1, firstFailedAt: firstFailedAt ?? now, lastFailedAt: now, earlier };
}

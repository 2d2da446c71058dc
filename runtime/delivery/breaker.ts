/**
 * The breaker as pure arithmetic: whether records fail because the code is broken, and for how long they may be held for it.
 * A sink keeps the state; `breaker-watch.ts` is its only writer.
 */

/** Where in the project's own code records fail: what they have in common. Holds nothing that a record says. */
export interface Fingerprint {
  /** The name of the error's class. */
  readonly name: string;
  /** With the folder that it is in; null where the stack does not say. */
  readonly file: string | null;
  readonly function: string | null;
  /** For display: it may move with each deploy. */
  readonly line: number | null;
}

/** What is known of one fingerprint in one version of the code. Counts are of records, times epoch milliseconds. */
export interface BreakerWindow extends Fingerprint {
  readonly code: string;
  /** Records that failed alone and are dead letters, since the window began. */
  readonly failed: number;
  /** Records that reached the handler since then, those that failed included. */
  readonly handled: number;
  /** Records that failed alone and are held; none while it is closed. */
  readonly waiting: number;
  /** What the consumer's ledgers had settled when the counts were true: what they have more was handled since. */
  readonly settled: number;
  /** Since when records are held; null while it is closed. */
  readonly openedAt: number | null;
  /** When they were last known to be held. */
  readonly heldAt: number;
  /** What it has used up of the time that its version of the code is held in all, before `openedAt`. */
  readonly heldMs: number;
  /** Whether others went through while records were held: the next failures are judged together with these. */
  readonly isDoubted: boolean;
  readonly usedAt: number;
}

/** All that a consumer's sink keeps. */
export type BreakerState = readonly BreakerWindow[];

/** So many records have to fail alone. */
export const LEAST_FAILED = 10;
/** They have to be half of those that reached the handler: one in so many. */
const SHARE = 2;
/** When they are fewer than one in so many, a doubted window is over. */
const SMALL_SHARE = 4;
/** A record may decide which code it fails in, so a version of the code has no more fingerprints than this. */
const MOST_WINDOWS = 16;
/** For the fingerprints that there is no room for, while all others are held. No class has such a name. */
const OTHERS: Fingerprint = { name: 'More errors', file: null, function: null, line: null };
const MOST_CODES = 4;
/** Between two looks at what is held: several times the longest wait between two tries. */
const LONGEST_GAP_MS = 60_000;

/** What one transaction is about to settle, or what the sink says without one. */
export interface Seen {
  readonly code: string;
  readonly now: number;
  readonly holdMs: number;
  /** What the consumer's ledgers have settled by now, by other transactions. */
  readonly settled: number;
}

/** Of one transaction. */
export interface Failures {
  readonly fingerprint: Fingerprint;
  readonly failed: number;
  /** Records that reached the handler. */
  readonly handled: number;
  /** Records that reached it a moment before, in the same batch: where a window begins, they belong to it. */
  readonly handledBefore: number;
  /** What the ledgers have settled more, once it is committed. */
  readonly advanced: number;
}

export interface Judgement {
  /** To be kept: where records are held, as if the transaction had not been. */
  readonly state: BreakerState;
  readonly window: BreakerWindow;
  /** Until when the records are held; null where they become dead letters. */
  readonly heldUntil: number | null;
  /** Whether records are held from now on. */
  readonly isNew: boolean;
}

const NOTHING_FAILED = { failed: 0, handled: 0, handledBefore: 0, advanced: 0 };

/** Judges a transaction's failures of one fingerprint. */
export function judgeFailures(state: BreakerState, seen: Seen, failures: Failures): Judgement {
  const { fingerprint, handledBefore } = failures;
  const known = windowOf(state, seen.code, fingerprintId(fingerprint));
  if (known) return judged(state, known, seen, failures);
  const ofCode = state.filter(({ code }) => code === seen.code);
  if (ofCode.length < MOST_WINDOWS)
    return judged(state, newWindow(fingerprint, seen, handledBefore), seen, failures);
  const [idle] = ofCode.filter(isClosed).toSorted((a, b) => a.usedAt - b.usedAt);
  if (!idle) return judged(state, newWindow(OTHERS, seen, handledBefore), seen, failures);
  const others = state.filter((window) => window !== idle);
  // What the version was held stays used up.
  const begun = { ...newWindow(fingerprint, seen, handledBefore), heldMs: idle.heldMs };
  return judged(others, begun, seen, failures);
}

/** Whether a version of the code has been held for as long as it may be: it never is again. */
export function isSpent(state: BreakerState, { code, now, holdMs }: Omit<Seen, 'settled'>): boolean {
  const ofCode = state.filter((window) => window.code === code);
  const open = ofCode.filter((window) => !isClosed(window)).map((window) => spanOf(window, now));
  return sumOf(ofCode.map(({ heldMs }) => heldMs)) + lengthOf(open) >= holdMs;
}

/** Whether a transaction's failures may be the beginning of a hold: exact counting has to come before its letters. */
export function isSuspect({ window }: Judgement): boolean {
  return isHalf(window);
}

/** The window of a fingerprint, or the one that it shares. */
function windowOf(state: BreakerState, code: string, id: string): BreakerWindow | undefined {
  const ofCode = state.filter((window) => window.code === code);
  const shared = fingerprintId(OTHERS);
  return (
    ofCode.find((window) => fingerprintId(window) === id) ??
    ofCode.find((window) => fingerprintId(window) === shared && !isClosed(window))
  );
}

function isClosed({ openedAt }: BreakerWindow): boolean {
  return openedAt === null;
}

/** Looks at what is held again: null where nothing of this code is, or no longer. */
export function review(state: BreakerState, seen: Seen, id: string): Judgement | null {
  const window = windowOf(state, seen.code, id);
  return window && !isClosed(window) ? judged(state, window, seen, NOTHING_FAILED) : null;
}

/** Ends what was held: a record of it went through. */
export function recovered(state: BreakerState, { code, now, settled }: Seen, id: string): BreakerState {
  const over = windowOf(state, code, id);
  return state.map((window) =>
    window === over && !isClosed(window)
      ? {
          ...closed(state, window, now),
          failed: 0,
          handled: 0,
          settled,
          isDoubted: false,
          usedAt: now,
        }
      : window,
  );
}

/** What tells fingerprints apart: the line does not. */
export function fingerprintId({ name, file, function: of }: Fingerprint): string {
  return `${name} ${of ?? ''} ${file ?? ''}`;
}

/** In words: `TypeError in settleOrders (order-totals/consumer.ts:29)`. */
export function fingerprintText({ name, file, function: of, line }: Fingerprint): string {
  if (file === null) return `${name}, at a place that its stack does not name`;
  const at = line === null ? file : `${file}:${line}`;
  return of === null ? `${name} in ${at}` : `${name} in ${of} (${at})`;
}

function newWindow(fingerprint: Fingerprint, { code, now, settled }: Seen, handled: number): BreakerWindow {
  const { name, file, function: of, line } = fingerprint;
  return {
    code,
    name,
    file,
    function: of,
    line,
    failed: 0,
    handled,
    waiting: 0,
    settled,
    openedAt: null,
    heldAt: now,
    heldMs: 0,
    isDoubted: false,
    usedAt: now,
  };
}

function judged(
  state: BreakerState,
  before: BreakerWindow,
  seen: Seen,
  { failed, handled, handledBefore, advanced }: Omit<Failures, 'fingerprint'>,
): Judgement {
  const { now, settled } = seen;
  const answer = (window: BreakerWindow, heldUntil: number | null): Judgement => ({
    state: pruned([...state.filter((each) => each !== before), { ...window, usedAt: now }], seen.code),
    window,
    heldUntil,
    isNew: heldUntil !== null && before.openedAt === null,
  });
  const wentOn = { ...before, handled: before.handled + Math.max(0, settled - before.settled), settled };
  let window: BreakerWindow = wentOn;
  let isOver = false;
  if (window.openedAt !== null) {
    // A clock that was ahead when it opened holds nothing for longer.
    const held = { ...window, openedAt: Math.min(window.openedAt, now), heldAt: now };
    if (isHalf(window)) {
      // What is held is counted already, and so are those delivered again.
      const heldUntil = heldUntilOf(state, held, seen);
      if (heldUntil !== null) return answer(held, heldUntil);
      isOver = true;
      window = closed(state, held, now);
    } else {
      window = { ...closed(state, window, now), isDoubted: true };
    }
  }
  if (failed === 0) return answer(window, null);
  const counted = { ...window, failed: window.failed + failed, handled: window.handled + handled };
  window = counted;
  if (!isOver && !isHalf(counted)) {
    const isRecent = counted.isDoubted && counted.handled <= SMALL_SHARE * counted.failed;
    if (!isRecent) window = { ...counted, failed, handled: handled + handledBefore, isDoubted: false };
  }
  if (isOver || window.failed < LEAST_FAILED || !isHalf(window))
    return answer({ ...window, settled: settled + advanced }, null);
  const opened: BreakerWindow = {
    ...window,
    failed: window.failed - failed,
    handled: window.handled - handled,
    waiting: failed,
    openedAt: now,
    heldAt: now,
  };
  const heldUntil = heldUntilOf(state, opened, seen);
  if (heldUntil !== null) return answer(opened, heldUntil);
  return answer({ ...window, settled: settled + advanced }, null);
}

function isHalf({ failed, handled, waiting }: BreakerWindow): boolean {
  return SHARE * (failed + waiting) >= handled + waiting;
}

/** Null once the time is over. */
function heldUntilOf(state: BreakerState, window: BreakerWindow, { now, holdMs }: Seen): number | null {
  const ofCode = state.filter(({ code }) => code === window.code);
  const used = sumOf(ofCode.map((each) => (isSame(each, window) ? 0 : each.heldMs))) + window.heldMs;
  const until = now + holdMs - used - lengthOf([[window.openedAt!, now], ...othersHeld(state, window, now)]);
  return until > now ? until : null;
}

/**
 * Nobody may have looked for long, and what was held gone through meanwhile: that time was none of holding. What is held
 * under other fingerprints as well counts once, with the last of them.
 */
function closed(state: BreakerState, window: BreakerWindow, now: number): BreakerWindow {
  const others = othersHeld(state, window, now);
  const heldMs = lengthOf([spanOf(window, now), ...others]) - lengthOf(others);
  return { ...window, openedAt: null, waiting: 0, heldMs: window.heldMs + heldMs };
}

type Span = readonly [from: number, to: number];

/** While which other fingerprints of the same code were held, for all that is known. */
function othersHeld(state: BreakerState, window: BreakerWindow, now: number): readonly Span[] {
  const others = state.filter(
    (each) => each.code === window.code && !isClosed(each) && !isSame(each, window),
  );
  return others.map((each) => spanOf(each, now));
}

function spanOf({ openedAt, heldAt }: BreakerWindow, now: number): Span {
  return [openedAt!, Math.min(now, heldAt + LONGEST_GAP_MS)];
}

function isSame(a: BreakerWindow, b: BreakerWindow): boolean {
  return fingerprintId(a) === fingerprintId(b);
}

/** How long the spans are together; where some overlap, that time counts once. */
function lengthOf(spans: readonly Span[]): number {
  let length = 0;
  let end = Number.NEGATIVE_INFINITY;
  for (const [from, to] of spans.toSorted(([a], [b]) => a - b)) {
    length += Math.max(0, to - Math.max(from, end));
    end = Math.max(end, to);
  }
  return length;
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

/** Without the versions of the code that were used longest ago. */
function pruned(state: BreakerState, code: string): BreakerState {
  const usedAt = new Map<string, number>();
  for (const each of state) usedAt.set(each.code, Math.max(each.usedAt, usedAt.get(each.code) ?? 0));
  if (usedAt.size <= MOST_CODES) return state;
  const kept = [...usedAt]
    .toSorted((a, b) => Number(b[0] === code) - Number(a[0] === code) || b[1] - a[1])
    .slice(0, MOST_CODES)
    .map(([each]) => each);
  return state.filter((each) => kept.includes(each.code));
}

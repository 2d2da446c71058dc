/**
 * Finding the bad records of a batch inside one transaction: the handler tries groups of records behind savepoints, and
 * a group that fails is halved until a record fails on its own. With k bad records among n, about k · log2(n / k) groups
 * are tried, of about n / k records each, however the bad ones lie; where all are bad, each is tried once.
 */
import type { Diagnosis } from './failure.ts';
import type { Item } from './item.ts';

/** What a record that failed on its own is: given up, to be tried again, or held back by what no record is to blame for. */
export type Verdict = 'failed' | 'retry' | 'hold';

/** Records that are tried in the search for one that goes through. */
const MOST_PROBES = 10;

/**
 * A few of the records, to find one that goes through: one of each key first, and from as far apart as there are, so that
 * nobody's run of bad records is all of them.
 * @param share from 0 to below 1: with another one they are others, so that no batch fails in one way for ever
 * @param than the record that failed: other keys are tried first
 */
export function probesAmong(items: readonly Item[], share: number, than: Item): readonly Item[] {
  const seen = new Set<string | undefined>([keyOf(than)]);
  const [firsts, rest]: [Item[], Item[]] = [[], []];
  for (const item of items) {
    const key = keyOf(item);
    if (key !== undefined && seen.has(key)) rest.push(item);
    else firsts.push(item);
    seen.add(key);
  }
  const chosen = spread(firsts, MOST_PROBES, share);
  return [...chosen, ...spread(rest, MOST_PROBES - chosen.length, share)];
}

/** Undefined where it has none, and is like no other. */
function keyOf({ raw }: Item): string | undefined {
  return raw.key === null ? undefined : `${raw.partition} ${raw.key.toString('base64')}`;
}

function spread(items: readonly Item[], most: number, share: number): readonly Item[] {
  if (items.length <= most) return items;
  const step = items.length / most;
  return Array.from({ length: most }, (_, at) => items[Math.floor((at + share) * step)]!);
}

export interface IsolatePorts {
  /**
   * Lets the handler try records behind a savepoint; null where it went through. `isForShow` where the effects will be
   * taken back. Rejects where no record is to blame.
   */
  attempt(group: readonly Item[], isForShow: boolean): Promise<Diagnosis | null>;
  /** What the failure of a record on its own turns out to be. */
  diagnose(item: Item, diagnosis: Diagnosis): Diagnosis;
  /** For show, no verdict is the last. */
  judge(item: Item, diagnosis: Diagnosis, isForShow: boolean): Verdict;
  /** Whether a record is not to be tried, since it has to wait for one that failed. */
  isOut(item: Item): boolean;
  /** Whether time and room are left for more, with so many records given up. Asked once something has been judged. */
  mayGoOn(failed: number): boolean;
  /** Milliseconds of a clock. */
  now(): number;
  /** Runs `work`, and takes back what it changed where it rejects. */
  savepoint<Result>(work: () => Promise<Result>): Promise<Result>;
}

export interface Isolated {
  /** How many records the handler has taken, with effects that stay. */
  readonly handled: number;
  /** Records that failed and may yet succeed; those behind them in their partition have no effects. */
  readonly waiting: ReadonlyMap<Item, Diagnosis>;
  /** The first record that was not tried; undefined where all were. */
  readonly end: Item | undefined;
}

/** The diagnosis of a record that is to blame for an error that reads like the sink's or the code's. */
export function blamed(diagnosis: Diagnosis): Diagnosis {
  return { ...diagnosis, action: 'retry', isUnclear: false };
}

/** What an outage makes all records fail for, the first one too. */
function mayBeAnOutage({ action, isUnclear }: Diagnosis): boolean {
  return action === 'hold' || isUnclear;
}

/** Tries of a kind before its cost counts, and how much cheaper a failure has to be. */
const LEAST_TRIES = 10;
const CHEAP = 4;

/**
 * What tries cost. A handler that fails before its first statement costs next to nothing: where most tries that fail are
 * so cheap, larger parts of a group are tried, so that fewer go through, with all their statements, on the way to a bad record.
 */
function createCosts() {
  const through = { tries: 0, ms: 0 };
  const failed = { tries: 0, ms: 0 };
  return {
    add(wentThrough: boolean, ms: number): void {
      const kind = wentThrough ? through : failed;
      kind.tries++;
      kind.ms += ms;
    },
    hasAnyGoneThrough: () => through.tries > 0,
    /** The part of a group with a bad record that is tried next. */
    part(): number {
      if (through.tries < LEAST_TRIES || failed.tries < LEAST_TRIES) return 1 / 2;
      return through.ms / through.tries > CHEAP * (failed.ms / failed.tries) ? 3 / 4 : 1 / 2;
    },
  };
}

/** Takes back what was tried behind a record that waits. */
class TakenBack extends Error {}

/**
 * Tries the items, in partition, then offset order, and keeps the effects of all that come before a partition's first
 * record that waits. Behind a record that is to be tried again the others are tried too, without effects that stay, so
 * that the next round has all of them in view; behind one that is held nothing is.
 * @param failedFor what all of them together have just failed for; null where they were not tried together
 */
export async function isolate(
  items: readonly Item[],
  failedFor: Diagnosis | null,
  ports: IsolatePorts,
): Promise<Isolated> {
  const waiting = new Map<Item, Diagnosis>();
  let handled = 0;
  let failed = 0;
  let judged = 0;
  const costs = createCosts();

  /** Tries `items[from..to)` and gives the index that it came to; `isForShow` behind a record that waits. */
  async function scan(
    from: number,
    to: number,
    isForShow: boolean,
    failedFor: Diagnosis | null = null,
  ): Promise<number> {
    let at = from;
    /** How many to try at once: as many as lay between the last two bad ones, and more as they go through. */
    let size = to - from;
    let lastBadAt = from - 1;
    /** Where a group that failed ends: something before it is bad. */
    let badBefore = failedFor ? to : from;
    /** An outage fails the first record as well: one more try tells, instead of one for each halving. */
    let isCanary = failedFor !== null && mayBeAnOutage(failedFor);
    while (at < to) {
      if (judged > 0 && !ports.mayGoOn(failed)) return at;
      // What went through behind a waiting record before need not show that again.
      if (isForShow && items[at]!.wentThrough) {
        at++;
        continue;
      }
      const wanted = isCanary ? 1 : badBefore > at ? Math.floor((badBefore - at) * costs.part()) : size;
      const end = nextEnd(at, Math.min(to, at + Math.max(1, wanted)), isForShow);
      const group = items.slice(at, end).filter((item) => !ports.isOut(item));
      if (group.length === 0) {
        at = end;
        continue;
      }
      let diagnosis = await attempt(group, isForShow);
      judged++;
      isCanary = false;
      if (!diagnosis) {
        at = end;
        if (badBefore <= at) size *= 2;
        if (isForShow) for (const item of group) item.wentThrough = true;
        else handled += group.length;
        continue;
      }
      if (group.length > 1) {
        badBefore = end;
        isCanary = mayBeAnOutage(diagnosis);
        continue;
      }
      const item = group[0]!;
      if (diagnosis.isUnclear) {
        item.isToBlame ||= await othersGoThrough(item);
        if (!item.isToBlame) throw diagnosis.error;
        diagnosis = blamed(diagnosis);
      }
      diagnosis = ports.diagnose(item, diagnosis);
      const isNew = item.tries === 0;
      const verdict = ports.judge(item, diagnosis, isForShow);
      if (isNew) {
        size = at - lastBadAt;
        lastBadAt = at;
      }
      at = end;
      badBefore = at;
      if (verdict === 'failed') failed++;
      if (verdict === 'failed' || (verdict === 'retry' && isForShow)) continue;
      if (!isForShow) waiting.set(item, diagnosis);
      const next = endOfPartition(item, at, to);
      if (verdict === 'retry' && (await takingBack(() => scan(at, next, true))) < next) return next;
      at = next;
    }
    return at;
  }

  /** The end of the group that is tried next. A record that has failed before is tried on its own, so that others are sound. */
  function nextEnd(from: number, to: number, isForShow: boolean): number {
    const isOther = ({ tries, wentThrough }: Item) => tries > 0 || (isForShow && wentThrough);
    let end = from + 1;
    if (!isOther(items[from]!)) while (end < to && !isOther(items[end]!)) end++;
    return end;
  }

  async function attempt(group: readonly Item[], isForShow: boolean): Promise<Diagnosis | null> {
    const startedAt = ports.now();
    const diagnosis = await ports.attempt(group, isForShow);
    costs.add(diagnosis === null, ports.now() - startedAt);
    return diagnosis;
  }

  /** Whether others go through while this one fails for what may not be its own fault. */
  async function othersGoThrough(item: Item): Promise<boolean> {
    const others = items.filter((each) => each !== item && each.tries === 0);
    for (const other of probesAmong(others, (ports.now() % 997) / 997, item)) {
      if (costs.hasAnyGoneThrough()) break;
      await takingBack(() => attempt([other], true));
    }
    return costs.hasAnyGoneThrough();
  }

  async function takingBack<Result>(work: () => Promise<Result>): Promise<Result> {
    let result: Result;
    try {
      await ports.savepoint(async () => {
        result = await work();
        throw new TakenBack();
      });
    } catch (error) {
      if (!(error instanceof TakenBack)) throw error;
    }
    return result!;
  }

  function endOfPartition({ raw }: Item, from: number, to: number): number {
    let end = from;
    while (end < to && items[end]!.raw.partition === raw.partition) end++;
    return end;
  }

  const reached = await scan(0, items.length, false, failedFor);
  return { handled, waiting, end: items[reached] };
}

/**
 * Working off a batch: settle it whole, and where that fails find out what is to blame. A bad record is isolated, tried
 * again by its policy and then dead-lettered; what is nobody's fault holds the line. Either way a partition waits for its
 * own records only.
 */

import { MillraceError } from '../errors.ts';
import type { Random } from '../ports.ts';
import { backOff } from './backoff.ts';
import { type Diagnosis, errorName } from './failure.ts';
import { judgeFailure, mayBeARecords } from './handler.ts';
import { blamed, probesAmong } from './isolate.ts';
import type { Item } from './item.ts';
import { LOGGED } from './metrics.ts';
import type { Patience } from './patience.ts';
import {
  type Approach,
  HeldFrom,
  MOST_LETTERS,
  OutOfOrder,
  type SettleContext,
  SettleFailed,
  settle,
  TooManyLetters,
  type Waiting,
} from './settle.ts';

export interface BatchContext extends SettleContext {
  readonly random: Random;
  readonly patience: Patience;
  /**
   * Applies what is parked in these partitions and waits for no letter, and gives those that are not done. Absent where
   * that is what is being done.
   */
  drain?(partitions: ReadonlySet<number>): Promise<ReadonlySet<number>>;
}

export interface BatchOutcome {
  readonly skipped: number;
  readonly handlerMs: number;
  readonly retries: number;
  /** What stopped the line; null when all is settled or only the time ran out. */
  readonly stoppedBy: Diagnosis | null;
  /** Partitions that may have parked records which wait for no letter. */
  readonly draining: ReadonlySet<number>;
}

/** Items that are settled together, or tried to. */
interface Stretch {
  readonly items: readonly Item[];
  readonly approach: Approach;
}

/**
 * What uses up its time is split in eighths, and one transaction may take a third of the time left. So a handler that
 * hangs on one record out of 10,000 is cornered in five splits, with time left for its retries and its letter.
 */
const SPLIT_INTO = 8;
const SHARE_OF_TIME = 1 / 3;
/**
 * A transaction that gets less than a hundredth of the function's timeout is not begun: a sound handler might not
 * make it, and its record would be blamed for the hour.
 */
const MIN_SHARE_OF_TIMEOUT = 1 / 100;
/** Partitions that a line of the log names, each by the record that it waits for. */
const MOST_NAMED = 20;

/**
 * Settles the items, as many as the time allows; the others keep the outcome `returned`, and in each partition none
 * after them is settled. Items stand in partition, then offset order.
 */
export async function settleBatch(
  items: readonly Item[],
  context: BatchContext,
  mayWait: boolean,
): Promise<BatchOutcome> {
  const { consumer, log, patience } = context;
  const line = createLine(items, context.breaker.knows(items) ? { isolate: null } : 'whole');
  const draining = new Set<number>();
  const total = { skipped: 0, handlerMs: 0, retries: 0, draining };
  /** Waits in a row after which nothing went any further. */
  let holds = 0;
  let stoppedBy: Diagnosis | null = null;
  /** What was last waited for. */
  let heldFor: Diagnosis | null = null;
  /** Whose letter the store was too slow for. */
  let unstored: Item | undefined;

  /** What is parked may wait for the next delivery: no other record is behind it, and a delivery is not to wait for it. */
  const mayWaitFor = ({ action }: Diagnosis) => context.arrival !== 'release' || action !== 'hold';

  /** Backs off before another try; false where the time does not allow one. */
  async function wait(because: Diagnosis, attempt: number, waiting: readonly Waiting[]): Promise<boolean> {
    if (because.action === 'hold') {
      const at = waiting.filter((each) => each.because.action === 'hold').map(({ items }) => items[0]!.raw);
      const records = at.slice(0, MOST_NAMED).map(({ partition, offset }) => ({ partition, offset }));
      log.warn(LOGGED.held, { ...factsOf(because), holds, ...(records.length > 0 && { records }) });
    }
    await context.breaker.refresh(context.usableMs() * SHARE_OF_TIME);
    if (!(await backOff(attempt, consumer.retry, context.usableMs(), context))) return false;
    total.retries++;
    return true;
  }

  /** Drains before a wait, which may be for the room, or longer than this invocation. */
  async function drainFirst(): Promise<void> {
    if (!context.drain || draining.size === 0) return;
    const left = await context.drain(draining);
    for (const partition of [...draining]) if (!left.has(partition)) draining.delete(partition);
  }

  /** Settles the stretch as far as one transaction goes. @throws SettleFailed */
  async function settleOnce({ items, approach }: Stretch, budgetMs: number): Promise<void> {
    const settled = await settle(items, approach, budgetMs, context);
    total.skipped += settled.skipped;
    total.handlerMs += settled.handlerMs;
    await context.breaker.settled(items, budgetMs);
    for (const partition of settled.draining) draining.add(partition);
    if (settled.handled > 0) patience.wentThrough();
    if (settled.waiting.length === 0) holds = 0;
    line.put({ isolate: null }, settled.left);
    for (const { items, because } of settled.waiting) line.setAside(items, because);
  }

  /** Plans anew for what a transaction did not settle, so that the next one gets further; false where the time is over. */
  async function recover({ items, approach }: Stretch, failed: SettleFailed): Promise<boolean> {
    const { diagnosis, phase, isOutOfTime, sound } = failed;
    const inHandler = phase === 'handle';
    const isNobodysFault =
      !mayBeARecords(diagnosis) || sound.length === 0 || (inHandler && approach !== 'whole');
    const { error } = diagnosis;
    if (error instanceof TooManyLetters || error instanceof OutOfOrder) {
      line.put(approach, items);
    } else if (error instanceof HeldFrom) {
      await holdFrom(error, items);
    } else if (phase === 'dead-letter') {
      const at = Math.max(
        0,
        items.findIndex(({ failure, stored }) => failure !== stored),
      );
      // With less time than before it would be too slow again, and may have stored the letter each time.
      const isTooSlow = isOutOfTime && items[at] === unstored;
      if (isOutOfTime) unstored = items[at];
      if (isTooSlow) line.leave(items.slice(at), diagnosis);
      else line.setAside(items.slice(at), diagnosis);
      line.put('whole', items.slice(0, at));
    } else if (isOutOfTime && (inHandler || items.length > 1)) {
      await splitSlow(items, failed);
    } else if (isNobodysFault) {
      holds++;
      // What is not held reads like a record's fault, yet none was tried: without a line nobody would know what is in the way.
      if (diagnosis.action === 'retry') log.warn(LOGGED.held, { ...factsOf(diagnosis), holds });
      line.put(approach, items);
      return mayWaitFor(diagnosis) && wait(diagnosis, holds, []);
    } else if (sound.length === 1) {
      const [item] = sound;
      failedAlone(item!, items, diagnosis.isUnclear && item!.isToBlame ? blamed(diagnosis) : diagnosis);
    } else if (inHandler) {
      line.put({ isolate: diagnosis }, items);
    } else {
      line.put('whole', ...split(items));
    }
    return true;
  }

  /** Lets partitions wait, each from one of its records on; what comes before those is settled. */
  async function holdFrom({ first, because }: HeldFrom, items: readonly Item[]): Promise<void> {
    if (because.code === 'CONSUMER_BROKEN') await context.breaker.refresh(context.usableMs() * SHARE_OF_TIME);
    const from = new Map(first.map(({ raw }) => [raw.partition, raw.offset]));
    const isHeld = ({ raw }: Item) => raw.offset >= (from.get(raw.partition) ?? Number.POSITIVE_INFINITY);
    for (const held of Map.groupBy(items.filter(isHeld), ({ raw }) => raw.partition).values()) {
      line.setAside(held, because);
    }
    line.put(
      'whole',
      items.filter((item) => !isHeld(item)),
    );
  }

  function failedAlone(item: Item, items: readonly Item[], failedFor: Diagnosis): void {
    const diagnosis = context.breaker.diagnose(item, failedFor);
    if (judgeFailure(item, diagnosis, context) === 'failed') {
      line.put('whole', items);
    } else {
      const at = items.indexOf(item);
      line.setAside(items.slice(at), diagnosis);
      line.put('whole', items.slice(0, at));
    }
  }

  /** Corners what used up the time, whatever it was waiting for. */
  async function splitSlow(items: readonly Item[], { diagnosis, phase, sound, underTest }: SettleFailed) {
    if (phase !== 'handle') {
      line.put('whole', ...split(items));
      return;
    }
    patience.timedOut(underTest);
    const from = items.indexOf(underTest[0]!);
    const to = items.indexOf(underTest.at(-1)!) + 1;
    const slow = items.slice(from, to);
    if (sound.length > 1) {
      line.put(
        'whole',
        items.slice(0, from),
        ...(underTest.length > 1 ? split(slow) : [slow]),
        items.slice(to),
      );
      return;
    }
    const [item] = underTest;
    patience.timedOutAlone(item!);
    if (!patience.othersGoThrough(item!)) await probe(item!);
    const isToBlame = patience.othersGoThrough(item!);
    failedAlone(item!, items, {
      ...diagnosis,
      stage: 'handle',
      code: isToBlame ? 'HANDLER_TIMEOUT' : diagnosis.code,
      action: isToBlame ? 'retry' : 'hold',
    });
  }

  /** Where nothing but a slow record's own partition is left, asks whether the handler can do those behind it. */
  async function probe(slow: Item): Promise<void> {
    for (const item of probesAmong(line.others(slow.raw.partition), context.random.next(), slow)) {
      try {
        const { handled } = await settle([item], 'probe', context.usableMs() * SHARE_OF_TIME, context);
        if (handled === 0) continue;
        patience.wentThrough();
      } catch (failed) {
        if (!(failed instanceof SettleFailed)) throw failed;
      }
      return;
    }
  }

  /** An error that reads like the sink's or the code's, of a record that may be alone in having it. */
  function isWorthIsolating({ approach }: Stretch, { diagnosis, phase, sound }: SettleFailed): boolean {
    if (!diagnosis.isUnclear || phase !== 'handle' || approach !== 'whole') return false;
    return sound.length > 1 || sound.some(({ isToBlame }) => isToBlame);
  }

  /**
   * A parked record may be the only one of its drain, with no other to be compared with: those that went through since it
   * last failed tell as well. It is found out in the next transaction, as a record among others is.
   */
  function isFoundToBlame({ diagnosis, phase, sound: [item, ...others] }: SettleFailed): boolean {
    if (context.arrival !== 'release' || !diagnosis.isUnclear || phase !== 'handle') return false;
    if (!item || others.length > 0 || item.isToBlame) return false;
    item.isToBlame = patience.failedAloneAgain(item);
    return item.isToBlame;
  }

  while (!line.isEmpty()) {
    const waiting = line.onlyWaiting();
    if (waiting) {
      const because = waiting.find((each) => each.because.action === 'hold')?.because ?? waiting[0]!.because;
      if (!mayWait || !mayWaitFor(because)) return { ...total, stoppedBy: because };
      heldFor = because;
      await drainFirst();
      if (because.action === 'hold') holds++;
      const attempt = Math.max(holds, ...waiting.map(({ items }) => items[0]!.tries));
      if (!(await wait(because, attempt, waiting))) return { ...total, stoppedBy: because };
      line.resume();
    }
    const budgetMs = context.usableMs() * SHARE_OF_TIME;
    if (budgetMs < consumer.timeoutMs * MIN_SHARE_OF_TIMEOUT) {
      return { ...total, stoppedBy: line.heldBy() ?? stoppedBy ?? heldFor };
    }
    const stretch = line.take();
    try {
      await settleOnce(stretch, budgetMs);
      stoppedBy = null;
    } catch (failed) {
      if (!(failed instanceof SettleFailed)) throw failed;
      total.handlerMs += failed.handlerMs;
      for (const partition of failed.draining) draining.add(partition);
      stoppedBy = failed.diagnosis;
      if (isFoundToBlame(failed)) {
        line.put({ isolate: null }, stretch.items);
        continue;
      }
      const isHalt = stoppedBy.action === 'halt' && !isWorthIsolating(stretch, failed);
      if (isHalt || !(await recover(stretch, failed))) return { ...total, stoppedBy };
    }
  }
  return { ...total, stoppedBy: line.heldBy() };
}

/**
 * What is still to be settled: stretches, each for one transaction, and partitions that wait. The items of a partition
 * stay in their order, and none comes before one that waits.
 */
function createLine(items: readonly Item[], approach: Approach) {
  // The earliest on top: what is split goes back in its own place.
  const stack: Stretch[] = [];
  let waiting: Waiting[] = [];
  /** Why something is left for another invocation. */
  let left: Diagnosis | null = null;

  /** Puts parts, the earliest first, before all that is there. */
  function put(approach: Approach, ...parts: readonly (readonly Item[])[]): void {
    for (const items of parts.toReversed()) if (items.length > 0) stack.push({ items, approach });
  }

  /** Takes out all that the partition of the first item has left, from there on, and puts the other items back. */
  function takeOut(items: readonly Item[]): readonly Item[] {
    const { partition } = items[0]!.raw;
    const isOfPartition = ({ raw }: Item) => raw.partition === partition;
    const isOther = (item: Item) => !isOfPartition(item);
    const behind = [...stack.toReversed(), ...waiting].flatMap((each) => each.items.filter(isOfPartition));
    const others = stack.splice(0).map(({ items, approach }) => ({ items: items.filter(isOther), approach }));
    stack.push(...others.filter((stretch) => stretch.items.length > 0));
    waiting = waiting.filter((each) => each.items[0]!.raw.partition !== partition);
    put('whole', items.filter(isOther));
    return [...items.filter(isOfPartition), ...behind];
  }

  put(approach, items);
  return {
    put,
    isEmpty: () => stack.length === 0 && waiting.length === 0,

    /** The earliest stretch, cut so that its dead letters fit one transaction. */
    take(): Stretch {
      const { items, approach } = stack.pop()!;
      let letters = 0;
      const isOver = ({ failure }: Item) => failure !== null && ++letters > MOST_LETTERS / 2;
      const end = items.findIndex(isOver);
      if (end === -1) return { items, approach };
      put(approach, items.slice(end));
      return { items: items.slice(0, end), approach };
    },

    /** Lets the partition of the first item wait from there on; items of other partitions go on. */
    setAside(items: readonly Item[], because: Diagnosis): void {
      const taken = takeOut(items);
      waiting.push({ items: taken, because });
    },

    /** As `setAside`, for what is not tried again in this invocation. */
    leave(items: readonly Item[], because: Diagnosis): void {
      takeOut(items);
      left ??= because;
    },

    /** The partitions that wait, where nothing else is left to do. */
    onlyWaiting: () => (stack.length === 0 ? waiting : undefined),
    heldBy: () => waiting[0]?.because ?? left,

    /** Ends the wait. A record that was slow is tried apart, with all of the time. */
    resume(): void {
      const inOrder = waiting.toSorted((a, b) => a.items[0]!.raw.partition - b.items[0]!.raw.partition);
      const slow = inOrder.filter(({ items }) => items[0]!.slowSince !== null);
      waiting = [];
      put(
        { isolate: null },
        inOrder.filter((each) => !slow.includes(each)).flatMap(({ items }) => items),
      );
      for (const { items } of slow) put('whole', items.slice(0, 1), items.slice(1));
    },

    /** Items behind a slow record, where its partition is the only one left. */
    others(partition: number): readonly Item[] {
      const left = [
        ...stack.toReversed().flatMap(({ items }) => items),
        ...waiting.flatMap(({ items }) => items),
      ];
      return left.every(({ raw }) => raw.partition === partition)
        ? left.filter(({ failure }) => failure === null)
        : [];
    },
  };
}

function split(items: readonly Item[]): (readonly Item[])[] {
  const size = Math.ceil(items.length / SPLIT_INTO);
  const parts: (readonly Item[])[] = [];
  for (let from = 0; from < items.length; from += size) parts.push(items.slice(from, from + size));
  return parts;
}

/** A diagnosis for the log: an error's text may quote a payload, so only ours is shown. */
export function factsOf({ stage, code, action, error }: Diagnosis): Record<string, unknown> {
  const facts = { stage, code, action, errorName: errorName(error) };
  if (code !== 'CONSUMER_BROKEN' || !(error instanceof MillraceError)) return facts;
  const { failing, heldUntil } = error.details;
  return { ...facts, failing, heldUntil };
}

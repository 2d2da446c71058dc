import { MillraceError } from '../errors.ts';
import type { ConsumerRecord } from '../record.ts';
import type { Breaker } from './breaker-watch.ts';
import { type Diagnosis, describeFailure, diagnose } from './failure.ts';
import { type HandlerPorts, judgeFailure, mayBeARecords, type Rejected, runHandler } from './handler.ts';
import { isolate } from './isolate.ts';
import { historyWith, type Item } from './item.ts';
import { createKeyOrder, type KeyOrder } from './key-order.ts';
import type { Arrival, Replay } from './ledger.ts';
import { advanceAll, judgeAll, judgeByKey, requestsOf } from './ledgers.ts';
import { type LetterContext, letterIdOf, storeLetters } from './letters.ts';
import { createOnce, type Once } from './once.ts';
import type { Sink, SinkTransaction } from './sink.ts';
import { createDeadline } from './within.ts';

/** One run of the function. */
export interface Invocation {
  readonly requestId: string;
  readonly functionName: string;
  readonly functionVersion: string;
  /** Milliseconds until the function is stopped. */
  remainingMs(): number;
  /** Set where the records are replayed. */
  readonly replay?: Replay | undefined;
}

export interface SettleContext extends HandlerPorts, LetterContext {
  readonly sink: Sink<unknown>;
  readonly invocation: Invocation;
  /** Milliseconds left for work in this invocation. */
  usableMs(): number;
  readonly breaker: Breaker;
}

/**
 * How a transaction goes about its records:
 * - `whole`: the handler gets all of them at once, and if it fails nothing is settled.
 * - `isolate`: what fails is searched for behind savepoints, and all that may be settled beside it is; with what the
 *   records together have just failed for, or null where they were not tried together.
 * - `probe`: as `whole`, and then rolled back: only whether the handler can do it is asked.
 */
export type Approach = 'whole' | 'probe' | { readonly isolate: Diagnosis | null };

/** What one transaction settled; outcomes stand in the items. */
export interface Settled {
  readonly skipped: number;
  readonly handlerMs: number;
  /** How many records the handler has taken. */
  readonly handled: number;
  /** Partitions that have to wait: each from its first record that failed and may yet succeed. */
  readonly waiting: readonly Waiting[];
  /** What the transaction had no time or room for, in order. */
  readonly left: readonly Item[];
  /** Partitions that may have parked records which wait for no letter. */
  readonly draining: ReadonlySet<number>;
}

export interface Waiting {
  readonly items: readonly Item[];
  readonly because: Diagnosis;
}

/** Where a transaction was when it failed. */
export type Phase = 'lock' | 'handle' | 'dead-letter' | 'write';

/** Why a transaction settled nothing. */
export class SettleFailed extends Error {
  readonly diagnosis: Diagnosis;
  readonly phase: Phase;
  readonly isOutOfTime: boolean;
  /** The records for the handler: those neither settled before nor given up. Empty before they were known. */
  readonly sound: readonly Item[];
  /** Those that the handler was last called with. */
  readonly underTest: readonly Item[];
  readonly handlerMs: number;
  /** As in `Settled`: it may be what makes room for what is held. */
  readonly draining: ReadonlySet<number>;

  constructor(diagnosis: Diagnosis, facts: Omit<SettleFailed, 'diagnosis' | keyof Error>) {
    super('settle failed', { cause: diagnosis.error });
    this.diagnosis = diagnosis;
    this.phase = facts.phase;
    this.isOutOfTime = facts.isOutOfTime;
    this.sound = facts.sound;
    this.underTest = facts.underTest;
    this.handlerMs = facts.handlerMs;
    this.draining = facts.draining;
  }
}

/**
 * A transaction makes this many records dead letters, and no more: what is stored is soon settled, so that neither a
 * slow store nor a crash makes a multitude of second letters.
 */
export const MOST_LETTERS = 500;

/** Once its time is over, the handler may still say what it was waiting for. */
const GRACE_SHARE = 1 / 10;
const MOST_GRACE_MS = 1_000;
/** Storing letters and writing the ledger get this share of what the handler has left of the invocation. */
const WRITING_SHARE = 1 / 3;

/**
 * Settles items of one ledger in one transaction, within `budgetMs`. Items stand in partition, then offset order.
 * Items whose failure was found stay given up, also where the transaction fails in the end.
 * @throws SettleFailed when it settled nothing
 */
export async function settle(
  items: readonly Item[],
  approach: Approach,
  budgetMs: number,
  context: SettleContext,
): Promise<Settled> {
  const { clock } = context;
  const startedAt = clock.now();
  let phase = 'lock' as Phase;
  let handlerMs = 0;
  let sound: readonly Item[] = [];
  let underTest: readonly Item[] = [];
  let replay: Replay | undefined = context.invocation.replay;
  let transaction: SinkTransaction<unknown> | undefined;
  let draining: ReadonlySet<number> = new Set();

  const handlerTime = new AbortController();
  const abandon = new AbortController();
  const deadline = createDeadline(clock);
  const graceMs = Math.min(MOST_GRACE_MS, budgetMs * GRACE_SHARE);
  deadline.set(budgetMs - graceMs, () => {
    const error = outOfTime(phase, budgetMs, transaction?.isWaiting() ?? true);
    handlerTime.abort(error);
    deadline.set(graceMs, () => abandon.abort(error));
  });

  const handle = async (records: readonly Item[], tx: unknown): Promise<Rejected> => {
    underTest = records;
    for (const item of records) tellArrival(item, context.arrival, replay);
    const calledAt = clock.now();
    try {
      return await runHandler(records, tx, handlerTime.signal, abandon.signal, context, replay);
    } finally {
      handlerMs += clock.now() - calledAt;
    }
  };
  /**
   * Gives up what the handler has rejected.
   * @throws OutOfOrder where the call had later records of its key; only what they have to wait for is given up then
   */
  const giveUp = (rejected: Rejected, call: readonly Item[], order: KeyOrder, once: Once): void => {
    const late = order.tooLate(rejected.keys(), call);
    for (const [item, failure] of rejected) {
      if (late.length > 0 && !late.includes(item)) continue;
      item.failure = failure;
      gaveUp(item, order, once);
    }
    if (late.length > 0) throw new OutOfOrder();
    once.took(call);
  };
  /** Lets the handler try a group behind a savepoint; gives what is wrong with the group, if anything is. */
  const attempt = async (
    group: readonly Item[],
    isForShow: boolean,
    order: KeyOrder,
    once: Once,
  ): Promise<Diagnosis | null> => {
    try {
      await transaction!.savepoint(async (tx) => {
        const rejected = await handle(group, tx);
        if (!isForShow) giveUp(rejected, group, order, once);
      });
      return null;
    } catch (error) {
      if (error instanceof OutOfOrder) {
        const rest = group.filter((item) => item.failure === null && !order.mustPark(item));
        return rest.length === 0 ? null : attempt(rest, isForShow, order, once);
      }
      const diagnosis = diagnose('handle', error, 'HANDLER_FAILED');
      if (handlerTime.signal.aborted || abandon.signal.aborted || !mayBeARecords(diagnosis)) throw error;
      return diagnosis;
    }
  };

  const isOutOfTime = (error: unknown) =>
    error !== undefined && (error === handlerTime.signal.reason || error === abandon.signal.reason);

  try {
    const settled = await context.sink.transaction(async (opened) => {
      transaction = opened;
      const views = await opened.lockLedgers(context.ledger, requestsOf(items));
      replay ??= views.find((view) => view.replay)?.replay ?? undefined;
      const judged = judgeAll(items, views, context);
      const order = await createKeyOrder(judged.fresh, judged.settled, views, opened.keys, context);
      const { fresh, ...known } = judgeByKey(judged, order);
      draining = order.draining;
      if (fresh.length === 0) {
        const parked: ReadonlySet<Item> = new Set();
        phase = 'write';
        const change = order.unclosed.length > 0 ? order.changeBy([], parked, () => false) : null;
        if (change) await opened.keys!.write(context.ledger, change);
        return { ...known, done: [], parked, repeated: [], waiting: [], left: [], skipped: 0, handled: 0 };
      }

      // With the time for it over already, the handler would be blamed for what came before.
      handlerTime.signal.throwIfAborted();
      phase = 'handle';
      for (const item of fresh) {
        // There was no room behind a record that is held by now, or has gone through.
        if (item.failure?.code === 'PARK_LIMIT' && !order.mustPark(item)) item.failure = null;
        if (item.failure !== null) order.failed(item);
      }
      const once = await createOnce(fresh, views, opened.seen, context, (item) => order.mustPark(item));
      sound = fresh.filter(
        (item) => item.failure === null && !order.mustPark(item) && !once.isRepeated(item),
      );
      const isolated =
        typeof approach === 'object'
          ? await isolate(sound, approach.isolate, {
              attempt: (group, isForShow) => attempt(group, isForShow, order, once),
              diagnose: (item, diagnosis) => context.breaker.diagnose(item, diagnosis),
              judge(item, diagnosis, isForShow) {
                const verdict = judgeFailure(item, diagnosis, context, isForShow);
                if (verdict === 'failed') gaveUp(item, order, once);
                return verdict;
              },
              isOut: (item) => order.mustPark(item),
              now: () => clock.now(),
              mayGoOn: (failed) => failed < MOST_LETTERS / 2 && clock.now() - startedAt < budgetMs / 2,
              savepoint: (work) => opened.savepoint(work),
            })
          : { handled: sound.length, waiting: new Map<Item, Diagnosis>(), end: undefined };
      if (typeof approach === 'string') {
        const rejected = sound.length > 0 ? await handle(sound, opened.tx) : NONE_REJECTED;
        if (approach === 'probe') throw new Probed();
        giveUp(rejected, sound, order, once);
      }
      const { done, waiting, left } = cut(fresh, isolated);
      const parked = await parkAll(done, order, once, context);
      if (!once.isSound(done, parked)) throw new OutOfOrder();
      const letters = done.filter((item) => item.failure !== null && !parked.has(item));
      if (letters.length > MOST_LETTERS) throw new TooManyLetters();

      // The handler has done its part: to roll it back for the time it took would be to do it again.
      const writingMs = Math.max(budgetMs - (clock.now() - startedAt), context.usableMs() * WRITING_SHARE);
      deadline.set(writingMs, () => abandon.abort(outOfTime(phase, writingMs, true)));
      phase = 'write';
      const { patches, skipped } = advanceAll(done, parked, views, once.timesAfter(done), context);
      if (letters.length > 0) {
        const settledHere = done.filter((item) => !parked.has(item));
        const broken = await context.breaker.admit(opened, settledHere, { views, patches });
        if (broken) throw new HeldFrom(broken.first, broken.because);
      }
      phase = 'dead-letter';
      await storeLetters(letters, context);

      phase = 'write';
      if (letters.length > 0) await context.breaker.count(opened);
      const change = order.changeBy(done, parked, (item) => once.isRepeated(item));
      if (change) await opened.keys!.write(context.ledger, change);
      await once.keep(done, parked);
      await opened.writeLedgers(context.ledger, patches);
      const repeated = done.filter((item) => once.isRepeated(item) && !parked.has(item));
      return { ...known, done, parked, repeated, waiting, left, skipped, handled: isolated.handled };
    }, abandon.signal);

    const { skipped, handled, waiting, left, done, parked, repeated } = settled;
    for (const item of settled.settled) item.outcome = 'duplicate';
    for (const item of settled.early) item.outcome = 'early';
    for (const item of settled.overtaken) item.outcome = 'overtaken';
    for (const item of done) item.outcome = item.failure ? 'deadLettered' : 'applied';
    for (const item of repeated) item.outcome = 'repeated';
    for (const item of parked) item.outcome = 'parked';
    if (context.arrival === 'delivery') {
      const letters = done.filter(({ outcome }) => outcome === 'deadLettered');
      context.recentLetters.add(letters.map((item) => letterIdOf(item, context)));
    }
    return { skipped, handlerMs, handled, waiting, left, draining };
  } catch (error) {
    if (error instanceof Probed)
      return { skipped: 0, handlerMs, handled: sound.length, waiting: [], left: [], draining };
    const inHandler = phase === 'handle';
    throw new SettleFailed(
      diagnose(inHandler ? 'handle' : 'write', error, inHandler ? 'HANDLER_FAILED' : 'UNEXPECTED'),
      { phase, isOutOfTime: isOutOfTime(error), sound, underTest, handlerMs, draining },
    );
  } finally {
    deadline.clear();
  }
}

/** Tells who keeps the order of keys, and the ids of events, that an item was given up. */
function gaveUp(item: Item, order: KeyOrder, once: Once): void {
  order.failed(item);
  once.failed(item);
}

const NONE_REJECTED: Rejected = new Map();

/** Rolls a probe back. */
class Probed extends Error {}

/** More records failed than one transaction makes letters of: they are known now, and the transaction is planned anew. */
export class TooManyLetters extends Error {}

/**
 * The call is made again, now that more is known: it had records of a key behind one that it gave to fail(), which have to wait;
 * or of an event that was sent twice, the wrong one was left out.
 */
export class OutOfOrder extends Error {}

/** Records that have to wait, each with what comes after it in its partition, though the handler could take them. */
export class HeldFrom extends Error {
  /** Of each such partition the first. */
  readonly first: readonly Item[];
  readonly because: Diagnosis;

  constructor(first: readonly Item[], because: Diagnosis) {
    super('records held', { cause: because.error });
    this.first = first;
    this.because = because;
  }
}

/** What of the records is settled now, what waits behind a record of its own partition, and what is left for later. */
function cut(
  fresh: readonly Item[],
  { waiting, end }: { readonly waiting: ReadonlyMap<Item, Diagnosis>; readonly end: Item | undefined },
): { done: Item[]; waiting: Waiting[]; left: Item[] } {
  const done: Item[] = [];
  const left: Item[] = [];
  const behind = new Map<number, { items: Item[]; because: Diagnosis }>();
  let isOver = false;
  for (const item of fresh) {
    const { partition } = item.raw;
    const because = waiting.get(item);
    if (because && !behind.has(partition)) behind.set(partition, { items: [], because });
    isOver ||= item === end;
    (behind.get(partition)?.items ?? (isOver ? left : done)).push(item);
  }
  return { done, waiting: [...behind.values()], left };
}

/**
 * The items that are parked. What `parkLimit` has no room for becomes a letter.
 * @throws HeldFrom where it is to be held instead
 */
async function parkAll(
  done: readonly Item[],
  order: KeyOrder,
  once: Once,
  { clock }: SettleContext,
): Promise<ReadonlySet<Item>> {
  const { parked, overflow } = await order.park(
    done.filter((item) => !order.mustPark(item) || !once.dropsInstead(item)),
  );
  const held = new Map<number, Item>();
  for (const [item, error] of overflow) {
    const diagnosis = diagnose('handle', error, 'PARK_LIMIT');
    if (diagnosis.action === 'hold') held.set(item.raw.partition, held.get(item.raw.partition) ?? item);
    // What has a letter by now keeps it.
    else item.failure ??= describeFailure(diagnosis, historyWith(item, clock.now()));
  }
  const [first] = held.values();
  if (first) throw new HeldFrom([...held.values()], diagnose('handle', overflow.get(first), 'PARK_LIMIT'));
  return parked;
}

/** Tells a handler how a record came; most are as they were made. */
function tellArrival({ record, isOvertaken }: Item, arrival: Arrival, replay: Replay | undefined): void {
  if (arrival !== 'redrive' && !replay && !isOvertaken) return;
  const told = record as { arrival: ConsumerRecord<unknown>['arrival']; overtaken: boolean };
  told.arrival = replay ? 'replay' : arrival === 'redrive' ? 'redrive' : 'delivery';
  told.overtaken = isOvertaken;
}

/** The error of a transaction whose time is over; its code says what it was waiting for. */
function outOfTime(phase: Phase, budgetMs: number, isSinkWaiting: boolean): MillraceError {
  const after = `within ${Math.round(budgetMs)} ms, its share of the time left in the invocation; rolled back`;
  if (phase === 'dead-letter') {
    return new MillraceError(
      'DEAD_LETTER_STORE_UNAVAILABLE',
      `The dead-letter store did not accept a letter ${after}.`,
    );
  }
  if (phase === 'handle' && !isSinkWaiting) {
    return new MillraceError('HANDLER_TIMEOUT', `handle() did not return ${after}.`);
  }
  return new MillraceError('SINK_UNAVAILABLE', `The sink did not answer ${after}.`);
}

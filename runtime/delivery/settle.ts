import { MillraceError } from '../errors.ts';
import type { Clock } from '../ports.ts';
import type { RawRecord } from '../record.ts';
import { type DeadLetter, type DeadLetterStore, deadLetterId, letterKey } from './dead-letter.ts';
import { type Diagnosis, diagnose } from './failure.ts';
import {
  giveUp,
  type HandlerPorts,
  judgeFailure,
  mayBeARecords,
  type Rejected,
  runHandler,
} from './handler.ts';
import { isolate } from './isolate.ts';
import type { Item } from './item.ts';
import {
  type Arrival,
  advance,
  judge,
  type LedgerPatch,
  type LedgerView,
  type Replay,
  type Settlement,
} from './ledger.ts';
import type { RecentLetters } from './recent-letters.ts';
import type { LedgerKey, LedgerRequest, Sink, SinkTransaction } from './sink.ts';

export interface SettleContext extends HandlerPorts {
  readonly ledger: LedgerKey;
  readonly arrival: Arrival;
  readonly sink: Sink<unknown>;
  readonly deadLetters: DeadLetterStore;
  readonly invocation: Pick<DeadLetter, 'functionName' | 'functionVersion' | 'requestId'> & {
    readonly replay?: Replay | undefined;
  };
  /** Milliseconds left for work in this invocation. */
  usableMs(): number;
  /** Letters that deliveries have left behind lately. */
  readonly recentLetters: RecentLetters;
  /** The schema id in a record's framing, null where the framing cannot be read. */
  schemaIdOf(raw: RawRecord): string | null;
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

  constructor(diagnosis: Diagnosis, facts: Omit<SettleFailed, 'diagnosis' | keyof Error>) {
    super('settle failed', { cause: diagnosis.error });
    this.diagnosis = diagnosis;
    this.phase = facts.phase;
    this.isOutOfTime = facts.isOutOfTime;
    this.sound = facts.sound;
    this.underTest = facts.underTest;
    this.handlerMs = facts.handlerMs;
  }
}

/**
 * A transaction makes this many records dead letters, and no more: what is stored is soon settled, so that neither a
 * slow store nor a crash makes a multitude of second letters.
 */
export const MOST_LETTERS = 500;
/** Letters that are durable together. Those of a transaction that fails are not stored again by its next try. */
const LETTERS_AT_ONCE = 100;
/** After a store has failed: it may have kept some of those that it was given, and does so again with each try. */
const LETTERS_AT_ONCE_AGAIN = 10;

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
    const calledAt = clock.now();
    try {
      return await runHandler(records, tx, handlerTime.signal, abandon.signal, context, replay);
    } finally {
      handlerMs += clock.now() - calledAt;
    }
  };
  /** Lets the handler try a group behind a savepoint; gives what is wrong with the group, if anything is. */
  const attempt = async (group: readonly Item[], isForShow: boolean): Promise<Diagnosis | null> => {
    try {
      const rejected = await transaction!.savepoint((tx) => handle(group, tx));
      if (!isForShow) giveUp(rejected);
      return null;
    } catch (error) {
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
      const { fresh, settled, early } = judgeAll(items, views, context);
      const none = { handled: 0, waiting: [], left: [], skipped: 0 };
      if (fresh.length === 0) return { ...none, done: [], settled, early };

      // With the time for it over already, the handler would be blamed for what came before.
      handlerTime.signal.throwIfAborted();
      phase = 'handle';
      sound = fresh.filter(({ failure }) => failure === null);
      const isolated =
        typeof approach === 'object'
          ? await isolate(sound, approach.isolate, {
              attempt,
              judge: (item, diagnosis, isForShow) => judgeFailure(item, diagnosis, context, isForShow),
              now: () => clock.now(),
              mayGoOn: (failed) => failed < MOST_LETTERS / 2 && clock.now() - startedAt < budgetMs / 2,
              savepoint: (work) => opened.savepoint(work),
            })
          : { handled: sound.length, waiting: new Map<Item, Diagnosis>(), end: undefined };
      if (typeof approach === 'string' && sound.length > 0) {
        const rejected = await handle(sound, opened.tx);
        if (approach === 'probe') throw new Probed();
        giveUp(rejected);
      }
      const { done, waiting, left } = cut(fresh, isolated);
      const failed = done.filter(({ failure }) => failure !== null);
      if (failed.length > MOST_LETTERS) throw new TooManyLetters();

      // The handler has done its part: to roll it back for the time it took would be to do it again.
      const writingMs = Math.max(budgetMs - (clock.now() - startedAt), context.usableMs() * WRITING_SHARE);
      deadline.set(writingMs, () => abandon.abort(outOfTime(phase, writingMs, true)));
      phase = 'dead-letter';
      await storeLetters(failed, context);

      phase = 'write';
      const { patches, skipped } = advanceAll(done, views, context);
      await opened.writeLedgers(context.ledger, patches);
      return { done, waiting, left, skipped, handled: isolated.handled, settled, early };
    }, abandon.signal);

    const letters = settled.done.filter(({ failure }) => failure !== null);
    if (context.arrival === 'delivery')
      context.recentLetters.add(letters.map((item) => letterIdOf(item, context)));
    for (const item of settled.settled) item.outcome = 'duplicate';
    for (const item of settled.early) item.outcome = 'early';
    for (const item of settled.done) item.outcome = item.failure ? 'deadLettered' : 'applied';
    const { skipped, handled, waiting, left } = settled;
    return { skipped, handlerMs, handled, waiting, left };
  } catch (error) {
    if (error instanceof Probed)
      return { skipped: 0, handlerMs, handled: items.length, waiting: [], left: [] };
    const inHandler = phase === 'handle';
    throw new SettleFailed(
      diagnose(inHandler ? 'handle' : 'write', error, inHandler ? 'HANDLER_FAILED' : 'UNEXPECTED'),
      { phase, isOutOfTime: isOutOfTime(error), sound, underTest, handlerMs },
    );
  } finally {
    deadline.clear();
  }
}

/** Rolls a probe back. */
class Probed extends Error {}

/** More records failed than one transaction makes letters of: they are known now, and the transaction is planned anew. */
export class TooManyLetters extends Error {}

/** What is to be done once a time is over; the next `set` replaces the last. */
function createDeadline(clock: Clock) {
  let timer = new AbortController();
  return {
    set(ms: number, onOver: () => void): void {
      timer.abort();
      timer = new AbortController();
      const { signal } = timer;
      void clock.sleep(ms, signal).then(() => {
        if (!signal.aborted) onOver();
      });
    },
    clear(): void {
      timer.abort();
    },
  };
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

/** Makes the failed records' letters durable, those that are not already. */
async function storeLetters(failed: readonly Item[], context: SettleContext): Promise<void> {
  const isKnown = (item: Item) =>
    context.arrival === 'delivery' && context.recentLetters.has(letterIdOf(item, context));
  const toStore = failed.filter((item) => item.stored !== item.failure && !isKnown(item));
  const size = toStore.some(({ wasRefused }) => wasRefused) ? LETTERS_AT_ONCE_AGAIN : LETTERS_AT_ONCE;
  for (let from = 0; from < toStore.length; from += size) {
    const portion = toStore.slice(from, from + size);
    try {
      await context.deadLetters.put(portion.map((item) => letterOf(item, context)));
    } catch (error) {
      for (const item of portion) item.wasRefused = true;
      throw error;
    }
    for (const item of portion) item.stored = item.failure;
  }
}

function letterIdOf({ raw }: Item, { ledger }: SettleContext): string {
  return letterKey({ id: deadLetterId(ledger.consumer, raw), epoch: ledger.epoch });
}

interface Judged {
  readonly fresh: readonly Item[];
  readonly settled: readonly Item[];
  readonly early: readonly Item[];
}

function judgeAll(
  items: readonly Item[],
  views: readonly LedgerView[],
  { arrival, clock }: SettleContext,
): Judged {
  const judged = { fresh: [] as Item[], settled: [] as Item[], early: [] as Item[] };
  const viewOf = new Map(views.map((view) => [view.partition, view]));
  const now = clock.now();
  for (const item of items) {
    judged[judge(viewOf.get(item.raw.partition)!, item.raw, arrival, now)].push(item);
  }
  return judged;
}

function advanceAll(
  done: readonly Item[],
  views: readonly LedgerView[],
  { consumer, clock }: SettleContext,
): { patches: LedgerPatch[]; skipped: number } {
  const settlements = Map.groupBy(done, ({ raw }) => raw.partition);
  const patches: LedgerPatch[] = [];
  let skipped = 0;
  for (const view of views) {
    const [head, ...tail] = (settlements.get(view.partition) ?? []).map(
      ({ raw, failure }): Settlement => ({
        offset: raw.offset,
        timestamp: raw.timestamp,
        isDeadLettered: failure !== null,
      }),
    );
    if (!head) continue;
    const advanced = advance(view, [head, ...tail], consumer.topic.offsets, clock.now());
    patches.push(advanced.patch);
    skipped += advanced.skipped;
  }
  return { patches, skipped };
}

/** One request a partition; the items stand in partition, then offset order. */
function requestsOf(items: readonly Item[]): LedgerRequest[] {
  const requests: { topic: string; partition: number; from: number; to: number }[] = [];
  for (const { raw } of items) {
    const last = requests.at(-1);
    if (last?.partition === raw.partition) last.to = raw.offset + 1;
    else requests.push({ topic: raw.topic, partition: raw.partition, from: raw.offset, to: raw.offset + 1 });
  }
  return requests;
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

function letterOf(item: Item, context: SettleContext): DeadLetter {
  const { functionName, functionVersion, requestId } = context.invocation;
  const { consumer, epoch } = context.ledger;
  return {
    id: deadLetterId(consumer, item.raw),
    consumer,
    epoch,
    record: item.raw,
    schemaId: context.schemaIdOf(item.raw),
    failure: item.failure!,
    functionName,
    functionVersion,
    requestId,
  };
}

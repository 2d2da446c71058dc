/** Holding records while the code is broken: what `breaker.ts` decides, kept in the sink and told to whoever has to know. */

import { MillraceError } from '../errors.ts';
import type { Clock, Logger } from '../ports.ts';
import { recordId } from '../record.ts';
import {
  type BreakerState,
  type BreakerWindow,
  type Failures,
  type Fingerprint,
  fingerprintId,
  fingerprintText,
  isSpent,
  isSuspect,
  type Judgement,
  judgeFailures,
  LEAST_FAILED,
  recovered,
  review,
  type Seen,
} from './breaker.ts';
import type { AnyConsumer } from './consumer.ts';
import { type Diagnosis, diagnose, wholeText } from './failure.ts';
import { historyWith, type Item } from './item.ts';
import type { Arrival, LedgerPatch, LedgerView } from './ledger.ts';
import { LOGGED } from './metrics.ts';
import { placeOfThrow } from './own-frame.ts';
import type { BreakerStore, LedgerKey, Sink, SinkTransaction } from './sink.ts';
import { within } from './within.ts';

/** The breaker of one run over records. */
export interface Breaker {
  /** Whether one of these records is known to be held: it is tried on its own then, before others. */
  knows(items: readonly Item[]): boolean;
  /** What a record's failure on its own turns out to be: CONSUMER_BROKEN while the records that fail so are held. */
  diagnose(item: Item, diagnosis: Diagnosis): Diagnosis;
  /**
   * Judges, in the transaction that settles them, the records that are about to become letters though the code may be to
   * blame. Where it is, gives the first such record of each partition; none of them is given up then. Keeps the other
   * functions of the consumer waiting, until the transaction ends, only where a hold may be about to begin.
   */
  admit(
    transaction: SinkTransaction<unknown>,
    done: readonly Item[],
    change: { readonly views: readonly LedgerView[]; readonly patches: readonly LedgerPatch[] },
  ): Promise<BrokenFrom | null>;
  /** Counts what `admit` did not, once the letters are stored: no store is waited for with the count locked. */
  count(transaction: SinkTransaction<unknown>): Promise<void>;
  /** Keeps what is held, and looks whether it still is to be, in a transaction of its own. Before each wait. */
  refresh(budgetMs: number): Promise<void>;
  /** Ends what is held where a record of it went through. */
  settled(items: readonly Item[], budgetMs: number): Promise<void>;
}

export interface BrokenFrom {
  readonly first: readonly Item[];
  readonly because: Diagnosis;
}

export interface BreakerPorts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly sink: Sink<unknown>;
  /** What tells this version of the code from every other. */
  readonly code: string;
}

/** What this process knows to be held. */
interface Held {
  readonly fingerprint: Fingerprint;
  readonly until: number;
  /** The record of each partition that is tried before others. */
  readonly records: Map<number, string>;
  /** Records that failed together, until the sink knows that they are held. */
  readonly unkept: Pick<Failures, 'failed' | 'handled' | 'handledBefore'> | null;
}

/** Remembers what is held between runs, so that a batch that is delivered again is tried by one record. */
export function createBreakers(
  consumer: AnyConsumer,
  { clock, log, sink, code }: BreakerPorts,
): (ledger: LedgerKey, arrival: Arrival) => Breaker {
  const memory = new Map<number, Map<string, Held>>();
  const { breaker } = consumer;

  return (ledger, arrival) => {
    // A letter that is redriven is one already, and whoever redrives it looks on.
    if (!breaker || arrival === 'redrive') return NO_BREAKER;
    const { holdMs } = breaker;
    const held = memory.get(ledger.epoch) ?? new Map<string, Held>();
    memory.set(ledger.epoch, held);
    const seen = (settled: number): Seen => ({ code, now: clock.now(), holdMs, settled });

    const inTransaction = async (
      budgetMs: number,
      work: (state: BreakerState, settled: number) => BreakerState,
    ): Promise<boolean> => {
      try {
        await within(budgetMs, clock, (signal) =>
          sink.transaction(async ({ breaker: store }) => {
            const { state, settled } = await store!.read(ledger);
            await store!.write(ledger, work(state, settled));
          }, signal),
        );
        return true;
      } catch (error) {
        const { stage, code } = diagnose('write', error, 'SINK_UNAVAILABLE');
        log.warn('How long records are held was not kept', { stage, code });
        return false;
      }
    };

    const tell = ({ fingerprint, until }: Held, { failed, handled, waiting }: BreakerWindow) =>
      log.error(LOGGED.broken, {
        code: 'CONSUMER_BROKEN',
        failing: fingerprintText(fingerprint),
        file: fingerprint.file,
        function: fingerprint.function,
        line: fingerprint.line,
        failed: failed + waiting,
        handled: handled + waiting,
        heldUntil: new Date(until).toISOString(),
        codeVersion: code,
      });

    /** Records that this run has applied since it last counted failures. */
    let handledBefore = 0;
    /** A record whose failure was counted together with them, once its transaction is committed. */
    let counted: Item | null = null;
    /** Counts what the last call of `admit` was about. */
    let uncounted: ((store: BreakerStore) => Promise<void>) | null = null;

    return {
      knows(items) {
        if (held.size === 0) return false;
        const records = new Set([...held.values()].flatMap((each) => [...each.records.values()]));
        const known = items.filter(({ raw }) => records.has(recordId(raw)));
        for (const item of known) item.tries = Math.max(1, item.tries);
        return known.length > 0;
      },

      diagnose(item, diagnosis) {
        item.fingerprint = fingerprintOf(diagnosis);
        if (!item.fingerprint) return diagnosis;
        const known = held.get(fingerprintId(item.fingerprint));
        if (!known || known.until <= clock.now()) return diagnosis;
        item.history = historyWith(item, clock.now());
        item.tries = Math.max(1, item.tries);
        known.records.set(item.raw.partition, recordId(item.raw));
        return broken(consumer, known);
      },

      async admit({ breaker: store }, done, { views, patches }) {
        uncounted = null;
        const failing = done.filter(
          ({ failure, fingerprint }) => fingerprint !== null && failure?.code === 'HANDLER_FAILED',
        );
        if (failing.length === 0 || !store) return null;
        const handled = done.filter(reachedHandler).length;
        const groups = Map.groupBy(failing, ({ fingerprint }) => fingerprintId(fingerprint!));
        const advanced = advancedBy(views, patches);
        const judge = (read: Awaited<ReturnType<BreakerStore['read']>>) => {
          let { state } = read;
          const judged = new Map<string, Judgement>();
          for (const [id, items] of groups) {
            const counts = { failed: items.length, handled, handledBefore, advanced };
            const judgement = judgeFailures(state, seen(read.settled), {
              ...counts,
              fingerprint: items[0]!.fingerprint!,
            });
            judged.set(id, judgement);
            if (judgement.heldUntil === null) ({ state } = judgement);
          }
          return { state, judged };
        };
        const glanced = await store.glance(ledger);
        if (isSpent(glanced.state, seen(0))) {
          for (const id of groups.keys()) held.delete(id);
          return null;
        }
        let { state, judged } = judge(glanced);
        const isHeld = () => [...judged.values()].some(({ heldUntil }) => heldUntil !== null);
        if (!isHeld()) {
          const count = async (locked: BreakerStore) => {
            ({ state, judged } = judge(await locked.read(ledger)));
            // What is stored already becomes letters: the hold begins with the next that fails.
            if (isHeld()) return;
            await locked.write(ledger, state);
            counted = failing[0]!;
          };
          if ([...judged.values()].some(isSuspect)) await count(store);
          else uncounted = count;
        }
        const heldIds = new Set<string>();
        for (const [id, { heldUntil }] of judged) {
          if (heldUntil === null) {
            held.delete(id);
            continue;
          }
          const items = groups.get(id)!;
          heldIds.add(id);
          held.set(id, {
            fingerprint: items[0]!.fingerprint!,
            until: heldUntil,
            records: new Map(),
            unkept: { failed: items.length, handled, handledBefore },
          });
        }
        if (heldIds.size === 0) return null;
        const first = new Map<number, Item>();
        for (const item of failing) {
          const id = fingerprintId(item.fingerprint!);
          if (!heldIds.has(id)) continue;
          const { attempts, firstFailedAt, earlier } = item.failure!;
          item.history = { attempts, firstFailedAt, earlier };
          item.failure = null;
          if (first.has(item.raw.partition)) continue;
          first.set(item.raw.partition, item);
          held.get(id)!.records.set(item.raw.partition, recordId(item.raw));
        }
        const [one] = first.values();
        return {
          first: [...first.values()],
          because: broken(consumer, held.get(fingerprintId(one!.fingerprint!))!),
        };
      },

      async count({ breaker: store }) {
        if (uncounted) await uncounted(store!);
      },

      async refresh(budgetMs) {
        if (held.size === 0) return;
        const judgements = new Map<string, Judgement | null>();
        const isKept = await inTransaction(budgetMs, (before, settled) => {
          let state = before;
          for (const [id, { fingerprint, unkept }] of held) {
            const judged = unkept
              ? judgeFailures(state, seen(settled), { ...unkept, fingerprint, advanced: 0 })
              : review(state, seen(settled), id);
            judgements.set(id, judged);
            // What failed together was rolled back: where it is not held after all, it is counted once it is letters.
            if (judged && (judged.heldUntil !== null || !unkept)) state = judged.state;
          }
          return state;
        });
        if (!isKept) return;
        for (const [id, judged] of judgements) {
          const known = held.get(id)!;
          if (judged === null || judged.heldUntil === null) {
            held.delete(id);
            continue;
          }
          held.set(id, { ...known, until: judged.heldUntil, unkept: null });
          if (judged.isNew) tell(held.get(id)!, judged.window);
        }
      },

      async settled(items, budgetMs) {
        if (counted && items.includes(counted) && counted.outcome === 'deadLettered') handledBefore = 0;
        for (const { outcome } of items) if (outcome === 'applied') handledBefore++;
        if (held.size === 0) return;
        const through = new Set(
          items.filter(({ outcome }) => outcome === 'applied').map(({ raw }) => recordId(raw)),
        );
        const over = [...held].filter(([, { records }]) =>
          [...records.values()].some((id) => through.has(id)),
        );
        if (over.length === 0) return;
        for (const [id] of over) held.delete(id);
        await inTransaction(budgetMs, (before, settled) =>
          over.reduce((state, [id]) => recovered(state, seen(settled), id), before),
        );
      },
    };
  };
}

/** A breaker that never opens. */
const NO_BREAKER: Breaker = {
  knows() {
    return false;
  },
  diagnose(_, diagnosis) {
    return diagnosis;
  },
  admit: async () => null,
  count: async () => {},
  refresh: async () => {},
  settled: async () => {},
};

function reachedHandler({ failure }: Item): boolean {
  return failure === null || (failure.stage !== 'decode' && failure.code !== 'PARK_LIMIT');
}

/** Null where a record's data is to blame, or something outside: what the sink refused, also when the handler wraps it. */
function fingerprintOf({ stage, code, error, action }: Diagnosis): Fingerprint | null {
  if (stage !== 'handle' || code !== 'HANDLER_FAILED' || action !== 'retry') return null;
  try {
    for (let cause = error, depth = 0; cause instanceof Error && depth < 8; cause = cause.cause, depth++) {
      if (cause instanceof MillraceError && cause.code !== 'HANDLER_FAILED') return null;
    }
  } catch {
    // What is thrown can throw at anything it is asked.
    return { name: typeof error, file: null, function: null, line: null };
  }
  const place = placeOfThrow(wholeText(error));
  const name = classOf(error);
  return place ? { name, ...place } : { name, file: null, function: null, line: null };
}

const MAX_NAME_CHARS = 64;

/** The name of the error's class: an error's own name may come from a record. */
function classOf(error: unknown): string {
  try {
    const { name } = (Object.getPrototypeOf(Object(error)) as { constructor: { name: unknown } }).constructor;
    const isName = typeof name === 'string' && /^[\p{ID_Continue}$]+$/u.test(name);
    return isName ? name.slice(0, MAX_NAME_CHARS) : typeof error;
  } catch {
    return typeof error;
  }
}

/** How many offsets the ledgers gain. */
function advancedBy(views: readonly LedgerView[], patches: readonly LedgerPatch[]): number {
  const before = new Map(views.map(({ partition, first, next }) => [partition, (next ?? 0) - (first ?? 0)]));
  return patches.reduce((sum, { partition, first, next }) => sum + next - first - before.get(partition)!, 0);
}

function broken({ name, breaker }: AnyConsumer, { fingerprint, until }: Held): Diagnosis {
  const error = new MillraceError(
    'CONSUMER_BROKEN',
    `At least ${LEAST_FAILED} records, and at least half of those that reached handle() of ${name}, fail with ` +
      `${fingerprintText(fingerprint)}. The code is broken, not the records: they wait until ` +
      `${new Date(until).toISOString().slice(0, 19)}Z at the latest, and become dead letters then. Deploy code that works: ` +
      'what waits goes on by itself.',
    {
      details: {
        consumer: name,
        failing: fingerprintText(fingerprint),
        heldUntil: until,
        holdMs: breaker ? breaker.holdMs : 0,
      },
    },
  );
  return diagnose('handle', error, 'CONSUMER_BROKEN');
}

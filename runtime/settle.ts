/**
 * Settling: the one way in which a record reaches a handler, whether the event source delivers it or a dead letter
 * is given back. One sink transaction holds the ledger's locks, the handler's effects and the ledger's new state.
 */
import type { AnyConsumer } from './consumer.ts';
import {
  type DeadLetter,
  deadLetterId,
  type Failure,
  type FailureHistory,
} from './dead-letters/dead-letter.ts';
import { MillraceError } from './errors.ts';
import { type Diagnosis, describeFailure, diagnose } from './failure.ts';
import {
  type Arrival,
  advance,
  judge,
  type LedgerPatch,
  type LedgerView,
  type Settlement,
} from './ledger.ts';
import type {
  Clock,
  DeadLetterStore,
  LedgerKey,
  LedgerRequest,
  Logger,
  Sink,
  SinkTransaction,
} from './ports.ts';
import type { ConsumerRecord, RawRecord } from './record.ts';

/** What became of a record; `returned` until it is settled. */
export type Outcome = 'returned' | 'applied' | 'duplicate' | 'dead-lettered' | 'early';

/** A record on its way through the engine. */
export interface Item {
  readonly raw: RawRecord;
  /** Null where the bytes could not be read; `failure` is set then. */
  readonly record: ConsumerRecord<unknown> | null;
  /** Set when the record was given up: it goes to the dead letters instead of the handler. */
  failure: Failure | null;
  outcome: Outcome;
  /** How it has failed before, from earlier redrives on. */
  history: FailureHistory;
}

export interface SettleContext {
  readonly consumer: AnyConsumer;
  readonly ledger: LedgerKey;
  readonly arrival: Arrival;
  readonly sink: Sink<unknown>;
  readonly deadLetters: DeadLetterStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly invocation: Pick<DeadLetter, 'functionName' | 'functionVersion' | 'requestId'>;
  /** The schema id in a record's framing, null where the framing cannot be read. */
  schemaIdOf(raw: RawRecord): string | null;
}

/** What one transaction settled; outcomes stand in the items. */
export interface Settled {
  readonly passedOver: number;
  readonly handlerMs: number;
}

/** Why a transaction settled nothing. */
export class SettleFailed extends Error {
  readonly diagnosis: Diagnosis;
  readonly handlerMs: number;

  constructor(diagnosis: Diagnosis, handlerMs: number) {
    super('settle failed', { cause: diagnosis.error });
    this.diagnosis = diagnosis;
    this.handlerMs = handlerMs;
  }
}

type Phase = 'lock' | 'handle' | 'dead-letter' | 'write';

/**
 * Settles the items in one transaction, or none of them. Items stand in partition, then offset order.
 *
 * Promise 1: letters are durable before the commit. Promise 2: whatever the ledger calls settled is dropped under
 * its lock. Promise 3: fresh records reach the handler in offset order.
 *
 * @param budgetMs after which the transaction is abandoned and rolled back, handler or not
 * @throws SettleFailed with the diagnosis; no item's outcome has changed then
 */
export async function settle(
  items: readonly Item[],
  budgetMs: number,
  context: SettleContext,
): Promise<Settled> {
  const { clock } = context;
  let phase = 'lock' as Phase;
  let handlerMs = 0;
  let transaction: SinkTransaction<unknown> | undefined;

  const timer = new AbortController();
  const abandon = new AbortController();
  void clock.sleep(budgetMs, timer.signal).then(() => {
    if (!timer.signal.aborted) abandon.abort(outOfTime(phase, budgetMs, transaction?.isWaiting() ?? true));
  });

  try {
    const plan = await context.sink.transaction(async (opened) => {
      transaction = opened;
      const views = await opened.lockLedgers(context.ledger, requestsOf(items));
      const plan = judgeAll(items, views, context.arrival);
      if (plan.fresh.length === 0) return { ...plan, failures: new Map<Item, Failure>(), passedOver: 0 };

      phase = 'handle';
      const startedAt = clock.now();
      const failures = await runHandler(plan.fresh, opened.tx, abandon.signal, context).finally(() => {
        handlerMs = clock.now() - startedAt;
      });

      phase = 'dead-letter';
      if (failures.size > 0) {
        await context.deadLetters.put(
          [...failures].map(([item, failure]) => letterOf(item, failure, context)),
        );
      }

      phase = 'write';
      const { patches, passedOver } = advanceAll(plan, failures, context.consumer.topic.offsets);
      await opened.writeLedgers(context.ledger, patches);
      return { ...plan, failures, passedOver };
    }, abandon.signal);

    for (const item of plan.settled) item.outcome = 'duplicate';
    for (const item of plan.early) item.outcome = 'early';
    for (const item of plan.fresh) item.outcome = plan.failures.has(item) ? 'dead-lettered' : 'applied';
    for (const [item, failure] of plan.failures) item.failure = failure;
    return { passedOver: plan.passedOver, handlerMs };
  } catch (error) {
    const inHandler = phase === 'handle';
    throw new SettleFailed(
      diagnose(inHandler ? 'handle' : 'write', error, inHandler ? 'HANDLER_FAILED' : 'UNEXPECTED'),
      handlerMs,
    );
  } finally {
    timer.abort();
  }
}

/** Runs the handler on what can be read, and gathers what has failed: before it ran, or given to `fail`. */
async function runHandler(
  fresh: readonly Item[],
  tx: unknown,
  signal: AbortSignal,
  context: SettleContext,
): Promise<ReadonlyMap<Item, Failure>> {
  const failures = new Map<Item, Failure>();
  const itemOf = new Map<ConsumerRecord<unknown>, Item>();
  for (const item of fresh) {
    if (item.failure) failures.set(item, item.failure);
    else itemOf.set(item.record!, item);
  }
  if (itemOf.size === 0) return failures;

  const fail = (record: ConsumerRecord<unknown>, error: unknown) => {
    const item = itemOf.get(record);
    if (!item) {
      throw new MillraceError(
        'HANDLER_FAILED',
        'fail() takes a record that this handle() was given; got another.',
      );
    }
    const diagnosis = diagnose('handle', error, 'HANDLER_REJECTED');
    failures.set(item, describeFailure(diagnosis, historyWith(item, context.clock.now())));
  };
  const handled = context.consumer.handle([...itemOf.keys()], { tx, signal, log: context.log, fail });
  await Promise.race([handled, rejectionOf(signal)]);
  // A copy: fail() called by something the handler did not wait for comes too late to make a letter.
  return new Map(failures);
}

/** An item's history with one more failed try at `now`. */
export function historyWith(
  { history }: Item,
  now: number,
): Pick<Failure, 'attempts' | 'firstFailedAt' | 'lastFailedAt' | 'earlier'> {
  const { attempts, firstFailedAt, earlier } = history;
  return { attempts: attempts + 1, firstFailedAt: firstFailedAt ?? now, lastFailedAt: now, earlier };
}

interface Plan {
  readonly fresh: readonly Item[];
  readonly settled: readonly Item[];
  readonly early: readonly Item[];
  readonly views: readonly LedgerView[];
}

function judgeAll(items: readonly Item[], views: readonly LedgerView[], arrival: Arrival): Plan {
  const plan = { fresh: [] as Item[], settled: [] as Item[], early: [] as Item[], views };
  const viewOf = new Map(views.map((view) => [view.partition, view]));
  for (const item of items) {
    plan[judge(viewOf.get(item.raw.partition)!, item.raw, arrival)].push(item);
  }
  return plan;
}

function advanceAll(
  { fresh, views }: Plan,
  failures: ReadonlyMap<Item, Failure>,
  offsets: 'contiguous' | 'sparse',
): { patches: LedgerPatch[]; passedOver: number } {
  const settlements = Map.groupBy(fresh, ({ raw }) => raw.partition);
  const patches: LedgerPatch[] = [];
  let passedOver = 0;
  for (const view of views) {
    const [head, ...tail] = (settlements.get(view.partition) ?? []).map(
      (item): Settlement => ({
        offset: item.raw.offset,
        timestamp: item.raw.timestamp,
        isDeadLettered: failures.has(item),
      }),
    );
    if (!head) continue;
    const advanced = advance(view, [head, ...tail], offsets);
    patches.push(advanced.patch);
    passedOver += advanced.passedOver;
  }
  return { patches, passedOver };
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

/** Only a handler that is itself slow may be held against a record; all else is an outage. */
function outOfTime(phase: Phase, budgetMs: number, isSinkWaiting: boolean): MillraceError {
  const after = `within ${Math.round(budgetMs)} ms, its share of the time left in the invocation; rolled back`;
  if (phase === 'dead-letter') {
    return new MillraceError(
      'DEAD_LETTER_STORE_UNAVAILABLE',
      `The dead-letter store took no letter ${after}.`,
    );
  }
  if (phase === 'handle' && !isSinkWaiting) {
    return new MillraceError('HANDLER_TIMEOUT', `handle() did not return ${after}.`);
  }
  return new MillraceError('SINK_UNAVAILABLE', `The sink did not answer ${after}.`);
}

function rejectionOf(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

function letterOf(item: Item, failure: Failure, context: SettleContext): DeadLetter {
  const { functionName, functionVersion, requestId } = context.invocation;
  const { consumer, epoch } = context.ledger;
  return {
    id: deadLetterId(consumer, item.raw),
    consumer,
    epoch,
    record: item.raw,
    schemaId: context.schemaIdOf(item.raw),
    failure,
    functionName,
    functionVersion,
    requestId,
  };
}

/**
 * Faults that production has and a laptop lacks, by a seed: batches delivered twice, functions that die around their
 * commit, a sink or a dead-letter store that is down. Each is something that Lambda, a database or a queue really
 * does; none looks inside the engine.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import type { DeadLetterStore } from '../runtime/delivery/dead-letter.ts';
import type { Sink } from '../runtime/delivery/sink.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { Clock, Random } from '../runtime/ports.ts';
import { createRequestId, type Handler } from './event-source/function.ts';

export interface FaultOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** The share of invocations whose batch is delivered twice, from 0 to 1. @default 0 */
  readonly redeliver?: number;
  /** The share of invocations that die around the commit of a transaction, from 0 to 1. @default 0 */
  readonly crash?: number;
  /** How long the sink is down, from its first transaction on. @default 0 */
  readonly sinkOutageMs?: number;
  /** How long the dead-letter store is down, from its first letter on. @default 0 */
  readonly deadLetterOutageMs?: number;
  /** When the two outages end, 0 until they begin, where the faults of several threads have them in common. @default their own */
  readonly outagesEndAt?: Float64Array;
  /** Hears of each fault as it happens. An outage has none: `outagesEndAt` has it. */
  readonly onFault?: (kind: FaultKind) => void;
  /** The handler throws at records whose field has this value: a bug, until the next run is without it. @default none */
  readonly fail?: { readonly field: string; readonly value: string };
}

export type FaultKind = 'redelivered' | 'crash';

export interface Faults {
  wrapConsumer(consumer: AnyConsumer): AnyConsumer;
  wrapHandler(handler: Handler): Handler;
  wrapSink<Tx>(sink: Sink<Tx>): Sink<Tx>;
  wrapDeadLetters(store: DeadLetterStore): DeadLetterStore;
  /** Resolves when no late duplicate is running any more. */
  idle(): Promise<void>;
}

/** What happens to one invocation, and to every port that is used inside it. */
interface Plan {
  /** Around which commit it dies; null where it lives. */
  readonly crashes: 'before-commit' | 'after-commit' | null;
  /** Aborts when it dies. From then on nothing that it waits for comes back, and its connections are gone. */
  readonly death: AbortController;
}

/** The longest that a late duplicate lags behind the invocation whose batch it has. */
const TWIN_LAG_MS = 1_000;

/**
 * Makes the faults. One object holds those of one consumer: wrap its handler, its sink and its dead-letter store.
 * @throws INPUT_INVALID when a share is not from 0 to 1, or a time is negative
 */
export function createFaults({
  clock,
  random,
  redeliver = 0,
  crash = 0,
  sinkOutageMs = 0,
  deadLetterOutageMs = 0,
  outagesEndAt = new Float64Array(2),
  onFault = () => {},
  fail,
}: FaultOptions): Faults {
  checkShare('redeliver', redeliver);
  checkShare('crash', crash);
  const plans = new AsyncLocalStorage<Plan>();
  const duplicates = new Set<Promise<unknown>>();
  const sinkOutage = createOutage('sinkOutageMs', sinkOutageMs, outagesEndAt.subarray(0, 1), clock, random);
  const storeOutage = createOutage(
    'deadLetterOutageMs',
    deadLetterOutageMs,
    outagesEndAt.subarray(1, 2),
    clock,
    random,
  );

  /** Runs the handler under a plan of its own. Rejects when it dies, while inside it nothing goes on. */
  const run = (handler: Handler, ...[event, context]: Parameters<Handler>): Promise<unknown> => {
    const plan: Plan = {
      crashes: random.next() >= crash ? null : random.next() < 0.5 ? 'before-commit' : 'after-commit',
      death: new AbortController(),
    };
    const died = new Promise<never>((_, reject) => {
      plan.death.signal.addEventListener('abort', () => {
        onFault('crash');
        reject(
          new Error(`RequestId: ${context.awsRequestId} Error: Runtime exited without providing a reason`),
        );
      });
    });
    return Promise.race([plans.run(plan, () => handler(event, context)), died]);
  };

  /** Delivers the same batch once more beside the first, later or earlier: as a function that was given up but ran on. */
  const startDuplicate = (handler: Handler, ...[event, context]: Parameters<Handler>) => {
    const duplicateContext = { ...context, awsRequestId: createRequestId(random) };
    const duplicateEvent = structuredClone(event);
    const duplicate = clock
      .sleep(random.next() * TWIN_LAG_MS)
      .then(() => run(handler, duplicateEvent, duplicateContext))
      .catch(() => {})
      .finally(() => duplicates.delete(duplicate));
    duplicates.add(duplicate);
  };

  return {
    wrapConsumer(consumer) {
      if (!fail) return consumer;
      return {
        ...consumer,
        async handle(records, context) {
          if (records.some(({ value }) => hasValue(value, fail))) {
            throw new Error(`A bug in the handler, injected by --fail: it fails for one ${fail.field}.`);
          }
          await consumer.handle(records, context);
        },
      };
    },

    wrapHandler: (handler) => async (event, context) => {
      const isTwice = random.next() < redeliver;
      const isAtOnce = isTwice && random.next() < 0.5;
      if (isTwice) onFault('redelivered');
      if (isAtOnce) startDuplicate(handler, event, context);
      const response = await run(handler, event, context);
      if (isTwice && !isAtOnce) {
        throw new Error(
          `RequestId: ${context.awsRequestId} The response was lost on its way to the event source`,
        );
      }
      return response;
    },

    wrapSink: <Tx>(sink: Sink<Tx>): Sink<Tx> => ({
      async transaction(work, signal) {
        const plan = plans.getStore();
        if (isDead(plan)) return never();
        const fault = sinkOutage();
        if (fault === 'down') throw sinkUnavailable();

        const rollsBack = plan?.crashes === 'before-commit' || fault === 'cut-before';
        const signals = [signal, plan?.death.signal].filter((each) => each !== undefined);
        // A transaction that is cut off runs to its end first: its locks, letters and statements were real.
        const cut = new Error('cut off before the commit');
        const run = sink.transaction(async (transaction) => {
          const worked = await work(transaction);
          if (rollsBack) throw cut;
          return worked;
        }, AbortSignal.any(signals));
        const outcome = await run.then(
          (value) => ({ value }),
          (error: unknown) => {
            if (error !== cut && !isDead(plan)) throw error;
            return null;
          },
        );
        if (plan?.crashes) plan.death.abort();
        if (isDead(plan)) return never();
        if (fault !== 'up' || outcome === null) throw sinkUnavailable();
        return outcome.value;
      },
    }),

    wrapDeadLetters: (store) => ({
      async put(letters) {
        const plan = plans.getStore();
        if (isDead(plan)) return never();
        const fault = storeOutage();
        if (fault === 'down' || fault === 'cut-before') throw storeUnavailable();
        await store.put(letters);
        if (isDead(plan)) return never();
        if (fault === 'cut-after') throw storeUnavailable();
      },
    }),

    async idle() {
      while (duplicates.size > 0) await Promise.all(duplicates);
    },
  };
}

/**
 * One outage, beginning with the first use. That use is cut off, before or after its work has become durable: who
 * asked cannot tell which. Those after it find the service down until the time is over.
 */
function createOutage(
  option: string,
  durationMs: number,
  endsAt: Float64Array,
  clock: Clock,
  random: Random,
) {
  if (!(durationMs >= 0)) refuse(option, durationMs, 'milliseconds from 0');
  return (): 'up' | 'down' | 'cut-before' | 'cut-after' => {
    if (durationMs === 0) return 'up';
    if (endsAt[0] !== 0) return clock.now() < endsAt[0]! ? 'down' : 'up';
    endsAt[0] = clock.now() + durationMs;
    return random.next() < 0.5 ? 'cut-before' : 'cut-after';
  };
}

function hasValue(record: unknown, { field, value }: { field: string; value: string }): boolean {
  const got = (record as Record<string, unknown> | null)?.[field];
  return got !== undefined && got !== null && String(got) === value;
}

function isDead(plan: Plan | undefined): boolean {
  return plan?.death.signal.aborted ?? false;
}

/** What a dead function is left with: waiting. */
function never(): Promise<never> {
  return new Promise(() => {});
}

function sinkUnavailable(): MillraceError {
  return new MillraceError('SINK_UNAVAILABLE', 'The sink is down, injected by a fault option.');
}

function storeUnavailable(): MillraceError {
  return new MillraceError(
    'DEAD_LETTER_STORE_UNAVAILABLE',
    'The dead-letter store is down, injected by a fault option.',
  );
}

function checkShare(option: string, got: number): void {
  if (!(got >= 0 && got <= 1)) refuse(option, got, 'a share from 0 to 1');
}

function refuse(option: string, got: unknown, allowed: string): never {
  throw new MillraceError('INPUT_INVALID', `Faults: ${option} is ${String(got)}; it takes ${allowed}.`, {
    details: { option },
  });
}

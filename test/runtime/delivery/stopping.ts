/** A function that stops between any two of its steps, and a sink that is down for a while. */
import type { Sink, SinkTransaction } from '../../../runtime/delivery/sink.ts';
import { MillraceError } from '../../../runtime/errors.ts';

/** The function was stopped: whatever it was doing, it never goes on. */
export class Stopped extends Error {}

export class Stop {
  readonly #stopping = new AbortController();
  readonly signal = this.#stopping.signal;
  readonly stopped: Promise<never>;
  #left: number | null;

  constructor(stopAt: number | null) {
    this.#left = stopAt;
    this.stopped = new Promise((_, reject) => {
      this.signal.addEventListener('abort', () => reject(this.signal.reason));
    });
    this.stopped.catch(() => {});
  }

  async step(): Promise<void> {
    if (this.#left !== null && this.#left-- <= 0) {
      this.#stopping.abort(new Stopped());
      await new Promise(() => {});
    }
  }
}

/** Takes a step before and after each call: any of them may be the last, and an answer may never come. */
export function around(step: () => Promise<void>) {
  return <Arguments extends unknown[], Result>(call: (...values: Arguments) => Promise<Result>) =>
    async (...values: Arguments): Promise<Result> => {
      await step();
      const result = await call(...values);
      await step();
      return result;
    };
}

/** A sink whose every statement may be the last: when the function stops, its connection drops and rolls back. */
export function stoppable<Tx extends object>(
  sink: Sink<Tx>,
  step: () => Promise<void>,
  stopped: AbortSignal,
): Sink<Tx> {
  const stepping = around(step);
  const wrapAll = <Calls extends object>(calls: Calls) =>
    Object.fromEntries(Object.entries(calls).map(([name, call]) => [name, stepping(call)])) as Calls;
  const wrap = (inner: SinkTransaction<Tx>): SinkTransaction<Tx> => ({
    tx: wrapAll(inner.tx),
    lockLedgers: stepping(inner.lockLedgers),
    writeLedgers: stepping(inner.writeLedgers),
    savepoint: async (work) => {
      await step();
      return inner.savepoint((tx) => work(wrapAll(tx)));
    },
    isWaiting: inner.isWaiting,
    ...(inner.keys && { keys: wrapAll(inner.keys) }),
    ...(inner.breaker && { breaker: wrapAll(inner.breaker) }),
    ...(inner.seen && { seen: wrapAll(inner.seen) }),
  });
  return {
    async transaction(work, signal) {
      await step();
      try {
        const result = await sink.transaction(
          (inner) => work(wrap(inner)),
          AbortSignal.any(signal ? [signal, stopped] : [stopped]),
        );
        await step();
        return result;
      } catch (error) {
        if (stopped.aborted) await new Promise(() => {});
        throw error;
      }
    },
  };
}

export function refusing<Tx>(sink: Sink<Tx>, refusals: number): Sink<Tx> {
  let left = refusals;
  return {
    transaction: async (work, signal) => {
      if (left-- > 0) throw new MillraceError('SINK_UNAVAILABLE', 'down');
      return sink.transaction(work, signal);
    },
  };
}

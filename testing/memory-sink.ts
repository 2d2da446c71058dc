import type { LedgerPatch, LedgerView } from '../runtime/delivery/ledger.ts';
import { type OffsetRange, subtract, union, within } from '../runtime/delivery/offset-ranges.ts';
import type { LedgerKey, LedgerRequest, Sink, SinkTransaction } from '../runtime/delivery/sink.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { TopicPartition } from '../runtime/record.ts';

/** The effects a handler can have on the memory sink: a store of values by key, written at commit. */
export interface MemoryTx {
  /** The committed value with this transaction's own changes, undefined where the key was never written. */
  get(key: string): Promise<unknown>;
  set(key: string, value: unknown): Promise<void>;
  /** Adds to a number; a key without one counts from 0. */
  increment(key: string, by?: number): Promise<void>;
  /** Adds to the end of a list; a key without one begins an empty list. */
  append(key: string, value: unknown): Promise<void>;
}

/** A ledger with all of its holes, told apart. */
export interface MemoryLedger extends LedgerView {
  readonly deadLettered: readonly OffsetRange[];
  readonly skipped: readonly OffsetRange[];
}

type Change = (current: unknown) => unknown;

/**
 * A sink in memory that keeps the port's promises with real transactions: ledgers are locked row by row, first come
 * first served, and changes become visible at commit, all at once. For tests: it holds every change in memory and
 * nothing survives the process.
 */
export class MemorySink implements Sink<MemoryTx> {
  #values = new Map<string, unknown>();
  #ledgers = new Map<string, MemoryLedger>();
  #locks = new RowLocks();

  /** The committed value of a key. */
  value(key: string): unknown {
    return this.#values.get(key);
  }

  /** Every committed value by its key. */
  values(): ReadonlyMap<string, unknown> {
    return new Map(this.#values);
  }

  /** The committed ledger of a partition, undefined where nothing of it was ever settled. */
  ledger(key: LedgerKey, of: TopicPartition): MemoryLedger | undefined {
    return this.#ledgers.get(ledgerId(key, of));
  }

  async transaction<Result>(
    work: (transaction: SinkTransaction<MemoryTx>) => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> {
    signal?.throwIfAborted();
    const changes = new Map<string, Change[]>();
    const patched = new Map<string, MemoryLedger>();
    const releases = new Map<string, () => void>();
    let isOpen = true;
    const end = () => {
      isOpen = false;
      for (const release of releases.values()) release();
    };

    // Every statement takes a turn of the microtask queue, as a database's takes a round trip.
    let waiting = 0;
    let lastStatement: Promise<unknown> = Promise.resolve();
    const statement = <T>(run: () => T | Promise<T>): Promise<T> => {
      const answer = (async () => {
        waiting++;
        try {
          await null;
          signal?.throwIfAborted();
          if (!isOpen) throw transactionEnded();
          return await run();
        } finally {
          waiting--;
        }
      })();
      lastStatement = Promise.allSettled([lastStatement, answer]);
      return answer;
    };
    /** A tx for one part of the transaction. */
    const partOf = (): { readonly tx: MemoryTx; readonly close: () => void } => {
      let isPartOpen = true;
      const inPart = <T>(run: () => T): Promise<T> =>
        isPartOpen ? statement(run) : Promise.reject(transactionEnded());
      const change = (key: string, apply: Change) =>
        inPart(() => {
          const queue = changes.get(key);
          if (queue) queue.push(apply);
          else changes.set(key, [apply]);
        });
      return {
        tx: {
          get: (key) => inPart(() => current(key)),
          set: (key, value) => change(key, () => value),
          increment: (key, by = 1) => change(key, (value) => ((value as number | undefined) ?? 0) + by),
          append: (key, item) => change(key, (value) => [...((value as unknown[] | undefined) ?? []), item]),
        },
        close() {
          isPartOpen = false;
        },
      };
    };
    const current = (key: string) =>
      (changes.get(key) ?? []).reduce((value, apply) => apply(value), this.#values.get(key));
    const ledger = (id: string) => patched.get(id) ?? this.#ledgers.get(id);

    const transaction: SinkTransaction<MemoryTx> = {
      tx: partOf().tx,
      lockLedgers: (key, requests) =>
        statement(async () => {
          for (const id of requests.map((request) => ledgerId(key, request)).sort()) {
            if (releases.has(id)) continue;
            const lock = this.#locks.acquire(id);
            releases.set(id, lock.release);
            await lock.acquired;
            signal?.throwIfAborted();
            if (!isOpen) throw transactionEnded();
          }
          return requests.map((request) => viewOf(ledger(ledgerId(key, request)), request));
        }),
      writeLedgers: (key, patches) =>
        statement(() => {
          for (const patch of patches) {
            const id = ledgerId(key, patch);
            if (!releases.has(id)) throw new Error(`writeLedgers() got ${id}, which was not locked`);
            patched.set(id, applyPatch(ledger(id), patch));
          }
        }),
      async savepoint(savedWork) {
        await statement(() => {});
        const lengths = new Map(Array.from(changes, ([key, queue]) => [key, queue.length]));
        const ledgers = new Map(patched);
        const part = partOf();
        const ended = async () => {
          part.close();
          await lastStatement;
        };
        try {
          const result = await savedWork(part.tx);
          await ended();
          return result;
        } catch (error) {
          await ended();
          for (const [key, queue] of changes) queue.length = lengths.get(key) ?? 0;
          patched.clear();
          for (const [id, ledger] of ledgers) patched.set(id, ledger);
          throw error;
        }
      },
      isWaiting: () => waiting > 0,
    };

    const commit = () => {
      signal?.throwIfAborted();
      for (const [key, queue] of changes) if (queue.length > 0) this.#values.set(key, current(key));
      for (const [id, patch] of patched) this.#ledgers.set(id, patch);
    };
    const run = async () => {
      const result = await work(transaction);
      commit();
      return result;
    };
    const aborted = rejectionOf(signal);
    try {
      return await Promise.race([run(), aborted.promise]);
    } finally {
      aborted.stop();
      end();
    }
  }
}

/** First come, first served locks by row id. */
class RowLocks {
  #tails = new Map<string, Promise<void>>();

  /** Takes a place in the row's queue at once. `release` gives it up, whether its turn has come or not. */
  acquire(id: string): { readonly acquired: Promise<void>; readonly release: () => void } {
    const acquired = this.#tails.get(id) ?? Promise.resolve();
    const { promise: released, resolve } = Promise.withResolvers<void>();
    const tail = acquired.then(() => released);
    this.#tails.set(id, tail);
    const release = () => {
      resolve();
      if (this.#tails.get(id) === tail) void tail.then(() => this.#forget(id, tail));
    };
    return { acquired, release };
  }

  #forget(id: string, tail: Promise<void>): void {
    if (this.#tails.get(id) === tail) this.#tails.delete(id);
  }
}

/** A promise that rejects with the signal's reason when it aborts, and never without a signal. */
function rejectionOf(signal: AbortSignal | undefined): { promise: Promise<never>; stop: () => void } {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal?.reason);
  signal?.addEventListener('abort', onAbort, { once: true });
  return { promise, stop: () => signal?.removeEventListener('abort', onAbort) };
}

function viewOf(ledger: MemoryLedger | undefined, request: LedgerRequest): LedgerView {
  const { topic, partition } = request;
  if (!ledger) return { topic, partition, first: null, next: null, maxTimestamp: -1, holes: [] };
  const { first, next, maxTimestamp, holes } = ledger;
  return { topic, partition, first, next, maxTimestamp, holes: within(holes, request) };
}

function applyPatch(ledger: MemoryLedger | undefined, patch: LedgerPatch): MemoryLedger {
  const { topic, partition, first, next, maxTimestamp, closed } = patch;
  const deadLettered = union(subtract(ledger?.deadLettered ?? [], closed), patch.deadLettered);
  const stillPassedOver = subtract(ledger?.skipped ?? [], [...closed, ...patch.deadLettered]);
  const skipped = union(stillPassedOver, patch.skipped);
  const holes = union(deadLettered, skipped);
  return { topic, partition, first, next, maxTimestamp, holes, deadLettered, skipped };
}

function ledgerId({ consumer, epoch }: LedgerKey, { topic, partition }: TopicPartition): string {
  return `${consumer}/${epoch}/${topic}/${String(partition).padStart(10, '0')}`;
}

function transactionEnded(): MillraceError {
  return new MillraceError(
    'HANDLER_FAILED',
    'tx was used after its transaction had ended. Await every statement before handle() returns.',
  );
}

/** Transactions of sinks without any of their own: effects are gathered, ledgers are locked here, and all is written at the commit. */
import { MillraceError } from '../errors.ts';
import type { TopicPartition } from '../record.ts';
import type { BreakerState } from './breaker.ts';
import { applyPatch, type KeyCounts, type Ledger, type LedgerPatch, viewOf } from './ledger.ts';
import type { BreakerStore, KeyStore, LedgerKey, SeenStore, SinkTransaction } from './sink.ts';

/** What a transaction has gathered so far. */
export interface Effects<Tx> {
  /** A way to add to them, each time by a statement, which rejects once it is too late. */
  tx(statement: Statement): Tx;
  /** Gives the way back to this moment. */
  mark(): () => void;
}

export type Statement = <Result>(run: () => Result | Promise<Result>) => Promise<Result>;

/** A ledger that the transaction has locked, as it was and as it is to be. */
export interface LockedLedger {
  readonly key: LedgerKey;
  readonly of: TopicPartition;
  readonly before: Ledger;
  readonly after: Ledger;
  readonly patches: readonly LedgerPatch[];
}

export interface BufferedSink<Tx> {
  readonly effects: Effects<Tx>;
  readonly locks: RowLocks;
  /** The ledger as committed, while its lock is held. */
  read(key: LedgerKey, of: TopicPartition): Ledger | Promise<Ledger>;
  /** Writes what was gathered, and the ledgers that have patches. */
  commit(locked: readonly LockedLedger[]): void | Promise<void>;
  /** What is remembered of keys, where the sink does that. */
  readonly keys?: BufferedKeys;
  /** The breaker's states as committed, where the sink keeps them; what is written is to be kept at the commit. */
  readonly breaker?: BufferedBreaker;
  /** The ids of events that were applied, where the sink keeps those. */
  seen?(statement: Statement): SeenStore;
}

export interface BufferedBreaker {
  read(key: LedgerKey): { readonly state: BreakerState; readonly settled: number };
  write(key: LedgerKey, state: BreakerState): void;
}

/** The key store of one transaction, and what its ledgers' views say of it. */
export interface BufferedKeys {
  countsOf(key: LedgerKey, of: TopicPartition): KeyCounts | undefined;
  store(statement: Statement): KeyStore;
}

/** Runs `work` as `Sink.transaction` promises, in one process: transactions of others show at the commit. */
export async function inBufferedTransaction<Tx, Result>(
  { effects, locks, read, commit, keys, breaker, seen }: BufferedSink<Tx>,
  work: (transaction: SinkTransaction<Tx>) => Promise<Result>,
  signal: AbortSignal | undefined,
): Promise<Result> {
  signal?.throwIfAborted();
  const locked = new Map<string, LockedLedger>();
  const releases = new Map<string, () => void>();
  let isOpen = true;
  const throwIfOver = () => {
    signal?.throwIfAborted();
    if (!isOpen) throw transactionEnded();
  };

  // Every statement takes a turn of the microtask queue, as a database's takes a round trip.
  let waiting = 0;
  let lastStatement: Promise<unknown> = Promise.resolve();
  const statement: Statement = (run) => {
    const answer = (async () => {
      waiting++;
      try {
        await null;
        throwIfOver();
        return await run();
      } finally {
        waiting--;
      }
    })();
    lastStatement = Promise.allSettled([lastStatement, answer]);
    return answer;
  };
  /** A tx for one part of the transaction. */
  const partOf = (): { readonly tx: Tx; readonly close: () => void } => {
    let isPartOpen = true;
    const tx = effects.tx((run) => (isPartOpen ? statement(run) : Promise.reject(transactionEnded())));
    return {
      tx,
      close() {
        isPartOpen = false;
      },
    };
  };

  const take = async (id: string) => {
    if (releases.has(id)) return;
    const lock = locks.acquire(id);
    releases.set(id, lock.release);
    await lock.acquired;
    throwIfOver();
  };
  const transaction: SinkTransaction<Tx> = {
    tx: partOf().tx,
    lockLedgers: (key, requests) =>
      statement(async () => {
        const inOrder = requests
          .map((request) => ({ id: ledgerId(key, request), of: request }))
          .sort((a, b) => (a.id < b.id ? -1 : 1));
        for (const { id } of inOrder) await take(id);
        await Promise.all(
          inOrder.map(async ({ id, of: { topic, partition } }) => {
            if (locked.has(id)) return;
            const of = { topic, partition };
            const before = await read(key, of);
            locked.set(id, { key, of, before, after: before, patches: [] });
          }),
        );
        throwIfOver();
        return requests.map((request) => {
          const view = viewOf(locked.get(ledgerId(key, request))!.after, request);
          const counts = keys?.countsOf(key, request);
          return counts ? { ...view, keys: counts } : view;
        });
      }),
    writeLedgers: (key, patches) =>
      statement(() => {
        for (const patch of patches) {
          const id = ledgerId(key, patch);
          const ledger = locked.get(id);
          if (!ledger) throw new Error(`writeLedgers() got ${id}, which was not locked`);
          const { after, patches: earlier } = ledger;
          locked.set(id, { ...ledger, after: applyPatch(after, patch), patches: [...earlier, patch] });
        }
      }),
    async savepoint(savedWork) {
      await statement(() => {});
      const takeBack = effects.mark();
      const ledgers = new Map(locked);
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
        takeBack();
        // A ledger that was locked in the part stays locked, as it was.
        for (const [id, ledger] of locked) {
          locked.set(id, ledgers.get(id) ?? { ...ledger, after: ledger.before, patches: [] });
        }
        throw error;
      }
    },
    isWaiting: () => waiting > 0,
    ...(keys && { keys: keys.store(statement) }),
    ...(breaker && { breaker: breakerStore(breaker, statement, take) }),
    ...(seen && { seen: seen(statement) }),
  };

  const run = async () => {
    const result = await work(transaction);
    signal?.throwIfAborted();
    await commit([...locked.values()]);
    return result;
  };
  const aborted = rejectionOf(signal);
  try {
    return await Promise.race([run(), aborted.promise]);
  } finally {
    aborted.stop();
    isOpen = false;
    for (const release of releases.values()) release();
  }
}

function breakerStore(
  breaker: BufferedBreaker,
  statement: Statement,
  take: (id: string) => Promise<void>,
): BreakerStore {
  return {
    glance: (key) => statement(() => breaker.read(key)),
    read: (key) =>
      statement(async () => {
        await take(`breaker ${key.consumer}/${key.epoch}`);
        return breaker.read(key);
      }),
    write: (key, state) => statement(() => breaker.write(key, state)),
  };
}

/** First come, first served locks by row id. */
export class RowLocks {
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

/** In the order in which ledgers are locked. */
export function ledgerId({ consumer, epoch }: LedgerKey, { topic, partition }: TopicPartition): string {
  return `${consumer}/${epoch}/${topic}/${String(partition).padStart(10, '0')}`;
}

function transactionEnded(): MillraceError {
  return new MillraceError(
    'HANDLER_FAILED',
    'tx was used after its transaction had ended. Await every statement before handle() returns.',
  );
}

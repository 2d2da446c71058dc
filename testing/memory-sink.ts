import type { BreakerState } from '../runtime/delivery/breaker.ts';
import {
  type Effects,
  inBufferedTransaction,
  ledgerId,
  RowLocks,
} from '../runtime/delivery/buffered-transaction.ts';
import { type Ledger, NO_LEDGER } from '../runtime/delivery/ledger.ts';
import { type OffsetRange, union } from '../runtime/delivery/offset-ranges.ts';
import type { LedgerKey, Sink, SinkTransaction } from '../runtime/delivery/sink.ts';
import type { TopicPartition } from '../runtime/record.ts';
import { MemoryKeys } from './memory-keys.ts';
import { MemorySeen } from './memory-seen.ts';

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

/** A ledger, and all of its holes as one set. */
export interface MemoryLedger extends Ledger {
  readonly holes: readonly OffsetRange[];
}

type Change = (current: unknown) => unknown;

/**
 * A sink in memory that keeps the port's promises with real transactions: ledgers are locked row by row, first come
 * first served, and changes become visible at commit, all at once. For tests: it holds every change in memory and
 * nothing survives the process.
 */
export class MemorySink implements Sink<MemoryTx> {
  #values = new Map<string, unknown>();
  #ledgers = new Map<string, Ledger>();
  #locks = new RowLocks();
  #breakers = new Map<string, BreakerState>();
  /** What is remembered of keys whose records have failed. */
  readonly keys = new MemoryKeys();
  /** The ids of events that were applied. */
  readonly seen = new MemorySeen();

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
    const ledger = this.#ledgers.get(ledgerId(key, of));
    return ledger && { ...ledger, holes: union(ledger.deadLettered, ledger.skipped) };
  }

  /** The breaker's committed state of a consumer. */
  breaker({ consumer, epoch }: LedgerKey): BreakerState {
    return this.#breakers.get(`${consumer}/${epoch}`) ?? [];
  }

  /** How many offsets a consumer's ledgers have settled. */
  #settled({ consumer, epoch }: LedgerKey): number {
    return [...this.#ledgers]
      .filter(([id]) => id.startsWith(`${consumer}/${epoch}/`))
      .reduce((sum, [, { first, next }]) => sum + (next ?? 0) - (first ?? 0), 0);
  }

  transaction<Result>(
    work: (transaction: SinkTransaction<MemoryTx>) => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> {
    const changes = new Map<string, Change[]>();
    const current = (key: string) =>
      (changes.get(key) ?? []).reduce((value, apply) => apply(value), this.#values.get(key));
    const effects: Effects<MemoryTx> = {
      tx(statement) {
        const change = (key: string, apply: Change) =>
          statement(() => {
            const queue = changes.get(key);
            if (queue) queue.push(apply);
            else changes.set(key, [apply]);
          });
        return {
          get: (key) => statement(() => current(key)),
          set: (key, value) => change(key, () => value),
          increment: (key, by = 1) => change(key, (value) => ((value as number | undefined) ?? 0) + by),
          append: (key, item) => change(key, (value) => [...((value as unknown[] | undefined) ?? []), item]),
        };
      },
      mark() {
        const lengths = new Map(Array.from(changes, ([key, queue]) => [key, queue.length]));
        return () => {
          for (const [key, queue] of changes) queue.length = lengths.get(key) ?? 0;
        };
      },
    };
    const keys = this.keys.begin();
    const breakers = new Map<string, BreakerState>();
    const seen = this.seen.begin();
    return inBufferedTransaction(
      {
        effects,
        keys,
        breaker: {
          read: (key) => ({ state: this.breaker(key), settled: this.#settled(key) }),
          write: ({ consumer, epoch }, state) => breakers.set(`${consumer}/${epoch}`, state),
        },
        seen: seen.store,
        locks: this.#locks,
        read: (key, of) => this.#ledgers.get(ledgerId(key, of)) ?? NO_LEDGER,
        commit: (locked) => {
          for (const [key, queue] of changes) if (queue.length > 0) this.#values.set(key, current(key));
          for (const { key, of, after, patches } of locked) {
            if (patches.length > 0) this.#ledgers.set(ledgerId(key, of), after);
          }
          keys.commit();
          for (const [id, state] of breakers) this.#breakers.set(id, state);
          seen.commit();
        },
      },
      work,
      signal,
    );
  }
}

import type { Topic } from '../contract/contract.ts';
import {
  type Effects,
  inBufferedTransaction,
  type LockedLedger,
  RowLocks,
} from '../delivery/buffered-transaction.ts';
import { applyPatch, type Ledger, type LedgerPatch } from '../delivery/ledger.ts';
import { type OffsetRange, within } from '../delivery/offset-ranges.ts';
import type { ArchiveTransaction, Sink, SinkTransaction } from '../delivery/sink.ts';
import { MillraceError } from '../errors.ts';
import type { ObjectStore } from '../objects.ts';
import type { Clock } from '../ports.ts';
import type { ConsumerRecord } from '../record.ts';
import { type ChainEnd, type Commit, commitTo, findEnd } from './chain.ts';
import { type ChainOf, chainPrefix } from './names.ts';
import { createRowWriter } from './row.ts';

export interface ArchiveSinkOptions {
  readonly store: ObjectStore;
  /** Whose records come. */
  readonly topic: Topic<never>;
  readonly clock: Clock;
}

interface Row {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly line: string;
}

/**
 * An archive as the sink of its consumer. A partition's rows and its ledger are one object, created on condition, so each
 * partition of a batch commits whole or not at all. Partitions commit one by one: where some did and others did not, the
 * transaction rejects, and the ledgers tell which at the next try.
 *
 * In one process, transactions of a partition wait for each other. Between processes nothing is locked: the slower one
 * meets SINK_CONFLICT, and finds the other's records settled when it tries again.
 */
export class ArchiveSink implements Sink<ArchiveTransaction> {
  readonly #store: ObjectStore;
  readonly #clock: Clock;
  readonly #rowOf: (record: ConsumerRecord<unknown>) => string;
  readonly #locks = new RowLocks();
  /** Each chain's end as this process knows it: a stale one costs a conflict. */
  readonly #ends = new Map<string, ChainEnd>();

  constructor({ store, topic, clock }: ArchiveSinkOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#rowOf = createRowWriter(topic);
  }

  transaction<Result>(
    work: (transaction: SinkTransaction<ArchiveTransaction>) => Promise<Result>,
    signal?: AbortSignal,
  ): Promise<Result> {
    const rows: Row[] = [];
    /** Where the chains ended when their ledgers were read: a commit goes there, or it conflicts. */
    const ends = new Map<string, ChainEnd>();
    const effects: Effects<ArchiveTransaction> = {
      tx: (statement) => ({
        append: (records) =>
          statement(() => {
            for (const record of records) {
              const { topic, partition, offset } = record;
              rows.push({ topic, partition, offset, line: this.#rowOf(record) });
            }
          }),
      }),
      mark() {
        const { length } = rows;
        return () => {
          rows.length = length;
        };
      },
    };
    return inBufferedTransaction(
      {
        effects,
        locks: this.#locks,
        read: async ({ epoch }, of) => {
          const chain = { ...of, epoch };
          const end = await this.#endOf(chain);
          ends.set(chainPrefix(chain), end);
          return end.ledger;
        },
        commit: (locked) => this.#commit(rows, locked, ends, signal),
      },
      work,
      signal,
    );
  }

  async #endOf(of: ChainOf): Promise<ChainEnd> {
    const known = this.#ends.get(chainPrefix(of));
    if (known) return known;
    const end = await findEnd(this.#store, of).catch(asSinkError);
    this.#ends.set(chainPrefix(of), end);
    return end;
  }

  async #commit(
    rows: readonly Row[],
    locked: readonly LockedLedger[],
    ends: ReadonlyMap<string, ChainEnd>,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const rowsOf = Map.groupBy(rows, ({ topic, partition }) => `${topic}/${partition}`);
    const commits = locked.map(async ({ key: { epoch }, of, before, after, patches }) => {
      const own = (rowsOf.get(`${of.topic}/${of.partition}`) ?? []).toSorted((a, b) => a.offset - b.offset);
      const chain = { ...of, epoch };
      const prefix = chainPrefix(chain);
      let end = ends.get(prefix)!;
      for (const commit of commitsOf(own, before, after, patches)) {
        signal?.throwIfAborted();
        // Until it is known what became of the commit, nothing is known of the chain's end. Nor afterwards, if nobody
        // waits for it any more: the next one may have read the chain meanwhile.
        this.#ends.delete(prefix);
        end = await commitTo(this.#store, chain, end, commit, this.#clock).catch(asSinkError);
        if (!signal?.aborted) this.#ends.set(prefix, end);
      }
    });
    const results = await Promise.allSettled(commits);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed) throw failed.reason;
  }
}

/**
 * What a transaction adds to a partition's chain: first the rows below the ledger's `next`, which redrives bring, then
 * those that move it on. So an object holds either, and a reader need not look into those that move on for the others.
 */
function commitsOf(
  rows: readonly Row[],
  before: Ledger,
  after: Ledger,
  patches: readonly LedgerPatch[],
): readonly Commit[] {
  const next = before.next ?? Number.NEGATIVE_INFINITY;
  const linesOf = (each: readonly Row[]) => each.map(({ line }) => line);
  const below = linesOf(rows.filter(({ offset }) => offset < next));
  const above = linesOf(rows.filter(({ offset }) => offset >= next));
  if (below.length === 0) {
    return above.length > 0 || !isSame(before, after)
      ? [{ ledger: after, rows: above, isBackfill: false }]
      : [];
  }
  if (above.length === 0 && after.next === before.next) {
    return [{ ledger: after, rows: below, isBackfill: true }];
  }
  const between = patches.reduce((sum, patch) => applyPatch(sum, upTo(next, patch, sum)), before);
  return [
    { ledger: between, rows: below, isBackfill: true },
    { ledger: after, rows: above, isBackfill: false },
  ];
}

/** The part of a patch that concerns offsets below `next`. */
function upTo(next: number, patch: LedgerPatch, ledger: Ledger): LedgerPatch {
  const part = (ranges: readonly OffsetRange[]) => within(ranges, { from: 0, to: next });
  return {
    ...patch,
    next,
    maxTimestamp: ledger.maxTimestamp,
    closed: part(patch.closed),
    deadLettered: part(patch.deadLettered),
    skipped: part(patch.skipped),
  };
}

function isSame(a: Ledger, b: Ledger): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** To the engine it is the sink that does not answer. */
function asSinkError(error: unknown): never {
  if (error instanceof MillraceError && error.code === 'OBJECT_STORE_UNAVAILABLE') {
    throw new MillraceError('SINK_UNAVAILABLE', error.message, { cause: error, details: error.details });
  }
  if (error instanceof MillraceError && error.code === 'ARCHIVE_BROKEN') {
    throw new MillraceError('SINK_MISCONFIGURED', error.message, { cause: error, details: error.details });
  }
  throw error;
}

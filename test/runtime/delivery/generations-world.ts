/** Two generations of one consumer over one topic: readers see one of them, and a switch locks the ledgers of both. */
import assert from 'node:assert/strict';
import type { Ledger, Replay } from '../../../runtime/delivery/ledger.ts';
import type { LedgerKey, Sink } from '../../../runtime/delivery/sink.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { checkLedgers } from '../../../runtime/replay/promotion.ts';
import { MemorySink, type MemoryTx } from '../../../testing/memory-sink.ts';
import { events } from '../events.ts';
import { World, type WorldSink } from './delivery-world.ts';

const KEY: LedgerKey = { consumer: 'world', epoch: 1 };
const REPLAY: Replay = { id: 'rebuild', kind: 'rebuild' };

export class Generations {
  readonly worlds: readonly World[];
  readonly #sinks = [new MemorySink(), new MemorySink()];
  /** Which of the two readers see. */
  live = 0;
  switches = 0;

  constructor(
    shape: readonly {
      readonly natures: ConstructorParameters<typeof World>[0][number]['natures'];
      readonly startsAt: number;
    }[],
    rebuildStartsAt: readonly number[],
    seed: number,
  ) {
    const first = new World(shape, seed, undefined, this.#sinkOf(0));
    this.worlds = [first, first.rebuilt(rebuildStartsAt, seed, this.#sinkOf(1))];
  }

  /** As the sink on PostgreSQL: the locked row of a ledger says whether readers see its tables. */
  #sinkOf(generation: number): WorldSink {
    const sink = this.#sinks[generation]!;
    const marked: Sink<MemoryTx> = {
      transaction: (work, signal) =>
        sink.transaction(
          (inner) =>
            work({
              ...inner,
              lockLedgers: async (key, requests) => {
                const views = await inner.lockLedgers(key, requests);
                return this.live === generation ? views : views.map((view) => ({ ...view, replay: REPLAY }));
              },
            }),
          signal,
        ),
    };
    return {
      open: () => marked,
      apply: async (record, tx: MemoryTx, replay) => {
        // Exactly one generation's handler may have effects outside, at any time: its own ledger's lock keeps that so.
        assert.equal(replay === undefined, this.live === generation);
        await tx.append(`effects/${record.partition}`, record.offset);
        if (replay === undefined) await tx.append(`outside/${record.partition}`, record.offset);
      },
      effects: (partition) => (sink.value(`effects/${partition}`) as number[] | undefined) ?? [],
      ledger: (partition) => sink.ledger(KEY, { topic: events.name, partition }),
    };
  }

  /** How far a generation may read: one that is not live no further than the live one has come. */
  readonly endOf = (generation: number) => {
    if (generation === this.live) return () => Number.POSITIVE_INFINITY;
    return (partition: number) => this.worlds[this.live]!.ledger(partition)?.next ?? 0;
  };

  /** The offsets that were handled, and committed, by a generation that was live then. */
  outside(partition: number): readonly number[] {
    return this.#sinks.flatMap((sink) => (sink.value(`outside/${partition}`) as number[] | undefined) ?? []);
  }

  /**
   * A promote, or the rollback of one: what is not live becomes so, unless that would lose something.
   * @returns whether readers see the other tables now
   */
  async switch(): Promise<boolean> {
    const [from, to] = [this.live, 1 - this.live];
    const all = this.worlds[0]!.partitions.map((_, partition) => ({
      topic: events.name,
      partition,
      from: 0,
      to: Number.MAX_SAFE_INTEGER,
    }));
    return this.#sinks[from]!.transaction(async (live) => {
      await live.lockLedgers(KEY, all);
      return this.#sinks[to]!.transaction(async (other) => {
        await other.lockLedgers(KEY, all);
        try {
          checkLedgers('world', this.#ledgersOf(from), this.#ledgersOf(to), {});
        } catch (error) {
          if (error instanceof MillraceError && error.code === 'REBUILD_REFUSED') return false;
          throw error;
        }
        this.#nothingIsLost(from, to);
        this.live = to;
        this.switches++;
        return true;
      });
    });
  }

  #ledgersOf(generation: number): ReadonlyMap<number, Ledger> {
    return new Map(
      this.worlds[0]!.partitions.flatMap((_, partition) => {
        const ledger = this.#sinks[generation]!.ledger(KEY, { topic: events.name, partition });
        return ledger ? [[partition, ledger] as const] : [];
      }),
    );
  }

  /** What readers see is in the other tables as well, or is a dead letter of theirs. */
  #nothingIsLost(from: number, to: number): void {
    this.worlds[0]!.partitions.forEach((_, partition) => {
      const seen = this.worlds[from]!.effects(partition);
      const other = new Set(this.worlds[to]!.effects(partition));
      const { letters } = this.worlds[to]!;
      for (const offset of seen) {
        const isKept = other.has(offset) || letters.has(this.worlds[to]!.letterId(partition, offset));
        if (!isKept) throw new Error(`${partition}/${offset} is lost to readers`);
      }
    });
  }
}

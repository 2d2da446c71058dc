import { ledgerId, type Statement } from '../runtime/delivery/buffered-transaction.ts';
import type { LedgerKey, SeenStore } from '../runtime/delivery/sink.ts';
import type { TopicPartition } from '../runtime/record.ts';

/** By id, the time at which it was last seen. */
type Ids = ReadonlyMap<string, number>;

/** The memory sink's `SeenStore`. Transactions see what was committed when their ledger was locked, and their own changes. */
export class MemorySeen {
  #partitions = new Map<string, Ids>();

  /** What is committed of a partition. */
  of(key: LedgerKey, of: TopicPartition): Ids {
    return this.#partitions.get(ledgerId(key, of)) ?? new Map();
  }

  begin(): { store(statement: Statement): SeenStore; commit(): void } {
    const changed = new Map<string, Map<string, number>>();
    const own = (key: LedgerKey, of: TopicPartition) => {
      const id = ledgerId(key, of);
      const ids = changed.get(id) ?? new Map(this.of(key, of));
      changed.set(id, ids);
      return ids;
    };
    return {
      store: (statement) => ({
        see: (key, sightings, windowMs) =>
          statement(() => {
            const found = sightings.map((sighting) => {
              const ids = own(key, sighting);
              const last = ids.get(sighting.id);
              if (last !== undefined && Math.abs(last - sighting.at) <= windowMs) return last;
              ids.set(sighting.id, sighting.at);
              return null;
            });
            for (const ofPartition of Map.groupBy(sightings, ({ partition }) => partition).values()) {
              const oldest = ofPartition.reduce(
                (least, { at }) => Math.min(least, at),
                Number.POSITIVE_INFINITY,
              );
              const ids = own(key, ofPartition[0]!);
              for (const [id, at] of ids) if (at < oldest - windowMs) ids.delete(id);
            }
            return found;
          }),
        forget: (key, sightings) =>
          statement(() => {
            for (const sighting of sightings) own(key, sighting).delete(sighting.id);
          }),
      }),
      commit: () => {
        for (const [id, ids] of changed) this.#partitions.set(id, ids);
      },
    };
  }
}

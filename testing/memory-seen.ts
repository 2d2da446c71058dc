import { ledgerId, type Statement } from '../runtime/delivery/buffered-transaction.ts';
import type { LedgerKey, SeenStore } from '../runtime/delivery/sink.ts';
import type { TopicPartition } from '../runtime/record.ts';

/** By id, the times at which it was seen, the one last seen at the end. */
type Ids = ReadonlyMap<string, readonly number[]>;

/** The memory sink's `SeenStore`. Transactions see what was committed when their ledger was locked, and their own changes. */
export class MemorySeen {
  #partitions = new Map<string, Ids>();

  /** What is committed of a partition. */
  of(key: LedgerKey, of: TopicPartition): Ids {
    return this.#partitions.get(ledgerId(key, of)) ?? new Map();
  }

  begin(): { store(statement: Statement): SeenStore; commit(): void } {
    const changed = new Map<string, Map<string, readonly number[]>>();
    const own = (key: LedgerKey, of: TopicPartition) => {
      const id = ledgerId(key, of);
      const ids = changed.get(id) ?? new Map(this.of(key, of));
      changed.set(id, ids);
      return ids;
    };
    return {
      store: (statement) => ({
        see: (key, sightings, windowMs) =>
          statement(() =>
            sightings.map((sighting) => {
              const { id, at } = sighting;
              const ids = own(key, sighting);
              const isNear = (time: number) => Math.abs(time - at) <= windowMs;
              const times = ids.get(id) ?? [];
              const near = times.find(isNear);
              if (near !== undefined) return near;
              ids.delete(id);
              ids.set(id, [...times, at]);
              // As much again as may be asked for: a redrive is judged by a time that is no later.
              for (const [old, seen] of ids) {
                if (seen.some((time) => Math.abs(time - at) <= 2 * windowMs)) break;
                ids.delete(old);
              }
              return null;
            }),
          ),
        forget: (key, sightings) =>
          statement(() => {
            for (const sighting of sightings) {
              const ids = own(key, sighting);
              const left = (ids.get(sighting.id) ?? []).filter((time) => time !== sighting.at);
              if (left.length === 0) ids.delete(sighting.id);
              else ids.set(sighting.id, left);
            }
          }),
      }),
      commit: () => {
        for (const [id, ids] of changed) this.#partitions.set(id, ids);
      },
    };
  }
}

import { type BufferedKeys, ledgerId } from '../runtime/delivery/buffered-transaction.ts';
import { type OffsetRange, subtract, union } from '../runtime/delivery/offset-ranges.ts';
import {
  type KeyPosition,
  type KeyState,
  type KeyStore,
  type LedgerKey,
  parkedBytes,
} from '../runtime/delivery/sink.ts';
import { keyId, type RawRecord, type TopicPartition } from '../runtime/record.ts';

interface Letter extends KeyPosition {
  readonly isWaitedFor: boolean;
  readonly overtakenBy: number | null;
}

/** What one partition remembers: letters and parked records by their offset. */
interface PartitionKeys {
  readonly letters: ReadonlyMap<number, Letter>;
  readonly parked: ReadonlyMap<number, RawRecord>;
  readonly isDraining: boolean;
  readonly discarded: readonly OffsetRange[];
}

const NOTHING: PartitionKeys = { letters: new Map(), parked: new Map(), isDraining: false, discarded: [] };

/** The memory sink's `KeyStore`. Transactions see what was committed when their ledger was locked, and their own changes. */
export class MemoryKeys {
  #partitions = new Map<string, PartitionKeys>();

  /** What is committed of a partition. */
  of(key: LedgerKey, of: TopicPartition): PartitionKeys {
    return this.#partitions.get(ledgerId(key, of)) ?? NOTHING;
  }

  begin(): BufferedKeys & { commit(): void } {
    const changed = new Map<string, PartitionKeys>();
    const get = (key: LedgerKey, of: TopicPartition) => changed.get(ledgerId(key, of)) ?? this.of(key, of);
    const change = (
      key: LedgerKey,
      of: TopicPartition,
      by: (now: PartitionKeys) => Partial<PartitionKeys>,
    ) => {
      const now = get(key, of);
      changed.set(ledgerId(key, of), { ...now, ...by(now) });
    };
    return {
      countsOf(key, of) {
        const { letters, parked, isDraining } = get(key, of);
        if (letters.size === 0 && parked.size === 0 && !isDraining) return undefined;
        return { letters: letters.size, parked: parked.size, isDraining };
      },
      store: (statement): KeyStore => ({
        read: (key, positions) =>
          statement(() => ({
            states: statesOf(positions, (of) => get(key, of)),
            parkedInAll: [...new Map([...this.#partitions, ...changed])]
              .filter(([id]) => id.startsWith(`${key.consumer}/${key.epoch}/`))
              .flatMap(([, { parked }]) => [...parked.values()])
              .reduce(
                ({ records, bytes }, raw) => ({ records: records + 1, bytes: bytes + parkedBytes(raw) }),
                { records: 0, bytes: 0 },
              ),
          })),
        write: (key, { opened, closed, released, applied, parked, unparked, draining, discarded }) =>
          statement(() => {
            for (const letter of opened) {
              change(key, letter, ({ letters }) => ({
                letters: new Map([[letter.offset, letter], ...letters]),
              }));
            }
            for (const of of closed) {
              const isIt = { from: of.offset, to: of.offset + 1 };
              change(key, of, ({ letters, discarded: unwanted }) => ({
                letters: without(letters, of.offset),
                ...(letters.has(of.offset) && { discarded: subtract(unwanted, [isIt]) }),
              }));
            }
            for (const of of released) {
              change(key, of, ({ letters }) => {
                const letter = letters.get(of.offset);
                return letter
                  ? { letters: new Map(letters).set(of.offset, { ...letter, isWaitedFor: false }) }
                  : {};
              });
            }
            for (const by of applied) {
              change(key, by, ({ letters }) => ({
                letters: new Map(
                  Array.from(letters, ([offset, letter]) => {
                    const isOvertaken =
                      letter.overtakenBy === null && offset < by.offset && letter.key.equals(by.key);
                    return [
                      offset,
                      isOvertaken ? { ...letter, isWaitedFor: false, overtakenBy: by.offset } : letter,
                    ];
                  }),
                ),
              }));
            }
            for (const raw of parked) {
              change(key, raw, (now) => ({ parked: new Map(now.parked).set(raw.offset, raw) }));
            }
            for (const of of unparked)
              change(key, of, ({ parked }) => ({ parked: without(parked, of.offset) }));
            for (const { isDraining, ...of } of draining) change(key, of, () => ({ isDraining }));
            for (const { offsets, ...of } of discarded) {
              change(key, of, (now) => ({ discarded: union(now.discarded, offsets) }));
            }
          }),
        nextParked: (key, partitions, most) =>
          statement(() => {
            const next: RawRecord[] = [];
            let bytes = 0;
            for (const of of partitions) {
              const { letters, parked } = get(key, of);
              for (const raw of inOrder(parked)) {
                const waits = [...letters.values()].some(
                  (letter) => letter.isWaitedFor && letter.offset < raw.offset && letter.key.equals(raw.key!),
                );
                if (waits) continue;
                bytes += parkedBytes(raw);
                if (next.length > 0 && (next.length >= most.records || bytes > most.bytes)) return next;
                next.push(raw);
              }
            }
            return next;
          }),
      }),
      commit: () => {
        for (const [id, keys] of changed) this.#partitions.set(id, keys);
      },
    };
  }
}

function statesOf(positions: readonly KeyPosition[], get: (of: TopicPartition) => PartitionKeys): KeyState[] {
  const byKey = Map.groupBy(positions, keyId);
  return [...byKey.values()].flatMap((asked): KeyState[] => {
    const { topic, partition, key } = asked[0]!;
    const { letters, parked } = get(asked[0]!);
    const itsLetters = inOrder(letters).filter((letter) => letter.key.equals(key));
    const itsParked = inOrder(parked).filter((raw) => raw.key!.equals(key));
    if (itsLetters.length === 0 && itsParked.length === 0) return [];
    const offsets = new Set(asked.map(({ offset }) => offset));
    return [
      {
        topic,
        partition,
        key,
        firstLetter: itsLetters.find(({ isWaitedFor }) => isWaitedFor)?.offset ?? null,
        firstParked: itsParked[0]?.offset ?? null,
        parked: itsParked.length,
        letters: itsLetters
          .filter(({ offset }) => offsets.has(offset))
          .map(({ offset, overtakenBy }) => ({ offset, overtakenBy })),
        parkedAt: itsParked.filter(({ offset }) => offsets.has(offset)).map(({ offset }) => offset),
      },
    ];
  });
}

function inOrder<Value extends { readonly offset: number }>(of: ReadonlyMap<number, Value>): Value[] {
  return [...of.values()].toSorted((a, b) => a.offset - b.offset);
}

function without<Value>(map: ReadonlyMap<number, Value>, offset: number): ReadonlyMap<number, Value> {
  const copy = new Map(map);
  copy.delete(offset);
  return copy;
}

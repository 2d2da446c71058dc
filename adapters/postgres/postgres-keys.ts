import { hash } from 'node:crypto';
import type { KeyChange, KeyPosition, KeyState, KeyStore, LedgerKey } from '../../runtime/delivery/sink.ts';
import { keyId, type RawRecord, type TopicPartition } from '../../runtime/record.ts';
import {
  CLOSE,
  DISCARD,
  DRAINING,
  EXPIRE,
  type LettersRow,
  NEXT_PARKED,
  OPEN,
  OPEN_LETTERS,
  OVERTAKE,
  PARK,
  READ,
  READ_PARTITIONS,
  RELEASE,
  type ReadRow,
  UNPARK,
} from './key-statements.ts';
import { type ParkedRow, parkedParameters, rawOf } from './parked-rows.ts';
import type { OpenTransaction } from './sql-transaction.ts';
import { column, decodeRows, toMultirange } from './sql-values.ts';

/** Letters and parked records by key, in tables beside the ledger. */
export function createPostgresKeys(
  open: OpenTransaction,
  /** At most so many keys are remembered of the ledgers that are locked. */
  remembered: () => number,
): KeyStore {
  const query = async (sql: string, parameters: readonly unknown[]) =>
    decodeRows(await open.query(sql, parameters));
  /** Of applied records, those that may overtake a letter: where letters are few, it is quicker to look at them. */
  const meetingLetters = async (key: LedgerKey, applied: readonly KeyPosition[]) => {
    const partitions = partitionsIn(applied);
    const letters = (await query(OPEN_LETTERS, [
      ...whose(key),
      ...partitionsOf(partitions),
    ])) as unknown as readonly LettersRow[];
    if (letters.some(({ is_old }) => is_old))
      await query(EXPIRE, [...whose(key), ...partitionsOf(partitions)]);
    const lowest = new Map(
      letters.flatMap(({ topic, partition, hash, lowest }): [string, number][] =>
        lowest === null ? [] : [[`${topic}/${partition}/${hash}`, lowest]],
      ),
    );
    if (lowest.size === 0) return [];
    return applied.filter(({ topic, partition, key, offset }) => {
      const letter = lowest.get(`${topic}/${partition}/${hashOf(key)}`);
      return letter !== undefined && letter < offset;
    });
  };
  return {
    async read(key, positions) {
      const asked = byKey(positions);
      // A batch has thousands of keys, and few of them wait: then it is quicker to look at those that do.
      const [sql, parameters] =
        remembered() < asked.length ? [READ_PARTITIONS, windowsOf(positions)] : [READ, keysOf(asked)];
      const rows = (await query(sql, [...whose(key), ...parameters])) as unknown as readonly [
        ReadRow,
        ...ReadRow[],
      ];
      const found = new Map(
        rows.map((row): [string, ReadRow] => [`${row.topic}/${row.partition}/${row.hash}`, row]),
      );
      const isAny = rows[0].hash !== null;
      const states = asked.flatMap((of) => {
        const row = isAny && found.get(`${of.topic}/${of.partition}/${hashOf(of.key)}`);
        return row ? [stateOf(of, row)] : [];
      });
      return { states, parkedInAll: { records: rows[0].records_in_all, bytes: rows[0].bytes_in_all } };
    },

    async write(key, change) {
      const { opened, closed, released, applied, parked, unparked, draining, discarded } = change;
      if (opened.length > 0) {
        await query(EXPIRE, [...whose(key), ...partitionsOf(partitionsIn(opened))]);
        await query(OPEN, [...whose(key), ...lettersOf(opened)]);
      }
      if (closed.length > 0) await query(CLOSE, [...whose(key), ...positionsOf(closed)]);
      if (released.length > 0) await query(RELEASE, [...whose(key), ...positionsOf(released)]);
      const overtaking = remembered() < applied.length ? await meetingLetters(key, applied) : applied;
      if (overtaking.length > 0) await query(OVERTAKE, [...whose(key), ...positionsOf(overtaking)]);
      if (parked.length > 0) await query(PARK, [...whose(key), ...recordsOf(parked)]);
      if (unparked.length > 0) await query(UNPARK, [...whose(key), ...positionsOf(unparked)]);
      if (draining.length > 0) {
        await query(DRAINING, [...whose(key), ...partitionsOf(draining), column(draining, 'isDraining')]);
      }
      const gone = discarded.filter(({ offsets }) => offsets.length > 0);
      if (gone.length > 0) {
        const ranges = gone.map(({ offsets }) => toMultirange(offsets));
        await query(DISCARD, [...whose(key), ...partitionsOf(gone), ranges]);
      }
    },

    async nextParked(key, partitions, { records, bytes }) {
      const rows = await query(NEXT_PARKED, [...whose(key), ...partitionsOf(partitions), records, bytes]);
      return (rows as unknown as readonly ParkedRow[]).map(rawOf);
    },
  };
}

function whose({ consumer, epoch }: LedgerKey): readonly [string, number] {
  return [consumer, epoch];
}

function partitionsOf(of: readonly TopicPartition[]): readonly unknown[] {
  return [column(of, 'topic'), column(of, 'partition')];
}

/** Each once. */
function partitionsIn(of: readonly TopicPartition[]): readonly TopicPartition[] {
  return [...new Map(of.map((at) => [`${at.topic}/${at.partition}`, at])).values()];
}

type Keyed = TopicPartition & { readonly key: Buffer };

/** What finds a key's row: its index begins with it. */
function columnsOf(keys: readonly Keyed[]): readonly unknown[] {
  return [...partitionsOf(keys), keys.map(({ key }) => hashOf(key))];
}

function positionsOf(positions: readonly KeyPosition[]): readonly unknown[] {
  return [...columnsOf(positions), column(positions, 'offset')];
}

/** The first half of its SHA-256. */
export function hashOf(key: Buffer): string {
  return hash('sha256', key, 'hex').slice(0, 32);
}

/** The keys of positions, each once, with the offsets asked for. */
function byKey(positions: readonly KeyPosition[]): (Keyed & { readonly offsets: number[] })[] {
  const found = new Map<string, Keyed & { readonly offsets: number[] }>();
  for (const position of positions) {
    const { topic, partition, key, offset } = position;
    const id = `${topic}/${keyId(position)}`;
    const known = found.get(id);
    if (known) known.offsets.push(offset);
    else found.set(id, { topic, partition, key, offsets: [offset] });
  }
  return [...found.values()];
}

type Asked = ReturnType<typeof byKey>[number];

function keysOf(asked: readonly Asked[]): readonly unknown[] {
  return [
    ...columnsOf(asked),
    asked.map(({ offsets }) => Math.min(...offsets)),
    asked.map(({ offsets }) => Math.max(...offsets)),
  ];
}

/** Of each partition, the lowest and the highest offset that was asked for. */
function windowsOf(positions: readonly KeyPosition[]): readonly unknown[] {
  const windows = new Map<string, TopicPartition & { lowest: number; highest: number }>();
  for (const { topic, partition, offset } of positions) {
    const id = `${topic}/${partition}`;
    const window = windows.get(id) ?? { topic, partition, lowest: offset, highest: offset };
    windows.set(id, window);
    window.lowest = Math.min(window.lowest, offset);
    window.highest = Math.max(window.highest, offset);
  }
  const all = [...windows.values()];
  return [...partitionsOf(all), column(all, 'lowest'), column(all, 'highest')];
}

/** A large key travels once, however many of its records do. */
function withKeys(of: readonly KeyPosition[]): { readonly keys: readonly Keyed[]; readonly at: number[] } {
  const keys = byKey(of);
  const place = new Map(
    keys.flatMap(({ topic, partition, offsets }, n) =>
      offsets.map((offset): [string, number] => [`${topic}/${partition}/${offset}`, n + 1]),
    ),
  );
  return {
    keys,
    at: of.map(({ topic, partition, offset }) => place.get(`${topic}/${partition}/${offset}`)!),
  };
}

function lettersOf(opened: KeyChange['opened']): readonly unknown[] {
  const { keys, at } = withKeys(opened);
  return [
    ...columnsOf(keys),
    at,
    column(opened, 'offset'),
    column(opened, 'isWaitedFor'),
    column(opened, 'overtakenBy'),
  ];
}

function recordsOf(parked: readonly RawRecord[]): readonly unknown[] {
  // A record without a key never waits.
  const { keys, at } = withKeys(parked as readonly KeyPosition[]);
  return [...columnsOf(keys), column(keys, 'key'), at, ...parkedParameters(parked)];
}

function stateOf({ topic, partition, key, offsets }: Asked, row: ReadRow): KeyState {
  const asked = new Set(offsets);
  return {
    topic,
    partition,
    key,
    firstLetter: row.first_letter,
    firstParked: row.first_parked,
    parked: row.parked,
    letters: row.letters
      .filter(([offset]) => asked.has(offset))
      .map(([offset, overtakenBy]) => ({ offset, overtakenBy })),
    parkedAt: row.parked_at.filter((offset) => asked.has(offset)),
  };
}

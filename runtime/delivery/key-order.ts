/**
 * The order of a key's records around its dead letters, inside one transaction: which records wait behind a letter of
 * their key, which letters have been overtaken, and what the sink has to remember of it. Promise 3 of docs/delivery.md
 * rests on this file: the ledgers' locks keep every other transaction away from these keys meanwhile.
 */
import { MillraceError } from '../errors.ts';
import { keyId, type RawRecord } from '../record.ts';
import type { AnyConsumer } from './consumer.ts';
import type { Item } from './item.ts';
import type { Arrival, LedgerView } from './ledger.ts';
import { covers } from './offset-ranges.ts';
import {
  type KeyChange,
  type KeyPosition,
  type KeyState,
  type KeyStore,
  type LedgerKey,
  parkedBytes,
} from './sink.ts';

/**
 * - `run`: the handler gets it, unless a record of its key before it fails.
 * - `parked`: it waits behind a letter of its key.
 * - `settled`: a letter that its key waits for, or that was overtaken, delivered again; or a parked record that somebody
 *   else has applied.
 * - `early`: a letter behind another record of its key; it waits.
 * - `overtaken`: a redriven letter after whose record a newer one of its key was applied.
 */
type KeyVerdict = 'run' | 'parked' | 'settled' | 'early' | 'overtaken';

export interface KeyOrder {
  /** Whether nothing is known of any key by now: no record waits, and each `judge` is `run`. */
  isIdle(): boolean;
  judge(item: Item): KeyVerdict;
  /** Whether the item has to wait by now: for what was there before, or for a record of its key that failed since. */
  mustPark(item: Item): boolean;
  /** Tells that a record was given up: with `park-key`, those of its key that come later wait for it. */
  failed(item: Item): void;
  /** Of records given to fail(), those after which the same call had others of their key, which should have waited. */
  tooLate(rejected: Iterable<Item>, call: readonly Item[]): readonly Item[];
  /** Of settled items, those that are parked, and those that there is no room for. */
  park(done: readonly Item[]): Promise<Parking>;
  /** What the sink has to remember of settled items; null where there is nothing. */
  changeBy(
    done: readonly Item[],
    parked: ReadonlySet<Item>,
    isRepeated: (item: Item) => boolean,
  ): KeyChange | null;
  /** Open letters whose record is settled: code that knows nothing of keys has applied it. `changeBy` closes them. */
  readonly unclosed: readonly Item[];
  /** Partitions that may have parked records which wait for no letter. */
  readonly draining: ReadonlySet<number>;
}

export interface Parking {
  readonly parked: ReadonlySet<Item>;
  /** In order, each with the limit that it would exceed. */
  readonly overflow: ReadonlyMap<Item, MillraceError>;
}

export interface KeyOrderContext {
  readonly consumer: AnyConsumer;
  readonly arrival: Arrival;
  readonly ledger: LedgerKey;
}

interface Known extends KeyState {
  readonly letterAt: ReadonlyMap<number, number | null>;
  readonly isParkedAt: ReadonlySet<number>;
}

/**
 * Reads what is known of the items' keys, where there is anything to know, and keeps their order for one transaction.
 * @param settled what else came, and is settled by the ledger
 */
export async function createKeyOrder(
  items: readonly Item[],
  settled: readonly Item[],
  views: readonly LedgerView[],
  store: KeyStore | undefined,
  { consumer, arrival, ledger }: KeyOrderContext,
): Promise<KeyOrder> {
  const viewOf = new Map(views.map((view) => [view.partition, view]));
  const parks = consumer.onDeadLetter === 'park-key';
  const wasLetter = ({ raw }: Item) => covers(viewOf.get(raw.partition)!.holes, raw.offset);
  /**
   * Without parking, a delivery waits for no letter, but for what was parked before somebody turned it off; a letter that is
   * delivered again may have been overtaken.
   */
  const matters = (item: Item) => {
    const counts = viewOf.get(item.raw.partition)!.keys;
    if (!counts || item.raw.key === null) return false;
    const knowsLetter = counts.letters > 0 && (parks || arrival !== 'delivery' || wasLetter(item));
    return counts.parked > 0 || knowsLetter;
  };
  const redriven = arrival === 'redrive' ? settled : [];
  const asked = store && views.some(({ keys }) => keys) ? [...items, ...redriven].filter(matters) : [];
  const { states, parkedInAll } =
    asked.length === 0
      ? { states: [], parkedInAll: null }
      : await store!.read(ledger, asked.map(keyPositionOf));
  const known = new Map(
    states.map((state): [string, Known] => [
      keyId(state),
      {
        ...state,
        letterAt: new Map(state.letters.map(({ offset, overtakenBy }) => [offset, overtakenBy])),
        isParkedAt: new Set(state.parkedAt),
      },
    ]),
  );
  /** By key, the offset of its first record that failed in this transaction. */
  const failedAt = new Map<string, number>();
  const isEmpty = () => known.size === 0 && failedAt.size === 0;

  const stateOf = ({ raw }: Item) =>
    known.size === 0 || raw.key === null ? undefined : known.get(idOf(raw));
  const unclosed = redriven.filter((item) => stateOf(item)?.letterAt.has(item.raw.offset));
  const isBehind = (state: Known, offset: number) =>
    (parks && state.firstLetter !== null && state.firstLetter < offset) ||
    (state.firstParked !== null && state.firstParked < offset);

  function judge(item: Item): KeyVerdict {
    const state = stateOf(item);
    const { offset } = item.raw;
    if (arrival === 'release') {
      if (!state?.isParkedAt.has(offset)) return 'settled';
      return state.firstLetter !== null && state.firstLetter < offset ? 'parked' : 'run';
    }
    if (!state) return 'run';
    const isLetter = state.letterAt.has(offset);
    const isOvertaken = (state.letterAt.get(offset) ?? null) !== null;
    const mayRun = !isOvertaken || item.mayBeOvertaken || consumer.onOvertaken === 'apply';
    if (arrival === 'delivery') {
      // Only a redrive gives back what its key waits for.
      if (isLetter && (parks || state.parked > 0 || !mayRun)) return 'settled';
      // What is delivered late, below all that waits, has nothing to wait for.
      if (isBehind(state, offset)) return 'parked';
    } else {
      if (!mayRun) return 'overtaken';
      if (isBehind(state, offset)) return 'early';
    }
    item.isOvertaken = isOvertaken;
    return 'run';
  }

  /** Whether later records of its key wait for it, should it fail. */
  const mayBeWaitedFor = ({ raw }: Item) =>
    parks && store !== undefined && arrival !== 'redrive' && raw.key !== null;

  function mustPark(item: Item): boolean {
    if (isEmpty() || arrival === 'redrive' || item.raw.key === null) return false;
    const failed = failedAt.get(idOf(item.raw));
    return (failed !== undefined && failed < item.raw.offset) || judge(item) === 'parked';
  }

  async function park(done: readonly Item[]): Promise<Parking> {
    const parked = new Set<Item>();
    const overflow = new Map<Item, MillraceError>();
    const toPark = isEmpty() ? [] : done.filter(mustPark);
    if (toPark.length === 0) return { parked, overflow };
    const { perKey, total, totalBytes, then } = consumer.parkLimit;
    // The first that park in these partitions: others may have parked enough already.
    let { records, bytes } = parkedInAll ?? (await store!.read(ledger, [])).parkedInAll;
    const ofKey = new Map<string, number>();
    for (const item of toPark) {
      const id = idOf(item.raw);
      const before = ofKey.get(id) ?? known.get(id)?.parked ?? 0;
      // Those of a release are parked already.
      if (arrival === 'delivery' && before >= perKey) {
        overflow.set(item, limitError('perKey', perKey, then, item));
      } else if (arrival === 'delivery' && records >= total) {
        overflow.set(item, limitError('total', total, then, item));
      } else if (arrival === 'delivery' && bytes + parkedBytes(item.raw) > totalBytes) {
        overflow.set(item, limitError('totalBytes', totalBytes, then, item));
      } else {
        parked.add(item);
        ofKey.set(id, before + 1);
        records++;
        bytes += parkedBytes(item.raw);
      }
    }
    return { parked, overflow };
  }

  function changeBy(
    done: readonly Item[],
    parked: ReadonlySet<Item>,
    isRepeated: (item: Item) => boolean,
  ): KeyChange | null {
    const isAnythingKnown = !isEmpty() || views.some(({ keys }) => keys);
    if (!store || (!isAnythingKnown && done.every(({ failure }) => failure === null))) return null;
    const keyed = done.filter((item) => item.raw.key !== null && !parked.has(item));
    const letters = keyed.filter(({ failure }) => failure !== null);
    const applied = keyed.filter(({ failure }) => failure === null);
    const hasLetters = ({ raw }: Item) => (viewOf.get(raw.partition)!.keys?.letters ?? 0) > 0;
    const closed = [...unclosed, ...applied.filter((item) => hasLetters(item) && wasLetter(item))];
    // With `park-key`, a delivery overtakes no letter but one that its key was told not to wait for.
    const mayOvertake = (item: Item) => !parks || arrival !== 'delivery' || stateOf(item) !== undefined;
    // A copy of an event that was applied before it is no newer than that one.
    const effective = applied.filter((item) => !isRepeated(item));
    const overtaking = effective.filter((item) => hasLetters(item) && mayOvertake(item));
    const newest = newestOfEachKey(effective);
    const isWaitedFor = parks && arrival !== 'redrive';
    // Whom a key waits for, or waited for before parking was turned off.
    const noLongerWaitedFor = (item: Item) =>
      (stateOf(item)?.firstLetter ?? item.raw.offset) < item.raw.offset;
    for (const item of [...closed, ...overtaking.filter(noLongerWaitedFor)])
      if ((stateOf(item)?.parked ?? 0) > 0) nowDraining.add(item.raw.partition);
    return {
      opened: letters.map((item) => ({
        ...keyPositionOf(item),
        isWaitedFor,
        overtakenBy: overtakerOf(item, newest),
      })),
      closed: closed.map(keyPositionOf),
      released: [],
      applied: [...newestOfEachKey(overtaking).values()].map(keyPositionOf),
      parked: arrival === 'release' ? [] : [...parked].map(({ raw }) => raw),
      unparked: arrival === 'release' ? keyed.map(keyPositionOf) : [],
      draining: [...nowDraining].flatMap((partition) => {
        const { topic, keys } = viewOf.get(partition)!;
        return keys?.isDraining ? [] : [{ topic, partition, isDraining: true }];
      }),
      discarded: [],
    };
  }

  const nowDraining = new Set(views.flatMap(({ partition, keys }) => (keys?.isDraining ? [partition] : [])));
  return {
    isIdle: () => isEmpty() && arrival !== 'release',
    judge,
    mustPark,
    unclosed,
    draining: nowDraining,
    failed(item) {
      const { raw } = item;
      if (!mayBeWaitedFor(item)) return;
      const id = idOf(raw);
      failedAt.set(id, Math.min(raw.offset, failedAt.get(id) ?? raw.offset));
    },
    tooLate(rejected, call) {
      const first = new Map<string, Item>();
      for (const item of rejected) {
        if (!mayBeWaitedFor(item)) continue;
        const id = idOf(item.raw);
        const earlier = first.get(id);
        if (!earlier || item.raw.offset < earlier.raw.offset) first.set(id, item);
      }
      if (first.size === 0) return [];
      const late = new Set<Item>();
      for (const { raw } of call) {
        const failed = raw.key === null ? undefined : first.get(idOf(raw));
        if (failed && raw.offset > failed.raw.offset) late.add(failed);
      }
      return [...late];
    },
    park,
    changeBy,
  };
}

/** Of a record that has a key. */
function idOf({ partition, key }: RawRecord): string {
  return keyId({ partition, key: key! });
}

function overtakerOf({ raw }: Item, newest: ReadonlyMap<string, Item>): number | null {
  const applied = newest.get(idOf(raw));
  return applied && applied.raw.offset > raw.offset ? applied.raw.offset : null;
}

function newestOfEachKey(items: readonly Item[]): ReadonlyMap<string, Item> {
  const newest = new Map<string, Item>();
  for (const item of items) {
    const id = idOf(item.raw);
    const other = newest.get(id);
    if (!other || other.raw.offset < item.raw.offset) newest.set(id, item);
  }
  return newest;
}

function keyPositionOf({ raw: { topic, partition, offset, key } }: Item): KeyPosition {
  return { topic, partition, offset, key: key! };
}

function limitError(
  field: 'perKey' | 'total' | 'totalBytes',
  limit: number,
  then: 'dead-letter' | 'hold',
  { raw: { topic, partition, offset } }: Item,
): MillraceError {
  return new MillraceError(
    'PARK_LIMIT',
    `${topic}/${partition}: the record at offset ${offset} has to wait behind a dead letter of its key, but parkLimit.${field} ` +
      `is ${limit}. Redrive, skip or discard the letters that keys wait for (millrace park list), or raise the limit.`,
    { action: then, details: { topic, partition, offset, limit } },
  );
}

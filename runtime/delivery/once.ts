/**
 * Events that were sent twice: an event is applied, and copies of it (same identity, within a window of the log's time) are
 * dropped. A copy has its event's key, so it comes in the same partition, and the ledger's lock keeps others away.
 */
import type { AnyConsumer, OncePolicy } from './consumer.ts';
import type { Item } from './item.ts';
import type { Arrival, LedgerView } from './ledger.ts';
import { LogClock, type LogTime, NO_LOG_TIME } from './log-time.ts';
import type { LedgerKey, SeenStore, Sighting } from './sink.ts';

export interface Once {
  /** Whether the handler is not to get the item: its event was applied, or one that the handler gets is a copy of it. */
  isRepeated(item: Item): boolean;
  /**
   * Whether an item that would be parked is a copy of an event that was applied before: then it is dropped at once. Drained
   * later than the window, it would be applied again, and a rebuild, in which nothing waits, would drop it.
   */
  dropsInstead(item: Item): boolean;
  /** Tells that an item was given up: copies of it may be applied in its place. */
  failed(item: Item): void;
  /** Tells which items the handler has taken. */
  took(items: readonly Item[]): void;
  /**
   * Whether each event among the settled items was applied once. Where not, the items know better once they are settled
   * again: a copy was left out for one that failed, or the handler has taken two.
   */
  isSound(done: readonly Item[], parked: ReadonlySet<Item>): boolean;
  /** Has the sink keep the ids of what is applied, and no others. */
  keep(done: readonly Item[], parked: ReadonlySet<Item>): Promise<void>;
  /** The log's time by partition, after the settled items. */
  timesAfter(done: readonly Item[]): ReadonlyMap<number, LogTime>;
}

interface OnceContext {
  readonly consumer: AnyConsumer;
  readonly arrival: Arrival;
  readonly ledger: LedgerKey;
}

/** Records of one event in this transaction, in the log's order. */
interface Sent {
  readonly sighting: Sighting;
  readonly items: Item[];
  /** The log's time at each of the items. */
  readonly times: number[];
  /** When it was last applied, within the window; null where it was not. */
  seenAt: number | null;
  /** Whether one of its records was given up. Which of the others can be applied, only the handler can say. */
  hasFailed: boolean;
}

const EACH_IS_AN_EVENT: Once = {
  isRepeated: () => false,
  dropsInstead: () => false,
  failed() {},
  took() {},
  isSound: () => true,
  async keep() {},
  timesAfter: () => new Map(),
};

/**
 * Looks up, by one statement, which of the items' events were applied before.
 * @param items in partition, then offset order
 * @param mustPark whether an item is parked: what was not applied before is judged when it is drained
 */
export async function createOnce(
  items: readonly Item[],
  views: readonly LedgerView[],
  store: SeenStore | undefined,
  { consumer, arrival, ledger }: OnceContext,
  mustPark: (item: Item) => boolean,
): Promise<Once> {
  const { once, topic } = consumer;
  const identity = topic.format === 'avro' ? topic.identity : undefined;
  if (!once || !store || identity === undefined) return EACH_IS_AN_EVENT;

  const clocks = createClocks(views, once, arrival);
  const sent = new Map<number, Map<string, Sent>>();
  const all: Sent[] = [];
  const sentOf = new Map<Item, Sent>();
  /** Those that wait, which are no part of their events: what becomes of them is open. */
  const waiting = new Map<Item, { readonly event: Sent; readonly time: number }>();
  for (const item of items) {
    const time = clocks.timeAt(item);
    const id = identityOf(item, identity);
    if (id === null) continue;
    const { partition } = item.raw;
    const ofPartition = sent.get(partition) ?? new Map<string, Sent>();
    sent.set(partition, ofPartition);
    let event = ofPartition.get(id);
    if (!event) {
      const sighting = { topic: topic.name, partition, id, at: time };
      event = { sighting, items: [], times: [], seenAt: null, hasFailed: false };
      ofPartition.set(id, event);
      all.push(event);
    }
    if (mustPark(item)) {
      waiting.set(item, { event, time });
      continue;
    }
    if (item.failure !== null) event.hasFailed = true;
    event.items.push(item);
    event.times.push(time);
    sentOf.set(item, event);
  }
  // Those of which nothing can be applied are not asked for.
  const asked = all.filter(
    ({ items }) => items.length === 0 || items.some(({ failure }) => failure === null),
  );
  const seenAt = await store.see(
    ledger,
    asked.map(({ sighting }) => sighting),
    once.windowMs,
  );
  for (const [at, event] of asked.entries()) event.seenAt = seenAt[at]!;

  const isWithin = (time: number, last: number | null) =>
    last !== null && Math.abs(time - last) <= once.windowMs;
  const taken = new Set<Item>();
  const dropped = new Set<Item>();
  const repeated = new Map<Sent, ReadonlySet<Item>>();
  const isContested = ({ items, seenAt }: Sent) => items.length > 1 || seenAt !== null;

  /** Items of an event that the handler is not to get, as things are. */
  function repeatedOf(event: Sent): ReadonlySet<Item> {
    const known = repeated.get(event);
    if (known) return known;
    const found = new Set<Item>();
    let last = event.seenAt;
    for (const [at, item] of event.items.entries()) {
      if (item.failure !== null) continue;
      const time = event.times[at]!;
      if (!isWithin(time, last)) last = time;
      else if (last === event.seenAt || !event.hasFailed || item.isRepeat) found.add(item);
    }
    repeated.set(event, found);
    return found;
  }

  /** The times at which the event was applied, in order. */
  function appliedTimes(event: Sent, isDone: (item: Item) => boolean): readonly number[] {
    const isApplied = (item: Item) =>
      item.failure === null && isDone(item) && (event.items.length === 1 || taken.has(item));
    return event.times.filter((_, at) => isApplied(event.items[at]!));
  }

  return {
    isRepeated(item) {
      if (dropped.has(item)) return true;
      const event = sentOf.get(item);
      return event !== undefined && isContested(event) && repeatedOf(event).has(item);
    },
    dropsInstead(item) {
      const waits = waiting.get(item);
      if (!waits || item.failure !== null || !isWithin(waits.time, waits.event.seenAt)) return false;
      dropped.add(item);
      return true;
    },
    failed(item) {
      const event = sentOf.get(item);
      if (!event) return;
      event.hasFailed = true;
      repeated.delete(event);
    },
    took(items) {
      for (const item of items) if ((sentOf.get(item)?.items.length ?? 1) > 1) taken.add(item);
    },
    isSound(done, parked) {
      let isSound = true;
      const isDone = among(done, parked);
      for (const event of all) {
        if (event.items.length === 1) continue;
        let last = event.seenAt;
        for (const [at, item] of event.items.entries()) {
          if (item.failure !== null || !isDone(item)) continue;
          const time = event.times[at]!;
          const isRepeat = isWithin(time, last);
          if (!isRepeat) last = time;
          if (isRepeat === !taken.has(item)) continue;
          isSound = false;
          item.isRepeat = isRepeat;
        }
      }
      return isSound;
    },
    async keep(done, parked) {
      const isDone = among(done, parked);
      const forgotten: Sighting[] = [];
      const added: Sighting[] = [];
      const isAllApplied = done.length === items.length && parked.size === 0;
      for (const event of asked) {
        const { sighting, seenAt, items } = event;
        if (isAllApplied && items.length === 1 && items[0]!.failure === null) continue;
        if (seenAt !== null && items.length === 1) continue;
        const times = appliedTimes(event, isDone);
        const keptAt = seenAt === null ? sighting.at : null;
        if (keptAt !== null && times[0] !== keptAt) forgotten.push(sighting);
        const last = times.at(-1);
        if (last !== undefined && last !== keptAt) added.push({ ...sighting, at: last });
      }
      if (forgotten.length > 0) await store.forget(ledger, forgotten);
      // Of an event that was applied twice, the last time counts: it stands in a window of its own.
      if (added.length > 0) await store.see(ledger, added, once.windowMs);
    },
    timesAfter: (done) => clocks.after(done),
  };
}

/** Whether an item is settled for good, neither parked nor left for later. */
function among(done: readonly Item[], parked: ReadonlySet<Item>): (item: Item) => boolean {
  const settled = new Set(done);
  return (item) => settled.has(item) && !parked.has(item);
}

/** The log's time at each item. Only what a delivery brings for the first time moves it, so that it moves once a record. */
function createClocks(views: readonly LedgerView[], { windowMs }: OncePolicy, arrival: Arrival) {
  const begin = () =>
    new Map(
      views.map((view) => [
        view.partition,
        { clock: new LogClock(view.logTime ?? NO_LOG_TIME, windowMs), next: view.next ?? -1 },
      ]),
    );
  const now = begin();
  const isNew = ({ raw }: Item, next: number) => arrival === 'delivery' && raw.offset >= next;
  return {
    timeAt(item: Item): number {
      const { clock, next } = now.get(item.raw.partition)!;
      const time = isNew(item, next) ? clock.take(item.raw.timestamp) : clock.time;
      return time === -1 ? 0 : time;
    },
    after(done: readonly Item[]): ReadonlyMap<number, LogTime> {
      const then = begin();
      const moved = new Map<number, LogClock>();
      for (const item of done) {
        const { clock, next } = then.get(item.raw.partition)!;
        if (!isNew(item, next)) continue;
        clock.take(item.raw.timestamp);
        moved.set(item.raw.partition, clock);
      }
      return new Map(Array.from(moved, ([partition, clock]) => [partition, clock.state]));
    },
  };
}

/** Null where the event has none, so that nothing tells copies of it from others. */
function identityOf({ record }: Item, identity: string): string | null {
  const value = record?.value as Readonly<Record<string, unknown>> | null | undefined;
  const id = value?.[identity];
  return typeof id === 'string' && id !== '' ? id : null;
}

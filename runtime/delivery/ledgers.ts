/** A transaction's records and its ledgers: what to lock, what the ledgers say of each record, and how they advance. */
import type { Clock } from '../ports.ts';
import type { AnyConsumer } from './consumer.ts';
import type { Item } from './item.ts';
import type { KeyOrder } from './key-order.ts';
import {
  type Arrival,
  advance,
  judge,
  type LedgerPatch,
  type LedgerView,
  type Settlement,
} from './ledger.ts';
import type { LogTime } from './log-time.ts';
import type { LedgerRequest } from './sink.ts';

interface LedgerContext {
  readonly consumer: AnyConsumer;
  readonly clock: Clock;
  readonly arrival: Arrival;
}

interface Judged {
  readonly fresh: readonly Item[];
  readonly settled: readonly Item[];
  readonly early: readonly Item[];
}

/** Judges again, by what is known of the records' keys. What waits behind a letter is among the fresh: it is settled too. */
export function judgeByKey(
  judged: Judged,
  order: KeyOrder,
): Judged & { readonly overtaken: readonly Item[] } {
  // The rule: nothing is remembered, and nothing has to be asked of each record.
  if (order.isIdle()) return { ...judged, overtaken: [] };
  const fresh: Item[] = [];
  const settled = [...judged.settled];
  const early = [...judged.early];
  const overtaken: Item[] = [];
  const into = { run: fresh, parked: fresh, settled, early, overtaken };
  for (const item of judged.fresh) into[order.judge(item)].push(item);
  return { fresh, settled, early, overtaken };
}

export function judgeAll(
  items: readonly Item[],
  views: readonly LedgerView[],
  { arrival, clock }: LedgerContext,
): Judged {
  const judged = { fresh: [] as Item[], settled: [] as Item[], early: [] as Item[] };
  const viewOf = new Map(views.map((view) => [view.partition, view]));
  // The ledger has settled what is parked: whether it still is, its key tells.
  if (arrival === 'release') return { ...judged, fresh: items };
  const now = clock.now();
  for (const item of items) {
    judged[judge(viewOf.get(item.raw.partition)!, item.raw, arrival, now)].push(item);
  }
  return judged;
}

export function advanceAll(
  done: readonly Item[],
  parked: ReadonlySet<Item>,
  views: readonly LedgerView[],
  times: ReadonlyMap<number, LogTime>,
  { consumer, clock, arrival }: LedgerContext,
): { patches: LedgerPatch[]; skipped: number } {
  const isLetter = (item: Item) => item.failure !== null && !parked.has(item);
  // A release changes nothing for the ledger but where a record becomes a letter after all.
  const settlements = Map.groupBy(
    arrival === 'release' ? done.filter(isLetter) : done,
    ({ raw }) => raw.partition,
  );
  const patches: LedgerPatch[] = [];
  let skipped = 0;
  for (const view of views) {
    const [head, ...tail] = (settlements.get(view.partition) ?? []).map(
      (item): Settlement => ({
        offset: item.raw.offset,
        timestamp: item.raw.timestamp,
        isDeadLettered: isLetter(item),
      }),
    );
    if (!head) continue;
    const advanced = advance(view, [head, ...tail], consumer.topic.offsets, clock.now());
    const logTime = times.get(view.partition);
    patches.push(logTime ? { ...advanced.patch, logTime } : advanced.patch);
    skipped += advanced.skipped;
  }
  return { patches, skipped };
}

/** One request a partition; the items stand in partition, then offset order. */
export function requestsOf(items: readonly Item[]): LedgerRequest[] {
  const requests: { topic: string; partition: number; from: number; to: number }[] = [];
  for (const { raw } of items) {
    const last = requests.at(-1);
    if (last?.partition === raw.partition) last.to = raw.offset + 1;
    else requests.push({ topic: raw.topic, partition: raw.partition, from: raw.offset, to: raw.offset + 1 });
  }
  return requests;
}

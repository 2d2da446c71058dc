import type { InputItem } from '../../runtime/app.ts';
import type { Clock } from '../../runtime/ports.ts';
import type { ValuePublisher } from './value-publisher.ts';

/** Where values come from. */
export interface Source<Value> {
  /** Items with up to `maxValues` values among them; none when the source has ended. */
  take(maxValues: number): Promise<readonly InputItem<Value>[]>;
  /** What share of the set rate is wanted at `nowMs`; more than 1 in a rush. @default 1 */
  load?(nowMs: number): number;
}

export interface FeedCounts {
  published: number;
  refused: number;
  ignored: number;
  malformed: number;
  poisoned: number;
}

export const NOTHING_FED: FeedCounts = Object.freeze({
  published: 0,
  refused: 0,
  ignored: 0,
  malformed: 0,
  poisoned: 0,
});

/** A line that was not published. */
export interface Complaint {
  readonly kind: 'refused' | 'malformed';
  readonly line: number;
  /** Where there are several inputs: which one. */
  readonly input?: string;
  readonly reason: string;
}

export interface Feed {
  counts(): Readonly<FeedCounts>;
  /** The first few lines that were not published. */
  complaints(): readonly Complaint[];
  /** How many lines were ignored for each reason that a line gave. */
  ignoredFor(): ReadonlyMap<string, number>;
  /** Resolves when the source has ended or the feed was stopped; rejects when publishing fails. */
  readonly done: Promise<void>;
  /** Publishes nothing more; `done` resolves. */
  stop(): void;
}

export interface FeedOptions<Value> {
  readonly source: Source<Value>;
  readonly publisher: ValuePublisher<Value>;
  /** Values a second; infinite for as many as go. */
  readonly ratePerSecond: number;
  readonly clock: Clock;
}

const BATCH_VALUES = 1_000;
const TICK_MS = 50;
// After a pause (a slow disk, a laptop that slept) the rate holds on from now, it does not catch up.
const MAX_BACKLOG_MS = 1_000;
const MAX_COMPLAINTS = 10;

/** Publishes a source's values at a set rate, until it ends or is stopped. */
export function startFeed<Value>({ source, publisher, ratePerSecond, clock }: FeedOptions<Value>): Feed {
  const counts: FeedCounts = { ...NOTHING_FED };
  const complaints: Complaint[] = [];
  const ignoredFor = new Map<string, number>();
  const stopping = new AbortController();
  const allowance = createAllowance(ratePerSecond, source, clock);

  const complain = (complaint: Complaint) => {
    counts[complaint.kind]++;
    if (complaints.length < MAX_COMPLAINTS) complaints.push(complaint);
  };

  const publish = async (items: readonly InputItem<Value>[]) => {
    const values = items.filter((item) => item.kind === 'value');
    const { refused, poisoned } = await publisher.send(values.map(({ value }) => value));
    const reasons = new Map(refused.map(({ index, reason }) => [values[index], reason]));
    for (const item of items) {
      if (item.kind === 'ignored') {
        counts.ignored++;
        if (item.reason !== undefined) ignoredFor.set(item.reason, (ignoredFor.get(item.reason) ?? 0) + 1);
      } else if (item.kind === 'malformed') complain(item);
      else if (reasons.has(item)) {
        const { line, input } = item;
        complain({
          kind: 'refused',
          line,
          ...(input !== undefined && { input }),
          reason: reasons.get(item)!,
        });
      } else counts.published++;
    }
    counts.poisoned += poisoned;
  };

  const run = async () => {
    while (!stopping.signal.aborted) {
      const allowed = allowance.take(BATCH_VALUES);
      if (allowed > 0) {
        const items = await source.take(allowed);
        if (items.length === 0) return;
        await publish(items);
      }
      // A turn of the event loop at least: the consumers run in this process too.
      await clock.sleep(allowed === BATCH_VALUES ? 0 : TICK_MS, stopping.signal);
    }
  };
  const done = run();
  // Heard by whoever awaits `done`; until then a failure must not end the process.
  done.catch(() => {});
  return {
    counts: () => ({ ...counts }),
    complaints: () => complaints,
    ignoredFor: () => ignoredFor,
    done,
    stop: () => stopping.abort(),
  };
}

/** Several feeds as one. */
export function joinFeeds(feeds: readonly Feed[]): Feed {
  const done = Promise.all(feeds.map((feed) => feed.done)).then(() => {});
  done.catch(() => {});
  return {
    counts() {
      const total: FeedCounts = { ...NOTHING_FED };
      for (const feed of feeds) {
        for (const [name, value] of Object.entries(feed.counts())) total[name as keyof FeedCounts] += value;
      }
      return total;
    },
    ignoredFor() {
      const total = new Map<string, number>();
      for (const [reason, times] of feeds.flatMap((feed) => [...feed.ignoredFor()])) {
        total.set(reason, (total.get(reason) ?? 0) + times);
      }
      return total;
    },
    complaints: () => feeds.flatMap((feed) => feed.complaints()).slice(0, MAX_COMPLAINTS),
    done,
    stop() {
      for (const feed of feeds) feed.stop();
    },
  };
}

/** How many values may go at once, so that over time the set rate comes about. */
function createAllowance(ratePerSecond: number, source: Pick<Source<never>, 'load'>, clock: Clock) {
  let due = 0;
  let lastMs = clock.now();
  return {
    take(max: number): number {
      if (ratePerSecond === Number.POSITIVE_INFINITY) return max;
      const nowMs = clock.now();
      const rate = ratePerSecond * (source.load?.(nowMs) ?? 1);
      due += (rate * Math.min(nowMs - lastMs, MAX_BACKLOG_MS)) / 1_000;
      lastMs = nowMs;
      const taken = Math.min(max, Math.floor(due));
      due -= taken;
      return taken;
    },
  };
}

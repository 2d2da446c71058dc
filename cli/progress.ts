import { setTimeout as sleep } from 'node:timers/promises';
import { createLogUpdate } from 'log-update';
import { totalLag } from '../local/lag.ts';
import type { FeedCounts } from '../local/publishing/feed.ts';
import type { Stack, StackTotals } from '../local/stack.ts';
import type { Demo } from '../runtime/app.ts';
import { HELD_MS } from '../runtime/lag/verdict.ts';
import {
  describeFaults,
  describeHolds,
  pausedConsumers,
  rebuildLines,
  renderView,
  type Snapshot,
  slowHandlers,
} from './live-view.ts';
import type { RunLog } from './run-log.ts';
import { known } from './status-view.ts';
import { count, printNote } from './terminal.ts';

export interface Progress {
  setPhase(phase: Snapshot['phase']): void;
  /** Which pages are served, for the head of the picture. */
  setPages(pages: Snapshot['pages']): void;
  /** The newest status of the consumers, and when it was taken. */
  looked(): { readonly at: number; readonly consumers: Snapshot['lags'] };
  /** Records left to consume, as last seen; null where that is unknown. */
  lag(): number | null;
  /** Leaves the last picture standing. */
  stop(): Promise<void>;
}

export interface ProgressOptions {
  readonly stack: Stack;
  /** What was published, by whichever way. */
  readonly feedCounts: () => FeedCounts;
  readonly phase: Snapshot['phase'];
  readonly runLog: RunLog;
  readonly source: string;
  readonly state: string;
  readonly panel: Demo['panel'];
  /** Draws on stdout; else a line now and then goes to stderr. */
  readonly isLive: boolean;
}

const REDRAW_MS = 250;
const SAMPLE_MS = 1_000;
/** A verdict waits for the sample behind the beginning and the end of an outage. */
const HOLDS_MS = 250;
const LINE_MS = 3_000;
const SECONDS_SHOWN = 40;
/** A sink that does not answer must not hold up the end. */
const LAST_LOOK_MS = 2_000;

/** Shows a run while it goes on. */
export function startProgress(options: ProgressOptions): Progress {
  const { isLive } = options;
  const sampler = createSampler(options);
  const logUpdate = createLogUpdate(process.stdout);
  let { phase } = options;
  let pages: Snapshot['pages'];

  const draw = () => {
    const { columns = 80, rows = 24 } = process.stdout;
    logUpdate(renderView({ ...sampler.snapshot(phase), ...(pages && { pages }) }, { columns, rows }));
  };
  const timers = [
    setInterval(sampler.sample, SAMPLE_MS),
    setInterval(sampler.followHolds, HOLDS_MS),
    isLive ? setInterval(draw, REDRAW_MS) : setInterval(() => printNote(sampler.line(phase)), LINE_MS),
  ];
  return {
    setPhase(next) {
      phase = next;
    },
    setPages(served) {
      pages = served;
    },
    looked: sampler.looked,
    lag: () => totalLag(sampler.snapshot(phase).lags),
    async stop() {
      for (const timer of timers) clearInterval(timer);
      await Promise.race([sampler.sample(), sleep(LAST_LOOK_MS)]);
      if (!isLive) return;
      phase = 'done';
      draw();
      logUpdate.done();
    },
  };
}

/** Samples the run once a second, and remembers how fast it went. */
function createSampler({ stack, feedCounts, runLog, source, state, panel, isLive }: ProgressOptions) {
  const startedAt = performance.now();
  const publishedPerSecond = createRate(() => feedCounts().published + feedCounts().poisoned);
  const appliedPerSecond = createRate(() => totals.applied);
  let totals: StackTotals = {
    applied: 0,
    deadLettered: 0,
    parked: 0,
    skipped: 0,
    duplicates: 0,
    repeated: 0,
    retries: 0,
    consumers: [],
  };
  let lags: Snapshot['lags'] = [];
  let lookedAt = 0;
  let rebuilding: NonNullable<Snapshot['rebuilding']> = [];
  let panelRows: Snapshot['panel'] = null;
  let said: ReturnType<RunLog['events']>[number] | undefined;

  const look = async () => {
    // Not the sink: it may be busy for long, and the view goes on.
    lags = await stack.lag();
    lookedAt = Date.now();
    rebuilding = await stack.rebuilding();
    publishedPerSecond.note();
    appliedPerSecond.note();
  };
  const lookIntoSink = async () => {
    totals = await stack.totals();
    if (!isLive || !panel) return;
    const { rows } = await stack.query(panel.sql);
    panelRows = {
      title: panel.title,
      rows: rows.map(([label, value]) => ({ label: String(label), value: Number(value) })),
    };
  };
  const lookAgain = unlessUnderWay(look);
  const lookIntoSinkAgain = unlessUnderWay(lookIntoSink);
  let heldBefore = '';
  return {
    /** Never rejects: what fails will surface elsewhere. */
    async sample(): Promise<void> {
      await Promise.all([lookAgain(), lookIntoSinkAgain()]);
    },
    /** Takes a sample at once where a hold began, has lasted long enough for a verdict, or is over. */
    followHolds(): void {
      const now = Date.now();
      const held = runLog
        .holds()
        .map(({ consumer, code, since }) => [consumer, code, now - since >= HELD_MS]);
      if (held.join() === heldBefore) return;
      heldBefore = held.join();
      void lookAgain();
    },
    looked: () => ({ at: lookedAt, consumers: lags }),
    snapshot: (phase: Snapshot['phase']): Snapshot => ({
      phase,
      source,
      state,
      nowMs: Date.now(),
      elapsedMs: performance.now() - startedAt,
      feed: feedCounts(),
      totals,
      publishedPerSecond: publishedPerSecond.values,
      appliedPerSecond: appliedPerSecond.values,
      lags,
      handling: stack.handling(),
      holds: runLog.holds(),
      faults: stack.faults(),
      rebuilding,
      panel: panelRows,
      events: runLog.events(),
    }),
    line(phase: Snapshot['phase']): string {
      const newest = runLog.events().at(-1);
      const parts = [
        `published ${count(feedCounts().published)}`,
        `applied ${count(totals.applied)}`,
        `duplicates ${count(totals.duplicates)}`,
        ...(totals.repeated > 0 ? [`repeated ${count(totals.repeated)}`] : []),
        ...(totals.parked > 0 ? [`parked ${count(totals.parked)}`] : []),
        `dead letters ${count(totals.deadLettered)}`,
        `lag ${known(totalLag(lags))}`,
      ];
      const nowMs = Date.now();
      const others = [
        ...describeHolds({ holds: runLog.holds(), lags, nowMs }),
        ...pausedConsumers(lags),
        ...slowHandlers(stack.handling()),
        describeFaults({ faults: stack.faults(), nowMs }),
        ...rebuildLines({ rebuilding, state }),
        newest && newest !== said ? newest.text : '',
      ];
      said = newest;
      return `${phase}: ${[parts.join(', '), ...others.filter(Boolean)].join('; ')}`;
    },
  };
}

/** What is still under way serves the next caller too. */
function unlessUnderWay(work: () => Promise<void>): () => Promise<void> {
  let underWay: Promise<void> | undefined;
  return () => {
    underWay ??= work()
      .catch(() => {})
      .finally(() => {
        underWay = undefined;
      });
    return underWay;
  };
}

/** The growth of a number by the second. */
function createRate(read: () => number) {
  const values: number[] = [];
  let last = 0;
  let lastMs = performance.now();
  return {
    values,
    note() {
      const now = performance.now();
      const value = read();
      values.push(Math.max(0, Math.round(((value - last) * 1_000) / Math.max(1, now - lastMs))));
      if (values.length > SECONDS_SHOWN) values.shift();
      last = value;
      lastMs = now;
    },
  };
}

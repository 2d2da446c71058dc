import { stripVTControlCharacters } from 'node:util';
import type { FaultCounts } from '../local/function-threads.ts';
import type { Rebuilding } from '../local/generation-calls.ts';
import type { Hold } from '../local/holds.ts';
import { totalLag } from '../local/lag.ts';
import type { FeedCounts } from '../local/publishing/feed.ts';
import type { Handling, StackTotals } from '../local/stack.ts';
import type { ConsumerStatus } from '../runtime/lag/status.ts';
import { duration } from '../runtime/lag/words.ts';
import { generationName } from '../runtime/replay/generation.ts';
import { hint } from './hints.ts';
import type { RunEvent } from './run-log.ts';
import { known, verdictText } from './status-view.ts';
import { count, plural, printable, styled, table, widthOf, wrapped } from './terminal.ts';

/** What the view shows: one moment of a run. */
export interface Snapshot {
  readonly phase: 'publishing' | 'consuming' | 'draining' | 'done';
  /** Where the values come from, as in `traffic, about 200/s`. */
  readonly source: string;
  readonly state: string;
  /** Epoch milliseconds. */
  readonly nowMs: number;
  readonly elapsedMs: number;
  readonly feed: FeedCounts;
  readonly totals: StackTotals;
  /** Records applied in each of the last seconds, the newest last. */
  readonly appliedPerSecond: readonly number[];
  readonly publishedPerSecond: readonly number[];
  /** The worst first. */
  readonly lags: readonly ConsumerStatus[];
  readonly handling: readonly Handling[];
  readonly holds: readonly Hold[];
  readonly faults: FaultCounts;
  /** What the app's demo lists; null where it lists nothing. */
  readonly panel: {
    readonly title: string;
    readonly rows: readonly { readonly label: string; readonly value: number }[];
  } | null;
  /** URLs of the pages that are served. @default none */
  readonly pages?: { readonly newsroom: string | null; readonly console: string | null };
  /** @default none */
  readonly rebuilding?: readonly Rebuilding[];
  /** The newest last. */
  readonly events: readonly RunEvent[];
}

const BARS = '▁▂▃▄▅▆▇█';
const MAX_WIDTH = 120;
const MOST_CONSUMERS = 6;
/** Of a panel, before the events; the others take what is left. */
const PANEL_FIRST = 3;
const PANEL_MOST = 10;

/** A handler that runs for longer than this is worth a line. */
const SLOW_MS = 5_000;

/** The view as lines no wider than the terminal and, in all, no more than it has; a pure function of its arguments. */
export function renderView(snapshot: Snapshot, { columns, rows }: { columns: number; rows: number }): string {
  const width = Math.min(columns, MAX_WIDTH);
  const head = [
    title(snapshot, width),
    ...pageLines(snapshot),
    ...holdLines(snapshot, width),
    ...pausedConsumers(snapshot.lags).flatMap((text) =>
      wrapped(printable(text), width, 2).map((line) => styled('yellow', line)),
    ),
    ...slowLines(snapshot),
    '',
    ...counters(snapshot),
    ...faultLines(snapshot),
    ...rebuildLines(snapshot).map((text) => styled('dim', text)),
    '',
    ...consumerLines(snapshot),
  ];
  const foot = snapshot.phase === 'done' ? [''] : ['', footer(snapshot)];
  const room = rows - 1 - head.length - foot.length;
  const panel = panelLines(snapshot, width);
  const events = eventLines(snapshot, width);
  // Warnings come first: of the panel only its top stands above what is left for them.
  const least = Math.min(panel.length, PANEL_FIRST);
  const eventRoom = Math.max(Math.min(room, 5), room - (least > 0 ? least + 2 : 0));
  const eventSection = section('Events', events, eventRoom, 'newest');
  const panelSection = section(
    printable(snapshot.panel?.title ?? ''),
    panel,
    Math.min(room - eventSection.length, PANEL_MOST + 2),
  );
  return [...head, ...panelSection, ...eventSection, ...foot].map((line) => clip(line, columns)).join('\n');
}

function title({ phase, source, state, elapsedMs }: Snapshot, width: number): string {
  const left = `${styled('bold', 'millrace')}  ${phase}: ${printable(source)}`;
  const right = styled('dim', `${state}  ${clockTime(elapsedMs)}`);
  return left + ' '.repeat(Math.max(2, width - widthOf(left) - widthOf(right))) + right;
}

function pageLines({ pages, phase }: Snapshot): readonly string[] {
  if (!pages || phase === 'done') return [];
  return (['newsroom', 'console'] as const).flatMap((name) =>
    pages[name] === null ? [] : [`${styled('dim', name.padEnd(9))}${pages[name]}`],
  );
}

function holdLines(snapshot: Snapshot, width: number): readonly string[] {
  return describeHolds(snapshot).flatMap((text) =>
    wrapped(printable(text), width, 2).map((line) => styled('red', line)),
  );
}

/** A line about each consumer that waits: since when, for what, and how many records with it. */
export function describeHolds({
  holds,
  lags,
  nowMs,
}: Pick<Snapshot, 'holds' | 'lags' | 'nowMs'>): readonly string[] {
  return holds.map(({ consumer, code, why, since, records: [record] }) => {
    const waiting = known(lags.find((each) => each.consumer === consumer)?.lag ?? null);
    if (record)
      return `${consumer} BLOCKED ${duration(nowMs - since)} at ${record.partition}/${record.offset}: ${why} (${code}); partitions of the same batch may wait with it; ${waiting} waiting`;
    return `${consumer} HELD ${duration(nowMs - since)}: ${why} (${code}); nothing is lost; ${waiting} waiting`;
  });
}

/** A line about each consumer that somebody has paused. */
export function pausedConsumers(lags: Snapshot['lags']): readonly string[] {
  return lags
    .filter(({ isPaused }) => isPaused)
    .map(({ consumer, lag }) => `${consumer} is paused, ${known(lag)} waiting: millrace resume ${consumer}`);
}

function slowLines({ handling }: Snapshot): string[] {
  return slowHandlers(handling).map((text) => styled('yellow', text));
}

/** A line about each handle() that has been running for long. */
export function slowHandlers(handling: readonly Handling[]): string[] {
  return handling
    .filter(({ runningMs }) => runningMs >= SLOW_MS)
    .map(({ consumer, runningMs, timeoutMs }) => {
      const [running, limit] = [runningMs, timeoutMs].map((ms) => `${count(Math.floor(ms / 1_000))} s`);
      return `${consumer}: handle() has been running ${running} (limit ${limit})`;
    });
}

function counters({ feed, totals, appliedPerSecond, publishedPerSecond }: Snapshot): string[] {
  const flow = (name: string, total: number, perSecond: readonly number[]) =>
    `${name.padEnd(11)}${styled('bold', count(total).padStart(11))}   ${`${count(recentRate(perSecond))}/s`.padStart(9)}  ${styled('cyan', sparkline(perSecond))}`;
  const small = (name: string, value: number, style: 'yellow' | 'red' | 'dim') =>
    `${name} ${value > 0 ? styled(style, count(value)) : count(value)}`;
  return [
    flow('published', feed.published, publishedPerSecond),
    flow('applied', totals.applied, appliedPerSecond),
    [
      ...(feed.poisoned > 0 ? [small('plus bad on purpose', feed.poisoned, 'dim')] : []),
      small('duplicates', totals.duplicates, 'dim'),
      ...(totals.repeated > 0 ? [small('repeated', totals.repeated, 'dim')] : []),
      ...(totals.parked > 0 ? [small('parked', totals.parked, 'yellow')] : []),
      small('retries', totals.retries, 'yellow'),
      ...(totals.skipped > 0 ? [small('skipped', totals.skipped, 'red')] : []),
      ...(feed.refused > 0 ? [small('refused', feed.refused, 'yellow')] : []),
      ...(feed.malformed > 0 ? [small('malformed', feed.malformed, 'yellow')] : []),
      ...(feed.ignored > 0 ? [small('ignored', feed.ignored, 'dim')] : []),
    ].join(styled('dim', '  ·  ')),
  ];
}

/** A line about each rebuild that goes on. */
export function rebuildLines({
  rebuilding = [],
  state,
}: Pick<Snapshot, 'rebuilding' | 'state'>): readonly string[] {
  return rebuilding.map(({ consumer, number, lag, isRunning }) => {
    const name = printable(generationName(consumer, number));
    if (!isRunning) {
      return `${name} was begun with other code and is not run: ${hint(['rebuild', 'drop', consumer], { state })}`;
    }
    if (lag === 0) return `${name} has caught up: ${hint(['rebuild', 'promote', consumer], { state })}`;
    return `rebuilding ${name}: ${known(lag)} records to go`;
  });
}

function faultLines(snapshot: Snapshot): readonly string[] {
  const text = describeFaults(snapshot);
  return text === '' ? [] : [styled('dim', text)];
}

/** The faults that were asked for and have happened; empty where there were none. */
export function describeFaults({ faults, nowMs }: Pick<Snapshot, 'faults' | 'nowMs'>): string {
  const outage = (of: string, endsAt: number | null) =>
    endsAt === null
      ? ''
      : endsAt > nowMs
        ? `${of} down, up again in ${duration(endsAt - nowMs)}`
        : `${of} outage over`;
  const parts = [
    faults.redelivered > 0 ? `${plural(faults.redelivered, 'batch', 'batches')} redelivered` : '',
    faults.crashes > 0 ? plural(faults.crashes, 'crash', 'crashes') : '',
    outage('sink', faults.sinkOutageEndsAt),
    outage('dead-letter store', faults.deadLetterOutageEndsAt),
  ].filter(Boolean);
  return parts.length === 0 ? '' : `faults so far: ${parts.join(', ')}`;
}

/** A row a consumer, the worst first. */
function consumerLines({ lags, totals }: Snapshot): string[] {
  if (lags.length === 0) return [];
  const rows = lags.slice(0, MOST_CONSUMERS).map((lag) => {
    const own = totals.consumers.find(({ consumer }) => consumer === lag.consumer);
    const dead = own?.deadLettered ?? 0;
    return [
      lag.consumer,
      count(own?.applied ?? 0),
      dead > 0 ? styled('yellow', count(dead)) : '0',
      known(lag.lag),
      verdictText(lag),
    ];
  });
  const columns = [
    { title: 'consumer' },
    { title: 'applied', align: 'right' as const },
    { title: 'dead letters', align: 'right' as const },
    { title: 'lag', align: 'right' as const },
    { title: '' },
  ];
  const more = lags.length - MOST_CONSUMERS;
  return [
    ...table(columns, rows).split('\n'),
    ...(more > 0 ? [styled('dim', `and ${plural(more, 'consumer')} more`)] : []),
  ];
}

function panelLines({ panel }: Snapshot, width: number): string[] {
  const rows = panel?.rows ?? [];
  const most = Math.max(1, ...rows.map(({ value }) => value));
  const barWidth = Math.max(0, Math.min(20, width - 70));
  return rows.map(({ label, value }) => {
    const bar = styled(
      'cyan',
      '█'.repeat(Math.round((Math.max(0, value) / most) * barWidth)).padEnd(barWidth),
    );
    return `${count(value).padStart(8)}  ${bar}  ${printable(label)}`;
  });
}

const LEVEL_STYLES = { info: 'green', warn: 'yellow', error: 'red' } as const;

function eventLines({ events }: Snapshot, width: number): string[] {
  return events.flatMap((event) => {
    const [first = '', ...rest] = describeEvent(event, width);
    return [styled(LEVEL_STYLES[event.level], first.slice(0, 8)) + first.slice(8), ...rest];
  });
}

/** The event in lines that fit: its last time, what happened, and how often since when. */
function describeEvent({ firstAt, lastAt, count: times, text }: RunEvent, width: number): string[] {
  const time = (ms: number) => new Date(ms).toTimeString().slice(0, 8);
  const repeats = times > 1 ? `  ×${count(times)} since ${time(firstAt)}` : '';
  return [...wrapped(`${time(lastAt)}  ${printable(text)}${repeats}`, width, 10)];
}

function section(
  name: string,
  lines: readonly string[],
  room: number,
  keep: 'first' | 'newest' = 'first',
): string[] {
  const shown = Math.min(lines.length, room - 2);
  if (shown < 1) return [];
  return ['', styled('dim', name), ...(keep === 'first' ? lines.slice(0, shown) : lines.slice(-shown))];
}

function footer({ phase, lags, appliedPerSecond }: Snapshot): string {
  if (phase !== 'draining') return styled('dim', 'Ctrl-C drains what is published and sums up.');
  const left = totalLag(lags);
  const rate = recentRate(appliedPerSecond);
  const about = rate > 0 && left ? `, about ${duration((left / rate) * 1_000)}` : '';
  return styled('dim', `Draining: ${known(left)} left${about}. Ctrl-C quits at once; the next run goes on.`);
}

/** The mean of the last five seconds. */
function recentRate(perSecond: readonly number[]): number {
  const recent = perSecond.slice(-5);
  return recent.length === 0 ? 0 : Math.round(recent.reduce((sum, n) => sum + n, 0) / recent.length);
}

function sparkline(values: readonly number[]): string {
  const highest = Math.max(...values, 1);
  return values.map((value) => BARS[Math.round((value / highest) * (BARS.length - 1))]).join('');
}

function clockTime(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  const parts = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60];
  return parts.map((part) => String(part).padStart(2, '0')).join(':');
}

/** Cuts a line to the terminal's width: one that wraps would tear the view. Loses its colours where it is cut. */
function clip(line: string, columns: number): string {
  if (widthOf(line) <= columns) return line;
  return `${stripVTControlCharacters(line).slice(0, Math.max(0, columns - 1))}…`;
}

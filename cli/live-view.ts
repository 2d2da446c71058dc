import { stripVTControlCharacters } from 'node:util';
import type { ConsumerLag } from '../local/lag.ts';
import type { FeedCounts } from '../local/publishing/feed.ts';
import type { Handling, StackTotals } from '../local/stack.ts';
import { styledLevel } from './lag.ts';
import type { Problem } from './problem-log.ts';
import { count, printable, styled } from './terminal.ts';

/** What the view shows: one moment of a run. */
export interface Snapshot {
  readonly phase: 'publishing' | 'consuming' | 'draining' | 'done';
  /** Where the values come from, as in `traffic at 200/s`. */
  readonly source: string;
  readonly state: string;
  readonly elapsedMs: number;
  readonly feed: FeedCounts;
  readonly totals: StackTotals;
  /** Records applied in each of the last seconds, the newest last. */
  readonly appliedPerSecond: readonly number[];
  readonly publishedPerSecond: readonly number[];
  readonly lags: readonly ConsumerLag[];
  readonly handling: readonly Handling[];
  /** What the app's demo lists; null where it lists nothing. */
  readonly panel: {
    readonly title: string;
    readonly rows: readonly { readonly label: string; readonly value: number }[];
  } | null;
  /** The newest last. */
  readonly problems: readonly Problem[];
}

const BARS = '▁▂▃▄▅▆▇█';
const MAX_WIDTH = 100;

/** A handler that runs for longer than this is worth a line. */
const SLOW_MS = 5_000;

/** The view as lines no wider than the terminal and, in all, no more than it has; a pure function of its arguments. */
export function renderView(snapshot: Snapshot, { columns, rows }: { columns: number; rows: number }): string {
  const width = Math.min(columns, MAX_WIDTH);
  const head = [
    title(snapshot, width),
    '',
    ...counters(snapshot),
    '',
    ...lagLines(snapshot),
    ...slowLines(snapshot),
  ];
  const foot = snapshot.phase === 'done' ? [''] : ['', hint(snapshot)];
  // What is left of the screen goes to the panel first, then to the problems.
  let room = rows - 1 - head.length - foot.length;
  const panel = section(
    printable(snapshot.panel?.title ?? ''),
    panelLines(snapshot, width),
    Math.min(room, 12),
  );
  room -= panel.length;
  const problems = section('Lately', problemLines(snapshot), room, 'newest');
  return [...head, ...panel, ...problems, ...foot].map((line) => clip(line, columns)).join('\n');
}

function title({ phase, source, state, elapsedMs }: Snapshot, width: number): string {
  const left = `${styled('bold', 'millrace')}  ${phase}, ${printable(source)}`;
  const right = styled('dim', `${state}  ${clockTime(elapsedMs)}`);
  return left + ' '.repeat(Math.max(2, width - widthOf(left) - widthOf(right))) + right;
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
      small('duplicates', totals.duplicates, 'dim'),
      small('dead letters', totals.deadLettered, 'yellow'),
      small('retries', totals.retries, 'yellow'),
      small('skipped', totals.skipped, 'red'),
      small('refused', feed.refused, 'yellow'),
      ...(feed.malformed + feed.ignored > 0
        ? [small('malformed', feed.malformed, 'yellow'), small('ignored', feed.ignored, 'dim')]
        : []),
    ].join(styled('dim', '  ·  ')),
  ];
}

function lagLines({ lags }: Snapshot): string[] {
  const nameWidth = Math.max(8, ...lags.map(({ consumer }) => consumer.length));
  return lags.map(({ consumer, lag, level, warning, incident }) => {
    const policy = styled('dim', `warning ${count(warning)}, incident ${count(incident)}`);
    return `${styled('dim', 'lag')}  ${consumer.padEnd(nameWidth)}  ${count(lag).padStart(9)}  ${styledLevel(level)}  ${policy}`;
  });
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

function problemLines({ problems }: Snapshot): string[] {
  return problems.map(({ at, level, text }) => {
    const time = styled('dim', at.toTimeString().slice(0, 8));
    return `${time}  ${styled(level === 'error' ? 'red' : 'yellow', level.padEnd(5))}  ${printable(text)}`;
  });
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

function hint({ phase }: Snapshot): string {
  const text =
    phase === 'draining'
      ? 'Ctrl-C again to quit at once: the next run goes on from there.'
      : 'Ctrl-C drains and sums up.';
  return styled('dim', text);
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

function widthOf(text: string): number {
  return stripVTControlCharacters(text).length;
}

/** Cuts a line to the terminal's width: one that wraps would tear the view. Loses its colours where it is cut. */
function clip(line: string, columns: number): string {
  if (widthOf(line) <= columns) return line;
  return `${stripVTControlCharacters(line).slice(0, Math.max(0, columns - 1))}…`;
}

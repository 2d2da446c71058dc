import { totalLag } from '../local/lag.ts';
import type { Complaint, FeedCounts } from '../local/publishing/feed.ts';
import type { StackTotals } from '../local/stack.ts';
import type { ConsumerStatus } from '../runtime/lag/status.ts';
import { hint, type Place } from './hints.ts';
import { known, verdictText } from './status-view.ts';
import { count, plural, printable, printNote, styled, table, wrapped } from './terminal.ts';

/** How a run ended: the object that `millrace up --json` prints. Counts are of this run, lag is what is left. */
export interface RunReport extends FeedCounts, Omit<StackTotals, 'consumers' | 'parked' | 'repeated'> {
  /** Events that were sent twice, and applied once: absent where there is none. */
  readonly repeated?: number;
  /** Records that wait behind a dead letter of their key: absent where there is none. */
  readonly parked?: number;
  /** Null where it is unknown. */
  readonly lag: number | null;
  readonly elapsedMs: number;
  /** Records applied a second, over the whole run. */
  readonly recordsPerSecond: number;
  /** `--seed` repeats whatever was random in the run. */
  readonly seed: number;
  /** The first few lines that were not published. */
  readonly complaints: readonly Complaint[];
}

export function runReport(
  feed: FeedCounts,
  { consumers: _, parked, repeated, ...totals }: StackTotals,
  lags: readonly ConsumerStatus[],
  run: Pick<RunReport, 'elapsedMs' | 'seed' | 'complaints'>,
): RunReport {
  return {
    ...feed,
    ...totals,
    ...(repeated > 0 && { repeated }),
    ...(parked > 0 && { parked }),
    lag: totalLag(lags),
    recordsPerSecond: run.elapsedMs > 0 ? Math.round((totals.applied * 1_000) / run.elapsedMs) : 0,
    ...run,
  };
}

/** What the report says besides its numbers. */
export interface ReportContext {
  readonly place: Place;
  /** Records that earlier runs had published and not consumed. */
  readonly lagAtStart: number | null;
  readonly lags: readonly ConsumerStatus[];
  readonly totals: StackTotals;
  readonly poisonShare: number;
  readonly ignoredFor: ReadonlyMap<string, number>;
  /** A query of the app's demo. */
  readonly query: string | undefined;
}

/** The report for a person, with what to look at next. */
export function reportLines(report: RunReport, context: ReportContext): readonly string[] {
  const {
    published,
    applied,
    duplicates,
    repeated = 0,
    parked = 0,
    deadLettered,
    lag,
    skipped,
    retries,
  } = report;
  const { place, lagAtStart, lags, totals } = context;
  const paused = lags.filter((each) => each.isPaused && each.lag !== 0);
  const lines: string[] = [...endLines(report, paused)];
  const row = (name: string, value: number | null, note = '') => {
    const text = `  ${name.padEnd(14)}${known(value).padStart(12)}`;
    const [first = '', ...rest] = wrapped(note, 80 - 31);
    lines.push(note ? `${text}   ${styled('dim', first)}` : text);
    for (const line of rest) lines.push(`${' '.repeat(31)}${styled('dim', line)}`);
  };
  const earlier = lagAtStart ? `earlier runs had left ${count(lagAtStart)}` : '';
  const rate = `${count(report.recordsPerSecond)} records/s`;
  row('published', published, notPublished(report, context.poisonShare, context.ignoredFor));
  row('applied', applied, [rate, earlier].filter(Boolean).join('; '));
  if (duplicates > 0) row('duplicates', duplicates, 'delivered again, and not counted again');
  if (repeated > 0) row('repeated', repeated, 'sent again by their producer, and not counted again');
  if (retries > 0) row('retries', retries);
  row('dead letters', deadLettered);
  if (parked > 0)
    row('parked', parked, 'they wait behind a dead letter of their key, and are NOT in the tables yet');
  if (skipped > 0) row('skipped', skipped, 'NOT in the tables: docs/runbooks/records-passed-over.md');
  row('lag', lag);
  if (totals.consumers.length > 1) lines.push('', ...consumerLines(totals, lags));
  if (paused.length > 0) {
    lines.push('', `To let ${paused.length === 1 ? 'it' : 'them'} go on:`);
    for (const { consumer } of paused) lines.push(`  ${hint(['resume', consumer], place)}`);
  }
  if (deadLettered > 0) {
    lines.push('', 'To see why records became dead letters:', `  ${hint(['dlq', 'triage'], place)}`);
  }
  if (parked > 0) {
    lines.push('', 'To see which keys wait, and for what:', `  ${hint(['park', 'list'], place)}`);
  }
  if (published > 0 && context.query !== undefined) {
    lines.push('', 'To see the result:', `  ${hint(['sql', context.query], { ...sqlPlace(place) })}`);
  }
  return lines;
}

/** "millrace sql" looks into a folder, whatever Kafka the topics are in. */
function sqlPlace({ state }: Place): Place {
  return state === undefined ? {} : { state };
}

function endLines(
  { lag, elapsedMs, published, malformed, refused }: RunReport,
  paused: readonly ConsumerStatus[],
): readonly string[] {
  const seconds = `${(elapsedMs / 1_000).toFixed(1)} s`;
  if (published === 0 && malformed + refused > 0) {
    const why =
      malformed > 0
        ? `none of ${plural(malformed + refused, 'line')} is in a format that Millrace knows`
        : `all ${plural(refused, 'value')} break the contract`;
    return ending('yellow', 'Nothing was published', `: ${why}.`);
  }
  if (lag === 0) return ending('green', 'Done', `: everything published was consumed (${seconds}).`);
  const left = lag === null ? 'an unknown number of records' : plural(lag, 'record');
  const isAllPaused = lag === paused.reduce((sum, each) => sum + (each.lag ?? 0), 0);
  const why = paused.map(
    (each) =>
      ` ${printable(each.consumer)} is paused with ${known(each.lag)} unread, and reads nothing until it is resumed.`,
  );
  const next = isAllPaused ? '.' : `; the next run goes on${paused.length > 0 ? ' with the others' : ''}.`;
  return ending('yellow', 'Stopped', ` after ${seconds} with ${left} left to consume${next}${why.join('')}`);
}

function ending(style: 'yellow' | 'green', word: string, text: string): readonly string[] {
  const [first = '', ...rest] = wrapped(`${word}${text}`, 80);
  return [styled(style, word) + first.slice(word.length), ...rest];
}

function consumerLines(totals: StackTotals, lags: readonly ConsumerStatus[]): readonly string[] {
  const right = { align: 'right' as const };
  const columns = [
    { title: 'consumer' },
    { title: 'applied', ...right },
    { title: 'dead letters', ...right },
    { title: 'lag', ...right },
    { title: '' },
  ];
  const rows = totals.consumers.map(({ consumer, applied, deadLettered }) => {
    const status = lags.find((each) => each.consumer === consumer);
    return [
      consumer,
      count(applied),
      count(deadLettered),
      known(status?.lag ?? null),
      status ? verdictText(status) : '',
    ];
  });
  return table(columns, rows)
    .split('\n')
    .map((line) => `  ${line}`);
}

/** Says on stderr why the first few lines were not published. */
export function printComplaints({
  complaints,
  refused,
  malformed,
}: Pick<RunReport, 'complaints' | 'refused' | 'malformed'>) {
  for (const { kind, line, input, reason } of complaints) {
    const where = input === undefined ? `line ${line}` : `${printable(input)}, line ${line},`;
    printNote(`${where} is ${kind}: ${printable(reason)}`);
  }
  const more = refused + malformed - complaints.length;
  if (more > 0) printNote(`and ${plural(more, 'more line')}.`);
}

/** What became of the values and lines that are not among the published, in words; empty where there is none. */
export function notPublished(
  { ignored, malformed, refused, poisoned }: FeedCounts,
  poisonShare: number,
  ignoredFor: ReadonlyMap<string, number>,
): string {
  const why = [...ignoredFor]
    .sort(([, a], [, b]) => b - a)
    .map(([reason, times]) => `${count(times)} ${reason}`);
  const reasons = why.length === 0 ? '' : ` (${why.join(', ')})`;
  const parts = [
    ignored > 0 ? `${count(ignored)} ignored${reasons}` : '',
    malformed > 0 ? `${count(malformed)} malformed` : '',
    refused > 0 ? `${count(refused)} refused by the contract` : '',
    poisoned > 0 ? `plus ${count(poisoned)} deliberately bad records (--poison ${poisonShare})` : '',
  ];
  return parts.filter(Boolean).join(', ');
}

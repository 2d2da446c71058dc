import type { ConsumerLag } from '../local/lag.ts';
import type { Complaint, FeedCounts } from '../local/publishing/feed.ts';
import type { StackTotals } from '../local/stack.ts';
import { stateFlag } from './options.ts';
import { count, plural, printable, printLine, printNote, styled } from './terminal.ts';

/** How a run ended: the object that `millrace up --json` prints. Counts are of this run, lag is what is left. */
export interface RunReport extends FeedCounts, StackTotals {
  readonly lag: number;
  readonly elapsedMs: number;
  /** Records applied a second, over the whole run. */
  readonly recordsPerSecond: number;
  /** Whatever was random in the run comes again with `--seed`. */
  readonly seed: number;
  /** The first few lines that were not published. */
  readonly complaints: readonly Complaint[];
}

export function runReport(
  feed: FeedCounts,
  totals: StackTotals,
  lags: readonly ConsumerLag[],
  run: Pick<RunReport, 'elapsedMs' | 'seed' | 'complaints'>,
): RunReport {
  return {
    ...feed,
    ...totals,
    lag: totalLag(lags),
    recordsPerSecond: run.elapsedMs > 0 ? Math.round((totals.applied * 1_000) / run.elapsedMs) : 0,
    ...run,
  };
}

export function totalLag(lags: readonly ConsumerLag[]): number {
  return lags.reduce((sum, { lag }) => sum + lag, 0);
}

/** Prints the report for a person, with what to look at next. */
export function printReport(
  report: RunReport,
  state: string,
  { query, consumer }: { readonly query: string | undefined; readonly consumer: string | undefined },
): void {
  const { published, applied, deadLettered, lag, skipped, elapsedMs } = report;
  const at = stateFlag(state);
  const of = consumer === undefined ? '' : ` --consumer ${consumer}`;
  const row = (name: string, value: number, note = '') => {
    const text = `  ${name.padEnd(14)}${count(value).padStart(12)}`;
    printLine(note ? `${text}   ${styled('dim', note)}` : text);
  };
  printLine(
    lag === 0
      ? `${styled('green', 'Drained')} after ${(elapsedMs / 1_000).toFixed(1)} s.`
      : `${styled('yellow', 'Stopped')} after ${(elapsedMs / 1_000).toFixed(1)} s, before everything was consumed: the next run goes on from here.`,
  );
  row('published', published, notPublished(report));
  row('applied', applied, `${count(report.recordsPerSecond)} records/s`);
  row('duplicates', report.duplicates, report.duplicates > 0 ? 'delivered again, and not counted again' : '');
  row('dead letters', deadLettered, deadLettered > 0 ? `npx millrace dlq triage${of}${at}` : '');
  if (skipped > 0) row('skipped', skipped, 'not in the tables: the event source did not deliver them');
  row('lag', lag);
  if (published === 0 || query === undefined) return;
  printLine();
  printLine('Look at the result:');
  printLine(`  npx millrace sql${at} "${query}"`);
}

/** Says of each of the first few lines that were not published why, on stderr. */
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
export function notPublished({ ignored, malformed, refused, poisoned }: FeedCounts): string {
  const parts = [
    ignored > 0 ? `${count(ignored)} ignored` : '',
    malformed > 0 ? `${count(malformed)} malformed` : '',
    refused > 0 ? `${count(refused)} refused by the contract` : '',
    poisoned > 0 ? `${count(poisoned)} bad records of --poison added` : '',
  ];
  return parts.filter(Boolean).join(', ');
}

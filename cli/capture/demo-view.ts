/** What `millrace capture demo` shows. */
import type { DemoState } from '../../local/capture-demo/capture-demo.ts';
import { count, duration, styled, wrapped } from '../terminal.ts';

const EVENTS = 5;
const LABEL = 12;

/** A picture of at most 24 lines of 80 columns. */
export function demoView(state: DemoState, elapsedMs: number, columns: number): string {
  const { phase, changes, inTopics, duplicatesInTopics, archived, toArchive, martRows, runs, events } = state;
  const perSecond = Math.round(changes / Math.max(1, elapsedMs / 1_000));
  const row = (label: string, text: string) => `  ${styled('dim', label.padEnd(LABEL))}${text}`;
  return [
    `${styled('bold', 'From PostgreSQL to DuckDB')}  ${phase}, after ${duration(elapsedMs)}`,
    '',
    row('PostgreSQL', `${count(changes)} rows changed, ${count(perSecond)} a second`),
    row('Kafka', `${count(inTopics)} records, ${count(duplicatesInTopics)} of them for the second time`),
    row('Archive', `${count(archived)} records in S3, ${count(toArchive)} on their way`),
    row('DuckDB', `${count(martRows)} rows, built ${count(runs)} times`),
    row('Freshness', freshness(state)),
    ...equality(state).map((text, line) => row(line === 0 ? 'Equal' : '', text)),
    '',
    ...events.slice(-EVENTS).flatMap((event) => wrapped(`  ${event}`, columns, 2)),
    '',
    styled('dim', 'Ctrl-C ends all of it.'),
  ].join('\n');
}

/** The same in one line. */
export function demoLine(state: DemoState): string {
  const { phase, changes, inTopics, duplicatesInTopics, archived, martRows, events } = state;
  const newest = events.at(-1);
  return [
    `${phase}: changed ${count(changes)}`,
    `in Kafka ${count(inTopics)} (${count(duplicatesInTopics)} again)`,
    `archived ${count(archived)}`,
    `in DuckDB ${count(martRows)}`,
    freshness(state),
    `${equality(state).join('; ')}${newest === undefined ? '' : `; ${newest}`}`,
  ].join(', ');
}

function freshness({ freshnessMs, freshnessP95Ms }: DemoState): string {
  if (freshnessMs === undefined) return 'not built yet';
  return `${(freshnessMs / 1_000).toFixed(0)} s old, p95 ${(freshnessP95Ms / 1_000).toFixed(0)} s`;
}

/** The verdict, the first row that differs, and what is left out: a line each. */
function equality({ compared }: DemoState): readonly string[] {
  if (!compared) return ['not compared yet'];
  const { missing, extra, different, unsettled, examples } = compared;
  const isEqual = missing + extra + different === 0;
  return [
    isEqual
      ? `${styled('green', 'yes')}, row by row`
      : `${styled('red', 'no')}: ${missing} missing, ${extra} too many, ${different} different`,
    ...examples.slice(0, 1),
    ...(unsettled === 0 ? [] : [`${count(unsettled)} rows changed less than a minute ago`]),
  ];
}

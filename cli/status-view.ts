/** Verdicts for a person: a row a consumer, and the evidence below it. */
import type { ConsumerStatus, Drain, LagVerdict } from '../runtime/lag/status.ts';
import { duration } from '../runtime/lag/words.ts';
import { count, printable, styled, table, wrapped } from './terminal.ts';

const STYLES: Readonly<Record<LagVerdict, 'red' | 'yellow' | 'green' | 'magenta'>> = {
  LOST: 'red',
  AT_RISK: 'red',
  BLOCKED: 'red',
  STALLED: 'red',
  RISING: 'yellow',
  BEHIND: 'yellow',
  SILENT: 'yellow',
  RECOVERING: 'green',
  UNKNOWN: 'magenta',
  OK: 'green',
  IDLE: 'green',
};

const CODES: Readonly<Record<LagVerdict, 0 | 1 | 2 | 3>> = {
  LOST: 2,
  AT_RISK: 2,
  BLOCKED: 2,
  STALLED: 2,
  RISING: 1,
  BEHIND: 1,
  SILENT: 1,
  RECOVERING: 0,
  UNKNOWN: 3,
  OK: 0,
  IDLE: 0,
};

/** Which code decides: a consumer that nobody can look at may be in any state, so only what is known to be worse beats it. */
const WORST_FIRST = [2, 3, 1, 0] as const;

/** What `status` and `lag` end with: that of the worst consumer. */
export function exitCodeOf(statuses: readonly ConsumerStatus[]): number {
  const codes = new Set<number>(
    statuses.map(({ verdict, lag, incident }) => ((lag ?? 0) >= incident ? 2 : CODES[verdict])),
  );
  return WORST_FIRST.find((code) => codes.has(code)) ?? 0;
}

/** `STALLED` in its colour. */
export function verdictText({ verdict }: Pick<ConsumerStatus, 'verdict'>): string {
  return styled(STYLES[verdict], verdict);
}

/** A number, or that it is unknown. */
export function known(value: number | null): string {
  return value === null ? '?' : count(value);
}

const right = { align: 'right' as const };
const COLUMNS = [
  { title: 'verdict' },
  { title: 'consumer' },
  { title: 'lag', ...right },
  { title: 'age', ...right },
  { title: 'drain', ...right },
  { title: 'headroom', ...right },
  { title: 'letters', ...right },
];

/** Only where a consumer has parked records. */
const PARKED = { title: 'parked', ...right };

/** A row a consumer, and below one that is not well why. No line is wider than `columns`. */
export function statusLines(statuses: readonly ConsumerStatus[], columns: number): readonly string[] {
  if (statuses.length === 0) return ['The app has no consumer.'];
  const hasParked = statuses.some(({ parked }) => (parked?.records ?? 0) > 0);
  const shown = hasParked ? [...COLUMNS, PARKED] : COLUMNS;
  const cells = statuses.map((status) => [
    verdictText(status),
    printable(status.consumer),
    known(status.lag),
    status.ageMs === null ? '?' : duration(status.ageMs),
    drainText(status.drain),
    headroomText(status),
    known(status.deadLetters),
    ...(hasParked ? [known(status.parked?.records ?? null)] : []),
  ]);
  // Names of up to 57 characters: one that is too long takes the room of its own line.
  const rows = table(shown, cells).split('\n');
  const isWide =
    Math.max(...statuses.map(({ consumer }) => consumer.length)) > columns - (hasParked ? 66 : 58);
  const [head = '', ...lines] = isWide
    ? table(
        shown.filter(({ title }) => title !== 'consumer'),
        cells.map(([verdict = '', , ...rest]) => [verdict, ...rest]),
      ).split('\n')
    : rows;
  return [
    head,
    ...statuses.flatMap((status, index) => [
      ...(isWide ? [styled('bold', printable(status.consumer))] : []),
      lines[index]!,
      ...whyLines(status, columns),
    ]),
  ];
}

function whyLines(status: ConsumerStatus, columns: number): readonly string[] {
  const { verdict, isPaused } = status;
  const isWell = exitCodeOf([status]) === 0 && verdict !== 'RECOVERING';
  const shown = isWell && !isPaused ? [] : mainEvidence(status);
  return shown.flatMap((fact) =>
    wrapped(printable(`  ${fact}`), columns, 2).map((line) => styled('dim', line)),
  );
}

/** The first sentence, and of a paused consumer the one that says by whom. */
export function mainEvidence({
  evidence,
  isPaused,
}: Pick<ConsumerStatus, 'evidence' | 'isPaused'>): readonly string[] {
  const pause = isPaused ? evidence.find((fact) => fact.includes('paused by ')) : undefined;
  return [...new Set([...evidence.slice(0, 1), ...(pause === undefined ? [] : [pause])])];
}

export function drainText(drain: Drain): string {
  if (drain === null) return '?';
  if (drain === 'never') return 'never';
  const [low, high] = [duration(drain.lowMs), duration(drain.highMs)];
  return low === high ? low : `${low} to ${high}`;
}

/** Nothing unread has no deadline, nor has what is kept for good. */
export function headroomText({
  headroomMs,
  lag,
  retentionMs,
}: Pick<ConsumerStatus, 'headroomMs' | 'lag' | 'retentionMs'>): string {
  if (headroomMs !== null) return duration(headroomMs);
  return lag === 0 || retentionMs === 'forever' ? '-' : '?';
}

/** What `status --json` prints of a consumer: scripts rely on it. */
export function statusJson({
  consumer,
  topic,
  verdict,
  lag,
  ageMs,
  drainMs,
  headroomMs,
  deadLetters,
  parked,
  heldBy,
  evidence,
}: ConsumerStatus) {
  return {
    consumer,
    topic,
    verdict,
    lag,
    ageMs,
    drainMs,
    headroomMs,
    deadLetters,
    // An "up" of a version before parking does not say.
    parked: parked?.records ?? null,
    heldBy,
    evidence,
  };
}

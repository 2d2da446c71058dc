import { type ConsumerStatus, LAG_VERDICTS, type PartitionStatus } from '../runtime/lag/status.ts';
import { duration, rate } from '../runtime/lag/words.ts';
import { hint, type Place } from './hints.ts';
import { drainText, headroomText, known, mainEvidence, verdictText } from './status-view.ts';
import { count, printable, styled, table, wrapped, wrappedFacts } from './terminal.ts';

/** The consumers in the order that they come in, each with its numbers and the partitions that are behind, or all of them. */
export function lagLines(
  statuses: readonly ConsumerStatus[],
  isEachPartitionShown: boolean,
  columns: number,
): readonly string[] {
  return statuses.flatMap((status, index) => [
    ...(index === 0 ? [] : ['']),
    ...headLines(status, columns),
    ...partitionLines(status, isEachPartitionShown).map((line) => `  ${line}`),
  ]);
}

function headLines(status: ConsumerStatus, columns: number): readonly string[] {
  const { consumer, group, lag, incident, warning } = status;
  const over =
    lag === null || lag < warning
      ? ''
      : lag >= incident
        ? ` (incident from ${count(incident)})`
        : ` (warning from ${count(warning)})`;
  const head = `${styled('bold', printable(consumer))}  ${verdictText(status)}  ${known(lag)} behind${over}`;
  const as = group === consumer ? [] : wrapped(`  group ${printable(group)}`, columns, 2);
  const why = mainEvidence(status).flatMap((fact) => wrapped(printable(`  ${fact}`), columns, 2));
  return [head, ...as, ...why];
}

/** Of the partitions in an explanation. */
const MOST_PARTITIONS = 5;

const right = { align: 'right' as const };
const COLUMNS = [
  { title: 'partition', ...right },
  { title: 'committed', ...right },
  { title: 'end', ...right },
  { title: 'lag', ...right },
  { title: 'age', ...right },
  { title: 'verdict' },
];

/** Or it is unknown whether. */
function isBehind({ lag }: PartitionStatus): boolean {
  return lag === null || lag > 0;
}

function partitionLines(
  { partitions }: Pick<ConsumerStatus, 'partitions'>,
  isEachShown: boolean,
): readonly string[] {
  const shown = partitions.filter((each) => isEachShown || isBehind(each));
  return shown.length === 0 ? [] : table(COLUMNS, shown.map(partitionRow)).split('\n');
}

function partitionRow(each: PartitionStatus): readonly string[] {
  const { partition, committed, end, lag, ageMs } = each;
  return [
    String(partition),
    committed === null ? '-' : count(committed),
    known(end),
    known(lag),
    ageMs === null ? '?' : duration(ageMs),
    verdictText(each),
  ];
}

/** Some of those that are behind, so that the verdict above them and the next command below them stay on a screen. */
function worstPartitionLines(status: ConsumerStatus, place: Place, columns: number): readonly string[] {
  const behind = status.partitions
    .filter(isBehind)
    .toSorted(
      (a, b) =>
        LAG_VERDICTS.indexOf(a.verdict) - LAG_VERDICTS.indexOf(b.verdict) || (b.lag ?? 0) - (a.lag ?? 0),
    );
  if (behind.length === 0) return [];
  const left = behind.length - MOST_PARTITIONS;
  const words = ['lag', status.consumer, '--partitions'];
  return [
    ...partitionLines({ partitions: behind.slice(0, MOST_PARTITIONS) }, true).map((line) => `  ${line}`),
    ...(left > 0
      ? [
          ...wrapped(`  and ${count(left)} more that ${left === 1 ? 'is' : 'are'} less behind:`, columns, 2),
          `  ${hint(words, place)}`,
        ]
      : []),
    '',
  ];
}

/** The samples behind a verdict, and the command that comes next. */
export function explainLines(status: ConsumerStatus, place: Place, columns: number): readonly string[] {
  const { consumer, group, topic, evidence, lastProgressAt, lost, deadLetters } = status;
  const perSecond = (value: number | null) => (value === null ? '?' : rate(value));
  const facts = [
    `lag ${known(status.lag)}`,
    `age ${status.ageMs === null ? '?' : duration(status.ageMs)}`,
    `in ${perSecond(status.inPerSecond)}`,
    `out ${perSecond(status.outPerSecond)}`,
    `drain ${drainText(status.drain)}`,
    `headroom ${headroomText(status)}`,
    `lost ${known(lost)}`,
    `dead letters ${known(deadLetters)}`,
    ...(status.parked ? [`parked ${known(status.parked.records)}`] : []),
    `last commit seen ${lastProgressAt === null ? '?' : new Date(lastProgressAt).toISOString()}`,
  ];
  return [
    `${styled('bold', printable(consumer))}  ${verdictText(status)}`,
    ...wrapped(printable(`  topic ${topic}, group ${group}`), columns, 2),
    '',
    ...evidence.flatMap((fact) => wrapped(printable(`  ${fact}`), columns, 4)),
    '',
    ...wrappedFacts(facts, columns - 2).map((line) => `  ${line}`),
    '',
    ...worstPartitionLines(status, place, columns),
    ...nextLines(status, place, columns),
  ];
}

/** What to do about it, as a complete command; below it why. */
function nextLines(status: ConsumerStatus, place: Place, columns: number): readonly string[] {
  const { why, words } = nextStep(status);
  return [...wrapped(`Next: ${why}`, columns, 2), `  ${hint(words, place)}`];
}

interface Step {
  readonly why: string;
  readonly words: readonly string[];
}

function nextStep(status: ConsumerStatus): Step {
  const { consumer, verdict, isPaused, heldBy, evidence, deadLetters } = status;
  const watch = ['status', '--watch'];
  if (isPaused) return { why: 'let it go on.', words: ['resume', consumer] };
  switch (verdict) {
    case 'LOST':
      return {
        why: 'which offsets the ledger lacks (docs/runbooks/lost-data.md).',
        words: ['audit', consumer],
      };
    case 'AT_RISK':
      return {
        why: 'find what holds it; a longer retention of the topic gives it time (docs/runbooks/lag-incident.md).',
        words: ['doctor'],
      };
    case 'BLOCKED':
      if (heldBy === 'CONSUMER_BROKEN')
        return {
          why: 'deploy code that works, or the version before (docs/runbooks/consumer-broken.md). Nothing is lost meanwhile.',
          words: watch,
        };
      return {
        why: `what that record needs is missing; it goes on by itself once ${heldBy ?? 'the error'} is over (docs/errors.md). Partitions of the same batch may wait with it. Nothing is lost meanwhile.`,
        words: watch,
      };
    case 'STALLED':
      if (heldBy !== null)
        return {
          why: `it goes on by itself once ${heldBy} is over (docs/errors.md). Nothing is lost meanwhile.`,
          words: watch,
        };
      if (evidence.some((fact) => fact.includes('nobody runs it')))
        return { why: 'run it, without new traffic.', words: ['up', '--no-publish'] };
      return { why: 'check what it depends on (docs/runbooks/stalled.md).', words: ['doctor'] };
    case 'UNKNOWN':
      return { why: 'check what it depends on.', words: ['doctor'] };
    case 'RISING':
    case 'BEHIND':
    case 'RECOVERING':
      return { why: 'watch whether it catches up (docs/runbooks/lag-rising.md).', words: watch };
    default:
      if ((status.parked?.records ?? 0) > 0)
        return {
          why: 'see which keys wait behind a dead letter.',
          words: ['park', 'list', '--consumer', consumer],
        };
      if ((deadLetters ?? 0) > 0)
        return {
          why: 'see why records became dead letters.',
          words: ['dlq', 'triage', '--consumer', consumer],
        };
      return { why: 'nothing to do. To go on watching:', words: watch };
  }
}

import type { OffsetRange } from '../runtime/delivery/offset-ranges.ts';
import { CATEGORIES, type Category, type ConsumerAudit } from '../runtime/replay/audit.ts';
import { hint, type Place } from './hints.ts';
import { count, plural, styled, table, wrapped } from './terminal.ts';

const COLUMNS = 80;
/** A partition in trouble may have thousands of ranges; --json has them all. */
const MOST_RANGES = 10;

const TITLES: Readonly<Record<Category, string>> = {
  applied: 'applied',
  deadLettered: 'dead letters',
  parked: 'parked',
  discarded: 'discarded',
  skipped: 'skipped',
  deleted: 'deleted',
  unaccounted: 'unaccounted',
};

/** What is worth a line of its own: whatever is not as it should be. */
const LISTED = ['unaccounted', 'skipped', 'deleted'] as const satisfies readonly Category[];

/** The audit as a table, the ranges of what is not in the tables, and what to do about them. */
export function auditLines(
  audit: ConsumerAudit,
  place: Place,
  /** How many of the unaccounted offsets the log never had. */
  neverThere = 0,
): readonly string[] {
  const { consumer, topic, partitions, unaccounted } = audit;
  const total = (of: Category) => partitions.reduce((sum, each) => sum + each[of], 0);
  const all = CATEGORIES.reduce((sum, each) => sum + total(each), 0);
  const verdict =
    unaccounted === 0
      ? styled('green', all === 0 ? 'nothing to account for yet' : 'every offset is accounted for')
      : styled('red', `${plural(unaccounted, 'offset')} UNACCOUNTED`);
  const shown = CATEGORIES.filter((each) => each === 'applied' || each === 'unaccounted' || total(each) > 0);
  const rows = partitions.map((each) => [
    String(each.partition),
    ...shown.map((name) => (each[name] === 0 ? '-' : count(each[name]))),
  ]);
  const columns = ['part.', ...shown.map((name) => TITLES[name])].map((title) => ({
    title,
    align: 'right' as const,
  }));
  const sum = ['all', ...shown.map((name) => count(total(name)))];
  return [
    `${styled('bold', consumer)}: ${verdict}`,
    `${plural(all, 'offset')} of ${topic}`,
    ...table(columns, partitions.length > 1 ? [...rows, sum] : rows).split('\n'),
    ...LISTED.flatMap((name) => rangeLines(audit, name)),
    ...nextLines(audit, neverThere, place, total),
  ];
}

function rangeLines({ partitions }: ConsumerAudit, name: Category): readonly string[] {
  const ranges = partitions.flatMap((each) =>
    each.ranges[name].map((range) => `  ${name}  partition ${each.partition}  ${rangeText(range)}`),
  );
  const left = ranges.length - MOST_RANGES;
  const more = left > 0 ? [`  ${name}  ${plural(left, 'range')} more; --json has them all`] : [];
  return [...ranges.slice(0, MOST_RANGES), ...more].map((line) =>
    styled(name === 'unaccounted' ? 'red' : 'yellow', line),
  );
}

/** `offset 7`, or `offsets 7 to 12 (6)`. */
export function rangeText({ from, to }: OffsetRange): string {
  return to === from + 1 ? `offset ${from}` : `offsets ${from} to ${to - 1} (${count(to - from)})`;
}

function nextLines(
  { consumer, unaccounted }: ConsumerAudit,
  neverThere: number,
  place: Place,
  total: (of: Category) => number,
): readonly string[] {
  const next = (text: string, words: readonly string[]) => [
    ...wrapped(text, COLUMNS),
    `  ${hint(words, place)}`,
  ];
  return [
    ...(neverThere > 0
      ? wrapped(
          `The log never had ${neverThere === unaccounted ? 'the unaccounted offsets' : `${count(neverThere)} of the unaccounted offsets`}: the ledger is ahead of it, and no replay can bring them (docs/runbooks/lost-data.md).`,
          COLUMNS,
        )
      : []),
    ...(unaccounted - neverThere + total('skipped') > 0
      ? next('What the log or the archive still has of these can be applied:', ['replay', consumer, '--gaps'])
      : []),
    ...(total('deadLettered') > 0
      ? next('Why there are dead letters:', ['dlq', 'triage', '--consumer', consumer])
      : []),
  ];
}

import { timestampText } from '../runtime/record.ts';
import { type FoundOutcome, toldOutcome } from '../runtime/replay/audit.ts';
import type { FoundRecord, SearchResult } from '../runtime/replay/find.ts';
import { hint, type Place } from './hints.ts';
import { plural, printable, styled, textColumnsOf, wrapped } from './terminal.ts';

const COLUMNS = 80;

const STYLES = {
  applied: 'green',
  'dead-lettered': 'red',
  parked: 'yellow',
  discarded: 'dim',
  skipped: 'red',
  before: 'dim',
  pending: 'yellow',
} as const satisfies Readonly<Record<FoundOutcome, string>>;

interface View extends Place {
  readonly showValues?: true;
  readonly key?: string;
  readonly everyPartition?: true;
  readonly since?: number;
  /** What commands call a consumer whose ledger has another name: that of its live generation. @default by that name */
  readonly declaredNames?: ReadonlyMap<string, string>;
}

/** Each record with its position and time, and what became of it; below them, the commands that come next. */
export function foundLines(
  found: readonly FoundRecord[],
  outcomes: readonly Readonly<Record<string, FoundOutcome>>[],
  view: View,
): readonly string[] {
  const declared = (consumer: string) => view.declaredNames?.get(consumer) ?? consumer;
  const width = Math.max(
    0,
    ...outcomes.flatMap((each) => Object.keys(each).map((name) => declared(name).length)),
  );
  const lines = found.flatMap(({ raw, value }, at) => [
    `${styled('bold', `${raw.topic}/${raw.partition}/${raw.offset}`)}  ${timestampText(raw.timestamp)}`,
    ...Object.entries(outcomes[at]!).map(
      ([consumer, outcome]) =>
        `  ${declared(consumer).padEnd(width)}  ${styled(STYLES[outcome], toldOutcome(outcome))}${outcome === 'dead-lettered' ? `  ${letterId(consumer, raw)}` : ''}${outcome === 'before' ? ': it began later' : ''}`,
    ),
    ...(view.showValues ? valueLines(value) : []),
  ]);
  if (outcomes.every((each) => Object.keys(each).length === 0))
    lines.push('No consumer of the app reads this topic.');
  if (outcomes.some((each) => Object.values(each).includes('before'))) {
    lines.push(
      ...wrapped(
        'What is older than the consumer, or than its epoch, it never had to apply, and "replay --gaps" does not bring it. An earlier epoch may have applied it.',
        COLUMNS,
      ),
    );
  }
  if (view.key !== undefined && !view.everyPartition) {
    lines.push(
      ...wrapped(
        'Only the partition of the key was searched. Records from before the topic got more partitions may be elsewhere: --every-partition looks there, too.',
        COLUMNS,
      ),
    );
  }
  return [...lines, ...nextLines(found, outcomes, view)];
}

/** Of the letter that a record became. */
export function letterId(consumer: string, { topic, partition, offset }: FoundRecord['raw']): string {
  return `${consumer}/${topic}/${partition}/${offset}`;
}

function valueLines(value: unknown): readonly string[] {
  const json = JSON.stringify(value, (_, each) => (typeof each === 'bigint' ? String(each) : each));
  const text = value === undefined ? '(cannot be decoded)' : printable(json);
  return wrapped(`  ${text}`, textColumnsOf(), 4);
}

/** One command a consumer and outcome, for the first of them. */
function nextLines(
  found: readonly FoundRecord[],
  outcomes: readonly Readonly<Record<string, FoundOutcome>>[],
  { declaredNames, ...place }: View,
): readonly string[] {
  const words = new Map<string, readonly string[]>();
  for (const [at, each] of outcomes.entries()) {
    for (const [consumer, outcome] of Object.entries(each)) {
      const key = `${consumer} ${outcome}`;
      if (words.has(key)) continue;
      if (outcome === 'dead-lettered') words.set(key, ['dlq', 'show', letterId(consumer, found[at]!.raw)]);
      if (outcome === 'skipped')
        words.set(key, ['replay', declaredNames?.get(consumer) ?? consumer, '--gaps']);
      if (outcome === 'pending') words.set(key, ['lag']);
    }
  }
  if (words.size === 0) return [];
  return ['Next:', ...Array.from(words.values(), (each) => `  ${hint(each, place)}`)];
}

/** What was looked at in vain: a search that looked at nothing says nothing about a record. */
export function nothingFoundLines(topic: string, result: SearchResult, view: View): readonly string[] {
  const { looked, partitions, oldest } = result;
  const which = partitions.length === 1 ? ` in partition ${partitions[0]}` : '';
  if (looked === 0) {
    const since = view.since === undefined ? '' : ` from ${timestampText(view.since)} on`;
    return wrapped(`Nothing found: ${topic} has no record${which}${since}.`, COLUMNS);
  }
  const from = oldest === null ? '' : `, from ${timestampText(oldest)} on`;
  const lines = [
    ...wrapped(`Nothing found among ${plural(looked, 'record')} of ${topic}${which}${from}.`, COLUMNS),
  ];
  if (view.key !== undefined && !view.everyPartition) {
    lines.push(
      ...wrapped(
        "Clients other than Kafka's own may have put the key elsewhere: --every-partition looks there, too.",
        COLUMNS,
      ),
    );
  }
  return lines;
}

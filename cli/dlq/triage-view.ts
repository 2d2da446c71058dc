/** The groups of one consumer's dead letters, for a person. */
import type { LetterFilter, LetterGroup } from '../../runtime/dead-letters/triage.ts';
import { ERRORS, type ErrorCode } from '../../runtime/errors.ts';
import { hint, type Place } from '../hints.ts';
import { count, duration, plural, printable, styled, widthOf, wrapped, wrappedFacts } from '../terminal.ts';
import { whereText } from './options.ts';

/** A group with one of its letters; the message and the values of its value only where they were asked for. */
export interface ShownGroup extends Omit<LetterGroup, 'sample'> {
  readonly sample: {
    readonly id: string;
    readonly name: string;
    readonly message?: string;
    readonly value: string;
  };
}

export interface TriageView {
  readonly consumer: string;
  /** Whether the app still declares the consumer. */
  readonly isDeclared: boolean;
  /** What the groups were chosen by. */
  readonly where: LetterFilter;
  readonly place: Place;
  readonly nowMs: number;
  /** How long the store keeps a letter; null for ever. */
  readonly retentionMs: number | null;
  readonly columns: number;
  /** For values and error texts. */
  readonly textColumns: number;
  readonly showsValues: boolean;
}

const BAR_WIDTH = 18;
const INDENT = 8;
/** The group's number, how many letters, and their share. */
const LEAD_WIDTH = 16;

/** Whether the bytes themselves are at fault, so that no change of code or schema lets the record through. */
export function isBeyondRedrive(errorCode: string): boolean {
  return /^(?:FRAME_TRUNCATED|FRAME_COMPRESSION_\w+|AVRO_TRUNCATED|AVRO_TRAILING_BYTES|RECORD_MALFORMED)$/.test(
    errorCode,
  );
}

const OVERTAKEN =
  'Newer records of their keys were applied since, so a redrive refuses them. Permit it, or discard them:';

const HELPS_AFTER: Readonly<Record<string, string>> = {
  HANDLER_FAILED: 'a handler without the bug runs',
  VALUE_MISSING: "you set cleanup: 'compact' in the contract",
  FRAME_UNKNOWN: "you correct the contract's framing",
  FRAME_BODY_TOO_LARGE: 'you raise maxBodyBytes in the contract',
  AVRO_INVALID: 'a schema or code change that decodes them',
  PARK_LIMIT: 'those that "millrace park list" shows',
};

/** What has to change before a redrive of such letters can succeed; nothing where the code does not tell. */
export function beforeRedrive(errorCode: string): readonly string[] {
  const change = Object.hasOwn(HELPS_AFTER, errorCode) ? HELPS_AFTER[errorCode] : undefined;
  return change === undefined ? [] : [`A redrive helps only after ${change}.`];
}

export function triageLines(groups: readonly ShownGroup[], view: TriageView): readonly string[] {
  const layout = layoutOf(groups, view);
  return [
    ...headLines(groups, layout.total, view),
    ...groups.flatMap((group, index) => ['', ...groupLines(group, index, layout, groups, view)]),
  ];
}

function headLines(groups: readonly ShownGroup[], total: number, view: TriageView): readonly string[] {
  const { consumer, isDeclared, nowMs, retentionMs, columns } = view;
  const storedAt = Math.min(...groups.map(({ oldestStoredAt }) => oldestStoredAt));
  const facts = [
    `${plural(total, 'dead letter')} in ${plural(groups.length, 'group')}`,
    `oldest ${duration(nowMs - storedAt)}`,
    ...(retentionMs === null ? [] : [`first one expires in ${duration(storedAt + retentionMs - nowMs)}`]),
  ];
  const title = `${consumer}${isDeclared ? '' : ' (no longer declared)'}: `;
  const [first = '', ...rest] = wrapped(`${title}${facts.join(', ')}`, columns, 2);
  return [`${styled('bold', title)}${first.slice(title.length)}`, ...rest];
}

interface Layout {
  readonly total: number;
  readonly codeWidth: number;
  readonly hasBars: boolean;
}

function layoutOf(groups: readonly ShownGroup[], { columns }: TriageView): Layout {
  const total = groups.reduce((sum, group) => sum + group.count, 0);
  const codeWidth = Math.max(...groups.map(({ errorCode }) => errorCode.length));
  const widest = Math.max(...groups.map((group) => printable(whatOf(group)).length));
  const hasBars = LEAD_WIDTH + codeWidth + 2 + widest + 2 + BAR_WIDTH <= columns;
  return { total, codeWidth, hasBars };
}

function groupLines(
  group: ShownGroup,
  index: number,
  { total, codeWidth, hasBars }: Layout,
  groups: readonly ShownGroup[],
  view: TriageView,
): readonly string[] {
  const { columns } = view;
  const share = `${Math.round((group.count / total) * 100)}%`;
  const lead = `${String(index + 1).padStart(2)} ${count(group.count).padStart(6)} ${share.padStart(4)}  `;
  const code = printable(group.errorCode);
  const what = printable(whatOf(group));
  const fits = lead.length + codeWidth + 2 + what.length <= columns;
  const line = `${lead}${styled('yellow', fits ? code.padEnd(codeWidth) : code)}${fits ? `  ${what}` : ''}`;
  const bar = styled('cyan', '█'.repeat(Math.max(1, Math.round((group.count / total) * BAR_WIDTH))));
  return [
    hasBars ? `${line}${' '.repeat(columns - BAR_WIDTH - widthOf(line))}${bar}` : line,
    ...(fits ? [] : wrapped(what, columns - INDENT).map(indented)),
    ...wrappedFacts(factsOf(group, view).map(printable), columns - INDENT).map(indented),
    ...sampleLines(group, view),
    ...nextSteps(group, groups, view),
  ];
}

function whatOf({ errorName, errorCode, location, stage }: ShownGroup): string {
  if (stage !== 'handle' && stage !== 'write' && Object.hasOwn(ERRORS, errorCode)) {
    return ERRORS[errorCode as ErrorCode].summary.replace(/\.$/, '');
  }
  return location === null ? errorName : `${errorName} at ${location}`;
}

function factsOf(group: ShownGroup, { nowMs }: TriageView): readonly string[] {
  const { keys, keyCount, partitions, topic, schemaId, split, firstSeenAt, lastSeenAt } = group;
  return [
    keysText(keys, keyCount),
    partitions.length === 0
      ? ''
      : `${partitions.length === 1 ? 'partition' : 'partitions'} ${ranges(partitions)}`,
    overtakenText(group),
    'schema' in split && schemaId ? `schema ${schemaId}` : '',
    ...Object.entries(split)
      .filter(([name]) => name.startsWith('header:') || name === 'message')
      .map(([name, value]) => `${name} ${value}`),
    topic === '' ? '' : topic,
    span(firstSeenAt, lastSeenAt, nowMs),
  ];
}

function sampleLines({ sample }: ShownGroup, { showsValues, textColumns }: TriageView): readonly string[] {
  if (!showsValues) return [];
  const labelled = (label: string, text: string) =>
    wrapped(printable(text), textColumns - INDENT - 8).map((line, index) =>
      indented(`${styled('dim', (index === 0 ? label : '').padEnd(8))}${line}`),
    );
  return [
    ...labelled('error', `${sample.name}: ${sample.message ?? ''}`),
    ...labelled('value', sample.value),
  ];
}

/** The commands are not wrapped: they are there to be copied. */
function nextSteps(
  group: ShownGroup,
  groups: readonly ShownGroup[],
  { consumer, isDeclared, where: chosen, place, columns }: TriageView,
): readonly string[] {
  // A discard keeps such messages as they stand, and an import may not read them either.
  if (group.stage === 'unreadable') return wrapped(unreadableText(group), columns - INDENT).map(indented);
  const { errorCode, sample } = group;
  const step = (name: string, words: readonly string[]) =>
    indented(`${styled('dim', name.padEnd(8))}${hint(words, place)}`);
  const where = whereOf(group, groups, chosen);
  const looking = step('look', ['dlq', 'show', sample.id]);
  const doing = actionsOn(group, where, { consumer, isDeclared }).map((words) => step(words[1]!, words));
  if (isBeyondRedrive(errorCode)) {
    return [
      looking,
      indented(`A redrive cannot help: the bytes are wrong. Fix the producer${where ? ', then:' : '.'}`),
      ...doing,
    ];
  }
  if (!isDeclared) return [looking, ...doing];
  const before =
    group.overtaken === group.count ? wrapped(OVERTAKEN, columns - INDENT) : beforeRedrive(errorCode);
  return [looking, ...before.map(indented), ...doing];
}

/** The commands that do something about a group, as words; the first is the one to take. None where no --where chooses it. */
export function actionsOn(
  {
    stage,
    errorCode,
    overtaken,
    count: letters,
  }: Pick<LetterGroup, 'stage' | 'errorCode' | 'overtaken' | 'count'>,
  where: string | undefined,
  { consumer, isDeclared }: Pick<TriageView, 'consumer' | 'isDeclared'>,
): readonly (readonly string[])[] {
  if (stage === 'unreadable') return [];
  const isHopeless = isBeyondRedrive(errorCode);
  if (!isDeclared && !isHopeless)
    return [['dlq', 'export', '--consumer', consumer, '--output', `${consumer}.jsonl`]];
  if (where === undefined) return [];
  const on = (verb: string, ...options: string[]) => [
    'dlq',
    verb,
    '--consumer',
    consumer,
    '--where',
    where,
    ...options,
  ];
  if (isHopeless) return [on('discard', '--reason', 'sent by mistake')];
  if (overtaken === letters)
    return [on('redrive', '--allow-overtaken'), on('discard', '--reason', 'overtaken')];
  return [on('redrive')];
}

/** What of a group a --where can tell. */
type ChosenGroup = Pick<
  LetterGroup,
  'errorCode' | 'location' | 'stage' | 'topic' | 'partition' | 'schemaId' | 'split'
>;

/** A --where for exactly the group's letters, of those that were chosen; undefined where there is none. */
export function whereOf(
  group: ChosenGroup,
  groups: readonly ChosenGroup[],
  chosen: LetterFilter,
): string | undefined {
  const { errorCode, location, stage, topic, partition, schemaId, split } = group;
  let filter: LetterFilter = { error: errorCode, ...chosen };
  let others = groups.filter((each) => each !== group && each.errorCode === errorCode);
  const narrow = (isOther: (each: ChosenGroup) => boolean, condition: LetterFilter, isNeeded = false) => {
    const left = others.filter((each) => !isOther(each));
    if (left.length === others.length && !isNeeded) return;
    filter = { ...filter, ...condition };
    others = left;
  };
  narrow((each) => each.stage !== stage, { stage });
  narrow((each) => each.topic !== topic, { topic });
  if (location !== null) narrow((each) => each.location !== location, { at: location });
  if ('partition' in split && partition !== undefined) {
    narrow((each) => each.partition !== partition, { partition }, true);
  }
  if ('schema' in split && schemaId !== undefined) {
    narrow((each) => each.schemaId !== schemaId, { schema: schemaId }, true);
  }
  return others.length === 0 ? whereText(filter) : undefined;
}

/** What helps with messages that are no letters to this version. */
export function unreadableText({ errorCode }: Pick<LetterGroup, 'errorCode'>): string {
  return errorCode === 'DEAD_LETTER_VERSION_UNKNOWN'
    ? 'A newer Millrace wrote these letters. To read and redrive them, update Millrace.'
    : 'This Millrace cannot read these messages, so it cannot redrive them. Find what wrote them.';
}

function keysText(keys: ShownGroup['keys'], keyCount: number): string {
  if (keys.length === 0) return '';
  // Keys that are personal data, or bytes that are no text, look alike.
  if (keys.every(({ key }) => key.startsWith('<key of '))) return `${plural(keyCount, 'key')}, not shown`;
  const named = keys.map((each) => `${each.key} (${count(each.count)})`).join(', ');
  const more = keyCount - keys.length;
  return `${keyCount === 1 ? 'key' : 'keys'} ${named}${more > 0 ? `, ${count(more)} more` : ''}`;
}

function overtakenText({ overtaken, count: letters }: ShownGroup): string {
  if (overtaken === 0) return '';
  return overtaken === letters ? 'overtaken' : `${count(overtaken)} overtaken`;
}

/** `0-3, 7, 9-11`. */
function ranges(ascending: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const each of ascending) {
    const last = runs.at(-1);
    if (last && each === last[1] + 1) last[1] = each;
    else runs.push([each, each]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');
}

/** When the first and the last happened; the day where it is not today. */
function span(fromMs: number, toMs: number, nowMs: number): string {
  const [from, to] = [moment(fromMs, nowMs), moment(toMs, nowMs)];
  return from === to ? from : `${from} to ${to}`;
}

/** Local time, as `09:31:39`; with the day where it is not today. */
export function moment(ms: number, nowMs: number): string {
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return 'at no time that exists';
  const time = at.toTimeString().slice(0, 8);
  if (at.toDateString() === new Date(nowMs).toDateString()) return time;
  const day = [at.getFullYear(), at.getMonth() + 1, at.getDate()];
  return `${day.map((part) => String(part).padStart(2, '0')).join('-')} ${time}`;
}

function indented(text: string): string {
  return ' '.repeat(INDENT) + text;
}

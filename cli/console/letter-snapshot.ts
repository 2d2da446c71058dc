/** What one scan found of a consumer's letters: each once, without its value and headers, and the groups that they make. */
import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import {
  type LetterSummary,
  type SummarizedLetter,
  summaryOf,
} from '../../runtime/dead-letters/letter-summary.ts';
import type { ScannedLetter } from '../../runtime/dead-letters/reader.ts';
import {
  alikeOf,
  type FilterFacts,
  factsOf,
  fingerprintOf,
  type LetterFacts,
} from '../../runtime/dead-letters/triage.ts';
import {
  HIDDEN,
  isGuarded,
  isKeyHidden,
  keyText,
  quotesNothing,
  reasonText,
  stricter,
  type View,
  viewOf,
} from '../dlq/letter-view.ts';
import type { MarkedReader } from '../dlq/overtaken.ts';
import type { DlqSession } from '../dlq/session.ts';

/** What stands for an error's text until its letter is revealed. */
export const UNREVEALED = '(hidden until you reveal the letter: it can quote the record)';

/** An open session with the letters marked. */
export interface LetterSession
  extends Pick<
    DlqSession,
    | 'consumer'
    | 'named'
    | 'contracts'
    | 'registry'
    | 'resources'
    | 'retentionMs'
    | 'auditLogs'
    | 'who'
    | 'place'
  > {
  readonly marked: MarkedReader;
  readonly isDeclared: boolean;
}

/** A letter without its bytes. What can hold personal data is masked, whoever asks. */
export interface SnapshotLetter extends FilterFacts, SummarizedLetter {
  readonly letterKey: string;
  /** Its newest copy. */
  readonly ref: string;
  readonly epoch: number;
  readonly attempts: number;
  readonly overtakenBy: number | null;
  readonly reason: string;
  readonly key: string;
  /** In lower case; empty where the key is hidden, so that nobody can find out what it is by searching. */
  readonly searchedKey: string;
  readonly group: SnapshotGroup;
}

export interface SnapshotGroup extends LetterSummary {
  readonly fingerprint: string;
  readonly errorCode: string;
  readonly stage: string;
  readonly topic: string;
  readonly errorName: string;
  readonly location: string | null;
  readonly split: Readonly<Record<string, string>>;
  /** What a search looks at besides keys and ids, in lower case. */
  readonly searched: string;
  /** The newest failure first. */
  readonly letters: readonly SnapshotLetter[];
}

export interface Snapshot {
  /** How commands name it. */
  readonly consumer: string;
  readonly isDeclared: boolean;
  readonly retentionMs: number | null;
  /** When the scan began, in epoch milliseconds. */
  readonly asOf: number;
  /** What could not be read, and why. */
  readonly problem: string | null;
  /** The newest failure first. */
  readonly letters: readonly SnapshotLetter[];
  readonly groups: ReadonlyMap<string, SnapshotGroup>;
}

type Open<Type> = { -readonly [Name in keyof Type]: Type[Name] };
type OpenLetter = Open<Omit<SnapshotLetter, 'group'>> & {
  group: OpenGroup;
  readonly name: string;
  /** Null where the record has no key, or it is elsewhere. */
  readonly keyBytes: number | null;
  /** The same letter by another failure, which an older copy of it had. */
  older: OpenLetter | undefined;
};
interface OpenGroup
  extends Pick<SnapshotGroup, 'fingerprint' | 'errorCode' | 'stage' | 'topic' | 'errorName' | 'location'> {
  readonly letters: OpenLetter[];
}

/** A turn of the event loop is given away after so much work, and after so many letters at the latest. */
const SLICE_MS = 8;
const SLICE_LETTERS = 500;
const MAX_REASON_CHARS = 300;
const MAX_SEARCHED_KEY_CHARS = 256;
/** A longer key counts by its hash. */
const MAX_KEY_IDENTITY_CHARS = 64;

/**
 * Reads the session's letters once. Copies of a letter are one, with the newest failure, and with the times of all copies that
 * failed so, as in triage; what cannot be read is a letter, too.
 * @throws QUEUE_UNAVAILABLE, OBJECT_STORE_UNAVAILABLE, TOPIC_UNKNOWN
 */
export async function readSnapshot(
  session: LetterSession,
  asOf: number,
  signal: AbortSignal,
): Promise<Snapshot> {
  const slice = createSlice();
  const letters = new Map<string, OpenLetter>();
  const groups = new Map<string, OpenGroup>();
  const views = new Map<string, View>();
  const kept = createKeptTexts();
  for await (const copy of session.marked.reader.scan()) {
    if (slice.isOver()) await slice.next();
    if (signal.aborted) break;
    const facts = factsOf(copy);
    // The view that hides most of a topic's letters holds for all of them, as in triage.
    const view = await viewOf(copy, session, false);
    if ('letter' in copy) views.set(facts.topic, stricter(view, views.get(facts.topic)));
    const letter = openLetter(copy, facts, view, groupOf(facts, groups, kept), kept);
    letters.set(facts.letterKey, withCopy(letters.get(facts.letterKey), letter));
  }
  const sorted = [...letters.values()].sort(byFailure).reverse();
  for (const letter of sorted) {
    if (slice.isOver()) await slice.next();
    const view = views.get(letter.topic);
    if (view && isKeyHidden(view) && letter.keyBytes !== null) {
      letter.key = kept(`<key of ${letter.keyBytes} bytes>`);
      letter.searchedKey = '';
    }
    if (view && isGuarded(view)) letter.reason = kept(`${letter.name} ${HIDDEN}`);
    letter.older = undefined;
    letter.group.letters.push(letter);
  }
  const closed = new Map<string, SnapshotGroup>();
  for (const group of groups.values()) {
    if (slice.isOver()) await slice.next();
    // All of its letters have failed in another way since.
    if (group.letters.length > 0) closed.set(group.fingerprint, close(group));
  }
  return {
    consumer: session.named,
    isDeclared: session.isDeclared,
    retentionMs: session.retentionMs,
    asOf,
    problem: unknownMarks(session),
    letters: sorted as readonly unknown[] as readonly SnapshotLetter[],
    groups: closed,
  };
}

function unknownMarks({ named, marked }: LetterSession): string | null {
  const problem = marked.problem();
  return problem === undefined ? null : `Which letters of ${named} are overtaken is not known: ${problem}`;
}

function groupOf(
  facts: LetterFacts,
  groups: Map<string, OpenGroup>,
  kept: (text: string) => string,
): OpenGroup {
  const alike = alikeOf(facts);
  const known = groups.get(alike);
  if (known) return known;
  const { errorCode, stage, topic, name, location } = facts;
  const group: OpenGroup = {
    fingerprint: fingerprintOf(facts),
    errorCode,
    stage,
    topic: kept(topic),
    errorName: kept(name),
    location,
    letters: [],
  };
  groups.set(alike, group);
  return group;
}

/** The letter with one more copy: its newest failure, and behind it those before. */
function withCopy(known: OpenLetter | undefined, copy: OpenLetter): OpenLetter {
  if (!known) return copy;
  const isNewest = copy.lastFailedAt >= known.lastFailedAt;
  if (copy.group === known.group) return isNewest ? merged(copy, known) : merged(known, copy);
  if (!isNewest) return Object.assign(known, { older: withCopy(known.older, copy) });
  // An even older copy may have failed as this one did.
  const [before, older] = without(known, copy.group);
  return Object.assign(before ? merged(copy, before) : copy, { older });
}

/** The letter by that failure, and by its others. */
function without(
  letter: OpenLetter | undefined,
  group: OpenGroup,
): readonly [OpenLetter | undefined, OpenLetter | undefined] {
  if (!letter) return [undefined, undefined];
  if (letter.group === group) return [letter, letter.older];
  const [found, older] = without(letter.older, group);
  return [found, Object.assign(letter, { older })];
}

/** What triage makes of copies that failed alike. */
function merged(newer: OpenLetter, older: OpenLetter): OpenLetter {
  const [first, second] = older.firstFailedAt < newer.firstFailedAt ? [older, newer] : [newer, older];
  return Object.assign(newer, {
    firstFailedAt: Math.min(newer.firstFailedAt, older.firstFailedAt),
    storedAt: Math.min(newer.storedAt, older.storedAt),
    isOvertaken: newer.isOvertaken || older.isOvertaken,
    overtakenBy: newer.overtakenBy ?? older.overtakenBy,
    functionVersion: first.functionVersion || second.functionVersion,
    older: older.older ?? newer.older,
  });
}

function openLetter(
  copy: ScannedLetter,
  facts: LetterFacts,
  view: View,
  group: OpenGroup,
  kept: (text: string) => string,
): OpenLetter {
  const { letterKey, id, partition, offset, schemaId, firstFailedAt, lastFailedAt, storedAt, isOvertaken } =
    facts;
  const letter = 'letter' in copy ? copy.letter : undefined;
  const key = facts.recordKey === undefined ? undefined : letter!.record.key;
  const shownKey = key === undefined ? '(not read: the record is large)' : keyText(key, view);
  const isFound = key && !isKeyHidden(view) && !shownKey.startsWith('<key of ');
  return {
    letterKey,
    id,
    ref: copy.ref,
    epoch: letter?.epoch ?? 0,
    errorCode: group.errorCode,
    stage: group.stage,
    topic: group.topic,
    partition,
    offset,
    schemaId: schemaId === undefined ? undefined : kept(schemaId),
    firstFailedAt,
    lastFailedAt,
    storedAt,
    isOvertaken,
    overtakenBy: ('letter' in copy ? copy.overtakenBy : undefined) ?? null,
    at: facts.at === null ? null : kept(facts.at),
    attempts: letter?.failure.attempts ?? 0,
    functionVersion: kept(facts.functionVersion),
    reason: kept(cut(reasonOf(facts, view), MAX_REASON_CHARS)),
    key: kept(letter ? shownKey : '-'),
    searchedKey: isFound ? kept(cut(key.toString().toLowerCase(), MAX_SEARCHED_KEY_CHARS)) : '',
    recordKey: facts.recordKey === undefined ? undefined : kept(identityOf(facts.recordKey)),
    keyBytes: key?.length ?? null,
    name: group.errorName,
    group,
    older: undefined,
  };
}

/** Nobody has revealed a letter of a list. */
function reasonOf(facts: LetterFacts, view: View): string {
  const { stage, errorCode, name } = facts;
  const isOwn = stage === 'unreadable' || quotesNothing({ stage, code: errorCode, name });
  return isOwn || isGuarded(view) ? reasonText(facts, view) : `${name} ${UNREVEALED}`;
}

function close(open: OpenGroup): SnapshotGroup {
  const { errorCode, errorName, location, topic, letters } = open;
  const summary = summaryOf(letters);
  const shown = new Map(summary.keys.map(({ key }) => [key, '']));
  for (const { recordKey, key } of letters)
    if (recordKey !== undefined && shown.has(recordKey)) shown.set(recordKey, key);
  return Object.assign(open as Open<OpenGroup>, summary, {
    keys: summary.keys.map(({ key, count }) => ({ key: shown.get(key)!, count })),
    split: {},
    searched: [errorCode, errorName, location ?? '', topic, summary.introducedBy ?? '']
      .join('\n')
      .toLowerCase(),
  }) as unknown as SnapshotGroup;
}

/** The oldest first: about the order in which a scan finds them. */
function byFailure(a: OpenLetter, b: OpenLetter): number {
  return a.lastFailedAt - b.lastFailedAt || (a.letterKey < b.letterKey ? 1 : -1);
}

function identityOf(recordKey: string): string {
  if (recordKey.length <= MAX_KEY_IDENTITY_CHARS) return recordKey;
  return `#${createHash('sha256').update(recordKey).digest('base64')}`;
}

/** Holds nothing of the text that it was cut from, as a slice would. */
function cut(text: string, most: number): string {
  if (text.length <= most) return text;
  return Buffer.from(`${text.slice(0, most)}…`, 'utf16le').toString('utf16le');
}

/** Each text once: of keys and reasons, there are few. */
function createKeptTexts(): (text: string) => string {
  const texts = new Map<string, string>();
  return (text) => {
    const known = texts.get(text);
    if (known !== undefined) return known;
    texts.set(text, text);
    return text;
  };
}

function createSlice() {
  let began = performance.now();
  let letters = 0;
  return {
    isOver: () => ++letters >= SLICE_LETTERS || performance.now() - began > SLICE_MS,
    async next() {
      await nextTurn();
      began = performance.now();
      letters = 0;
    },
  };
}

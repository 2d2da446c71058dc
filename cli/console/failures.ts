/** Failures as lists: groups of letters that failed alike, and their letters, from a snapshot that is some seconds old at most. */
import { systemClock } from '../../adapters/system/system-clock.ts';
import type {
  FailureGroup,
  GroupQuery,
  GroupSort,
  LetterQuery,
  LetterRow,
  Page,
  PageQuery,
} from '../../console/operations.ts';
import { dateMs, isDate } from '../../runtime/dates.ts';
import { type LetterFilter, matchesFacts } from '../../runtime/dead-letters/triage.ts';
import { ERRORS, type ErrorCode, MillraceError } from '../../runtime/errors.ts';
import type { Clock } from '../../runtime/ports.ts';
import { parseWhere } from '../dlq/options.ts';
import type { Owner } from '../dlq/session.ts';
import { actionsOn, beforeRedrive, isBeyondRedrive, unreadableText, whereOf } from '../dlq/triage-view.ts';
import { hint } from '../hints.ts';
import type { ConsoleContext } from './context.ts';
import { asInput } from './errors.ts';
import type { Snapshot, SnapshotGroup, SnapshotLetter } from './letter-snapshot.ts';
import { type LetterSource, letterSource, Snapshots } from './snapshots.ts';

export interface Failures {
  /** Groups of all consumers, or of one; those with the most letters first unless the query says otherwise. */
  groups(query: GroupQuery): Promise<Page<FailureGroup>>;
  /** The newest failure first. */
  letters(query: LetterQuery): Promise<Page<LetterRow>>;
  /** Has the next question read the store again: something was done to the consumer's letters. */
  forget(consumer: string): void;
  /** Where a letter was when the store was read last; undefined where nobody has seen it. */
  locate(id: string): { readonly owner: Owner; readonly letter: SnapshotLetter } | undefined;
  /**
   * How many letters match, first failed after that time, and are none of the plan's. By the newest snapshot: do not ask
   * in `alone`.
   */
  arrived(consumer: string, plan: LetterChoice, sinceMs: number): Promise<number>;
  /**
   * Does work with the consumer's letters while no scan of ours runs: on SQS, a scan hides what it reads. Lists are answered
   * meanwhile from what was read before. In the work, ask for nothing that takes a scan: it would wait for its own end.
   */
  alone<Result>(consumer: string, work: () => Promise<Result>): Promise<Result>;
  /** Ends scans that are under way. */
  close(): Promise<void>;
}

/** The letters that a plan chooses. */
export interface LetterChoice {
  readonly filter: LetterFilter;
  /** Whether it has the letter with this `letterKey`. */
  has(key: string): boolean;
}

const DEFAULT_LIMIT = 50;

interface ShownGroup {
  readonly group: SnapshotGroup;
  readonly snapshot: Snapshot;
}

/** What a list is ordered by, in turn: greater numbers first, then texts from A to Z. */
type Place = readonly [number, number, string];

const PLACES: Readonly<Record<GroupSort, (shown: ShownGroup) => readonly [number, number]>> = {
  count: ({ group: { count, firstSeenAt } }) => [count, -firstSeenAt],
  newest: ({ group: { lastSeenAt, count } }) => [lastSeenAt, count],
  introduced: ({ group: { firstSeenAt, count } }) => [firstSeenAt, count],
  // What never expires comes last, the oldest first.
  expiry: ({ group: { oldestStoredAt }, snapshot: { retentionMs } }) =>
    retentionMs === null ? [-Number.MAX_VALUE, -oldestStoredAt] : [-(oldestStoredAt + retentionMs), 0],
};

export function createFailures(
  context: ConsoleContext,
  source: LetterSource = letterSource(context),
  clock: Pick<Clock, 'now'> = systemClock,
): Failures {
  const snapshots = new Snapshots(source, clock);
  let sorted:
    | { readonly of: readonly Snapshot[]; readonly sort: GroupSort; readonly list: readonly ShownGroup[] }
    | undefined;

  /** Sorted once, however many pages of it are turned. */
  const sortedGroups = (of: readonly Snapshot[], sort: GroupSort): readonly ShownGroup[] => {
    const isKnown =
      sorted?.sort === sort &&
      sorted.of.length === of.length &&
      of.every((each, at) => each === sorted!.of[at]);
    if (sorted && isKnown) return sorted.list;
    const list = of
      .flatMap((snapshot) => Array.from(snapshot.groups.values(), (group) => ({ group, snapshot })))
      .sort((a, b) => compare(placeOfGroup(a, sort), placeOfGroup(b, sort)));
    sorted = { of, sort, list };
    return list;
  };

  return {
    async groups({ consumer, search, fingerprint, sort = 'count', ...query }) {
      const of = await snapshots.of(consumer);
      const meant = meantBy(search);
      const sorted = sortedGroups(of, sort);
      const all =
        fingerprint === undefined ? sorted : sorted.filter(({ group }) => group.fingerprint === fingerprint);
      const found = meant
        ? all.filter(
            ({ group }) => meant(group.searched) || group.letters.some((each) => meant(each.searchedKey)),
          )
        : all;
      const shown = page(found, query, (each) => placeOfGroup(each, sort));
      return { ...shown, items: shown.items.map((each) => toGroup(each, context)), ...stateOf(of, clock) };
    },
    async letters({ consumer, fingerprint, where, search, ...query }) {
      const filter = where === undefined ? undefined : asInput(() => parseWhere(where));
      const of = await snapshots.of(consumer);
      const isMeant = meantLetters(search);
      const all = of.flatMap((each) =>
        fingerprint === undefined ? each.letters : (each.groups.get(fingerprint)?.letters ?? []),
      );
      const found =
        filter || isMeant
          ? all.filter((each) => (!filter || matchesFacts(each, filter)) && (!isMeant || isMeant(each)))
          : all;
      const shown = page(found, query, placeOfLetter);
      return { ...shown, items: shown.items.map(toRow), ...stateOf(of, clock) };
    },
    forget: (consumer) => snapshots.forget(consumer),
    locate(id) {
      for (const { owner, snapshot } of snapshots.known()) {
        // The newest failure comes first.
        const letter = snapshot.letters.find((each) => each.id === id);
        if (letter) return { owner, letter };
      }
      return undefined;
    },
    async arrived(consumer, { filter, has }, sinceMs) {
      let arrived = 0;
      for (const { letters } of await snapshots.of(consumer))
        for (const each of letters)
          if (isSince(each.firstFailedAt, sinceMs) && matchesFacts(each, filter) && !has(each.letterKey))
            arrived++;
      return arrived;
    },
    alone: (consumer, work) => snapshots.alone(consumer, work),
    close: () => snapshots.close(),
  };
}

/** A time that no date can hold tells nothing: a letter that was imported may have it. */
function isSince(epochMs: number, sinceMs: number): boolean {
  return isDate(epochMs) && epochMs >= sinceMs;
}

/** Tells texts in lower case that hold the word; undefined where there is none. */
function meantBy(search: string | undefined): ((text: string) => boolean) | undefined {
  const word = search?.trim().toLowerCase() ?? '';
  return word === '' ? undefined : (text) => text.includes(word);
}

/** A group is asked once, however many letters it has. Ids are copied, not typed: they match as they are. */
function meantLetters(search: string | undefined): ((letter: SnapshotLetter) => boolean) | undefined {
  const meant = meantBy(search);
  if (!meant) return undefined;
  const asTyped = search!.trim();
  const groups = new Map<SnapshotGroup, boolean>();
  return ({ group, searchedKey, id }) => {
    let isGroupMeant = groups.get(group);
    if (isGroupMeant === undefined) {
      isGroupMeant = meant(group.searched);
      groups.set(group, isGroupMeant);
    }
    return isGroupMeant || meant(searchedKey) || id.includes(asTyped);
  };
}

function placeOfGroup(shown: ShownGroup, sort: GroupSort): Place {
  const { group, snapshot } = shown;
  return [...PLACES[sort](shown), `${snapshot.consumer}\n${group.fingerprint}`];
}

function placeOfLetter({ lastFailedAt, letterKey }: SnapshotLetter): Place {
  return [lastFailedAt, 0, letterKey];
}

function compare(a: Place, b: Place): number {
  return b[0] - a[0] || b[1] - a[1] || (a[2] < b[2] ? -1 : a[2] > b[2] ? 1 : 0);
}

/** What comes behind the cursor's place, which need not be there any more. */
function page<Item>(
  sorted: readonly Item[],
  { cursor, limit = DEFAULT_LIMIT }: PageQuery,
  placeOf: (item: Item) => Place,
): Pick<Page<Item>, 'items' | 'total' | 'next'> {
  const after = cursor === undefined ? undefined : placeIn(cursor);
  const from = after === undefined ? 0 : firstBehind(sorted, (item) => compare(placeOf(item), after) > 0);
  const items = sorted.slice(from, from + limit);
  const isLast = from + limit >= sorted.length;
  return { items, total: sorted.length, next: isLast ? null : cursorOf(placeOf(items.at(-1)!)) };
}

function firstBehind<Item>(sorted: readonly Item[], isBehind: (item: Item) => boolean): number {
  let [from, to] = [0, sorted.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (isBehind(sorted[middle]!)) to = middle;
    else from = middle + 1;
  }
  return from;
}

function cursorOf(place: Place): string {
  return Buffer.from(JSON.stringify(place)).toString('base64url');
}

/** @throws INPUT_INVALID where it is none that a page ended with */
function placeIn(cursor: string): Place {
  try {
    const [first, second, name, ...others] = JSON.parse(Buffer.from(cursor, 'base64url').toString());
    if (Number.isFinite(first) && Number.isFinite(second) && typeof name === 'string' && others.length === 0)
      return [first, second, name];
  } catch {
    // Said below.
  }
  throw new MillraceError(
    'INPUT_INVALID',
    'cursor is none that a page of this list ended with. Leave it out.',
  );
}

function stateOf(of: readonly Snapshot[], clock: Pick<Clock, 'now'>): Pick<Page<never>, 'asOf' | 'problem'> {
  const problems = of.flatMap(({ problem }) => problem ?? []);
  return {
    asOf: of.length === 0 ? clock.now() : Math.min(...of.map(({ asOf }) => asOf)),
    problem: problems.length === 0 ? null : problems.join('\n'),
  };
}

function toRow(letter: SnapshotLetter): LetterRow {
  const { id, key, errorCode, stage, partition, offset, attempts, firstFailedAt, lastFailedAt } = letter;
  return {
    id,
    key,
    code: errorCode,
    stage,
    partition: partition ?? -1,
    offset: offset ?? -1,
    attempts,
    firstFailedAt,
    lastFailedAt,
    overtakenBy: letter.overtakenBy,
    reason: letter.reason,
  };
}

function toGroup({ group, snapshot }: ShownGroup, { options }: ConsoleContext): FailureGroup {
  const { errorCode, stage, letters } = group;
  const { consumer, isDeclared, retentionMs } = snapshot;
  const isUnreadable = stage === 'unreadable';
  const where = isUnreadable ? undefined : whereIn(snapshot, group);
  const looking = isUnreadable ? ['dlq', 'triage', '--consumer', consumer] : ['dlq', 'show', letters[0]!.id];
  const [action = looking] = actionsOn(group, where, { consumer, isDeclared });
  return {
    consumer,
    fingerprint: group.fingerprint,
    code: errorCode,
    summary: Object.hasOwn(ERRORS, errorCode) ? ERRORS[errorCode as ErrorCode].summary : '',
    stage,
    topic: group.topic,
    errorName: group.errorName,
    location: group.location,
    count: group.count,
    overtaken: group.overtaken,
    partitions: group.partitions,
    keys: group.keys,
    keyCount: group.keyCount,
    firstSeenAt: group.firstSeenAt,
    lastSeenAt: group.lastSeenAt,
    expiresAt: retentionMs === null ? null : dateMs(group.oldestStoredAt + retentionMs),
    introducedBy: group.introducedBy,
    histogram: group.histogram,
    isBeyondRedrive: isBeyondRedrive(errorCode),
    before: isUnreadable ? [unreadableText(group)] : beforeRedrive(errorCode),
    where: where ?? null,
    sample: letters[0]!.id,
    command: hint(action, options),
  };
}

const neighbours = new WeakMap<Snapshot, (group: SnapshotGroup) => readonly SnapshotGroup[]>();

function whereIn(snapshot: Snapshot, group: SnapshotGroup): string | undefined {
  const besides = neighbours.get(snapshot) ?? neighboursIn(snapshot);
  neighbours.set(snapshot, besides);
  return whereOf(group, besides(group), {});
}

/**
 * Of thousands of groups, the few that decide which conditions a group needs: those that no condition tells from it, and one of
 * each kind that a condition does.
 */
function neighboursIn({ groups }: Snapshot): (group: SnapshotGroup) => readonly SnapshotGroup[] {
  const all = [...groups.values()];
  const conditionsOf = ({ errorCode, stage, topic, location }: SnapshotGroup) =>
    JSON.stringify([errorCode, stage, topic, location]);
  const alike = Map.groupBy(all, conditionsOf);
  const kinds = new Map<string, SnapshotGroup[]>();
  for (const each of all) {
    const kind = JSON.stringify([each.errorCode, each.stage, each.topic]);
    const known = kinds.get(kind);
    if (!known) kinds.set(kind, [each]);
    // A second one tells that the location matters.
    else if (known.length === 1 && known[0]!.location !== each.location) known.push(each);
  }
  const byCode = Map.groupBy([...kinds.values()].flat(), ({ errorCode }) => errorCode);
  return (group) => [...new Set([...alike.get(conditionsOf(group))!, ...byCode.get(group.errorCode)!])];
}

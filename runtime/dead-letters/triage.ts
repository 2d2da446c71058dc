/** Which dead letters there are: choosing some, and grouping them by what went wrong. */
import { createHash } from 'node:crypto';
import { letterKey } from '../delivery/dead-letter.ts';
import { ownFrameOf } from '../delivery/own-frame.ts';
import { type LetterSummary, type SummarizedLetter, summaryOf } from './letter-summary.ts';
import type { ScannedLetter } from './reader.ts';

/** Every condition given has to hold. */
export interface LetterFilter {
  readonly error?: string;
  readonly stage?: string;
  readonly topic?: string;
  readonly partition?: number;
  readonly schema?: string;
  /** Offsets, both ends included. */
  readonly offset?: { readonly from: number; readonly to: number };
  /** Last failed at or after, epoch milliseconds. */
  readonly since?: number;
  /** Last failed before, epoch milliseconds. */
  readonly until?: number;
  readonly id?: string;
  /** Where in the project's code the error was thrown, as `orders/consumer.ts:29`. */
  readonly at?: string;
  /** Whether a newer record of its key was applied since. */
  readonly overtaken?: boolean;
}

/** What conditions ask of a letter; one that cannot be read has the stage `unreadable`. */
export interface FilterFacts {
  readonly id: string;
  readonly errorCode: string;
  readonly stage: string;
  readonly topic: string;
  readonly partition: number | undefined;
  readonly offset: number | undefined;
  readonly schemaId: string | undefined;
  readonly lastFailedAt: number;
  readonly isOvertaken: boolean;
  /** Where in the project's code the error was thrown; null where nothing says. */
  readonly at: string | null;
}

/** What cannot be read matches by `error` alone. */
export function matches(copy: ScannedLetter, filter: LetterFilter): boolean {
  if (!('letter' in copy)) return isUnreadableMeant(copy.error.code, filter);
  const { id, record, schemaId, failure } = copy.letter;
  return meets(
    {
      id,
      errorCode: failure.code,
      stage: failure.stage,
      topic: record.topic,
      partition: record.partition,
      offset: record.offset,
      schemaId: schemaId ?? undefined,
      lastFailedAt: failure.lastFailedAt,
      isOvertaken: copy.overtakenBy !== undefined,
      // A stack is only read where somebody asks for it.
      at: filter.at === undefined ? null : ownFrameOf(failure),
    },
    filter,
  );
}

/** The same of a letter whose facts are known. */
export function matchesFacts(facts: FilterFacts, filter: LetterFilter): boolean {
  return facts.stage === UNREADABLE ? isUnreadableMeant(facts.errorCode, filter) : meets(facts, filter);
}

/** The stage of what cannot be read. */
const UNREADABLE = 'unreadable';

function isUnreadableMeant(errorCode: string, { error, ...others }: LetterFilter): boolean {
  return (error === undefined || error === errorCode) && Object.keys(others).length === 0;
}

function meets(facts: FilterFacts, filter: LetterFilter): boolean {
  const { offset, since, until } = filter;
  const is = (wanted: unknown, got: unknown) => wanted === undefined || wanted === got;
  return (
    is(filter.error, facts.errorCode) &&
    is(filter.stage, facts.stage) &&
    is(filter.topic, facts.topic) &&
    is(filter.partition, facts.partition) &&
    is(filter.schema, facts.schemaId) &&
    is(filter.id, facts.id) &&
    is(filter.overtaken, facts.isOvertaken) &&
    is(filter.at, facts.at) &&
    (offset === undefined || (facts.offset! >= offset.from && facts.offset! <= offset.to)) &&
    (since === undefined || facts.lastFailedAt >= since) &&
    (until === undefined || facts.lastFailedAt < until)
  );
}

/** Letters that failed alike: by code, stage, topic, the error's name and the place in the project's code that threw it. */
export interface LetterGroup extends Omit<LetterSummary, 'histogram' | 'introducedBy'> {
  readonly consumer: string;
  readonly errorCode: string;
  readonly stage: string;
  readonly topic: string;
  readonly errorName: string;
  /** As `orders/consumer.ts:29`; null where the stack names no file of the project. */
  readonly location: string | null;
  /** What the group was split by besides, by the name in `by`. */
  readonly split: Readonly<Record<string, string>>;
  /** One letter's id, and its error's name and message. */
  readonly sample: { readonly id: string; readonly name: string; readonly message: string };
}

/** What may split a group further. `message` is the error's, its numbers and quoted texts left out. */
export const SPLITS = ['partition', 'schema', 'key', 'message'] as const;
export type Split = (typeof SPLITS)[number] | `header:${string}`;

/** How the bytes of a topic's record show: a key, or a header's value. */
export interface Wording {
  key(bytes: Buffer | null, topic: string): string;
  header(bytes: Buffer | null, topic: string): string;
}

/**
 * Groups copies as they come; keeps no letter. A letter is in one group, by its newest failure, were there older copies of it that
 * failed otherwise. The largest group first.
 */
export class Triage {
  readonly #consumer: string;
  readonly #by: readonly Split[];
  readonly #wording: Wording;
  readonly #groups = new Map<string, OpenGroup>();
  #copies = 0;

  constructor(consumer: string, wording: Wording, by: readonly Split[] = []) {
    this.#consumer = consumer;
    this.#wording = wording;
    this.#by = by;
  }

  /** Whether the copy is the first of its group, and so its sample. */
  add(copy: ScannedLetter): boolean {
    const facts = factsOf(copy);
    const split = this.#by.map((by): [Split, string] => [by, splitOf(by, copy, facts)]);
    const key = JSON.stringify([...failureOf(facts), ...split]);
    const known = this.#groups.get(key);
    const group = known ?? new OpenGroup(facts, Object.fromEntries(this.#shown(split, facts.topic)));
    if (!known) this.#groups.set(key, group);
    group.add(facts, this.#copies++);
    return known === undefined;
  }

  /** Split by bytes, shown by the wording. */
  #shown(split: readonly [Split, string][], topic: string): readonly [Split, string][] {
    return split.map(([by, value]) => {
      if (by !== 'key' && !by.startsWith('header:')) return [by, value];
      const bytes = value === '' ? null : Buffer.from(value.slice(1), 'base64');
      return [by, by === 'key' ? this.#wording.key(bytes, topic) : this.#wording.header(bytes, topic)];
    });
  }

  groups(): readonly LetterGroup[] {
    const newest = new Map<string, CountedLetter>();
    for (const { letters } of this.#groups.values())
      for (const [key, letter] of letters) if (isNewer(letter, newest.get(key))) newest.set(key, letter);
    return [...this.#groups.values()]
      .flatMap((group) => group.close(this.#consumer, this.#wording, newest) ?? [])
      .sort((a, b) => b.count - a.count || a.firstSeenAt - b.firstSeenAt);
  }
}

/** What a copy is split by: bytes as base64 behind a mark, so that none at all is another. */
function splitOf(by: Split, copy: ScannedLetter, { partition, schemaId, message }: LetterFacts): string {
  if (by === 'partition') return String(partition ?? '');
  if (by === 'schema') return schemaId ?? '';
  if (by === 'message') return alike(message);
  const record = 'letter' in copy ? copy.letter.record : undefined;
  const bytes =
    by === 'key'
      ? record?.key
      : record?.headers.find(({ name }) => name === by.slice('header:'.length))?.value;
  return bytes ? `=${bytes.toString('base64')}` : '';
}

/** The message without what differs from record to record: numbers, ids and quoted texts. */
function alike(message: string): string {
  return message
    .replace(/(["'`]).*?\1/gs, '$1…$1')
    .replace(/\b[\da-f]{8}-[\da-f-]{27}\b/gi, '#')
    .replace(/\d+/g, '#')
    .slice(0, 200);
}

/** The same for letters that failed alike, and for no others. */
export function alikeOf(facts: LetterFacts): string {
  return JSON.stringify(failureOf(facts));
}

/** What letters that failed alike have in common. */
function failureOf({ errorCode, stage, topic, name, location }: LetterFacts): readonly (string | null)[] {
  return [errorCode, stage, topic, name, location];
}

/** Names a group, the same in every scan and process: a hash of what its letters have in common. */
export function fingerprintOf(facts: LetterFacts): string {
  return createHash('sha256').update(alikeOf(facts)).digest('hex').slice(0, 16);
}

/** What is known of a letter among others, without its value and headers. */
export interface LetterFacts extends FilterFacts, SummarizedLetter {
  readonly letterKey: string;
  /** As `at`, of what the project's code can be to blame for: reading a value is none of it. */
  readonly location: string | null;
  readonly name: string;
  readonly message: string;
}

export function factsOf(copy: ScannedLetter): LetterFacts {
  if (!('letter' in copy)) {
    const { error, storedAt } = copy;
    return {
      letterKey: copy.ref,
      recordKey: undefined,
      location: null,
      at: null,
      id: copy.ref,
      errorCode: error.code,
      stage: UNREADABLE,
      topic: '',
      partition: undefined,
      offset: undefined,
      schemaId: undefined,
      firstFailedAt: storedAt,
      lastFailedAt: storedAt,
      storedAt,
      isOvertaken: false,
      functionVersion: '',
      name: error.name,
      message: error.message,
    };
  }
  const { letter, storedAt } = copy;
  const { code, stage, firstFailedAt, lastFailedAt, name, message, earlier } = letter.failure;
  const { topic, partition, offset, key } = letter.record;
  const at = ownFrameOf(letter.failure);
  return {
    letterKey: letterKey(letter),
    recordKey: copy.payload ? undefined : key === null ? '' : `=${key.toString('base64')}`,
    location: stage === 'handle' || stage === 'write' ? at : null,
    at,
    id: letter.id,
    errorCode: code,
    stage,
    topic,
    partition,
    offset,
    schemaId: letter.schemaId ?? undefined,
    firstFailedAt,
    lastFailedAt,
    storedAt,
    isOvertaken: copy.overtakenBy !== undefined,
    // Of one that was redriven, only the newest failure's version is known.
    functionVersion: earlier.length === 0 ? letter.functionVersion : '',
    name,
    message,
  };
}

interface CountedLetter extends SummarizedLetter {
  readonly id: string;
  /** The number of its copy with the newest failure, in the order in which copies came. */
  readonly copy: number;
}

function isNewer(letter: CountedLetter, than: CountedLetter | undefined): boolean {
  return !than || (letter.lastFailedAt - than.lastFailedAt || letter.copy - than.copy) > 0;
}

class OpenGroup {
  readonly #first: LetterFacts;
  readonly #split: Readonly<Record<string, string>>;
  /** By `letterKey`: copies of one letter are one. */
  readonly letters = new Map<string, CountedLetter>();

  constructor(first: LetterFacts, split: Readonly<Record<string, string>>) {
    this.#first = first;
    this.#split = split;
  }

  add(facts: LetterFacts, copy: number): void {
    const { id, partition, schemaId, recordKey, functionVersion } = facts;
    const known = this.letters.get(facts.letterKey) ?? { ...facts, copy };
    // Without its texts, so that a group keeps no message but its first letter's.
    this.letters.set(facts.letterKey, {
      id,
      copy: facts.lastFailedAt >= known.lastFailedAt ? copy : known.copy,
      partition,
      schemaId,
      recordKey,
      functionVersion,
      firstFailedAt: Math.min(known.firstFailedAt, facts.firstFailedAt),
      lastFailedAt: Math.max(known.lastFailedAt, facts.lastFailedAt),
      storedAt: Math.min(known.storedAt, facts.storedAt),
      isOvertaken: known.isOvertaken || facts.isOvertaken,
    });
  }

  /** Undefined where all of its letters have failed in another way since. */
  close(
    consumer: string,
    wording: Wording,
    newest: ReadonlyMap<string, CountedLetter>,
  ): LetterGroup | undefined {
    const { errorCode, stage, topic, letterKey: firstKey, name, message, location } = this.#first;
    const letters = [...this.letters].filter(([key, letter]) => newest.get(key) === letter);
    const [sample] = letters;
    if (!sample) return undefined;
    const {
      keys,
      histogram: _,
      introducedBy: __,
      ...summary
    } = summaryOf(letters.map(([, letter]) => letter));
    return {
      consumer,
      errorCode,
      stage,
      topic,
      errorName: name,
      location,
      ...summary,
      keys: keys.map(({ key, count }) => ({
        key: wording.key(key === '' ? null : Buffer.from(key.slice(1), 'base64'), topic),
        count,
      })),
      split: this.#split,
      // Of another than the first, the message was not kept.
      sample: { id: sample[1].id, name, message: sample[0] === firstKey ? message : '' },
    };
  }
}

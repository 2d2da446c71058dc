/** Which dead letters there are: choosing some, and grouping them by what went wrong. */

import { letterKey } from '../delivery/dead-letter.ts';
import { ownFrameOf } from '../delivery/own-frame.ts';
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

/** A copy that cannot be read matches by `error` alone. */
export function matches(copy: ScannedLetter, filter: LetterFilter): boolean {
  if (!('letter' in copy)) {
    const { error, ...others } = filter;
    return (error === undefined || error === copy.error.code) && Object.keys(others).length === 0;
  }
  const { id, record, schemaId, failure } = copy.letter;
  const { offset, since, until } = filter;
  const is = (wanted: unknown, got: unknown) => wanted === undefined || wanted === got;
  return (
    is(filter.error, failure.code) &&
    is(filter.stage, failure.stage) &&
    is(filter.topic, record.topic) &&
    is(filter.partition, record.partition) &&
    is(filter.schema, schemaId) &&
    is(filter.id, id) &&
    is(filter.overtaken, copy.overtakenBy !== undefined) &&
    (filter.at === undefined || filter.at === ownFrameOf(failure)) &&
    (offset === undefined || (record.offset >= offset.from && record.offset <= offset.to)) &&
    (since === undefined || failure.lastFailedAt >= since) &&
    (until === undefined || failure.lastFailedAt < until)
  );
}

/** Letters that failed alike: by code, stage, topic, the error's name and the place in the project's code that threw it. */
export interface LetterGroup {
  readonly consumer: string;
  readonly errorCode: string;
  readonly stage: string;
  readonly topic: string;
  readonly errorName: string;
  /** As `orders/consumer.ts:29`; null where the stack names no file of the project. */
  readonly location: string | null;
  /** Where all of the group have the same; so with `schemaId`. */
  readonly partition?: number;
  readonly schemaId?: string;
  /** Every partition of the group, in order. */
  readonly partitions: readonly number[];
  /** The record keys with the most letters, the first three, and how many keys there are. */
  readonly keys: readonly KeyCount[];
  readonly keyCount: number;
  /** What the group was split by besides, by the name in `by`. */
  readonly split: Readonly<Record<string, string>>;
  /** Letters; copies of one letter count once. */
  readonly count: number;
  /** How many of them were overtaken: a newer record of their key was applied since. */
  readonly overtaken: number;
  /** Epoch milliseconds: when the first of them first failed, and the last of them last. */
  readonly firstSeenAt: number;
  readonly lastSeenAt: number;
  /** Epoch milliseconds, from which the store's retention counts. */
  readonly oldestStoredAt: number;
  /** One letter's id, and its error's name and message. */
  readonly sample: { readonly id: string; readonly name: string; readonly message: string };
}

export interface KeyCount {
  readonly key: string;
  readonly count: number;
}

/** What may split a group further. `message` is the error's, its numbers and quoted texts left out. */
export const SPLITS = ['partition', 'schema', 'key', 'message'] as const;
export type Split = (typeof SPLITS)[number] | `header:${string}`;

/** How the bytes of a topic's record show: a key, or a header's value. */
export interface Wording {
  key(bytes: Buffer | null, topic: string): string;
  header(bytes: Buffer | null, topic: string): string;
}

const MOST_KEYS = 3;

/** Groups copies as they come; keeps no letter. The largest group first. */
export class Triage {
  readonly #consumer: string;
  readonly #by: readonly Split[];
  readonly #wording: Wording;
  readonly #groups = new Map<string, OpenGroup>();

  constructor(consumer: string, wording: Wording, by: readonly Split[] = []) {
    this.#consumer = consumer;
    this.#wording = wording;
    this.#by = by;
  }

  /** Whether the copy is the first of its group, and so its sample. */
  add(copy: ScannedLetter): boolean {
    const facts = factsOf(copy);
    const split = this.#by.map((by): [Split, string] => [by, splitOf(by, copy, facts)]);
    const { errorCode, stage, topic, name, location } = facts;
    const key = JSON.stringify([errorCode, stage, topic, name, location, ...split]);
    const known = this.#groups.get(key);
    const group = known ?? new OpenGroup(facts, Object.fromEntries(this.#shown(split, topic)));
    if (!known) this.#groups.set(key, group);
    group.add(facts);
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
    return [...this.#groups.values()]
      .map((group) => group.close(this.#consumer, this.#wording))
      .sort((a, b) => b.count - a.count || a.firstSeenAt - b.firstSeenAt);
  }
}

/** What a copy is split by: bytes as base64 behind a mark, so that none at all is another. */
function splitOf(by: Split, copy: ScannedLetter, { partition, schemaId, message }: Facts): string {
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

interface Facts {
  readonly letterKey: string;
  /** The record's key; undefined where its bytes are elsewhere. */
  readonly recordKey: Buffer | null | undefined;
  readonly location: string | null;
  readonly id: string;
  readonly errorCode: string;
  readonly stage: string;
  readonly topic: string;
  readonly partition: number | undefined;
  readonly schemaId: string | undefined;
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
  readonly storedAt: number;
  readonly isOvertaken: boolean;
  readonly name: string;
  readonly message: string;
}

function factsOf(copy: ScannedLetter): Facts {
  if (!('letter' in copy)) {
    const { error, storedAt } = copy;
    return {
      letterKey: copy.ref,
      recordKey: undefined,
      location: null,
      id: copy.ref,
      errorCode: error.code,
      stage: 'unreadable',
      topic: '',
      partition: undefined,
      schemaId: undefined,
      firstFailedAt: storedAt,
      lastFailedAt: storedAt,
      storedAt,
      isOvertaken: false,
      name: error.name,
      message: error.message,
    };
  }
  const { letter, storedAt } = copy;
  const { code, stage, firstFailedAt, lastFailedAt, name, message } = letter.failure;
  const { topic, partition } = letter.record;
  return {
    letterKey: letterKey(letter),
    recordKey: copy.payload ? undefined : letter.record.key,
    // A value that cannot be read is no fault of the project's code.
    location: stage === 'handle' || stage === 'write' ? ownFrameOf(letter.failure) : null,
    id: letter.id,
    errorCode: code,
    stage,
    topic,
    partition,
    schemaId: letter.schemaId ?? undefined,
    firstFailedAt,
    lastFailedAt,
    storedAt,
    isOvertaken: copy.overtakenBy !== undefined,
    name,
    message,
  };
}

class OpenGroup {
  readonly #first: Facts;
  readonly #split: Readonly<Record<string, string>>;
  readonly #letters = new Set<string>();
  readonly #overtaken = new Set<string>();
  readonly #partitions = new Set<number>();
  /** Letters by record key, which is base64 behind a mark; none where the record has none. */
  readonly #keys = new Map<string, number>();
  #partition: number | undefined;
  #schemaId: string | undefined;
  #firstSeenAt: number;
  #lastSeenAt: number;
  #oldestStoredAt: number;

  constructor(first: Facts, split: Readonly<Record<string, string>>) {
    this.#first = first;
    this.#split = split;
    this.#partition = first.partition;
    this.#schemaId = first.schemaId;
    this.#firstSeenAt = first.firstFailedAt;
    this.#lastSeenAt = first.lastFailedAt;
    this.#oldestStoredAt = first.storedAt;
  }

  add(facts: Facts): void {
    if (facts.partition !== undefined) this.#partitions.add(facts.partition);
    if (facts.recordKey !== undefined && !this.#letters.has(facts.letterKey)) {
      const key = facts.recordKey === null ? '' : `=${facts.recordKey.toString('base64')}`;
      this.#keys.set(key, (this.#keys.get(key) ?? 0) + 1);
    }
    this.#letters.add(facts.letterKey);
    if (facts.isOvertaken) this.#overtaken.add(facts.letterKey);
    if (facts.partition !== this.#partition) this.#partition = undefined;
    if (facts.schemaId !== this.#schemaId) this.#schemaId = undefined;
    this.#firstSeenAt = Math.min(this.#firstSeenAt, facts.firstFailedAt);
    this.#lastSeenAt = Math.max(this.#lastSeenAt, facts.lastFailedAt);
    this.#oldestStoredAt = Math.min(this.#oldestStoredAt, facts.storedAt);
  }

  close(consumer: string, wording: Wording): LetterGroup {
    const { errorCode, stage, topic, id, name, message, location } = this.#first;
    const keys = [...this.#keys].sort(([, a], [, b]) => b - a).slice(0, MOST_KEYS);
    return {
      consumer,
      errorCode,
      stage,
      topic,
      errorName: name,
      location,
      ...(this.#partition !== undefined && { partition: this.#partition }),
      ...(this.#schemaId !== undefined && { schemaId: this.#schemaId }),
      partitions: [...this.#partitions].sort((a, b) => a - b),
      keys: keys.map(([key, count]) => ({
        key: wording.key(key === '' ? null : Buffer.from(key.slice(1), 'base64'), topic),
        count,
      })),
      keyCount: this.#keys.size,
      split: this.#split,
      count: this.#letters.size,
      overtaken: this.#overtaken.size,
      firstSeenAt: this.#firstSeenAt,
      lastSeenAt: this.#lastSeenAt,
      oldestStoredAt: this.#oldestStoredAt,
      sample: { id, name, message },
    };
  }
}

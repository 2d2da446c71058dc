/** Which dead letters there are: choosing some, and grouping them by what went wrong. */

import { letterKey } from '../delivery/dead-letter.ts';
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
    (offset === undefined || (record.offset >= offset.from && record.offset <= offset.to)) &&
    (since === undefined || failure.lastFailedAt >= since) &&
    (until === undefined || failure.lastFailedAt < until)
  );
}

/** Letters that failed alike. */
export interface LetterGroup {
  readonly consumer: string;
  readonly errorCode: string;
  readonly stage: string;
  readonly topic: string;
  /** Where all of the group have the same; so with `schemaId`. */
  readonly partition?: number;
  readonly schemaId?: string;
  /** Letters; copies of one letter count once. */
  readonly count: number;
  /** Epoch milliseconds: when the first of them first failed, and the last of them last. */
  readonly firstSeenAt: number;
  readonly lastSeenAt: number;
  /** Epoch milliseconds, from which the store's retention counts. */
  readonly oldestStoredAt: number;
  /** One letter's id, and its error's name and message. */
  readonly sample: { readonly id: string; readonly name: string; readonly message: string };
}

/** What may split a group further. */
export const SPLITS = ['partition', 'schema'] as const;
export type Split = (typeof SPLITS)[number];

/** Groups copies as they come; keeps no letter. The largest group first. */
export class Triage {
  readonly #consumer: string;
  readonly #by: ReadonlySet<Split>;
  readonly #groups = new Map<string, OpenGroup>();

  constructor(consumer: string, by: Iterable<Split> = []) {
    this.#consumer = consumer;
    this.#by = new Set(by);
  }

  /** Whether the copy is the first of its group, and so its sample. */
  add(copy: ScannedLetter): boolean {
    const facts = factsOf(copy);
    const key = JSON.stringify([
      facts.errorCode,
      facts.stage,
      facts.topic,
      this.#by.has('partition') && facts.partition,
      this.#by.has('schema') && facts.schemaId,
    ]);
    const group = this.#groups.get(key);
    if (group) group.add(facts);
    else this.#groups.set(key, new OpenGroup(facts));
    return group === undefined;
  }

  groups(): readonly LetterGroup[] {
    return [...this.#groups.values()]
      .map((group) => group.close(this.#consumer))
      .sort((a, b) => b.count - a.count || a.firstSeenAt - b.firstSeenAt);
  }
}

interface Facts {
  readonly key: string;
  readonly id: string;
  readonly errorCode: string;
  readonly stage: string;
  readonly topic: string;
  readonly partition: number | undefined;
  readonly schemaId: string | undefined;
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
  readonly storedAt: number;
  readonly name: string;
  readonly message: string;
}

function factsOf(copy: ScannedLetter): Facts {
  if (!('letter' in copy)) {
    const { error, storedAt } = copy;
    return {
      key: copy.ref,
      id: copy.ref,
      errorCode: error.code,
      stage: 'unreadable',
      topic: '',
      partition: undefined,
      schemaId: undefined,
      firstFailedAt: storedAt,
      lastFailedAt: storedAt,
      storedAt,
      name: error.name,
      message: error.message,
    };
  }
  const { letter, storedAt } = copy;
  const { code, stage, firstFailedAt, lastFailedAt, name, message } = letter.failure;
  const { topic, partition } = letter.record;
  return {
    key: letterKey(letter),
    id: letter.id,
    errorCode: code,
    stage,
    topic,
    partition,
    schemaId: letter.schemaId ?? undefined,
    firstFailedAt,
    lastFailedAt,
    storedAt,
    name,
    message,
  };
}

class OpenGroup {
  readonly #first: Facts;
  readonly #keys = new Set<string>();
  #partition: number | undefined;
  #schemaId: string | undefined;
  #firstSeenAt: number;
  #lastSeenAt: number;
  #oldestStoredAt: number;

  constructor(first: Facts) {
    this.#first = first;
    this.#keys.add(first.key);
    this.#partition = first.partition;
    this.#schemaId = first.schemaId;
    this.#firstSeenAt = first.firstFailedAt;
    this.#lastSeenAt = first.lastFailedAt;
    this.#oldestStoredAt = first.storedAt;
  }

  add(facts: Facts): void {
    this.#keys.add(facts.key);
    if (facts.partition !== this.#partition) this.#partition = undefined;
    if (facts.schemaId !== this.#schemaId) this.#schemaId = undefined;
    this.#firstSeenAt = Math.min(this.#firstSeenAt, facts.firstFailedAt);
    this.#lastSeenAt = Math.max(this.#lastSeenAt, facts.lastFailedAt);
    this.#oldestStoredAt = Math.min(this.#oldestStoredAt, facts.storedAt);
  }

  close(consumer: string): LetterGroup {
    const { errorCode, stage, topic, id, name, message } = this.#first;
    return {
      consumer,
      errorCode,
      stage,
      topic,
      ...(this.#partition !== undefined && { partition: this.#partition }),
      ...(this.#schemaId !== undefined && { schemaId: this.#schemaId }),
      count: this.#keys.size,
      firstSeenAt: this.#firstSeenAt,
      lastSeenAt: this.#lastSeenAt,
      oldestStoredAt: this.#oldestStoredAt,
      sample: { id, name, message },
    };
  }
}

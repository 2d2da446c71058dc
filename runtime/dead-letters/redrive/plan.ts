/** Which letters a redrive gives back, in which order, and which it leaves out. */
import { letterKey } from '../../delivery/dead-letter.ts';
import type { ObjectStore } from '../../objects.ts';
import { keyId } from '../../record.ts';
import { fetchIfKept } from '../queue-letters.ts';
import { copyName, type DeadLetterReader, type StoredLetter } from '../reader.ts';
import { type LetterFilter, matches } from '../triage.ts';

/** What a redrive gives back, fixed before it begins: what fails again meanwhile is none of it. */
export interface RedrivePlan extends ChosenLetters {
  readonly id: string;
  readonly consumer: string;
  /** Whether its letters may be applied although newer records of their keys were. */
  readonly mayBeOvertaken: boolean;
}

export interface ChosenLetters {
  /** By `letterKey`: the copies of the letter that are on the reader, by `copyName`. */
  readonly letters: ReadonlyMap<string, readonly string[]>;
  /**
   * By `letterKey`, of letters with an earlier one of their record's key in `letters`, the nearest such one. It has to be
   * applied first: queues keep no order, and the later one would overtake it.
   */
  readonly behind: ReadonlyMap<string, string>;
  /** How many letters match besides, and are left out because newer records of their keys were applied. */
  readonly leftOut: number;
  /** How many of `letters` were overtaken, and are given back all the same. */
  readonly overtaken: number;
  /** How many of `letters` come after a letter of their record's key that is not among them, as far as its key is at hand. */
  readonly passing: number;
}

export interface Choice {
  readonly filter: LetterFilter;
  readonly mayBeOvertaken: boolean;
  /** Whether the letters of a key are to be applied in order. */
  readonly inOrder: boolean;
}

/**
 * The letters on the reader that match, with all their copies. Looks once.
 * @throws QUEUE_UNAVAILABLE, OBJECT_STORE_UNAVAILABLE, TOPIC_UNKNOWN
 */
export async function chooseLetters(
  { reader, objects }: { readonly reader: DeadLetterReader; readonly objects: Pick<ObjectStore, 'get'> },
  { filter, mayBeOvertaken, inOrder }: Choice,
): Promise<ChosenLetters> {
  const matching = new Map<string, string[]>();
  const others = new Map<string, string[]>();
  const leftOut = new Set<string>();
  const overtaken = new Set<string>();
  /** By the record's key, its letters. */
  const ofKey = new Map<string, Map<string, number>>();
  /** By the record's key, the first offset of the letters that do not match. */
  const left = new Map<string, number>();
  for await (const copy of reader.scan()) {
    if (!('letter' in copy)) continue;
    const key = letterKey(copy.letter);
    const isMatch = matches(copy, filter);
    if (isMatch && copy.overtakenBy !== undefined && !mayBeOvertaken) {
      leftOut.add(key);
      continue;
    }
    if (isMatch && copy.overtakenBy !== undefined) overtaken.add(key);
    // A copy that failed otherwise is a copy all the same: once the record is applied, it is of no use.
    const into = isMatch ? matching : others;
    into.set(key, [...(into.get(key) ?? []), copyName(copy)]);
    if (!inOrder || into.get(key)!.length > 1) continue;
    // What is not given back is not worth a look at the object store.
    const recordKey = isMatch
      ? await recordKeyOf(copy, objects)
      : copy.payload
        ? null
        : copy.letter.record.key;
    if (recordKey === null) continue;
    const { record, epoch } = copy.letter;
    const id = `${epoch}/${record.topic}/${keyId({ partition: record.partition, key: recordKey })}`;
    if (isMatch) ofKey.set(id, (ofKey.get(id) ?? new Map<string, number>()).set(key, record.offset));
    else left.set(id, Math.min(left.get(id) ?? record.offset, record.offset));
  }
  const behind = new Map<string, string>();
  for (const offsets of ofKey.values()) {
    const queue = [...offsets].sort(([, a], [, b]) => a - b);
    for (const [at, [key]] of queue.entries()) if (at > 0) behind.set(key, queue[at - 1]![0]);
  }
  const letters = [...matching].map(
    ([key, copies]) => [key, [...copies, ...(others.get(key) ?? [])]] as const,
  );
  return {
    letters: new Map(letters),
    behind,
    leftOut: leftOut.size,
    overtaken: overtaken.size,
    passing: passingOf(ofKey, left),
  };
}

/** A letter that also matches by another copy is given back with the others, and passes nothing. */
function passingOf(
  chosen: ReadonlyMap<string, ReadonlyMap<string, number>>,
  left: ReadonlyMap<string, number>,
): number {
  let passing = 0;
  for (const [id, offsets] of chosen) {
    const first = left.get(id);
    if (first === undefined || [...offsets.values()].includes(first)) continue;
    for (const offset of offsets.values()) if (offset > first) passing++;
  }
  return passing;
}

/** Null also where its bytes are lost: such a letter is refused. */
async function recordKeyOf(copy: StoredLetter, objects: Pick<ObjectStore, 'get'>): Promise<Buffer | null> {
  const letter = copy.payload ? await fetchIfKept(copy, objects) : copy.letter;
  return letter?.record.key ?? null;
}

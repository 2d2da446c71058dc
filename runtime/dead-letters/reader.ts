import { type DeadLetter, letterKey } from '../delivery/dead-letter.ts';
import type { MillraceError } from '../errors.ts';
import type { PayloadPointer } from './json-envelope.ts';
import type { OutgoingMessage } from './queue.ts';

/**
 * One copy of a dead letter, as it is stored. Its letter has no key, value and headers where `payload` says that they
 * are in an object.
 */
export interface StoredLetter {
  /** The store's own name for this copy, the same in every scan. Two copies of a letter have two. */
  readonly ref: string;
  /** Epoch milliseconds, from which the store's retention counts. */
  readonly storedAt: number;
  readonly letter: DeadLetter;
  readonly payload: PayloadPointer | null;
  /** The message as it stands in its queue; null where the letter is not in one. */
  readonly message: OutgoingMessage | null;
  /** The offset of a newer record of its key that was applied since. @default none, as far as anybody has looked */
  readonly overtakenBy?: number;
}

/** Something among the dead letters that is no letter or cannot be read. */
export interface UnreadableLetter {
  readonly ref: string;
  readonly storedAt: number;
  readonly error: MillraceError;
  readonly message: OutgoingMessage | null;
}

export type ScannedLetter = StoredLetter | UnreadableLetter;

/**
 * Names a copy among all that ever were: a store that is made anew gives the same refs to other letters. For plans, which outlive
 * the scan that they were made from. When it was stored says less: a batch that was given up is stored again with each removal.
 */
export function copyName(copy: ScannedLetter): string {
  const { ref } = copy;
  if (!('letter' in copy)) return `${ref} ${copy.storedAt}`;
  return `${ref} ${letterKey(copy.letter)} ${copy.letter.failure.lastFailedAt}`;
}

/** One consumer's dead letters, for the person who looks after them. */
export interface DeadLetterReader {
  /**
   * Every copy that is there when the scan begins, each once, roughly oldest first. A scan changes nothing, except on SQS:
   * there it hides what it has shown until the loop ends, at most for a minute.
   * @throws QUEUE_UNAVAILABLE, OBJECT_STORE_UNAVAILABLE, TOPIC_UNKNOWN
   */
  scan(): AsyncIterable<StoredLetter | UnreadableLetter>;
  /**
   * The copy of this `ref` without a scan; undefined where it is gone, or where the store shows nothing but in a scan.
   * @throws QUEUE_UNAVAILABLE
   */
  find?(ref: string): Promise<StoredLetter | UnreadableLetter | undefined>;
  /** Deletes copies. One that is gone already is no error. Call it within a minute of `scan`. */
  remove(copies: readonly (StoredLetter | UnreadableLetter)[]): Promise<void>;
}

/** Several readers as one, one after the other: the queue, the topic, the batches given up. */
export function joinReaders(readers: Readonly<Record<string, DeadLetterReader>>): DeadLetterReader {
  const cameFrom = new WeakMap<
    object,
    { readonly reader: DeadLetterReader; readonly own: StoredLetter | UnreadableLetter }
  >();
  return {
    async *scan() {
      for (const [name, reader] of Object.entries(readers)) {
        for await (const own of reader.scan()) {
          // Two readers may call their copies the same.
          const shown = { ...own, ref: `${name}:${own.ref}` };
          cameFrom.set(shown, { reader, own });
          yield shown;
        }
      }
    },
    async find(ref) {
      const [, name = '', own = ''] = /^([^:]*):(.*)$/s.exec(ref) ?? [];
      const reader = Object.hasOwn(readers, name) ? readers[name] : undefined;
      const found = await reader?.find?.(own);
      return found && { ...found, ref };
    },
    async remove(copies) {
      const known = copies.map((copy) => cameFrom.get(copy)).filter((each) => each !== undefined);
      for (const [reader, theirs] of Map.groupBy(known, (each) => each.reader)) {
        await reader.remove(theirs.map(({ own }) => own));
      }
    },
  };
}

/** So many are kept, and then taken away, at a time: more of many, so that it is noted some hundred times how far it is. */
const batchOf = (letters: number) => Math.min(100, Math.max(10, Math.ceil(letters / 100)));

/**
 * Deletes the copies of these names (`copyName`), and none that came later. `keep` makes them durable elsewhere before they go.
 * @returns how many there were
 */
export async function discardLetters(
  reader: DeadLetterReader,
  names: ReadonlySet<string>,
  keep: (copies: readonly ScannedLetter[]) => Promise<void>,
): Promise<number> {
  let discarded = 0;
  let batch: ScannedLetter[] = [];
  const flush = async () => {
    if (batch.length === 0) return;
    await keep(batch);
    await reader.remove(batch);
    discarded += batch.length;
    batch = [];
  };
  for await (const copy of reader.scan()) {
    if (!names.has(copyName(copy))) continue;
    batch.push(copy);
    if (batch.length >= batchOf(names.size)) await flush();
  }
  await flush();
  return discarded;
}

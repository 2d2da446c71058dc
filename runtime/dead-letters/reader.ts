import type { DeadLetter } from '../delivery/dead-letter.ts';
import type { MillraceError } from '../errors.ts';
import type { PayloadPointer } from './json-envelope.ts';
import type { OutgoingMessage } from './queue.ts';

/**
 * One copy of a dead letter, as it is stored. Its letter has no key, value and headers where `payload` says that they
 * are in an object.
 */
export interface StoredLetter {
  /** The store's own name for this copy, the same each time one looks: two copies of a letter have two. */
  readonly copy: string;
  /** Epoch milliseconds, from which the store's retention counts. */
  readonly storedAt: number;
  readonly letter: DeadLetter;
  readonly payload: PayloadPointer | null;
  /** The message as it stands in its queue; null where the letter is not in one. */
  readonly message: OutgoingMessage | null;
}

/** What stands among the dead letters and is none that can be read. */
export interface UnreadableLetter {
  readonly copy: string;
  readonly storedAt: number;
  readonly error: MillraceError;
  readonly message: OutgoingMessage | null;
}

export type Copy = StoredLetter | UnreadableLetter;

/** One consumer's dead letters, for the person who looks after them. */
export interface DeadLetterShelf {
  /**
   * Every copy that is there when the look begins, each once, roughly oldest first. Looking costs nothing but on SQS,
   * which hides what it shows: until the loop ends, and at most for a minute.
   * @throws QUEUE_UNAVAILABLE, OBJECT_STORE_UNAVAILABLE, TOPIC_UNKNOWN
   */
  look(): AsyncIterable<StoredLetter | UnreadableLetter>;
  /** Takes copies away for good. One that is gone already is no error. Between `look` and this, not a minute may pass. */
  remove(copies: readonly (StoredLetter | UnreadableLetter)[]): Promise<void>;
}

/** Several shelves as one, one after the other: the queue, the topic, the batches given up. */
export function joinShelves(shelves: Readonly<Record<string, DeadLetterShelf>>): DeadLetterShelf {
  const cameFrom = new WeakMap<
    object,
    { readonly shelf: DeadLetterShelf; readonly own: StoredLetter | UnreadableLetter }
  >();
  return {
    async *look() {
      for (const [name, shelf] of Object.entries(shelves)) {
        for await (const own of shelf.look()) {
          // Two shelves may call their copies the same.
          const shown = { ...own, copy: `${name}:${own.copy}` };
          cameFrom.set(shown, { shelf, own });
          yield shown;
        }
      }
    },
    async remove(copies) {
      const known = copies.map((copy) => cameFrom.get(copy)).filter((each) => each !== undefined);
      for (const [shelf, theirs] of Map.groupBy(known, (each) => each.shelf)) {
        await shelf.remove(theirs.map(({ own }) => own));
      }
    },
  };
}

/** So many are kept, and then taken away, at a time. */
const BATCH = 10;

/**
 * Takes the named copies off the shelf, and none that came later. `keep` makes them durable elsewhere before they go.
 * @returns how many there were
 */
export async function discardCopies(
  shelf: DeadLetterShelf,
  names: ReadonlySet<string>,
  keep: (copies: readonly Copy[]) => Promise<void>,
): Promise<number> {
  let discarded = 0;
  let batch: Copy[] = [];
  const flush = async () => {
    if (batch.length === 0) return;
    await keep(batch);
    await shelf.remove(batch);
    discarded += batch.length;
    batch = [];
  };
  for await (const copy of shelf.look()) {
    if (!names.has(copy.copy)) continue;
    batch.push(copy);
    if (batch.length === BATCH) await flush();
  }
  await flush();
  return discarded;
}

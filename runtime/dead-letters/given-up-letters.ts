import { MillraceError } from '../errors.ts';
import type { DeadLetterShelf, ObjectStore, StoredLetter, UnreadableLetter } from '../ports.ts';
import { parseJson } from './fields.ts';
import { readGivenUpBatch } from './given-up-batch.ts';

/** Where Lambda puts the batches it gives up on: https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html (2026-11-25) */
export const GIVEN_UP_PREFIX = 'aws/lambda/';

/**
 * The batches that the event source gave up on, record by record: each is a letter, since the ledger keeps it as a
 * hole. A batch goes away when all of its records were removed.
 */
export function createGivenUpShelf({
  of,
  objects,
}: {
  readonly of: { readonly consumer: string; readonly epoch: number; readonly topic: string };
  readonly objects: ObjectStore;
}): DeadLetterShelf {
  /** How many records of a batch there were, and which of them were removed. */
  const batches = new Map<string, { readonly letters: number; readonly removed: Set<string> }>();

  async function* lettersOf(key: string, storedAt: number): AsyncIterable<StoredLetter | UnreadableLetter> {
    const document = await objects.get(key);
    if (!document) return;
    try {
      const { letters } = readGivenUpBatch(parseJson(document.toString()), of);
      batches.set(key, { letters: letters.length, removed: batches.get(key)?.removed ?? new Set() });
      for (const letter of letters) {
        yield { copy: `${key}#${letter.id}`, storedAt, letter, payload: null, message: null };
      }
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      yield { copy: `${key}#`, storedAt, error, message: { body: document.toString() } };
    }
  }

  return {
    async *look() {
      for await (const { key, storedAt } of objects.list(GIVEN_UP_PREFIX)) yield* lettersOf(key, storedAt);
    },
    async remove(copies) {
      const emptied = new Set<string>();
      for (const { copy } of copies) {
        const key = copy.slice(0, copy.indexOf('#'));
        const batch = batches.get(key);
        batch?.removed.add(copy);
        if (!batch || batch.removed.size >= batch.letters) emptied.add(key);
      }
      await objects.delete([...emptied]);
    },
  };
}

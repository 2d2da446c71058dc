import type { DeadLetterShelf, StoredLetter, UnreadableLetter } from '../ports.ts';

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

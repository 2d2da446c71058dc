import { letterKey } from '../delivery/dead-letter.ts';
import type { DeadLetterReader, StoredLetter, UnreadableLetter } from './reader.ts';

/** By `letterKey`, letters that were overtaken: each with the offset of the first newer record of its key that was applied since. */
export type OvertakenLetters = ReadonlyMap<string, number>;

/**
 * The same letters, with `overtakenBy` on those that were overtaken.
 * @param read is called in each scan that finds a letter, so that nobody asks the sink for nothing
 */
export function withOvertaken(
  reader: DeadLetterReader,
  read: () => Promise<OvertakenLetters>,
): DeadLetterReader {
  const owns = new WeakMap<object, StoredLetter | UnreadableLetter>();
  return {
    async *scan() {
      let overtaken: OvertakenLetters | undefined;
      for await (const own of reader.scan()) {
        if (!('letter' in own)) {
          yield own;
          continue;
        }
        overtaken ??= await read();
        const overtakenBy = overtaken.get(letterKey(own.letter));
        const shown = overtakenBy === undefined ? own : { ...own, overtakenBy };
        owns.set(shown, own);
        yield shown;
      }
    },
    remove: (copies) => reader.remove(copies.map((copy) => owns.get(copy) ?? copy)),
  };
}

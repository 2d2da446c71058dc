import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { DeadLetterReader, DeadLetterStore } from '../../runtime/ports.ts';
import { deadLetter } from '../dead-letters.ts';

/** What every dead-letter store that can be read must do. `open` gives an empty one each time. */
export function deadLetterStoreSuite(
  name: string,
  open: () => { readonly letters: DeadLetterStore & DeadLetterReader; readonly dispose: () => void },
): void {
  describe(`${name} as a dead-letter store`, () => {
    let letters: DeadLetterStore & DeadLetterReader;
    let dispose: () => void;

    beforeEach(() => {
      ({ letters, dispose } = open());
    });
    afterEach(() => dispose());

    const ids = async (consumer: string, limit = 100) =>
      (await letters.list(consumer, { limit })).map(({ id }) => id);

    test('gives back the letter it was given, to the byte', async () => {
      const letter = deadLetter({
        offset: 7,
        key: Buffer.alloc(0),
        value: Buffer.from([0, 255, 195, 40]),
        headers: [
          { name: 'h', value: Buffer.from([195]) },
          { name: 'h', value: null },
        ],
      });
      await letters.put([letter]);
      expect(await letters.find(letter.id)).toEqual(letter);
      expect(await letters.list('c', { limit: 1 })).toEqual([letter]);
    });

    test('keeps null apart from empty', async () => {
      const nulls = deadLetter({ offset: 1, key: null, value: null });
      const empties = deadLetter({ offset: 2, key: Buffer.alloc(0), value: Buffer.alloc(0) });
      await letters.put([nulls, empties]);
      expect(await letters.list('c', { limit: 2 })).toEqual([nulls, empties]);
    });

    test('lists oldest first, in pages', async () => {
      const put = [3, 1, 2, 5, 4].map((offset) => deadLetter({ offset }));
      await letters.put(put.slice(0, 2));
      await letters.put(put.slice(2));
      const first = await letters.list('c', { limit: 2 });
      const second = await letters.list('c', { limit: 2, after: first[1]!.id });
      const third = await letters.list('c', { limit: 2, after: second[1]!.id });
      expect([...first, ...second, ...third]).toEqual(put);
      expect(await letters.list('c', { limit: 2, after: put.at(-1)!.id })).toEqual([]);
    });

    test('shows a letter that was put again once, with its newest failure', async () => {
      const first = deadLetter({ offset: 1, attempts: 1 });
      const again = deadLetter({ offset: 1, attempts: 2 });
      const other = deadLetter({ offset: 2 });
      await letters.put([first, other]);
      await letters.put([again]);
      expect(await letters.count('c')).toBe(2);
      expect(await letters.find(first.id)).toEqual(again);
      expect((await ids('c')).toSorted()).toEqual([first.id, other.id].toSorted());
    });

    test('visits every letter once, also where some are put again between two pages', async () => {
      const put = [1, 2, 3].map((offset) => deadLetter({ offset }));
      await letters.put(put);
      const seen: string[] = [];
      for (;;) {
        const page = await letters.list('c', {
          limit: 1,
          ...(seen.length > 0 ? { after: seen.at(-1)! } : {}),
        });
        if (page.length === 0) break;
        seen.push(page[0]!.id);
        await letters.put([put[0]!]);
      }
      expect(seen).toEqual(put.map(({ id }) => id));
    });

    test('keeps consumers apart', async () => {
      const own = deadLetter({ offset: 1 });
      const foreign = deadLetter({ offset: 1, consumer: 'd' });
      await letters.put([own, foreign]);
      expect(await ids('c')).toEqual([own.id]);
      expect(await letters.count('d')).toBe(1);
      expect(await letters.find(foreign.id)).toEqual(foreign);
      expect(await letters.count('e')).toBe(0);
    });

    test('finds nothing where there is nothing', async () => {
      await letters.put([]);
      expect(await letters.find('c/t/0/1')).toBeUndefined();
      expect(await letters.list('c', { limit: 10 })).toEqual([]);
    });

    test('looking changes nothing', async () => {
      const letter = deadLetter({ offset: 1 });
      await letters.put([letter]);
      for (let look = 0; look < 3; look++) {
        expect(await letters.list('c', { limit: 10 })).toEqual([letter]);
        expect(await letters.find(letter.id)).toEqual(letter);
        expect(await letters.count('c')).toBe(1);
      }
    });
  });
}

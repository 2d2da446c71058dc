import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { DeadLetterReader, StoredLetter, UnreadableLetter } from '../../runtime/dead-letters/reader.ts';
import { type DeadLetter, type DeadLetterStore, deadLetterId } from '../../runtime/delivery/dead-letter.ts';
import { anyLetter, deadLetter } from '../dead-letters.ts';

/** Where the dead letters of consumer `c`, epoch 1, topic `t` are kept. */
export interface DeadLettersFixture {
  readonly store: DeadLetterStore;
  readonly reader: DeadLetterReader;
  /** The letter with its bytes, wherever these are. */
  whole(stored: StoredLetter): Promise<DeadLetter>;
  /** Puts what is no letter where the letters are. */
  putUnreadable(): Promise<void>;
  now(): number;
  /** By how much the times may differ from `now`. */
  readonly clockToleranceMs: number;
  /** More letters than are looked at in one go. */
  readonly manyLetters: number;
  /** How often properties are tried. */
  readonly runs: number;
  dispose(): Promise<void>;
}

/** What every store of dead letters that can be looked at must do. `open` gives an empty one each time. */
export function deadLetterSuite(
  name: string,
  open: () => Promise<DeadLettersFixture>,
  timeoutMs = 5_000,
): void {
  describe(`${name} as a place for dead letters`, () => {
    let fixture: DeadLettersFixture;
    let store: DeadLetterStore;
    let reader: DeadLetterReader;

    beforeEach(async () => {
      fixture = await open();
      ({ store, reader } = fixture);
    }, timeoutMs);
    afterEach(() => fixture.dispose());

    const checked = (what: string, run: () => Promise<void>) => test(what, run, timeoutMs);

    const scan = () => Array.fromAsync(reader.scan());
    const isLetter = (copy: StoredLetter | UnreadableLetter): copy is StoredLetter => 'letter' in copy;
    const byId = (letters: readonly DeadLetter[]) =>
      letters.toSorted((a, b) => Buffer.compare(Buffer.from(a.id), Buffer.from(b.id)));
    /** Every letter that is there, whole, sorted by id: readers show roughly the oldest first. */
    const letters = async () => {
      const copies = await scan();
      expect(copies.filter((copy) => !isLetter(copy))).toEqual([]);
      return byId(await Promise.all(copies.filter(isLetter).map((copy) => fixture.whole(copy))));
    };
    const ids = (copies: readonly (StoredLetter | UnreadableLetter)[]) =>
      copies.map((copy) => (isLetter(copy) ? copy.letter.id : 'unreadable')).toSorted();

    const ownLetter = fc
      .record({ letter: anyLetter, message: fc.string({ unit: 'binary' }), stack: fc.string() })
      .map(({ letter, message, stack }): DeadLetter => {
        const record = { ...letter.record, topic: 't' };
        const failure = { ...letter.failure, message, stack };
        return { ...letter, consumer: 'c', id: deadLetterId('c', record), record, failure };
      });

    checked('gives back what it was given, whatever it holds', async () => {
      const put: DeadLetter[] = [];
      const some = fc.uniqueArray(ownLetter, { maxLength: 12, selector: ({ id }) => id });
      await fc.assert(
        fc.asyncProperty(some, async (more) => {
          await store.put(more);
          put.push(...more);
        }),
        { numRuns: fixture.runs },
      );
      expect(await letters()).toEqual(byId(put));
    });

    checked('keeps every byte of key, value and headers, and null apart from empty', async () => {
      const empty = Buffer.alloc(0);
      const noText = Buffer.from([0, 255, 195, 40]);
      const put = [
        deadLetter({ offset: 1, key: null, value: null }),
        deadLetter({ offset: 2, key: empty, value: empty }),
        deadLetter({ offset: 3, key: noText, value: noText }),
        deadLetter({
          offset: 4,
          headers: [
            { name: 'h', value: noText },
            { name: 'h', value: null },
            { name: '', value: empty },
            { name: 'h', value: noText },
          ],
        }),
        // As if they were records of dead-letter topics themselves.
        deadLetter({
          offset: 5,
          value: null,
          headers: [{ name: 'millrace.dlq.closed', value: Buffer.from('t/0/1') }],
        }),
        deadLetter({ offset: 6, headers: [{ name: 'millrace.dlq.own-headers', value: Buffer.from('0') }] }),
        deadLetter({ offset: 7, headers: [{ name: 'kafka_dlt-original-topic', value: Buffer.from('t') }] }),
      ];
      await store.put(put);
      expect(await letters()).toEqual(put);
    });

    checked('keeps a value of 900 kB', async () => {
      const value = Buffer.alloc(900_000, Buffer.from([0, 255, 195, 40, 7]));
      const put = deadLetter({ value, headers: [{ name: 'h', value: null }] });
      await store.put([put, deadLetter({ offset: 1 })]);
      const [large, small] = await letters();
      expect(large!.record.value!.equals(value)).toBe(true);
      expect({ ...large!, record: { ...large!.record, value: null } }).toEqual({
        ...put,
        record: { ...put.record, value: null },
      });
      expect(small).toEqual(deadLetter({ offset: 1 }));
    });

    checked('is empty at first, and after nothing was put and nothing removed', async () => {
      expect(await scan()).toEqual([]);
      await store.put([]);
      await reader.remove([]);
      expect(await scan()).toEqual([]);
    });

    checked('shows every copy once, however many there are', async () => {
      const put = Array.from({ length: fixture.manyLetters }, (_, offset) =>
        deadLetter({ offset, key: Buffer.from(`key-${offset}`) }),
      );
      await store.put(put);
      const copies = await scan();
      expect(ids(copies)).toEqual(put.map(({ id }) => id).toSorted());
      expect(new Set(copies.map(({ ref }) => ref)).size).toBe(put.length);
    });

    checked('shows a letter that was put twice as two copies, each with its own failure', async () => {
      await store.put([deadLetter({ attempts: 1 })]);
      await store.put([deadLetter({ attempts: 2 })]);
      const copies = (await scan()).filter(isLetter);
      expect(copies.map(({ letter }) => letter.id)).toEqual(['c/t/0/0', 'c/t/0/0']);
      expect(copies.map(({ letter }) => letter.failure.attempts).toSorted()).toEqual([1, 2]);
      expect(new Set(copies.map(({ ref }) => ref)).size).toBe(2);

      const second = copies.filter(({ letter }) => letter.failure.attempts === 2);
      await reader.remove(second);
      expect(await letters()).toEqual([deadLetter({ attempts: 1 })]);
    });

    checked('shows the same copies, under the same names, each time', async () => {
      await store.put([1, 2, 3].map((offset) => deadLetter({ offset })));
      const names = async () => (await scan()).map(({ ref }) => ref).toSorted();
      const first = await names();
      expect(await names()).toEqual(first);
      expect(await names()).toEqual(first);
    });

    checked('tells when a copy was stored', async () => {
      await store.put([deadLetter()]);
      const [copy] = await scan();
      expect(Math.abs(copy!.storedAt - fixture.now())).toBeLessThanOrEqual(fixture.clockToleranceMs);
    });

    checked('removes the copies that are named, and nothing else', async () => {
      await store.put([1, 2, 3, 4].map((offset) => deadLetter({ offset })));
      const copies = (await scan()).filter(isLetter);
      await reader.remove(copies.filter(({ letter }) => letter.record.offset % 2 === 0));
      expect(ids(await scan())).toEqual(['c/t/0/1', 'c/t/0/3']);
    });

    checked('removes copies while it is looked at', async () => {
      await store.put([1, 2, 3].map((offset) => deadLetter({ offset })));
      let shown = 0;
      for await (const copy of reader.scan()) {
        shown++;
        if (isLetter(copy) && copy.letter.record.offset !== 2) await reader.remove([copy]);
      }
      expect(shown).toBe(3);
      expect(ids(await scan())).toEqual(['c/t/0/2']);
    });

    checked(
      'takes what is removed already for removed, and lets the same letter be stored again',
      async () => {
        await store.put([deadLetter(), deadLetter({ offset: 1 })]);
        const removed = (await scan()).filter((copy) => isLetter(copy) && copy.letter.record.offset === 0);
        await reader.remove(removed);
        await reader.remove(removed);
        expect(ids(await scan())).toEqual(['c/t/0/1']);
        await store.put([deadLetter()]);
        expect(ids(await scan())).toEqual(['c/t/0/0', 'c/t/0/1']);
        await reader.remove(await scan());
        expect(await scan()).toEqual([]);
      },
    );

    checked('shows what cannot be read with the error, among the letters, and removes it', async () => {
      await store.put([deadLetter()]);
      await fixture.putUnreadable();
      await store.put([deadLetter({ offset: 1 })]);
      const copies = await scan();
      expect(ids(copies)).toEqual(['c/t/0/0', 'c/t/0/1', 'unreadable']);
      const [unreadable, ...others] = copies.filter((copy) => !isLetter(copy));
      expect(others).toEqual([]);
      expect(unreadable).toMatchObject({ error: { code: 'DEAD_LETTER_UNREADABLE' } });
      await reader.remove([unreadable!]);
      expect(ids(await scan())).toEqual(['c/t/0/0', 'c/t/0/1']);
    });
  });
}

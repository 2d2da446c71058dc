import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { ObjectStore } from '../../runtime/objects.ts';

/** What the suite needs of a technology. */
export interface ObjectStoreFixture {
  /** An empty store that nobody else uses. */
  openStore(): Promise<ObjectStore>;
  now(): number;
  wait(ms: number): Promise<void>;
  /** By how much the store's times may differ from `now`. */
  readonly clockToleranceMs: number;
  /** More objects than a store lists in one go. */
  readonly manyObjects: number;
  /** How often properties are tried. */
  readonly runs: number;
  dispose(): Promise<void>;
}

/** What every object store must do. */
export function objectStoreSuite(
  name: string,
  open: () => Promise<ObjectStoreFixture>,
  timeoutMs = 5_000,
): void {
  describe(`${name} as an object store`, () => {
    let fixture: ObjectStoreFixture;
    beforeAll(async () => {
      fixture = await open();
    });
    afterAll(() => fixture.dispose());

    const checked = (what: string, run: () => Promise<void>) => test(what, run, timeoutMs);

    const list = (store: ObjectStore, prefix = '') => Array.fromAsync(store.list(prefix));
    const keysOf = async (store: ObjectStore, prefix = '') =>
      (await list(store, prefix)).map(({ key }) => key);
    const putAll = async (store: ObjectStore, keys: readonly string[]) => {
      const waiting = [...keys];
      const worker = async () => {
        for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) {
          await store.put(key, Buffer.from(key));
        }
      };
      await Promise.all(Array.from({ length: 8 }, worker));
    };

    // In this order by their UTF-8 bytes, and in another one by their UTF-16 units: the last two.
    const CHARACTERS = ['%', '-', '1', 'A', '_', 'a', 'b', 'é', '\ufffd', '🦊'];
    const segment = fc.string({ unit: fc.constantFrom(...CHARACTERS), minLength: 1, maxLength: 3 });
    const keys = fc.array(segment, { minLength: 1, maxLength: 3 }).map((segments) => segments.join('/'));
    const body = fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes));

    checked('holds what a map of the same puts and deletes holds, whatever the keys', async () => {
      const step = fc.oneof(
        { weight: 3, arbitrary: fc.record({ put: keys, body }) },
        { weight: 1, arbitrary: fc.record({ delete: fc.array(keys, { maxLength: 3 }) }) },
      );
      const prefixes = fc.array(fc.oneof(segment, keys, fc.constant('')), { minLength: 1, maxLength: 4 });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 20 }), prefixes, async (steps, looks) => {
          const store = await fixture.openStore();
          const model = new Map<string, Buffer>();
          for (const each of steps) {
            if ('put' in each) {
              await store.put(each.put, each.body);
              model.set(each.put, each.body);
            } else {
              await store.delete(each.delete);
              for (const key of each.delete) model.delete(key);
            }
          }
          for (const prefix of looks) {
            const expected = [...model]
              .filter(([key]) => key.startsWith(prefix))
              .sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
              .map(([key, { length }]) => ({ key, bytes: length }));
            expect((await list(store, prefix)).map(({ key, bytes }) => ({ key, bytes }))).toEqual(expected);
          }
          for (const [key, bytes] of model) expect(await store.get(key)).toEqual(bytes);
        }),
        { numRuns: fixture.runs },
      );
    });

    checked('gives back every byte, of nothing up to 2 MB', async () => {
      const store = await fixture.openStore();
      const large = Buffer.alloc(2_000_000, Buffer.from([0, 255, 195, 40, 13, 10]));
      await store.put('large', large);
      await store.put('empty', Buffer.alloc(0));
      expect((await store.get('large'))!.equals(large)).toBe(true);
      expect(await store.get('empty')).toEqual(Buffer.alloc(0));
      expect((await list(store)).map(({ key, bytes }) => [key, bytes])).toEqual([
        ['empty', 0],
        ['large', 2_000_000],
      ]);
    });

    checked('replaces an object of the same key, with its size and its time', async () => {
      const store = await fixture.openStore();
      await store.put('k', Buffer.from('before'));
      const [before] = await list(store);
      await fixture.wait(1_100);
      await store.put('k', Buffer.from('later'));
      const [after, ...others] = await list(store);
      expect(others).toEqual([]);
      expect(after).toMatchObject({ key: 'k', bytes: 5 });
      expect(after!.storedAt).toBeGreaterThan(before!.storedAt);
      expect(await store.get('k')).toEqual(Buffer.from('later'));
    });

    checked(
      'creates an object once, with what stands beside it, and leaves one that is there alone',
      async () => {
        const store = await fixture.openStore();
        expect(await store.create('k', Buffer.from('first'), { next: '12', holes: '1-3,7' })).toBe(true);
        expect(await store.create('k', Buffer.from('second'), { next: '13' })).toBe(false);
        expect(await store.get('k')).toEqual(Buffer.from('first'));
        expect(await store.metadata('k')).toEqual({ next: '12', holes: '1-3,7' });
        expect(await store.open('k')).toEqual({
          body: Buffer.from('first'),
          metadata: { next: '12', holes: '1-3,7' },
        });
        expect(await store.metadata('other')).toBeUndefined();
        expect(await store.open('other')).toBeUndefined();
        await store.put('k', Buffer.from('third'));
        expect(await store.metadata('k')).toEqual({});
        await store.delete(['k']);
        expect(await store.create('k', Buffer.from('anew'), {})).toBe(true);
      },
    );

    checked('lets one of many writers create an object', async () => {
      const store = await fixture.openStore();
      const writers = Array.from({ length: 16 }, (_, writer) => String(writer));
      const made = await Promise.all(
        writers.map((writer) => store.create('k', Buffer.from(writer), { writer })),
      );
      expect(made.filter((each) => each)).toHaveLength(1);
      const winner = String(made.indexOf(true));
      expect(await store.get('k')).toEqual(Buffer.from(winner));
      expect(await store.metadata('k')).toEqual({ writer: winner });
    });

    checked('lists what stands behind a key, in pages of any size', async () => {
      const store = await fixture.openStore();
      const all = ['a/1', 'a/2', 'a/2/x', 'a/3', 'b/1'];
      await putAll(store, all);
      const behind = async (key: string, pageSize = 2) =>
        (await Array.fromAsync(store.list('a/', { after: key, pageSize }))).map((each) => each.key);
      expect(await behind('')).toEqual(['a/1', 'a/2', 'a/2/x', 'a/3']);
      expect(await behind('a/2')).toEqual(['a/2/x', 'a/3']);
      expect(await behind('a/2', 1)).toEqual(['a/2/x', 'a/3']);
      expect(await behind('a/25')).toEqual(['a/3']);
      expect(await behind('a/3')).toEqual([]);
      expect(await behind('c')).toEqual([]);
    });

    checked('names the folders under a prefix, each once', async () => {
      const store = await fixture.openStore();
      await putAll(store, [
        't/2026-01-02/b',
        't/2026-01-01/a',
        't/2026-01-01/c',
        't/alone',
        't2/x/y',
        't/é/z',
      ]);
      expect(await Array.fromAsync(store.folders('t/'))).toEqual(['2026-01-01', '2026-01-02', 'é']);
      expect(await Array.fromAsync(store.folders('t'))).toEqual(['', '2']);
      expect(await Array.fromAsync(store.folders('none/'))).toEqual([]);
    });

    checked('tells when an object was stored', async () => {
      const store = await fixture.openStore();
      await store.put('k', Buffer.from('x'));
      const storedAt = fixture.now();
      await fixture.wait(1_000);
      const [object] = await list(store);
      expect(Math.abs(object!.storedAt - storedAt)).toBeLessThanOrEqual(fixture.clockToleranceMs);
    });

    checked('has nothing under a key that was never put, or was deleted', async () => {
      const store = await fixture.openStore();
      expect(await store.get('k')).toBeUndefined();
      await store.put('k', Buffer.from('x'));
      await store.put('k/below', Buffer.from('y'));
      await store.delete(['k']);
      expect(await store.get('k')).toBeUndefined();
      expect(await keysOf(store)).toEqual(['k/below']);
    });

    checked('deletes what is there, and takes what is not for deleted', async () => {
      const store = await fixture.openStore();
      await store.delete([]);
      await store.delete(['nothing']);
      await putAll(store, ['a', 'b', 'c']);
      await store.delete(['a', 'nothing', 'c']);
      expect(await keysOf(store)).toEqual(['b']);
    });

    checked('lists by the prefix as it is written: no pattern, no other case, no neighbour', async () => {
      const store = await fixture.openStore();
      const all = ['a%', 'a%/x', 'a_', 'a_/x', 'ab', 'ab/x', 'A_', 'aé', 'a\ufffd', 'a🦊', 'b'];
      await putAll(store, all);
      expect(await keysOf(store, 'a%')).toEqual(['a%', 'a%/x']);
      expect(await keysOf(store, 'a_')).toEqual(['a_', 'a_/x']);
      expect(await keysOf(store, 'a_/x')).toEqual(['a_/x']);
      expect(await keysOf(store, 'a🦊')).toEqual(['a🦊']);
      expect(await keysOf(store, 'a')).toEqual(all.filter((key) => key.startsWith('a')));
      expect(await keysOf(store, 'nobody')).toEqual([]);
    });

    checked('lists every object once, however many there are, also while they are deleted', async () => {
      const store = await fixture.openStore();
      const many = Array.from({ length: fixture.manyObjects }, (_, index) => `m/${1e6 + index}`);
      await putAll(store, [...many, 'l', 'm', 'm0', 'n']);
      expect(await keysOf(store, 'm/')).toEqual(many);
      const seen: string[] = [];
      for await (const { key } of store.list('m/')) {
        seen.push(key);
        // Not each by itself: a thousand requests prove no more.
        if (seen.length % 500 === 0) await store.delete(seen.slice(-500));
      }
      expect(seen).toEqual(many);
      await store.delete(many);
      expect(await keysOf(store)).toEqual(['l', 'm', 'm0', 'n']);
    });

    checked('is not changed by what is done to the buffers that went in and came out', async () => {
      const store = await fixture.openStore();
      const given = Buffer.from('as put');
      await store.put('k', given);
      given.fill(0);
      const got = await store.get('k');
      expect(got).toEqual(Buffer.from('as put'));
      got!.fill(0);
      expect(await store.get('k')).toEqual(Buffer.from('as put'));
    });

    checked('keeps nothing in common with another store', async () => {
      const [one, other] = [await fixture.openStore(), await fixture.openStore()];
      await one.put('k', Buffer.from('of one'));
      expect(await other.get('k')).toBeUndefined();
      expect(await keysOf(other)).toEqual([]);
      await other.put('k', Buffer.from('of the other'));
      await other.delete(['k']);
      expect(await one.get('k')).toEqual(Buffer.from('of one'));
    });
  });
}

import { describe, expect, test } from '@jest/globals';
import { pageOf } from '../../../cli/console/paging.ts';
import { recently } from '../../../cli/console/recent.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';

describe('recent answers', () => {
  const counting = (keptMs = 1_000, patienceMs = 1) => {
    const clock = createFakeClock({ startsAt: 0 });
    let gate: Promise<unknown> = Promise.resolve();
    let asked = 0;
    const ask = recently(
      async (key) => {
        const answer = `${key}${++asked}`;
        await gate;
        return answer;
      },
      { keptMs, patienceMs, clock },
    );
    return {
      clock,
      ask,
      hold: (by: Promise<unknown>) => {
        gate = by;
      },
    };
  };

  test('are given again while they are young, by key', async () => {
    const { clock, ask } = counting();
    expect(await ask('a')).toEqual({ answer: 'a1', asOf: 0 });
    await clock.advance(999);
    expect(await ask('a')).toEqual({ answer: 'a1', asOf: 0 });
    expect(await ask('b')).toEqual({ answer: 'b2', asOf: 999 });
    await clock.advance(1);
    expect(await ask('a')).toEqual({ answer: 'a3', asOf: 1_000 });
  });

  test('are asked for once by all who ask at once', async () => {
    const { ask } = counting();
    expect(await Promise.all([ask('a'), ask('a'), ask('a')])).toEqual(
      Array(3).fill({ answer: 'a1', asOf: 0 }),
    );
  });

  test('may be old where the newer one takes long, and say so', async () => {
    const { clock, ask, hold } = counting();
    await ask('a');
    await clock.advance(5_000);
    const { promise, resolve } = Promise.withResolvers<void>();
    hold(promise);
    expect(await ask('a')).toEqual({ answer: 'a1', asOf: 0 });
    resolve();
    await expect(ask('a')).resolves.toMatchObject({ answer: 'a2' });
  });

  test('do not stand in for an error', async () => {
    const { clock, ask, hold } = counting(1_000, 60_000);
    await ask('a');
    await clock.advance(5_000);
    const failed = Promise.reject(new Error('down'));
    failed.catch(() => {});
    hold(failed);
    await expect(ask('a')).rejects.toThrow('down');
    hold(Promise.resolve());
    expect(await ask('a')).toMatchObject({ answer: 'a3' });
  });
});

describe('pages of a list', () => {
  const items = ['Alpha', 'beta', 'gamma', 'alphabet'];
  const page = (query: Parameters<typeof pageOf>[1]) => pageOf(items, query, (item) => item);

  test('follow one another by their cursors, and each says how many there are in all', () => {
    const first = page({ limit: 3 });
    expect(first).toEqual({ items: ['Alpha', 'beta', 'gamma'], total: 4, next: '3' });
    expect(page({ limit: 3, cursor: first.next! })).toEqual({ items: ['alphabet'], total: 4, next: null });
  });

  test('have what holds the word, in any case', () => {
    expect(page({ search: ' ALPHA ' })).toEqual({ items: ['Alpha', 'alphabet'], total: 2, next: null });
    expect(page({ search: 'nothing' })).toEqual({ items: [], total: 0, next: null });
  });

  test('are refused with a cursor that no page gave', () => {
    expect(() => page({ cursor: '-1' })).toThrow('The cursor is not one of this list');
  });
});

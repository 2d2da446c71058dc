/** What every store of generations promises, whatever it keeps them in. */
import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import type { Replay } from '../../runtime/delivery/ledger.ts';
import { type GenerationStore, generationName } from '../../runtime/replay/generation.ts';
import { shadowId } from '../../runtime/replay/shadow.ts';

export interface GenerationFixture {
  readonly store: GenerationStore;
  /** A consumer whose first generation has its tables, empty: no other test has used it. */
  newConsumer(): Promise<AnyConsumer>;
  /**
   * Settles the offsets `[from, to)` of a partition for a generation, by its own rights, and has each of them in its tables.
   * @returns why its records come, as its handler is told
   */
  settle(
    consumer: AnyConsumer,
    generation: number,
    partition: number,
    from: number,
    to: number,
  ): Promise<Replay | undefined>;
  /** What readers see: how many offsets of each partition. */
  read(consumer: AnyConsumer): Promise<Readonly<Record<number, number>>>;
  close(): Promise<void>;
}

export function generationSuite(name: string, open: () => Promise<GenerationFixture>): void {
  describe(`generations in ${name}`, () => {
    let opened: Promise<GenerationFixture> | undefined;
    let fixture: GenerationFixture;
    let consumer: AnyConsumer;
    beforeEach(async () => {
      opened ??= open();
      fixture = await opened;
      consumer = await fixture.newConsumer();
    }, 120_000);
    afterAll(async () => (await opened)?.close());

    const rebuild = { id: 'r1', code: 'c1' };
    const create = (of = rebuild) => fixture.store.create(consumer, of);
    const states = async () =>
      (await fixture.store.list(consumer.name)).map(({ number, state }) => `${number} ${state}`);
    const refused = (why: string, details: object = {}) => ({
      code: 'REBUILD_REFUSED',
      message: expect.stringContaining(why),
      details: expect.objectContaining({ consumer: consumer.name, ...details }),
    });
    const fill = (generation: number, to: number, from = 0) =>
      fixture.settle(consumer, generation, 0, from, to);

    test('a consumer that was never rebuilt has its first, live', async () => {
      expect(await fixture.store.list(consumer.name)).toEqual([
        expect.objectContaining({
          consumer: consumer.name,
          number: 1,
          state: 'live',
          rebuildId: null,
          code: null,
        }),
      ]);
      expect(await fill(1, 3)).toBeUndefined();
      expect(await fixture.read(consumer)).toEqual({ 0: 3 });
    });

    test('a candidate fills tables of its own, and its handler is told why', async () => {
      await fill(1, 3);
      expect(await create()).toMatchObject({ number: 2, state: 'candidate', rebuildId: 'r1', code: 'c1' });
      expect(await fill(2, 2)).toEqual({ id: 'r1', kind: 'rebuild' });
      expect(await fixture.read(consumer)).toEqual({ 0: 3 });
    });

    test('a rebuild that goes on has the candidate that it had; another one waits until that is gone', async () => {
      const first = await create();
      expect(await create()).toEqual(first);
      await expect(create({ ...rebuild, code: 'c2' })).rejects.toMatchObject(
        refused('begun with other code'),
      );
      await expect(create({ id: 'r2', code: 'c2' })).rejects.toMatchObject(
        refused('is a candidate already', { generation: 2 }),
      );
      await fixture.store.create(consumer, { id: shadowId('s1'), code: 'c1', kind: 'shadow' });
      expect(await states()).toEqual(['1 live', '2 candidate', '3 candidate']);
      await fixture.store.drop(consumer, 2);
      expect(await create({ id: 'r2', code: 'c2' })).toMatchObject({ number: 4, rebuildId: 'r2' });
    });

    test('a scratch generation says so to its handler', async () => {
      const id = shadowId('s1');
      await fixture.store.create(consumer, { ...rebuild, id, kind: 'shadow' });
      expect(await fill(2, 2)).toEqual({ id, kind: 'shadow' });
      await expect(fixture.store.promote(consumer, 2, { code: 'c1' })).rejects.toMatchObject(
        refused('shadow run', { generation: 2 }),
      );
    });

    test('promote has readers see the candidate, and exactly the live one runs without a replay', async () => {
      await fill(1, 3);
      await create();
      await fill(2, 4);
      const { from, to } = await fixture.store.promote(consumer, 2, { code: 'c1' });
      expect([from, to]).toMatchObject([
        { number: 1, state: 'previous' },
        { number: 2, state: 'live', promotedAt: expect.any(Number) },
      ]);
      expect(await fixture.read(consumer)).toEqual({ 0: 4 });
      expect(await fill(1, 5, 3)).toEqual({ id: 'r1', kind: 'rebuild' });
      expect(await fill(2, 5, 4)).toBeUndefined();
      expect(await fixture.settle(consumer, 1, 1, 0, 1)).toEqual({ id: 'r1', kind: 'rebuild' });
      expect(await fixture.settle(consumer, 2, 1, 0, 1)).toBeUndefined();
      expect(await fixture.read(consumer)).toEqual({ 0: 5, 1: 1 });
    });

    test('a promote that nobody heard of is done when it is asked for again', async () => {
      await fill(1, 3);
      await create();
      await fill(2, 3);
      await fixture.store.promote(consumer, 2, { code: 'c1' });
      expect(await fixture.store.promote(consumer, 2, { code: 'c1' })).toMatchObject({
        to: { number: 2, state: 'live' },
        heldMs: 0,
      });
      expect(await states()).toEqual(['1 previous', '2 live']);
    });

    test('rollback goes back, and the one that was live can be promoted once more', async () => {
      await fill(1, 3);
      await create();
      await fill(2, 3);
      await fixture.store.promote(consumer, 2, { code: 'c1' });
      await fill(2, 4, 3);
      await expect(fixture.store.rollback(consumer)).rejects.toMatchObject(
        refused('behind', { partitions: [0] }),
      );
      await fill(1, 6, 3);
      expect(await fixture.store.rollback(consumer)).toMatchObject({
        from: { number: 2 },
        to: { number: 1 },
      });
      expect(await states()).toEqual(['1 live', '2 candidate']);
      expect(await fixture.read(consumer)).toEqual({ 0: 6 });
      expect(await fill(1, 7, 6)).toBeUndefined();
      expect(await fill(2, 7, 4)).toEqual({ id: 'r1', kind: 'rebuild' });
      await fixture.store.promote(consumer, 2, { code: 'c1' });
      expect(await states()).toEqual(['1 previous', '2 live']);
    });

    test('a rollback says what readers would lose, and loses no more than it was told', async () => {
      await fill(1, 9, 4);
      await create();
      await fill(2, 9);
      await fixture.store.promote(consumer, 2, { code: 'c1' });
      await expect(fixture.store.rollback(consumer)).rejects.toMatchObject(
        refused('lack 4 offsets that the live ones have', { offsets: 4 }),
      );
      await expect(fixture.store.rollback(consumer, { mayLose: 3 })).rejects.toMatchObject(refused('lack 4'));
      expect(await fixture.store.rollback(consumer, { mayLose: 4 })).toMatchObject({ to: { number: 1 } });
      expect(await fixture.read(consumer)).toEqual({ 0: 5 });
    });

    test('without a previous generation there is no rollback', async () => {
      await expect(fixture.store.rollback(consumer)).rejects.toMatchObject(refused('no previous generation'));
    });

    test('promote refuses a partition behind, one that was never reached, other code, and what is not there', async () => {
      await fill(1, 3);
      await create();
      const promote = (number = 2, code = 'c1') => fixture.store.promote(consumer, number, { code });
      await expect(promote()).rejects.toMatchObject(
        refused('behind the live tables in partition 0', { partitions: [0] }),
      );
      await fill(2, 2);
      await expect(promote()).rejects.toMatchObject(refused('0 (at 2, live at 3)'));
      await fill(2, 3, 2);
      await fixture.settle(consumer, 1, 4, 0, 1);
      await expect(promote()).rejects.toMatchObject(refused('partition 4', { partitions: [4] }));
      await fixture.settle(consumer, 2, 4, 0, 1);
      await expect(promote(2, 'c2')).rejects.toMatchObject(refused('other code'));
      await expect(promote(3)).rejects.toMatchObject(refused('no generation 3'));
      expect(await states()).toEqual(['1 live', '2 candidate']);
      expect(await fixture.read(consumer)).toEqual({ 0: 3, 4: 1 });
    });

    test('promote refuses to lose history, but for as much as was said', async () => {
      await fill(1, 9);
      await create();
      await fill(2, 9, 4);
      const promote = (mayLose?: number) =>
        fixture.store.promote(consumer, 2, { code: 'c1', ...(mayLose !== undefined && { mayLose }) });
      await expect(promote()).rejects.toMatchObject(refused('lack 4 offsets', { offsets: 4 }));
      await expect(promote(3)).rejects.toMatchObject(refused('lack 4 offsets'));
      await promote(4);
      expect(await fixture.read(consumer)).toEqual({ 0: 5 });
    });

    test('a partition that retention has emptied is not behind, but its history is lost', async () => {
      await fill(1, 3);
      await fixture.settle(consumer, 1, 1, 0, 2);
      await create();
      await fill(2, 3);
      const oldest = new Map([[1, 2]]);
      await expect(fixture.store.promote(consumer, 2, { code: 'c1', oldest })).rejects.toMatchObject(
        refused('lack 2 offsets', { offsets: 2, partitions: [1] }),
      );
      await fixture.store.promote(consumer, 2, { code: 'c1', oldest, mayLose: 2 });
      expect(await fixture.read(consumer)).toEqual({ 0: 3 });
    });

    test('drop takes a generation away, but not the live one, and its number is not used again', async () => {
      await fill(1, 3);
      await create();
      await fill(2, 3);
      await expect(fixture.store.drop(consumer, 1)).rejects.toMatchObject(
        refused('is the one that readers see'),
      );
      await fixture.store.drop(consumer, 2);
      await expect(fixture.store.drop(consumer, 2)).rejects.toMatchObject(refused('no generation 2'));
      expect(await states()).toEqual(['1 live']);
      expect(await create({ id: 'r2', code: 'c2' })).toMatchObject({ number: 3 });
      expect(await fixture.settle(consumer, 3, 0, 0, 3)).toEqual({ id: 'r2', kind: 'rebuild' });
      await fixture.store.promote(consumer, 3, { code: 'c2' });
      await fixture.store.drop(consumer, 1);
      expect(await states()).toEqual(['3 live']);
      expect(await fixture.read(consumer)).toEqual({ 0: 3 });
      expect(generationName(consumer.name, 3)).toBe(`${consumer.name}-g3`);
    });
  });
}

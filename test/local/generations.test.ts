/** What a run does with the generations that it finds, and when its store refuses something. */
import { expect, test } from '@jest/globals';
import { codeFingerprint } from '../../adapters/files/code-fingerprint.ts';
import type { SqlDriver } from '../../adapters/postgres/sql-driver.ts';
import { type GenerationParts, openGenerations } from '../../local/generations.ts';
import { defineConsumer } from '../../runtime/delivery/consumer.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { Generation, GenerationStore } from '../../runtime/replay/generation.ts';
import type { LogReader } from '../../runtime/topics.ts';
import { events } from '../runtime/events.ts';

const module = new URL('../fixtures/newsdesk/millrace.config.ts', import.meta.url);
const sums = defineConsumer({
  name: 'sums',
  topic: events,
  sink: 'postgres',
  startingPosition: 'LATEST',
  handle: async () => {},
});
const code = codeFingerprint(module, sums);

/** The live generation, whose ledger has [3, 7) of the topic's [0, 9), and another. */
function world(other: Partial<Generation>, isClaimed = true) {
  const first: Generation = {
    consumer: 'sums',
    number: 1,
    state: 'live',
    rebuildId: null,
    code: null,
    createdAt: 0,
    promotedAt: null,
  };
  const all: Generation[] = [
    first,
    { ...first, number: 2, state: 'candidate', rebuildId: 'r', code, ...other },
  ];
  const done: string[] = [];
  const committed = new Map<string, number>();
  const reader: LogReader = {
    partitions: async () => 1,
    bounds: async () => ({ start: 0, end: 9 }),
    read: async () => [],
    offsetAt: async () => 0,
    committed: async (group) => committed.get(group),
    async commit(group, offsets) {
      for (const { offset } of offsets) committed.set(group, offset);
    },
  };
  const store: GenerationStore = {
    list: async (consumer) => all.filter((each) => consumer === undefined || each.consumer === consumer),
    async drop(_, number) {
      if (number === 9) throw new MillraceError('REBUILD_REFUSED', 'a view depends on it');
      done.push(`drop ${number}`);
      all.splice(1, 1);
    },
    create: async () => all[1]!,
    promote: async () => ({ from: first, to: all[1]!, heldMs: 0 }),
    rollback: async () => ({ from: first, to: all[1]!, heldMs: 0 }),
  };
  const driver: SqlDriver = {
    begin: async () => ({
      query: async (_sql, parameters) => ({
        columns: ['partition', 'first', 'next'].map((name) => ({ name, typeId: 23 })),
        rows: parameters[0] === 'sums' ? [['0', '3', '7']] : [],
        affectedRows: 0,
      }),
      run: async () => {},
      commit: async () => true,
      rollback: async () => {},
      retire() {},
      destroy() {},
    }),
  };
  const parts = {
    app: { consumers: [sums], module },
    stores: { log: reader, forget: async () => {} },
    driver,
    store,
    reader,
    ledger: 'l',
    groupOf: ({ name }: { name: string }) => name,
    prepare: async () => {},
    migrate: async () => {},
    start: (declared: typeof sums, number: number) => {
      done.push(`start ${number}`);
      return {
        declared,
        number,
        halted: () => undefined,
        stop: async () => void done.push(`stop ${number}`),
      };
    },
    isClaimed,
    planOf: () => undefined,
    onLive: async () => {},
  } as unknown as GenerationParts;
  return { done, committed, open: () => openGenerations(parts, 'all') };
}

test('a candidate whose group was never placed begins where the live ledger does, not at the end', async () => {
  const { committed, done, open } = world({});
  (await open()).start();
  expect(committed.get('sums-g2')).toBe(3);
  expect(done).toEqual(['start 1', 'start 2']);
});

test('one that has begun is left where it stands', async () => {
  const { committed, open } = world({});
  committed.set('sums-g2', 5);
  await open();
  expect(committed.get('sums-g2')).toBe(5);
});

test('a generation goes on when it cannot be dropped', async () => {
  const { done, open } = world({ number: 9 });
  const generations = await open();
  generations.start();
  await expect(generations.calls.drop({ consumer: 'sums', number: 9 })).rejects.toThrow('a view depends');
  expect(done).toEqual(['start 1', 'start 9', 'stop 9', 'start 9']);
  expect(generations.runners()).toHaveLength(2);
});

test('who waits for a generation that is dropped hears of it', async () => {
  const { open } = world({});
  const { calls } = await open();
  const plan = await calls.planRebuild({ consumer: 'sums', fromMs: null, kept: null });
  await calls.drop({ consumer: 'sums', number: 2 });
  await expect(calls.rebuilding({ plan, number: 2 })).rejects.toThrow('has been dropped meanwhile');
});

test.each([
  [true, ['drop 2']],
  [false, []],
])(
  'a shadow run that was left behind is dropped only by who has the sink: %s',
  async (isClaimed, dropped) => {
    const { done, open } = world({ rebuildId: 'shadow-1' }, isClaimed);
    (await open()).start();
    expect(done).toEqual([...dropped, 'start 1']);
  },
);

import { expect, test } from '@jest/globals';
import type { EventSource } from '../../../local/event-source/event-source.ts';
import { pausableSource } from '../../../local/event-source/pausable-source.ts';

/** Sources that end when they are told to, and note what is done to them. */
function world() {
  const done: string[] = [];
  const ends: (() => void)[] = [];
  const state = { isPaused: false };
  let made = 0;
  const start = (): EventSource => {
    const name = `source ${++made}`;
    done.push(`${name} starts`);
    const ended = Promise.withResolvers<void>();
    const drained = Promise.withResolvers<void>();
    ends.push(() => {
      done.push(`${name} ends`);
      ended.resolve();
      drained.resolve();
    });
    return {
      counts: () => ({}) as never,
      lag: async () => [],
      drained: () => drained.promise,
      async stop() {
        done.push(`${name} stops`);
        await ended.promise;
      },
    };
  };
  return { done, ends, state, source: () => pausableSource(start, () => state.isPaused) };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('a source that is paused at the start starts when it is resumed', async () => {
  const { done, state, source } = world();
  state.isPaused = true;
  const paused = source();
  await paused.drained();
  expect(done).toEqual([]);
  state.isPaused = false;
  paused.follow();
  await turn();
  expect(done).toEqual(['source 1 starts']);
});

test('a resume waits for the batch under way: two sources never run at once', async () => {
  const { done, ends, state, source } = world();
  const running = source();
  state.isPaused = true;
  running.follow();
  state.isPaused = false;
  running.follow();
  await turn();
  expect(done).toEqual(['source 1 starts', 'source 1 stops']);
  ends[0]!();
  await turn();
  expect(done.slice(2)).toEqual(['source 1 ends', 'source 2 starts']);
});

test('pauses that change while a batch ends count as the last one', async () => {
  const { done, ends, state, source } = world();
  const running = source();
  for (const isPaused of [true, false, true]) {
    state.isPaused = isPaused;
    running.follow();
  }
  ends[0]!();
  await turn();
  expect(done).toEqual(['source 1 starts', 'source 1 stops', 'source 1 ends']);
  await running.drained();
});

test('drained waits for the source that runs now, not for one that was paused', async () => {
  const { ends, state, source } = world();
  const running = source();
  let isDrained = false;
  const drained = running.drained().then(() => {
    isDrained = true;
  });
  state.isPaused = true;
  running.follow();
  state.isPaused = false;
  running.follow();
  ends[0]!();
  await turn();
  expect(isDrained).toBe(false);
  ends[1]!();
  await drained;
});

test('what is stopped stays so', async () => {
  const { done, ends, state, source } = world();
  const running = source();
  const stopped = running.stop();
  ends[0]!();
  await stopped;
  state.isPaused = true;
  running.follow();
  state.isPaused = false;
  running.follow();
  await turn();
  expect(done).toEqual(['source 1 starts', 'source 1 stops', 'source 1 ends']);
});

const late = () => new Error('late');

test('work is done while no source runs, and who waits for the end waits for what comes after it', async () => {
  const { done, ends, source } = world();
  const running = source();
  const worked = running.whileStopped(async () => void done.push('work'), 1_000, late);
  let isDrained = false;
  running.drained().then(() => {
    isDrained = true;
  });
  await turn();
  expect(done).toEqual(['source 1 starts', 'source 1 stops']);
  ends[0]!();
  await worked;
  await turn();
  expect(done.slice(2)).toEqual(['source 1 ends', 'work', 'source 2 starts']);
  expect(isDrained).toBe(false);
  ends[1]!();
  await turn();
  expect(isDrained).toBe(true);
});

test('work is left when a batch does not end in time, and the source goes on after that', async () => {
  const { done, ends, source } = world();
  const running = source();
  await expect(running.whileStopped(async () => void done.push('work'), 1, late)).rejects.toThrow('late');
  ends[0]!();
  await turn();
  expect(done).toEqual(['source 1 starts', 'source 1 stops', 'source 1 ends', 'source 2 starts']);
});

test('work that fails leaves the source running', async () => {
  const { done, ends, source } = world();
  const running = source();
  const failed = running.whileStopped(() => Promise.reject(new Error('refused')), 1_000, late);
  await turn();
  ends[0]!();
  await expect(failed).rejects.toThrow('refused');
  await turn();
  expect(done.at(-1)).toBe('source 2 starts');
});

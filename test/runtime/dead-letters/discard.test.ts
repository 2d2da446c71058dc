import { expect, test } from '@jest/globals';
import { createQueueLetters } from '../../../runtime/dead-letters/queue-letters.ts';
import { copyName, discardLetters } from '../../../runtime/dead-letters/reader.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';
import { createMemoryQueues } from '../../../testing/memory-queue.ts';
import { deadLetter } from '../../dead-letters.ts';

async function open(count: number) {
  const clock = createFakeClock();
  const objects = createMemoryObjects({ clock });
  const reader = createQueueLetters({ queue: createMemoryQueues({ clock }).queue('dead-letters'), objects });
  await reader.put(Array.from({ length: count }, (_, offset) => deadLetter({ offset })));
  const names = async () => (await Array.fromAsync(reader.scan())).map(copyName);
  return { reader, names };
}

test('what came after the letters were chosen stays, were it a copy of one of them', async () => {
  const { reader, names } = await open(25);
  const chosen = await names();
  await reader.put([deadLetter({ offset: 1 }), deadLetter({ offset: 99 })]);
  const kept: string[] = [];
  const discarded = await discardLetters(reader, new Set(chosen), async (copies) => {
    // Kept first, taken away then.
    expect(await names()).toEqual(expect.arrayContaining(copies.map(copyName)));
    kept.push(...copies.map(copyName));
  });
  expect(discarded).toBe(25);
  expect(kept).toEqual(chosen);
  expect(await names()).toHaveLength(2);
});

test('what could not be kept is not taken away', async () => {
  const { reader, names } = await open(25);
  const chosen = await names();
  let batches = 0;
  const keep = async () => {
    if (batches++ === 1) throw new Error('the disk is full');
  };
  await expect(discardLetters(reader, new Set(chosen), keep)).rejects.toThrow('the disk is full');
  expect(await names()).toEqual(chosen.slice(10));
});

test('of a store that was made anew since, nothing is taken away: its letters only have the same places', async () => {
  const chosen = await (await open(3)).names();
  const { reader, names } = await open(0);
  const failedLater = deadLetter({ offset: 1 });
  await reader.put([
    deadLetter({ offset: 7 }),
    { ...failedLater, failure: { ...failedLater.failure, lastFailedAt: 1_800_000_000_000 } },
    { ...deadLetter({ offset: 2 }), epoch: 2 },
  ]);
  const refs = (all: readonly string[]) => all.map((name) => name.split(' ')[0]);
  expect(refs(await names())).toEqual(refs(chosen));
  const keep = async () => Promise.reject(new Error('nothing is there to be kept'));
  expect(await discardLetters(reader, new Set(chosen), keep)).toBe(0);
  expect(await names()).toHaveLength(3);
});

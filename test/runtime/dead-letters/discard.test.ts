import { expect, test } from '@jest/globals';
import { createQueueLetters } from '../../../runtime/dead-letters/queue-letters.ts';
import { discardLetters } from '../../../runtime/dead-letters/reader.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';
import { createMemoryQueues } from '../../../testing/memory-queue.ts';
import { deadLetter } from '../../dead-letters.ts';

async function open(count: number) {
  const clock = createFakeClock();
  const objects = createMemoryObjects({ clock });
  const reader = createQueueLetters({ queue: createMemoryQueues({ clock }).queue('dead-letters'), objects });
  await reader.put(Array.from({ length: count }, (_, offset) => deadLetter({ offset })));
  const names = async () => (await Array.fromAsync(reader.scan())).map(({ ref }) => ref);
  return { reader, names };
}

test('what came after the letters were chosen stays, were it a copy of one of them', async () => {
  const { reader, names } = await open(25);
  const chosen = await names();
  await reader.put([deadLetter({ offset: 1 }), deadLetter({ offset: 99 })]);
  const kept: string[] = [];
  const discarded = await discardLetters(reader, new Set(chosen), async (copies) => {
    // Kept first, taken away then.
    expect(await names()).toEqual(expect.arrayContaining(copies.map(({ ref }) => ref)));
    kept.push(...copies.map(({ ref }) => ref));
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

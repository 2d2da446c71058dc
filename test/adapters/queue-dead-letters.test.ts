import { describe, expect, test } from '@jest/globals';
import { createFakeClock } from '../../adapters/memory/fake-clock.ts';
import { createMemoryQueue } from '../../adapters/memory/memory-queue.ts';
import { createQueueDeadLetters } from '../../adapters/queue-dead-letters.ts';
import type { Queue } from '../../runtime/ports.ts';
import { deadLetter } from '../dead-letters.ts';
import { codeOf } from '../rejection.ts';

describe('dead letters in a queue', () => {
  const queue = createMemoryQueue({ clock: createFakeClock() });

  test('say that the store is unavailable when the queue fails', async () => {
    const broken: Queue = {
      ...queue,
      send: () => Promise.reject(new Error('disk full')),
      browse: () => Promise.reject(new Error('disk gone')),
    };
    const letters = createQueueDeadLetters({ queueOf: () => broken });
    expect(await codeOf(letters.put([deadLetter()]))).toBe('DEAD_LETTER_STORE_UNAVAILABLE');
    expect(await codeOf(letters.list('c', { limit: 1 }))).toBe('DEAD_LETTER_STORE_UNAVAILABLE');
  });

  test('surface a message that is no letter', async () => {
    const letters = createQueueDeadLetters({ queueOf: () => queue });
    await letters.put([deadLetter()]);
    await queue.send(['not a letter']);
    expect(await codeOf(letters.list('c', { limit: 1 }))).toBe('DEAD_LETTER_UNREADABLE');
  });

  test('read on beyond one page of the queue', async () => {
    const large = createMemoryQueue({ clock: createFakeClock() });
    const letters = createQueueDeadLetters({ queueOf: () => large });
    await letters.put(Array.from({ length: 2_500 }, (_, offset) => deadLetter({ offset })));
    expect(await letters.count('c')).toBe(2_500);
  });
});

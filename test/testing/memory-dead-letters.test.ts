import { expect, test } from '@jest/globals';
import { createFakeClock } from '../../testing/fake-clock.ts';
import { createMemoryDeadLetters } from '../../testing/memory-dead-letters.ts';
import { createMemoryLog } from '../../testing/memory-log.ts';
import { createMemoryObjects } from '../../testing/memory-objects.ts';
import { createMemoryQueues } from '../../testing/memory-queue.ts';
import { deadLetter } from '../dead-letters.ts';
import { deadLetterSuite } from '../ports/dead-letter-suite.ts';
import { embedded, lettersInQueue, lettersInTopic } from '../ports/embedded-dead-letters.ts';

deadLetterSuite('a queue in memory', async () => {
  const clock = createFakeClock();
  const queue = createMemoryQueues({ clock }).queue('dead-letters');
  return lettersInQueue({ queue, objects: createMemoryObjects({ clock }) }, embedded(clock));
});

deadLetterSuite('a topic in memory', async () => {
  const clock = createFakeClock();
  return lettersInTopic(createMemoryLog({ clock }), embedded(clock));
});

test('the dead letters of a process without queues are store and reader in one', async () => {
  const letters = createMemoryDeadLetters({ clock: createFakeClock() });
  await letters.put([deadLetter()]);
  const [copy] = await Array.fromAsync(letters.scan());
  expect(copy).toMatchObject({ letter: deadLetter(), payload: null });
  await letters.remove([copy!]);
  expect(await Array.fromAsync(letters.scan())).toEqual([]);
});

import { createQueueLetters } from '../../runtime/dead-letters/queue-letters.ts';
import type { Clock, DeadLetterShelf, DeadLetterStore } from '../../runtime/ports.ts';
import { createMemoryObjects } from './memory-objects.ts';
import { createMemoryQueues } from './memory-queue.ts';

/** One consumer's dead letters, for as long as the process lives. */
export function createMemoryDeadLetters({
  clock,
}: {
  readonly clock: Clock;
}): DeadLetterStore & DeadLetterShelf {
  return createQueueLetters({
    queue: createMemoryQueues({ clock }).queue('dead-letters'),
    objects: createMemoryObjects({ clock }),
  });
}

import { createQueueLetters } from '../runtime/dead-letters/queue-letters.ts';
import type { DeadLetterReader } from '../runtime/dead-letters/reader.ts';
import type { DeadLetterStore } from '../runtime/delivery/dead-letter.ts';
import type { Clock } from '../runtime/ports.ts';
import { createMemoryObjects } from './memory-objects.ts';
import { createMemoryQueues } from './memory-queue.ts';

/** One consumer's dead letters, for as long as the process lives. */
export function createMemoryDeadLetters({
  clock,
}: {
  readonly clock: Clock;
}): DeadLetterStore & DeadLetterReader {
  return createQueueLetters({
    queue: createMemoryQueues({ clock }).queue('dead-letters'),
    objects: createMemoryObjects({ clock }),
  });
}

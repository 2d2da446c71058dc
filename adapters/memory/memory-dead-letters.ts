import type { Clock, DeadLetterReader, DeadLetterStore, Queue } from '../../runtime/ports.ts';
import { createQueueDeadLetters } from '../queue-dead-letters.ts';
import { createMemoryQueue } from './memory-queue.ts';

/** Dead letters that live as long as the process, each consumer's in a queue of its own. */
export function createMemoryDeadLetters({
  clock,
}: {
  readonly clock: Clock;
}): DeadLetterStore & DeadLetterReader {
  const queues = new Map<string, Queue>();
  return createQueueDeadLetters({
    queueOf(consumer) {
      const queue = queues.get(consumer) ?? createMemoryQueue({ clock });
      queues.set(consumer, queue);
      return queue;
    },
  });
}

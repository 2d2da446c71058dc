/** Fixtures of dead letters over the ports below them: what is left to choose is whose queues, objects and logs these are. */

import type { Queue } from '../../runtime/dead-letters/queue.ts';
import { createQueueLetters, fetchPayload } from '../../runtime/dead-letters/queue-letters.ts';
import { createTopicLetters, createTopicReader } from '../../runtime/dead-letters/topic-letters.ts';
import type { ObjectStore } from '../../runtime/objects.ts';
import type { Clock } from '../../runtime/ports.ts';
import type { DeadLettersFixture } from './dead-letter-suite.ts';
import type { Log } from './log-suite.ts';

/** What does not depend on the technology, once that keeps to the clock it is given. */
type Fixed = 'store' | 'reader' | 'whole' | 'putUnreadable';
type Rest = Omit<DeadLettersFixture, Fixed>;

export const embedded = (clock: Clock, dispose: () => void = () => {}): Rest => ({
  now: () => clock.now(),
  clockToleranceMs: 0,
  manyLetters: 1_200,
  runs: 50,
  async dispose() {
    dispose();
  },
});

export function lettersInQueue(
  { queue, objects }: { readonly queue: Queue; readonly objects: ObjectStore },
  rest: Rest,
): DeadLettersFixture {
  const letters = createQueueLetters({ queue, objects });
  return {
    ...rest,
    store: letters,
    reader: letters,
    whole: (stored) => fetchPayload(stored, objects),
    putUnreadable: () => queue.send([{ body: 'not a letter' }]),
  };
}

export async function lettersInTopic(log: Log, rest: Rest): Promise<DeadLettersFixture> {
  const topic = 't.dlq';
  await log.createTopic(topic, 3);
  return {
    ...rest,
    store: createTopicLetters({ topic, producer: log }),
    reader: createTopicReader({
      topic,
      of: { consumer: 'c', epoch: 1, topic: 't' },
      producer: log,
      reader: log,
    }),
    whole: async ({ letter }) => letter,
    async putUnreadable() {
      const headers = [{ name: 'millrace.dlq.own-headers', value: Buffer.from('0') }];
      await log.send(topic, [{ key: null, value: Buffer.from('not a letter'), headers }]);
    },
  };
}

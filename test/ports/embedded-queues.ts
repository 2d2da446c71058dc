import type { Queues } from '../../adapters/queues.ts';
import type { Clock } from '../../runtime/ports.ts';
import { createFakeClock } from '../../testing/fake-clock.ts';
import type { QueueFixture } from './queue-suite.ts';

/** The fixture of queues that live in this process's own memory or files: all that the suites promise holds for them. */
export async function embeddedQueues(
  open: (clock: Clock) => { readonly queues: Queues; readonly dispose: () => void },
): Promise<QueueFixture> {
  const clock = createFakeClock();
  const { queues, dispose } = open(clock);
  let names = 0;
  return {
    async openQueue() {
      return queues.queue(`queue-${names++}`);
    },
    async openPair({ maxReceiveCount }) {
      const name = `queue-${names++}`;
      const deadLetterQueue = `${name}-dead-letters`;
      return {
        redrive: queues.queue(name, { deadLetterQueue, maxReceiveCount }),
        deadLetters: queues.queue(deadLetterQueue),
        mover: queues.mover(deadLetterQueue, name),
        wrongWay: queues.mover(name, deadLetterQueue),
      };
    },
    now: () => clock.now(),
    wait: (ms) => clock.advance(ms),
    visibilityMs: 1_000,
    manyMessages: 2_500,
    runs: 50,
    promises: 'exact',
    text: 'any',
    deviations: [],
    async dispose() {
      dispose();
    },
  };
}

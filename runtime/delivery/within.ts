import type { Clock } from '../ports.ts';

/** The time is over. */
export class OutOfTime extends Error {}

/** @throws what the work throws, and OutOfTime where it heeds its signal and is not done in time */
export async function within<Result>(
  budgetMs: number,
  clock: Clock,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const over = new AbortController();
  const deadline = createDeadline(clock);
  deadline.set(budgetMs, () => over.abort(new OutOfTime()));
  try {
    return await work(over.signal);
  } finally {
    deadline.clear();
  }
}

/** What is to be done once a time is over; the next `set` replaces the last. */
export function createDeadline(clock: Clock) {
  let timer = new AbortController();
  return {
    set(ms: number, onOver: () => void): void {
      timer.abort();
      timer = new AbortController();
      const { signal } = timer;
      void clock.sleep(ms, signal).then(() => {
        if (!signal.aborted) onOver();
      });
    },
    clear(): void {
      timer.abort();
    },
  };
}

import type { Clock } from '../ports.ts';

/** The time is over. */
export class OutOfTime extends Error {}

/** @throws what the work throws, and OutOfTime where it heeds its signal and is not done in time */
export async function within<Result>(
  budgetMs: number,
  clock: Clock,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const timer = new AbortController();
  const over = new AbortController();
  void clock.sleep(budgetMs, timer.signal).then(() => {
    if (!timer.signal.aborted) over.abort(new OutOfTime());
  });
  try {
    return await work(over.signal);
  } finally {
    timer.abort();
  }
}

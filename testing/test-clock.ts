// Not the global ones, for which a test may have put in fakes.
import { clearTimeout, setImmediate, setTimeout } from 'node:timers';
import type { Clock } from '../runtime/ports.ts';

/** The machine's clock, on which waiting costs no time. */
export interface TestClock extends Clock {
  /** Moves time on by `ms`, which ends the deadlines in between. */
  pass(ms: number): void;
  /** Ends all sleeps without waking anybody, as the end of a process does. */
  stop(): void;
}

interface Deadline {
  readonly dueAt: number;
  readonly end: () => void;
  timer: NodeJS.Timeout | undefined;
}

/**
 * The engine sleeps for two reasons. A wait before another try has no signal, and is skipped. A deadline has one, since
 * what it limits may end first: it runs in real time, so that a handler may await real things.
 */
export function createTestClock(): TestClock {
  let skippedMs = 0;
  const deadlines = new Set<Deadline>();
  const now = () => Date.now() + skippedMs;
  const arm = (deadline: Deadline) => {
    clearTimeout(deadline.timer);
    deadline.timer = setTimeout(deadline.end, Math.max(0, deadline.dueAt - now()));
  };
  const pass = (ms: number) => {
    // Whole milliseconds, as a real clock has.
    skippedMs += Math.max(0, Math.ceil(ms));
    for (const deadline of deadlines) arm(deadline);
  };
  return {
    now,
    pass,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        if (!signal) {
          pass(ms);
          setImmediate(resolve);
          return;
        }
        const end = () => {
          clearTimeout(deadline.timer);
          deadlines.delete(deadline);
          signal.removeEventListener('abort', end);
          resolve();
        };
        const deadline: Deadline = { dueAt: now() + ms, end, timer: undefined };
        deadlines.add(deadline);
        signal.addEventListener('abort', end);
        arm(deadline);
      }),
    stop() {
      for (const { timer } of deadlines) clearTimeout(timer);
      deadlines.clear();
    },
  };
}

import { setImmediate } from 'node:timers';
import type { Clock } from '../runtime/ports.ts';

/** Virtual time: nothing waits for real, and the same calls always sleep and wake in the same order. */
export interface FakeClock extends Clock {
  /** Moves time on by `ms`. Each sleep that falls due wakes at its own moment, and what it sets off runs before the next one wakes. */
  advance(ms: number): Promise<void>;
}

interface Sleeper {
  readonly dueAt: number;
  readonly wake: () => void;
}

export interface FakeClockOptions {
  /** Epoch milliseconds. @default 2026-01-01T00:00:00Z */
  readonly startsAt?: number;
  /**
   * Moves on to the next sleep whenever every promise chain has come to rest. For code that waits for this clock
   * only: work on a socket, a file or another thread looks like rest. @default false: time stands still but for `advance`
   */
  readonly autoAdvance?: boolean;
}

export function createFakeClock({
  startsAt = Date.UTC(2026, 0, 1),
  autoAdvance = false,
}: FakeClockOptions = {}): FakeClock {
  let now = startsAt;
  let isRunning = false;
  /** In the order they wake: by time, then by who slept first. */
  const sleepers: Sleeper[] = [];

  const wakeNext = () => {
    const next = sleepers.shift()!;
    now = Math.max(now, next.dueAt);
    next.wake();
  };

  const run = () => {
    if (sleepers.length === 0) {
      isRunning = false;
      return;
    }
    wakeNext();
    setImmediate(run);
  };

  return {
    now: () => now,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        if (signal?.aborted) return resolve();
        const sleeper: Sleeper = {
          // Whole milliseconds, as a real clock's.
          dueAt: now + Math.max(0, Math.ceil(ms)),
          wake: () => {
            signal?.removeEventListener('abort', abort);
            resolve();
          },
        };
        const abort = () => {
          sleepers.splice(sleepers.indexOf(sleeper), 1);
          sleeper.wake();
        };
        signal?.addEventListener('abort', abort);
        const after = sleepers.findIndex(({ dueAt }) => dueAt > sleeper.dueAt);
        sleepers.splice(after === -1 ? sleepers.length : after, 0, sleeper);
        if (autoAdvance && !isRunning) {
          isRunning = true;
          setImmediate(run);
        }
      }),
    async advance(ms) {
      const end = now + ms;
      await rest();
      while (sleepers.length > 0 && sleepers[0]!.dueAt <= end) {
        wakeNext();
        await rest();
      }
      now = Math.max(now, end);
    },
  };
}

/** Every promise chain that is ready to run has run when an immediate does: the microtask queue is empty by then. */
function rest(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

import { systemClock } from '../../adapters/system/system-clock.ts';
import type { EventSource } from './event-source.ts';

/** An event source that does not run while its consumer is paused. */
export interface PausableSource extends Pick<EventSource, 'drained' | 'stop'> {
  /** Stops or starts as the pause has changed. A batch that is under way ends first. */
  follow(): void;
  /**
   * Stops, does the work, and goes on from the committed offsets: nothing that was read before the work is delivered after it.
   * @param mostMs how long to wait for batches that are under way
   * @throws what `late` makes, where one does not end in time; then the work is not done
   */
  whileStopped<Result>(work: () => Promise<Result>, mostMs: number, late: () => Error): Promise<Result>;
}

/** @param start makes a source that goes on from the committed offsets */
export function pausableSource(start: () => EventSource, isPaused: () => boolean): PausableSource {
  let isOver = false;
  let source = isPaused() ? undefined : start();
  /** The sources before, which end. */
  let ending: Promise<void> = Promise.resolve();
  const settle = async () => {
    // While one ended, the pause may have been lifted, and set again.
    if (!isOver && !source && !isPaused()) source = start();
  };
  return {
    follow() {
      if (isOver) return;
      if (source && isPaused()) {
        const stopping = source.stop();
        source = undefined;
        ending = ending.then(() => stopping);
        // Heard by whoever waits for the source to stop.
        ending.catch(() => {});
      }
      if (!source) ending = ending.then(settle);
      ending.catch(() => {});
    },
    whileStopped(work, mostMs, late) {
      const stopping = ending.then(() => {
        const stopped = source?.stop();
        source = undefined;
        return stopped;
      });
      const inTime = async () => {
        const timer = new AbortController();
        const isLate = await Promise.race([
          stopping.then(() => false),
          systemClock.sleep(mostMs, timer.signal).then(() => true),
        ]).finally(() => timer.abort());
        if (isLate) throw late();
        return work();
      };
      const done = inTime();
      ending = Promise.allSettled([done])
        .then(() => stopping)
        .then(settle);
      ending.catch(() => {});
      return done;
    },
    async drained() {
      for (;;) {
        const settled = ending;
        await settled;
        if (settled !== ending) continue;
        const current = source;
        // What is paused is not waited for.
        if (!current) return;
        await current.drained();
        if (current === source) return;
      }
    },
    async stop() {
      isOver = true;
      await Promise.all([ending, source?.stop()]);
    },
  };
}

import type { EventSource } from './event-source.ts';

/** An event source that does not run while its consumer is paused. */
export interface PausableSource extends Pick<EventSource, 'drained' | 'stop'> {
  /** Stops or starts as the pause has changed. A batch that is under way ends first. */
  follow(): void;
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

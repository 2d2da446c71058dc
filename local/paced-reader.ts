import { systemClock } from '../adapters/system/system-clock.ts';
import type { Clock } from '../runtime/ports.ts';
import type { LogReader } from '../runtime/topics.ts';

/** May be changed while it is read. */
export interface Pace {
  /** Null for as many as go. */
  recordsPerSecond: number | null;
}

/** A log of which no more is read than the pace allows: a rebuild leaves the sink room for the traffic. */
export function pacedReader(log: LogReader, pace: Pace, clock: Clock = systemClock): LogReader {
  let readyAt = 0;
  return {
    ...log,
    async read(of, fromOffset, maxRecords) {
      const { recordsPerSecond } = pace;
      if (recordsPerSecond === null) return log.read(of, fromOffset, maxRecords);
      const waitMs = readyAt - clock.now();
      if (waitMs > 0) await clock.sleep(waitMs);
      // Not all of a second's at one go.
      const records = await log.read(
        of,
        fromOffset,
        Math.min(maxRecords, Math.max(1, Math.ceil(recordsPerSecond / 4))),
      );
      readyAt = Math.max(readyAt, clock.now()) + (records.length * 1_000) / recordsPerSecond;
      return records;
    },
  };
}

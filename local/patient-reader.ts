import { MillraceError } from '../runtime/errors.ts';
import type { Clock, Logger } from '../runtime/ports.ts';
import type { LogReader } from '../runtime/topics.ts';

const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 5_000;

/**
 * The log for an event source: what an outage stops is tried until it works, as Lambda's event source mapping does, or
 * until `stop` aborts. Says once that the log is away, and once that it is back.
 */
export function patientReader(
  reader: LogReader,
  { clock, log, stop }: { readonly clock: Clock; readonly log: Logger; readonly stop: AbortSignal },
): LogReader {
  let isAway = false;
  const patiently = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2)) {
      try {
        const result = await work();
        if (isAway) log.info('The topics can be reached again');
        isAway = false;
        return result;
      } catch (error) {
        if (!(error instanceof MillraceError) || error.action !== 'hold' || stop.aborted) throw error;
        if (!isAway) log.warn('The topics cannot be reached', { code: error.code, message: error.message });
        isAway = true;
        await clock.sleep(pauseMs, stop);
      }
    }
  };
  return {
    partitions: (topic) => patiently(() => reader.partitions(topic)),
    read: (from, fromOffset, maxRecords) => patiently(() => reader.read(from, fromOffset, maxRecords)),
    // It tells of what was read, and so nothing of whether the topics can be reached.
    ...(reader.passed && { passed: reader.passed.bind(reader) }),
    bounds: (of) => patiently(() => reader.bounds(of)),
    offsetAt: (of, timestampMs) => patiently(() => reader.offsetAt(of, timestampMs)),
    committed: (group, of) => patiently(() => reader.committed(group, of)),
    commit: (group, offsets) => patiently(() => reader.commit(group, offsets)),
  };
}

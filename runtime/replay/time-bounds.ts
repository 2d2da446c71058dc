import type { TopicPartition } from '../record.ts';
import type { LogReader } from '../topics.ts';

/** How many records in a row prove that a time has passed. */
const PAGE = 500;

/**
 * The offset behind a partition's records from before `timestampMs`, up to `end`. A log looks up the first record that is
 * later, which may be one of a producer whose clock was ahead: the records behind it are read until none of a page is
 * from before.
 */
export async function offsetBehind(
  log: Pick<LogReader, 'offsetAt' | 'read' | 'passed'>,
  of: TopicPartition,
  timestampMs: number,
  end: number,
): Promise<number> {
  let behind = Math.min(await log.offsetAt(of, timestampMs), end);
  for (let next = behind; next < end; ) {
    const page = await log.read(of, next, PAGE);
    if (page.length === 0) {
      const passed = (await log.passed?.(of, next)) ?? next;
      if (passed === next) break;
      next = passed;
      continue;
    }
    // A record without a time, -1, says nothing.
    const before = page.findLast(({ timestamp }) => timestamp >= 0 && timestamp < timestampMs);
    if (!before) break;
    behind = Math.min(before.offset + 1, end);
    next = page.at(-1)!.offset + 1;
  }
  return behind;
}

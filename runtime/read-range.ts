import type { LogReader } from './ports.ts';
import type { RawRecord, TopicPartition } from './record.ts';

/** How many records are read in one go. */
const PAGE = 500;

/** All records of a partition with offsets in `[from, to)` that the log still has. */
export async function* readRange(
  reader: Pick<LogReader, 'read'>,
  of: TopicPartition,
  from: number,
  to: number,
): AsyncIterable<RawRecord> {
  for (let next = from; next < to; ) {
    const page = await reader.read(of, next, Math.min(PAGE, to - next));
    if (page.length === 0) return;
    for (const record of page) if (record.offset < to) yield record;
    next = page.at(-1)!.offset + 1;
  }
}

import { type OffsetRange, union, within } from '../delivery/offset-ranges.ts';
import type { ObjectStore } from '../objects.ts';
import type { RawRecord, TopicPartition } from '../record.ts';
import type { LogReader } from '../topics.ts';
import { broken, findEnd, readObject } from './chain.ts';
import { type ChainOf, chainPrefix, type Link, readLink } from './names.ts';
import { readRow } from './row.ts';

/** A partition's records, as they came. */
export interface RecordReader {
  /** The oldest offset that it has, and the one behind the newest. */
  bounds(partition: number): Promise<{ readonly start: number; readonly end: number }>;
  /**
   * Records with offsets in `[from, to)`, in offset order, each once. What nobody has any more is left out, and told to
   * `onMissing`: records that the archive never got, and that the topic has deleted.
   * @throws ARCHIVE_BROKEN where the chain has a gap
   */
  read(
    partition: number,
    from: number,
    to: number,
    onMissing?: (missing: OffsetRange) => void,
  ): AsyncIterable<RawRecord>;
}

export interface ArchiveReaderOptions {
  readonly store: ObjectStore;
  readonly topic: string;
  /** The archive's. */
  readonly epoch: number;
  /** What the archive does not have is read from here, while it is kept. @default nothing */
  readonly log?: Pick<LogReader, 'read' | 'passed' | 'bounds'>;
}

/** How many records of the topic are asked for at a time. */
const PAGE = 500;

/** A topic's records, as far back as it keeps them. */
export function createTopicReader({
  topic,
  log,
}: {
  readonly topic: string;
  readonly log: Pick<LogReader, 'read' | 'passed' | 'bounds'>;
}): RecordReader {
  return {
    bounds: (partition) => log.bounds({ topic, partition }),
    read: (partition, from, to, onMissing = () => {}) =>
      readTopic(log, { topic, partition }, { from, to }, onMissing),
  };
}

async function* readTopic(
  log: Pick<LogReader, 'read' | 'passed' | 'bounds'>,
  of: TopicPartition,
  { from, to }: OffsetRange,
  onMissing: (missing: OffsetRange) => void,
): AsyncIterable<RawRecord> {
  const { start, end } = await log.bounds(of);
  if (start > from) onMissing({ from, to: Math.min(start, to) });
  let next = Math.max(from, start);
  while (next < Math.min(to, end)) {
    const page = await log.read(of, next, Math.min(PAGE, to - next));
    for (const record of page) if (record.offset < to) yield record;
    // Offsets may be missing for good, at the end too: compaction, marks of transactions.
    const behind = page.length > 0 ? page.at(-1)!.offset + 1 : ((await log.passed?.(of, next)) ?? next);
    if (behind === next) return;
    next = behind;
  }
}

/** A topic's records from its archive, and from the topic where the archive ends, without a gap between. */
export function createArchiveReader({ store, topic, epoch, log }: ArchiveReaderOptions): RecordReader {
  const chainOf = (partition: number): ChainOf => ({ topic, epoch, partition });

  async function* fromTopic(
    partition: number,
    range: OffsetRange,
    onMissing: (missing: OffsetRange) => void,
  ): AsyncIterable<RawRecord> {
    if (log) yield* readTopic(log, { topic, partition }, range, onMissing);
    else if (range.from < range.to) onMissing(range);
  }

  return {
    async bounds(partition) {
      const { ledger } = await findEnd(store, chainOf(partition));
      const first =
        ledger.first === null
          ? null
          : Math.max(ledger.first, await beginningOf(store, await daysOf(store, chainOf(partition))));
      const inTopic = await log?.bounds({ topic, partition });
      const start = first ?? inTopic?.start ?? 0;
      return { start, end: Math.max(ledger.next ?? 0, inTopic?.end ?? 0) };
    },

    async *read(partition, from, to, onMissing = () => {}) {
      const of = chainOf(partition);
      const { ledger, backfill } = await findEnd(store, of);
      const days = await daysOf(store, of);
      const archived = {
        from: Math.max(ledger.first ?? 0, await beginningOf(store, days)),
        to: ledger.next ?? 0,
      };
      // Everything in the chain's own order, and between its objects what came later or not at all.
      const holes = within(union(ledger.deadLettered, ledger.skipped), { from, to });
      const late = await backfilled(store, backfill, { from, to });
      let position = from;
      const upTo = async function* (end: number): AsyncIterable<RawRecord> {
        while (late[0] && late[0].offset < end) {
          const record = late.shift()!;
          yield* holesBefore(record.offset);
          yield record;
          position = record.offset + 1;
        }
        yield* holesBefore(end);
      };
      const holesBefore = async function* (end: number): AsyncIterable<RawRecord> {
        for (const hole of within(holes, { from: position, to: end }))
          yield* fromTopic(partition, hole, onMissing);
        position = Math.max(position, end);
      };
      if (from < archived.from) {
        yield* fromTopic(partition, { from, to: Math.min(to, archived.from) }, onMissing);
        position = Math.min(to, archived.from);
      }
      if (position < Math.min(to, archived.to)) {
        for await (const record of chainRecords(
          store,
          days,
          { from: position, to: Math.min(to, archived.to) },
          archived.to,
        )) {
          yield* upTo(record.offset);
          yield record;
          position = record.offset + 1;
        }
        yield* upTo(Math.min(to, archived.to));
      }
      if (to > position) yield* fromTopic(partition, { from: position, to }, onMissing);
    },
  };
}

/** The records that redrives brought, of these offsets, in their order. */
async function backfilled(
  store: ObjectStore,
  newest: string | null,
  window: OffsetRange,
): Promise<RawRecord[]> {
  const found: RawRecord[] = [];
  for (let key = newest; key !== null; ) {
    const { text, facts } = await readObject(store, key);
    found.push(...recordsIn(text, key).filter(({ offset }) => offset >= window.from && offset < window.to));
    key = facts.earlierBackfill;
  }
  return found.sort((a, b) => a.offset - b.offset);
}

/** The records that moved the chain on, from the object that holds `from` up to `to`. */
async function* chainRecords(
  store: ObjectStore,
  days: readonly string[],
  { from, to }: OffsetRange,
  chainEnd: number,
): AsyncIterable<RawRecord> {
  let last: { readonly key: string; readonly link: Link } | undefined;
  const recordsOfLast = async function* (next: number): AsyncIterable<RawRecord> {
    const { key } = last!;
    const { text, facts } = await readObject(store, key);
    if (facts.ledger.next !== next) {
      throw broken(key, `ends at offset ${facts.ledger.next}, and the object behind it begins at ${next}`);
    }
    for (const record of recordsIn(text, key)) if (record.offset >= from && record.offset < to) yield record;
  };
  for await (const key of keysFrom(store, days, from)) {
    const link = readLink(key);
    if (!link) continue;
    // An object at whose offset another one follows has moved nothing on: it is empty, or a redrive's.
    if (last && link.from > last.link.from) yield* recordsOfLast(link.from);
    last = { key, link };
    if (link.from >= to) return;
  }
  if (!last) throw broken(days.at(-1) ?? 'of the chain', `has no object for offset ${from}`);
  if (last.link.from < chainEnd) yield* recordsOfLast(chainEnd);
}

/** What the keys of each of the chain's days begin with. */
async function daysOf(store: ObjectStore, of: ChainOf): Promise<readonly string[]> {
  const prefix = chainPrefix(of);
  return (await Array.fromAsync(store.folders(prefix))).map((date) => `${prefix}${date}/`);
}

/** The offset at which the chain begins: 0, unless somebody has deleted its oldest objects. */
async function beginningOf(store: ObjectStore, days: readonly string[]): Promise<number> {
  for (const day of days) {
    const link = await firstLink(store, day);
    if (link) return link.from;
  }
  return 0;
}

/** The chain's keys, from the last one whose offset is not above `from`: whole days before it are not listed. */
async function* keysFrom(store: ObjectStore, days: readonly string[], from: number): AsyncIterable<string> {
  let low = 0;
  let high = days.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    const link = await firstLink(store, days[middle]!);
    if (link && link.from > from) high = middle - 1;
    else low = middle;
  }
  for (const day of days.slice(low)) {
    for await (const { key } of store.list(day)) yield key;
  }
}

async function firstLink(store: ObjectStore, day: string): Promise<Link | undefined> {
  for await (const { key } of store.list(day, { pageSize: 1 })) return readLink(key);
  return undefined;
}

/** @throws ARCHIVE_BROKEN */
function recordsIn(text: Buffer, key: string): readonly RawRecord[] {
  const records: RawRecord[] = [];
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf(LINE_FEED, at);
    if (end < 0) throw broken(key, 'ends in the middle of a row');
    records.push(readRow(text.subarray(at, end), key));
    at = end + 1;
  }
  return records;
}

const LINE_FEED = 0x0a;

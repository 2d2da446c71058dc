import { createDecoder, type Decoder } from '../contract/codec.ts';
import type { Topic } from '../contract/contract.ts';
import type { SchemaRegistry } from '../contract/registry.ts';
import { partitionOf } from '../publish/partitioner.ts';
import type { RawRecord } from '../record.ts';
import type { LogReader } from '../topics.ts';
import { type FoundOutcome, outcomesOf } from './audit.ts';
import { type Condition, meets } from './conditions.ts';
import { type EvidenceSources, gatherEvidence } from './evidence.ts';

export interface Search {
  readonly topic: Topic<never>;
  readonly log: Pick<LogReader, 'partitions' | 'read' | 'passed' | 'bounds' | 'offsetAt'>;
  readonly registry: SchemaRegistry;
  /** Only records of this key, in the partition that Kafka's producers give it. */
  readonly key?: string | undefined;
  /** Reads every partition all the same: other clients may have put the key elsewhere. */
  readonly everywhere?: boolean | undefined;
  /** Only records that meet all of them. */
  readonly where: readonly Condition[];
  /** Only records from this time on, in epoch milliseconds. */
  readonly since?: number | undefined;
  /** Ends the search when so many are found. */
  readonly limit: number;
  /** Which come first: by partition and offset, or by time over all partitions. @default oldest */
  readonly order?: 'oldest' | 'newest' | undefined;
}

export interface SearchProgress {
  /** Records read. */
  looked: number;
  found: number;
  /** Offsets still to look at, at most. */
  left: number;
}

export interface FoundRecord {
  readonly raw: RawRecord;
  /** The decoded value; undefined where it was not needed, or cannot be read. */
  readonly value: unknown;
}

export interface SearchResult {
  readonly found: readonly FoundRecord[];
  readonly looked: number;
  /** Records that could not be read, so that nobody knows whether they meet the conditions. */
  readonly unreadable: number;
  /** The partitions that were looked into. */
  readonly partitions: readonly number[];
  /** The timestamp of the oldest record that was looked at; null where there was none. */
  readonly oldest: number | null;
  /** Whether it went to the end, and neither the limit nor the signal ended it. */
  readonly isWhole: boolean;
}

const PAGE = 500;
/** Backwards, a stretch twice as long as the one before, up to this: a client of Kafka reads forwards at its best. */
const LONGEST_STRIDE = 16_000;

/**
 * Searches a topic for records, up to the end that it has when the search begins: partition by partition and oldest first, or
 * the newest of all partitions first.
 * @throws TOPIC_UNKNOWN, REGISTRY_UNAVAILABLE
 */
export async function findRecords(
  search: Search,
  onProgress: (progress: SearchProgress) => void = () => {},
  signal?: AbortSignal,
): Promise<SearchResult> {
  const { topic, log, registry, key, everywhere, since, limit, order = 'oldest' } = search;
  const decoder = createDecoder(topic as Topic<unknown>, registry);
  const wanted = key === undefined ? undefined : Buffer.from(key);
  const count = await log.partitions(topic.name);
  const all = Array.from({ length: count }, (_, partition) => partition);
  const partitions = wanted === undefined || everywhere ? all : [partitionOf(wanted, count)];
  const stretches = await Promise.all(
    partitions.map(async (partition): Promise<Stretch> => {
      const of = { topic: topic.name, partition };
      const { start, end } = await log.bounds(of);
      // A record whose producer's clock was ahead has this begin too early, never too late.
      const from = since === undefined ? start : Math.max(start, await log.offsetAt(of, since));
      return { of, from, end };
    }),
  );
  const progress: SearchProgress = {
    looked: 0,
    found: 0,
    left: stretches.reduce((sum, { from, end }) => sum + Math.max(0, end - from), 0),
  };
  let unreadable = 0;
  let oldest: number | null = null;
  const isStopped = () => signal?.aborted === true;

  /** Those of a page that are looked for. */
  const matching = async (page: readonly RawRecord[]): Promise<readonly FoundRecord[]> => {
    const inTime = page.filter(({ timestamp }) => since === undefined || timestamp >= since);
    const keyed = inTime.filter((raw) => wanted === undefined || raw.key?.equals(wanted));
    const { records, unreadable: broken } = await read(keyed, decoder);
    unreadable += broken;
    for (const { timestamp } of inTime) if (timestamp >= 0) oldest = Math.min(oldest ?? timestamp, timestamp);
    progress.looked += page.length;
    return records.filter(({ value }) => search.where.every((condition) => meets(value, condition)));
  };
  const passed = (offsets: number, found: number) => {
    progress.left -= offsets;
    progress.found += found;
    onProgress(progress);
  };

  const oldestFirst = async (): Promise<readonly FoundRecord[]> => {
    const found: FoundRecord[] = [];
    for (const stretch of stretches) {
      let behind = stretch.from;
      for await (const page of pagesOf(log, stretch, () => isStopped() || found.length >= limit)) {
        const matches = (await matching(page)).slice(0, limit - found.length);
        found.push(...matches);
        const next = page.at(-1)!.offset + 1;
        passed(next - behind, matches.length);
        behind = next;
      }
    }
    isWhole = !isStopped() && found.length < limit;
    return found;
  };

  /** Each partition is read from its end backwards, as far as the newest of all partitions need it. */
  const newestFirst = async (): Promise<readonly FoundRecord[]> => {
    const found: FoundRecord[] = [];
    const left = stretches.map((stretch) => ({ ...stretch, stride: PAGE, ready: [] as FoundRecord[] }));
    const isUnread = ({ from, end }: Stretch) => end > from;
    while (found.length < limit) {
      for (const each of left) {
        while (each.ready.length === 0 && isUnread(each) && !isStopped()) {
          const { of, end } = each;
          const from = Math.max(each.from, end - each.stride);
          each.stride = Math.min(LONGEST_STRIDE, 2 * each.stride);
          for await (const page of pagesOf(log, { of, from, end }, isStopped))
            each.ready.unshift(...(await matching(page)).toReversed());
          each.end = from;
          passed(end - from, each.ready.length);
        }
      }
      const next = left
        .filter(({ ready }) => ready.length > 0)
        .reduce<(typeof left)[number] | undefined>(
          (best, each) =>
            best && best.ready[0]!.raw.timestamp >= each.ready[0]!.raw.timestamp ? best : each,
          undefined,
        );
      if (!next) break;
      found.push(next.ready.shift()!);
    }
    isWhole = !isStopped() && left.every((each) => each.ready.length === 0 && !isUnread(each));
    return found;
  };

  let isWhole = false;
  const found = await (order === 'newest' ? newestFirst() : oldestFirst());
  return { found, looked: progress.looked, unreadable, partitions, oldest, isWhole };
}

interface Stretch {
  readonly of: { readonly topic: string; readonly partition: number };
  readonly from: number;
  end: number;
}

/** The records of a stretch as pages, none of which is empty. */
async function* pagesOf(
  log: Search['log'],
  { of, from, end }: Readonly<Stretch>,
  isOver: () => boolean,
): AsyncGenerator<readonly RawRecord[]> {
  for (let next = from; next < end && !isOver(); ) {
    const page = (await log.read(of, next, PAGE)).filter(({ offset }) => offset < end);
    if (page.length > 0) {
      next = page.at(-1)!.offset + 1;
      yield page;
      continue;
    }
    const passed = (await log.passed?.(of, next)) ?? next;
    if (passed === next) return;
    next = passed;
  }
}

/** With their values, where those can be read. @throws REGISTRY_UNAVAILABLE */
async function read(
  raws: readonly RawRecord[],
  decoder: Decoder<unknown>,
): Promise<{ readonly records: readonly FoundRecord[]; readonly unreadable: number }> {
  if (raws.length === 0) return { records: [], unreadable: 0 };
  const decoded = await decoder.decodeBatch(raws);
  const records = raws.map((raw, at): FoundRecord => {
    const result = decoded[at]!;
    if ('held' in result) throw result.held;
    return { raw, value: 'record' in result ? result.record.value : undefined };
  });
  return { records, unreadable: decoded.filter((result) => 'error' in result).length };
}

/** What became of each record, for each consumer of its topic; in the records' order. */
export async function outcomesOfRecords(
  records: readonly Pick<RawRecord, 'partition' | 'offset'>[],
  sources: readonly EvidenceSources[],
): Promise<readonly Readonly<Record<string, FoundOutcome>>[]> {
  const only = new Set(records.map(({ partition }) => partition));
  const outcomes = records.map((): Record<string, FoundOutcome> => ({}));
  // Nobody has to look into the sink for nothing.
  if (records.length === 0) return outcomes;
  for (const source of sources) {
    const { partitions } = await gatherEvidence(source, only.size === 1 ? [...only][0] : undefined);
    const outcomeIn = new Map(partitions.map((facts) => [facts.partition, outcomesOf(facts)]));
    for (const [at, { partition, offset }] of records.entries()) {
      outcomes[at]![source.consumer.name] = outcomeIn.get(partition)!(offset);
    }
  }
  return outcomes;
}

/** What an archive calls its objects. Names sort as the commits of a partition follow each other. */
import type { LedgerKey } from '../delivery/sink.ts';
import type { TopicPartition } from '../record.ts';

/** Where a partition's chain stands: of which topic, and of which life of it. */
export type ChainOf = TopicPartition & Pick<LedgerKey, 'epoch'>;

/** One commit of a partition, by what its name says. */
export interface Link {
  /** The UTC day on which it was written, or the day before it was turned. */
  readonly date: string;
  /** The ledger's `next` before it. */
  readonly from: number;
  /** Counts the commits at one `from`: 0 for the first. */
  readonly sequence: number;
}

/** Everything that is rows begins with it. */
export const ROWS_PREFIX = 'topics/';
const HOLES_PREFIX = 'holes/';
const SUFFIX = '.jsonl.gz';

/** Before any day: the name of a partition's first object, at which its first writers meet. */
export const GENESIS: Link = { date: '0000-00-00', from: 0, sequence: 0 };

/** All that an archive reads and writes, by the topic's epoch: a topic that was created again begins anew. */
export function archivePrefixes(topic: string, epoch: number): readonly string[] {
  return [chainsPrefix(topic, epoch), `${HOLES_PREFIX}${topic}/${epoch}/`];
}

/** What the chains of all partitions of a topic's life begin with. */
export function chainsPrefix(topic: string, epoch: number): string {
  return `${ROWS_PREFIX}${topic}/${epoch}/`;
}

export function chainPrefix({ topic, epoch, partition }: ChainOf): string {
  return `${chainsPrefix(topic, epoch)}p${partition}/`;
}

export function linkKey(of: ChainOf, { date, from, sequence }: Link): string {
  return `${chainPrefix(of)}${date}/${linkName(from, sequence)}`;
}

/** "_" sorts behind ".", so that an offset's first commit comes first. */
function linkName(from: number, sequence: number): string {
  const offset = String(from).padStart(20, '0');
  return sequence === 0 ? `${offset}${SUFFIX}` : `${offset}_${String(sequence).padStart(6, '0')}${SUFFIX}`;
}

const NAME = /\/(\d{4}-\d{2}-\d{2})\/(\d{20})(?:_(\d{6}))?\.jsonl\.gz$/;

/** The link of a key; undefined for an object that no archive has written. */
export function readLink(key: string): Link | undefined {
  const match = NAME.exec(key);
  if (!match) return undefined;
  return { date: match[1]!, from: Number(match[2]), sequence: Number(match[3] ?? 0) };
}

/** Holes that do not fit beside an object; named by what they are. */
export function holesKey({ topic, epoch, partition }: ChainOf, digest: string): string {
  return `${HOLES_PREFIX}${topic}/${epoch}/p${partition}/${digest}.json`;
}

/**
 * A partition's objects as a chain: each is created on condition under a name that follows from the object before it, so
 * that of several writers one gets through, and the chain is the ledger. docs/archive.md has the picture.
 */
import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { type Ledger, NO_LEDGER } from '../delivery/ledger.ts';
import type { OffsetRange } from '../delivery/offset-ranges.ts';
import { MillraceError } from '../errors.ts';
import type { ObjectMetadata, ObjectStore } from '../objects.ts';
import type { Clock } from '../ports.ts';
import { type ChainOf, chainPrefix, GENESIS, holesKey, type Link, linkKey, readLink } from './names.ts';

/** Where a chain ends: what the next commit is called, and the ledger before it. */
export interface ChainEnd {
  readonly next: Link;
  readonly ledger: Ledger;
  /** The newest commit with rows of offsets below its own, null where there is none. */
  readonly backfill: string | null;
}

/** What to add to a chain. */
export interface Commit {
  readonly ledger: Ledger;
  /** Lines, in offset order. */
  readonly rows: readonly string[];
  /** Whether the rows' offsets are below the ledger's `next` before the commit. */
  readonly isBackfill: boolean;
}

/** What stands beside each object. */
export interface LinkFacts extends ChainEnd {
  /** The newest backfill before this object, where this one is a backfill. */
  readonly earlierBackfill: string | null;
}

/** Much of the gain for a fraction of the time: docs/performance.md. */
export const GZIP_LEVEL = 4;
/** S3 takes 2 KB in all, and there are other fields. */
const MOST_HOLES_TEXT = 1_200;
/** What S3 lists in one go. */
const PAGE = 1_000;

/** The chain's end, by the store: two or three requests, whatever the chain's length. @throws ARCHIVE_BROKEN */
export async function findEnd(store: ObjectStore, of: ChainOf): Promise<ChainEnd> {
  const prefix = chainPrefix(of);
  let date: string | undefined;
  for await (const folder of store.folders(prefix)) date = folder;
  if (date === undefined) return { next: GENESIS, ledger: NO_LEDGER, backfill: null };
  const key = await lastKey(store, of, `${prefix}${date}/`);
  if (key === undefined) throw broken(`${prefix}${date}/`, 'has no object that an archive has written');
  return readFacts(store, key);
}

/** The last of a day's keys. A busy day has more of them than one list holds; offsets tell how far to leap. */
async function lastKey(store: ObjectStore, of: ChainOf, day: string): Promise<string | undefined> {
  const keysBehind = async (after: string | undefined, most: number) => {
    const keys: string[] = [];
    for await (const { key } of store.list(day, { ...(after && { after }), pageSize: most })) {
      if (keys.push(key) === most) break;
    }
    return keys;
  };
  let keys = await keysBehind(undefined, PAGE);
  let last = keys.at(-1);
  let leap = 0;
  while (keys.length === PAGE && last) {
    const first = readLink(keys[0]!);
    const end = readLink(last);
    leap = Math.max(leap, (end?.from ?? 0) - (first?.from ?? 0));
    // Twice as far each time, then back by halves until a page covers what is left.
    for (let ahead = leap; end && ahead >= 1; ) {
      const [found] = await keysBehind(
        linkKey(of, { ...end, from: readLink(last)!.from + ahead, sequence: 0 }),
        1,
      );
      if (found && readLink(found)) {
        last = found;
        ahead *= 2;
      } else if (ahead > leap) ahead = Math.floor(ahead / 2);
      else break;
    }
    keys = await keysBehind(last, PAGE);
    last = keys.at(-1) ?? last;
  }
  return last;
}

/** What an object says of its chain. @throws ARCHIVE_BROKEN */
async function readFacts(store: ObjectStore, key: string): Promise<LinkFacts> {
  return factsOf(store, key, await store.metadata(key));
}

/** An object's lines, and what it says of its chain. @throws ARCHIVE_BROKEN */
export async function readObject(
  store: ObjectStore,
  key: string,
): Promise<{ readonly text: Buffer; readonly facts: LinkFacts }> {
  const object = await store.open(key);
  if (!object) throw broken(key, 'is missing');
  const facts = await factsOf(store, key, object.metadata);
  return { text: inflate(object.body, key), facts };
}

async function factsOf(
  store: ObjectStore,
  key: string,
  metadata: ObjectMetadata | undefined,
): Promise<LinkFacts> {
  const link = readLink(key);
  if (!link || metadata?.version !== VERSION)
    throw broken(key, 'is not an object of an archive of this version');
  const {
    date = link.date,
    first,
    next,
    'max-timestamp': maxTimestamp,
    holes = '',
    backfill = '',
  } = metadata;
  const ledger: Ledger = {
    first: numberOrNull(first),
    next: numberOrNull(next),
    maxTimestamp: Number(maxTimestamp),
    ...(await readHoles(store, holes)),
  };
  const isBackfill = metadata.kind === 'backfill';
  return {
    next: following(link, date, ledger),
    ledger,
    backfill: isBackfill ? key : backfill || null,
    earlierBackfill: backfill || null,
  };
}

/**
 * Adds a commit to the chain. On the first of a day an empty object at the old date turns the chain to the new one, so
 * that a reader of recent days misses nothing.
 * @throws SINK_CONFLICT where another writer was faster: the chain's end is to be read again
 */
export async function commitTo(
  store: ObjectStore,
  of: ChainOf,
  end: ChainEnd,
  commit: Commit,
  clock: Clock,
): Promise<ChainEnd> {
  const today = new Date(clock.now()).toISOString().slice(0, 10);
  const turned =
    end.next.date < today
      ? await write(store, of, end, { ledger: end.ledger, rows: [], isBackfill: false }, today)
      : end;
  return write(store, of, turned, commit, turned.next.date);
}

async function write(
  store: ObjectStore,
  of: ChainOf,
  end: ChainEnd,
  { ledger, rows, isBackfill }: Commit,
  date: string,
): Promise<ChainEnd> {
  const key = linkKey(of, end.next);
  const metadata: ObjectMetadata = {
    version: VERSION,
    kind: isBackfill ? 'backfill' : rows.length > 0 ? 'records' : 'empty',
    date,
    first: String(ledger.first),
    next: String(ledger.next),
    'max-timestamp': String(ledger.maxTimestamp),
    holes: await writeHoles(store, of, ledger),
    backfill: end.backfill ?? '',
    rows: String(rows.length),
  };
  const body = gzipSync(rows.join(''), { level: GZIP_LEVEL });
  if (!(await store.create(key, body, metadata))) {
    throw new MillraceError(
      'SINK_CONFLICT',
      `Another writer has archived ${of.topic}/${of.partition} from offset ${end.next.from} on. The batch is tried again.`,
      { details: { topic: of.topic, partition: of.partition, offset: end.next.from } },
    );
  }
  return {
    next: following(end.next, date, ledger),
    ledger,
    backfill: isBackfill ? key : end.backfill,
  };
}

const VERSION = '1';

/** What the commit after `link` is called: two commits at one offset are told apart by their sequence. */
function following({ from, sequence }: Link, date: string, { next }: Ledger): Link {
  const at = next ?? 0;
  return { date, from: at, sequence: at === from ? sequence + 1 : 0 };
}

function inflate(body: Buffer, key: string): Buffer {
  try {
    return gunzipSync(body);
  } catch {
    throw broken(key, 'does not inflate');
  }
}

type Holes = Pick<Ledger, 'deadLettered' | 'skipped'>;

/** In the text itself, or where it is to be found. */
async function writeHoles(
  store: ObjectStore,
  of: ChainOf,
  { deadLettered, skipped }: Holes,
): Promise<string> {
  const text = `${rangesText(deadLettered)}/${rangesText(skipped)}`;
  if (text.length <= MOST_HOLES_TEXT) return text;
  const key = holesKey(of, createHash('sha256').update(text).digest('hex').slice(0, 32));
  // By its content: a writer that did not get through leaves what another one can use.
  await store.put(key, Buffer.from(text));
  return `@${key}`;
}

async function readHoles(store: ObjectStore, holes: string): Promise<Holes> {
  let text = holes;
  if (holes.startsWith('@')) {
    const stored = await store.get(holes.slice(1));
    if (!stored) throw broken(holes.slice(1), 'is missing');
    text = stored.toString();
  }
  return holesIn(text);
}

/** How many rows an object has, by what stands beside it. */
export function rowsBeside(metadata: ObjectMetadata): number {
  return Number(metadata.rows);
}

/** The holes that a text tells, as it stands beside an object. */
export function holesIn(text: string): Holes {
  const [deadLettered = '', skipped = ''] = text.split('/');
  return { deadLettered: readRanges(deadLettered), skipped: readRanges(skipped) };
}

/** Each range as its distance from the one before and its length, in base 36. */
function rangesText(ranges: readonly OffsetRange[]): string {
  let end = 0;
  return ranges
    .map(({ from, to }) => {
      const text = `${(from - end).toString(36)}+${(to - from).toString(36)}`;
      end = to;
      return text;
    })
    .join(',');
}

function readRanges(text: string): OffsetRange[] {
  if (text === '') return [];
  let end = 0;
  return text.split(',').map((range) => {
    const [distance = '', length = ''] = range.split('+');
    const from = end + Number.parseInt(distance, 36);
    end = from + Number.parseInt(length, 36);
    return { from, to: end };
  });
}

function numberOrNull(text: string | undefined): number | null {
  return text === undefined || text === 'null' ? null : Number(text);
}

export function broken(key: string, problem: string): MillraceError {
  return new MillraceError(
    'ARCHIVE_BROKEN',
    `The archive's object ${key} ${problem}. Bring back the object from the bucket's versions: docs/archive.md.`,
    { details: { object: key } },
  );
}

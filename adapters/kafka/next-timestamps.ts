/** When the next unread records were written: the one thing about a lag that Kafka has to read its log for. */
import { type Consumer, FetchIsolationLevels } from '@platformatic/kafka';
import { errorsIn, reasonOf } from './kafka-errors.ts';
import { offsetAfter, readableRecords } from './record-batches.ts';

type FetchResponse = Awaited<ReturnType<Consumer['fetch']>>;
type FetchedPartition = FetchResponse['responses'][number]['partitions'][number];

/** A record's position, and where it is to be read. */
export interface Wanted {
  readonly topic: string;
  readonly topicId: string;
  readonly partition: number;
  readonly leader: number;
  readonly offset: number;
}

/** What is known of one: its timestamp once it is found, and until then where to look on, in how many bytes. */
interface Search {
  found: { readonly timestamp: number | null } | undefined;
  from: number;
  bytes: number;
}

/** A partition's share of a fetch. A broker gives whole batches, and nothing of a partition whose first is larger. */
const FIRST_BYTES = 4_096;
/** The next time that much more of it is asked for. */
const GROWTH = 8;
const MOST_BYTES = 16 * 1_048_576;
/** Of one request: beyond it, a partition waits for the next. */
const REQUEST_BYTES = 8 * 1_048_576;

/**
 * Keeps what it finds for as long as it is wanted. A round of fetches takes up to `withinMs`, and those under way beyond that
 * are for the next round; the longest in want is looked for first.
 */
export class NextTimestamps {
  readonly #consumer: Consumer;
  readonly #withinMs: number;
  #searches = new Map<string, Search>();
  readonly #busy = new Set<number>();
  #turn = 0;

  constructor(consumer: Consumer, withinMs: number) {
    this.#consumer = consumer;
    this.#withinMs = withinMs;
  }

  /** The timestamp of the record, or of the first after it that can be read; null where it is not known, or has none. */
  of(wanted: Wanted): number | null {
    return this.#searches.get(keyOf(wanted))?.found?.timestamp ?? null;
  }

  /** Looks for these, and forgets all others. @returns why some are not found, a sentence */
  async find(wanted: readonly Wanted[]): Promise<string | undefined> {
    const all = new Map(wanted.map((each) => [keyOf(each), each]));
    this.#searches = new Map(
      [...all].map(([key, { offset }]) => [
        key,
        this.#searches.get(key) ?? { found: undefined, from: offset, bytes: FIRST_BYTES },
      ]),
    );
    const missing = [...all]
      .filter(([key]) => this.#searches.get(key)!.found === undefined)
      .map(([, each]) => each);
    if (missing.length === 0) return undefined;
    // A turn later others come first.
    const first = this.#turn++ % missing.length;
    const turned = [...missing.slice(first), ...missing.slice(0, first)];
    const topics = new Set(turned.map(({ topic }) => topic));
    for (const topic of this.#consumer.topics.current)
      if (!topics.has(topic)) this.#consumer.topics.untrack(topic);
    for (const topic of topics) this.#consumer.topics.track(topic);

    const until = performance.now() + this.#withinMs;
    let why: string | undefined;
    const rounds = [...Map.groupBy(turned, ({ leader }) => leader)].map(async ([leader, led]) => {
      if (leader < 0 || this.#busy.has(leader)) return;
      this.#busy.add(leader);
      try {
        for (const request of requestsOf(led, (each) => this.#searches.get(keyOf(each))!)) {
          if (performance.now() >= until) return;
          await this.#fetch(leader, request);
        }
      } catch (error) {
        why = `The age of what is unread could not be read: ${reasonOf(errorsIn(error))}.`;
        this.#consumer.clearMetadata();
      } finally {
        this.#busy.delete(leader);
      }
    });
    await within(this.#withinMs, Promise.all(rounds));
    return why;
  }

  async close(): Promise<void> {
    await this.#consumer.close();
  }

  async #fetch(node: number, wanted: readonly Wanted[]): Promise<void> {
    const searches = this.#searches;
    const of = new Map(wanted.map((each) => [`${each.topicId}/${each.partition}`, each]));
    const topics = [...Map.groupBy(wanted, ({ topicId }) => topicId)].map(([topicId, each]) => ({
      topicId,
      partitions: each.map((want) => {
        const { from, bytes } = searches.get(keyOf(want))!;
        return {
          partition: want.partition,
          currentLeaderEpoch: -1,
          lastFetchedEpoch: -1,
          fetchOffset: BigInt(from),
          partitionMaxBytes: bytes,
        };
      }),
    }));
    const response = await this.#consumer
      .fetch({
        node,
        topics,
        // It answers at once, whatever there is: a partition that has been drained meanwhile holds up nobody.
        maxWaitTime: 0,
        minBytes: 0,
        maxBytes: 4 * REQUEST_BYTES,
        isolationLevel: FetchIsolationLevels.READ_COMMITTED,
      })
      .catch((error) => {
        // One partition's error comes with what the others gave.
        const [partial] = errorsIn(error).flatMap(({ response: came }) =>
          came ? [came as FetchResponse] : [],
        );
        if (!partial?.responses) throw error;
        return partial;
      });
    for (const { topicId, partitions } of response.responses) {
      for (const part of partitions) {
        const want = of.get(`${topicId}/${part.partitionIndex}`);
        const search = want && searches.get(keyOf(want));
        if (want && search && part.errorCode === 0) note(search, want, part);
      }
    }
  }
}

function note(search: Search, { topic, partition }: Wanted, part: FetchedPartition): void {
  const batches = part.records ?? [];
  const [record] = readableRecords(
    { topic, partition },
    batches,
    part.abortedTransactions ?? [],
    search.from,
  );
  if (record) search.found = { timestamp: record.timestamp >= 0 ? record.timestamp : null };
  // Marks of transactions, or records of aborted ones.
  else if (batches.length > 0) search.from = Math.max(search.from, offsetAfter(batches)!);
  else search.bytes = Math.min(search.bytes * GROWTH, MOST_BYTES);
}

/** In their order, as many a request as may bring so many bytes; a request has one offset of a partition. */
function requestsOf(
  wanted: readonly Wanted[],
  searchOf: (each: Wanted) => Search,
): readonly (readonly Wanted[])[] {
  const requests: { readonly bytes: number; readonly of: Map<string, Wanted> }[] = [];
  for (const want of wanted) {
    const { bytes } = searchOf(want);
    const name = `${want.topicId}/${want.partition}`;
    const room = requests.findIndex((each) => each.bytes + bytes <= REQUEST_BYTES && !each.of.has(name));
    if (room >= 0) {
      const request = requests[room]!;
      request.of.set(name, want);
      requests[room] = { bytes: request.bytes + bytes, of: request.of };
    } else requests.push({ bytes, of: new Map([[name, want]]) });
  }
  return requests.map(({ of }) => [...of.values()]);
}

function keyOf({ topicId, partition, offset }: Wanted): string {
  return `${topicId}/${partition}/${offset}`;
}

/** What is under way goes on, and is waited for no longer. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  await Promise.race([work, late]).finally(() => clearTimeout(timer));
}

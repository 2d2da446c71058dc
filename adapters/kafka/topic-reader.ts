import { type Consumer, FetchIsolationLevels, type RecordsBatch } from '@platformatic/kafka';
import { MillraceError } from '../../runtime/errors.ts';
import type { RawRecord } from '../../runtime/record.ts';
import { errorsIn, hasApiError } from './kafka-errors.ts';
import { offsetAfter, readableRecords } from './record-batches.ts';

type FetchResponse = Awaited<ReturnType<Consumer['fetch']>>;
type FetchedPartition = FetchResponse['responses'][number]['partitions'][number];

/** One fetch brings this much of a partition, or one larger batch, and of all of them together. */
const PARTITION_FETCH_BYTES = 1_048_576;
const FETCH_BYTES = 16 * PARTITION_FETCH_BYTES;
/** A partition with less than this in memory is fetched along whenever another one is. */
const REFILL_BYTES = PARTITION_FETCH_BYTES;
const REFILL_RECORDS = 2_000;
/** More than Lambda's payload limit: one read never needs to wait for more. */
const READ_BYTES = 8 * PARTITION_FETCH_BYTES;
/** A partition that nobody has read for so long is no longer fetched along. */
const IDLE_MS = 10_000;
/** A broker that throttles this client, or a leader that moves, brings nothing although there is something. */
const MOST_FRUITLESS = 3;
/** A record's own share of memory, beyond its bytes. */
const RECORD_OVERHEAD_BYTES = 100;

/** What is in memory of one partition: the records from `start` up to `next`, which is the offset to fetch from. */
interface Window {
  start: number;
  next: number;
  records: RawRecord[];
  bytes: number;
  /** Whether the last fetch has found the end, and in which turn of the event loop. */
  endSeenIn: number | undefined;
  readAt: number;
}

/**
 * Reads one topic's partitions by offset. An event source asks for a few records of one partition after the other, again
 * and again; a fetch brings all partitions that run low, so that a poll over all of them costs one request, and the next
 * records are fetched while the present ones are worked on.
 */
export class TopicReader {
  readonly #topic: string;
  readonly #consumer: Consumer;
  readonly #startOf: (partition: number) => Promise<number>;
  readonly #windows = new Map<number, Window>();
  #fetching: { readonly partitions: readonly number[]; readonly done: Promise<void> } | undefined;
  #turn = 0;

  /** @param startOf the oldest offset that a partition still has */
  constructor(topic: string, consumer: Consumer, startOf: (partition: number) => Promise<number>) {
    this.#topic = topic;
    this.#consumer = consumer;
    this.#startOf = startOf;
    consumer.topics.track(topic);
  }

  /** @throws KAFKA_UNAVAILABLE where nothing comes although the partition goes on: none is its end, and nothing else */
  async read(partition: number, fromOffset: number, maxRecords: number): Promise<readonly RawRecord[]> {
    const window = this.#windowAt(partition, fromOffset);
    let fruitless = 0;
    while (
      window.records.length < maxRecords &&
      window.bytes < READ_BYTES &&
      fruitless < MOST_FRUITLESS &&
      !this.#isAtEnd(window)
    ) {
      // One that others began need not be for this partition.
      if (this.#fetching && !this.#fetching.partitions.includes(partition)) {
        await this.#fetching.done.catch(() => {});
        continue;
      }
      const before = window.next;
      // When others took all of a fetch, the next one is for this partition alone.
      await this.#fetch(fruitless > 0 ? [partition] : this.#runningLow(partition));
      fruitless = window.next === before ? fruitless + 1 : 0;
    }
    if (window.records.length === 0 && fruitless === MOST_FRUITLESS) {
      throw new MillraceError(
        'KAFKA_UNAVAILABLE',
        `Kafka returns no records of ${this.#topic}/${partition} from ${window.next} on, although there are some: its ` +
          'brokers throttle this client, or the partition is moving to another one.',
        { details: { topic: this.#topic, partition, offset: window.next } },
      );
    }
    const records = window.records.slice(0, maxRecords);
    if (records.length === maxRecords && this.#isLow(window) && window.endSeenIn === undefined)
      this.#prefetch();
    return records;
  }

  /** Where to go on after a read from `fromOffset` that found nothing: behind offsets without records. */
  passed(partition: number, fromOffset: number): number {
    const window = this.#windows.get(partition);
    if (!window || window.records.length > 0 || fromOffset < window.start) return fromOffset;
    return Math.max(fromOffset, window.next);
  }

  /** Somebody has learned of records up to `end`: what was seen of the partition's end may be old. */
  endIsAt(partition: number, end: number): void {
    const window = this.#windows.get(partition);
    if (window && window.next < end) window.endSeenIn = undefined;
  }

  async close(): Promise<void> {
    await this.#consumer.close();
    await this.#fetching?.done.catch(() => {});
  }

  #windowAt(partition: number, fromOffset: number): Window {
    let window = this.#windows.get(partition);
    if (!window || fromOffset < window.start || fromOffset > window.next) {
      window = {
        start: fromOffset,
        next: fromOffset,
        records: [],
        bytes: 0,
        endSeenIn: undefined,
        readAt: 0,
      };
      this.#windows.set(partition, window);
    }
    const read = window.records.findIndex(({ offset }) => offset >= fromOffset);
    for (const record of window.records.splice(0, read === -1 ? window.records.length : read)) {
      window.bytes -= sizeOf(record);
    }
    window.start = fromOffset;
    window.readAt = performance.now();
    return window;
  }

  /** The end is where it was only in the turn of the event loop that saw it: nothing else has come in since. */
  #isAtEnd({ endSeenIn }: Window): boolean {
    return endSeenIn === this.#turn;
  }

  #isLow({ bytes, records }: Window): boolean {
    return bytes < REFILL_BYTES && records.length < REFILL_RECORDS;
  }

  #runningLow(asked: number): readonly number[] {
    const now = performance.now();
    const low = [...this.#windows].filter(
      ([, window]) => this.#isLow(window) && now - window.readAt < IDLE_MS,
    );
    return [...new Set([asked, ...low.map(([partition]) => partition)])];
  }

  #prefetch(): void {
    const [first, ...others] = [...this.#windows.keys()].filter((partition) =>
      this.#isLow(this.#windows.get(partition)!),
    );
    if (first === undefined || this.#fetching) return;
    // What fails here fails again for who asks next.
    this.#fetch([first, ...others]).catch(() => {});
  }

  /** One request at a time: a fetch session is one conversation. */
  #fetch(partitions: readonly number[]): Promise<void> {
    if (!this.#fetching) {
      const done = this.#fetchNow(partitions).finally(() => {
        this.#fetching = undefined;
      });
      this.#fetching = { partitions, done };
    }
    return this.#fetching.done;
  }

  async #fetchNow(partitions: readonly number[]): Promise<void> {
    const topics = [this.#topic];
    let { topics: found } = await this.#consumer.metadata({ topics });
    // One that the topic was given meanwhile.
    if (partitions.some((partition) => !found.get(this.#topic)!.partitions[partition]))
      ({ topics: found } = await this.#consumer.metadata({ topics, forceUpdate: true }));
    const topic = found.get(this.#topic)!;
    const known = partitions.filter((partition) => topic.partitions[partition]);
    const byLeader = Map.groupBy(known, (partition) => topic.partitions[partition]!.leader);
    await Promise.all([...byLeader].map(([leader, led]) => this.#fetchFrom(leader, topic.id, led)));
    for (const partition of partitions)
      if (!known.includes(partition)) this.#sawEnd(this.#windows.get(partition)!);
  }

  async #fetchFrom(node: number, topicId: string, partitions: readonly number[]): Promise<void> {
    const asked = new Map(partitions.map((partition) => [partition, this.#windows.get(partition)!]));
    const request = [...asked].map(([partition, { next }]) => ({
      partition,
      currentLeaderEpoch: -1,
      lastFetchedEpoch: -1,
      fetchOffset: BigInt(next),
      partitionMaxBytes: PARTITION_FETCH_BYTES,
    }));
    const positions = new Map([...asked].map(([partition, { next }]) => [partition, next]));
    let response: FetchResponse;
    try {
      response = await this.#consumer.fetch({
        node,
        topics: [{ topicId, partitions: request }],
        // The broker answers at once: whoever polls decides how long to wait.
        maxWaitTime: 0,
        minBytes: 0,
        maxBytes: FETCH_BYTES,
        isolationLevel: FetchIsolationLevels.READ_COMMITTED,
      });
    } catch (error) {
      if (!hasApiError(error, 'OFFSET_OUT_OF_RANGE')) {
        // The client has tried again where it was told to. Who leads by now is asked anew.
        this.#consumer.clearMetadata();
        if (hasApiError(error, ...MOVED)) return;
        throw error;
      }
      const outOfRange = [...asked].filter(([partition]) => isOutOfRange(error, partition));
      await Promise.all(outOfRange.map(([partition, window]) => this.#moveIntoRange(partition, window)));
      return;
    }
    // A session leaves out partitions of which there is nothing to tell.
    const told = new Map(
      response.responses.flatMap((each) => each.partitions.map((part) => [part.partitionIndex, part])),
    );
    for (const [partition, window] of asked) {
      const part = told.get(partition);
      // A window that was begun anew meanwhile wants other offsets.
      if (this.#windows.get(partition) !== window || window.next !== positions.get(partition)) continue;
      if (part?.records) this.#take(partition, window, part.records, part.abortedTransactions ?? []);
      if (!part || Number(part.lastStableOffset) <= window.next) this.#sawEnd(window);
      else window.endSeenIn = undefined;
    }
  }

  #take(
    partition: number,
    window: Window,
    batches: readonly RecordsBatch[],
    aborted: NonNullable<FetchedPartition['abortedTransactions']>,
  ): void {
    const records = readableRecords({ topic: this.#topic, partition }, batches, aborted, window.next);
    for (const record of records) {
      window.records.push(record);
      window.bytes += sizeOf(record);
    }
    window.next = Math.max(window.next, offsetAfter(batches) ?? window.next);
  }

  /** Retention has passed the offset by, or the topic has been made anew and does not reach it yet. */
  async #moveIntoRange(partition: number, window: Window): Promise<void> {
    const start = await this.#startOf(partition);
    if (window.next < start) window.next = start;
    else this.#sawEnd(window);
  }

  #sawEnd(window: Window): void {
    const turn = this.#turn;
    window.endSeenIn = turn;
    setImmediate(() => {
      if (this.#turn === turn) this.#turn++;
    });
  }
}

function sizeOf({ key, value, headers }: RawRecord): number {
  const ofHeaders = headers.reduce(
    (sum, header) => sum + header.name.length + (header.value?.length ?? 0),
    0,
  );
  return RECORD_OVERHEAD_BYTES + (key?.length ?? 0) + (value?.length ?? 0) + ofHeaders;
}

/** The partition is with another broker, or the topic is another one of the name. */
const MOVED = [
  'NOT_LEADER_OR_FOLLOWER',
  'FENCED_LEADER_EPOCH',
  'LEADER_NOT_AVAILABLE',
  'UNKNOWN_TOPIC_ID',
] as const;
const OFFSET_OUT_OF_RANGE = 1;

/** The whole request fails for one partition; the response that comes with the error says for which. */
function isOutOfRange(error: unknown, partition: number): boolean {
  return errorsIn(error).some(({ response }) =>
    ((response as FetchResponse | undefined)?.responses ?? []).some(({ partitions }) =>
      partitions.some((part) => part.partitionIndex === partition && part.errorCode === OFFSET_OUT_OF_RANGE),
    ),
  );
}

import { PayloadSize } from '../../runtime/lambda/payload-limit.ts';
import type { RawRecord } from '../../runtime/record.ts';
import { type DeliveryContext, deliver } from './delivery.ts';

/** How often a poller looks for new records when it has found none. */
export const POLL_INTERVAL_MS = 50;

/**
 * "Each event poller supports up to 5 concurrent Lambda invocations":
 * https://docs.aws.amazon.com/lambda/latest/dg/with-kafka-low-latency.html (2026-11-24)
 */
const MAX_INVOCATIONS = 5;

/** Records fetched at once: large ones must not fill the memory before the payload limit is noticed. */
const FETCH_RECORDS = 1_000;

export interface PollerContext extends DeliveryContext {
  /** Ends the whole event source: the log has failed. */
  fail(error: unknown): void;
}

/**
 * Polls its partitions and delivers what it finds, until `stop` aborts and the invocations in flight have ended.
 * Batches in flight share no partition, so each partition is delivered in order; a batch may hold several.
 * @param positions the next offset of each partition, moved on as records are taken into batches
 */
export async function runPoller(
  topic: string,
  partitions: readonly number[],
  positions: number[],
  context: PollerContext,
): Promise<void> {
  const { stop, clock, mapping, reader, fail } = context;
  // Those served last stand last, so that a busy partition does not starve the others.
  let free = [...partitions];
  let wake = new AbortController();
  const inFlight = new Set<Promise<void>>();

  const fetchInto = async (batch: OpenBatch, partition: number) => {
    while (!batch.isFull) {
      const wanted = Math.min(FETCH_RECORDS, batch.room);
      const records = await reader.read({ topic, partition }, positions[partition]!, wanted);
      for (const record of records) {
        if (!batch.add(record)) return;
        positions[partition] = record.offset + 1;
      }
      if (records.length < wanted) return;
    }
  };

  /** Behind offsets that hold no record. Nothing of the partition is collected or in flight, so it may be committed. */
  const passEmptyOffsets = async (partition: number) => {
    const of = { topic, partition };
    const next = (await reader.passed?.(of, positions[partition]!)) ?? positions[partition]!;
    if (next === positions[partition]) return;
    positions[partition] = next;
    await reader.commit(context.group, [{ ...of, offset: next }]);
  };

  /** Gathers a batch until it is full or its window, which begins with its first record, is over. */
  const collect = async (): Promise<readonly RawRecord[]> => {
    const batch = new OpenBatch(mapping.batchSize);
    let closesAt = Number.POSITIVE_INFINITY;
    for (;;) {
      for (const partition of free) await fetchInto(batch, partition);
      if (batch.records.length === 0) for (const partition of free) await passEmptyOffsets(partition);
      if (batch.records.length === 0 || batch.isFull) return batch.records;
      closesAt = Math.min(closesAt, clock.now() + mapping.maximumBatchingWindowMs);
      const remainingMs = closesAt - clock.now();
      if (remainingMs <= 0 || stop.aborted) return batch.records;
      await clock.sleep(Math.min(POLL_INTERVAL_MS, remainingMs), stop);
    }
  };

  const dispatch = (records: readonly RawRecord[]) => {
    const taken = new Set(records.map(({ partition }) => partition));
    free = free.filter((partition) => !taken.has(partition));
    const delivery = deliver(inPartitionOrder(records), context)
      .catch(fail)
      .finally(() => {
        inFlight.delete(delivery);
        free.push(...taken);
        wake.abort();
      });
    inFlight.add(delivery);
  };

  stop.addEventListener('abort', () => wake.abort());
  try {
    while (!stop.aborted) {
      // A delivery that ends from here on, also while a batch is collected, cuts the next pause short.
      wake = new AbortController();
      const records = inFlight.size < MAX_INVOCATIONS && free.length > 0 ? await collect() : [];
      if (records.length === 0) {
        await clock.sleep(POLL_INTERVAL_MS, wake.signal);
      } else {
        dispatch(records);
        // A turn of the event loop: a long backlog must leave timers and signals their chance.
        await clock.sleep(0);
      }
    }
  } catch (error) {
    fail(error);
  }
  await Promise.all(inFlight);
}

/** A batch being filled, up to Lambda's limits. */
class OpenBatch {
  readonly records: RawRecord[] = [];
  readonly #maxRecords: number;
  readonly #payload = new PayloadSize();
  #isClosed = false;

  constructor(maxRecords: number) {
    this.#maxRecords = maxRecords;
  }

  get room(): number {
    return this.#maxRecords - this.records.length;
  }
  get isFull(): boolean {
    return this.#isClosed || this.room === 0;
  }

  /** Takes the record unless it is too much. One that is too large for any batch is taken, to stand alone. */
  add(record: RawRecord): boolean {
    if (this.isFull) return false;
    if (!this.#payload.add(record)) {
      this.#isClosed = true;
      if (this.records.length > 0) return false;
    }
    this.records.push(record);
    return true;
  }
}

/** By partition, each in the order it was read in: the sort is stable. */
function inPartitionOrder(records: readonly RawRecord[]): RawRecord[] {
  return records.toSorted((a, b) => a.partition - b.partition);
}

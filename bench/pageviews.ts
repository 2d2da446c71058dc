/** What all benchmarks run on: pageviews of a busy newsroom, as records and as Lambda's event. */
import avsc from 'avsc';
import { createSeededRandom } from '../adapters/system/seeded-random.ts';
import type { Pageview } from '../contracts/news.pageviews/schema.ts';
import { pageviews } from '../contracts/news.pageviews/topic.ts';
import { createTraffic } from '../demo/traffic.ts';
import { createEncoder } from '../runtime/contract/codec.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import { partitionOf } from '../runtime/publish/partitioner.ts';
import type { RawRecord } from '../runtime/record.ts';
import type { OutgoingRecord } from '../runtime/topics.ts';

export const STARTED_AT = Date.UTC(2026, 0, 5, 8);
export const RECORDS_PER_SECOND = 2_000;
const CHUNK_RECORDS = 10_000;

/** The schema and the parsed type that the floor and the peer read with. */
export const { schema } = pageviews.latest;
export const type = avsc.Type.forSchema(schema as never);
/** Glue's framing: what stands before the Avro body. */
export const FRAME_BYTES = 18;

/** Keyed, encoded pageviews, the same at every run. */
export async function makeRecords(count: number, registry: SchemaRegistry): Promise<OutgoingRecord[]> {
  return (await Array.fromAsync(makeRecordChunks(count, registry))).flat();
}

/** The same, a part at a time: a million of them need not be in memory together. */
export async function* makeRecordChunks(
  count: number,
  registry: SchemaRegistry,
  size = CHUNK_RECORDS,
  idOf: (value: Pageview) => string = ({ eventId }) => eventId,
): AsyncGenerator<readonly OutgoingRecord[]> {
  const traffic = createTraffic(createSeededRandom(2026));
  const encoder = createEncoder(pageviews, registry);
  for (let made = 0; made < count; made += size) {
    const values: Pageview[] = Array.from({ length: Math.min(size, count - made) }, (_, index) =>
      traffic.next(STARTED_AT + Math.floor(((made + index) * 1000) / RECORDS_PER_SECOND)),
    );
    const encoded = await encoder.encodeBatch(values.map((value) => ({ ...value, eventId: idOf(value) })));
    yield encoded.map((result, index) => {
      if (!('record' in result)) throw new Error(`pageview ${made + index} breaks its contract`);
      return { ...result.record, timestamp: values[index]!.occurredAt };
    });
  }
}

/** The records as they stand in the topic's partitions, `firstOffset` being every partition's first; or each goes on from `next`. */
export function inPartitions(
  records: readonly OutgoingRecord[],
  firstOffset = 0,
  next = new Array<number>(pageviews.partitions).fill(firstOffset),
): RawRecord[] {
  const placed = records.map(({ key, value, timestamp }): RawRecord => {
    const partition = partitionOf(key!, pageviews.partitions);
    return {
      topic: pageviews.name,
      partition,
      offset: next[partition]!++,
      timestamp: timestamp!,
      timestampType: 'CREATE_TIME',
      key,
      value,
      headers: [],
    };
  });
  return placed.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
}

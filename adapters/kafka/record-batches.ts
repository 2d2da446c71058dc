/** What a fetch brings, as records: pure, so that what Kafka is unlikely to do in a test can be tested. */
import type { RecordsBatch } from '@platformatic/kafka';
import type { RawRecord, TimestampType, TopicPartition } from '../../runtime/record.ts';

// https://kafka.apache.org/documentation/#recordbatch (2026-11-25)
const LOG_APPEND_TIME = 1 << 3;
const TRANSACTIONAL = 1 << 4;
const CONTROL = 1 << 5;
/** The key of a control record: a version, then its type as 16 bits each. */
const CONTROL_TYPE_AT = 2;
const ABORT = 0;

export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: bigint;
}

/**
 * The records of the batches from `fromOffset` on, without those of aborted transactions and without transactions' own
 * marks. A batch that holds `fromOffset` begins before it, and after compaction offsets are missing.
 */
export function readableRecords(
  { topic, partition }: TopicPartition,
  batches: readonly RecordsBatch[],
  abortedTransactions: readonly AbortedTransaction[],
  fromOffset: number,
): RawRecord[] {
  const records: RawRecord[] = [];
  const toCome = abortedTransactions.toSorted((a, b) => Number(a.firstOffset - b.firstOffset));
  const aborting = new Set<bigint>();
  for (const batch of batches) {
    // As the Java client does it: a transaction is aborted from its first offset to its producer's next abort mark.
    while (toCome.length > 0 && toCome[0]!.firstOffset <= lastOffsetOf(batch))
      aborting.add(toCome.shift()!.producerId);
    if (batch.attributes & CONTROL) {
      if (batch.records[0]?.key?.readInt16BE(CONTROL_TYPE_AT) === ABORT) aborting.delete(batch.producerId);
      continue;
    }
    if (batch.attributes & TRANSACTIONAL && aborting.has(batch.producerId)) continue;
    const firstOffset = Number(batch.firstOffset);
    for (const record of batch.records) {
      const offset = firstOffset + record.offsetDelta;
      if (offset < fromOffset) continue;
      records.push({
        topic,
        partition,
        offset,
        ...timeOf(batch, record.timestampDelta),
        key: record.key,
        value: record.value,
        headers: record.headers.map(([name, value]) => ({ name: name?.toString() ?? '', value })),
      });
    }
  }
  return records;
}

/** The offset after all batches, whatever is in them; undefined where there is no batch. */
export function offsetAfter(batches: readonly RecordsBatch[]): number | undefined {
  const last = batches.at(-1);
  return last && Number(lastOffsetOf(last)) + 1;
}

function lastOffsetOf({ firstOffset, lastOffsetDelta }: RecordsBatch): bigint {
  return firstOffset + BigInt(lastOffsetDelta);
}

function timeOf(
  { attributes, firstTimestamp, maxTimestamp }: RecordsBatch,
  delta: bigint,
): { timestamp: number; timestampType: TimestampType } {
  if (attributes & LOG_APPEND_TIME) {
    return { timestamp: Number(maxTimestamp), timestampType: 'LOG_APPEND_TIME' };
  }
  // Wraps around as Java's long does, so that a batch may hold both ends of its range.
  const timestamp = Number(BigInt.asIntN(64, firstTimestamp + delta));
  return { timestamp, timestampType: timestamp === -1 ? 'NO_TIMESTAMP_TYPE' : 'CREATE_TIME' };
}

/** What requests to Kafka are made of, and what their answers say of each record: pure. */
import type { MessageToProduce } from '@platformatic/kafka';
import type { Position } from '../../runtime/record.ts';
import type { OutgoingRecord } from '../../runtime/topics.ts';

/** A topic's default max.message.bytes is 1,048,588, and what one request brings is one such message. */
const ROUND_BYTES = 1_000_000;
const ROUND_RECORDS = 5_000;
/** Bounds from above what the format adds to the bytes of a record, and of a header. */
const RECORD_OVERHEAD_BYTES = 40;
const HEADER_OVERHEAD_BYTES = 10;
/**
 * @platformatic/dynamic-buffer 0.3.1 (int64ZigZagEncode) writes larger differences wrong, so records that are further
 * apart than 24 days go in requests of their own.
 */
const MOST_TIMESTAMP_DELTA = 2 ** 31 - 1;

/** One call of `send`. */
export interface Call {
  readonly topic: string;
  readonly records: readonly OutgoingRecord[];
  isSettled: boolean;
  /** The partition of each record, once the topic's number of partitions is known. */
  partitions: readonly number[] | undefined;
  /** How many records have been put into requests, and where those that are confirmed stand. */
  taken: number;
  confirmed: number;
  readonly positions: Position[];
  readonly resolve: (positions: readonly Position[]) => void;
  readonly reject: (error: unknown) => void;
}

export interface Entry {
  readonly call: Call;
  readonly index: number;
  readonly partition: number;
  readonly timestamp: number;
}

type Message = MessageToProduce<Buffer, Buffer, Buffer, Buffer>;

/**
 * The next records of the queue, in order, as one request a partition. One record that is too large for any goes alone.
 */
export function takeRound(queue: readonly Call[], now: number): readonly (readonly Entry[])[] {
  const requests = new Map<string, Entry[]>();
  let records = 0;
  let bytes = 0;
  const round = () => [...requests.values()];
  for (const call of queue) {
    // It came while the others were planned.
    if (!call.partitions) break;
    for (; call.taken < call.records.length; call.taken++) {
      const record = call.records[call.taken]!;
      const partition = call.partitions[call.taken]!;
      const timestamp = record.timestamp ?? now;
      const added = sizeOf(record);
      const request = requests.get(`${call.topic}/${partition}`) ?? [];
      const isFull = records === ROUND_RECORDS || (records > 0 && bytes + added > ROUND_BYTES);
      const first = request[0]?.timestamp ?? timestamp;
      if (isFull || Math.abs(timestamp - first) > MOST_TIMESTAMP_DELTA) return round();
      request.push({ call, index: call.taken, partition, timestamp });
      requests.set(`${call.topic}/${partition}`, request);
      records++;
      bytes += added;
    }
  }
  return round();
}

function sizeOf({ key, value, headers = [] }: OutgoingRecord): number {
  const ofHeaders = headers.reduce(
    (sum, header) =>
      sum + HEADER_OVERHEAD_BYTES + Buffer.byteLength(header.name) + (header.value?.length ?? 0),
    0,
  );
  return RECORD_OVERHEAD_BYTES + (key?.length ?? 0) + (value?.length ?? 0) + ofHeaders;
}

export function toMessage({ call, index, partition, timestamp }: Entry): Message {
  const { key, value, headers = [] } = call.records[index]!;
  return {
    topic: call.topic,
    partition,
    timestamp: BigInt(timestamp),
    // The client's types know no null, its encoder does.
    key: key as Buffer,
    value: value as Buffer,
    // A Map whose keys are buffers keeps names that repeat: each buffer is a key of its own.
    headers: new Map(headers.map((header) => [Buffer.from(header.name), header.value as Buffer])),
  };
}

/** The first record of the request stands at `firstOffset`, and the others behind it. */
export function confirm(request: readonly Entry[], firstOffset: number): void {
  for (const [at, { call, index, partition }] of request.entries()) {
    call.positions[index] = { topic: call.topic, partition, offset: firstOffset + at };
    call.confirmed++;
  }
}

/** What a request to Kafka is made of, and what its answer says of each record: pure. */
import type { MessageToProduce } from '@platformatic/kafka';
import type { OutgoingRecord } from '../../runtime/ports.ts';
import type { Position } from '../../runtime/record.ts';
import { errorsIn } from './kafka-errors.ts';

/** A topic's default max.message.bytes is 1,048,588, and a request's part for one partition is one such message. */
const REQUEST_BYTES = 1_000_000;
const REQUEST_RECORDS = 5_000;
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

/** The next records of the queue, in order, that fit one request; one record that is too large for any goes alone. */
export function takeRequest(queue: readonly Call[], now: number): Entry[] {
  const request: Entry[] = [];
  const firstTimestamps = new Map<string, number>();
  let bytes = 0;
  for (const call of queue) {
    // It came while the others were planned.
    if (!call.partitions) break;
    for (; call.taken < call.records.length; call.taken++) {
      const record = call.records[call.taken]!;
      const partition = call.partitions[call.taken]!;
      const timestamp = record.timestamp ?? now;
      const added = sizeOf(record);
      const isFull =
        request.length === REQUEST_RECORDS || (request.length > 0 && bytes + added > REQUEST_BYTES);
      const first = firstTimestamps.get(`${call.topic}/${partition}`) ?? timestamp;
      if (isFull || Math.abs(timestamp - first) > MOST_TIMESTAMP_DELTA) return request;
      request.push({ call, index: call.taken, partition, timestamp });
      firstTimestamps.set(`${call.topic}/${partition}`, first);
      bytes += added;
    }
  }
  return request;
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

interface ProduceResult {
  readonly offsets?: readonly {
    readonly topic: string;
    readonly partition: number;
    readonly offset: bigint;
  }[];
}

export function offsetsIn({ offsets = [] }: ProduceResult): Map<string, number> {
  return new Map(offsets.map(({ topic, partition, offset }) => [`${topic}/${partition}`, Number(offset)]));
}

interface ProduceResponse {
  readonly responses?: readonly {
    readonly name: string;
    readonly partitionResponses?: readonly { index: number; errorCode: number; baseOffset: bigint }[];
  }[];
}

/** What was acknowledged beside what failed, or in an earlier try. */
export function acknowledgedIn(error: unknown): Map<string, number> {
  const offsets = new Map<string, number>();
  for (const each of errorsIn(error) as readonly { response?: unknown; produced?: unknown }[]) {
    for (const [partition, offset] of offsetsIn((each.produced as ProduceResult) ?? {}))
      offsets.set(partition, offset);
    for (const { name, partitionResponses = [] } of (each.response as ProduceResponse)?.responses ?? []) {
      for (const { index, errorCode, baseOffset } of partitionResponses) {
        if (errorCode === 0 && baseOffset >= 0n) offsets.set(`${name}/${index}`, Number(baseOffset));
      }
    }
  }
  return offsets;
}

/** Records of one partition stand behind one another, in the order of the request. */
export function confirm(request: readonly Entry[], offsets: ReadonlyMap<string, number>): void {
  const next = new Map(offsets);
  for (const { call, index, partition } of request) {
    const key = `${call.topic}/${partition}`;
    const offset = next.get(key);
    if (offset === undefined) continue;
    next.set(key, offset + 1);
    call.positions[index] = { topic: call.topic, partition, offset };
    call.confirmed++;
  }
}

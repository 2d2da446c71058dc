import type { RawRecord } from '../record.ts';
import { encodeKafkaEvent, kafkaEventBytes } from './kafka-event.ts';

/**
 * What the JSON of an event must stay below: "Request must be smaller than 6291456 bytes for the InvokeFunction
 * operation" (6 MB, https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html, 2026-11-24).
 */
const PAYLOAD_LIMIT_BYTES = 6 * 1024 * 1024;

const EMPTY_EVENT_BYTES = Buffer.byteLength(JSON.stringify(encodeKafkaEvent([])));

/** Adds up the payload of a batch record by record; never less than the bytes of the event it is sent in. */
export class PayloadSize {
  #bytes = EMPTY_EVENT_BYTES;
  readonly #partitions = new Set<number>();

  /** Counts the record in, unless the payload would reach the limit with it. */
  add(record: RawRecord): boolean {
    const isFirst = !this.#partitions.has(record.partition);
    const bytes = this.#bytes + kafkaEventBytes(record) + (isFirst ? arrayBytes(record) : 0);
    if (bytes >= PAYLOAD_LIMIT_BYTES) return false;
    this.#bytes = bytes;
    this.#partitions.add(record.partition);
    return true;
  }
}

/** `"<topic>-<partition>":[],` of one topic's partition. */
function arrayBytes({ topic, partition }: RawRecord): number {
  return `"${topic}-${partition}":[],`.length;
}

/** Whether a batch is too large to send. Only a record alone can be: others are never added to a full batch. */
export function exceedsPayloadLimit(records: readonly RawRecord[]): boolean {
  const [only, ...others] = records;
  return only !== undefined && others.length === 0 && !new PayloadSize().add(only);
}

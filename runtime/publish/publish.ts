/** Publishing by contract: a value that breaks it never reaches the topic. */

import type { Violation } from '../avro/validator.ts';
import { createEncoder } from '../contract/codec.ts';
import type { Contract } from '../contract/contract.ts';
import type { SchemaRegistry } from '../contract/registry.ts';
import { MillraceError } from '../errors.ts';
import type { Position } from '../record.ts';
import type { OutgoingRecord, Producer } from '../topics.ts';

export interface PublishPorts {
  readonly registry: SchemaRegistry;
  readonly producer: Producer;
}

/** A value that was not sent. */
export interface RefusedValue {
  /** Where it stands in the call's values. */
  readonly index: number;
  readonly violations: readonly Violation[];
}

export interface PublishResult {
  /** Where each value that was not refused stands in the topic now, in the order given. */
  readonly published: readonly Position[];
  readonly refused: readonly RefusedValue[];
}

export type Publish<Value> = (values: readonly Value[]) => Promise<PublishResult>;

/** As far as it came: `published` are the first of those that were not refused. */
export interface PublishAttempt extends PublishResult {
  /** PUBLISH_FAILED or TOPIC_UNKNOWN, where the topic did not take everything. */
  readonly failure?: MillraceError;
}

/**
 * The most that one request may hold, and so the most that one record may: `max.request.size` of Kafka's producer,
 * which fits a topic's default `max.message.bytes` (1,048,588).
 * https://kafka.apache.org/documentation/#producerconfigs_max.request.size (2026-11-24)
 */
export const MAX_REQUEST_BYTES = 1_048_576;
/**
 * What Kafka's producer counts for a record batch and for each record in it, lengths of key and value included:
 * AbstractRecords.estimateSizeInBytesUpperBound, DefaultRecordBatch.RECORD_BATCH_OVERHEAD (61) and
 * DefaultRecord.MAX_RECORD_OVERHEAD (21) of org.apache.kafka:kafka-clients (2026-11-24).
 */
const BATCH_OVERHEAD_BYTES = 61;
const RECORD_OVERHEAD_BYTES = 21 + 2 * 5;
/** Enough to share a request's cost, and few enough that a failed request leaves little in doubt. */
const MAX_REQUEST_RECORDS = 5_000;

/**
 * A topic's publish function. It checks all values of a call by the contract's newest version before it sends any,
 * then sends those that keep it, in the order given. Those that break it come back in `refused`, with the path and
 * the reason of each violation. Keep the function between calls: it asks the registry once.
 *
 * It rejects with
 * - PUBLISH_FAILED when the topic did not take everything. `details` counts the values: `published`, `unconfirmed`
 *   (in the request that failed: some may stand in the topic), `unsent` and `refused`.
 * - TOPIC_UNKNOWN, SCHEMA_UNKNOWN or REGISTRY_UNAVAILABLE, with nothing sent.
 * @throws CONTRACT_INVALID when the contract's newest version does not parse
 */
export function createPublish<Value>(contract: Contract<Value>, ports: PublishPorts): Publish<Value> {
  const attempt = createPublishAttempt(contract, ports);
  return async (values) => {
    const { published, refused, failure } = await attempt(values);
    if (failure) throw failure;
    return { published, refused };
  };
}

/**
 * As `createPublish`, for who has to answer for each value: what the topic did not take comes back in `failure`, beside
 * what it did take and what was refused.
 */
export function createPublishAttempt(
  contract: Contract<never>,
  ports: PublishPorts,
): (values: readonly unknown[]) => Promise<PublishAttempt> {
  const encoder = createEncoder(contract, ports.registry);

  return async (values) => {
    const refused: RefusedValue[] = [];
    const accepted: OutgoingRecord[] = [];
    for (const [index, result] of (await encoder.encodeBatch(values)).entries()) {
      const violations = 'violations' in result ? result.violations : sizeViolationsOf(result.record);
      if (violations.length > 0) refused.push({ index, violations });
      else if ('record' in result) accepted.push(result.record);
    }

    const published: Position[] = [];
    for (const request of inRequests(accepted)) {
      try {
        published.push(...(await ports.producer.send(contract.name, request)));
      } catch (cause) {
        if (cause instanceof MillraceError && cause.code === 'TOPIC_UNKNOWN') {
          return { published, refused, failure: cause };
        }
        const failure = publishFailed(cause, contract.name, {
          published: published.length,
          unconfirmed: request.length,
          unsent: accepted.length - published.length - request.length,
          refused: refused.length,
        });
        return { published, refused, failure };
      }
    }
    return { published, refused };
  };
}

function sizeViolationsOf(record: OutgoingRecord): readonly Violation[] {
  const bytes = BATCH_OVERHEAD_BYTES + requestBytesOf(record);
  if (bytes <= MAX_REQUEST_BYTES) return [];
  return [{ path: '', reason: `takes up to ${MAX_REQUEST_BYTES} bytes as a Kafka record; got ${bytes}` }];
}

/** Consecutive records, in stretches that fit one request each. */
function* inRequests(records: readonly OutgoingRecord[]): Generator<readonly OutgoingRecord[]> {
  let from = 0;
  let bytes = BATCH_OVERHEAD_BYTES;
  for (const [index, record] of records.entries()) {
    const added = requestBytesOf(record);
    if (bytes + added > MAX_REQUEST_BYTES || index - from === MAX_REQUEST_RECORDS) {
      yield records.slice(from, index);
      from = index;
      bytes = BATCH_OVERHEAD_BYTES;
    }
    bytes += added;
  }
  if (from < records.length) yield records.slice(from);
}

function requestBytesOf({ key, value }: OutgoingRecord): number {
  return RECORD_OVERHEAD_BYTES + (key?.length ?? 0) + (value?.length ?? 0);
}

function publishFailed(
  cause: unknown,
  topic: string,
  counts: { published: number; unconfirmed: number; unsent: number; refused: number },
): MillraceError {
  return new MillraceError(
    'PUBLISH_FAILED',
    `Topic ${JSON.stringify(topic)} did not accept all records: ${counts.published} published, ${counts.unconfirmed} ` +
      `unconfirmed, ${counts.unsent} unsent. Publish the last two again once the topic accepts records. Some of the ` +
      'unconfirmed may then be in it twice.',
    { cause, details: { topic, ...counts } },
  );
}

import { encodeKafkaEvent } from '../../runtime/lambda/kafka-event.ts';
import type { RawRecord } from '../../runtime/record.ts';

/**
 * Why records were given up. The documentation of Kafka event sources names the first two; the third is what Lambda
 * writes for the same of a Kinesis or DynamoDB stream.
 */
export type FailureCondition = 'RetryAttemptsExhausted' | 'MaximumPayloadSizeExceeded' | 'RecordAgeExceeded';

/**
 * What Lambda writes, as JSON, to an S3 on-failure destination for the records it gives up. `payload` is the event
 * that held them, as a JSON string; offsets are decimal strings, `payloadSize` is in bytes.
 * https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure.html (2026-11-24)
 */
export interface FailureDocument {
  readonly requestContext: {
    readonly requestId: string;
    readonly functionArn: string;
    readonly condition: FailureCondition;
    readonly approximateInvokeCount: number;
  };
  /** Null where the function was never invoked with these records. */
  readonly responseContext: {
    readonly statusCode: 200;
    readonly executedVersion: string;
    /** Absent where the function returned, but reported the records as failed. */
    readonly functionError?: 'Unhandled';
  } | null;
  readonly version: '1.0';
  readonly timestamp: string;
  readonly KafkaBatchInfo: {
    readonly batchSize: number;
    readonly eventSourceArn: string;
    readonly bootstrapServers: string;
    readonly payloadSize: number;
    /** By `<topic>-<partition>`. */
    readonly recordsInfo: Readonly<
      Record<
        string,
        {
          readonly firstRecordOffset: string;
          readonly lastRecordOffset: string;
          readonly firstRecordTimestamp: string;
          readonly lastRecordTimestamp: string;
        }
      >
    >;
  };
  readonly payload: string;
}

/** Builds the document for records given up; they stand in offset order within their partitions. */
export function failureDocument(
  records: readonly RawRecord[],
  context: Pick<FailureDocument, 'requestContext' | 'responseContext'>,
  nowMs: number,
): FailureDocument {
  const event = encodeKafkaEvent(records);
  const payload = JSON.stringify(event);
  const recordsInfo = Object.entries(event.records).map(([name, ofPartition]) => {
    const first = ofPartition[0]!;
    const last = ofPartition.at(-1)!;
    const info = {
      firstRecordOffset: String(first.offset),
      lastRecordOffset: String(last.offset),
      firstRecordTimestamp: isoTime(first.timestamp),
      lastRecordTimestamp: isoTime(last.timestamp),
    };
    return [name, info] as const;
  });
  return {
    ...context,
    version: '1.0',
    timestamp: isoTime(nowMs),
    KafkaBatchInfo: {
      batchSize: records.length,
      eventSourceArn: event.eventSourceArn,
      bootstrapServers: event.bootstrapServers,
      payloadSize: Buffer.byteLength(payload),
      recordsInfo: Object.fromEntries(recordsInfo),
    },
    payload,
  };
}

/** A producer may set any timestamp, also one that no Date can hold. */
function isoTime(epochMs: number): string {
  return new Date(Math.min(Math.max(epochMs, -8.64e15), 8.64e15)).toISOString();
}

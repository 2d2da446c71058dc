/** What a record costs to process, measured, and what AWS gives to do it with: the bill and the scale rest on both. */

/**
 * `npm run bench -- commit-cost` (docs/performance.md): the time of a batch is a part that each batch takes, and a part that
 * each of its records takes. The handler is the newsroom's editorial-analytics, with rows of about 110 bytes.
 */
const MEASURED = {
  functionUs: { perBatch: 2_650, perRecord: 9 },
  serverUs: { perBatch: 2_780, perRecord: 6.6 },
  walBytes: { perBatch: 3_400, perRecord: 150 },
} as const;

/** Of a batch, on a network within a zone: begin and lock, the handler's statement, ledger and commit. */
const ROUND_TRIPS = 3;
const ROUND_TRIP_MS = 1;

/** https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html (2026-11-26): a whole processor at 1,769 MB. Node runs on one. */
const MB_PER_PROCESSOR = 1_769;

/**
 * AWS says that a unit has about 2 GiB and "corresponding CPU"; its memory-optimized instances have a processor for 8 GiB.
 * https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.how-it-works.html (2026-11-26)
 */
export const PROCESSORS_PER_ACU = 0.25;

/** Lambda's payload, and what JSON and base64 make of a record: https://docs.aws.amazon.com/lambda/latest/dg/with-msk-configure.html (2026-11-26) */
const MAX_PAYLOAD_BYTES = 6_000_000;
const RECORD_OVERHEAD_BYTES = 250;
const BASE64 = 4 / 3;

/** https://docs.aws.amazon.com/lambda/latest/dg/kafka-scaling-modes.html (2026-11-26): "up to 5 MB/sec of throughput or up to 5 concurrent invocations" */
export const POLLER = { bytesPerSecond: 5_000_000, invocations: 5 } as const;

export interface Reading {
  /** Of the consumer's topic. */
  readonly eventsPerSecond: number;
  /** Of an event: key, value and headers. */
  readonly bytes: number;
  readonly batch: { readonly maxRecords: number; readonly windowMs: number };
  readonly memoryMb: number;
}

/** What a consumer's reading comes to. */
export interface Effort {
  readonly pollers: number;
  readonly recordsPerBatch: number;
  readonly batchesPerSecond: number;
  readonly batchSeconds: number;
  /** Invocations at one moment, on average. */
  readonly functions: number;
  /** Processors that the database's server is busy with. */
  readonly databaseProcessors: number;
  readonly walBytesPerSecond: number;
}

export function effortOf({ eventsPerSecond, bytes, batch, memoryMb }: Reading): Effort {
  const most = Math.min(
    batch.maxRecords,
    Math.max(1, Math.floor(MAX_PAYLOAD_BYTES / (bytes * BASE64 + RECORD_OVERHEAD_BYTES))),
  );
  const forBytes = Math.max(1, Math.ceil((eventsPerSecond * bytes) / POLLER.bytesPerSecond));
  const withPollers = (pollers: number): Effort => {
    const inWindow = (eventsPerSecond / pollers) * (batch.windowMs / 1_000);
    const recordsPerBatch = Math.max(1, Math.min(most, inWindow));
    const batchesPerSecond = eventsPerSecond / recordsPerBatch;
    const us = (cost: { readonly perBatch: number; readonly perRecord: number }) =>
      cost.perBatch + cost.perRecord * recordsPerBatch;
    const share = Math.min(1, memoryMb / MB_PER_PROCESSOR);
    const batchSeconds =
      (us(MEASURED.functionUs) / share + us(MEASURED.serverUs)) / 1e6 + (ROUND_TRIPS * ROUND_TRIP_MS) / 1e3;
    return {
      pollers,
      recordsPerBatch,
      batchesPerSecond,
      batchSeconds,
      functions: batchesPerSecond * batchSeconds,
      databaseProcessors: (batchesPerSecond * us(MEASURED.serverUs)) / 1e6,
      walBytesPerSecond: batchesPerSecond * us(MEASURED.walBytes),
    };
  };
  // Pollers have batches of their own, so that more of them make smaller ones, and more of those at once.
  let effort = withPollers(forBytes);
  while (Math.ceil(effort.functions / POLLER.invocations) > effort.pollers)
    effort = withPollers(Math.ceil(effort.functions / POLLER.invocations));
  return effort;
}

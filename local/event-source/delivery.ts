import { MillraceError } from '../../runtime/errors.ts';
import { encodeKafkaEvent } from '../../runtime/lambda/kafka-event.ts';
import { exceedsPayloadLimit } from '../../runtime/lambda/payload-limit.ts';
import type { Clock, Logger, Random } from '../../runtime/ports.ts';
import type { RawRecord } from '../../runtime/record.ts';
import type { LogReader } from '../../runtime/topics.ts';
import type { ResolvedMapping } from './event-source-mapping.ts';
import { type FailureCondition, type FailureDocument, failureDocument } from './failure-document.ts';
import { createRequestId, type LocalFunction } from './function.ts';
import { reportedFailures } from './partial-response.ts';

/** What an event source has done since it started, in counts. */
export interface DeliveryCounts {
  invocations: number;
  /** Invocations that threw, timed out or reported records as failed. */
  failedInvocations: number;
  /** Records handed to the function, every time counted. */
  deliveredRecords: number;
  /** Those of them that had been handed over before. */
  redeliveredRecords: number;
  /** Records given up: to the on-failure destination, or lost where there is none. */
  discardedRecords: number;
}

export interface DeliveryContext {
  readonly group: string;
  readonly mapping: ResolvedMapping;
  readonly reader: LogReader;
  readonly fn: LocalFunction;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly counts: DeliveryCounts;
  /** Aborts when no further invocation is to begin. */
  readonly stop: AbortSignal;
}

/** A part of the batch that is still to be settled, and how its invocations went. */
interface Attempt {
  readonly records: readonly RawRecord[];
  /** Retries used up. A split uses up none. */
  readonly retries: number;
  readonly invocations: number;
  readonly last: { readonly requestId: string; readonly hasThrown: boolean } | null;
}

// Lambda says nothing of how long a Kafka event source waits between retries.
const RETRY_BASE_MS = 100;
const RETRY_MAX_MS = 10_000;

/**
 * Delivers a batch (records in offset order within their partitions) until each record was taken by the function or
 * given up, and commits as it goes: a partition's offset never passes a record that is neither. Returns early, with
 * the rest uncommitted, when `stop` aborts.
 */
export async function deliver(batch: readonly RawRecord[], context: DeliveryContext): Promise<void> {
  const { mapping, counts, clock, random, log, stop } = context;
  const commits = new CommitTracker(batch);
  const settle = async (records: readonly RawRecord[]) => {
    const positions = commits.settle(records);
    if (positions.length > 0) await context.reader.commit(context.group, positions);
  };
  const giveUp = async (attempt: Attempt, condition: FailureCondition) => {
    if (await discard(attempt, condition, context)) await settle(attempt.records);
  };
  // The earliest part on top: what fails goes back in its own place, so a partition stays in order.
  const attempts: Attempt[] = [{ records: batch, retries: 0, invocations: 0, last: null }];

  while (attempts.length > 0 && !stop.aborted) {
    const attempt = attempts.pop()!;
    const { expired, live } = splitByAge(attempt.records, mapping.maximumRecordAgeMs, clock.now());
    if (expired.length > 0) {
      attempts.push({ ...attempt, records: live });
      await giveUp({ ...attempt, records: expired }, 'RecordAgeExceeded');
      continue;
    }
    if (live.length === 0) continue;
    if (exceedsPayloadLimit(live)) {
      await giveUp(attempt, 'MaximumPayloadSizeExceeded');
      continue;
    }

    const requestId = createRequestId(random);
    counts.deliveredRecords += live.length;
    if (attempt.invocations > 0) counts.redeliveredRecords += live.length;
    const { failed, hasThrown } = await invoke(live, requestId, context);
    const failedSet = new Set(failed);
    await settle(live.filter((record) => !failedSet.has(record)));
    if (failed.length === 0) continue;

    const next: Attempt = {
      records: failed,
      retries: attempt.retries,
      invocations: attempt.invocations + 1,
      last: { requestId, hasThrown },
    };
    if (mapping.bisectBatchOnFunctionError && hasThrown && failed.length > 1) {
      const middle = Math.ceil(failed.length / 2);
      attempts.push(
        { ...next, records: failed.slice(middle) },
        { ...next, records: failed.slice(0, middle) },
      );
      continue;
    }
    if (attempt.retries === mapping.maximumRetryAttempts) {
      await giveUp(next, 'RetryAttemptsExhausted');
      continue;
    }
    attempts.push({ ...next, retries: attempt.retries + 1 });
    await waitForRetry(attempt.retries, context);
  }
  if (attempts.length > 0) log.debug('Stopped with a batch undelivered: the next start delivers it');
}

/** Runs the function once, and gives the records that it did not take. */
async function invoke(
  records: readonly RawRecord[],
  requestId: string,
  { fn, mapping, counts, log }: DeliveryContext,
): Promise<{ readonly failed: readonly RawRecord[]; readonly hasThrown: boolean }> {
  counts.invocations++;
  try {
    const response = await fn.invoke(encodeKafkaEvent(records), requestId);
    if (!mapping.reportBatchItemFailures) return { failed: [], hasThrown: false };
    const reported = reportedFailures(response, records);
    if (reported === null) {
      log.warn('Response is not a partial batch response for this batch: the whole batch failed', {
        requestId,
      });
    }
    const failed = reported ?? records;
    if (failed.length > 0) counts.failedInvocations++;
    return { failed, hasThrown: false };
  } catch (error) {
    counts.failedInvocations++;
    log.warn('Invocation failed', { requestId, records: records.length, error: describe(error) });
    return { failed: records, hasThrown: true };
  }
}

/**
 * Gives records up. True once that is safe: the on-failure destination has them, or there is none. A destination
 * that fails is tried again and again; false when `stop` aborts meanwhile.
 */
async function discard(
  { records, invocations, last }: Attempt,
  condition: FailureCondition,
  context: DeliveryContext,
): Promise<boolean> {
  const { mapping, fn, counts, clock, random, log, stop } = context;
  const document: FailureDocument = failureDocument(
    records,
    {
      requestContext: {
        requestId: last?.requestId ?? createRequestId(random),
        functionArn: fn.arn,
        condition,
        approximateInvokeCount: invocations,
      },
      responseContext: last && {
        statusCode: 200,
        executedVersion: fn.version,
        ...(last.hasThrown && { functionError: 'Unhandled' }),
      },
    },
    clock.now(),
  );
  for (let failures = 0; !stop.aborted; failures++) {
    try {
      await mapping.onFailure?.(document);
      counts.discardedRecords += records.length;
      const facts = { condition, records: records.length, offsets: document.KafkaBatchInfo.recordsInfo };
      if (mapping.onFailure) log.warn('Records given up: the on-failure destination has them', facts);
      else log.error('Records given up and lost: the event source has no on-failure destination', facts);
      return true;
    } catch (error) {
      log.warn('The on-failure destination did not accept a batch: trying again', { error: describe(error) });
      await waitForRetry(failures, context);
    }
  }
  return false;
}

/** Exponential backoff with full jitter. */
async function waitForRetry(failuresBefore: number, { clock, random, stop }: DeliveryContext): Promise<void> {
  const longestMs = Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** Math.min(failuresBefore, 30));
  await clock.sleep(random.next() * longestMs, stop);
}

function splitByAge(records: readonly RawRecord[], maximumAgeMs: number, nowMs: number) {
  if (maximumAgeMs === -1) return { expired: [], live: records };
  const isExpired = ({ timestamp }: RawRecord) => timestamp !== -1 && nowMs - timestamp > maximumAgeMs;
  return {
    expired: records.filter(isExpired),
    live: records.filter((record) => !isExpired(record)),
  };
}

/** Which offset each partition of a batch may be committed to: that of its first record that is not settled. */
class CommitTracker {
  readonly #partitions: Map<number, { readonly records: readonly RawRecord[]; settled: number }>;
  readonly #settled = new Set<RawRecord>();

  constructor(batch: readonly RawRecord[]) {
    const byPartition = Map.groupBy(batch, ({ partition }) => partition);
    this.#partitions = new Map(
      [...byPartition].map(([partition, records]) => [partition, { records, settled: 0 }]),
    );
  }

  /** Takes note of settled records, and gives the positions to commit: of the partitions that have come further. */
  settle(records: readonly RawRecord[]) {
    for (const record of records) this.#settled.add(record);
    return [...this.#partitions.values()].flatMap((progress) => {
      const before = progress.settled;
      while (this.#settled.has(progress.records[progress.settled]!)) progress.settled++;
      if (progress.settled === before) return [];
      const { topic, partition, offset } = progress.records[progress.settled - 1]!;
      const next = progress.records[progress.settled]?.offset ?? offset + 1;
      return [{ topic, partition, offset: next }];
    });
  }
}

function describe(error: unknown): Readonly<Record<string, unknown>> {
  if (error instanceof MillraceError) return { code: error.code, message: error.message };
  if (error instanceof Error) return { name: error.name, message: error.message };
  return { message: String(error) };
}

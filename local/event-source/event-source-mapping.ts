import { MillraceError } from '../../runtime/errors.ts';
import type { FailureDocument } from './failure-document.ts';

interface CommonMapping {
  /** Records in one invocation. @default 100, Lambda's own; at most 10,000 */
  readonly batchSize?: number;
  /** How long a batch may wait to fill, from its first record on. @default 500, Lambda's own; at most 300,000 */
  readonly maximumBatchingWindowMs?: number;
  /** Where a group that never committed begins. */
  readonly startingPosition: 'TRIM_HORIZON' | 'LATEST' | { readonly atTimestampMs: number };
  /**
   * Takes what Lambda would write to an S3 destination for records it gives up. A record is skipped only once
   * this has resolved. @default records that are given up are lost, as in Lambda
   */
  readonly onFailure?: (document: FailureDocument) => Promise<void>;
  /** When a running invocation counts as failed; at most 840,000 (14 minutes), as for Lambda's Kafka event sources. */
  readonly functionTimeoutMs: number;
}

interface ProvisionedOptions {
  /** Event pollers, which share the partitions. @default 1 */
  readonly pollers?: number;
  /** Invocations of a failing batch beyond the first, from 0 to 10,000. @default -1: no end, but 10 with `onFailure` */
  readonly maximumRetryAttempts?: number;
  /** Older records are given up instead of sent, from 60,000 to 604,800,000. @default -1: at any age */
  readonly maximumRecordAgeMs?: number;
  /** Whether a batch whose invocation failed is split in two. A split uses up no retry. @default false */
  readonly bisectBatchOnFunctionError?: boolean;
  /** Whether the function's response is read for the records that failed. @default false: a response is a success */
  readonly reportBatchItemFailures?: boolean;
}

/**
 * An event source mapping as Lambda has them for Kafka. Only provisioned mode has the options of error handling.
 * https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html, …/msk-esm-parameters.html,
 * …/invocation-eventsourcemapping.html (batch size, window), …/with-msk-configure.html (timeout) (2026-11-24).
 */
export type EventSourceMapping =
  | (CommonMapping & { readonly mode: 'on-demand' } & { readonly [Name in keyof ProvisionedOptions]?: never })
  | (CommonMapping & { readonly mode: 'provisioned' } & ProvisionedOptions);

/** A mapping with every default filled in. -1 stands for no end. */
export type ResolvedMapping = Required<Omit<CommonMapping, 'onFailure'> & ProvisionedOptions> &
  Pick<CommonMapping, 'onFailure'>;

const PROVISIONED_DEFAULTS: Required<ProvisionedOptions> = {
  pollers: 1,
  maximumRetryAttempts: -1,
  maximumRecordAgeMs: -1,
  bisectBatchOnFunctionError: false,
  reportBatchItemFailures: false,
};

/** "When you configure both infinite retries and an on-failure destination, Lambda automatically applies a maximum of 10". */
const RETRIES_WITH_DESTINATION = 10;

/** @throws INPUT_INVALID when Lambda would refuse the mapping, naming the option */
export function resolveMapping(mapping: EventSourceMapping): ResolvedMapping {
  if (mapping.mode === 'on-demand') {
    for (const option of Object.keys(PROVISIONED_DEFAULTS) as (keyof ProvisionedOptions)[]) {
      if (mapping[option] !== undefined) {
        refuse(option, mapping[option], `nothing in on-demand mode; set mode to "provisioned"`);
      }
    }
  }
  const resolved: ResolvedMapping = {
    batchSize: 100,
    maximumBatchingWindowMs: 500,
    ...PROVISIONED_DEFAULTS,
    ...mapping,
  };
  checkWhole('batchSize', resolved.batchSize, 1, 10_000);
  checkWhole('maximumBatchingWindowMs', resolved.maximumBatchingWindowMs, 0, 300_000);
  checkWhole('functionTimeoutMs', resolved.functionTimeoutMs, 1, 840_000);
  checkWhole('pollers', resolved.pollers, 1, 2_000);
  if (resolved.maximumRetryAttempts !== -1) {
    checkWhole('maximumRetryAttempts', resolved.maximumRetryAttempts, 0, 10_000, '-1 or ');
  }
  if (resolved.maximumRecordAgeMs !== -1) {
    checkWhole('maximumRecordAgeMs', resolved.maximumRecordAgeMs, 60_000, 604_800_000, '-1 or ');
  }
  const isCapped = resolved.maximumRetryAttempts === -1 && resolved.onFailure !== undefined;
  return isCapped ? { ...resolved, maximumRetryAttempts: RETRIES_WITH_DESTINATION } : resolved;
}

function checkWhole(option: string, got: number, from: number, to: number, or = ''): void {
  if (Number.isInteger(got) && got >= from && got <= to) return;
  refuse(option, got, `${or}a whole number from ${from} to ${to}`);
}

function refuse(option: string, got: unknown, allowed: string): never {
  throw new MillraceError(
    'INPUT_INVALID',
    `Event source mapping: ${option} is ${JSON.stringify(got)}; it takes ${allowed}.`,
    { details: { option } },
  );
}

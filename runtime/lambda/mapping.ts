import { type AnyConsumer, MOST_RETRIES } from '../delivery/consumer.ts';
import type { Environment } from '../environment.ts';

export type Polling = Environment['polling'];

/** The settings of a consumer's event source mapping, in Lambda's terms. */
export interface MappingSettings {
  readonly batchSize: number;
  readonly maximumBatchingWindowMs: number;
  readonly startingPosition: AnyConsumer['startingPosition'];
  /** What only provisioned pollers take: on demand, Lambda retries a failed batch as a whole. */
  readonly provisioned: ProvisionedSettings | null;
}

export interface ProvisionedSettings {
  readonly minimumPollers: number;
  readonly maximumPollers: number;
  /** Whose event poller units it shares; null for units of its own. */
  readonly pollerGroup: string | null;
  readonly maximumRetryAttempts: number;
  /** Null for any age. */
  readonly maximumRecordAgeMs: number | null;
  readonly bisectBatchOnFunctionError: true;
  readonly reportBatchItemFailures: true;
}

/**
 * What a declaration means for the event source. The CDK renders it and the laptop runs it, so that both deliver alike.
 * A poller reads whole partitions: more pollers than partitions would be idle.
 */
export function mappingOf(
  { topic, batch, startingPosition, giveUp }: AnyConsumer,
  polling: Polling,
): MappingSettings {
  return {
    batchSize: batch.maxRecords,
    maximumBatchingWindowMs: batch.windowMs,
    startingPosition,
    provisioned:
      polling.mode === 'on-demand'
        ? null
        : {
            minimumPollers: Math.min(polling.minimumPollers, topic.partitions),
            maximumPollers: Math.min(polling.maximumPollers, topic.partitions),
            pollerGroup: polling.group ?? null,
            maximumRetryAttempts: giveUp.afterRetries ?? MOST_RETRIES,
            maximumRecordAgeMs: giveUp.afterAgeMs ?? null,
            bisectBatchOnFunctionError: true,
            reportBatchItemFailures: true,
          },
  };
}

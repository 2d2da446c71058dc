import { expect, test } from '@jest/globals';
import type { Template } from 'aws-cdk-lib/assertions';
import { localMapping } from '../../local/consumer-source.ts';
import { resolveMapping } from '../../local/event-source/event-source-mapping.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import type { Polling } from '../../runtime/lambda/mapping.ts';
import { consumerWith, templatesOf } from './synthesized.ts';

const PLAIN = consumerWith({});
const SLOW = consumerWith({
  batch: { maxRecords: 10, windowMs: 5_000 },
  startingPosition: { atTimestampMs: 1_767_225_600_000 },
  timeoutMs: 120_000,
});
const IMPATIENT = consumerWith({
  startingPosition: 'LATEST',
  giveUp: { afterRetries: 5, afterAgeMs: 3_600_000 },
});
const ON_DEMAND: Polling = { mode: 'on-demand' };
const PROVISIONED: Polling = { mode: 'provisioned', minimumPollers: 2, maximumPollers: 12 };

/** What the deployed event source does, in the laptop's terms. */
function deployedMapping(template: Template) {
  const mapping = Object.values(template.findResources('AWS::Lambda::EventSourceMapping')).find(
    ({ Properties }) => 'Topics' in Properties,
  )!.Properties;
  const fn = Object.values(template.findResources('AWS::Lambda::Function')).find(
    ({ Properties }) => Properties.Timeout !== undefined,
  )!.Properties;
  const age = mapping.MaximumRecordAgeInSeconds;
  return {
    mode: mapping.ProvisionedPollerConfig ? 'provisioned' : 'on-demand',
    batchSize: mapping.BatchSize,
    maximumBatchingWindowMs: (mapping.MaximumBatchingWindowInSeconds ?? 0.5) * 1_000,
    startingPosition:
      mapping.StartingPosition === 'AT_TIMESTAMP'
        ? { atTimestampMs: mapping.StartingPositionTimestamp * 1_000 }
        : mapping.StartingPosition,
    pollers: mapping.ProvisionedPollerConfig?.MinimumPollers ?? 1,
    // "When you configure both infinite retries and an on-failure destination, Lambda automatically applies a maximum of 10".
    maximumRetryAttempts: mapping.MaximumRetryAttempts ?? 10,
    maximumRecordAgeMs: age === undefined ? -1 : age * 1_000,
    bisectBatchOnFunctionError: mapping.BisectBatchOnFunctionError ?? false,
    reportBatchItemFailures: mapping.FunctionResponseTypes?.includes('ReportBatchItemFailures') ?? false,
    functionTimeoutMs: fn.Timeout * 1_000,
    hasDestination: mapping.DestinationConfig?.OnFailure !== undefined,
  };
}

test.each<[string, AnyConsumer, Polling]>([
  ['a plain consumer, on demand', PLAIN, ON_DEMAND],
  ['a slow consumer, on demand', SLOW, ON_DEMAND],
  ['a plain consumer, provisioned', PLAIN, PROVISIONED],
  ['an impatient consumer, provisioned', IMPATIENT, PROVISIONED],
])('%s: the laptop runs the event source mapping that the CDK deploys', (_, consumer, polling) => {
  const { onFailure, ...local } = resolveMapping(localMapping(consumer, polling, async () => {}));
  const templates = templatesOf('dev', { consumers: [consumer], settings: { polling } });
  expect(deployedMapping(templates[`consumer-${consumer.name}`]!)).toEqual({
    ...local,
    hasDestination: onFailure !== undefined,
  });
});

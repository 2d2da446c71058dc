import { describe, expect, test } from '@jest/globals';
import { Match, type Template } from 'aws-cdk-lib/assertions';
import { contractsAmong } from '../../runtime/contract/contract.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { pageviews } from '../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import { editorialAnalytics } from '../fixtures/newsdesk/lambdas/editorial-analytics/consumer.ts';
import newsdesk from '../fixtures/newsdesk/millrace.config.ts';
import { consumerWith, DEAD_LETTERS_IN_KAFKA, type SynthesisOptions, templatesOf } from './synthesized.ts';

const stackOf = (env: string, consumer: AnyConsumer = editorialAnalytics, options: SynthesisOptions = {}) =>
  templatesOf(env, { ...options, consumers: [consumer] })[`consumer-${consumer.name}`]!;

const mappingOf = (template: Template, property: 'Topics' | 'ScalingConfig') =>
  Object.values(template.findResources('AWS::Lambda::EventSourceMapping')).find(
    ({ Properties }) => property in Properties,
  )!.Properties;

/** What Lambda refuses where pollers are not provisioned. https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html (2026-11-24) */
const PROVISIONED_ONLY = [
  'BisectBatchOnFunctionError',
  'FunctionResponseTypes',
  'MaximumRecordAgeInSeconds',
  'MaximumRetryAttempts',
  'MetricsConfig',
  'ProvisionedPollerConfig',
];

describe('the function', () => {
  const prod = stackOf('prod');

  test('runs on Node 24 and Graviton in the private network, with a log group of its own under a key', () => {
    prod.hasResourceProperties('AWS::Lambda::Function', {
      FunctionName: 'millrace-prod-editorial-analytics',
      Runtime: 'nodejs24.x',
      Architectures: ['arm64'],
      Handler: 'index.handler',
      Timeout: 60,
      MemorySize: 1_024,
      ReservedConcurrentExecutions: Match.absent(),
      LoggingConfig: { LogGroup: { Ref: Match.stringLikeRegexp('Logs') } },
      VpcConfig: { SubnetIds: [Match.anyValue(), Match.anyValue(), Match.anyValue()] },
    });
    prod.hasResourceProperties('AWS::Logs::LogGroup', { RetentionInDays: 365, KmsKeyId: Match.anyValue() });
  });

  test('has memory, time and concurrency by its declaration', () => {
    const own = consumerWith({ memoryMb: 2_048, timeoutMs: 120_000, reservedConcurrency: 6 });
    stackOf('prod', own).hasResourceProperties('AWS::Lambda::Function', {
      MemorySize: 2_048,
      Timeout: 120,
      ReservedConcurrentExecutions: 6,
    });
  });

  test.each([
    ['dev', 'false'],
    ['staging', 'true'],
    ['prod', 'true'],
  ])('in %s it is told whether a partial batch response is read: %s', (env, partial) => {
    stackOf(env).hasResourceProperties('AWS::Lambda::Function', {
      Environment: { Variables: Match.objectLike({ MILLRACE_PARTIAL_RESPONSES: partial }) },
    });
  });
});

describe('the event source mapping', () => {
  test('provisioned: retries, bisects, reads partial responses, has metrics, keeps what it gives up', () => {
    expect(mappingOf(stackOf('prod'), 'Topics')).toMatchObject({
      Topics: ['news.pageviews'],
      AmazonManagedKafkaEventSourceConfig: { ConsumerGroupId: 'editorial-analytics' },
      StartingPosition: 'TRIM_HORIZON',
      BatchSize: 5_000,
      ProvisionedPollerConfig: { MinimumPollers: 2, MaximumPollers: 12 },
      BisectBatchOnFunctionError: true,
      MaximumRetryAttempts: 10_000,
      FunctionResponseTypes: ['ReportBatchItemFailures'],
      MetricsConfig: { Metrics: ['EventCount', 'ErrorCount', 'KafkaMetrics'] },
      DestinationConfig: {
        OnFailure: { Destination: { 'Fn::ImportValue': expect.stringContaining('Kept') } },
      },
    });
  });

  test('on demand: nothing that on-demand pollers refuse', () => {
    const mapping = mappingOf(stackOf('dev'), 'Topics');
    expect(Object.keys(mapping).filter((name) => PROVISIONED_ONLY.includes(name))).toEqual([]);
    expect(mapping).toMatchObject({ BatchSize: 5_000, DestinationConfig: { OnFailure: expect.anything() } });
  });

  test('has no more pollers than the topic has partitions', () => {
    const narrow = { ...pageviews, partitions: 1 } as typeof pageviews;
    const template = stackOf('prod', consumerWith({ topic: narrow as never }), { contracts: [narrow] });
    expect(mappingOf(template, 'Topics').ProvisionedPollerConfig).toMatchObject({
      MinimumPollers: 1,
      MaximumPollers: 1,
    });
  });

  test("leaves Lambda's window of half a second alone, and gives any other in seconds", () => {
    expect(mappingOf(stackOf('dev'), 'Topics')).not.toHaveProperty('MaximumBatchingWindowInSeconds');
    const slow = consumerWith({ batch: { windowMs: 5_000 } });
    expect(mappingOf(stackOf('dev', slow), 'Topics').MaximumBatchingWindowInSeconds).toBe(5);
  });

  test('starts at the newest record, or at a time in Unix seconds, where the declaration says so', () => {
    const latest = consumerWith({ startingPosition: 'LATEST' });
    expect(mappingOf(stackOf('dev', latest), 'Topics').StartingPosition).toBe('LATEST');
    const since = consumerWith({ startingPosition: { atTimestampMs: 1_767_225_600_999 } });
    expect(mappingOf(stackOf('dev', since), 'Topics')).toMatchObject({
      StartingPosition: 'AT_TIMESTAMP',
      StartingPositionTimestamp: 1_767_225_600,
    });
  });

  test('is another one for another topic, and the same one for all else', () => {
    const idOf = (consumer: AnyConsumer) =>
      Object.entries(
        stackOf('prod', consumer, { contracts: contractsAmong([consumer.topic]) }).findResources(
          'AWS::Lambda::EventSourceMapping',
        ),
      ).find(([, { Properties }]) => 'Topics' in Properties)![0];
    const of = (name: string) => consumerWith({ topic: { ...pageviews, name } as never });
    const names = ['news.pageviews', 'news.clicks', 'newspageviews'];
    expect(new Set(names.map((name) => idOf(of(name)))).size).toBe(names.length);
    expect(idOf(consumerWith({ startingPosition: 'LATEST', batch: { maxRecords: 10 } }))).toBe(
      idOf(editorialAnalytics),
    );
  });

  test('gives up when the declaration says so', () => {
    const impatient = consumerWith({ giveUp: { afterRetries: 5, afterAgeMs: 3_600_000 } });
    expect(mappingOf(stackOf('prod', impatient), 'Topics')).toMatchObject({
      MaximumRetryAttempts: 5,
      MaximumRecordAgeInSeconds: 3_600,
    });
  });
});

describe('the redrive queue', () => {
  test('invokes the very function, a few at a time, and reads which letters came back', () => {
    const template = stackOf('dev');
    const [fn] = Object.keys(template.findResources('AWS::Lambda::Function'));
    expect(mappingOf(template, 'ScalingConfig')).toMatchObject({
      FunctionName: { Ref: fn },
      EventSourceArn: {
        'Fn::Join': [
          '',
          expect.arrayContaining([expect.stringMatching(/:millrace-dev-editorial-analytics-redrive$/)]),
        ],
      },
      FunctionResponseTypes: ['ReportBatchItemFailures'],
      ScalingConfig: { MaximumConcurrency: 2 },
    });
  });
});

describe('refused at synth', () => {
  const refusal = (env: string, consumer: AnyConsumer) => {
    try {
      templatesOf(env, { consumers: [consumer] });
    } catch (error) {
      return error;
    }
    return undefined;
  };

  test.each<[string, string, () => AnyConsumer, RegExp]>([
    [
      'a name that queues cannot have',
      'dev',
      () => consumerWith({ name: 'editorial.analytics' }),
      /name is "editorial.analytics"; in dev it takes up to 51 letters/,
    ],
    [
      'a name too long for the environment',
      'staging',
      () => consumerWith({ name: 'a'.repeat(48) }),
      /in staging it takes up to 47 letters/,
    ],
    [
      'a name that is taken',
      'dev',
      () => consumerWith({ name: 'migrations' }),
      /is none of archive, cluster, collector, database, migrations/,
    ],
    [
      'a folder that is not there',
      'dev',
      () => consumerWith({ name: 'nobody' }),
      /lambdas\/nobody\/index.ts is missing/,
    ],
    [
      'retries on demand',
      'dev',
      () => consumerWith({ giveUp: { afterRetries: 3 } }),
      /giveUp.afterRetries is 3; in dev it takes nothing, because only provisioned pollers have limits on retries and age/,
    ],
    [
      'an age on demand',
      'dev',
      () => consumerWith({ giveUp: { afterAgeMs: 60_000 } }),
      /giveUp.afterAgeMs is 60000; in dev/,
    ],
    [
      'a framing that is not Glue’s',
      'dev',
      () => ({ ...editorialAnalytics, topic: { ...editorialAnalytics.topic, framing: 'confluent' } }),
      /topic.framing is "confluent"; in dev it takes "glue"/,
    ],
  ])('%s', (_, env, declare, why) => {
    expect(refusal(env, declare())).toMatchObject({
      code: 'CONSUMER_INVALID',
      message: expect.stringMatching(why),
    });
  });

  test.each<[string, () => AnyConsumer, RegExp]>([
    [
      'a group that MSK publishes no metrics for',
      () => consumerWith({ name: 'editorial:analytics' }),
      /name is "editorial:analytics"/,
    ],
    [
      "a dead-letter topic that is the consumer's own",
      () => consumerWith({ deadLetter: 'kafka', deadLetterTopic: 'news.pageviews' }),
      /deadLetterTopic is "news.pageviews"; it takes a topic other than/,
    ],
    [
      "a batch over Lambda's limit",
      () => consumerWith({ batch: { maxRecords: 10_001 } }),
      /batch.maxRecords is 10001; it takes a whole number from 1 to 10000/,
    ],
    [
      'a window that is no whole second',
      () => consumerWith({ batch: { windowMs: 700 } }),
      /batch.windowMs is 700/,
    ],
    [
      'more memory than there is',
      () => consumerWith({ memoryMb: 20_000 }),
      /memoryMb is 20000; it takes a whole number from 128 to 10240/,
    ],
    ['no instances', () => consumerWith({ reservedConcurrency: 0 }), /reservedConcurrency is 0/],
    [
      'too many retries',
      () => consumerWith({ giveUp: { afterRetries: 10_001 } }),
      /giveUp.afterRetries is 10001/,
    ],
    [
      'too short an age',
      () => consumerWith({ giveUp: { afterAgeMs: 59_999 } }),
      /giveUp.afterAgeMs is 59999/,
    ],
  ])('%s, by the declaration itself', (_, declare, why) => {
    expect(declare).toThrow(
      expect.objectContaining({ code: 'CONSUMER_INVALID', message: expect.stringMatching(why) }),
    );
  });

  test('the longest name that each environment takes is taken', () => {
    // Only for its folder is it refused.
    expect(refusal('dev', consumerWith({ name: 'a'.repeat(51) }))).toMatchObject({
      message: expect.stringContaining('index.ts is missing'),
    });
  });
});

describe('dead letters in Kafka', () => {
  const { contracts, 'consumer-editorial-analytics': consumer } = templatesOf('prod', DEAD_LETTERS_IN_KAFKA);
  const deadLetterTopic = 'news.pageviews.editorial-analytics.dead-letters';

  test('have a topic with the data that stays, with room for a whole record and its failure', () => {
    const topic = Object.values(contracts!.findResources('AWS::MSK::Topic')).find(
      ({ Properties }) => Properties.TopicName === deadLetterTopic,
    )!;
    expect(topic).toMatchObject({
      DeletionPolicy: 'RetainExceptOnCreate',
      Properties: { PartitionCount: 12, ReplicationFactor: 3 },
    });
    expect(Buffer.from(topic.Properties.Configs, 'base64').toString().split('\n')).toEqual([
      'cleanup.policy=delete',
      'retention.ms=1209600000',
      'max.message.bytes=2097176',
      '',
    ]);
  });

  test('are written to brokers that MSK names in the course of the deployment', () => {
    const [[asking, { Properties: question, DependsOn: rights }]] = Object.entries(
      consumer!.findResources('Custom::BootstrapBrokers'),
    ) as [[string, Record<string, never>]];
    expect(JSON.stringify(question)).toContain('GetBootstrapBrokers');
    expect(rights).toEqual([expect.stringContaining('BrokersRoleDefaultPolicy')]);
    consumer!.hasResourceProperties('AWS::Lambda::Function', {
      FunctionName: 'millrace-prod-editorial-analytics',
      Environment: {
        Variables: Match.objectLike({
          MILLRACE_BROKERS: { 'Fn::GetAtt': [asking, 'BootstrapBrokerStringSaslIam'] },
        }),
      },
    });
  });

  test('no other consumer has any of it', () => {
    const { contracts, 'consumer-editorial-analytics': other } = templatesOf('prod');
    contracts!.resourceCountIs('AWS::MSK::Topic', newsdesk.contracts.length);
    other!.resourceCountIs('Custom::BootstrapBrokers', 0);
    other!.resourceCountIs('AWS::Lambda::Function', 1);
  });
});

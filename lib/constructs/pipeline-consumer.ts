import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CfnCondition, CfnParameter, Duration, Fn, type IResolvable, Stack } from 'aws-cdk-lib';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { CfnEventSourceMapping } from 'aws-cdk-lib/aws-lambda';
import type { CfnBucket } from 'aws-cdk-lib/aws-s3';
import { Construct } from 'constructs';
import { codeFingerprint } from '../../adapters/files/code-fingerprint.ts';
import { isArchive } from '../../runtime/archive/archive.ts';
import type { ConsumerInEnvironment } from '../../runtime/consumer-in-environment.ts';
import { GIVEN_UP_PREFIX } from '../../runtime/dead-letters/given-up-letters.ts';
import { PAYLOAD_PREFIX } from '../../runtime/dead-letters/queue-letters.ts';
import { RESULTS_PREFIX } from '../../runtime/dead-letters/redrive/results.ts';
import { REDRIVE_CONCURRENCY } from '../../runtime/dead-letters/resources.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { hasOperator, SETTINGS } from '../../runtime/deployment.ts';
import { mappingOf } from '../../runtime/lambda/mapping.ts';
import { countsParked } from '../../runtime/operator/operator.ts';
import type { EnvironmentStack } from '../environment-stack.ts';
import { type AlarmName, Alarms } from './alarm.ts';
import { ARCHIVE_FOLDER, BundledFunction } from './bundled-function.ts';
import { type Cluster, kafkaArn } from './cluster.ts';
import { addConsumerAlarms } from './consumer-alarms.ts';
import type { Archive, ConsumerSurroundings, DeadLetterResources } from './surroundings.ts';

// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html (2026-11-24)
const REDRIVE_BATCH = 10;

/**
 * A consumer's declaration as infrastructure: its function, which both its topic and its redrive queue invoke; its
 * dead-letter queue and its bucket for batches that Lambda gives up on; its rights, to its own topic, group, schemas,
 * queues, bucket, key and database user, or its part of the archive, and to nobody else's; and its alarms.
 */
export class PipelineConsumer extends Construct {
  readonly functionName: string;
  readonly alarms: readonly AlarmName[];

  constructor(
    scope: EnvironmentStack,
    id: string,
    { deployed, ...surroundings }: ConsumerSurroundings & { readonly deployed: ConsumerInEnvironment },
  ) {
    super(scope, id);
    const { consumer, polling, isEnabled, isLive } = deployed;
    const { operations, cluster, contracts, deadLetters } = surroundings;
    this.functionName = scope.nameOf(consumer.name);
    const resources = deadLetters.addConsumer(consumer);
    if (consumer.deadLetter === 'kafka') contracts.addDeadLetterTopic(consumer);
    const fn = addFunction(this, this.functionName, surroundings, deployed, resources);
    grantConsuming(fn, consumer, surroundings, resources);
    const parameterName = operations.pauseOf(consumer.name);
    const enabled = isEnabled ? unlessPaused(scope, parameterName) : false;
    const mapping = addTopicMapping(this, deployed, cluster, fn, resources, enabled);
    const redrive = addRedriveMapping(this, deployed, fn, resources);
    // A mapping is tried out when it is made: its function must have its rights by then.
    for (const each of [mapping, redrive]) each.node.addDependency(fn.role!);

    const alarms = new Alarms(this, operations, consumer.name);
    addConsumerAlarms(alarms, consumer, {
      environment: scope.target.name,
      clusterName: cluster.name,
      functionName: this.functionName,
      logGroupName: fn.logGroup.logGroupName,
      mappingId: polling.mode === 'provisioned' ? mapping.attrId : undefined,
      isEnabled,
      // What becomes of one that readers do not see, whoever made it looks at.
      isSampled: hasOperator(scope.target) && isLive,
      isParkedCounted: hasOperator(scope.target) && isLive && countsParked(scope.target, consumer),
      resources,
    });
    this.alarms = alarms.names;
  }
}

function addFunction(
  scope: Construct,
  functionName: string,
  surroundings: ConsumerSurroundings,
  { consumer, polling, declared, generation }: ConsumerInEnvironment,
  resources: DeadLetterResources,
): BundledFunction {
  const { network, cluster, contracts } = surroundings;
  const { name, topic, memoryMb, timeoutMs, reservedConcurrency, deadLetter, deadLetterTopic } = consumer;
  return new BundledFunction(scope, 'Function', surroundings, {
    folder: isArchive(consumer) ? ARCHIVE_FOLDER : declared,
    parts: [
      ...(isArchive(consumer) ? [] : (['#rds'] as const)),
      '#glue',
      '#s3',
      ...(deadLetter === 'kafka' ? [] : (['#sqs'] as const)),
    ],
    functionName,
    description: `Consumes ${topic.name}`,
    service: name,
    memoryMb,
    timeout: Duration.millis(timeoutMs),
    ...(reservedConcurrency !== undefined && { reservedConcurrency }),
    securityGroups: [network.functions, ...(network.behindProxy ? [network.behindProxy] : [])],
    environment: {
      ...sinkSettings(consumer, surroundings),
      ...(generation > 1 && { [SETTINGS.generation]: String(generation) }),
      ...(!isArchive(consumer) && { [SETTINGS.code]: codeIn(scope, consumer, declared) }),
      [SETTINGS.registryName]: contracts.registryName,
      ...(topic.format === 'avro' && { [SETTINGS.schemaIds]: contracts.versionIds(topic) }),
      [SETTINGS.deadLetterQueueUrl]: resources.deadLetters.queueUrl,
      [SETTINGS.bucketName]: resources.bucket.bucketName,
      [SETTINGS.partialResponses]: String(mappingOf(consumer, polling).provisioned !== null),
    },
    ...(deadLetter === 'kafka' && { writesTo: { cluster, topics: [deadLetterTopic] } }),
  });
}

/** A promote compares it with the code that the rebuild was begun with, and the breaker holds records for each anew. */
function codeIn(scope: Construct, consumer: AnyConsumer, declared: string): string {
  const { appRoot } = (Stack.of(scope) as EnvironmentStack).target;
  return codeFingerprint(pathToFileURL(join(appRoot, 'millrace.config.ts')), { ...consumer, name: declared });
}

/** Where a consumer's effects go: its user of the database, or its part of the archive. */
function sinkSettings(
  consumer: AnyConsumer,
  { database, archive }: ConsumerSurroundings,
): Readonly<Record<string, string>> {
  if (isArchive(consumer)) {
    return { [SETTINGS.consumer]: consumer.name, [SETTINGS.archiveBucketName]: archive!.bucketName };
  }
  return {
    [SETTINGS.databaseHost]: database.host,
    [SETTINGS.databaseName]: database.databaseName,
    [SETTINGS.databaseUser]: consumer.name,
  };
}

function grantConsuming(
  fn: BundledFunction,
  consumer: AnyConsumer,
  { cluster, database, deadLetters, archive }: ConsumerSurroundings,
  resources: DeadLetterResources,
): void {
  const { name, topic } = consumer;
  const allow = (actions: string[], resources: string[]) =>
    fn.addToRolePolicy(new PolicyStatement({ actions, resources }));
  // https://docs.aws.amazon.com/lambda/latest/dg/with-msk-permissions.html,
  // https://docs.aws.amazon.com/lambda/latest/dg/msk-cluster-auth.html (2026-11-24)
  allow(['kafka:DescribeCluster', 'kafka:DescribeClusterV2', 'kafka:GetBootstrapBrokers'], [cluster.arn]);
  allow(['kafka-cluster:Connect', 'kafka-cluster:DescribeClusterDynamicConfiguration'], [cluster.arn]);
  allow(['kafka-cluster:DescribeTopic', 'kafka-cluster:ReadData'], [kafkaArn(cluster, 'topic', topic.name)]);
  allow(['kafka-cluster:AlterGroup', 'kafka-cluster:DescribeGroup'], [kafkaArn(cluster, 'group', name)]);
  // Asked by a version's id alone, Glue knows no narrower resource:
  // https://docs.aws.amazon.com/glue/latest/dg/schema-registry-gs.html (2026-11-24)
  if (topic.format === 'avro') allow(['glue:GetSchemaVersion'], ['*']);
  if (isArchive(consumer)) grantArchiving(fn, consumer, archive!);
  else database.grantConnect(fn, name);
  deadLetters.grantPut(fn, resources);
  deadLetters.grantRedrive(fn, resources);
  deadLetters.grantGiveUp(fn, resources);
  const bucket = Stack.of(resources.bucket).getLogicalId(resources.bucket.node.defaultChild as CfnBucket);
  fn.acknowledgeWildcard(
    `<${bucket}.Arn>/${GIVEN_UP_PREFIX}*`,
    'The name of an object has the id of a mapping and the hour.',
  );
  fn.acknowledgeWildcard(
    `<${bucket}.Arn>/${PAYLOAD_PREFIX}*`,
    'The name of an object has the record and a hash of its bytes.',
  );
  fn.acknowledgeWildcard(
    `<${bucket}.Arn>/${RESULTS_PREFIX}*`,
    'The name of an object has the redrive and the request.',
  );
}

function grantArchiving(fn: BundledFunction, consumer: AnyConsumer, archive: Archive): void {
  for (const objects of archive.grantWrite(fn, consumer)) {
    fn.acknowledgeWildcard(objects, 'The name of an object has the partition, the day and the offset.');
  }
}

/**
 * False while an operator has the consumer paused, whatever is deployed meanwhile. CloudFormation reads the parameter anew at
 * each update: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/systems-manager-parameter-types.html (2026-11-27)
 */
function unlessPaused(stack: Stack, parameterName: string): IResolvable {
  const paused = new CfnParameter(stack, 'Paused', {
    type: 'AWS::SSM::Parameter::Value<String>',
    default: parameterName,
    description: 'Where "millrace pause" and "millrace resume" say whether the consumer is paused',
  });
  const isPaused = new CfnCondition(stack, 'IsPaused', {
    expression: Fn.conditionEquals(paused.valueAsString, 'true'),
  });
  return Fn.conditionIf(isPaused.logicalId, false, true);
}

function addTopicMapping(
  scope: Construct,
  { consumer, polling }: ConsumerInEnvironment,
  cluster: Cluster,
  fn: BundledFunction,
  { bucket }: DeadLetterResources,
  enabled: boolean | IResolvable,
): CfnEventSourceMapping {
  const { name, topic } = consumer;
  const { batchSize, maximumBatchingWindowMs, startingPosition, provisioned } = mappingOf(consumer, polling);
  // By its topic's name, so that another topic makes another mapping: CloudFormation calls a change of Topics done, and
  // does nothing: https://github.com/aws-cloudformation/cloudformation-coverage-roadmap/issues/2140 (2026-11-25)
  return new CfnEventSourceMapping(scope, `TopicMapping-${topic.name}`, {
    functionName: fn.functionName,
    eventSourceArn: cluster.arn,
    enabled,
    topics: [topic.name],
    amazonManagedKafkaEventSourceConfig: { consumerGroupId: name },
    batchSize,
    // 500 ms is what Lambda does unless told; it takes whole seconds only.
    ...(maximumBatchingWindowMs !== 500 && {
      maximumBatchingWindowInSeconds: maximumBatchingWindowMs / 1_000,
    }),
    ...(typeof startingPosition === 'string'
      ? { startingPosition }
      : {
          startingPosition: 'AT_TIMESTAMP',
          startingPositionTimestamp: Math.floor(startingPosition.atTimestampMs / 1_000),
        }),
    destinationConfig: { onFailure: { destination: bucket.bucketArn } },
    // On demand, Lambda refuses every one of these.
    ...(provisioned && {
      provisionedPollerConfig: {
        minimumPollers: provisioned.minimumPollers,
        maximumPollers: provisioned.maximumPollers,
        ...(provisioned.pollerGroup !== null && { pollerGroupName: provisioned.pollerGroup }),
      },
      functionResponseTypes: ['ReportBatchItemFailures'],
      bisectBatchOnFunctionError: provisioned.bisectBatchOnFunctionError,
      maximumRetryAttempts: provisioned.maximumRetryAttempts,
      ...(provisioned.maximumRecordAgeMs !== null && {
        maximumRecordAgeInSeconds: Math.floor(provisioned.maximumRecordAgeMs / 1_000),
      }),
      metricsConfig: { metrics: ['EventCount', 'ErrorCount', 'KafkaMetrics'] },
      // Into the function's log group: https://docs.aws.amazon.com/lambda/latest/dg/esm-logging.html (2026-11-26)
      loggingConfig: { systemLogLevel: 'WARN' },
    }),
  });
}

function addRedriveMapping(
  scope: Construct,
  { isEnabled }: ConsumerInEnvironment,
  fn: BundledFunction,
  { redrive }: DeadLetterResources,
): CfnEventSourceMapping {
  return new CfnEventSourceMapping(scope, 'RedriveMapping', {
    functionName: fn.functionName,
    eventSourceArn: redrive.queueArn,
    ...(!isEnabled && { enabled: false }),
    batchSize: REDRIVE_BATCH,
    functionResponseTypes: ['ReportBatchItemFailures'],
    scalingConfig: { maximumConcurrency: REDRIVE_CONCURRENCY },
  });
}

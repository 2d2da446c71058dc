/** What the topics, schemas, queues, functions and mappings of an environment say about its declarations. Pure. */

import type { ConsumerInEnvironment } from '../consumer-in-environment.ts';
import { type Contract, GLUE_COMPATIBILITY } from '../contract/contract.ts';
import { MAX_REDELIVERIES } from '../dead-letters/resources.ts';
import type { AnyConsumer } from '../delivery/consumer.ts';
import {
  deadLetterQueueName,
  deployedName,
  pausedParameterName,
  redriveQueueName,
  registryName,
} from '../deployment.ts';
import { type MappingSettings, mappingOf } from '../lambda/mapping.ts';
import { type TopicContract, topicSettings } from '../topics.ts';
import { deployCommand, revertCommand } from './commands.ts';
import { type Line, linesOf, type Observed } from './line.ts';
import type {
  ClusterFacts,
  ErrorCount,
  FunctionFacts,
  MappingFacts,
  ParameterFacts,
  QueueFacts,
  SchemaFacts,
  TopicFacts,
} from './reader.ts';

/**
 * `ClusterInfo.State`, `ClusterInfo.CurrentVersion`, `Provisioned.ClientAuthentication.Sasl.Iam.Enabled`:
 * https://docs.aws.amazon.com/msk/2.0/APIReference/v2-clusters-clusterarn.html,
 * https://docs.aws.amazon.com/msk/latest/developerguide/msk-cluster-states.html (2026-11-26)
 */
export function judgeCluster(env: string, subject: string, seen: Observed<ClusterFacts | null>): Line {
  const lines = linesOf('cluster', subject);
  if ('problem' in seen) return lines.unseen(seen.problem);
  if (seen.value === null) {
    return lines.fail('MSK knows no such cluster.', deployCommand(env, deployedName(env, 'cluster')));
  }
  const { arn, state, takesIam } = seen.value;
  if (state === 'FAILED' || state === 'DELETING') {
    return lines.fail(
      `State is ${state}.`,
      `aws kafka describe-cluster-v2 --cluster-arn ${arn} --query ClusterInfo.StateInfo`,
    );
  }
  if (takesIam === false) {
    return lines.fail(
      'ClientAuthentication.Sasl.Iam is off, and nothing else logs in here.',
      `aws kafka update-security --cluster-arn ${arn} --current-version $(aws kafka describe-cluster-v2 --cluster-arn ${arn} --query ClusterInfo.CurrentVersion --output text) --client-authentication 'Sasl={Iam={Enabled=true}}'`,
    );
  }
  // A broker that is being replaced or updated goes on serving.
  const isServing = ['ACTIVE', 'UPDATING', 'MAINTENANCE', 'HEALING', 'REBOOTING_BROKER'].includes(state);
  return isServing
    ? lines.pass(`State is ${state}.`)
    : lines.unknown(`State is ${state}.`, 'Run this again when it is ACTIVE.');
}

/**
 * `PartitionCount`, `Status`, `Configs`: https://docs.aws.amazon.com/msk/latest/developerguide/msk-describe-topic.html
 * (2026-11-26), whose answers are up to a minute old. Partitions grow and never shrink.
 * @param isAdopted whether somebody else has made the topic, whose settings are theirs
 */
export function judgeTopic(
  env: string,
  topic: TopicContract,
  clusterArn: string,
  isAdopted: boolean,
  seen: Observed<TopicFacts | null>,
): readonly Line[] {
  const lines = linesOf('topic', topic.name);
  const stack = deployedName(env, 'contracts');
  if ('problem' in seen) return [lines.unseen(seen.problem)];
  if (seen.value === null) {
    return [
      lines.fail(
        'The cluster has no such topic.',
        isAdopted
          ? 'Have its owner make it, or take it out of existingTopics in millrace.config.ts.'
          : revertCommand(env, stack),
      ),
    ];
  }
  const { status, partitions, settings } = seen.value;
  if (status === 'CREATING' || status === 'DELETING') {
    return [lines.unknown(`Status is ${status}.`, 'Run this again in a minute.')];
  }
  return isAdopted ? [judgePartitions()] : [judgePartitions(), judgeSettings()];

  function judgePartitions(): Line {
    if (partitions === null) {
      return lines.unknown('MSK gives no number of partitions.', 'Run this again in a minute.');
    }
    if (partitions === topic.partitions) return lines.pass(`It has ${partitions} partitions.`);
    const differs = `It has ${partitions} partitions, and its contract says ${topic.partitions}.`;
    return partitions < topic.partitions && !isAdopted
      ? lines.fail(
          differs,
          `aws kafka update-topic --cluster-arn ${clusterArn} --topic-name ${topic.name} --partition-count ${topic.partitions}`,
        )
      : lines.fail(
          differs,
          `Write "partitions: ${partitions}" in the topic's contract: ${isAdopted ? "the topic is its owner's" : 'partitions never shrink'}.`,
        );
  }

  function judgeSettings(): Line {
    const of = linesOf('topic-settings', topic.name);
    const wanted = Object.entries(topicSettings(topic));
    const unseen = wanted.filter(([name]) => settings[name] === undefined).map(([name]) => name);
    const wrong = wanted.filter(([name, value]) => settings[name] !== undefined && settings[name] !== value);
    if (wrong.length > 0) {
      const texts = wrong.map(([name, value]) => `${name} is ${settings[name]} and should be ${value}`);
      return of.fail(`${texts.join('; ')}.`, revertCommand(env, stack));
    }
    return unseen.length > 0
      ? of.unknown(
          `MSK does not show ${unseen.join(', ')}.`,
          `aws kafka describe-topic --cluster-arn ${clusterArn} --topic-name ${topic.name}`,
        )
      : of.pass(wanted.map(([name, value]) => `${name}=${value}`).join(', '));
  }
}

/**
 * `Status` of GetSchemaByDefinition, `Compatibility` of GetSchema:
 * https://docs.aws.amazon.com/glue/latest/webapi/API_GetSchemaByDefinition.html,
 * https://docs.aws.amazon.com/glue/latest/webapi/API_GetSchema.html (2026-11-26). What is missing comes back with its stack:
 * registered by hand, it would be in the way of the next deployment.
 */
export function judgeSchema(
  env: string,
  contract: Contract<never>,
  seen: Observed<SchemaFacts | null>,
): Line {
  const { name, versions, compatibility } = contract;
  const lines = linesOf('schema', name);
  const registry = registryName(env);
  const register = revertCommand(env, deployedName(env, 'contracts'));
  if ('problem' in seen) return lines.unseen(seen.problem);
  if (seen.value === null) return lines.fail(`Glue's registry ${registry} has no such schema.`, register);
  const { statuses } = seen.value;
  const having = (wanted: string | null) =>
    versions.filter((_, index) => (statuses[index] ?? null) === wanted).map(({ version }) => `v${version}`);
  if (having(null).length > 0) {
    return lines.fail(`Glue's registry ${registry} does not know ${having(null).join(', ')}.`, register);
  }
  if (having('FAILURE').length > 0) {
    return lines.fail(
      `Glue refused ${having('FAILURE').join(', ')}: Status is FAILURE.`,
      'Make the change in a way that the mode allows (docs/contracts.md), then deploy the contracts again.',
    );
  }
  const mode = GLUE_COMPATIBILITY[compatibility];
  if (seen.value.compatibility !== mode) {
    return lines.fail(
      `Compatibility is ${seen.value.compatibility}, and the contract says ${mode}.`,
      `aws glue update-schema --schema-id RegistryName=${registry},SchemaName=${name} --compatibility ${mode} --schema-version-number LatestVersion=true`,
    );
  }
  const available = having('AVAILABLE');
  return available.length === versions.length
    ? lines.pass(`${available.join(', ')} available, ${mode}.`)
    : lines.unknown(
        `Status is ${[...new Set(statuses)].join(', ')}.`,
        'Run this again in a minute: Glue is still checking.',
      );
}

/**
 * `RedrivePolicy`, `RedriveAllowPolicy`: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_GetQueueAttributes.html
 * (2026-11-26). Without them a letter that fails again is received for ever, and the console cannot start a redrive.
 */
export function judgeQueues(
  env: string,
  consumer: AnyConsumer,
  deadLetters: Observed<QueueFacts | null>,
  redrive: Observed<QueueFacts | null>,
): readonly Line[] {
  const stack = deployedName(env, 'dead-letters');
  return [judgeDeadLetters(), judgeRedrive()];

  function judgeDeadLetters(): Line {
    const name = deadLetterQueueName(env, consumer.name);
    const lines = linesOf('queue', name);
    if ('problem' in deadLetters) return lines.unseen(deadLetters.problem);
    if (deadLetters.value === null) return lines.fail('SQS has no such queue.', revertCommand(env, stack));
    const { messages, allowedSources } = deadLetters.value;
    const source = redriveQueueName(env, consumer.name);
    return allowedSources === null || allowedSources.some((arn) => arn.endsWith(`:${source}`))
      ? lines.pass(`It takes letters of ${source}; about ${messages} messages.`)
      : lines.fail(`RedriveAllowPolicy does not name ${source}.`, revertCommand(env, stack));
  }

  function judgeRedrive(): Line {
    const name = redriveQueueName(env, consumer.name);
    const lines = linesOf('queue', name);
    if ('problem' in redrive) return lines.unseen(redrive.problem);
    if (redrive.value === null) return lines.fail('SQS has no such queue.', revertCommand(env, stack));
    const { url, arn, deadLetterTargetArn, maxReceiveCount, messages } = redrive.value;
    const target = `${arn.slice(0, arn.lastIndexOf(':'))}:${deadLetterQueueName(env, consumer.name)}`;
    if (deadLetterTargetArn === target && maxReceiveCount === MAX_REDELIVERIES) {
      return lines.pass(
        `RedrivePolicy leads to the dead-letter queue after ${MAX_REDELIVERIES}; about ${messages} messages.`,
      );
    }
    const policy = JSON.stringify({ deadLetterTargetArn: target, maxReceiveCount: MAX_REDELIVERIES });
    return lines.fail(
      deadLetterTargetArn === null
        ? 'It has no RedrivePolicy.'
        : `RedrivePolicy is ${deadLetterTargetArn} after ${maxReceiveCount}, and should be ${target} after ${MAX_REDELIVERIES}.`,
      `aws sqs set-queue-attributes --queue-url ${url} --attributes '${JSON.stringify({ RedrivePolicy: policy })}'`,
    );
  }
}

/**
 * `State`, `LastUpdateStatus`: https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html (2026-11-26).
 * @param stack what has made the function
 */
export function judgeFunction(
  env: string,
  name: string,
  stack: string,
  seen: Observed<FunctionFacts | null>,
): Line {
  const lines = linesOf('function', name);
  if ('problem' in seen) return lines.unseen(seen.problem);
  if (seen.value === null) return lines.fail('Lambda has no such function.', revertCommand(env, stack));
  const { state, stateReason, lastUpdate, lastUpdateReason } = seen.value;
  const because = (reason: string | null) => (reason ? `: ${reason}` : '.');
  if (state === 'Failed')
    return lines.fail(`State is Failed${because(stateReason)}`, deployCommand(env, stack));
  if (lastUpdate === 'Failed') {
    return lines.fail(`LastUpdateStatus is Failed${because(lastUpdateReason)}`, deployCommand(env, stack));
  }
  if (state === 'Pending' || lastUpdate === 'InProgress') {
    return lines.unknown(`State is ${state}, LastUpdateStatus ${lastUpdate}.`, 'Run this again in a minute.');
  }
  // https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html (2026-11-26): idle for two weeks.
  return state === 'Inactive'
    ? lines.pass(
        'Inactive: idle for two weeks. The next invocation fails and wakes it; Lambda tries a batch again.',
      )
    : lines.pass(`State is ${state}.`);
}

/**
 * `State`, `LastProcessingResult` and the settings: https://docs.aws.amazon.com/lambda/latest/api/API_EventSourceMappingConfiguration.html,
 * https://docs.aws.amazon.com/lambda/latest/dg/with-kafka-troubleshoot.html (2026-11-26)
 */
export function judgeMappings(
  env: string,
  { consumer, polling, isEnabled }: ConsumerInEnvironment,
  seen: Observed<readonly MappingFacts[]>,
  paused: Observed<ParameterFacts | null>,
): readonly Line[] {
  const { name, topic } = consumer;
  const isPaused = isEnabled && 'value' in paused && paused.value?.value === 'true';
  const lines = linesOf('mapping', name);
  if ('problem' in seen) return [lines.unseen(seen.problem)];
  const stack = deployedName(env, `consumer-${name}`);
  const ofTopic = seen.value.find(({ topics }) => topics.includes(topic.name));
  const redriveQueue = redriveQueueName(env, name);
  const ofRedrive = seen.value.find(({ eventSourceArn }) => eventSourceArn.endsWith(`:${redriveQueue}`));
  return [
    ...(ofTopic
      ? [judgeState(ofTopic, topic.name), judgeLastResult(ofTopic), judgeMappingSettings(ofTopic)]
      : [lines.fail(`Nothing polls ${topic.name} for it.`, revertCommand(env, stack))]),
    ofRedrive
      ? judgeState(ofRedrive, redriveQueue)
      : lines.fail(`Nothing polls ${redriveQueue} for it.`, revertCommand(env, stack)),
    judgePause(),
  ];

  /** A deployment follows the parameter, and one that is rolled back follows what it was before. */
  function judgePause(): Line {
    const of = linesOf('pause', name);
    if ('problem' in paused) return of.unseen(paused.problem);
    if (paused.value === null) {
      return of.fail(
        `SSM has no parameter ${pausedParameterName(env, name)}, which keeps a pause.`,
        revertCommand(env, deployedName(env, 'operations')),
      );
    }
    if (!isPaused) return of.pass('Nobody has paused it.');
    return ofTopic && (ofTopic.state === 'Enabled' || ofTopic.state === 'Enabling')
      ? of.fail(
          `An operator has paused it, and the mapping of ${topic.name} is ${ofTopic.state}.`,
          `npx millrace pause ${name} --env ${env}`,
        )
      : of.pass(`An operator has paused it. npx millrace resume ${name} --env ${env} ends that.`);
  }

  function judgeState({ id, state, stateReason, topics }: MappingFacts, source: string): Line {
    const wanted = isEnabled ? 'Enabled' : 'Disabled';
    if (state === wanted) return lines.pass(`${source}: State is ${state}.`);
    const reason = stateReason ? ` (${stateReason})` : '';
    const isOfTopic = topics.includes(topic.name);
    if (isPaused && isOfTopic && state === 'Disabled') {
      return lines.pass(`${source}: State is ${state}: an operator has paused it.`);
    }
    if (!isEnabled && (state === 'Enabled' || state === 'Enabling')) {
      return lines.fail(
        `${source}: State is ${state}, and the environment turns the consumer off.`,
        `aws lambda update-event-source-mapping --uuid ${id} --no-enabled`,
      );
    }
    return isEnabled && !(isPaused && isOfTopic) && (state === 'Disabled' || state === 'Disabling')
      ? lines.fail(
          `${source}: State is ${state}${reason}.`,
          isOfTopic
            ? `npx millrace resume ${name} --env ${env}`
            : `aws lambda update-event-source-mapping --uuid ${id} --enabled`,
        )
      : lines.unknown(`${source}: State is ${state}${reason}.`, 'Run this again in a few minutes.');
  }

  function judgeLastResult({ lastResult }: MappingFacts): Line {
    const of = linesOf('last-result', name);
    if (!isEnabled) return of.pass('The consumer is off.');
    if (lastResult === null) {
      return of.unknown('Lambda has not said yet how polling went.', 'Run this again in a few minutes.');
    }
    return lastResult.startsWith('PROBLEM')
      ? of.fail(
          lastResult,
          'Look at the lines of network, cluster and function; https://docs.aws.amazon.com/lambda/latest/dg/with-kafka-troubleshoot.html explains the words.',
        )
      : of.pass(lastResult);
  }

  function judgeMappingSettings(facts: MappingFacts): Line {
    const of = linesOf('mapping-settings', name);
    const wrong = differences(consumer, mappingOf(consumer, polling), facts);
    return wrong.length === 0
      ? of.pass('As the declaration says.')
      : of.fail(`${wrong.join('; ')}.`, revertCommand(env, stack));
  }
}

/** What of the mapping is not as the declaration means it. */
function differences(
  { name }: AnyConsumer,
  { batchSize, maximumBatchingWindowMs, provisioned }: MappingSettings,
  facts: MappingFacts,
): readonly string[] {
  // 500 ms is what Lambda does unless told, and it shows as no window, or as 0.
  const windowSeconds = maximumBatchingWindowMs === 500 ? 0 : maximumBatchingWindowMs / 1_000;
  const rows: readonly (readonly [string, unknown, unknown])[] = [
    ['ConsumerGroupId', facts.group, name],
    ['BatchSize', facts.batchSize, batchSize],
    ['MaximumBatchingWindowInSeconds', facts.windowSeconds ?? 0, windowSeconds],
    ['MinimumPollers', facts.minimumPollers, provisioned?.minimumPollers ?? null],
    ['MaximumPollers', facts.maximumPollers, provisioned?.maximumPollers ?? null],
    ['PollerGroupName', facts.pollerGroup, provisioned?.pollerGroup ?? null],
    ...(provisioned
      ? ([
          ['MaximumRetryAttempts', facts.retries, provisioned.maximumRetryAttempts],
          ['BisectBatchOnFunctionError', facts.bisects, provisioned.bisectBatchOnFunctionError],
          ['ReportBatchItemFailures', facts.reportsItems, provisioned.reportBatchItemFailures],
        ] as const)
      : []),
  ];
  return rows
    .filter(([, got, wanted]) => got !== wanted)
    .map(([field, got, wanted]) => `${field} is ${got ?? 'not set'} and should be ${wanted ?? 'left out'}`);
}

/**
 * Events of the function's log group whose `level` is ERROR:
 * https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html (2026-11-26)
 */
export function judgeErrors(
  name: string,
  logGroup: string,
  seen: Observed<readonly ErrorCount[] | null>,
): Line {
  const lines = linesOf('recent-errors', name);
  if ('problem' in seen) return lines.unseen(seen.problem);
  if (seen.value === null) {
    return lines.unknown(
      `There is no log group ${logGroup}.`,
      `aws lambda get-function-configuration --function-name ${name} --query LoggingConfig`,
    );
  }
  if (seen.value.length === 0) return lines.pass('No error in the last hour.');
  const counts = seen.value.map(({ code, count }) => `${code} ${count}`);
  return lines.fail(
    `In the last hour: ${counts.join(', ')}.`,
    `docs/errors.md says what to do about each code. aws logs tail ${logGroup} --since 1h --filter-pattern '{ $.level = "ERROR" }'`,
  );
}

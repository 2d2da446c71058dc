import { Duration } from 'aws-cdk-lib';
import type { IMetric } from 'aws-cdk-lib/aws-cloudwatch';
import { isArchive } from '../../runtime/archive/archive.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { METRICS_NAMESPACE, type MetricName } from '../../runtime/delivery/metrics.ts';
import { type LagMetricName, verdictNumber } from '../../runtime/lag/metrics.ts';
import type { LagVerdict } from '../../runtime/lag/status.ts';
import { type Alarms, counter, gauge, math } from './alarm.ts';
import { type DeadLetterResources, LETTER_RETENTION } from './surroundings.ts';

/** What there is to be measured of a deployed consumer. */
export interface ConsumerMetrics {
  readonly environment: string;
  readonly clusterName: string;
  readonly functionName: string;
  readonly logGroupName: string;
  /** Of the topic's event source mapping, where it is provisioned and so has metrics of its own. */
  readonly mappingId: string | undefined;
  readonly isEnabled: boolean;
  /** Whether the operator function looks at it. */
  readonly isSampled: boolean;
  /** Whether it counts what the consumer has parked, too. */
  readonly isParkedCounted: boolean;
  readonly resources: DeadLetterResources;
}

const FIVE_MINUTES = Duration.minutes(5);

/** A dead letter's age at which there are four days left to deal with it. */
const OLD_LETTER = LETTER_RETENTION.minus(Duration.days(4));

/** Time to drain from which a growing lag is worth a look. */
const LONG_DRAIN = Duration.minutes(5);

/** Readers of these keys see what is so old; their letters are kept for two weeks. */
const LONG_PARKED_MS = Duration.hours(24).toMilliseconds();

/** How near to its timeout an invocation may come. */
const LONG_INVOCATION = 0.8;

/** Adds a consumer's alarms: one policy for all, with the thresholds of its declaration. */
export function addConsumerAlarms(alarms: Alarms, consumer: AnyConsumer, of: ConsumerMetrics): void {
  // What a consumer that is off leaves undone alarms nobody; its letters still expire.
  if (of.isEnabled) {
    addLagAlarms(alarms, consumer, of);
    if (of.isSampled) addVerdictAlarms(alarms, consumer, of.environment);
    if (of.isParkedCounted) addParkedAlarm(alarms, consumer, of.environment);
    if (of.mappingId !== undefined) addPollerAlarms(alarms, consumer, of.mappingId);
  }
  addDeadLetterAlarms(alarms, consumer, of);
  if (of.isEnabled) {
    if (consumer.breaker && !isArchive(consumer)) addBreakerAlarm(alarms, consumer, of);
    addRedriveAlarms(alarms, consumer, of);
    addFunctionAlarms(alarms, consumer, of);
  }
}

/** The consumer's lag over all partitions: what the cluster knows, whatever the mapping is doing. */
export function lagOf({ name, topic }: AnyConsumer, clusterName: string, period?: Duration): IMetric {
  return gauge('AWS/Kafka', 'SumOffsetLag', groupDimensions(name, topic.name, clusterName), { period });
}

/** Seconds until the slowest partition has caught up, at the pace of the moment. */
export function drainTimeOf({ name, topic }: AnyConsumer, clusterName: string): IMetric {
  return gauge('AWS/Kafka', 'EstimatedMaxTimeLag', groupDimensions(name, topic.name, clusterName));
}

/** One of the consumer's own figures. */
export function reportedBy(
  environment: string,
  { name, topic }: AnyConsumer,
  metric: MetricName,
  period?: Duration,
): IMetric {
  return counter(METRICS_NAMESPACE, metric, { environment, service: name, topic: topic.name }, period);
}

/** What the operator function has found out about its progress: the worst of a period. */
export function sampledOf(
  environment: string,
  { name, topic }: AnyConsumer,
  metric: LagMetricName,
  period?: Duration,
): IMetric {
  const dimensions = { environment, service: name, topic: topic.name };
  return gauge(METRICS_NAMESPACE, metric, dimensions, { period });
}

export function functionMetric(functionName: string, metric: string, period?: Duration): IMetric {
  return counter('AWS/Lambda', metric, { FunctionName: functionName }, period);
}

function groupDimensions(group: string, topic: string, clusterName: string) {
  return { 'Cluster Name': clusterName, 'Consumer Group': group, Topic: topic };
}

function addLagAlarms(alarms: Alarms, consumer: AnyConsumer, of: ConsumerMetrics): void {
  const { name, topic, lag } = consumer;
  const behind = lagOf(consumer, of.clusterName);
  const command = `aws lambda list-event-source-mappings --function-name ${of.functionName}`;
  const incident = alarms.add({
    kind: 'lag-incident',
    severity: 'incident',
    metric: behind,
    threshold: lag.incident,
    when: 'at-least',
    datapoints: 3,
    of: 5,
    missing: 'ignore',
    happened: `${name} is ${lag.incident} or more messages behind ${topic.name}.`,
    command,
  });
  alarms.add({
    kind: 'lag-warning',
    severity: 'warning',
    metric: behind,
    threshold: lag.warning,
    when: 'at-least',
    datapoints: 3,
    of: 5,
    missing: 'ignore',
    happened: `${name} is ${lag.warning} or more messages behind ${topic.name}.`,
    command,
    suppressedBy: incident,
  });
  alarms.add({
    kind: 'lag-rising',
    severity: 'warning',
    metric: math(
      'IF(RATE(behind) > 0, drain, 0)',
      { behind, drain: drainTimeOf(consumer, of.clusterName) },
      'seconds to drain a growing lag',
    ),
    threshold: LONG_DRAIN.toSeconds(),
    datapoints: 10,
    of: 15,
    missing: 'ignore',
    happened: `${name} falls further behind ${topic.name} and needs more than ${LONG_DRAIN.toMinutes()} minutes to catch up. The alarm's value is that time in seconds.`,
    command,
    suppressedBy: incident,
  });
  alarms.add({
    kind: 'stalled',
    severity: 'incident',
    metric: math(
      // A group that has never committed has no lag yet: that something is tried tells as well that there is work.
      'IF((FILL(behind, 0) > 0 OR FILL(tried, 0) > 0) AND FILL(done, 0) == 0, 1, 0)',
      { behind: lagOf(consumer, of.clusterName, FIVE_MINUTES), ...progressOf(of, FIVE_MINUTES) },
      'work waiting, none done',
      // Long enough for one try of a batch that is tried again and again, ever more rarely.
      FIVE_MINUTES,
    ),
    threshold: 1,
    when: 'at-least',
    datapoints: 3,
    // The newest may be late, and FILL takes it for 0:
    // https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html (2026-11-25)
    of: 4,
    missing: 'ignore',
    happened: `${name} has work from ${topic.name} but has settled nothing for 15 minutes.`,
    command: tailErrors(of),
  });
}

/**
 * What is tried and what is done, in records or in batches: https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
 * (2026-11-25). An empty poll counts 0; a batch that fails is polled once, and invokes each time it is tried again.
 */
function progressOf(
  { mappingId, functionName }: ConsumerMetrics,
  period: Duration,
): { readonly tried: IMetric; readonly done: IMetric } {
  if (mappingId === undefined) {
    const invocations = functionMetric(functionName, 'Invocations', period);
    const errors = functionMetric(functionName, 'Errors', period);
    return {
      tried: invocations,
      done: math('FILL(invocations, 0) - FILL(errors, 0)', { invocations, errors }, 'batches done', period),
    };
  }
  const polled = mappingMetric(mappingId, 'PolledEventCount', period);
  const invoked = mappingMetric(mappingId, 'InvokedEventCount', period);
  return {
    tried: math('FILL(polled, 0) + FILL(invoked, 0)', { polled, invoked }, 'records tried', period),
    done: mappingMetric(mappingId, 'CommittedEventCount', period),
  };
}

function mappingMetric(mappingId: string, metric: string, period = Duration.minutes(1)): IMetric {
  return counter('AWS/Lambda', metric, { EventSourceMappingUUID: mappingId }, period);
}

/** What MSK does not measure. That nobody looks is an alarm of its own: operator-silent. */
function addVerdictAlarms(alarms: Alarms, consumer: AnyConsumer, environment: string): void {
  const { name, topic } = consumer;
  const command = `npx millrace lag explain ${name} --env ${environment}`;
  const verdict = sampledOf(environment, consumer, 'Verdict');
  const having = (wanted: LagVerdict, label: string) =>
    math(`IF(verdict == ${verdictNumber(wanted)}, 1, 0)`, { verdict }, label);
  alarms.add({
    kind: 'unread-deleted',
    severity: 'incident',
    metric: sampledOf(environment, consumer, 'Lost'),
    threshold: 0,
    datapoints: 1,
    of: 1,
    missing: 'ignore',
    happened: `Retention deleted records of ${topic.name} before ${name} had read them. The alarm's value is how many.`,
    command,
  });
  alarms.add({
    kind: 'at-risk',
    severity: 'incident',
    metric: having('AT_RISK', 'retention is faster'),
    threshold: 1,
    when: 'at-least',
    datapoints: 3,
    of: 5,
    missing: 'ignore',
    happened: `${name} will not have caught up when retention begins to delete what it has not read of ${topic.name}.`,
    command,
  });
  alarms.add({
    kind: 'lag-unknown',
    severity: 'warning',
    metric: having('UNKNOWN', 'lag unknown'),
    threshold: 1,
    when: 'at-least',
    datapoints: 15,
    of: 15,
    // Its own look is missing while those of others come in.
    missing: 'breaching',
    happened: `How far ${name} is behind ${topic.name} has been unknown for 15 minutes.`,
    command,
  });
}

/** Before the letters that keys wait for expire. */
function addParkedAlarm(alarms: Alarms, consumer: AnyConsumer, environment: string): void {
  const { name, topic } = consumer;
  alarms.add({
    kind: 'parked-too-long',
    severity: 'warning',
    metric: sampledOf(environment, consumer, 'ParkedOldestAge', FIVE_MINUTES),
    threshold: LONG_PARKED_MS,
    when: 'at-least',
    datapoints: 1,
    of: 1,
    // Of a consumer that no longer parks, it is written while anything is left.
    missing: consumer.onDeadLetter === 'park-key' ? 'ignore' : 'not-breaching',
    happened: `Records of ${topic.name} have been parked for ${LONG_PARKED_MS / 3_600_000} hours behind dead letters of ${name}: its tables lack them. The alarm's value is the age of the oldest in milliseconds.`,
    command: `npx millrace park list --consumer ${name} --env ${environment}`,
  });
}

function addPollerAlarms(alarms: Alarms, { name, topic }: AnyConsumer, mappingId: string): void {
  alarms.add({
    kind: 'silent-poller',
    severity: 'incident',
    // Zero on an empty poll, so that only pollers that do not poll are silent.
    metric: mappingMetric(mappingId, 'PolledEventCount', FIVE_MINUTES),
    threshold: 0,
    when: 'below',
    datapoints: 3,
    of: 3,
    missing: 'breaching',
    happened: `Nothing has polled ${topic.name} for ${name} in the last 15 minutes. Its event source mapping is disabled, or cannot reach the cluster.`,
    command: `aws lambda get-event-source-mapping --uuid ${mappingId}`,
  });
  alarms.add({
    kind: 'give-up-failed',
    severity: 'incident',
    metric: mappingMetric(mappingId, 'OnFailureDestinationDeliveryErrorCount', FIVE_MINUTES),
    threshold: 0,
    datapoints: 1,
    of: 1,
    missing: 'not-breaching',
    happened: `Lambda gave up on a batch of ${name} and could not write it to the bucket. Its records exist only in the topic.`,
    command: `aws lambda get-event-source-mapping --uuid ${mappingId}`,
  });
}

function addDeadLetterAlarms(alarms: Alarms, consumer: AnyConsumer, of: ConsumerMetrics): void {
  const { name, deadLetter, deadLetterTopic } = consumer;
  const { resources } = of;
  alarms.add({
    kind: 'records-passed-over',
    severity: 'incident',
    metric: reportedBy(of.environment, consumer, 'Holes'),
    threshold: 0,
    datapoints: 1,
    of: 1,
    missing: 'not-breaching',
    happened: `The event source skipped records of ${name}: it gave up on a batch, or the topic's retention deleted them.`,
    command: `aws s3 ls --recursive s3://${resources.bucket.bucketName}/aws/lambda/`,
  });
  const queue = { QueueName: resources.deadLetters.queueName };
  const depth = gauge('AWS/SQS', 'ApproximateNumberOfMessagesVisible', queue, { period: FIVE_MINUTES });
  // How many letters a topic holds nobody measures; but in a topic they only ever get more.
  const added = reportedBy(of.environment, consumer, 'DeadLettered', FIVE_MINUTES);
  const isInKafka = deadLetter === 'kafka';
  const look = isInKafka
    ? tailErrors(of)
    : `aws sqs get-queue-attributes --attribute-names All --queue-url ${resources.deadLetters.queueUrl}`;
  const rising = alarms.add({
    kind: 'dead-letters-rising',
    severity: 'incident',
    metric: isInKafka ? added : math('DIFF(depth)', { depth }, 'new dead letters', FIVE_MINUTES),
    threshold: 0,
    datapoints: 3,
    of: 3,
    missing: isInKafka ? 'not-breaching' : 'ignore',
    happened: `The dead letters of ${name} have grown in each of the last three periods of five minutes. A producer or the consumer is broken.`,
    command: look,
  });
  alarms.add({
    kind: 'dead-letters',
    severity: 'warning',
    metric: isInKafka
      ? math('FILL(added, 0) + FILL(depth, 0)', { added, depth }, 'dead letters', FIVE_MINUTES)
      : depth,
    threshold: 0,
    datapoints: 1,
    of: 1,
    missing: 'ignore',
    happened: isInKafka
      ? `${name} wrote dead letters to the topic ${deadLetterTopic} in the last five minutes.`
      : `${name} has dead letters.`,
    command: look,
    suppressedBy: rising,
  });
  alarms.add({
    kind: 'dead-letters-expiring',
    severity: 'incident',
    metric: gauge('AWS/SQS', 'ApproximateAgeOfOldestMessage', queue, { period: FIVE_MINUTES }),
    threshold: OLD_LETTER.toSeconds(),
    datapoints: 1,
    of: 1,
    missing: 'ignore',
    happened: `The oldest dead letter of ${name} is ${OLD_LETTER.toDays()} days old. SQS deletes it after ${LETTER_RETENTION.toDays()} days.`,
    command: look,
  });
}

function addBreakerAlarm(alarms: Alarms, consumer: AnyConsumer, of: ConsumerMetrics): void {
  const { name } = consumer;
  alarms.add({
    kind: 'consumer-broken',
    severity: 'incident',
    metric: reportedBy(of.environment, consumer, 'Broken'),
    threshold: 0,
    datapoints: 1,
    of: 1,
    missing: 'not-breaching',
    happened: `The code of ${name} is broken: half of the records or more fail with one error in one place. They are held, and become dead letters when breaker.holdMs is over. The alarm's value is how many wait.`,
    command: tailErrors(of),
  });
}

/** A redrive is somebody's doing, who is waiting for it; these are for what the SQS console moves. */
function addRedriveAlarms(alarms: Alarms, consumer: AnyConsumer, of: ConsumerMetrics): void {
  const { name } = consumer;
  alarms.add({
    kind: 'redrive-failing',
    severity: 'warning',
    metric: reportedBy(of.environment, consumer, 'RedriveFailedAgain'),
    threshold: 0,
    datapoints: 1,
    of: 1,
    missing: 'not-breaching',
    happened: `Redriven records of ${name} failed again. They are dead letters again.`,
    command: tailErrors(of),
  });
  alarms.add({
    kind: 'redrive-refused',
    severity: 'warning',
    metric: reportedBy(of.environment, consumer, 'RedriveRefused'),
    threshold: 0,
    datapoints: 1,
    of: 1,
    missing: 'not-breaching',
    happened: `The redrive queue of ${name} holds messages that belong to another consumer or cannot be read.`,
    command: tailErrors(of),
  });
}

function addFunctionAlarms(alarms: Alarms, { name, timeoutMs }: AnyConsumer, of: ConsumerMetrics): void {
  const { functionName } = of;
  alarms.add({
    kind: 'errors',
    severity: 'warning',
    metric: functionMetric(functionName, 'Errors'),
    threshold: 0,
    datapoints: 3,
    of: 5,
    missing: 'not-breaching',
    happened: `Invocations of ${name} fail. Lambda delivers their batches again; nothing is lost.`,
    command: tailErrors(of),
  });
  alarms.add({
    kind: 'throttles',
    severity: 'warning',
    metric: functionMetric(functionName, 'Throttles'),
    threshold: 0,
    datapoints: 3,
    of: 5,
    missing: 'not-breaching',
    happened: `Lambda throttles ${name}: its own or the account's concurrency is used up.`,
    command: `aws lambda get-function-concurrency --function-name ${functionName}`,
  });
  alarms.add({
    kind: 'duration',
    severity: 'warning',
    metric: gauge('AWS/Lambda', 'Duration', { FunctionName: functionName }),
    threshold: timeoutMs * LONG_INVOCATION,
    datapoints: 3,
    of: 5,
    missing: 'not-breaching',
    happened: `Invocations of ${name} take more than ${LONG_INVOCATION * 100} % of their timeout of ${timeoutMs / 1_000} s.`,
    command: tailErrors(of),
  });
}

function tailErrors({ logGroupName }: ConsumerMetrics): string {
  return `aws logs tail ${logGroupName} --since 15m --filter-pattern ERROR`;
}

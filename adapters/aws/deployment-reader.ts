/** A deployed environment through AWS's APIs: what is missing is null, what cannot be seen throws as the SDK throws. */
import type { IpPermission } from '@aws-sdk/client-ec2';
import type { EventSourceMappingConfiguration } from '@aws-sdk/client-lambda';
import { type ContractVersion, compactDefinitionOf, definitionsOf } from '../../runtime/contract/contract.ts';
import type {
  AlarmFacts,
  ClusterFacts,
  DeploymentReader,
  EndpointFacts,
  ErrorCount,
  FunctionFacts,
  GroupRule,
  MappingFacts,
  MetricPoint,
  MetricQuery,
  QueueFacts,
  SchemaFacts,
  SecurityGroupFacts,
  StackFacts,
  TopicFacts,
  ZoneFacts,
} from '../../runtime/doctor/reader.ts';
import { MillraceError, reasonOf } from '../../runtime/errors.ts';
import type { OperatorRequest } from '../../runtime/operator/operator.ts';
import type { Clock } from '../../runtime/ports.ts';
import type { ProbeFailure, ProbeReport } from '../../runtime/probe/probe.ts';
import type { AwsCalls } from './aws-calls.ts';

const HOUR_MS = 60 * 60 * 1_000;
/** Pages of log events, of up to 10,000 each: enough to tell codes apart, and an end to a noisy hour. */
const MAX_LOG_PAGES = 5;

/** What services call a thing that is not there, by the names that their SDKs give errors. */
const MISSING = new Set([
  'EntityNotFoundException',
  'NotFoundException',
  'ResourceNotFoundException',
  'NoSuchEntityException',
  'QueueDoesNotExist',
  'AWS.SimpleQueueService.NonExistentQueue',
  'NotFound',
  'ParameterNotFound',
  'UnknownTopicOrPartitionException',
]);

/**
 * Whose credentials these are, and where they lead.
 * @throws INPUT_INVALID where nobody is signed in, or no region is set
 */
export async function whoIsAsking(
  calls: Pick<AwsCalls, 'getCallerIdentity' | 'region'>,
): Promise<{ readonly account: string; readonly region: string; readonly who: string }> {
  try {
    const region = await calls.region();
    const { Account = 'unknown', Arn = 'unknown' } = await calls.getCallerIdentity({});
    return { account: Account, region, who: Arn.slice(Arn.lastIndexOf(':') + 1) };
  } catch (cause) {
    throw nobodySignedIn(cause);
  }
}

/** That AWS was not asked, or does not know who asks: the same words wherever it shows. */
export function nobodySignedIn(cause: unknown): MillraceError {
  return new MillraceError('INPUT_INVALID', whyNobody(cause as Error), { cause });
}

/** In the words of who has to act: the SDK tells its caller which argument is missing. */
function whyNobody(cause: Error): string {
  if (cause.message.startsWith('Region is missing')) {
    return 'No AWS region is set. Set AWS_REGION, or AWS_PROFILE with a region.';
  }
  const isWithout = cause.name === 'CredentialsProviderError' || cause.name === 'TokenProviderError';
  const reason = reasonOf(isWithout ? { name: 'Error', message: cause.message } : cause);
  const told = reason.replace(/\.?$/, '.');
  return `${isWithout ? 'No AWS credentials' : 'AWS does not know who is asking'}: ${told} Sign in, and set AWS_PROFILE to the profile that you signed in with.`;
}

export function createDeploymentReader(calls: AwsCalls, clock: Pick<Clock, 'now'>): DeploymentReader {
  return {
    stack: (name) => stack(calls, name),
    async alarmsOf(name) {
      const resources = await pages(async (NextToken) => {
        const { StackResourceSummaries = [], NextToken: next } = await calls.listStackResources({
          StackName: name,
          ...(NextToken && { NextToken }),
        });
        return { items: StackResourceSummaries, next };
      });
      return resources
        .filter(({ ResourceType = '' }) => /^AWS::CloudWatch::(Composite)?Alarm$/.test(ResourceType))
        .map(({ PhysicalResourceId = '' }) => PhysicalResourceId);
    },
    cluster: (of) => cluster(calls, of),
    topic: (clusterArn, name) => topic(calls, clusterArn, name),
    schema: (registry, name, versions) => schema(calls, registry, name, versions),
    queue: (name) => queue(calls, name),
    function: (name) => functionOf(calls, name),
    async mappings(FunctionName) {
      // Of a function that is not there, its own line speaks.
      const all = await orNull(() =>
        pages(async (Marker) => {
          const { EventSourceMappings = [], NextMarker } = await calls.listEventSourceMappings({
            FunctionName,
            ...(Marker && { Marker }),
          });
          return { items: EventSourceMappings, next: NextMarker };
        }),
      );
      return (all ?? []).map(mapping);
    },
    parameter: (Name) =>
      orNull(async () => {
        const { Value = '', LastModifiedDate } = (await calls.getParameter({ Name })).Parameter ?? {};
        return { value: Value, changedAt: LastModifiedDate?.getTime() ?? null };
      }),
    metrics: (queries, sinceMs) => metricPoints(calls, queries, sinceMs, clock.now()),
    alarms: (prefix) => alarms(calls, prefix),
    subscriptions: (TopicArn) =>
      orNull(async () => {
        const all = await pages(async (NextToken) => {
          const { Subscriptions = [], NextToken: next } = await calls.listSubscriptionsByTopic({
            TopicArn,
            ...(NextToken && { NextToken }),
          });
          return { items: Subscriptions, next };
        });
        const pending = all.filter(({ SubscriptionArn = '' }) => !SubscriptionArn.startsWith('arn:')).length;
        return { confirmed: all.length - pending, pending };
      }),
    recentErrors: (logGroup) => orNull(() => recentErrors(calls, logGroup, clock.now() - HOUR_MS)),
    async securityGroups(GroupIds) {
      if (GroupIds.length === 0) return [];
      const { SecurityGroups = [] } = await calls.describeSecurityGroups({ GroupIds: [...GroupIds] });
      return SecurityGroups.map(
        ({ GroupId: id = '', IpPermissions = [], IpPermissionsEgress = [] }): SecurityGroupFacts => ({
          id,
          ingress: IpPermissions.map(rule),
          egress: IpPermissionsEgress.map(rule),
        }),
      );
    },
    async endpoints(vpcId) {
      const all = await pages(async (NextToken) => {
        const { VpcEndpoints = [], NextToken: next } = await calls.describeVpcEndpoints({
          Filters: [{ Name: 'vpc-id', Values: [vpcId] }],
          ...(NextToken && { NextToken }),
        });
        return { items: VpcEndpoints, next };
      });
      return all.map(
        ({
          ServiceName = '',
          VpcEndpointType = 'Interface',
          State = 'unknown',
          Groups = [],
        }): EndpointFacts => ({
          service: ServiceName,
          type: VpcEndpointType,
          state: State,
          securityGroupIds: Groups.map(({ GroupId = '' }) => GroupId),
        }),
      );
    },
    async limits() {
      const { AccountLimit } = await calls.getAccountSettings({});
      const { ConcurrentExecutions, UnreservedConcurrentExecutions } = AccountLimit ?? {};
      if (ConcurrentExecutions === undefined || UnreservedConcurrentExecutions === undefined) {
        throw new Error('GetAccountSettings gives no AccountLimit.');
      }
      return { concurrency: ConcurrentExecutions, unreserved: UnreservedConcurrentExecutions };
    },
    role: (RoleName) =>
      orNull(async () => {
        const { Role } = await calls.getRole({ RoleName });
        return { arn: Role?.Arn ?? RoleName };
      }),
    async zones() {
      const { AvailabilityZones = [] } = await calls.describeAvailabilityZones({
        Filters: [{ Name: 'zone-type', Values: ['availability-zone'] }],
      });
      return AvailabilityZones.map(
        ({ ZoneName = '', ZoneId = '' }): ZoneFacts => ({ name: ZoneName, id: ZoneId }),
      );
    },
    probe: (FunctionName) => probe(calls, FunctionName),
    async schemaFault(version) {
      const { Valid, Error: fault } = await calls.checkSchemaVersionValidity({
        DataFormat: 'AVRO',
        SchemaDefinition: compactDefinitionOf(version),
      });
      return Valid === true ? null : (fault ?? 'it gives no reason');
    },
  };
}

async function stack(calls: AwsCalls, StackName: string): Promise<StackFacts | null> {
  try {
    const { Stacks: [found] = [] } = await calls.describeStacks({ StackName });
    if (!found) return null;
    const { StackStatus = 'unknown', StackStatusReason, DriftInformation, Outputs = [] } = found;
    const { EnableTerminationProtection = false } = found;
    return {
      status: StackStatus,
      reason: StackStatusReason ?? null,
      isProtected: EnableTerminationProtection,
      drift: DriftInformation?.StackDriftStatus ?? null,
      driftCheckedAt: DriftInformation?.LastCheckTimestamp?.toISOString() ?? null,
      outputs: Object.fromEntries(
        Outputs.map(({ OutputKey = '', OutputValue = '' }) => [OutputKey, OutputValue]),
      ),
    };
  } catch (error) {
    // CloudFormation has no name of its own for a stack that is not there.
    const { name, message } = error as Error;
    if (name === 'ValidationError' && message.includes('does not exist')) return null;
    throw error;
  }
}

async function cluster(
  calls: AwsCalls,
  of: { readonly arn: string } | { readonly name: string },
): Promise<ClusterFacts | null> {
  return orNull(async () => {
    const found =
      'arn' in of
        ? (await calls.describeClusterV2({ ClusterArn: of.arn })).ClusterInfo
        : await findCluster(calls, of.name);
    if (!found) return null;
    const { ClusterArn = '', State = 'unknown', Provisioned, Serverless } = found;
    const { ClientSubnets = [], SecurityGroups = [] } = Provisioned?.BrokerNodeGroupInfo ?? {};
    const configs = Serverless?.VpcConfigs ?? [];
    return {
      arn: ClusterArn,
      state: State,
      takesIam: Provisioned ? (Provisioned.ClientAuthentication?.Sasl?.Iam?.Enabled ?? false) : null,
      subnetIds: [...ClientSubnets, ...configs.flatMap(({ SubnetIds = [] }) => SubnetIds)],
      securityGroupIds: [
        ...SecurityGroups,
        ...configs.flatMap(({ SecurityGroupIds = [] }) => SecurityGroupIds),
      ],
    };
  });
}

/** The filter takes the beginning of a name. */
async function findCluster(calls: AwsCalls, name: string) {
  const all = await pages(async (NextToken) => {
    const { ClusterInfoList = [], NextToken: next } = await calls.listClustersV2({
      ClusterNameFilter: name,
      ...(NextToken && { NextToken }),
    });
    return { items: ClusterInfoList, next };
  });
  return all.find(({ ClusterName }) => ClusterName === name);
}

async function topic(calls: AwsCalls, ClusterArn: string, TopicName: string): Promise<TopicFacts | null> {
  return orNull(async () => {
    const {
      Status = 'unknown',
      PartitionCount,
      Configs,
    } = await calls.describeTopic({ ClusterArn, TopicName });
    return { status: Status, partitions: PartitionCount ?? null, settings: settingsIn(Configs ?? '') };
  });
}

/** Properties as Java writes them, in base64: https://docs.aws.amazon.com/msk/latest/developerguide/msk-describe-topic.html (2026-11-26) */
function settingsIn(configs: string): Readonly<Record<string, string>> {
  const lines = Buffer.from(configs, 'base64').toString('utf8').split(/\r?\n/);
  return Object.fromEntries(
    lines.flatMap((line) => {
      const [, name, value] = /^\s*([^=#\s]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
      return name === undefined || value === undefined ? [] : [[name, value] as const];
    }),
  );
}

async function schema(
  calls: AwsCalls,
  RegistryName: string,
  SchemaName: string,
  versions: readonly ContractVersion[],
): Promise<SchemaFacts | null> {
  const SchemaId = { RegistryName, SchemaName };
  return orNull(async () => {
    const { Compatibility = 'unknown' } = await calls.getSchema({ SchemaId });
    const statuses: (string | null)[] = [];
    for (const version of versions) statuses.push(await statusOf(version));
    return { compatibility: Compatibility, statuses };
  });

  async function statusOf(version: ContractVersion): Promise<string | null> {
    for (const SchemaDefinition of definitionsOf(version)) {
      const found = await orNull(() => calls.getSchemaByDefinition({ SchemaId, SchemaDefinition }));
      if (found?.Status) return found.Status;
    }
    return null;
  }
}

async function queue(calls: AwsCalls, QueueName: string): Promise<QueueFacts | null> {
  return orNull(async () => {
    const { QueueUrl = '' } = await calls.getQueueUrl({ QueueName });
    const { Attributes = {} } = await calls.getQueueAttributes({ QueueUrl, AttributeNames: ['All'] });
    const redrive = jsonIn(Attributes.RedrivePolicy);
    const { deadLetterTargetArn: target, maxReceiveCount } = redrive;
    return {
      url: QueueUrl,
      arn: Attributes.QueueArn ?? '',
      messages: Number(Attributes.ApproximateNumberOfMessages ?? 0),
      deadLetterTargetArn: typeof target === 'string' ? target : null,
      // SQS gives it as a number or as text, as whoever set it wrote it.
      maxReceiveCount: maxReceiveCount === undefined ? null : Number(maxReceiveCount),
      allowedSources: sourcesIn(jsonIn(Attributes.RedriveAllowPolicy)),
    };
  });
}

/** https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html (2026-11-26): allowAll unless told. */
function sourcesIn({
  redrivePermission = 'allowAll',
  sourceQueueArns = [],
}: Readonly<Record<string, unknown>>): readonly string[] | null {
  return redrivePermission === 'allowAll' ? null : (sourceQueueArns as readonly unknown[]).map(String);
}

function jsonIn(text: string | undefined): Readonly<Record<string, unknown>> {
  return text ? JSON.parse(text) : {};
}

async function functionOf(calls: AwsCalls, FunctionName: string): Promise<FunctionFacts | null> {
  return orNull(async () => {
    const found = await calls.getFunctionConfiguration({ FunctionName });
    const { VpcId, SubnetIds = [], SecurityGroupIds = [] } = found.VpcConfig ?? {};
    return {
      state: found.State ?? 'unknown',
      stateReason: found.StateReason ?? null,
      lastUpdate: found.LastUpdateStatus ?? 'unknown',
      lastUpdateReason: found.LastUpdateStatusReason ?? null,
      changedAt: found.LastModified === undefined ? null : Date.parse(found.LastModified),
      logGroup: found.LoggingConfig?.LogGroup ?? `/aws/lambda/${FunctionName}`,
      vpcId: VpcId || null,
      subnetIds: SubnetIds,
      securityGroupIds: SecurityGroupIds,
    };
  });
}

/** https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html (2026-11-26): `FunctionError` where it threw, and the error as the payload. */
async function probe(calls: AwsCalls, FunctionName: string): Promise<ProbeReport | ProbeFailure | null> {
  const request: OperatorRequest = { action: 'probe' };
  const invoked = await orNull(() =>
    calls.invoke({ FunctionName, Payload: Buffer.from(JSON.stringify(request)) }),
  );
  if (invoked === null) return null;
  const { FunctionError, Payload } = invoked;
  const answer = JSON.parse(Buffer.from(Payload ?? []).toString('utf8') || '{}');
  if (FunctionError === undefined) return answer;
  const { errorType = FunctionError, errorMessage = 'no message' } = answer;
  return { failure: reasonOf({ name: String(errorType), message: String(errorMessage) }) };
}

function mapping(found: EventSourceMappingConfiguration): MappingFacts {
  return {
    id: found.UUID ?? '',
    eventSourceArn: found.EventSourceArn ?? '',
    topics: found.Topics ?? [],
    group: found.AmazonManagedKafkaEventSourceConfig?.ConsumerGroupId ?? null,
    state: found.State ?? 'unknown',
    stateReason: found.StateTransitionReason ?? null,
    lastResult: found.LastProcessingResult || null,
    batchSize: found.BatchSize ?? null,
    windowSeconds: found.MaximumBatchingWindowInSeconds ?? null,
    minimumPollers: found.ProvisionedPollerConfig?.MinimumPollers ?? null,
    maximumPollers: found.ProvisionedPollerConfig?.MaximumPollers ?? null,
    pollerGroup: found.ProvisionedPollerConfig?.PollerGroupName ?? null,
    retries: found.MaximumRetryAttempts ?? null,
    bisects: found.BisectBatchOnFunctionError ?? false,
    reportsItems: found.FunctionResponseTypes?.includes('ReportBatchItemFailures') ?? false,
  };
}

async function alarms(calls: AwsCalls, AlarmNamePrefix: string): Promise<readonly AlarmFacts[]> {
  return pages(async (NextToken) => {
    const {
      MetricAlarms = [],
      CompositeAlarms = [],
      NextToken: next,
    } = await calls.describeAlarms({
      AlarmNamePrefix,
      // Left out, CloudWatch gives no composite ones.
      AlarmTypes: ['MetricAlarm', 'CompositeAlarm'],
      ...(NextToken && { NextToken }),
    });
    const items = [...MetricAlarms, ...CompositeAlarms].map((alarm) => ({
      name: alarm.AlarmName ?? '',
      state: alarm.StateValue ?? 'unknown',
      reason: alarm.StateReason ?? '',
      description: alarm.AlarmDescription ?? '',
      notifies: alarm.ActionsEnabled ?? false,
      actions: alarm.AlarmActions ?? [],
    }));
    return { items, next };
  });
}

/** https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html (2026-11-27): up to 500 metrics a request. */
const MOST_QUERIES = 500;
const PERIOD_S = 60;

async function metricPoints(
  calls: AwsCalls,
  queries: readonly MetricQuery[],
  sinceMs: number,
  now: number,
): Promise<readonly (readonly MetricPoint[])[]> {
  const found = queries.map(() => [] as MetricPoint[]);
  for (let from = 0; from < queries.length; from += MOST_QUERIES) {
    const MetricDataQueries = queries
      .slice(from, from + MOST_QUERIES)
      .map(({ namespace, name, dimensions, statistic }, index) => ({
        Id: `m${from + index}`,
        MetricStat: {
          Metric: {
            Namespace: namespace,
            MetricName: name,
            Dimensions: Object.entries(dimensions).map(([Name, Value]) => ({ Name, Value })),
          },
          Period: PERIOD_S,
          Stat: statistic,
        },
      }));
    const results = await pages(async (NextToken) => {
      const { MetricDataResults = [], NextToken: next } = await calls.getMetricData({
        MetricDataQueries,
        StartTime: new Date(sinceMs),
        EndTime: new Date(now),
        ScanBy: 'TimestampAscending',
        ...(NextToken && { NextToken }),
      });
      return { items: MetricDataResults, next };
    });
    // A metric's values may come in several pages.
    for (const { Id = '', Timestamps = [], Values = [] } of results) {
      const points = found[Number(Id.slice(1))];
      Timestamps.forEach((timestamp, index) => {
        points?.push({ at: timestamp.getTime(), value: Values[index]! });
      });
    }
  }
  return found;
}

async function recentErrors(
  calls: AwsCalls,
  logGroupName: string,
  startTime: number,
): Promise<readonly ErrorCount[]> {
  const counts = new Map<string, ErrorCount>();
  let nextToken: string | undefined;
  for (let page = 0; page < MAX_LOG_PAGES; page++) {
    const { events = [], nextToken: next } = await calls.filterLogEvents({
      logGroupName,
      startTime,
      filterPattern: '{ $.level = "ERROR" }',
      ...(nextToken && { nextToken }),
    });
    for (const { message = '', timestamp = startTime } of events) {
      const { code, ...said } = errorIn(message);
      const { count = 0, firstAt = timestamp, lastAt = timestamp, ...before } = counts.get(code) ?? {};
      counts.set(code, {
        ...before,
        ...said,
        code,
        count: count + 1,
        firstAt: Math.min(firstAt, timestamp),
        lastAt: Math.max(lastAt, timestamp),
      });
    }
    nextToken = next;
    if (!nextToken) break;
  }
  return [...counts.values()].toSorted((a, b) => b.count - a.count);
}

interface LoggedError {
  readonly code?: unknown;
  readonly details?: { readonly failing?: unknown };
  readonly cause?: LoggedError;
}

/** The code that PowertoolsLogger puts on an error; a line of Lambda's own has none. A batch that broken code held has the code's. */
function errorIn(message: string): Pick<ErrorCount, 'code' | 'failing'> {
  try {
    const line = JSON.parse(message) as LoggedError & { error?: LoggedError; failing?: unknown };
    const { code, failing } = line;
    if (code === 'CONSUMER_BROKEN') return { code, failing: String(failing) };
    const held = line.error?.cause;
    if (held?.code === 'CONSUMER_BROKEN') return { code: held.code, failing: String(held.details?.failing) };
    return { code: String(line.error?.code ?? code ?? 'without a code') };
  } catch {
    return { code: 'without a code' };
  }
}

function rule({
  FromPort,
  ToPort,
  IpProtocol = '',
  UserIdGroupPairs = [],
  IpRanges = [],
  Ipv6Ranges = [],
  PrefixListIds = [],
}: IpPermission): GroupRule {
  return {
    fromPort: FromPort ?? null,
    toPort: ToPort ?? null,
    protocol: IpProtocol,
    groups: UserIdGroupPairs.map(({ GroupId = '' }) => GroupId),
    ranges: [
      ...IpRanges.map(({ CidrIp = '' }) => CidrIp),
      ...Ipv6Ranges.map(({ CidrIpv6 = '' }) => CidrIpv6),
      ...PrefixListIds.map(({ PrefixListId = '' }) => PrefixListId),
    ],
  };
}

async function pages<Item>(
  read: (
    token: string | undefined,
  ) => Promise<{ readonly items: readonly Item[]; readonly next?: string | undefined }>,
): Promise<readonly Item[]> {
  const all: Item[] = [];
  let token: string | undefined;
  do {
    const { items, next } = await read(token);
    all.push(...items);
    token = next;
  } while (token);
  return all;
}

async function orNull<Value>(look: () => Promise<Value>): Promise<Value | null> {
  try {
    return await look();
  } catch (error) {
    if (MISSING.has((error as Error).name)) return null;
    throw error;
  }
}

/**
 * An account that answers as AWS's APIs do, with an environment deployed as its declarations say. Its answers have the
 * SDK's types, so that no answer has a field that a service does not give; `npm run verify -- doctor` holds them to
 * botocore's output shapes besides.
 */
import type { EventSourceMappingConfiguration } from '@aws-sdk/client-lambda';
import type { AwsCalls } from '../../../adapters/aws/aws-calls.ts';
import type { App } from '../../../runtime/app.ts';
import { consumerIn } from '../../../runtime/consumer-in-environment.ts';
import { compactDefinitionOf, GLUE_COMPATIBILITY } from '../../../runtime/contract/contract.ts';
import { MAX_REDELIVERIES, topicOfDeadLetters } from '../../../runtime/dead-letters/resources.ts';
import {
  deadLetterQueueName,
  deployedName,
  operatorFunctionName,
  pausedParameterName,
  redriveQueueName,
  registryName,
  stackParts,
} from '../../../runtime/deployment.ts';
import type { Environment } from '../../../runtime/environment.ts';
import { mappingOf } from '../../../runtime/lambda/mapping.ts';
import { withProbe } from '../../../runtime/probe/operator.ts';
import { topicSettings } from '../../../runtime/topics.ts';

const ACCOUNT = '123456789012';
const REGION = 'eu-west-1';
const arn = (service: string, rest: string) => `arn:aws:${service}:${REGION}:${ACCOUNT}:${rest}`;
const VPC = 'vpc-1';
const GROUPS = { brokers: 'sg-b', functions: 'sg-f', endpoints: 'sg-e', database: 'sg-d' };

/** An error as the SDK throws it: told apart by its name. */
export function awsError(name: string, message = `${name} says so`): Error {
  return Object.assign(new Error(message), { name });
}

/** Every call of a healthy account. A test puts other answers in the place of some. */
export function fakeAccount(
  app: Pick<App, 'contracts' | 'consumers' | 'collected'>,
  environment: Environment,
): AwsCalls {
  const { contracts, consumers, collected } = withProbe(app, environment);
  const env = environment.name;
  const stacks = stackParts({ consumers, ...(collected && { collected }) }, environment).map((part) =>
    deployedName(env, part),
  );
  const clusterArn = arn('kafka', `cluster/millrace-${env}/1f2e3d4c-5b6a-4789-8abc-def012345678-1`);
  const topics = [
    ...contracts,
    ...consumers.filter(({ deadLetter }) => deadLetter === 'kafka').map(topicOfDeadLetters),
  ];
  const alarmsIn = (stack: string) =>
    stack.includes('-consumer-')
      ? [`${stack.replace('-consumer-', '-')}-dead-letters`, `${stack.replace('-consumer-', '-')}-stalled`]
      : [];
  const queueArn = (name: string) => arn('sqs', name);

  return {
    region: async () => REGION,
    getCallerIdentity: async () => ({
      Account: ACCOUNT,
      UserId: 'AIDAEXAMPLE',
      Arn: `arn:aws:iam::${ACCOUNT}:user/operator`,
    }),
    async describeStacks({ StackName = '' }) {
      const isBootstrap = StackName === 'CDKToolkit';
      if (!isBootstrap && !stacks.includes(StackName)) {
        throw awsError('ValidationError', `Stack with id ${StackName} does not exist`);
      }
      return {
        Stacks: [
          {
            StackName,
            CreationTime: new Date(0),
            StackStatus: 'CREATE_COMPLETE',
            DriftInformation: { StackDriftStatus: 'IN_SYNC', LastCheckTimestamp: new Date(0) },
            Outputs: isBootstrap ? [{ OutputKey: 'BootstrapVersion', OutputValue: '29' }] : [],
          },
        ],
      };
    },
    listStackResources: async ({ StackName = '' }) => ({
      StackResourceSummaries: [
        ...alarmsIn(StackName).map((name) => summary('AWS::CloudWatch::Alarm', name)),
        summary('AWS::Logs::LogGroup', `${StackName}-logs`),
      ],
    }),
    listClustersV2: async () => ({ ClusterInfoList: [clusterInfo()] }),
    describeClusterV2: async () => ({ ClusterInfo: clusterInfo() }),
    async describeTopic({ TopicName = '' }) {
      const topic = topics.find(({ name }) => name === TopicName);
      if (!topic) throw awsError('NotFoundException');
      const lines = Object.entries(topicSettings(topic)).map(([name, value]) => `${name}=${value}\n`);
      return {
        TopicArn: clusterArn.replace(':cluster/', ':topic/'),
        TopicName,
        PartitionCount: topic.partitions,
        ReplicationFactor: 3,
        Configs: Buffer.from(lines.join('')).toString('base64'),
        Status: 'ACTIVE',
      };
    },
    async getSchema({ SchemaId }) {
      const contract = contracts.find(({ name }) => name === SchemaId?.SchemaName);
      if (!contract || SchemaId?.RegistryName !== registryName(env))
        throw awsError('EntityNotFoundException');
      return {
        SchemaName: contract.name,
        DataFormat: 'AVRO',
        Compatibility: GLUE_COMPATIBILITY[contract.compatibility],
        LatestSchemaVersion: contract.versions.length,
      };
    },
    async getSchemaByDefinition({ SchemaId, SchemaDefinition }) {
      const contract = contracts.find(({ name }) => name === SchemaId?.SchemaName);
      const version = contract?.versions.find((each) => compactDefinitionOf(each) === SchemaDefinition);
      if (!version) throw awsError('EntityNotFoundException');
      return {
        SchemaVersionId: '6b1f0e6c-6c0a-4b0e-8f5a-000000000001',
        DataFormat: 'AVRO',
        Status: 'AVAILABLE',
      };
    },
    checkSchemaVersionValidity: async () => ({ Valid: true }),
    getQueueUrl: async ({ QueueName }) => ({
      QueueUrl: `https://sqs.${REGION}.amazonaws.com/${ACCOUNT}/${QueueName}`,
    }),
    async getQueueAttributes({ QueueUrl = '' }) {
      const name = QueueUrl.slice(QueueUrl.lastIndexOf('/') + 1);
      const common = { QueueArn: queueArn(name), ApproximateNumberOfMessages: '0' };
      for (const consumer of consumers) {
        const deadLetters = deadLetterQueueName(env, consumer.name);
        const redrive = redriveQueueName(env, consumer.name);
        if (name === deadLetters) {
          const policy = { redrivePermission: 'byQueue', sourceQueueArns: [queueArn(redrive)] };
          return { Attributes: { ...common, RedriveAllowPolicy: JSON.stringify(policy) } };
        }
        if (name === redrive) {
          const policy = { deadLetterTargetArn: queueArn(deadLetters), maxReceiveCount: MAX_REDELIVERIES };
          return { Attributes: { ...common, RedrivePolicy: JSON.stringify(policy) } };
        }
      }
      throw awsError('QueueDoesNotExist');
    },
    getFunctionConfiguration: async ({ FunctionName = '' }) => ({
      FunctionName,
      State: 'Active',
      LastUpdateStatus: 'Successful',
      LoggingConfig: { LogFormat: 'Text', LogGroup: `${FunctionName}-logs` },
      VpcConfig: { VpcId: VPC, SubnetIds: ['subnet-1'], SecurityGroupIds: [GROUPS.functions] },
    }),
    async listEventSourceMappings({ FunctionName = '' }) {
      const declared = consumers.find(({ name }) => deployedName(env, name) === FunctionName);
      if (!declared) return { EventSourceMappings: [] };
      const { consumer, polling, isEnabled } = consumerIn(environment, declared);
      const State = isEnabled ? 'Enabled' : 'Disabled';
      const { batchSize, maximumBatchingWindowMs, provisioned } = mappingOf(consumer, polling);
      const ofTopic: EventSourceMappingConfiguration = {
        UUID: '8a1c6f0e-0000-4000-8000-000000000001',
        EventSourceArn: clusterArn,
        FunctionArn: arn('lambda', `function:${FunctionName}`),
        Topics: [consumer.topic.name],
        AmazonManagedKafkaEventSourceConfig: { ConsumerGroupId: consumer.name },
        State,
        StateTransitionReason: 'USER_INITIATED',
        LastProcessingResult: 'OK',
        BatchSize: batchSize,
        ...(maximumBatchingWindowMs !== 500 && {
          MaximumBatchingWindowInSeconds: maximumBatchingWindowMs / 1_000,
        }),
        ...(provisioned && {
          ProvisionedPollerConfig: {
            MinimumPollers: provisioned.minimumPollers,
            MaximumPollers: provisioned.maximumPollers,
            ...(provisioned.pollerGroup !== null && { PollerGroupName: provisioned.pollerGroup }),
          },
          MaximumRetryAttempts: provisioned.maximumRetryAttempts,
          BisectBatchOnFunctionError: true,
          FunctionResponseTypes: ['ReportBatchItemFailures' as const],
        }),
      };
      const ofRedrive: EventSourceMappingConfiguration = {
        UUID: '8a1c6f0e-0000-4000-8000-000000000002',
        EventSourceArn: queueArn(redriveQueueName(env, consumer.name)),
        State,
        BatchSize: 10,
      };
      return { EventSourceMappings: [ofRedrive, ofTopic] };
    },
    getAccountSettings: async () => ({
      AccountLimit: { ConcurrentExecutions: 1_000, UnreservedConcurrentExecutions: 900 },
    }),
    async invoke({ FunctionName }) {
      if (FunctionName !== operatorFunctionName(env)) throw awsError('ResourceNotFoundException');
      return { StatusCode: 200, Payload: payload(PROBED) };
    },
    updateEventSourceMapping: async ({ UUID, Enabled }) => ({
      UUID: UUID!,
      State: Enabled ? 'Enabling' : 'Disabling',
    }),
    async getParameter({ Name = '' }) {
      if (!consumers.some(({ name }) => pausedParameterName(env, name) === Name)) {
        throw awsError('ParameterNotFound');
      }
      return { Parameter: { Name, Type: 'String', Value: 'false' } };
    },
    putParameter: async () => ({ Version: 2 }),
    getMetricData: async () => ({ MetricDataResults: [] }),
    describeAlarms: async () => ({
      MetricAlarms: stacks.flatMap(alarmsIn).map((AlarmName) => ({
        AlarmName,
        AlarmDescription: `Something happened.\nFirst: npx millrace status --env ${env}\nThen: aws sqs list-queues\nRunbook: docs/runbooks/stalled.md`,
        StateValue: 'OK' as const,
        StateReason: 'Threshold not crossed',
        ActionsEnabled: environment.alarmActions,
        AlarmActions: [arn('sns', deployedName(env, 'incident'))],
      })),
      CompositeAlarms: [],
    }),
    listSubscriptionsByTopic: async ({ TopicArn = '' }) => ({
      Subscriptions: [
        { SubscriptionArn: `${TopicArn}:1`, Protocol: 'email', Endpoint: 'oncall@example.com', TopicArn },
      ],
    }),
    filterLogEvents: async () => ({ events: [] }),
    describeSecurityGroups: async ({ GroupIds = [] }) => ({
      SecurityGroups: [
        group(GROUPS.brokers, {
          in: [rule(9098, GROUPS.brokers), rule(9098, GROUPS.functions)],
          out: [rule(9098, GROUPS.brokers), rule(443, GROUPS.endpoints)],
        }),
        group(GROUPS.functions, {
          in: [],
          out: [rule(443, GROUPS.endpoints), rule(5432, GROUPS.database)],
        }),
        group(GROUPS.endpoints, { in: [rule(443, GROUPS.brokers), rule(443, GROUPS.functions)], out: [] }),
        group(GROUPS.database, { in: [rule(5432, GROUPS.functions)], out: [] }),
      ].filter(({ GroupId }) => GroupIds.includes(GroupId)),
    }),
    describeVpcEndpoints: async () => ({
      VpcEndpoints: [
        ...['lambda', 'sts', 'glue', 'sqs'].map((service) => ({
          VpcId: VPC,
          ServiceName: `com.amazonaws.${REGION}.${service}`,
          VpcEndpointType: 'Interface' as const,
          State: 'Available' as const,
          Groups: [{ GroupId: GROUPS.endpoints, GroupName: 'endpoints' }],
        })),
        {
          VpcId: VPC,
          ServiceName: `com.amazonaws.${REGION}.s3`,
          VpcEndpointType: 'Gateway',
          State: 'Available',
        },
      ],
    }),
    describeAvailabilityZones: async () => ({
      AvailabilityZones: ['c', 'a', 'b'].map((letter, index) => ({
        ZoneName: `${REGION}${letter}`,
        ZoneId: `euw1-az${index + 1}`,
        State: 'available' as const,
      })),
    }),
    getRole: async ({ RoleName }) => ({
      Role: {
        Path: '/aws-service-role/',
        RoleName: RoleName!,
        RoleId: 'AROAEXAMPLEEXAMPLE1',
        Arn: `arn:aws:iam::${ACCOUNT}:role/aws-service-role/${RoleName}`,
        CreateDate: new Date(0),
      },
    }),
  };

  function clusterInfo() {
    return {
      ClusterArn: clusterArn,
      ClusterName: `millrace-${env}`,
      ClusterType: 'PROVISIONED' as const,
      State: 'ACTIVE' as const,
      Provisioned: {
        BrokerNodeGroupInfo: {
          ClientSubnets: ['subnet-2'],
          InstanceType: 'express.m7g.large',
          SecurityGroups: [GROUPS.brokers],
        },
        NumberOfBrokerNodes: 3,
        ClientAuthentication: { Sasl: { Iam: { Enabled: true } } },
      },
    };
  }
}

/** What the operator function answers. */
const PROBED = {
  probeId: '0b0c2f6e-6c0a-4b0e-8f5a-000000000001',
  topic: 'millrace.probe',
  partition: 0,
  offset: 7,
  publishedMs: 120,
  settledMs: 900,
  appliedMs: 900,
};

/** As the SDK gives what a function answers. */
export function payload(answer: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(answer));
}

function summary(ResourceType: string, PhysicalResourceId: string) {
  return {
    LogicalResourceId: PhysicalResourceId.replaceAll(/[^A-Za-z0-9]/g, ''),
    PhysicalResourceId,
    ResourceType,
    LastUpdatedTimestamp: new Date(0),
    ResourceStatus: 'CREATE_COMPLETE' as const,
  };
}

function rule(port: number, other: string) {
  return {
    IpProtocol: 'tcp',
    FromPort: port,
    ToPort: port,
    UserIdGroupPairs: [{ GroupId: other }],
    IpRanges: [],
  };
}

function group(
  GroupId: string,
  { in: IpPermissions, out }: Readonly<Record<'in' | 'out', ReturnType<typeof rule>[]>>,
) {
  return { GroupId, VpcId: VPC, IpPermissions, IpPermissionsEgress: out };
}

/**
 * The calls of AWS that commands make about a whole environment, reading all but those that pause a consumer, and `invoke`.
 * Each service's client loads when the first of its calls is made.
 * Types are the SDK's, generated from the same models as every other SDK: a fake that answers with them cannot
 * answer what a service has no field for.
 */
import type {
  DescribeStacksInput,
  DescribeStacksOutput,
  ListStackResourcesInput,
  ListStackResourcesOutput,
} from '@aws-sdk/client-cloudformation';
import type {
  DescribeAlarmsInput,
  DescribeAlarmsOutput,
  GetMetricDataInput,
  GetMetricDataOutput,
} from '@aws-sdk/client-cloudwatch';
import type { FilterLogEventsRequest, FilterLogEventsResponse } from '@aws-sdk/client-cloudwatch-logs';
import type {
  DescribeAvailabilityZonesRequest,
  DescribeAvailabilityZonesResult,
  DescribeSecurityGroupsRequest,
  DescribeSecurityGroupsResult,
  DescribeVpcEndpointsRequest,
  DescribeVpcEndpointsResult,
} from '@aws-sdk/client-ec2';
import type {
  CheckSchemaVersionValidityInput,
  CheckSchemaVersionValidityResponse,
  GetSchemaByDefinitionInput,
  GetSchemaByDefinitionResponse,
  GetSchemaInput,
  GetSchemaResponse,
} from '@aws-sdk/client-glue';
import type { GetRoleRequest, GetRoleResponse } from '@aws-sdk/client-iam';
import type {
  DescribeClusterV2Request,
  DescribeClusterV2Response,
  DescribeTopicRequest,
  DescribeTopicResponse,
  ListClustersV2Request,
  ListClustersV2Response,
} from '@aws-sdk/client-kafka';
import type {
  EventSourceMappingConfiguration,
  FunctionConfiguration,
  GetAccountSettingsRequest,
  GetAccountSettingsResponse,
  GetFunctionConfigurationRequest,
  InvokeCommandInput,
  InvokeCommandOutput,
  ListEventSourceMappingsRequest,
  ListEventSourceMappingsResponse,
  UpdateEventSourceMappingRequest,
} from '@aws-sdk/client-lambda';
import type { ListSubscriptionsByTopicInput, ListSubscriptionsByTopicResponse } from '@aws-sdk/client-sns';
import type {
  GetQueueAttributesRequest,
  GetQueueAttributesResult,
  GetQueueUrlRequest,
  GetQueueUrlResult,
} from '@aws-sdk/client-sqs';
import type {
  GetParameterCommandOutput,
  GetParameterRequest,
  PutParameterRequest,
  PutParameterResult,
} from '@aws-sdk/client-ssm';
import type { GetCallerIdentityRequest, GetCallerIdentityResponse } from '@aws-sdk/client-sts';
import { requestTimeouts } from './request-timeouts.ts';
import { once } from './services.ts';

/** By operation; every name is one of one service only. */
export interface AwsCalls {
  /** Where the calls go. */
  region(): Promise<string>;
  getCallerIdentity(input: GetCallerIdentityRequest): Promise<GetCallerIdentityResponse>;
  describeStacks(input: DescribeStacksInput): Promise<DescribeStacksOutput>;
  listStackResources(input: ListStackResourcesInput): Promise<ListStackResourcesOutput>;
  listClustersV2(input: ListClustersV2Request): Promise<ListClustersV2Response>;
  describeClusterV2(input: DescribeClusterV2Request): Promise<DescribeClusterV2Response>;
  describeTopic(input: DescribeTopicRequest): Promise<DescribeTopicResponse>;
  getSchema(input: GetSchemaInput): Promise<GetSchemaResponse>;
  getSchemaByDefinition(input: GetSchemaByDefinitionInput): Promise<GetSchemaByDefinitionResponse>;
  checkSchemaVersionValidity(
    input: CheckSchemaVersionValidityInput,
  ): Promise<CheckSchemaVersionValidityResponse>;
  getQueueUrl(input: GetQueueUrlRequest): Promise<GetQueueUrlResult>;
  getQueueAttributes(input: GetQueueAttributesRequest): Promise<GetQueueAttributesResult>;
  getFunctionConfiguration(input: GetFunctionConfigurationRequest): Promise<FunctionConfiguration>;
  listEventSourceMappings(input: ListEventSourceMappingsRequest): Promise<ListEventSourceMappingsResponse>;
  updateEventSourceMapping(input: UpdateEventSourceMappingRequest): Promise<EventSourceMappingConfiguration>;
  getAccountSettings(input: GetAccountSettingsRequest): Promise<GetAccountSettingsResponse>;
  /**
   * Asks a function for something: the operator or the migrations function, with the SDK's retries; or, with a timeout of its
   * own, one that is not to run a second time beside the first, and so once only.
   */
  invoke(
    input: InvokeCommandInput,
    once?: { readonly timeoutMs: number },
  ): Promise<
    Pick<InvokeCommandOutput, 'StatusCode' | 'FunctionError'> & { Payload?: Uint8Array | undefined }
  >;
  describeAlarms(input: DescribeAlarmsInput): Promise<DescribeAlarmsOutput>;
  getMetricData(input: GetMetricDataInput): Promise<GetMetricDataOutput>;
  getParameter(input: GetParameterRequest): Promise<Pick<GetParameterCommandOutput, 'Parameter'>>;
  putParameter(input: PutParameterRequest): Promise<PutParameterResult>;
  listSubscriptionsByTopic(input: ListSubscriptionsByTopicInput): Promise<ListSubscriptionsByTopicResponse>;
  filterLogEvents(input: FilterLogEventsRequest): Promise<FilterLogEventsResponse>;
  describeSecurityGroups(input: DescribeSecurityGroupsRequest): Promise<DescribeSecurityGroupsResult>;
  describeVpcEndpoints(input: DescribeVpcEndpointsRequest): Promise<DescribeVpcEndpointsResult>;
  describeAvailabilityZones(
    input: DescribeAvailabilityZonesRequest,
  ): Promise<DescribeAvailabilityZonesResult>;
  getRole(input: GetRoleRequest): Promise<GetRoleResponse>;
}

/** A person waits: a service that does not answer must not hold up the others for long. */
const TIMEOUTS = requestTimeouts(10_000);

/** The operator function has five minutes. */
const OPERATOR_TIMEOUT_MS = 310_000;
/** Any function has ended by then. */
const LONGEST_MS = 910_000;

/**
 * The calls on an account. Credentials, region and endpoints are the SDK's: environment variables, profiles,
 * AWS_ENDPOINT_URL.
 */
export function awsCalls(): AwsCalls {
  const cloudFormation = once(
    async () => new (await import('@aws-sdk/client-cloudformation')).CloudFormation(TIMEOUTS),
  );
  const cloudWatch = once(async () => new (await import('@aws-sdk/client-cloudwatch')).CloudWatch(TIMEOUTS));
  const logs = once(
    async () => new (await import('@aws-sdk/client-cloudwatch-logs')).CloudWatchLogs(TIMEOUTS),
  );
  const ec2 = once(async () => new (await import('@aws-sdk/client-ec2')).EC2(TIMEOUTS));
  const glue = once(async () => new (await import('@aws-sdk/client-glue')).Glue(TIMEOUTS));
  const iam = once(async () => new (await import('@aws-sdk/client-iam')).IAM(TIMEOUTS));
  const kafka = once(async () => new (await import('@aws-sdk/client-kafka')).Kafka(TIMEOUTS));
  const lambda = once(async () => new (await import('@aws-sdk/client-lambda')).Lambda(TIMEOUTS));
  const operator = once(
    async () => new (await import('@aws-sdk/client-lambda')).Lambda(requestTimeouts(OPERATOR_TIMEOUT_MS)),
  );
  const invoker = once(
    async () =>
      new (await import('@aws-sdk/client-lambda')).Lambda({ ...requestTimeouts(LONGEST_MS), maxAttempts: 1 }),
  );
  const sns = once(async () => new (await import('@aws-sdk/client-sns')).SNS(TIMEOUTS));
  const ssm = once(async () => new (await import('@aws-sdk/client-ssm')).SSM(TIMEOUTS));
  const sts = once(async () => new (await import('@aws-sdk/client-sts')).STS(TIMEOUTS));
  const sqs = once(
    // A custom endpoint is meant, whatever host the queue calls itself.
    async () => new (await import('@aws-sdk/client-sqs')).SQS({ ...TIMEOUTS, useQueueUrlAsEndpoint: false }),
  );
  return {
    region: async () => (await sts()).config.region(),
    getCallerIdentity: async (input) => (await sts()).getCallerIdentity(input),
    describeStacks: async (input) => (await cloudFormation()).describeStacks(input),
    listStackResources: async (input) => (await cloudFormation()).listStackResources(input),
    listClustersV2: async (input) => (await kafka()).listClustersV2(input),
    describeClusterV2: async (input) => (await kafka()).describeClusterV2(input),
    describeTopic: async (input) => (await kafka()).describeTopic(input),
    getSchema: async (input) => (await glue()).getSchema(input),
    getSchemaByDefinition: async (input) => (await glue()).getSchemaByDefinition(input),
    checkSchemaVersionValidity: async (input) => (await glue()).checkSchemaVersionValidity(input),
    getQueueUrl: async (input) => (await sqs()).getQueueUrl(input),
    getQueueAttributes: async (input) => (await sqs()).getQueueAttributes(input),
    getFunctionConfiguration: async (input) => (await lambda()).getFunctionConfiguration(input),
    listEventSourceMappings: async (input) => (await lambda()).listEventSourceMappings(input),
    updateEventSourceMapping: async (input) => (await lambda()).updateEventSourceMapping(input),
    getAccountSettings: async (input) => (await lambda()).getAccountSettings(input),
    invoke: async (input, single) =>
      single === undefined
        ? (await operator()).invoke(input)
        : (await invoker()).invoke(input, { requestTimeout: single.timeoutMs }),
    describeAlarms: async (input) => (await cloudWatch()).describeAlarms(input),
    getMetricData: async (input) => (await cloudWatch()).getMetricData(input),
    getParameter: async (input) => (await ssm()).getParameter(input),
    putParameter: async (input) => (await ssm()).putParameter(input),
    listSubscriptionsByTopic: async (input) => (await sns()).listSubscriptionsByTopic(input),
    filterLogEvents: async (input) => (await logs()).filterLogEvents(input),
    describeSecurityGroups: async (input) => (await ec2()).describeSecurityGroups(input),
    describeVpcEndpoints: async (input) => (await ec2()).describeVpcEndpoints(input),
    describeAvailabilityZones: async (input) => (await ec2()).describeAvailabilityZones(input),
    getRole: async (input) => (await iam()).getRole(input),
  };
}

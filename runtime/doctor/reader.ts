/** What `millrace doctor` asks about a deployed environment. Every answer is null where the thing does not exist. */
import type { CapturedTable } from '../capture/table.ts';
import type { Contract, ContractVersion } from '../contract/contract.ts';
import type { AnyConsumer } from '../delivery/consumer.ts';
import type { ProbeFailure, ProbeReport } from '../probe/probe.ts';

/** What an app declares, as far as a deployed environment follows from it. */
export interface Declared {
  readonly contracts: readonly Contract<never>[];
  readonly consumers: readonly AnyConsumer[];
  readonly tables?: readonly CapturedTable[];
  readonly collected?: readonly Contract<never>[];
}

export interface StackFacts {
  readonly status: string;
  readonly reason: string | null;
  /** Whether CloudFormation refuses to delete it. */
  readonly isProtected: boolean;
  /** What the last look for drift found; nobody may have looked yet. */
  readonly drift: string | null;
  readonly driftCheckedAt: string | null;
  readonly outputs: Readonly<Record<string, string>>;
}

export interface ClusterFacts {
  readonly arn: string;
  readonly state: string;
  /** Null where the cluster is serverless, which takes IAM only. */
  readonly takesIam: boolean | null;
  readonly subnetIds: readonly string[];
  readonly securityGroupIds: readonly string[];
}

export interface TopicFacts {
  readonly status: string;
  readonly partitions: number | null;
  readonly settings: Readonly<Record<string, string>>;
}

export interface SchemaFacts {
  readonly compatibility: string;
  /** Of each version of the contract, in order; null where Glue does not know it. */
  readonly statuses: readonly (string | null)[];
}

export interface QueueFacts {
  readonly url: string;
  readonly arn: string;
  readonly messages: number;
  readonly deadLetterTargetArn: string | null;
  readonly maxReceiveCount: number | null;
  /** ARNs of the queues that may name this one as theirs; null where any may, as SQS has it unless told. */
  readonly allowedSources: readonly string[] | null;
}

export interface FunctionFacts {
  readonly state: string;
  readonly stateReason: string | null;
  readonly lastUpdate: string;
  readonly lastUpdateReason: string | null;
  /** When its code or its settings last changed, in epoch milliseconds; null where Lambda does not say. */
  readonly changedAt: number | null;
  readonly logGroup: string;
  readonly vpcId: string | null;
  readonly subnetIds: readonly string[];
  readonly securityGroupIds: readonly string[];
}

export interface MappingFacts {
  readonly id: string;
  readonly eventSourceArn: string;
  readonly topics: readonly string[];
  readonly group: string | null;
  readonly state: string;
  readonly stateReason: string | null;
  readonly lastResult: string | null;
  readonly batchSize: number | null;
  readonly windowSeconds: number | null;
  readonly minimumPollers: number | null;
  readonly maximumPollers: number | null;
  readonly pollerGroup: string | null;
  readonly retries: number | null;
  readonly bisects: boolean;
  readonly reportsItems: boolean;
}

export interface AlarmFacts {
  readonly name: string;
  readonly state: string;
  readonly reason: string;
  readonly description: string;
  readonly notifies: boolean;
  readonly actions: readonly string[];
}

export interface ErrorCount {
  readonly code: string;
  readonly count: number;
  /** Of the first and the last of them, in epoch milliseconds. */
  readonly firstAt: number;
  readonly lastAt: number;
  /** For CONSUMER_BROKEN: where the code fails, in words. */
  readonly failing?: string;
}

/** A metric of CloudWatch, and how its samples are added up in each period. */
export interface MetricQuery {
  readonly namespace: string;
  readonly name: string;
  readonly dimensions: Readonly<Record<string, string>>;
  readonly statistic: 'Maximum' | 'Sum';
}

/** A period's value; a period without any is missing. */
export interface MetricPoint {
  /** When the period began, in epoch milliseconds. */
  readonly at: number;
  readonly value: number;
}

export interface ParameterFacts {
  readonly value: string;
  /** In epoch milliseconds. */
  readonly changedAt: number | null;
}

export interface GroupRule {
  readonly fromPort: number | null;
  readonly toPort: number | null;
  readonly protocol: string;
  readonly groups: readonly string[];
  /** CIDR blocks of both kinds, and ids of prefix lists. */
  readonly ranges: readonly string[];
}

export interface SecurityGroupFacts {
  readonly id: string;
  readonly ingress: readonly GroupRule[];
  readonly egress: readonly GroupRule[];
}

export interface EndpointFacts {
  /** `com.amazonaws.eu-west-1.sqs` */
  readonly service: string;
  readonly type: string;
  readonly state: string;
  readonly securityGroupIds: readonly string[];
}

export interface LimitFacts {
  readonly concurrency: number;
  readonly unreserved: number;
}

export interface ZoneFacts {
  readonly name: string;
  readonly id: string;
}

export interface DeploymentReader {
  stack(name: string): Promise<StackFacts | null>;
  /** The names of the alarms that a stack has made. */
  alarmsOf(stack: string): Promise<readonly string[]>;
  /** By its ARN, or by its name. */
  cluster(of: { readonly arn: string } | { readonly name: string }): Promise<ClusterFacts | null>;
  topic(clusterArn: string, name: string): Promise<TopicFacts | null>;
  schema(registry: string, name: string, versions: readonly ContractVersion[]): Promise<SchemaFacts | null>;
  queue(name: string): Promise<QueueFacts | null>;
  function(name: string): Promise<FunctionFacts | null>;
  mappings(functionName: string): Promise<readonly MappingFacts[]>;
  /** What a parameter of SSM holds. */
  parameter(name: string): Promise<ParameterFacts | null>;
  /** Each by the minute from `sinceMs` on, oldest first, in the order of the queries. */
  metrics(queries: readonly MetricQuery[], sinceMs: number): Promise<readonly (readonly MetricPoint[])[]>;
  alarms(prefix: string): Promise<readonly AlarmFacts[]>;
  /** How many subscriptions of a topic are confirmed, and how many wait for it. */
  subscriptions(topicArn: string): Promise<{ readonly confirmed: number; readonly pending: number } | null>;
  /** Errors that a function has logged in the last hour, the most frequent first. */
  recentErrors(logGroup: string): Promise<readonly ErrorCount[] | null>;
  securityGroups(ids: readonly string[]): Promise<readonly SecurityGroupFacts[]>;
  endpoints(vpcId: string): Promise<readonly EndpointFacts[]>;
  limits(): Promise<LimitFacts>;
  role(name: string): Promise<{ readonly arn: string } | null>;
  zones(): Promise<readonly ZoneFacts[]>;
  /** Has the operator function send a record on its way, and follow it; null where there is no such function. Rejects where it cannot be invoked. */
  probe(functionName: string): Promise<ProbeReport | ProbeFailure | null>;
  /** Whether Glue parses a version; null where it does, else what it says. */
  schemaFault(version: ContractVersion): Promise<string | null>;
}

/** What constructs need of an environment. Its stacks provide it; no construct knows a stack. */
import { Duration } from 'aws-cdk-lib';
import type { IVpc, SecurityGroup, SubnetSelection } from 'aws-cdk-lib/aws-ec2';
import type { IGrantable } from 'aws-cdk-lib/aws-iam';
import type { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { Bucket } from 'aws-cdk-lib/aws-s3';
import type { ITopic } from 'aws-cdk-lib/aws-sns';
import type { IQueue } from 'aws-cdk-lib/aws-sqs';
import type { Construct } from 'constructs';
import type { Contract } from '../../runtime/contract/contract.ts';
import { LETTER_RETENTION_MS } from '../../runtime/dead-letters/resources.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import type { Environment, SubnetGroup } from '../../runtime/environment.ts';
import type { Cluster } from './cluster.ts';

/** `incident`: somebody gets up for it. `warning`: somebody looks at it the same day. */
export type Severity = 'warning' | 'incident';

export interface Operations {
  readonly target: Pick<Environment, 'name' | 'alarmActions'>;
  /** Each hears of every alarm of its severity. */
  readonly topics: Readonly<Record<Severity, readonly ITopic[]>>;
  /** The name of something in this environment, the same in every deployment: `millrace-<environment>-<part>`. */
  nameOf(part: string): string;
  /** A log group in the scope's stack: encrypted, and kept as long as the environment keeps logs. */
  addLogGroup(scope: Construct, id: string, logGroupName?: string): LogGroup;
  /** The name of the parameter that says whether an operator has paused the consumer; there before the consumer's stack. */
  pauseOf(consumer: string): string;
}

export interface Network {
  readonly vpc: IVpc;
  /** Of consumer functions. */
  readonly functions: SecurityGroup;
  /** Of functions that connect to the database behind its proxy, beside the other. @default none */
  readonly behindProxy?: SecurityGroup;
  /** The private subnets of brokers, functions or databases, in every zone. */
  subnets(group: SubnetGroup): SubnetSelection;
}

export interface Contracts {
  readonly registryName: string;
  /** The ids of a topic's newest versions, as a function's setting. */
  versionIds(contract: Contract<never>): string;
  /** For a consumer whose dead letters are in Kafka. */
  addDeadLetterTopic(consumer: AnyConsumer): void;
}

export interface Database {
  readonly databaseName: string;
  /** Where consumers connect: the proxy, where the environment has one. */
  readonly host: string;
  /** Lets a function log in as a consumer's user, where consumers connect. */
  grantConnect(grantee: IGrantable, user: string): void;
}

export interface Archive {
  readonly bucketName: string;
  /** Lets a function write the objects of its own topic. @returns the wildcards in its rights */
  grantWrite(grantee: IGrantable, consumer: AnyConsumer): readonly string[];
}

/** SQS's longest: a fortnight to look at what failed. */
export const LETTER_RETENTION = Duration.millis(LETTER_RETENTION_MS);

export type QueueNames = Pick<IQueue, 'queueName' | 'queueArn' | 'queueUrl'>;

/** Where one consumer's failures stay until somebody has dealt with them. */
export interface DeadLetterResources {
  /** Records that the consumer gave up on. */
  readonly deadLetters: QueueNames;
  /** Records on their way back to it. The dead-letter queue is this one's, so that the SQS console moves them here. */
  readonly redrive: QueueNames;
  /** Batches that Lambda gave up on, bytes of large letters, results of redrives, the audit log. */
  readonly bucket: Bucket;
}

export interface DeadLetters {
  addConsumer(consumer: AnyConsumer): DeadLetterResources;
  grantPut(grantee: IGrantable, resources: DeadLetterResources): void;
  grantRedrive(grantee: IGrantable, resources: DeadLetterResources): void;
  grantGiveUp(grantee: IGrantable, resources: DeadLetterResources): void;
}

/** What a consumer is built upon. */
export interface ConsumerSurroundings {
  readonly network: Network;
  readonly operations: Operations;
  readonly cluster: Cluster;
  readonly contracts: Contracts;
  readonly database: Database;
  readonly deadLetters: DeadLetters;
  /** Where one of the app's consumers is an archive. */
  readonly archive: Archive | undefined;
}

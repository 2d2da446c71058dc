/** What the stacks call things, for whoever looks for them at run time. */
import type { App } from './app.ts';
import { isArchive } from './archive/archive.ts';
import type { CapturedDatabase } from './capture/database.ts';
import { databasesOf } from './capture/table.ts';
import type { KnownVersion } from './contract/known-versions.ts';
import type { Environment } from './environment.ts';
import { generationName } from './replay/generation.ts';

/**
 * What an environment's stacks call what it has one of, and others have to find: its cluster, its database, its poller group,
 * its dashboard. The stacks use these names, and so does who looks for the things.
 */
export function environmentName(env: string): string {
  return `millrace-${env}`;
}

/** What they call a part of it. */
export function deployedName(env: string, part: string): string {
  return `${environmentName(env)}-${part}`;
}

/** Where the parts listen, IAM's listener of the brokers: https://docs.aws.amazon.com/msk/latest/developerguide/port-info.html (2026-11-27) */
export const PORTS = { brokers: 9098, database: 5432 } as const;

export function deadLetterQueueName(env: string, consumer: string): string {
  return deployedName(env, `${consumer}-dead-letters`);
}

export function redriveQueueName(env: string, consumer: string): string {
  return deployedName(env, `${consumer}-redrive`);
}

/** Whether an environment has the operator function. */
export function hasOperator({
  operator = true,
  probe = false,
}: Pick<Environment, 'operator' | 'probe'>): boolean {
  return operator || probe;
}

export function operatorFunctionName(env: string): string {
  return deployedName(env, 'operator');
}

/** What the function of a deployed page is called, behind the name of its environment. */
export const PAGE_PART = 'collector-page';

export function registryName(env: string): string {
  return environmentName(env);
}

/** What the stack of a captured database is called. */
export function capturePart({ name }: Pick<CapturedDatabase, 'name'>): string {
  return `capture-${name.replaceAll('_', '-')}`;
}

/** What its connector is called, and what its offsets go by. A new epoch has another one. */
export function connectorName(env: string, { connector }: Pick<CapturedDatabase, 'connector'>): string {
  return deployedName(env, connector);
}

/**
 * The stacks of an environment with this app, as `appIn` gives it, in the order in which they deploy; `deployedName` gives
 * each its name. A test compares them with the CDK's.
 */
export function stackParts(
  { consumers, collected = [], tables = [] }: Pick<App, 'consumers' | 'collected' | 'tables'>,
  environment: Pick<Environment, 'brokers' | 'collector' | 'consumers' | 'operator' | 'probe' | 'warehouse'>,
): readonly string[] {
  const later = new Set(
    Object.entries(environment.consumers ?? {}).flatMap(([name, { generations = [] }]) =>
      generations.filter((number) => number > 1).map((number) => generationName(name, number)),
    ),
  );
  const { brokers, collector, warehouse } = environment;
  return [
    'operations',
    'network',
    ...(brokers.type === 'existing' ? [] : ['cluster']),
    'contracts',
    'database',
    'dead-letters',
    ...(consumers.some(isArchive) ? ['archive'] : []),
    'migrations',
    ...databasesOf(tables).map(capturePart),
    ...consumers.flatMap(({ name }) => [
      ...(later.has(name) ? [generationPart(name)] : []),
      `consumer-${name}`,
    ]),
    ...(warehouse && consumers.some(isArchive) ? ['warehouse'] : []),
    ...(hasOperator(environment) ? ['operator'] : []),
    ...(collector && collected.length > 0 ? ['collector'] : []),
    'health',
  ];
}

/** On a dead-letter queue: the name of its consumer's bucket, which CloudFormation makes up. */
export const BUCKET_TAG = 'millrace:bucket';

/** What the stack of a later generation's queues is called: it goes when the generation does. */
export function generationPart(name: string): string {
  return `dead-letters-${name}`;
}

/** What a function's stack tells it, by environment variable: the stack writes these, the function reads them. */
export const SETTINGS = {
  /** The environment's name: a dimension of every metric, because an account may have several. */
  environment: 'MILLRACE_ENVIRONMENT',
  databaseHost: 'MILLRACE_DATABASE_HOST',
  databaseName: 'MILLRACE_DATABASE_NAME',
  databaseUser: 'MILLRACE_DATABASE_USER',
  /** `true` where the database pauses when nobody is connected, else `false`; for the migrations. */
  databasePauses: 'MILLRACE_DATABASE_PAUSES',
  /** Of the Kafka cluster, each `host:port`, with a comma between two; where the function writes to topics. */
  brokers: 'MILLRACE_BROKERS',
  deadLetterQueueUrl: 'MILLRACE_DEAD_LETTER_QUEUE_URL',
  /** Of the bucket for the bytes of large dead letters, and for what becomes of redrives. */
  bucketName: 'MILLRACE_BUCKET_NAME',
  registryName: 'MILLRACE_REGISTRY_NAME',
  /** Which generation of its consumer the function fills; left out for the first. */
  generation: 'MILLRACE_GENERATION',
  /** What tells the code of a consumer's function from that of other deployments (adapters/files/code-fingerprint.ts). */
  code: 'MILLRACE_CODE',
  /** The name of the consumer that the function is; for archives, whose functions have one entry. */
  consumer: 'MILLRACE_CONSUMER',
  archiveBucketName: 'MILLRACE_ARCHIVE_BUCKET_NAME',
  /**
   * The ids of versions that were registered when the function was deployed, as writeVersion() writes them, with a comma
   * between two. What is before a semicolon tells CloudFormation of a change, and nothing to the function.
   */
  schemaIds: 'MILLRACE_SCHEMA_IDS',
  /** `true` where the event source mapping reads partial batch responses, else `false`. */
  partialResponses: 'MILLRACE_PARTIAL_RESPONSES',
  /** Origins of the pages that may send events to the collector, as a JSON array. */
  allowedOrigins: 'MILLRACE_ALLOWED_ORIGINS',
  /** `true` where the migrations make the probe's table as well. */
  probe: 'MILLRACE_PROBE',
  /** For the migrations: the consumer whose tables a deployed page shows. @default no page is deployed */
  pageConsumer: 'MILLRACE_PAGE_CONSUMER',
  /** Lambda's own. */
  region: 'AWS_REGION',
  /** Lambda's own: where the function's code is. */
  codeFolder: 'LAMBDA_TASK_ROOT',
} as const;

/** A version and its id in `SETTINGS.schemaIds`. No topic has a slash in its name. */
export function writeVersion({ topic, version, id }: KnownVersion): string {
  return `${topic}/${version}=${id}`;
}

/** @returns undefined for what writeVersion() never wrote */
export function readVersion(text: string): KnownVersion | undefined {
  const [, topic, version, id] = /^([\w.-]+)\/(\d+)=([\da-f-]{36})$/.exec(text) ?? [];
  return topic === undefined ? undefined : { topic, version: Number(version), id: id! };
}

/** Where an environment's stacks leave the ids of a topic's versions for its consumers: a parameter of SSM. */
export function versionsParameterName(env: string, topic: string): string {
  return `/millrace/${env}/schemas/${topic}`;
}

/** The same for the collector: the newest version of each topic that it takes events for. */
export function collectedVersionsParameterName(env: string): string {
  return `/millrace/${env}/collected-schemas`;
}

/**
 * Whether an operator has paused a consumer, `true` or `false`: a parameter of SSM. A deployment makes it once and follows
 * it, so that none resumes what a person has paused.
 */
export function pausedParameterName(env: string, consumer: string): string {
  return `/millrace/${env}/consumers/${consumer}/paused`;
}

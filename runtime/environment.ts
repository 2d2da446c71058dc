import { type ArchiveStorage, checkArchiveStorage } from './archive/environment.ts';
import { type CaptureSettings, checkCapture } from './capture/environment.ts';
import { type AddressRange, defaultCidr, isPrivate, overlap, parseCidr } from './cidr.ts';
import { MillraceError } from './errors.ts';
import { checkWarehouse, type WarehouseSettings } from './warehouse/environment.ts';

/** What differs between environments, and nothing else: one look shows what production has that dev has not. */
export interface EnvironmentSettings {
  readonly network: NewNetwork | ExistingNetwork;
  /**
   * `standard`: brokers with disks of their own, whose replication we set. `express`: MSK manages disks and
   * replication. A cluster cannot change from one to the other. `existing`: a cluster that somebody else runs, with
   * IAM access control, in the existing network; the pollers use its subnets and security groups. Functions and
   * producers are let into `securityGroupId`, which is one of the cluster's.
   */
  readonly brokers:
    | { readonly type: 'standard'; readonly instanceType: string; readonly storageGiB: number }
    | { readonly type: 'express'; readonly instanceType: string }
    | { readonly type: 'existing'; readonly clusterArn: string; readonly securityGroupId: string };
  /**
   * MSK's level of broker metrics. `PER_BROKER` is billed. It adds the alarms `broker-connections`, and `under-min-isr`
   * for standard or `broker-throttled` for Express brokers.
   */
  readonly monitoring: 'DEFAULT' | 'PER_BROKER';
  /**
   * `on-demand`: pollers that Lambda shares out for nothing, and that take a failed batch again as a whole; how often
   * they do was not checked (docs/deploy.md). `provisioned`: pollers of one's own, billed by the hour, with limits of
   * retries and age, bisecting, partial batch responses and metrics. The numbers are for each consumer.
   */
  readonly polling: { readonly mode: 'on-demand' } | ProvisionedPolling;
  /** By a consumer's name: what is different from its declaration, in this environment. @default nothing */
  readonly consumers?: Readonly<Record<string, ConsumerOverrides>>;
  /**
   * Topics of the app that the cluster has already, made by somebody else. Consumers and the collector use them; no
   * stack creates or changes them. Partitions and settings are their owner's: docs/deploy.md.
   * @default none: the contracts stack creates each topic
   */
  readonly existingTopics?: readonly string[];
  /** Who else may reach the brokers, with IAM on port 9098: your producers. @default nobody */
  readonly producers?: ProducerAccess;
  readonly database: {
    /** Aurora capacity units, in halves. 0 pauses the database after five minutes without a connection. */
    readonly minCapacity: number;
    readonly maxCapacity: number;
    /** Instances beside the writer, in other zones, one of which takes over when it fails. */
    readonly standbys: number;
    /** RDS Proxy in front: shares connections among functions, rides out a failover. Its connections forbid a pause. */
    readonly proxy: boolean;
    readonly backupDays: number;
  };
  /** What takes events by HTTP from whoever is on the internet. @default there is none */
  readonly collector?: CollectorSettings;
  /**
   * Deploys the operator function: it looks at every consumer's progress once a minute, for `millrace status` and for alarms, and
   * reads ledgers and topics for operators. Without it, CloudWatch knows neither age nor headroom, and `audit`, `find` and
   * `replay --gaps` do not work for this environment. @default true, because it costs some dollars a month
   */
  readonly operator?: boolean;
  /**
   * Deploys a topic, a consumer and a table of Millrace's own, and has the operator function send a record through them
   * for `millrace doctor --env NAME --probe`. They cost what a small consumer costs. @default false
   */
  readonly probe?: boolean;
  /** The databases whose tables are captured. @default none, and no topics of tables either */
  readonly capture?: CaptureSettings;
  /** How the archive keeps its objects. */
  readonly archive?: ArchiveStorage;
  /** What loads the archive into a warehouse. @default nothing of this environment does */
  readonly warehouse?: WarehouseSettings;
  /** Whether alarms notify anybody; they change their state all the same. */
  readonly alarmActions: boolean;
  /**
   * Who hears of alarms, by severity: e-mail addresses, each of which confirms its subscription, and ARNs of SNS topics
   * in the same region. @default whoever subscribes to the topics of `millrace-<env>-operations`
   */
  readonly notifications?: Readonly<Partial<Record<'warning' | 'incident', readonly string[]>>>;
  /** Keeps what holds data when its stack is deleted, and protects it from deletion: cluster, topics, schemas, database, dead letters, keys. */
  readonly retainsData: boolean;
  readonly logRetentionDays: 7 | 30 | 365;
}

export interface ProvisionedPolling {
  readonly mode: 'provisioned';
  readonly minimumPollers: number;
  readonly maximumPollers: number;
  /**
   * The poller group of the consumers, whose mappings share event poller units. `null`: none, and each consumer pays for
   * units of its own. @default `millrace-<env>`, because a consumer with little traffic needs a fraction of a unit
   */
  readonly group?: string | null;
}

/** What one environment changes about a consumer. Each field replaces the declaration's, or the environment's. */
export interface ConsumerOverrides {
  /**
   * `false` turns the consumer off: nothing invokes its function, and no alarm asks why. Its function, queues, tables
   * and place in the topic stay. Records wait in the topic until its retention deletes them. @default true
   */
  readonly enabled?: boolean;
  /** With provisioned polling only. */
  readonly polling?: Partial<Omit<ProvisionedPolling, 'mode'>>;
  readonly memoryMb?: number;
  readonly reservedConcurrency?: number;
  readonly lag?: { readonly warning?: number; readonly incident?: number };
  /**
   * The generations of its tables that run, the one that readers see first: `[2, 1]` after generation 2 was promoted, until
   * the first is dropped, and then `[2]`. Alarms of the others notify nobody. @default [1]: it was never rebuilt
   */
  readonly generations?: readonly number[];
}

export interface ProducerAccess {
  /** Of producers in the same network, or in one that is peered with it in the same region. */
  readonly securityGroupIds?: readonly string[];
  /** Private addresses, such as those of a network behind a transit gateway: `10.20.0.0/16`. */
  readonly cidrs?: readonly string[];
}

/** A network of our own: private, over three zones. */
export interface NewNetwork {
  readonly type: 'new';
  /**
   * Its private addresses, a /16 to a /19, such as `10.20.0.0/16`. They cannot change once it is deployed.
   * @default a /16 between 10.64 and 10.255 that follows from the environment's name
   */
  readonly cidr?: string;
  /** Its zones' names, three. Left out, they are the region's first three, of which MSK may not know one: docs/deploy.md. */
  readonly zones?: readonly string[];
}

/** A network that somebody else runs. Functions must reach SQS and Glue from it, pollers S3, on-demand ones Lambda and STS too. */
export interface ExistingNetwork {
  readonly type: 'existing';
  readonly vpcId: string;
  /** Private subnets: for our own brokers three, one a zone; for the others two or more. */
  readonly subnetIds: Readonly<Record<SubnetGroup, readonly string[]>>;
}

/** Left out, an environment takes no events by HTTP. */
export interface CollectorSettings {
  /** Of the pages that may send events, such as `https://www.example.org`; `*` alone for every page, none for apps and servers only. */
  readonly allowedOrigins: readonly string[];
  /** What all callers together may send: requests a second, and how many of them in one moment. More are answered with 429. */
  readonly rate: number;
  readonly burst: number;
  /** How many instances of the function may run, each with a connection to each broker. @default as many as the account has left */
  readonly maxConcurrency?: number;
  /** Of AWS WAF's, regional, of this account and region: stands in front of the collector. @default none */
  readonly webAclArn?: string;
  /** Serves the app's page (`demo.page`) behind the same API, read only, to whoever is signed in: docs/deploy.md. @default there is none */
  readonly page?: PageSettings;
}

/** A page that shows a consumer's tables, for people with a login. */
export interface PageSettings {
  /**
   * How API Gateway tells who is signed in. `iam`: requests are signed by whoever has the policy `millrace-<env>-page`.
   * `userPoolArn`: a Cognito user pool's id token in the header `Authorization`; everybody in the pool may read. `lambdaArn`: a
   * Lambda authorizer of your own, of this account and region, is asked about each request, cookies included.
   */
  readonly authorizer: 'iam' | { readonly userPoolArn: string } | { readonly lambdaArn: string };
  /** How many instances of its function may run, each with a connection to the database and a query a second. @default 5 */
  readonly maxConcurrency?: number;
}

export const SUBNET_GROUPS = ['brokers', 'functions', 'databases'] as const;
export type SubnetGroup = (typeof SUBNET_GROUPS)[number];

export interface Environment extends EnvironmentSettings {
  readonly name: string;
  /** The folder of the app, with lambdas/ in it. */
  readonly appRoot: string;
  /** Undefined: wherever the deploying credentials lead. */
  readonly account: string | undefined;
  readonly region: string | undefined;
}

/** What the person who deploys says: context values (`-c env=dev`), then the variables that the CDK sets. */
export interface DeployRequest {
  readonly env?: unknown;
  readonly account?: unknown;
  readonly region?: unknown;
}

/** Of a consumer's tables: the number is part of names. */
export const MAX_GENERATION = 9_999;

const ACCOUNT = /^\d{12}$/;
// The templates name AWS's own partition, and nothing here was ever tried in another: China, GovCloud, isolated regions.
const REGION = /^(?!cn-|us-gov-|\w+-iso)[a-z]{2}(-[a-z]+)+-\d$/;
/** Where MSK places no brokers in one of the zones, whose name differs by account. */
const UNEVEN_REGION = 'us-east-1';

/**
 * The environment that is asked for. Needs no account and no network.
 * @throws ENVIRONMENT_INVALID naming the field, what it got and what it takes
 */
export function resolveEnvironment(
  {
    environments,
    root,
  }: { readonly environments: Readonly<Record<string, EnvironmentSettings>>; readonly root: string },
  { env, account, region }: DeployRequest,
): Environment {
  const settings =
    typeof env === 'string' && Object.hasOwn(environments, env) ? environments[env] : undefined;
  if (!settings) {
    refuse('env', env, `one of ${Object.keys(environments).join(', ')}`, 'Pass it as "-c env=dev".');
  }
  checkSettings(env as string, settings);
  checkZones(env as string, settings, { account, region });
  checkAddresses(env as string, settings, environments);
  return {
    ...settings,
    name: env as string,
    appRoot: root,
    account: optional('account', account, ACCOUNT, 'twelve digits', '-c account=123456789012'),
    region: optional(
      'region',
      region,
      REGION,
      "a region's name, in AWS's own partition,",
      '-c region=eu-west-1',
    ),
  };
}

/**
 * Zones cannot be named later: a subnet's zone never changes, and its addresses are taken. Without an account, nothing is
 * about to be deployed, and the CDK takes us-east-1 for want of a region.
 * https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-msk-cluster-brokernodegroupinfo.html (2026-11-25)
 */
function checkZones(
  name: string,
  { network }: EnvironmentSettings,
  { account, region }: Pick<DeployRequest, 'account' | 'region'>,
): void {
  if (region !== UNEVEN_REGION || account === undefined || network.type !== 'new' || network.zones) return;
  refuse(
    `${name}.network.zones`,
    undefined,
    `three names of zones in ${UNEVEN_REGION}, because MSK places no brokers in the zone whose id is use1-az3`,
    `"aws ec2 describe-availability-zones --region ${UNEVEN_REGION}" lists names and ids. Add zones in millrace.config.ts before the first deployment.`,
  );
}

function optional(
  field: string,
  got: unknown,
  pattern: RegExp,
  allowed: string,
  example: string,
): string | undefined {
  if (got === undefined) return undefined;
  // The CDK's context gives `-c account=…` as text; a number would have lost its leading zeros.
  if (typeof got === 'string' && pattern.test(got)) return got;
  return refuse(field, got, allowed, `Pass it as "${example}".`);
}

/**
 * The most pollers of a mapping, and of all mappings of a poller group together, and the most mappings of a group:
 * https://docs.aws.amazon.com/lambda/latest/api/API_ProvisionedPollerConfig.html (2026-11-26)
 */
export const MAX_POLLERS = 2_000;
export const MAX_GROUP_MAPPINGS = 100;

/**
 * Stacks, functions and the database are called by it: letters, digits and single hyphens, and with
 * `millrace-<name>-migrations` 64 characters at most.
 * https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/CHAP_Limits.html#RDS_Limits.Constraints,
 * https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (2026-11-26)
 */
const ENVIRONMENT_NAME = /^(?=.{1,44}$)[a-z0-9]+(?:-[a-z0-9]+)*$/;
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html#invocation-eventsourcemapping-provisioned-mode,
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2.how-it-works.html (2026-11-24)
const MAX_MINIMUM_POLLERS = 200;
const MAX_CAPACITY = 256;
const MAX_STANDBYS = 14;
const MAX_BACKUP_DAYS = 35;
const MAX_STORAGE_GIB = 16_384;
const ZONE = /^[a-z]{2}(-[a-z]+)+-\d[a-z]$/;
/** One a broker; Express brokers take no fewer: https://docs.aws.amazon.com/msk/latest/developerguide/msk-create-cluster.html (2026-11-25) */
export const ZONES = 3;
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/USER_VPC.WorkingWithRDSInstanceinaVPC.html (2026-11-25)
const LEAST_SUBNETS = 2;
// https://docs.aws.amazon.com/msk/latest/developerguide/broker-instance-types.html (2026-11-25)
const INSTANCE_PREFIX = { standard: 'kafka.', express: 'express.' };
const INSTANCE_TYPE = /^[a-z]+\.[a-z0-9]+\.[a-z0-9]+$/;
// https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html (2026-11-25): what a region has before one asks for more.
const MAX_REQUEST_RATE = 10_000;
const MAX_REQUEST_BURST = 5_000;
// https://docs.aws.amazon.com/msk/latest/developerguide/limits.html (2026-11-25): connections with IAM that a broker takes.
const MAX_CONNECTIONS = 3_000;
// Of the 4 KB of a function's environment, which schema ids share (lib/stacks/contracts-stack.ts):
// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html (2026-11-26)
const MAX_ORIGINS_CHARACTERS = 800;
const WEB_ACL_ARN = /^arn:aws:wafv2:[a-z0-9-]+:\d{12}:regional\/webacl\/[A-Za-z0-9_-]+\/[0-9a-f-]+$/;
const USER_POOL_ARN = /^arn:aws:cognito-idp:[a-z0-9-]+:\d{12}:userpool\/[A-Za-z0-9_-]+$/;
const FUNCTION_ARN = /^arn:aws:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_-]{1,64}$/;
const DEFAULT_PAGE_CONCURRENCY = 5;
/** More viewers than that share what an instance has read in the last second. */
const MAX_PAGE_CONCURRENCY = 100;
const TOPIC_ARN = /^arn:aws:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}$/;
const EMAIL = /^[^\s@:]+@[^\s@:]+\.[^\s@:]+$/;
const SECURITY_GROUP = /^sg-(?:[0-9a-f]{8}|[0-9a-f]{17})$/;
/** Of a name's characters those that AWS takes anywhere: https://docs.aws.amazon.com/lambda/latest/api/API_ProvisionedPollerConfig.html (2026-11-26) */
const POLLER_GROUP = /^[A-Za-z0-9_-]{1,128}$/;
// An alarm takes five actions a state, one of which is the environment's own topic:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html (2026-11-26)
const MAX_NOTIFIED_TOPICS = 4;
// A security group takes 60 inbound rules; ten are left to functions, pollers and whoever watches the brokers:
// https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html (2026-11-26)
const MAX_PRODUCERS = 50;
/** Nine subnets, three of /22 and six of /24. */
const LONGEST_PREFIX = 19;
// https://docs.aws.amazon.com/vpc/latest/userguide/vpc-cidr-blocks.html (2026-11-26)
const SHORTEST_PREFIX = 16;
const CLUSTER_ARN = /^arn:aws:kafka:[a-z0-9-]+:\d{12}:cluster\/[A-Za-z0-9-]+\/[A-Za-z0-9-]+$/;

/** The types cannot tell what AWS takes; this does, before a deployment is half done. */
function checkSettings(name: string, settings: EnvironmentSettings): void {
  const { network, brokers, polling, database, collector, producers = {}, notifications = {} } = settings;
  const check = (field: string, got: unknown, isAllowed: boolean, allowed: string) => {
    if (!isAllowed) refuse(`${name}.${field}`, got, allowed, 'Change it in millrace.config.ts.');
  };
  const checkWhole = (field: string, got: number, from: number, to: number) =>
    check(
      field,
      got,
      Number.isInteger(got) && got >= from && got <= to,
      `a whole number from ${from} to ${to}`,
    );
  const checkCapacity = (field: string, got: number, from: number, to: number) =>
    check(field, got, Number.isInteger(got * 2) && got >= from && got <= to, `halves from ${from} to ${to}`);

  const checkGroup = (field: string, group: string | null | undefined) =>
    check(
      field,
      group,
      group === undefined || group === null || POLLER_GROUP.test(group),
      'up to 128 letters, digits, "-" and "_", or null for no group',
    );

  if (!ENVIRONMENT_NAME.test(name)) {
    refuse(
      'env',
      name,
      'up to 44 small letters and digits, with single hyphens between',
      'Rename it in millrace.config.ts.',
    );
  }
  if (network.type === 'new' && network.zones) {
    const { zones } = network;
    const areZones = areDistinct(zones) && zones.length === ZONES && zones.every((name) => ZONE.test(name));
    check('network.zones', zones, areZones, `${ZONES} names of zones, such as us-east-1a`);
  }
  if (network.type === 'new' && network.cidr !== undefined) {
    const range = parseCidr(network.cidr);
    const { prefixLength = 0 } = range ?? {};
    check(
      'network.cidr',
      network.cidr,
      range !== undefined &&
        isPrivate(range) &&
        prefixLength >= SHORTEST_PREFIX &&
        prefixLength <= LONGEST_PREFIX,
      `private addresses, a /${SHORTEST_PREFIX} to a /${LONGEST_PREFIX} that begins with its first address, such as 10.20.0.0/16`,
    );
  }
  check(
    'network.type',
    network.type,
    network.type === 'existing' || brokers.type !== 'existing',
    '"existing" with existing brokers: a cluster is only reached in its own network',
  );
  if (network.type === 'existing') {
    check('network.vpcId', network.vpcId, /^vpc-[0-9a-f]+$/.test(network.vpcId), 'the id of a VPC, vpc-…');
    for (const group of SUBNET_GROUPS) {
      const ids = network.subnetIds[group];
      const isOfBrokers = group === 'brokers' && brokers.type !== 'existing';
      const areEnough = isOfBrokers ? ids.length === ZONES : ids.length >= LEAST_SUBNETS;
      check(
        `network.subnetIds.${group}`,
        ids,
        areEnough && areDistinct(ids) && ids.every((id) => /^subnet-[0-9a-f]+$/.test(id)),
        isOfBrokers
          ? `${ZONES} ids of subnets, subnet-…, one in each zone`
          : `${LEAST_SUBNETS} or more ids of subnets, subnet-…, in different zones`,
      );
    }
  }
  if (brokers.type !== 'existing') {
    const prefix = INSTANCE_PREFIX[brokers.type];
    check(
      'brokers.instanceType',
      brokers.instanceType,
      INSTANCE_TYPE.test(brokers.instanceType) && brokers.instanceType.startsWith(prefix),
      `for ${brokers.type} brokers a type that begins with "${prefix}", such as ${prefix}m7g.large`,
    );
  }
  if (brokers.type === 'standard') {
    checkWhole('brokers.storageGiB', brokers.storageGiB, 1, MAX_STORAGE_GIB);
  }
  if (brokers.type === 'existing') {
    const { clusterArn, securityGroupId } = brokers;
    check(
      'brokers.securityGroupId',
      securityGroupId,
      SECURITY_GROUP.test(securityGroupId),
      "the id of one of the cluster's security groups, sg-…, so that functions can be let in",
    );
    check(
      'brokers.clusterArn',
      clusterArn,
      CLUSTER_ARN.test(clusterArn),
      'the ARN of an MSK cluster, its uuid included',
    );
  }
  if (polling.mode === 'provisioned') {
    checkWhole('polling.minimumPollers', polling.minimumPollers, 1, MAX_MINIMUM_POLLERS);
    checkWhole('polling.maximumPollers', polling.maximumPollers, polling.minimumPollers, MAX_POLLERS);
    checkGroup('polling.group', polling.group);
  }
  for (const [consumer, overrides] of Object.entries(settings.consumers ?? {})) {
    const { generations = [1] } = overrides;
    check(
      `consumers.${consumer}.generations`,
      generations,
      generations.length > 0 &&
        new Set(generations).size === generations.length &&
        generations.every((each) => Number.isInteger(each) && each >= 1 && each <= MAX_GENERATION),
      `different whole numbers from 1 to ${MAX_GENERATION}, the generation that readers see first, such as [2, 1]`,
    );
    const field = `consumers.${consumer}.polling`;
    const { minimumPollers, maximumPollers, group } = overrides.polling ?? {};
    check(
      field,
      overrides.polling,
      overrides.polling === undefined || polling.mode === 'provisioned',
      'nothing, because the environment polls on demand',
    );
    if (polling.mode !== 'provisioned') continue;
    const minimum = minimumPollers ?? polling.minimumPollers;
    checkWhole(`${field}.minimumPollers`, minimum, 1, MAX_MINIMUM_POLLERS);
    checkWhole(`${field}.maximumPollers`, maximumPollers ?? polling.maximumPollers, minimum, MAX_POLLERS);
    checkGroup(`${field}.group`, group);
  }
  const { securityGroupIds = [], cidrs = [] } = producers;
  check(
    'producers.securityGroupIds',
    securityGroupIds,
    areDistinct(securityGroupIds) && securityGroupIds.every((id) => SECURITY_GROUP.test(id)),
    'ids of security groups, sg-…',
  );
  check(
    'producers.cidrs',
    cidrs,
    areDistinct(cidrs) && cidrs.map(parseCidr).every((range) => range && isPrivate(range)),
    'ranges of private addresses, each beginning with its first, such as 10.20.0.0/16',
  );
  check(
    'producers',
    securityGroupIds.length + cidrs.length,
    securityGroupIds.length + cidrs.length <= MAX_PRODUCERS,
    `up to ${MAX_PRODUCERS} groups and ranges, because a security group takes 60 inbound rules. Let a range cover several`,
  );
  for (const severity of ['warning', 'incident'] as const) {
    const targets = notifications[severity] ?? [];
    check(
      `notifications.${severity}`,
      targets,
      areDistinct(targets) && targets.every((target) => EMAIL.test(target) || TOPIC_ARN.test(target)),
      'e-mail addresses, and ARNs of SNS topics',
    );
    check(
      `notifications.${severity}`,
      targets,
      targets.filter(isTopicArn).length <= MAX_NOTIFIED_TOPICS,
      `up to ${MAX_NOTIFIED_TOPICS} ARNs of SNS topics, because an alarm has five actions. Subscribe the others to one of them`,
    );
  }
  checkCapacity('database.maxCapacity', database.maxCapacity, 1, MAX_CAPACITY);
  checkCapacity('database.minCapacity', database.minCapacity, 0, database.maxCapacity);
  check(
    'database.minCapacity',
    database.minCapacity,
    database.minCapacity > 0 || !database.proxy,
    'at least 0.5 with database.proxy: the proxy keeps connections open, so the database would never pause',
  );
  checkWhole('database.standbys', database.standbys, 0, MAX_STANDBYS);
  checkWhole('database.backupDays', database.backupDays, 1, MAX_BACKUP_DAYS);
  if (settings.capture) checkCapture(settings.capture, database, check);
  if (settings.warehouse) checkWarehouse(settings.warehouse, check);
  if (settings.archive) checkArchiveStorage(settings.archive, check);
  if (collector) {
    const { allowedOrigins, rate, burst, maxConcurrency, webAclArn, page } = collector;
    check(
      'collector.allowedOrigins',
      allowedOrigins,
      areDistinct(allowedOrigins) &&
        (allowedOrigins.every(isPublicOrigin) || (allowedOrigins.length === 1 && allowedOrigins[0] === '*')),
      'origins as browsers write them, such as https://www.example.org: no path, no capitals, http for localhost only; or "*" alone',
    );
    const characters = JSON.stringify(allowedOrigins).length;
    check(
      'collector.allowedOrigins',
      `${characters} characters`,
      characters <= MAX_ORIGINS_CHARACTERS,
      `up to ${MAX_ORIGINS_CHARACTERS} characters as JSON, because a function's settings have 4 KB together`,
    );
    checkWhole('collector.rate', rate, 1, MAX_REQUEST_RATE);
    checkWhole('collector.burst', burst, 1, MAX_REQUEST_BURST);
    if (maxConcurrency !== undefined)
      checkWhole('collector.maxConcurrency', maxConcurrency, 1, MAX_CONNECTIONS);
    if (webAclArn !== undefined) {
      check('collector.webAclArn', webAclArn, WEB_ACL_ARN.test(webAclArn), 'the ARN of a regional web ACL');
    }
    if (page !== undefined) {
      check(
        'collector.page.authorizer',
        page.authorizer,
        isAuthorizer(page.authorizer),
        '"iam", { userPoolArn } with the ARN of a Cognito user pool, or { lambdaArn } with the ARN of a function without a version',
      );
      if (page.maxConcurrency !== undefined)
        checkWhole('collector.page.maxConcurrency', page.maxConcurrency, 1, MAX_PAGE_CONCURRENCY);
    }
  }
}

/**
 * Two environments of one app are often peered with the same networks. Whoever names a `cidr` may choose the same twice;
 * a default that meets another network would go unnoticed until it is too late to change.
 */
function checkAddresses(
  name: string,
  { network }: EnvironmentSettings,
  environments: Readonly<Record<string, EnvironmentSettings>>,
): void {
  if (network.type !== 'new' || network.cidr !== undefined) return;
  const own = parseCidr(defaultCidr(name))!;
  const meets = (range: AddressRange | undefined) => range !== undefined && overlap(own, range);
  const other = Object.entries(environments).find(
    ([each, settings]) =>
      each !== name &&
      settings.network.type === 'new' &&
      meets(parseCidr(settings.network.cidr ?? defaultCidr(each))),
  );
  if (!other) return;
  refuse(
    `${name}.network.cidr`,
    undefined,
    `private addresses, because the default ${defaultCidr(name)} overlaps with ${other[0]}`,
    'Set it for the one of the two that is not deployed yet.',
  );
}

/** Of what `notifications` lists; the others are e-mail addresses. */
export function isTopicArn(target: string): boolean {
  return TOPIC_ARN.test(target);
}

/** What a page's function reserves, where there is one: each instance reads the tables once a second at most. */
export function pageConcurrency(collector: CollectorSettings | undefined): number {
  return collector?.page ? (collector.page.maxConcurrency ?? DEFAULT_PAGE_CONCURRENCY) : 0;
}

/** There is no page without a login, whatever a config in JavaScript says. */
function isAuthorizer(authorizer: PageSettings['authorizer'] | undefined): boolean {
  if (typeof authorizer !== 'object' || authorizer === null) return authorizer === 'iam';
  const isArn = (arn: unknown, pattern: RegExp) => typeof arn === 'string' && pattern.test(arn);
  if ('userPoolArn' in authorizer) return isArn(authorizer.userPoolArn, USER_POOL_ARN);
  return 'lambdaArn' in authorizer && isArn(authorizer.lambdaArn, FUNCTION_ARN);
}

/** Pages in the clear are those of a developer's own machine. */
function isPublicOrigin(text: string): boolean {
  return isOrigin(text) && (text.startsWith('https:') || new URL(text).hostname === 'localhost');
}

function areDistinct(values: readonly string[]): boolean {
  return new Set(values).size === values.length;
}

/** @throws ENVIRONMENT_INVALID */
export function refuse(field: string, got: unknown, allowed: string, next: string): never {
  const what = got === undefined ? 'is missing' : `is ${JSON.stringify(got)}`;
  throw new MillraceError(
    'ENVIRONMENT_INVALID',
    `Environment: ${field} ${what}; it takes ${allowed}. ${next}`,
    {
      details: { field },
    },
  );
}

/** Whether this is what a browser writes in `Origin` for a page: https://html.spec.whatwg.org/multipage/browsers.html#ascii-serialisation-of-an-origin (2026-11-25) */
export function isOrigin(text: string): boolean {
  return /^https?:/.test(text) && URL.canParse(text) && new URL(text).origin === text;
}

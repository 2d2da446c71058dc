/** Environments that this repository's own app does not have: every rule that holds for its own holds for these. */
import type { App } from '../../runtime/app.ts';
import type { CaptureSettings } from '../../runtime/capture/environment.ts';
import { PLUGIN_VERSION } from '../../runtime/capture/plugin.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import type { EnvironmentSettings } from '../../runtime/environment.ts';
import type { RebuildRequest } from '../../runtime/rebuild-in-environment.ts';
import type { WarehouseSettings } from '../../runtime/warehouse/environment.ts';
import { captured } from '../fixtures/newsdesk/captured.ts';
import { paged } from '../fixtures/newsdesk/paged.ts';

export const LAMBDA_ARN = 'arn:aws:lambda:eu-west-1:123456789012:function:newsroom-login';

export interface Variant {
  /** The environment that it changes. */
  readonly env: 'dev' | 'staging' | 'prod';
  settings(of: EnvironmentSettings): Partial<EnvironmentSettings>;
  /** What each consumer declares otherwise. */
  readonly consumer?: Partial<AnyConsumer>;
  /** @default the newsdesk */
  readonly app?: App;
  readonly rebuild?: RebuildRequest;
}

const subnets = (digit: string) => [1, 2, 3].map((zone) => `subnet-0a1b2c3${digit}${zone}`);
const TOPIC = 'news.pageviews';
const CONSUMER = 'editorial-analytics';

export const CAPTURE: CaptureSettings = {
  plugin: PLUGIN_VERSION,
  databases: {
    cms: {
      type: 'existing',
      host: 'cms.cluster-abcdefghijkl.eu-west-1.rds.amazonaws.com',
      database: 'cms',
      user: 'millrace_capture',
      securityGroupId: 'sg-0c0ffee0',
      resourceId: 'cluster-ABCDEFGHIJKLMNOPQRSTUVWXYZ',
      identifier: 'cms',
    },
  },
};

export const WAREHOUSE: WarehouseSettings = {
  snowflake: { account: 'NEWS-PROD', user: 'MILLRACE_RUNNER' },
  runner: {},
};

export const VARIANTS: Readonly<Record<string, Variant>> = {
  'an existing network and cluster, with a topic': {
    env: 'staging',
    settings: () => ({
      network: {
        type: 'existing',
        vpcId: 'vpc-0a1b2c3d',
        subnetIds: { brokers: subnets('a'), functions: subnets('b'), databases: subnets('c') },
      },
      brokers: {
        type: 'existing',
        clusterArn:
          'arn:aws:kafka:eu-west-1:123456789012:cluster/theirs/6b1f0e6c-6c0a-4b0e-8f5a-0f1d2c3b4a59-2',
        securityGroupId: 'sg-0a1b2c3d',
      },
      existingTopics: [TOPIC],
      producers: { cidrs: ['10.1.0.0/16'] },
    }),
  },
  'no proxy, and dead letters in Kafka': {
    env: 'prod',
    settings: ({ database }) => ({ database: { ...database, proxy: false } }),
    consumer: { deadLetter: 'kafka' },
  },
  'pollers outside of the group, producers, and people who hear of alarms': {
    env: 'prod',
    settings: () => ({
      network: { type: 'new', cidr: '192.168.0.0/19' },
      consumers: { [CONSUMER]: { polling: { group: null }, memoryMb: 2_048, reservedConcurrency: 12 } },
      producers: { securityGroupIds: ['sg-0a1b2c3d'], cidrs: ['10.1.0.0/16'] },
      notifications: {
        warning: ['team@example.com'],
        incident: ['oncall@example.com', 'arn:aws:sns:eu-west-1:123456789012:oncall'],
      },
    }),
  },
  'a consumer that is off': {
    env: 'dev',
    settings: () => ({ consumers: { [CONSUMER]: { enabled: false } } }),
  },
  'a captured table and an archive': {
    env: 'prod',
    settings: () => ({
      capture: CAPTURE,
      archive: { infrequentAccessAfterDays: 90 },
      warehouse: WAREHOUSE,
    }),
    app: captured,
  },
  'the own database captured, and an archive': {
    env: 'staging',
    settings: () => ({
      capture: { plugin: PLUGIN_VERSION, databases: { cms: { type: 'own', user: 'capture' } } },
    }),
    app: captured,
  },
  'a candidate, in front of whose database is a proxy': {
    env: 'prod',
    settings: () => ({}),
    rebuild: { rebuild: CONSUMER },
  },
  'a candidate beside two generations, with dead letters in Kafka': {
    env: 'dev',
    settings: () => ({ consumers: { [CONSUMER]: { generations: [3, 1] } } }),
    consumer: { deadLetter: 'kafka' },
    rebuild: { rebuild: CONSUMER },
  },
  'a promoted generation, and the one before it': {
    env: 'prod',
    settings: () => ({ consumers: { [CONSUMER]: { generations: [2, 1] } } }),
  },
  'a page for whoever IAM lets in': {
    env: 'prod',
    settings: ({ collector }) => ({ collector: { ...collector!, page: { authorizer: 'iam' } } }),
    app: paged,
  },
  'a page behind an authorizer of their own, and no proxy': {
    env: 'dev',
    settings: ({ collector }) => ({
      collector: { ...collector!, page: { authorizer: { lambdaArn: LAMBDA_ARN }, maxConcurrency: 2 } },
    }),
    app: paged,
  },
  'a probe': {
    env: 'staging',
    settings: () => ({ probe: true }),
  },
};

import { describe, expect, test } from '@jest/globals';
import { defaultCidr } from '../../runtime/cidr.ts';
import { type EnvironmentSettings, resolveEnvironment } from '../../runtime/environment.ts';
import newsdesk from '../fixtures/newsdesk/millrace.config.ts';

const { environments: ENVIRONMENTS } = newsdesk;
const APP = { environments: ENVIRONMENTS, root: '/app' };

test.each(Object.keys(ENVIRONMENTS))('%s is an environment, with or without an account', (env) => {
  expect(resolveEnvironment(APP, { env })).toMatchObject({
    name: env,
    account: undefined,
    region: undefined,
  });
  expect(resolveEnvironment(APP, { env, account: '012345678901', region: 'eu-west-1' })).toMatchObject({
    account: '012345678901',
    region: 'eu-west-1',
  });
});

describe('refused', () => {
  test.each([
    [{}, /env is missing; it takes one of dev, staging, prod/],
    [{ env: 'production' }, /env is "production"; it takes one of dev, staging, prod/],
    [{ env: 'constructor' }, /env is "constructor"/],
    [{ env: 'dev', account: '1234' }, /account is "1234"; it takes twelve digits/],
    [{ env: 'dev', account: 123456789012 }, /account is 123456789012/],
    [{ env: 'dev', region: 'Ireland' }, /region is "Ireland"; it takes a region's name/],
    ...['cn-north-1', 'us-gov-west-1', 'us-iso-east-1', 'us-isob-east-1', 'eu-isoe-west-1'].map(
      (region) =>
        [{ env: 'dev', region }, new RegExp(`region is "${region}"; .* AWS's own partition`)] as const,
    ),
    [
      { env: 'dev', account: '012345678901', region: 'us-east-1' },
      /dev[.]network[.]zones is missing; it takes three names of zones in us-east-1, .* use1-az3/,
    ],
  ])('%j', (request, message) => {
    expect(() => resolveEnvironment(APP, request)).toThrow(
      expect.objectContaining({ code: 'ENVIRONMENT_INVALID', message: expect.stringMatching(message) }),
    );
  });
});

test('us-east-1 takes zones that are named, and anything while there is no account to deploy to', () => {
  const account = '012345678901';
  const { dev } = ENVIRONMENTS as { dev: EnvironmentSettings };
  const named = {
    ...dev,
    network: { type: 'new', zones: ['us-east-1a', 'us-east-1b', 'us-east-1f'] },
  } as const;
  const request = { env: 'dev', region: 'us-east-1' };
  expect(resolveEnvironment(APP, request)).toMatchObject({ region: 'us-east-1' });
  expect(resolveEnvironment({ ...APP, environments: { dev: named } }, { ...request, account })).toMatchObject(
    named,
  );
});

test.each(['Prod', 'eu_west', 'a--b', '-a', 'a-', 'a.b', 'a'.repeat(45)])(
  'an environment called %s is refused: functions, stacks and the database have its name',
  (env) => {
    const environments = { [env]: ENVIRONMENTS.dev!, ok: ENVIRONMENTS.dev! };
    expect(() => resolveEnvironment({ ...APP, environments }, { env })).toThrow(
      expect.objectContaining({ code: 'ENVIRONMENT_INVALID', message: expect.stringContaining(env) }),
    );
    expect(resolveEnvironment({ ...APP, environments }, { env: 'ok' })).toMatchObject({ name: 'ok' });
  },
);

test('only prod keeps its data', () => {
  expect(Object.entries(ENVIRONMENTS).filter(([, { retainsData }]) => retainsData)).toEqual([
    ['prod', ENVIRONMENTS.prod],
  ]);
});

describe('settings that AWS would refuse are refused before', () => {
  const { dev, prod } = ENVIRONMENTS as Record<'dev' | 'prod', EnvironmentSettings>;
  const subnetIds = {
    brokers: ['subnet-1', 'subnet-2', 'subnet-3'],
    functions: ['subnet-4', 'subnet-5'],
    databases: ['subnet-6', 'subnet-7'],
  };
  const network = { type: 'existing', vpcId: 'vpc-0a1b', subnetIds } as const;
  const { collector, ...withoutCollector } = dev as Required<EnvironmentSettings>;
  const clusterArn =
    'arn:aws:kafka:eu-west-1:123456789012:cluster/theirs/6b1f0e6c-6c0a-4b0e-8f5a-0f1d2c3b4a59-2';
  const SHARED = { mode: 'provisioned', minimumPollers: 2, maximumPollers: 12 } as const;
  const topicArn = (name: string) => `arn:aws:sns:eu-west-1:123456789012:${name}`;
  const theirs = { type: 'existing', clusterArn, securityGroupId: 'sg-0a1b2c3d' } as const;

  test.each<[string, EnvironmentSettings]>([
    ['no collector', withoutCollector],
    ['pages of any origin', { ...dev, collector: { ...collector, allowedOrigins: ['*'] } }],
    [
      'pages of several origins, and a web ACL',
      {
        ...prod,
        collector: {
          ...collector,
          allowedOrigins: ['https://www.example.org', 'https://example.org:8443', 'http://localhost:3000'],
          webAclArn: 'arn:aws:wafv2:eu-west-1:123456789012:regional/webacl/theirs/6b1f0e6c-6c0a-4b0e',
        },
      },
    ],
    ...[
      'iam' as const,
      { userPoolArn: 'arn:aws:cognito-idp:eu-west-1:123456789012:userpool/eu-west-1_AbCdEfGhI' },
      { lambdaArn: 'arn:aws:lambda:eu-west-1:123456789012:function:newsroom-login' },
    ].map((authorizer): [string, EnvironmentSettings] => [
      `a page by ${JSON.stringify(authorizer)}`,
      { ...dev, collector: { ...collector, page: { authorizer, maxConcurrency: 2 } } },
    ]),
    ['a network of somebody else', { ...dev, network }],
    ['a cluster of somebody else', { ...dev, network, brokers: theirs }],
    [
      "two subnets for brokers, where the cluster is somebody else's",
      {
        ...dev,
        brokers: theirs,
        network: { ...network, subnetIds: { ...subnetIds, brokers: ['subnet-1', 'subnet-2'] } },
      },
    ],
    [
      'three zones by name',
      { ...dev, network: { type: 'new', zones: ['us-east-1a', 'us-east-1b', 'us-east-1f'] } },
    ],
    [
      'larger standard brokers',
      { ...dev, brokers: { type: 'standard', instanceType: 'kafka.m7g.xlarge', storageGiB: 50 } },
    ],
    [
      'larger express brokers',
      { ...prod, brokers: { type: 'express', instanceType: 'express.m7g.4xlarge' } },
    ],
    [
      'two hundred pollers',
      { ...prod, polling: { mode: 'provisioned', minimumPollers: 200, maximumPollers: 2_000 } },
    ],
    [
      'pollers in groups, some consumers with their own',
      {
        ...dev,
        polling: { ...SHARED, group: 'quiet' },
        consumers: { one: { polling: { group: null, minimumPollers: 13, maximumPollers: 13 } }, two: {} },
      },
    ],
    [
      'addresses of its own, and producers in other networks',
      {
        ...dev,
        network: { type: 'new', cidr: '192.168.64.0/19' },
        producers: {
          securityGroupIds: ['sg-0a1b2c3d', 'sg-0a1b2c3d4e5f60718'],
          cidrs: ['10.1.0.0/16', '172.16.0.1/32'],
        },
      },
    ],
    [
      'alarms that reach people and topics',
      {
        ...dev,
        notifications: { warning: ['team@example.com'], incident: [topicArn('oncall'), 'a@b.example'] },
      },
    ],
    ['a proxy before half a unit', { ...prod, database: { ...prod.database, minCapacity: 0.5 } }],
  ])('not %s', (_, settings) => {
    expect(resolveEnvironment({ ...APP, environments: { mine: settings } }, { env: 'mine' })).toMatchObject(
      settings,
    );
  });

  test.each<[string, EnvironmentSettings, RegExp]>([
    [
      'network.vpcId',
      { ...dev, network: { ...network, vpcId: 'mine' } },
      /is "mine"; it takes the id of a VPC/,
    ],
    [
      'network.subnetIds.functions',
      { ...dev, network: { ...network, subnetIds: { ...subnetIds, functions: ['subnet-3'] } } },
      /is \["subnet-3"\]; it takes 2 or more ids of subnets/,
    ],
    [
      'network.subnetIds.databases',
      { ...dev, network: { ...network, subnetIds: { ...subnetIds, databases: ['subnet-6', 'subnet-6'] } } },
      /it takes 2 or more ids of subnets, subnet-…, in different zones/,
    ],
    ...[['subnet-1', 'subnet-2'], ['1', '2', '3', '4'].map((id) => `subnet-${id}`)].map(
      (brokers): [string, EnvironmentSettings, RegExp] => [
        'network.subnetIds.brokers',
        { ...dev, network: { ...network, subnetIds: { ...subnetIds, brokers } } },
        /it takes 3 ids of subnets, subnet-…, one in each zone\. Change it in millrace\.config/,
      ],
    ),
    ...[
      ['us-east-1a', 'us-east-1b'],
      ['us-east-1a', 'us-east-1b', 'us-east-1b'],
      ['use1-az1', 'use1-az2', 'use1-az4'],
    ].map((zones): [string, EnvironmentSettings, RegExp] => [
      'network.zones',
      { ...dev, network: { type: 'new', zones } },
      /it takes 3 names of zones, such as us-east-1a/,
    ]),
    [
      'brokers.instanceType',
      { ...dev, brokers: { type: 'standard', instanceType: 'express.m7g.large', storageGiB: 50 } },
      /is "express.m7g.large"; it takes for standard brokers a type that begins with "kafka\."/,
    ],
    [
      'brokers.instanceType',
      { ...prod, brokers: { type: 'express', instanceType: 'kafka.m7g.large' } },
      /is "kafka.m7g.large"; it takes for express brokers a type that begins with "express\."/,
    ],
    [
      'brokers.instanceType',
      { ...prod, brokers: { type: 'express', instanceType: 'express.large' } },
      /is "express.large"/,
    ],
    [
      'brokers.storageGiB',
      { ...dev, brokers: { type: 'standard', instanceType: 'kafka.t3.small', storageGiB: 0 } },
      /from 1 to 16384/,
    ],
    [
      'brokers.clusterArn',
      { ...dev, network, brokers: { ...theirs, clusterArn: 'arn:aws:kafka:theirs' } },
      /the ARN of an MSK cluster/,
    ],
    [
      'brokers.securityGroupId',
      { ...dev, network, brokers: { ...theirs, securityGroupId: 'theirs' } },
      /is "theirs"; it takes the id of one of the cluster's security groups, sg-…/,
    ],
    [
      'network.type',
      { ...dev, brokers: theirs },
      /is "new"; it takes "existing" with existing brokers: a cluster is only reached in its own network/,
    ],
    ...['10.0.0.0', '10.0.0.0/15', '10.0.0.0/20', '10.0.1.0/16', '8.8.0.0/16', '10.0.0.256/16'].map(
      (cidr): [string, EnvironmentSettings, RegExp] => [
        'network.cidr',
        { ...dev, network: { type: 'new', cidr } },
        /it takes private addresses, a \/16 to a \/19 that begins with its first address/,
      ],
    ),
    [
      'polling.minimumPollers',
      { ...dev, polling: { mode: 'provisioned', minimumPollers: 0, maximumPollers: 1 } },
      /is 0; it takes a whole number from 1 to 200/,
    ],
    [
      'polling.maximumPollers',
      { ...dev, polling: { mode: 'provisioned', minimumPollers: 4, maximumPollers: 2 } },
      /is 2; it takes a whole number from 4/,
    ],
    ['polling.group', { ...dev, polling: { ...SHARED, group: 'ours, all' } }, /is "ours, all"; .* or null/],
    [
      'consumers.one.polling',
      { ...dev, consumers: { one: { polling: { minimumPollers: 1 } } } },
      /it takes nothing, because the environment polls on demand/,
    ],
    [
      'consumers.one.polling.minimumPollers',
      { ...dev, polling: SHARED, consumers: { one: { polling: { minimumPollers: 201 } } } },
      /is 201; it takes a whole number from 1 to 200/,
    ],
    [
      'consumers.one.polling.maximumPollers',
      { ...dev, polling: SHARED, consumers: { one: { polling: { minimumPollers: 20 } } } },
      /is 12; it takes a whole number from 20 to 2000/,
    ],
    [
      'consumers.one.polling.group',
      { ...dev, polling: SHARED, consumers: { one: { polling: { group: '' } } } },
      /is ""; it takes up to 128 letters/,
    ],
    ['producers.securityGroupIds', { ...dev, producers: { securityGroupIds: ['10.0.0.1'] } }, /sg-…/],
    ...['0.0.0.0/0', '10.1.2.3/16', '52.0.0.0/16'].map((cidr): [string, EnvironmentSettings, RegExp] => [
      'producers.cidrs',
      { ...dev, producers: { cidrs: [cidr] } },
      /ranges of private addresses, each beginning with its first/,
    ]),
    [
      'producers',
      {
        ...dev,
        producers: { cidrs: Array.from({ length: 51 }, (_, index) => `10.${index}.0.0/16`) },
      },
      /is 51; it takes up to 50 groups and ranges, because a security group takes 60 inbound rules/,
    ],
    ...['oncall', 'https://example.org', 'arn:aws:sqs:eu-west-1:123456789012:oncall'].map(
      (target): [string, EnvironmentSettings, RegExp] => [
        'notifications.incident',
        { ...dev, notifications: { incident: [target] } },
        /it takes e-mail addresses, and ARNs of SNS topics/,
      ],
    ),
    [
      'notifications.warning',
      { ...dev, notifications: { warning: ['a', 'b', 'c', 'd', 'e'].map(topicArn) } },
      /up to 4 ARNs of SNS topics, because an alarm has five actions/,
    ],
    [
      'database.maxCapacity',
      { ...dev, database: { ...dev.database, maxCapacity: 300 } },
      /is 300; it takes halves from 1 to 256/,
    ],
    [
      'database.minCapacity',
      { ...dev, database: { ...dev.database, minCapacity: 0.3 } },
      /is 0.3; it takes halves/,
    ],
    [
      'database.minCapacity',
      { ...dev, database: { ...dev.database, proxy: true } },
      /at least 0.5 with database.proxy: .* would never pause/,
    ],
    ...[
      'https://www.example.org/',
      'https://WWW.example.org',
      'http://www.example.org',
      'www.example.org',
      '*',
    ].map((origin): [string, EnvironmentSettings, RegExp] => [
      'collector.allowedOrigins',
      { ...dev, collector: { ...collector, allowedOrigins: [origin, 'https://www.example.org'] } },
      /it takes origins as browsers write them, such as https:\/\/www\.example\.org/,
    ]),
    [
      'collector.allowedOrigins',
      {
        ...dev,
        collector: {
          ...collector,
          allowedOrigins: Array.from({ length: 40 }, (_, n) => `https://site-${n}.example.org`),
        },
      },
      /is "\d+ characters"; it takes up to 800 characters as JSON/,
    ],
    ['collector.rate', { ...dev, collector: { ...collector, rate: 10_001 } }, /from 1 to 10000/],
    [
      'collector.burst',
      { ...dev, collector: { ...collector, burst: 0 } },
      /is 0; it takes .* from 1 to 5000/,
    ],
    [
      'collector.maxConcurrency',
      { ...dev, collector: { ...collector, maxConcurrency: 0.5 } },
      /is 0.5; it takes a whole number from 1 to 3000/,
    ],
    ...[
      undefined,
      null,
      'none',
      'NONE',
      '',
      {},
      { userPoolArn: 'eu-west-1_AbCdEfGhI' },
      { lambdaArn: 'arn:aws:lambda:eu-west-1:123456789012:function:login:$LATEST' },
      { lambdaArn: '*' },
      { lambdaArn: ['arn:aws:lambda:eu-west-1:123456789012:function:login'] },
    ].map((authorizer): [string, EnvironmentSettings, RegExp] => [
      'collector.page.authorizer',
      { ...dev, collector: { ...collector, page: { authorizer: authorizer as never } } },
      /(is missing|is .+); it takes "iam", \{ userPoolArn \}/,
    ]),
    [
      'collector.page.maxConcurrency',
      { ...dev, collector: { ...collector, page: { authorizer: 'iam', maxConcurrency: 0 } } },
      /is 0; it takes a whole number from 1 to 100/,
    ],
    [
      'collector.webAclArn',
      {
        ...dev,
        collector: {
          ...collector,
          webAclArn: 'arn:aws:wafv2:us-east-1:123456789012:global/webacl/theirs/6b1f0e6c',
        },
      },
      /the ARN of a regional web ACL/,
    ],
    ['database.standbys', { ...dev, database: { ...dev.database, standbys: -1 } }, /from 0 to 14/],
    ['database.backupDays', { ...dev, database: { ...dev.database, backupDays: 36 } }, /from 1 to 35/],
  ])('%s', (field, settings, why) => {
    expect(() => resolveEnvironment({ ...APP, environments: { mine: settings } }, { env: 'mine' })).toThrow(
      expect.objectContaining({
        code: 'ENVIRONMENT_INVALID',
        message: expect.stringMatching(why),
        details: { field: `mine.${field}` },
      }),
    );
  });
});

describe('addresses by default', () => {
  const { dev } = ENVIRONMENTS as Record<'dev', EnvironmentSettings>;
  const resolve = (env: string, environments: Record<string, EnvironmentSettings>) =>
    resolveEnvironment({ ...APP, environments }, { env });

  test('are refused where another environment has them, until one of the two names its own', () => {
    // Two names whose ranges are the same.
    expect(defaultCidr('qa')).toBe(defaultCidr('x'));
    const refused = expect.objectContaining({
      code: 'ENVIRONMENT_INVALID',
      message: expect.stringMatching(
        /^Environment: qa\.network\.cidr is missing; .* the default 10\.199\.0\.0\/16 overlaps with x\. Set it for/,
      ),
    });
    expect(() => resolve('qa', { qa: dev, x: dev })).toThrow(refused);
    const elsewhere = { ...dev, network: { type: 'new', cidr: '10.1.0.0/16' } } as const;
    for (const env of ['qa', 'x'])
      expect(resolve(env, { qa: dev, x: elsewhere })).toMatchObject({ name: env });
  });

  test('are refused where another environment named them, which may itself keep them', () => {
    const same = { ...dev, network: { type: 'new', cidr: defaultCidr('qa') } } as const;
    expect(() => resolve('qa', { qa: dev, other: same })).toThrow('overlaps with other');
    expect(resolve('other', { qa: dev, other: same })).toMatchObject({ name: 'other' });
  });
});

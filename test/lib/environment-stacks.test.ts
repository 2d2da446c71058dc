import { describe, expect, test } from '@jest/globals';
import { Match, type Template } from 'aws-cdk-lib/assertions';
import { COMPATIBILITY_MODES, type Contract } from '../../runtime/contract/contract.ts';
import { stackParts } from '../../runtime/deployment.ts';
import { resolveEnvironment } from '../../runtime/environment.ts';
import { withProbe } from '../../runtime/probe/operator.ts';
import { pageviews } from '../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import newsdesk from '../fixtures/newsdesk/millrace.config.ts';
import { NEWSDESK } from '../newsdesk.ts';
import { resourcesOf, templatesOf } from './synthesized.ts';

const NAMES = ['dev', 'staging', 'prod'] as const;

const partsOf = (templates: Readonly<Record<string, Template>>) =>
  templates as Readonly<Record<'network' | 'cluster' | 'contracts', Template>>;
const templates = Object.fromEntries(NAMES.map((name) => [name, partsOf(templatesOf(name))])) as Record<
  (typeof NAMES)[number],
  ReturnType<typeof partsOf>
>;
const withContract = (contract: Contract<never>) =>
  partsOf(templatesOf('dev', { contracts: [contract], consumers: [] })).contracts;

test.each(NAMES)('the stacks of %s are those that others look for, in this order', (env) => {
  const environment = resolveEnvironment({ environments: newsdesk.environments, root: NEWSDESK }, { env });
  expect(Object.keys(templates[env])).toEqual(stackParts(newsdesk, environment));
});

test('an environment with a cluster of others and without a collector has neither stack', () => {
  const clusterArn =
    'arn:aws:kafka:eu-west-1:123456789012:cluster/theirs/1f2e3d4c-5b6a-4789-8abc-def012345678-1';
  const settings = {
    network: {
      type: 'existing' as const,
      vpcId: 'vpc-0a1b2c3d',
      subnetIds: {
        brokers: ['subnet-1', 'subnet-2', 'subnet-3'],
        functions: ['subnet-4', 'subnet-5'],
        databases: ['subnet-6', 'subnet-7'],
      },
    },
    brokers: { type: 'existing' as const, clusterArn, securityGroupId: 'sg-0a1b2c3d' },
  };
  const environment = { ...newsdesk.environments.dev!, ...settings };
  expect(Object.keys(templatesOf('dev', { settings }))).toEqual(stackParts(newsdesk, environment));
  expect(stackParts({ ...newsdesk, collected: [] }, environment)).not.toContain('collector');
});

describe('with a probe', () => {
  const settings = { probe: true };
  const probed = templatesOf('staging', { settings });

  test('an environment has its consumer, in the order that others expect', () => {
    const environment = { ...newsdesk.environments.staging!, ...settings };
    expect(Object.keys(probed)).toEqual(stackParts(withProbe(newsdesk, environment), environment));
    expect(Object.keys(probed)).toContain('consumer-millrace-probe');
    probed.contracts!.hasResourceProperties('AWS::MSK::Topic', {
      TopicName: 'millrace.probe',
      PartitionCount: 1,
    });
    probed.migrations!.hasResourceProperties('AWS::Lambda::Function', {
      Environment: { Variables: Match.objectLike({ MILLRACE_PROBE: 'true' }) },
    });
  });

  test('the operator function writes to the topic of the probe besides, and logs in as its consumer', () => {
    const allowed = grantedTo(probed.operator!);
    expect(actionsIn(allowed)).toEqual(
      [
        ...LOOKING,
        'glue:GetSchemaByDefinition',
        'kafka-cluster:DescribeTopic',
        'kafka-cluster:WriteData',
        'kafka-cluster:WriteDataIdempotently',
      ].sort(),
    );
    const on = (action: string) =>
      JSON.stringify(
        allowed.filter(({ Action }) => [Action].flat().includes(action)).map(({ Resource }) => Resource),
      );
    expect(on('kafka-cluster:WriteData')).toContain('/millrace.probe"');
    expect(on('kafka-cluster:WriteData')).not.toContain('news.pageviews');
    expect(on('rds-db:connect')).toContain('/millrace-probe"');
  });
});

interface Granted {
  readonly Action: string | string[];
  readonly Effect: string;
  readonly Resource: unknown;
}

/** What every operator function may do. */
const LOOKING = [
  'kafka-cluster:Connect',
  'kafka-cluster:DescribeGroup',
  'kafka-cluster:DescribeTopic',
  'kafka-cluster:ReadData',
  'rds-db:connect',
];

function grantedTo(operator: Template): readonly Granted[] {
  const [policy] = Object.values(operator.findResources('AWS::IAM::Policy', {})).filter(({ Properties }) =>
    JSON.stringify(Properties).includes('kafka-cluster:Connect'),
  );
  const statements: Granted[] = policy!.Properties.PolicyDocument.Statement;
  return statements.filter(({ Effect }) => Effect === 'Allow');
}

function actionsIn(granted: readonly Granted[]): readonly string[] {
  return granted
    .flatMap(({ Action }) => Action)
    .filter((action) => !/^(ec2|logs):/.test(action))
    .sort();
}

describe('the operator function', () => {
  const { operator } = templatesOf('staging');

  test('is there unless the settings say no, or a probe needs it', () => {
    expect(Object.keys(templatesOf('staging', { settings: { operator: false } }))).not.toContain('operator');
    const probing = templatesOf('staging', { settings: { operator: false, probe: true } });
    expect(Object.keys(probing)).toContain('operator');
    const alarmed = JSON.stringify(
      templatesOf('staging', { settings: { operator: false } })['consumer-editorial-analytics']!.toJSON(),
    );
    for (const kind of ['unread-deleted', 'at-risk', 'lag-unknown']) expect(alarmed).not.toContain(kind);
  });

  test('reads topics and groups of the app, logs in as its own role, and writes nothing', () => {
    const allowed = grantedTo(operator!);
    expect(actionsIn(allowed)).toEqual(LOOKING);
    const on = (action: string) =>
      JSON.stringify(allowed.find(({ Action }) => [Action].flat().includes(action))!.Resource);
    expect(on('kafka-cluster:ReadData')).toContain('/news.pageviews"');
    expect(on('kafka-cluster:DescribeGroup')).toContain('/editorial-analytics"');
    expect(on('rds-db:connect')).toContain('/millrace-operator"');
  });

  test('looks at every consumer once a minute, and a look that failed is not repeated', () => {
    const [rule] = Object.values(operator!.findResources('AWS::Events::Rule'));
    const { ScheduleExpression, Targets } = rule!.Properties;
    expect(ScheduleExpression).toBe('rate(1 minute)');
    expect(Targets).toMatchObject([{ RetryPolicy: { MaximumRetryAttempts: 0 } }]);
    expect(JSON.parse(Targets[0].Input)).toEqual({
      action: 'sample',
      consumers: [
        {
          consumer: 'editorial-analytics',
          topic: 'news.pageviews',
          warning: 10_000,
          incident: 100_000,
          windowMs: 500,
          startingPosition: 'TRIM_HORIZON',
          retentionMs: 604_800_000,
          parkedInEpoch: 1,
          parks: false,
        },
      ],
    });
    operator!.hasResourceProperties('AWS::Lambda::EventInvokeConfig', { MaximumRetryAttempts: 0 });
    operator!.hasResourceProperties('AWS::Lambda::Permission', { Principal: 'events.amazonaws.com' });
    operator!.resourceCountIs('AWS::Lambda::Permission', 1);
  });

  test('does not look at consumers that are off, and nobody misses what it would say', () => {
    const consumers = { 'editorial-analytics': { enabled: false } };
    const off = templatesOf('staging', { settings: { consumers } }).operator!;
    off.resourceCountIs('AWS::Events::Rule', 0);
    off.resourceCountIs('AWS::CloudWatch::Alarm', 0);
  });

  test('whoever has the policy may invoke the operator function, and do nothing else', () => {
    const policies = Object.values(operator!.findResources('AWS::IAM::ManagedPolicy'));
    expect(policies).toMatchObject([
      {
        Properties: {
          ManagedPolicyName: 'millrace-staging-operator',
          PolicyDocument: {
            Statement: [
              {
                Action: 'lambda:InvokeFunction',
                Effect: 'Allow',
                Resource: { 'Fn::GetAtt': [expect.stringMatching(/^Function/), 'Arn'] },
              },
            ],
          },
        },
      },
    ]);
  });
});

describe.each(NAMES)('in %s', (env) => {
  const { network, cluster, contracts } = templates[env];

  test('the cluster takes IAM over TLS only, and encrypts its disks with a key of its own that rotates', () => {
    cluster.hasResourceProperties('AWS::MSK::Cluster', {
      KafkaVersion: '3.9.x.kraft',
      NumberOfBrokerNodes: 3,
      ClientAuthentication: { Sasl: { Iam: { Enabled: true } }, Unauthenticated: { Enabled: false } },
      EncryptionInfo: {
        EncryptionAtRest: { DataVolumeKMSKeyId: { 'Fn::GetAtt': [Match.stringLikeRegexp('^Key'), 'Arn'] } },
        EncryptionInTransit: { ClientBroker: 'TLS', InCluster: true },
      },
      LoggingInfo: { BrokerLogs: { CloudWatchLogs: { Enabled: true } } },
    });
    const [{ Properties }] = Object.values(cluster.findResources('AWS::MSK::Cluster')) as [
      { Properties: { ClientAuthentication: { Sasl: object } } },
    ];
    expect(Object.keys(Properties.ClientAuthentication.Sasl)).toEqual(['Iam']);
    cluster.hasResourceProperties('AWS::KMS::Key', { EnableKeyRotation: true });
  });

  test('no topic comes about by itself', () => {
    cluster.hasResourceProperties('AWS::MSK::Configuration', {
      ServerProperties: Match.stringLikeRegexp('^auto\\.create\\.topics\\.enable=false\n'),
    });
  });

  test('endpoints are for this account only, and on demand for what pollers do, as Lambda itself', () => {
    const found = Object.values(network.findResources('AWS::EC2::VPCEndpoint')).map(({ Properties }) => {
      const [service] = /(lambda|sts|glue|sqs|s3)/.exec(JSON.stringify(Properties.ServiceName))!;
      const statements = Properties.PolicyDocument?.Statement.map(
        (each: { Action: string; Condition?: object; Principal: object }) => [
          each.Action,
          each.Condition ?? each.Principal,
        ],
      );
      return [service, statements];
    });
    const account = { Ref: 'AWS::AccountId' };
    expect(Object.fromEntries(found)).toEqual({
      s3: [['s3:*', { StringEquals: { 'aws:ResourceAccount': account } }]],
      glue: [['glue:*', { StringEquals: { 'aws:PrincipalAccount': account } }]],
      sqs: [['sqs:*', { StringEquals: { 'aws:PrincipalAccount': account } }]],
      // Provisioned pollers call neither from inside the network.
      ...(env === 'dev' && {
        lambda: [['lambda:InvokeFunction', { Service: 'lambda.amazonaws.com' }]],
        sts: [['sts:AssumeRole', { Service: 'lambda.amazonaws.com' }]],
      }),
    });
  });

  test("the cluster follows its configuration's changes, and a new Kafka version changes nothing of that", () => {
    cluster.hasResourceProperties('AWS::MSK::Configuration', { KafkaVersionsList: Match.absent() });
    const [configuration] = Object.keys(cluster.findResources('AWS::MSK::Configuration'));
    cluster.hasResourceProperties('AWS::MSK::Cluster', {
      ConfigurationInfo: {
        Arn: { 'Fn::GetAtt': [configuration, 'Arn'] },
        Revision: { 'Fn::GetAtt': [configuration, 'LatestRevision.Revision'] },
      },
    });
  });

  test('the network logs what it rejects, and nothing else', () => {
    network.allResourcesProperties('AWS::EC2::FlowLog', { ResourceType: 'VPC', TrafficType: 'REJECT' });
    network.resourceCountIs('AWS::EC2::FlowLog', 1);
  });

  test('the network has three zones and no way out', () => {
    network.resourceCountIs('AWS::EC2::Subnet', 9);
    for (const type of ['AWS::EC2::NatGateway', 'AWS::EC2::InternetGateway'])
      network.resourceCountIs(type, 0);
    network.resourceCountIs('AWS::EC2::VPCEndpoint', env === 'dev' ? 5 : 3);
    const open = Object.values(network.findResources('AWS::EC2::SecurityGroup')).flatMap(
      ({ Properties: { SecurityGroupIngress = [], SecurityGroupEgress = [] } }) =>
        [...SecurityGroupIngress, ...SecurityGroupEgress].filter(
          // The CDK's way to write "nothing".
          ({ CidrIp }: { CidrIp?: string }) => CidrIp && CidrIp !== '255.255.255.255/32',
        ),
    );
    // S3's gateway has no security group to name; the subnets lead nowhere else.
    const toS3 = expect.objectContaining({
      FromPort: 443,
      ToPort: 443,
      Description: expect.stringContaining('S3'),
    });
    expect(open).toEqual([toS3, toS3]);
  });

  test('each contract has its topic and its versions in order', () => {
    contracts.hasResourceProperties('AWS::MSK::Topic', {
      TopicName: 'news.pageviews',
      PartitionCount: 12,
      ReplicationFactor: 3,
    });
    contracts.hasResourceProperties('AWS::Glue::Schema', {
      Name: 'news.pageviews',
      DataFormat: 'AVRO',
      Compatibility: 'FULL_ALL',
      SchemaDefinition: JSON.stringify(pageviews.versions[0]?.schema),
    });
    const [schemaId] = Object.keys(contracts.findResources('AWS::Glue::Schema'));
    contracts.hasResourceProperties('AWS::Glue::SchemaVersion', {
      Schema: { SchemaArn: { 'Fn::GetAtt': [schemaId, 'Arn'] } },
      SchemaDefinition: JSON.stringify(pageviews.versions[1]?.schema),
    });
  });

  test('what holds data is kept in prod and goes with its stack elsewhere', () => {
    const policy = env === 'prod' ? 'RetainExceptOnCreate' : 'Delete';
    cluster.hasResource('AWS::MSK::Cluster', { DeletionPolicy: policy });
    cluster.hasResource('AWS::KMS::Key', { DeletionPolicy: policy });
    for (const type of [
      'AWS::MSK::Topic',
      'AWS::Glue::Registry',
      'AWS::Glue::Schema',
      'AWS::Glue::SchemaVersion',
    ]) {
      contracts.hasResource(type, { DeletionPolicy: policy });
    }
  });
});

const configsOf = (template: Template): string => {
  const [{ Properties }] = Object.values(template.findResources('AWS::MSK::Topic')) as [
    { Properties: { Configs: string } },
  ];
  return Buffer.from(Properties.Configs, 'base64').toString();
};

describe('replication', () => {
  test('is set on standard brokers', () => {
    const properties =
      'auto.create.topics.enable=false\ndefault.replication.factor=3\nmin.insync.replicas=2\n';
    templates.dev.cluster.hasResourceProperties('AWS::MSK::Configuration', { ServerProperties: properties });
    expect(configsOf(templates.dev.contracts)).toBe(
      'cleanup.policy=delete\nretention.ms=604800000\nmin.insync.replicas=2\n',
    );
  });

  test('is left to MSK on express brokers, as is storage', () => {
    templates.prod.cluster.hasResourceProperties('AWS::MSK::Configuration', {
      ServerProperties: 'auto.create.topics.enable=false\n',
    });
    expect(configsOf(templates.prod.contracts)).toBe('cleanup.policy=delete\nretention.ms=604800000\n');
    templates.prod.cluster.hasResourceProperties('AWS::MSK::Cluster', {
      BrokerNodeGroupInfo: { InstanceType: 'express.m7g.large', StorageInfo: Match.absent() },
    });
  });
});

test('every compatibility mode has a name that Glue knows', () => {
  const glue = ['BACKWARD', 'BACKWARD_ALL', 'FORWARD', 'FORWARD_ALL', 'FULL', 'FULL_ALL', 'NONE'];
  const found = COMPATIBILITY_MODES.map((compatibility) => {
    const contracts = withContract({ ...pageviews, compatibility });
    return Object.values(contracts.findResources('AWS::Glue::Schema'))[0]?.Properties.Compatibility;
  });
  expect(found.toSorted()).toEqual(glue);
});

test('a third version waits for the second', () => {
  const third = { version: 3, schema: { ...(pageviews.latest.schema as object), doc: 'the third' } };
  const contracts = withContract({ ...pageviews, versions: [...pageviews.versions, third] });
  const versions = contracts.findResources('AWS::Glue::SchemaVersion');
  const [[second, { DependsOn: none }], [, { DependsOn: before }]] = Object.entries(versions) as [
    [string, { DependsOn?: string[] }],
    [string, { DependsOn?: string[] }],
  ];
  expect([none, before]).toEqual([undefined, [second]]);
});

test('a network takes the zones that it is given, each for brokers, functions and databases', () => {
  const zones = ['us-east-1a', 'us-east-1b', 'us-east-1f'];
  const { network } = partsOf(templatesOf('prod', { settings: { network: { type: 'new', zones } } }));
  const found = Object.values(network.findResources('AWS::EC2::Subnet')).map(
    ({ Properties }) => Properties.AvailabilityZone,
  );
  expect(found.toSorted()).toEqual(zones.flatMap((zone) => [zone, zone, zone]));
});

describe('with a network and a cluster of somebody else', () => {
  const subnets = (digit: string) => [1, 2, 3].map((zone) => `subnet-${digit}${zone}`);
  const clusterArn =
    'arn:aws:kafka:eu-west-1:123456789012:cluster/theirs/6b1f0e6c-6c0a-4b0e-8f5a-0f1d2c3b4a59-2';
  const synthesized = templatesOf('staging', {
    settings: {
      network: {
        type: 'existing',
        vpcId: 'vpc-0a1b2c3d',
        subnetIds: { brokers: subnets('a'), functions: subnets('b'), databases: subnets('c') },
      },
      brokers: { type: 'existing', clusterArn, securityGroupId: 'sg-0a1b2c3d' },
    },
  });
  const resources = resourcesOf(synthesized);

  test('neither is made, nor anything of theirs', () => {
    const types = new Set(resources.map(({ Type }) => Type));
    for (const type of ['VPC', 'Subnet', 'VPCEndpoint', 'RouteTable', 'FlowLog']) {
      expect(types).not.toContain(`AWS::EC2::${type}`);
    }
    expect(types).not.toContain('AWS::MSK::Cluster');
    expect(Object.keys(synthesized)).not.toContain('cluster');
  });

  test('topics, pollers, rights and alarms are for their cluster, functions and databases in their subnets', () => {
    const consumer = synthesized['consumer-editorial-analytics']!;
    synthesized.contracts!.hasResourceProperties('AWS::MSK::Topic', { ClusterArn: clusterArn });
    consumer.hasResourceProperties('AWS::Lambda::EventSourceMapping', {
      EventSourceArn: clusterArn,
      Topics: ['news.pageviews'],
    });
    consumer.hasResourceProperties('AWS::Lambda::Function', { VpcConfig: { SubnetIds: subnets('b') } });
    synthesized.database!.hasResourceProperties('AWS::RDS::DBSubnetGroup', { SubnetIds: subnets('c') });
    const { PolicyDocument } = resources.find(
      ({ id, Type }) => Type === 'AWS::IAM::Policy' && id.startsWith('consumer'),
    )!.Properties;
    const granted = PolicyDocument.Statement.flatMap(({ Resource }: { Resource: unknown }) => Resource);
    expect(granted).toContain(clusterArn.replace(':cluster/', ':topic/').concat('/news.pageviews'));
    expect(granted).toContain(clusterArn.replace(':cluster/', ':group/').concat('/editorial-analytics'));
    consumer.hasResourceProperties('AWS::CloudWatch::Alarm', {
      MetricName: 'SumOffsetLag',
      Dimensions: Match.arrayWith([{ Name: 'Cluster Name', Value: 'theirs' }]),
    });
  });

  test('their cluster is theirs to watch', () => {
    const alarms = resources.filter(({ Type }) => Type === 'AWS::CloudWatch::Alarm');
    expect(alarms.filter(({ Properties }) => Properties.AlarmName.includes('-cluster-'))).toEqual([]);
  });
});

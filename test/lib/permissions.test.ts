/** Walks every statement of every policy, in every environment: a wildcard is an exception with a reason, or a mistake. */
import { describe, expect, test } from '@jest/globals';
import { Match } from 'aws-cdk-lib/assertions';
import {
  DEAD_LETTERS_IN_KAFKA,
  ENVIRONMENT_NAMES,
  type Resource,
  resourcesOf,
  templatesOf,
  withVariant,
} from './synthesized.ts';
import { VARIANTS } from './variants.ts';

/** Every wildcard that may be, by action, with the resource it may stand in and why nothing narrower will do. */
const ALLOWED: readonly { readonly action: RegExp; readonly resource: string; readonly because: string }[] = [
  {
    action:
      /^ec2:(Create|Delete)NetworkInterface$|^ec2:Describe(NetworkInterfaces|SecurityGroups|Subnets|Vpcs)$|^ec2:(Una|A)ssignPrivateIpAddresses$/,
    resource: '*',
    because:
      "EC2 names no resource before an interface is made, nor for what only describes; Lambda's own policy says the same",
  },
  {
    action: /^glue:GetSchemaVersion$/,
    resource: '*',
    because: 'asked by the id in a record alone, Glue checks no narrower resource',
  },
  {
    action: /^s3:PutObject$/,
    resource: '<bucket>/aws/lambda/*',
    because: "an object's path holds the id of a mapping that is made later, and the hour",
  },
  {
    action: /^s3:(Get|Put)Object$/,
    resource: '<bucket>/dead-letters/*',
    because: "an object's path holds the record and a hash of its bytes",
  },
  {
    action: /^s3:PutObject$/,
    resource: '<bucket>/redrives/*',
    because: "an object's path holds the redrive and the request",
  },
  ...['news.pageviews', 'cms.public.articles', 'cms.millrace_capture.heartbeat'].flatMap((topic) =>
    ['topics', 'redriven', 'holes'].map((kind) => ({
      action: /^s3:(Get|Put)Object$/,
      resource: `<archive>/${kind}/${topic}/1/*`,
      because: "an object's path holds the partition, the day and the offset",
    })),
  ),
  ...['configs', 'status'].map((kind) => ({
    action: /^kafka-cluster:(CreateTopic|DescribeTopic|ReadData|WriteData)$/,
    resource: `<cluster>:topic/<cluster>/__amazon_msk_connect_${kind}_millrace-<env>-cms-1_*`,
    because: 'MSK Connect ends the name with an id, which the connector gets when it is made',
  })),
  {
    action: /^kafka-cluster:(Alter|Describe)Group$/,
    resource: '<cluster>:group/<cluster>/__amazon_msk_connect_*',
    because: 'MSK Connect makes up the name of the group of its workers',
  },
  ...['topics', 'redriven'].map((kind) => ({
    action: /^s3:GetObject(Version)?$/,
    resource: `<archive>/${kind}/*`,
    because: 'the warehouse loads every topic and every table',
  })),
  {
    action: /^ecr:GetAuthorizationToken$/,
    resource: '*',
    because: 'ECR hands out its login for no narrower resource',
  },
  {
    action: /^lambda:InvokeFunction$/,
    resource: '<function>:*',
    because: "the CDK's trigger invokes the version of the function that is being deployed",
  },
];

/** In these, a wildcard is what limits: a key's own policy means the key, a Deny is the wider the better. */
const KEY_POLICY = 'AWS::KMS::Key';

/** An endpoint's policy draws a line round the account, and leaves it to roles what their holders may do. */
const ENDPOINT_POLICY = 'AWS::EC2::VPCEndpoint';
const THIS_ACCOUNT = { Ref: 'AWS::AccountId' };

interface Statement {
  readonly Effect: 'Allow' | 'Deny';
  readonly Action?: string | string[];
  readonly NotAction?: unknown;
  readonly Resource?: unknown;
  readonly NotResource?: unknown;
  readonly Principal?: unknown;
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

const asList = <T>(value: T | readonly T[] | undefined): readonly T[] =>
  value === undefined ? [] : Array.isArray(value) ? value : [value as T];

/** The statements anywhere in a resource's properties: inline, attached, resource and key policies alike. */
function statementsIn(value: unknown): readonly Statement[] {
  if (Array.isArray(value)) return value.flatMap(statementsIn);
  if (typeof value !== 'object' || value === null) return [];
  const { Statement: own } = value as { Statement?: Statement | Statement[] };
  return [...asList(own), ...Object.values(value).flatMap(statementsIn)];
}

/** A resource as text, with what it refers to named for what it is. */
function textOf(resource: unknown, { id, Type }: Resource & { id: string }): string {
  if (typeof resource === 'string') return resource;
  const text = JSON.stringify(resource);
  if (!text.includes('*')) return text;
  const [, , parts] = /^\{"Fn::Join":\["(.*?)",(\[.*\])\]\}$/.exec(text) ?? [];
  if (!parts) throw new Error(`${id} (${Type}) has a resource that this test cannot read: ${text}`);
  return (JSON.parse(parts) as unknown[])
    .map((part) => {
      if (typeof part === 'string') return part;
      const of = JSON.stringify(part);
      return /Kept(editorialanalytics|millraceprobe|\w+archive)/.test(of)
        ? '<bucket>'
        : /-archive:ExportsOutputFnGetAttBucket/.test(of)
          ? '<archive>'
          : /:cluster\//.test(of)
            ? '<cluster>'
            : /Function[0-9A-F]{8}/.test(of)
              ? '<function>'
              : of;
    })
    .join('');
}

function wildcardsIn(resources: readonly (Resource & { id: string })[]): readonly string[] {
  const found: string[] = [];
  for (const resource of resources) {
    for (const statement of statementsIn(resource.Properties)) {
      if (statement.Effect === 'Deny') continue;
      if (resource.Type === ENDPOINT_POLICY) {
        if (!staysInThisAccount(statement) && !isOfPollers(statement))
          found.push(`${resource.id}: any account`);
        continue;
      }
      const targets = asList(statement.Resource).map((each) => textOf(each, resource));
      if (statement.NotAction || statement.NotResource)
        found.push(`${resource.id}: NotAction or NotResource`);
      if (JSON.stringify(statement.Principal ?? '').includes('"*"'))
        found.push(`${resource.id}: Principal *`);
      for (const action of asList(statement.Action)) {
        const isPublic = action.includes('*');
        const wide = targets.filter((target) => target.includes('*'));
        if (resource.Type === KEY_POLICY) {
          // The CDK's first statement gives the key to the account, whose IAM policies then say who may do what.
          if (isPublic && action !== 'kms:*') found.push(`${resource.id}: ${action}`);
          continue;
        }
        if (isPublic) found.push(`${resource.id}: ${action}`);
        for (const target of wide) {
          const isAllowed = ALLOWED.some(
            (each) =>
              each.action.test(action) &&
              each.resource === target.replace(/millrace-(dev|staging|prod)-cms/, 'millrace-<env>-cms'),
          );
          if (!isAllowed) found.push(`${resource.id}: ${action} on ${target}`);
        }
      }
    }
  }
  return found;
}

/** Lambda's pollers call as Lambda itself; the page that says so wants the resource "*". */
function isOfPollers({ Principal, Action }: Statement): boolean {
  return (
    JSON.stringify(Principal) === '{"Service":"lambda.amazonaws.com"}' &&
    ['lambda:InvokeFunction', 'sts:AssumeRole'].includes(String(Action))
  );
}

function staysInThisAccount({ Condition }: Statement): boolean {
  const { StringEquals = {} } = Condition ?? {};
  return ['aws:PrincipalAccount', 'aws:ResourceAccount'].some(
    (key) => JSON.stringify(StringEquals[key]) === JSON.stringify(THIS_ACCOUNT),
  );
}

const withStatement = (statement: Statement, Type = 'AWS::IAM::Policy') => [
  { id: 'x', Type, Properties: { PolicyDocument: { Statement: [statement] } } },
];

describe('no wildcard that is not on the list', () => {
  test.each(ENVIRONMENT_NAMES)('in %s', (env) => {
    const resources = resourcesOf(templatesOf(env));
    // Enough to know that the walk finds them.
    expect(resources.flatMap(({ Properties }) => statementsIn(Properties)).length).toBeGreaterThan(30);
    expect(wildcardsIn(resources)).toEqual([]);
  });

  test.each(Object.entries(VARIANTS))('with %s', (_, variant) => {
    const resources = resourcesOf(templatesOf(variant.env, withVariant(variant)));
    expect(wildcardsIn(resources)).toEqual([]);
  });

  test('where dead letters are in Kafka', () => {
    expect(wildcardsIn(resourcesOf(templatesOf('prod', DEAD_LETTERS_IN_KAFKA)))).toEqual([]);
  });

  test('only the trigger that the CDK makes, and API Gateway as it writes logs, have a managed policy', () => {
    const withManaged = resourcesOf(templatesOf('prod')).filter(
      ({ Type, Properties }) => Type === 'AWS::IAM::Role' && Properties.ManagedPolicyArns,
    );
    expect(withManaged.map(({ id }) => id)).toEqual([
      expect.stringMatching(/^migrations\/AWSCDKTrigger/),
      expect.stringMatching(/^collector\/CollectorLogsRole/),
    ]);
  });

  test.each<[string, Statement]>([
    ['an action', { Effect: 'Allow', Action: 's3:*', Resource: 'arn:aws:s3:::b' }],
    ['a resource', { Effect: 'Allow', Action: ['sqs:SendMessage'], Resource: ['*'] }],
    [
      'a part of a resource',
      { Effect: 'Allow', Action: 's3:PutObject', Resource: { 'Fn::Join': ['', [{ Ref: 'Other' }, '/*']] } },
    ],
    [
      'whoever',
      { Effect: 'Allow', Action: 'sqs:SendMessage', Resource: 'arn:aws:sqs:::q', Principal: { AWS: '*' } },
    ],
    ['all but one', { Effect: 'Allow', NotAction: 'iam:PassRole', Resource: 'arn:aws:sqs:::q' }],
  ])('the walk would find %s', (_, statement) => {
    expect(wildcardsIn(withStatement(statement))).toHaveLength(1);
  });

  test('the walk would find an endpoint that lets any account through', () => {
    const open: Statement = { Effect: 'Allow', Action: 'sqs:*', Resource: '*', Principal: { AWS: '*' } };
    expect(wildcardsIn(withStatement(open, ENDPOINT_POLICY))).toHaveLength(1);
    const anyone = { ...open, Action: 'sts:AssumeRole' };
    expect(wildcardsIn(withStatement(anyone, ENDPOINT_POLICY))).toHaveLength(1);
    const anything = { ...open, Action: 'sts:*', Principal: { Service: 'lambda.amazonaws.com' } };
    expect(wildcardsIn(withStatement(anything, ENDPOINT_POLICY))).toHaveLength(1);
  });
});

/** A resource as text: what it refers to by its stack's part and its name there, without the CDK's hashes. */
function named(resource: unknown): string {
  if (typeof resource === 'string') return resource;
  const [[intrinsic, value]] = Object.entries(resource as Record<string, unknown>) as [[string, never]];
  const without = (name: string) => name.replace(/[0-9A-F]{8}/g, '');
  switch (intrinsic) {
    case 'Ref':
      return `<${value}>`;
    case 'Fn::GetAtt':
      return `<${without(value[0])} ${value[1]}>`;
    case 'Fn::ImportValue':
      return without(value).replace(/^millrace-[a-z]+-(.+):ExportsOutput(?:FnGetAtt|Ref)(.+)$/, '<$1 $2>');
    case 'Fn::Join':
      return (value[1] as unknown[]).map(named).join('');
    case 'Fn::Select':
      // One part of an ARN that is split.
      return `${named(value[1]['Fn::Split'][1])}[${value[0]}]`;
    default:
      throw new Error(`This test cannot read ${JSON.stringify(resource)}`);
  }
}

describe.each(ENVIRONMENT_NAMES)('in %s a consumer', (env) => {
  const consumer = resourcesOf({ consumer: templatesOf(env)['consumer-editorial-analytics']! });
  const database = env === 'dev' ? '<database ResourceDBClusterResourceId>' : '<database ProxyDBProxyArn>[6]';
  const cluster = '<cluster ResourceArn>';
  const queues = `arn:<AWS::Partition>:sqs:<AWS::Region>:<AWS::AccountId>:millrace-${env}-editorial-analytics`;

  test('may do this, and nothing else', () => {
    const policies = consumer.filter(({ Type }) => Type === 'AWS::IAM::Policy');
    expect(policies).toHaveLength(1);
    const { Statement } = policies[0]!.Properties.PolicyDocument as { Statement: Statement[] };
    const allowing = Statement.filter(({ Effect }) => Effect === 'Allow');
    const granted = allowing.flatMap(({ Action, Resource, Condition }) => {
      expect(Condition).toBeUndefined();
      return asList(Resource).flatMap((each) => asList(Action).map((action) => `${action} ${named(each)}`));
    });
    expect(granted.toSorted()).toEqual(
      [
        'logs:CreateLogStream <ConsumerFunctionLogs Arn>',
        'logs:PutLogEvents <ConsumerFunctionLogs Arn>',
        'ec2:AssignPrivateIpAddresses *',
        'ec2:CreateNetworkInterface *',
        'ec2:DeleteNetworkInterface *',
        'ec2:DescribeNetworkInterfaces *',
        'ec2:DescribeSecurityGroups *',
        'ec2:DescribeSubnets *',
        'ec2:DescribeVpcs *',
        'ec2:UnassignPrivateIpAddresses *',
        `kafka:DescribeCluster ${cluster}`,
        `kafka:DescribeClusterV2 ${cluster}`,
        `kafka:GetBootstrapBrokers ${cluster}`,
        `kafka-cluster:Connect ${cluster}`,
        `kafka-cluster:DescribeClusterDynamicConfiguration ${cluster}`,
        `kafka-cluster:DescribeTopic ${cluster}[0]:topic/${cluster}[1]/news.pageviews`,
        `kafka-cluster:ReadData ${cluster}[0]:topic/${cluster}[1]/news.pageviews`,
        `kafka-cluster:AlterGroup ${cluster}[0]:group/${cluster}[1]/editorial-analytics`,
        `kafka-cluster:DescribeGroup ${cluster}[0]:group/${cluster}[1]/editorial-analytics`,
        'glue:GetSchemaVersion *',
        `rds-db:connect arn:<AWS::Partition>:rds-db:<AWS::Region>:<AWS::AccountId>:dbuser:${database}/editorial-analytics`,
        `sqs:SendMessage ${queues}-dead-letters`,
        `sqs:ReceiveMessage ${queues}-redrive`,
        `sqs:DeleteMessage ${queues}-redrive`,
        `sqs:GetQueueAttributes ${queues}-redrive`,
        's3:ListBucket <dead-letters KepteditorialanalyticsArn>',
        's3:PutObject <dead-letters KepteditorialanalyticsArn>/aws/lambda/*',
        's3:GetObject <dead-letters KepteditorialanalyticsArn>/dead-letters/*',
        's3:PutObject <dead-letters KepteditorialanalyticsArn>/dead-letters/*',
        's3:PutObject <dead-letters KepteditorialanalyticsArn>/redrives/*',
        'kms:Decrypt <dead-letters KeyArn>',
        'kms:GenerateDataKey <dead-letters KeyArn>',
      ].toSorted(),
    );
  });

  test('may write to its dead-letter topic besides, where it has one', () => {
    const own = resourcesOf({
      consumer: templatesOf(env, DEAD_LETTERS_IN_KAFKA)['consumer-editorial-analytics']!,
    });
    const granted = own
      .filter(({ Type, id }) => Type === 'AWS::IAM::Policy' && id.includes('FunctionRoleDefaultPolicy'))
      .flatMap(({ Properties }) => statementsIn(Properties))
      .flatMap(({ Action, Resource }) =>
        asList(Resource).flatMap((each) => asList(Action).map((action) => `${action} ${named(each)}`)),
      );
    const topic = `${cluster}[0]:topic/${cluster}[1]/news.pageviews.editorial-analytics.dead-letters`;
    expect(granted.filter((each) => each.includes('Write') || each.endsWith(topic)).toSorted()).toEqual([
      `kafka-cluster:DescribeTopic ${topic}`,
      `kafka-cluster:WriteData ${topic}`,
      `kafka-cluster:WriteDataIdempotently ${cluster}`,
    ]);
  });

  test('has one role, for Lambda alone, with that policy alone', () => {
    const roles = consumer.filter(({ Type }) => Type === 'AWS::IAM::Role');
    expect(roles.map(({ Properties }) => Properties)).toEqual([
      {
        AssumeRolePolicyDocument: expect.objectContaining({
          Statement: [
            { Action: 'sts:AssumeRole', Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' } },
          ],
        }),
        Description: `What millrace-${env}-editorial-analytics may do`,
      },
    ]);
  });
});

test.each(ENVIRONMENT_NAMES)("in %s no function's own code may touch a network interface", (env) => {
  const functions = Object.values(templatesOf(env)).flatMap((template) =>
    Object.values(template.findResources('AWS::Lambda::Function'))
      .filter(({ Properties }) => Properties.VpcConfig)
      .map(({ Properties }) => ({ template, Properties })),
  );
  expect(functions.length).toBeGreaterThanOrEqual(3);
  for (const { template, Properties } of functions) {
    const role = Properties.Role['Fn::GetAtt'][0];
    const statements = Object.values(template.findResources('AWS::IAM::Policy'))
      .filter((policy) => policy.Properties.Roles.some(({ Ref }: { Ref: string }) => Ref === role))
      .flatMap((policy) => statementsIn(policy.Properties));
    const touching = (effect: string) =>
      statements
        .filter(({ Effect }) => Effect === effect)
        .flatMap(({ Action }) => asList(Action).filter((action) => action.startsWith('ec2:')));
    const denials = statements.filter(({ Effect }) => Effect === 'Deny');
    expect(denials).toHaveLength(1);
    expect(touching('Deny')).toEqual(expect.arrayContaining(touching('Allow')));
    expect(denials[0]!.Resource).toBe('*');
    const { ArnEquals, ...others } = denials[0]!.Condition!;
    expect(others).toEqual({});
    expect(named(ArnEquals!['lambda:SourceFunctionArn'])).toBe(
      `arn:<AWS::Partition>:lambda:<AWS::Region>:<AWS::AccountId>:function:${Properties.FunctionName}`,
    );
  }
});

describe.each(ENVIRONMENT_NAMES)('in %s the alarms of this account, and of no other,', (env) => {
  const { operations } = templatesOf(env);
  const ofCloudWatch = (type: string) =>
    Object.values(operations!.findResources(type)).flatMap(({ Properties }) =>
      statementsIn(Properties).filter(({ Principal }) => JSON.stringify(Principal).includes('cloudwatch')),
    );
  const common = {
    Effect: 'Allow',
    Principal: { Service: 'cloudwatch.amazonaws.com' },
    Condition: { StringEquals: { 'aws:SourceAccount': THIS_ACCOUNT } },
  };

  test('may use the key that notifications are encrypted with', () => {
    expect(ofCloudWatch('AWS::KMS::Key')).toEqual([
      {
        ...common,
        Sid: 'AlarmsOfThisAccount',
        Action: ['kms:Decrypt', 'kms:GenerateDataKey'],
        Resource: '*',
      },
    ]);
    operations!.allResourcesProperties('AWS::SNS::Topic', {
      KmsMasterKeyId: { 'Fn::GetAtt': [Match.stringLikeRegexp('^Key'), 'Arn'] },
    });
  });

  test('may notify both topics', () => {
    const topics = Object.keys(operations!.findResources('AWS::SNS::Topic'));
    expect(topics).toHaveLength(2);
    expect(ofCloudWatch('AWS::SNS::TopicPolicy')).toEqual(
      topics.map((Ref) => ({
        ...common,
        Sid: 'AlarmsOfThisAccount',
        Action: 'sns:Publish',
        Resource: { Ref },
      })),
    );
  });
});

test.each(ENVIRONMENT_NAMES)('in %s the collector may write to its topics, and nothing else', (env) => {
  const granted = resourcesOf({ collector: templatesOf(env).collector! })
    .filter(({ Type, id }) => Type === 'AWS::IAM::Policy' && id.includes('/FunctionRoleDefaultPolicy'))
    .flatMap(({ Properties }) => statementsIn(Properties))
    .flatMap(({ Action, Resource }) =>
      asList(Resource).flatMap((each) => asList(Action).map((action) => `${action} ${named(each)}`)),
    );
  const cluster = '<cluster ResourceArn>';
  const glue = 'arn:<AWS::Partition>:glue:<AWS::Region>:<AWS::AccountId>';
  expect(granted.filter((each) => !each.startsWith('ec2:')).toSorted()).toEqual(
    [
      'logs:CreateLogStream <FunctionLogs Arn>',
      'logs:PutLogEvents <FunctionLogs Arn>',
      `kafka-cluster:Connect ${cluster}`,
      `kafka-cluster:WriteDataIdempotently ${cluster}`,
      `kafka-cluster:DescribeTopic ${cluster}[0]:topic/${cluster}[1]/news.pageviews`,
      `kafka-cluster:WriteData ${cluster}[0]:topic/${cluster}[1]/news.pageviews`,
      `glue:GetSchemaByDefinition ${glue}:registry/millrace-${env}`,
      `glue:GetSchemaByDefinition ${glue}:schema/millrace-${env}/news.pageviews`,
    ].toSorted(),
  );
});

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: GitHub and CloudFormation fill these in
/** What a new project deploys itself with: docs/ci.md explains it. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { parse, parseDocument } from 'yaml';
import { DEAD_LETTERS_IN_KAFKA, ENVIRONMENT_NAMES, resourcesOf, templatesOf } from '../lib/synthesized.ts';
import { ROOT } from '../newsdesk.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

const TEMPLATE = join(ROOT, 'create/template');
const read = (path: string) => readFileSync(join(TEMPLATE, path), 'utf8');
const { path: folder, remove } = createTemporaryFolder();
afterAll(remove);

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}
interface Job {
  readonly if: string;
  readonly environment?: string;
  readonly strategy?: {
    readonly 'max-parallel': number;
    readonly matrix: { readonly environment: string[] };
  };
  readonly steps: readonly Step[];
}
const workflow = parse(read('.github/workflows/deploy.yml')) as {
  readonly on: object;
  readonly permissions: object;
  readonly jobs: { readonly diff: Job; readonly deploy: Job };
};
const { diff, deploy } = workflow.jobs;
const runOf = ({ steps }: Job) => steps.map(({ run }) => run ?? '').join('\n');
const roleOf = ({ steps }: Job) =>
  String(steps.find(({ uses }) => uses?.startsWith('aws-actions/'))!.with!['role-to-assume']);

describe('the workflow', () => {
  test('is off until somebody turns it on, compares pull requests, and deploys what is merged', () => {
    expect(workflow.on).toEqual({ push: { branches: ['main'] }, pull_request: null });
    for (const { if: condition } of [diff, deploy])
      expect(condition).toContain("vars.MILLRACE_DEPLOYS == 'true'");
    expect(diff.if).toContain("github.event_name == 'pull_request'");
    expect(deploy.if).toContain("github.event_name == 'push'");
    expect(runOf(diff)).toContain('npx cdk diff -c env=dev --method=template');
    expect(runOf(deploy)).toContain('bash ci/deploy.sh ${{ matrix.environment }}');
  });

  test('has no key, asks for a token of its own, and takes actions by commit', () => {
    expect(workflow.permissions).toEqual({ contents: 'read', 'id-token': 'write' });
    expect(read('.github/workflows/deploy.yml')).not.toMatch(/secrets\.|access-key/);
    for (const { uses } of [...diff.steps, ...deploy.steps])
      if (uses) expect(uses).toMatch(/^[\w-]+\/[\w-]+@[0-9a-f]{40}$/);
  });

  test('deploys one environment after the other, each under the rules of GitHub’s environment of that name', () => {
    expect(deploy.strategy).toEqual({ 'max-parallel': 1, matrix: { environment: ['dev'] } });
    expect(deploy.environment).toBe('${{ matrix.environment }}');
  });
});

describe('the roles', () => {
  const text = read('ci/github-roles.yaml');
  /** CloudFormation's short forms are tags of YAML: here each is what it is of. */
  const { Resources } = parseDocument(text, { logLevel: 'error' }).toJS() as {
    Resources: Record<'Deploy' | 'Diff', { Properties: Record<string, never> }>;
  };
  const conditionOf = (role: 'Deploy' | 'Diff') => {
    const document = Resources[role].Properties.AssumeRolePolicyDocument as unknown as {
      Statement: readonly { Action: string; Condition: { StringEquals: Record<string, string> } }[];
    };
    expect(document.Statement).toHaveLength(1);
    expect(document.Statement[0]!.Action).toBe('sts:AssumeRoleWithWebIdentity');
    return document.Statement[0]!.Condition;
  };
  const ISSUER = 'token.actions.githubusercontent.com';

  test.each([
    ['Deploy', 'repo:${Repository}:environment:${Environment}'],
    ['Diff', 'repo:${Repository}:pull_request'],
  ] as const)('%s takes tokens of %s for AWS, and no others', (role, subject) => {
    expect(conditionOf(role)).toEqual({
      StringEquals: { [`${ISSUER}:aud`]: 'sts.amazonaws.com', [`${ISSUER}:sub`]: subject },
    });
  });

  test('are those that the workflow assumes', () => {
    const nameOf = (role: 'Deploy' | 'Diff') => String(Resources[role].Properties.RoleName);
    expect(roleOf(deploy)).toMatch(
      new RegExp(
        `:role/${nameOf('Deploy').replace('${Environment}', '\\$\\{\\{ matrix.environment \\}\\}')}$`,
      ),
    );
    expect(roleOf(diff)).toMatch(new RegExp(`:role/${nameOf('Diff').replace('${Environment}', 'dev')}$`));
  });

  test('of pull requests may only look', () => {
    const policies = JSON.stringify(Resources.Diff.Properties.Policies);
    expect(policies.match(/cdk-\$\{Qualifier\}-[a-z-]+-role/g)).toEqual(['cdk-${Qualifier}-lookup-role']);
    expect(policies.match(/"Action":"[^"]+"/g)).toEqual(['"Action":"sts:AssumeRole"']);
  });
});

describe('the policy of CloudFormation', () => {
  interface Statement {
    readonly Effect: string;
    readonly Action: string | readonly string[];
    readonly Resource: string | readonly string[];
    readonly Condition?: object;
  }
  const policy = JSON.parse(read('ci/execution-policy.json')) as { readonly Statement: readonly Statement[] };
  const patterns = policy.Statement.flatMap(({ Action }) => Action);
  const allows = (action: string) =>
    patterns.some((pattern) => new RegExp(`^${pattern.replaceAll('*', '.*')}$`).test(action));

  /**
   * What CloudFormation calls to create and to delete a type, as far as we know: no page lists it, and nobody has tried it. The
   * services' pages have the actions' names:
   * https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
   */
  const NEEDED: Readonly<Record<string, readonly string[]>> = {
    'AWS::ApiGateway::Account': ['apigateway:PATCH', 'iam:PassRole'],
    'AWS::ApiGateway::Deployment': ['apigateway:POST', 'apigateway:DELETE'],
    'AWS::ApiGateway::GatewayResponse': ['apigateway:PUT', 'apigateway:DELETE'],
    'AWS::ApiGateway::Method': ['apigateway:PUT', 'apigateway:DELETE'],
    'AWS::ApiGateway::Resource': ['apigateway:POST', 'apigateway:DELETE'],
    'AWS::ApiGateway::RestApi': ['apigateway:POST', 'apigateway:DELETE'],
    'AWS::ApiGateway::Stage': ['apigateway:POST', 'apigateway:DELETE'],
    'AWS::CloudWatch::Alarm': [
      'cloudwatch:PutMetricAlarm',
      'cloudwatch:DeleteAlarms',
      'cloudwatch:DescribeAlarms',
    ],
    'AWS::CloudWatch::CompositeAlarm': ['cloudwatch:PutCompositeAlarm', 'cloudwatch:DeleteAlarms'],
    'AWS::CloudWatch::Dashboard': [
      'cloudwatch:PutDashboard',
      'cloudwatch:DeleteDashboards',
      'cloudwatch:GetDashboard',
    ],
    'AWS::EC2::FlowLog': [
      'ec2:CreateFlowLogs',
      'ec2:DeleteFlowLogs',
      'iam:PassRole',
      'logs:CreateLogDelivery',
    ],
    'AWS::EC2::RouteTable': ['ec2:CreateRouteTable', 'ec2:DeleteRouteTable'],
    'AWS::EC2::SecurityGroup': [
      'ec2:CreateSecurityGroup',
      'ec2:DeleteSecurityGroup',
      'ec2:DescribeSecurityGroups',
    ],
    'AWS::EC2::SecurityGroupEgress': ['ec2:AuthorizeSecurityGroupEgress', 'ec2:RevokeSecurityGroupEgress'],
    'AWS::EC2::SecurityGroupIngress': ['ec2:AuthorizeSecurityGroupIngress', 'ec2:RevokeSecurityGroupIngress'],
    'AWS::EC2::Subnet': ['ec2:CreateSubnet', 'ec2:DeleteSubnet', 'ec2:ModifySubnetAttribute'],
    'AWS::EC2::SubnetRouteTableAssociation': ['ec2:AssociateRouteTable', 'ec2:DisassociateRouteTable'],
    'AWS::EC2::VPC': ['ec2:CreateVpc', 'ec2:DeleteVpc', 'ec2:ModifyVpcAttribute', 'ec2:CreateTags'],
    'AWS::EC2::VPCEndpoint': ['ec2:CreateVpcEndpoint', 'ec2:DeleteVpcEndpoints', 'ec2:ModifyVpcEndpoint'],
    'AWS::Events::Rule': [
      'events:PutRule',
      'events:DeleteRule',
      'events:DescribeRule',
      'events:PutTargets',
      'events:RemoveTargets',
      'events:TagResource',
    ],
    'AWS::Glue::Registry': ['glue:CreateRegistry', 'glue:DeleteRegistry', 'glue:GetRegistry'],
    'AWS::Glue::Schema': ['glue:CreateSchema', 'glue:DeleteSchema', 'glue:GetSchemaVersion'],
    'AWS::Glue::SchemaVersion': [
      'glue:RegisterSchemaVersion',
      'glue:GetSchemaVersion',
      'glue:DeleteSchemaVersions',
    ],
    'AWS::IAM::ManagedPolicy': [
      'iam:CreatePolicy',
      'iam:DeletePolicy',
      'iam:GetPolicy',
      'iam:ListPolicyVersions',
    ],
    'AWS::IAM::Policy': ['iam:PutRolePolicy', 'iam:DeleteRolePolicy', 'iam:GetRolePolicy'],
    'AWS::IAM::Role': [
      'iam:CreateRole',
      'iam:DeleteRole',
      'iam:GetRole',
      'iam:AttachRolePolicy',
      'iam:TagRole',
    ],
    'AWS::KMS::Alias': ['kms:CreateAlias', 'kms:DeleteAlias', 'kms:ListAliases'],
    'AWS::KMS::Key': [
      'kms:CreateKey',
      'kms:PutKeyPolicy',
      'kms:EnableKeyRotation',
      'kms:ScheduleKeyDeletion',
      'kms:TagResource',
    ],
    'AWS::Lambda::EventInvokeConfig': [
      'lambda:PutFunctionEventInvokeConfig',
      'lambda:DeleteFunctionEventInvokeConfig',
      'lambda:GetFunctionEventInvokeConfig',
    ],
    'AWS::Lambda::EventSourceMapping': ['lambda:CreateEventSourceMapping', 'lambda:DeleteEventSourceMapping'],
    'AWS::Lambda::Function': [
      'lambda:CreateFunction',
      'lambda:DeleteFunction',
      'lambda:PutFunctionConcurrency',
      'iam:PassRole',
      's3:GetObject',
      'ec2:DescribeSubnets',
    ],
    'AWS::Lambda::Permission': ['lambda:AddPermission', 'lambda:RemovePermission'],
    'AWS::Lambda::Version': ['lambda:PublishVersion', 'lambda:DeleteFunction'],
    'AWS::Logs::LogGroup': [
      'logs:CreateLogGroup',
      'logs:DeleteLogGroup',
      'logs:PutRetentionPolicy',
      'logs:AssociateKmsKey',
      'logs:TagResource',
    ],
    'AWS::Logs::MetricFilter': [
      'logs:PutMetricFilter',
      'logs:DeleteMetricFilter',
      'logs:DescribeMetricFilters',
    ],
    'AWS::MSK::Cluster': [
      'kafka:CreateCluster',
      'kafka:DeleteCluster',
      'kms:CreateGrant',
      'logs:CreateLogDelivery',
    ],
    'AWS::MSK::Configuration': ['kafka:CreateConfiguration', 'kafka:DeleteConfiguration'],
    'AWS::MSK::Topic': [
      'kafka:CreateTopic',
      'kafka:DeleteTopic',
      'kafka:DescribeTopic',
      'kafka-cluster:Connect',
      'kafka-cluster:CreateTopic',
      'kafka-cluster:AlterTopic',
      'kafka-cluster:AlterTopicDynamicConfiguration',
      'kafka-cluster:DeleteTopic',
      'kafka-cluster:DescribeTopic',
      'kafka-cluster:DescribeTopicDynamicConfiguration',
    ],
    'AWS::RDS::DBCluster': [
      'rds:CreateDBCluster',
      'rds:DeleteDBCluster',
      'rds:ModifyDBCluster',
      'kms:CreateGrant',
    ],
    'AWS::RDS::DBClusterParameterGroup': [
      'rds:CreateDBClusterParameterGroup',
      'rds:DeleteDBClusterParameterGroup',
    ],
    'AWS::RDS::DBInstance': ['rds:CreateDBInstance', 'rds:DeleteDBInstance'],
    'AWS::RDS::DBProxy': ['rds:CreateDBProxy', 'rds:DeleteDBProxy', 'iam:PassRole'],
    'AWS::RDS::DBProxyTargetGroup': ['rds:RegisterDBProxyTargets', 'rds:ModifyDBProxyTargetGroup'],
    'AWS::RDS::DBSubnetGroup': [
      'rds:CreateDBSubnetGroup',
      'rds:DeleteDBSubnetGroup',
      'iam:CreateServiceLinkedRole',
    ],
    'AWS::S3::Bucket': [
      's3:CreateBucket',
      's3:DeleteBucket',
      's3:PutEncryptionConfiguration',
      's3:PutLifecycleConfiguration',
      's3:PutBucketVersioning',
    ],
    'AWS::S3::BucketPolicy': ['s3:PutBucketPolicy', 's3:DeleteBucketPolicy'],
    'AWS::SNS::Subscription': ['sns:Subscribe', 'sns:Unsubscribe'],
    'AWS::SNS::Topic': ['sns:CreateTopic', 'sns:DeleteTopic', 'sns:GetTopicAttributes', 'sns:TagResource'],
    'AWS::SNS::TopicPolicy': ['sns:SetTopicAttributes'],
    'AWS::SQS::Queue': ['sqs:CreateQueue', 'sqs:DeleteQueue', 'sqs:TagQueue'],
    'AWS::SQS::QueuePolicy': ['sqs:SetQueueAttributes'],
    'AWS::SSM::Parameter': [
      'ssm:PutParameter',
      'ssm:DeleteParameter',
      'ssm:GetParameters',
      'ssm:AddTagsToResource',
    ],
    'AWS::WAFv2::WebACLAssociation': [
      'wafv2:AssociateWebACL',
      'wafv2:DisassociateWebACL',
      'apigateway:SetWebACL',
    ],
    'Custom::BootstrapBrokers': ['lambda:InvokeFunction'],
    'Custom::Trigger': ['lambda:InvokeFunction'],
  };

  test.each([
    ...ENVIRONMENT_NAMES.map((env) => [env, env, {}] as const),
    ['prod with letters in Kafka', 'prod', DEAD_LETTERS_IN_KAFKA] as const,
  ])('suffices for every type of resource of %s', (_, env, options) => {
    const types = [...new Set(resourcesOf(templatesOf(env, options)).map(({ Type }) => Type))];
    expect(types.length).toBeGreaterThan(30);
    const missing = types.flatMap((type) => {
      const needed = NEEDED[type];
      if (!needed) return [`${type}: add its actions here, and to the policy`];
      return needed.filter((action) => !allows(action)).map((action) => `${type}: ${action}`);
    });
    expect(missing).toEqual([]);
  });

  // https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html, API_DescribeAlarms.html
  // (2026-11-26); what deletes them names no resource there, and is taken to be the same.
  test.each(['cloudwatch:PutCompositeAlarm', 'cloudwatch:DeleteAlarms', 'cloudwatch:DescribeAlarms'])(
    'has %s for every alarm, because some of them are composite',
    (action) => {
      const holding = policy.Statement.filter(({ Action }) => [Action].flat().includes(action));
      expect(holding.map(({ Resource }) => Resource)).toEqual(['*']);
    },
  );

  test('reads no record, letter or row, and makes nobody an administrator', () => {
    const forbidden = [
      'kafka-cluster:ReadData',
      'kafka-cluster:WriteData',
      'sqs:ReceiveMessage',
      's3:PutObject',
      'kms:Decrypt',
      'rds-db:connect',
      'iam:CreateUser',
      'iam:CreateAccessKey',
      'iam:AttachUserPolicy',
      'iam:CreatePolicyVersion',
      'sts:AssumeRole',
      'logs:GetLogEvents',
    ];
    expect(forbidden.filter(allows)).toEqual([]);
    for (const { Effect, Action, Resource, Condition } of policy.Statement) {
      expect(Effect).toBe('Allow');
      const roles = [Action].flat().filter((action) => action.startsWith('iam:'));
      if (roles.length > 0)
        expect(
          [Resource]
            .flat()
            .every((each) => /:(role\/(millrace-|aws-service-role\/)|policy\/millrace-)/.test(each)),
        ).toBe(true);
      if (roles.some((action) => /PassRole|Attach|ServiceLinked/.test(action)))
        expect(Condition).toBeDefined();
    }
  });

  test('fits into one policy of IAM', () => {
    expect(JSON.stringify(policy).length).toBeLessThan(6_144);
  });
});

describe('ci/deploy.sh', () => {
  const bin = join(folder, 'bin');
  const STACKS = [
    'operations',
    'network',
    'cluster',
    'consumer-orders',
    'consumer-parcels',
    'collector',
    'health',
  ];
  const alarm = (name: string) => `arn:aws:cloudwatch:eu-west-1:123456789012:alarm:${name}`;

  /** Runs it with commands that say what they were asked; the alarms are those that are not off. */
  function run(alarms: readonly string[], { fails = 'nothing' }: { readonly fails?: string } = {}) {
    mkdirSync(bin, { recursive: true });
    const write = (name: string, script: string) => {
      writeFileSync(join(bin, name), `#!/usr/bin/env bash\n${script}\n`);
      chmodSync(join(bin, name), 0o755);
    };
    const names = STACKS.map((part) => `millrace-prod-${part}`).join('\\n');
    write(
      'npx',
      `echo "$*" >> "$CALLS"; case "$2" in list) printf '${names}\\n';; esac; case "$*" in *${fails}*) exit 1;; esac`,
    );
    const answers = alarms.map(
      (name) => `case " $* " in *" ${name} "*) printf '%s\\t' '${alarm(name)}';; esac`,
    );
    write('aws', ['echo "aws $*" >> "$CALLS"', ...answers].join('\n'));
    const calls = join(folder, 'calls');
    writeFileSync(calls, '');
    const env = { ...process.env, PATH: `${bin}:${process.env.PATH}`, CALLS: calls };
    const { status, stderr } = spawnSync('bash', [join(TEMPLATE, 'ci/deploy.sh'), 'prod'], {
      env,
      encoding: 'utf8',
    });
    const lines = readFileSync(calls, 'utf8').trim().split('\n');
    const deployed = lines
      .filter((line) => line.startsWith('cdk deploy '))
      .map((line) => line.replace(/^.* --progress events /, ''));
    return { status, stderr, lines, deployed };
  }

  const shared = ['operations', 'network', 'cluster'].map((part) => `millrace-prod-${part}`).join(' ');

  test('deploys for the first time without an alarm that could roll back', () => {
    const { status, stderr, lines, deployed } = run([]);
    expect([status, stderr]).toEqual([0, '']);
    expect(lines[0]).toMatch(/^cdk synth -c env=prod --quiet --output \S+$/);
    expect(deployed).toEqual([
      shared,
      'millrace-prod-consumer-orders --rollback-trigger-alarm-arns none',
      'millrace-prod-consumer-parcels --rollback-trigger-alarm-arns none',
      'millrace-prod-collector --rollback-trigger-alarm-arns none',
      'millrace-prod-health',
    ]);
    for (const line of lines.filter((each) => each.startsWith('cdk deploy ')))
      expect(line).toContain(' --exclusively --require-approval never ');
  });

  test('rolls a consumer back on its own incident alarms, the collector on its', () => {
    const kinds = ['stalled', 'lag-incident', 'records-passed-over', 'dead-letters-rising', 'give-up-failed'];
    const ofOrders = kinds.map((kind) => `millrace-prod-orders-${kind}`);
    const { deployed } = run([...ofOrders, 'millrace-prod-collector-collector-failing']);
    const triggers = (names: readonly string[]) =>
      names.map((name) => `--rollback-trigger-alarm-arns ${alarm(name)}`).join(' ');
    expect(deployed.slice(1, 4)).toEqual([
      `millrace-prod-consumer-orders ${triggers(ofOrders)} --monitoring-time-minutes 20`,
      'millrace-prod-consumer-parcels --rollback-trigger-alarm-arns none',
      `millrace-prod-collector ${triggers(['millrace-prod-collector-collector-failing'])} --monitoring-time-minutes 20`,
    ]);
  });

  test('asks for alarms that are there and not off, of which CloudFormation takes five, and never for silent-poller', () => {
    const asked = run([]).lines.filter((line) => line.startsWith('aws '));
    expect(asked).toHaveLength(3);
    for (const line of asked) {
      const names = line.match(/millrace-prod-\S+/g)!;
      expect(names.length).toBeLessThanOrEqual(5);
      expect(names.join()).not.toContain('silent-poller');
      expect(line).toContain('MetricAlarms[?StateValue!=`ALARM`].AlarmArn');
    }
  });

  test('the alarms it asks for are those of the environment, and none of them composite', () => {
    const names = run([])
      .lines.filter((line) => line.startsWith('aws '))
      .flatMap((line) => line.match(/millrace-prod-\S+/g)!)
      .filter((name) => !name.includes('-parcels-'))
      .map((name) => name.replace('-orders-', '-editorial-analytics-'));
    const metricAlarms = resourcesOf(templatesOf('prod'))
      .filter(({ Type }) => Type === 'AWS::CloudWatch::Alarm')
      .map(({ Properties }) => Properties.AlarmName);
    expect(names.length).toBe(6);
    expect(metricAlarms).toEqual(expect.arrayContaining(names));
  });

  test('stops where a deployment fails', () => {
    const { status, deployed } = run([], { fails: 'consumer-orders' });
    expect(status).not.toBe(0);
    expect(deployed).toHaveLength(2);
  });

  test('wants an environment', () => {
    const { status, stderr } = spawnSync('bash', [join(TEMPLATE, 'ci/deploy.sh')], { encoding: 'utf8' });
    expect(status).not.toBe(0);
    expect(stderr).toContain('Which environment?');
  });
});

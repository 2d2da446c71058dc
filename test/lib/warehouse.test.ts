/** What loads the warehouse: the runner, its network, and the role by which Snowflake reads the archive. */
import { cpSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { FileSystem } from 'aws-cdk-lib';
import { Match, type Template } from 'aws-cdk-lib/assertions';
import { appIn } from '../../runtime/app-in-environment.ts';
import { defineArchive } from '../../runtime/archive/archive.ts';
import { stackParts } from '../../runtime/deployment.ts';
import type { EnvironmentSettings } from '../../runtime/environment.ts';
import type { RunnerSettings, SnowflakeSettings } from '../../runtime/warehouse/environment.ts';
import { captured } from '../fixtures/newsdesk/captured.ts';
import newsdesk from '../fixtures/newsdesk/millrace.config.ts';
import { NEWSDESK } from '../newsdesk.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { appOf, type SynthesisOptions, templatesOf } from './synthesized.ts';
import { CAPTURE, WAREHOUSE } from './variants.ts';

const withWarehouse = (
  runner: RunnerSettings | false = {},
  snowflake: Partial<SnowflakeSettings> = {},
): SynthesisOptions & { readonly settings: Partial<EnvironmentSettings> } => ({
  consumers: captured.consumers,
  tables: captured.tables!,
  settings: {
    capture: CAPTURE,
    warehouse: { snowflake: { ...WAREHOUSE.snowflake, ...snowflake }, runner },
  },
});
const OPTIONS = withWarehouse();
const templates = templatesOf('prod', OPTIONS);
const stack = templates.warehouse!;
const alarmsOf = (template: Template) =>
  Object.values(template.findResources('AWS::CloudWatch::Alarm')).map(({ Properties }) => Properties);

test('its stack is where others look for it, and only where there is something to load', () => {
  const environment = { ...newsdesk.environments.prod!, ...OPTIONS.settings };
  expect(Object.keys(templates)).toEqual(stackParts(appIn(captured, environment), environment));
  expect(Object.keys(templatesOf('prod', { settings: { warehouse: WAREHOUSE } }))).not.toContain('warehouse');
});

describe('the runner', () => {
  test('is one container on Graviton, never two at once', () => {
    stack.hasResourceProperties('AWS::ECS::Service', {
      DesiredCount: 1,
      DeploymentConfiguration: Match.objectLike({ MaximumPercent: 100, MinimumHealthyPercent: 0 }),
    });
    stack.hasResourceProperties('AWS::ECS::TaskDefinition', {
      Cpu: '512',
      Memory: '1024',
      RuntimePlatform: { CpuArchitecture: 'ARM64', OperatingSystemFamily: 'LINUX' },
    });
  });

  test('has the private key from Secrets Manager, and nothing secret in its settings', () => {
    const [{ Properties }] = Object.values(stack.findResources('AWS::ECS::TaskDefinition')) as [
      { Properties: { ContainerDefinitions: { Environment: { Name: string }[]; Secrets: object[] }[] } },
    ];
    const [container] = Properties.ContainerDefinitions;
    expect(container!.Secrets).toEqual([
      {
        Name: 'SNOWFLAKE_PRIVATE_KEY',
        ValueFrom: { Ref: expect.stringMatching(/^PrivateKey/) },
      },
    ]);
    expect(container!.Environment.map(({ Name }) => Name).toSorted()).toEqual([
      'MILLRACE_EVERY_SECONDS',
      'SNOWFLAKE_ACCOUNT',
      'SNOWFLAKE_DATABASE',
      'SNOWFLAKE_ROLE',
      'SNOWFLAKE_USER',
      'SNOWFLAKE_WAREHOUSE',
    ]);
  });

  test('is in a network of its own, into which nobody comes, and out of which only HTTPS goes', () => {
    stack.resourceCountIs('AWS::EC2::NatGateway', 0);
    stack.resourceCountIs('AWS::EC2::SecurityGroupIngress', 0);
    const [group] = Object.values(stack.findResources('AWS::EC2::SecurityGroup'));
    expect(group!.Properties.SecurityGroupIngress).toBeUndefined();
    expect(group!.Properties.SecurityGroupEgress).toMatchObject([{ FromPort: 443, ToPort: 443 }]);
    for (const part of ['network', 'capture-cms', 'consumer-cms-articles-archive'])
      templates[part]!.resourceCountIs('AWS::EC2::InternetGateway', 0);
  });

  test('is in the network that the settings name, behind its NAT or its PrivateLink', () => {
    const own = templatesOf(
      'prod',
      withWarehouse({
        network: {
          vpcId: 'vpc-0a1b2c3d',
          subnetIds: ['subnet-0a1b2c3d'],
          securityGroupId: 'sg-0a1b2c3d',
        },
      }),
    ).warehouse!;
    own.resourceCountIs('AWS::EC2::VPC', 0);
    own.hasResourceProperties('AWS::ECS::Service', {
      NetworkConfiguration: {
        AwsvpcConfiguration: {
          AssignPublicIp: 'DISABLED',
          Subnets: ['subnet-0a1b2c3d'],
          SecurityGroups: ['sg-0a1b2c3d'],
        },
      },
    });
  });

  test('has the app’s code and models, no secret and nothing that a run leaves here, or is an image that is there', () => {
    const { path: root, remove } = createTemporaryFolder();
    cpSync(NEWSDESK, root, { recursive: true });
    const put = (...paths: readonly string[]) => {
      for (const path of paths) {
        mkdirSync(dirname(join(root, path)), { recursive: true });
        writeFileSync(join(root, path), path);
      }
    };
    const needed = ['package.json', 'src/tables.ts', 'contracts/a.b/v1.avsc', 'dbt/dbt_project.yml'];
    const models = ['dbt/packages.yml', 'dbt/profiles.yml', 'dbt/models/current/a.sql', 'dbt/seeds/a.csv'];
    put(...needed, ...models, 'Dockerfile');
    // Where the CDK writes it: in the app's folder.
    const assetIn = (outdir: string) => {
      const app = appOf('prod', { ...OPTIONS, root, outdir: join(root, outdir) });
      const image = join(app.outdir, 'warehouse-runner');
      return {
        files: readdirSync(join(image, 'app'), { recursive: true }).map(String),
        print: FileSystem.fingerprint(image),
        image,
      };
    };
    const before = assetIn('cdk.out');
    for (const path of ['Dockerfile', 'run.sh']) expect(existsSync(join(before.image, path))).toBe(true);
    expect(before.files).toEqual(
      expect.arrayContaining(['millrace.config.ts', 'package-lock.json', ...needed, ...models]),
    );
    const secrets = [
      '.env',
      '.env.prod',
      '.npmrc',
      '.git/config.ts',
      'key.p8',
      'account.json',
      'lambdas/key.pem',
    ];
    const local = ['.millrace/a.js', 'node_modules/a/index.js', 'coverage/a.js', 'build.log'];
    const ofDbt = [
      'target/a.sql',
      'target-snowflake/run/a.sql',
      'logs/dbt.log',
      'dbt_packages/a/models/a.sql',
    ];
    const tables = ['dbt/warehouse.duckdb', 'dbt/models/warehouse.duckdb', 'dbt/.user.yml', 'dbt/key.p8'];
    put(...secrets, ...local, ...tables, ...ofDbt.map((path) => `dbt/${path}`));
    const after = assetIn('elsewhere');
    expect(after.files.toSorted()).toEqual(before.files.toSorted());
    expect(after.print).toBe(before.print);
    remove();
    const given = templatesOf('prod', withWarehouse({ image: 'example.com/runner:7' })).warehouse!;
    given.hasResourceProperties('AWS::ECS::TaskDefinition', {
      ContainerDefinitions: [Match.objectLike({ Image: 'example.com/runner:7' })],
    });
  });

  test('says how fresh the mart is, and silence is an incident after five minutes', () => {
    stack.hasResourceProperties('AWS::Logs::MetricFilter', {
      FilterPattern: '{ $.freshnessMs >= 0 }',
      MetricTransformations: [
        {
          MetricName: 'millrace-prod-warehouse-freshness',
          MetricNamespace: 'Millrace',
          MetricValue: '$.freshnessMs',
        },
      ],
    });
    expect(alarmsOf(stack)).toMatchObject([
      {
        AlarmName: 'millrace-prod-warehouse-warehouse-stale',
        MetricName: 'millrace-prod-warehouse-freshness',
        Period: 300,
        Threshold: 300_000,
        EvaluationPeriods: 1,
        TreatMissingData: 'breaching',
      },
    ]);
  });

  test('is not there where somebody else runs it; the role of Snowflake is', () => {
    const off = templatesOf('prod', withWarehouse(false)).warehouse!;
    for (const type of ['AWS::ECS::Service', 'AWS::EC2::VPC', 'AWS::SecretsManager::Secret'])
      off.resourceCountIs(type, 0);
    expect(alarmsOf(off)).toEqual([]);
    off.hasResourceProperties('AWS::IAM::Role', { RoleName: 'millrace-prod-snowflake' });
  });
});

describe('the role of Snowflake', () => {
  const trustOf = (template: Template) =>
    Object.values(template.findResources('AWS::IAM::Role')).find(
      ({ Properties }) => Properties.RoleName === 'millrace-prod-snowflake',
    )!.Properties.AssumeRolePolicyDocument.Statement;

  test('trusts nobody at first', () => {
    expect(trustOf(stack)).toMatchObject([{ Effect: 'Deny', Action: 'sts:AssumeRole' }]);
  });

  test('then trusts Snowflake’s user, with the external id', () => {
    const userArn = 'arn:aws:iam::999988887777:user/abc1-s-xyz';
    const integration = { userArn, externalId: 'NEWS_SFCRole=2_abc=' };
    expect(trustOf(templatesOf('prod', withWarehouse({}, { integration })).warehouse!)).toEqual([
      {
        Effect: 'Allow',
        Action: 'sts:AssumeRole',
        Principal: { AWS: userArn },
        Condition: { StringEquals: { 'sts:ExternalId': integration.externalId } },
      },
    ]);
  });

  test('reads rows, and what is no row it does not', () => {
    const [policy] = Object.values(
      stack.findResources('AWS::IAM::Policy', {
        Properties: { PolicyName: Match.stringLikeRegexp('^Snowflake') },
      }),
    );
    const { Statement } = policy!.Properties.PolicyDocument;
    expect(Statement.flatMap(({ Action }: { Action: string }) => Action).toSorted()).toEqual([
      'kms:Decrypt',
      's3:GetBucketLocation',
      's3:GetObject',
      's3:GetObjectVersion',
      's3:ListBucket',
    ]);
    expect(JSON.stringify(Statement)).not.toContain('holes/');
  });
});

describe('the sum of all waits', () => {
  const refusal = (runner: RunnerSettings, windowMs = 30_000) => {
    const table = captured.tables![0]!;
    const consumers = [
      ...captured.consumers.filter(({ topic }) => topic.name !== table.topic.name),
      defineArchive({ table, windowMs }),
    ];
    return () => appOf('prod', { ...withWarehouse(runner), consumers });
  };

  test.each<[RunnerSettings, number, string]>([
    [
      { everySeconds: 240, runSeconds: 30 },
      30_000,
      '305 s: 5 s capture, 30 s window of the archive \\(windowMs\\), 240 s until the next run \\(everySeconds\\), 30 s run',
    ],
    [{ runSeconds: 120 }, 60_000, '305 s: 5 s capture, 60 s window.*120 s until the next run.*120 s run'],
  ])('is refused from 300 s on: %j with a window of %i ms', (runner, windowMs, sum) => {
    expect(refusal(runner, windowMs)).toThrow(
      expect.objectContaining({
        code: 'ENVIRONMENT_INVALID',
        message: expect.stringMatching(
          new RegExp(`prod\\.warehouse\\.runner.*cms\\.public\\.articles.*${sum}`),
        ),
      }),
    );
  });

  test('is fine below', () => {
    expect(refusal({ everySeconds: 234, runSeconds: 30 })).not.toThrow();
  });
});

test.each<[string, RunnerSettings, Partial<SnowflakeSettings>, RegExp]>([
  ['an account with a scheme', {}, { account: 'https://x' }, /snowflake\.account/],
  ['an odd role', {}, { role: 'A B' }, /snowflake\.role/],
  [
    'a role in place of a user',
    {},
    { integration: { userArn: 'x', externalId: 'yy' } },
    /userArn .* DESC INTEGRATION/,
  ],
  ['a run every second', { everySeconds: 1 }, {}, /runner\.everySeconds is 1; .* from 30 to 3600/],
  [
    'no subnets',
    { network: { vpcId: 'vpc-1', subnetIds: [], securityGroupId: 'sg-1' } },
    {},
    /runner\.network\.subnetIds/,
  ],
])('is refused: %s', (_, runner, snowflake, message) => {
  expect(() => appOf('prod', withWarehouse(runner, snowflake))).toThrow(
    expect.objectContaining({ code: 'ENVIRONMENT_INVALID', message: expect.stringMatching(message) }),
  );
});

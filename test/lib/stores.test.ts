/** What keeps data: the database and the dead letters. */
import { describe, expect, test } from '@jest/globals';
import { Match } from 'aws-cdk-lib/assertions';
import newsdesk from '../fixtures/newsdesk/millrace.config.ts';
import { dependenciesOf, ENVIRONMENT_NAMES, type Resource, resourcesOf, templatesOf } from './synthesized.ts';

const templates = Object.fromEntries(ENVIRONMENT_NAMES.map((env) => [env, templatesOf(env)]));
const part = (env: string, name: string) => templates[env]![name]!;

describe.each(ENVIRONMENT_NAMES)('the database in %s', (env) => {
  const database = part(env, 'database');
  const settings = newsdesk.environments[env]!;

  test('is Aurora PostgreSQL Serverless v2, encrypted under a key of its own, and takes TLS only', () => {
    database.hasResourceProperties('AWS::RDS::DBCluster', {
      Engine: 'aurora-postgresql',
      StorageEncrypted: true,
      KmsKeyId: { 'Fn::GetAtt': [Match.stringLikeRegexp('^Key'), 'Arn'] },
      ServerlessV2ScalingConfiguration: Match.objectLike({
        MinCapacity: settings.database.minCapacity,
        MaxCapacity: settings.database.maxCapacity,
      }),
      BackupRetentionPeriod: settings.database.backupDays,
      DeletionProtection: settings.retainsData,
    });
    database.hasResourceProperties('AWS::RDS::DBClusterParameterGroup', {
      Parameters: Match.objectLike({ 'rds.force_ssl': '1' }),
    });
    database.resourcePropertiesCountIs(
      'AWS::RDS::DBInstance',
      { DBInstanceClass: 'db.serverless', PubliclyAccessible: false },
      1 + settings.database.standbys,
    );
  });

  test('has no password: whoever logs in has a token of IAM', () => {
    database.hasResourceProperties('AWS::RDS::DBCluster', {
      EnableIAMDatabaseAuthentication: true,
      MasterUserAuthenticationType: 'iam-db-auth',
      MasterUserPassword: Match.absent(),
      ManageMasterUserPassword: Match.absent(),
    });
    database.resourceCountIs('AWS::SecretsManager::Secret', 0);
  });

  test('writes no data into its logs', () => {
    database.hasResourceProperties('AWS::RDS::DBClusterParameterGroup', {
      Parameters: Match.objectLike({
        log_error_verbosity: 'terse',
        log_parameter_max_length: '0',
        log_parameter_max_length_on_error: '0',
      }),
    });
  });

  test('is reached through the proxy, where there is one, each consumer as its own user', () => {
    const consumer = part(env, 'consumer-editorial-analytics');
    const [fn] = Object.values(consumer.findResources('AWS::Lambda::Function'));
    const host = JSON.stringify(fn!.Properties.Environment.Variables.MILLRACE_DATABASE_HOST);
    const [policy] = Object.values(consumer.findResources('AWS::IAM::Policy'));
    const rights = policy!.Properties.PolicyDocument.Statement.filter(
      ({ Action }: { Action: unknown }) => Action === 'rds-db:connect',
    );
    expect(rights).toHaveLength(1);
    const resource = JSON.stringify(rights[0].Resource);
    expect(resource).toContain('/editorial-analytics"');
    for (const text of [host, resource]) {
      if (settings.database.proxy) expect(text).toContain('Proxy');
      else expect(text).not.toContain('Proxy');
    }
  });
});

test('the proxy takes TLS only, logs in by IAM on both sides, and may be the consumers and nobody else', () => {
  const database = part('prod', 'database');
  database.hasResourceProperties('AWS::RDS::DBProxy', {
    DefaultAuthScheme: 'IAM_AUTH',
    RequireTLS: true,
    Auth: Match.absent(),
  });
  const [policy] = Object.values(database.findResources('AWS::IAM::Policy'));
  const { Statement } = policy!.Properties.PolicyDocument;
  expect(Statement).toEqual([expect.objectContaining({ Action: 'rds-db:connect' })]);
  expect(JSON.stringify(Statement[0].Resource)).toContain('/editorial-analytics"');
});

test.each(['staging', 'prod'])(
  'in %s the proxy takes the database as its target when its instances are there',
  (env) => {
    const database = part(env, 'database');
    const [targets] = Object.values(database.findResources('AWS::RDS::DBProxyTargetGroup'));
    const instances = Object.keys(database.findResources('AWS::RDS::DBInstance'));
    expect(instances).toHaveLength(1 + newsdesk.environments[env]!.database.standbys);
    expect(targets!.DependsOn).toEqual(expect.arrayContaining(instances));
  },
);

test('only a database without a proxy pauses, after five minutes', () => {
  part('dev', 'database').hasResourceProperties('AWS::RDS::DBCluster', {
    ServerlessV2ScalingConfiguration: { MinCapacity: 0, MaxCapacity: 2, SecondsUntilAutoPause: 300 },
  });
  part('dev', 'database').resourceCountIs('AWS::RDS::DBProxy', 0);
  part('prod', 'database').hasResourceProperties('AWS::RDS::DBCluster', {
    ServerlessV2ScalingConfiguration: { SecondsUntilAutoPause: Match.absent() },
  });
});

describe('migrations', () => {
  const migrations = part('prod', 'migrations');

  test('run at the writer as its master user, when their code has changed', () => {
    const [fn] = Object.values(
      migrations.findResources('AWS::Lambda::Function', {
        Properties: { FunctionName: 'millrace-prod-migrations' },
      }),
    );
    expect(fn!.Properties.Environment.Variables).toMatchObject({
      MILLRACE_DATABASE_USER: 'millrace_admin',
      MILLRACE_DATABASE_HOST: { 'Fn::ImportValue': expect.stringContaining('EndpointAddress') },
    });
    migrations.hasResourceProperties('Custom::Trigger', {
      // Of another database behind the same code, too.
      Database: { 'Fn::ImportValue': Match.stringLikeRegexp('DBClusterResourceId') },
      HandlerArn: { Ref: Match.stringLikeRegexp('CurrentVersion') },
      InvocationType: 'RequestResponse',
    });
  });

  test('come after the database and before every consumer', () => {
    expect(dependenciesOf('prod', 'consumer-editorial-analytics')).toEqual(
      expect.arrayContaining(['millrace-prod-migrations', 'millrace-prod-contracts']),
    );
    expect(dependenciesOf('prod', 'migrations')).toContain('millrace-prod-database');
  });
});

describe.each(ENVIRONMENT_NAMES)('dead letters in %s', (env) => {
  const deadLetters = part(env, 'dead-letters');

  test('go to a queue that is the DLQ of the redrive queue, so that the console moves them there', () => {
    const queues = deadLetters.findResources('AWS::SQS::Queue');
    const [deadId] = Object.entries(queues).find(([, { Properties }]) => Properties.RedriveAllowPolicy)!;
    deadLetters.hasResourceProperties('AWS::SQS::Queue', {
      QueueName: `millrace-${env}-editorial-analytics-redrive`,
      RedrivePolicy: { deadLetterTargetArn: { 'Fn::GetAtt': [deadId, 'Arn'] }, maxReceiveCount: 10 },
      // Six of the function's timeouts.
      VisibilityTimeout: 360,
    });
    const { redrivePermission, sourceQueueArns } = queues[deadId]!.Properties.RedriveAllowPolicy;
    expect(redrivePermission).toBe('byQueue');
    expect(JSON.stringify(sourceQueueArns)).toContain(`millrace-${env}-editorial-analytics-redrive`);
  });

  test('are kept for a fortnight, under a key of their own, and taken over TLS only', () => {
    deadLetters.allResourcesProperties('AWS::SQS::Queue', {
      MessageRetentionPeriod: 1_209_600,
      KmsMasterKeyId: { 'Fn::GetAtt': [Match.stringLikeRegexp('^Key'), 'Arn'] },
    });
    deadLetters.resourceCountIs('AWS::SQS::QueuePolicy', 2);
    deadLetters.allResourcesProperties('AWS::SQS::QueuePolicy', {
      PolicyDocument: {
        Statement: Match.arrayWith([
          Match.objectLike({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
        ]),
      },
    });
  });

  test('of whole batches and with large bytes go to a private bucket under the same key; the audit log stays in it', () => {
    deadLetters.hasResourceProperties('AWS::S3::Bucket', {
      BucketEncryption: {
        ServerSideEncryptionConfiguration: [
          Match.objectLike({ ServerSideEncryptionByDefault: Match.objectLike({ SSEAlgorithm: 'aws:kms' }) }),
        ],
      },
      PublicAccessBlockConfiguration: {
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true,
      },
      LifecycleConfiguration: {
        Rules: [
          { Prefix: 'aws/lambda/', ExpirationInDays: 30 },
          { Prefix: 'dead-letters/', ExpirationInDays: 90 },
          { Prefix: 'redrives/', ExpirationInDays: 90 },
        ].map((rule) => ({
          ...rule,
          Status: 'Enabled',
          NoncurrentVersionExpiration: env === 'prod' ? { NoncurrentDays: 1 } : Match.absent(),
        })),
      },
      VersioningConfiguration: env === 'prod' ? { Status: 'Enabled' } : Match.absent(),
    });
  });

  test('are in a queue whose tag names the bucket, for whoever redrives', () => {
    const [bucketId] = Object.keys(deadLetters.findResources('AWS::S3::Bucket'));
    deadLetters.hasResourceProperties('AWS::SQS::Queue', {
      QueueName: `millrace-${env}-editorial-analytics-dead-letters`,
      Tags: Match.arrayWith([{ Key: 'millrace:bucket', Value: { Ref: bucketId } }]),
    });
  });

  test('export only what has no fixed name: a stack takes two hundred outputs, for all consumers together', () => {
    const { Outputs } = deadLetters.toJSON() as { Outputs: Record<string, unknown> };
    const names = Object.keys(Outputs).map((name) => name.replace(/[0-9A-F]{8}/g, ''));
    expect(names.toSorted()).toEqual(
      [
        'ExportsOutputFnGetAttKeyArn',
        'ExportsOutputFnGetAttKepteditorialanalyticsArn',
        'ExportsOutputRefKepteditorialanalytics',
      ].toSorted(),
    );
  });
});

test('what holds data is kept in prod and goes with its stack elsewhere', () => {
  const STATEFUL = [
    'AWS::RDS::DBCluster',
    'AWS::RDS::DBInstance',
    'AWS::SQS::Queue',
    'AWS::S3::Bucket',
    'AWS::KMS::Key',
    'AWS::Logs::LogGroup',
    // What RDS and MSK refuse to delete while it is used, and the policies of queues and buckets that stay.
    'AWS::MSK::Configuration',
    'AWS::RDS::DBSubnetGroup',
    'AWS::RDS::DBClusterParameterGroup',
    'AWS::SQS::QueuePolicy',
    'AWS::S3::BucketPolicy',
  ];
  for (const env of ENVIRONMENT_NAMES) {
    const policies = resourcesOf(templates[env]!)
      .filter(({ Type }) => STATEFUL.includes(Type))
      .map((resource) => (resource as { DeletionPolicy?: string }).DeletionPolicy);
    expect(new Set(policies)).toEqual(new Set([env === 'prod' ? 'RetainExceptOnCreate' : 'Delete']));
  }
});

test('in prod, the network that cluster and database stand in is kept with them', () => {
  const kept = (env: string) =>
    Object.entries(part(env, 'network').toJSON().Resources as Record<string, { DeletionPolicy?: string }>)
      .filter(([, { DeletionPolicy }]) => DeletionPolicy === 'RetainExceptOnCreate')
      .map(([id]) => id.replace(/[0-9A-F]{8}$/, ''));
  const subnets = ['brokers', 'functions', 'databases'].flatMap((group) =>
    [1, 2, 3].map((zone) => `Vpc${group}Subnet${zone}Subnet`),
  );
  expect(kept('prod').toSorted()).toEqual(['Brokers', 'Database', 'FlowLogs', 'Vpc', ...subnets].toSorted());
  expect(kept('dev')).toEqual([]);
});

test('an instance of the database and each of its standbys have a zone of their own', () => {
  const zones = Object.values(part('prod', 'database').findResources('AWS::RDS::DBInstance')).map(
    ({ Properties }) => JSON.stringify(Properties.AvailabilityZone),
  );
  expect(zones).toHaveLength(2);
  expect(new Set(zones).size).toBe(2);
});

/** Whatever writes logs, with the log group that its resource names or waits for. */
const LOG_WRITERS: Readonly<Record<string, (resource: Writer) => unknown>> = {
  'AWS::Lambda::Function': ({ Properties }) => Properties.LoggingConfig?.LogGroup.Ref,
  'AWS::ApiGateway::Stage': ({ Properties }) =>
    Properties.AccessLogSetting.DestinationArn['Fn::Join'][1].find((part: { Ref?: string }) =>
      part.Ref?.startsWith('AccessLogs'),
    )?.Ref,
  'AWS::EC2::FlowLog': ({ Properties }) => Properties.LogGroupName.Ref,
  'AWS::MSK::Cluster': ({ Properties: { LoggingInfo } }) =>
    [LoggingInfo.BrokerLogs, LoggingInfo.AuthorizerLogs].map((logs) => logs.CloudWatchLogs.LogGroup.Ref),
  // RDS has no property for it, but a name of its own for each.
  'AWS::RDS::DBCluster': ({ Properties, DependsOn }) =>
    Properties.EnableCloudwatchLogsExports.join() === 'postgresql' &&
    DependsOn?.find((id) => id.startsWith('Logs')),
  'AWS::RDS::DBProxy': ({ DependsOn }) => DependsOn?.find((id) => id.startsWith('ProxyLogs')),
};
type Writer = Resource & { readonly DependsOn?: readonly string[] };

describe.each(ENVIRONMENT_NAMES)('logs in %s', (env) => {
  const resources = resourcesOf(templates[env]!);
  const groups = resources.filter(({ Type }) => Type === 'AWS::Logs::LogGroup');

  test('are encrypted and kept as long as the environment says', () => {
    expect(groups.length).toBeGreaterThanOrEqual(6);
    for (const { Properties } of groups) {
      expect(Properties.KmsKeyId).toBeDefined();
      expect(Properties.RetentionInDays).toBe(newsdesk.environments[env]!.logRetentionDays);
    }
  });

  test('go to such a group, whoever writes them', () => {
    const writers = resources.filter(({ Type }) => Type in LOG_WRITERS);
    const part = (id: string) => id.split('/')[0]!;
    const found = writers.flatMap((writer) =>
      [LOG_WRITERS[writer.Type]!(writer)].flat().map((group) => `${part(writer.id)}/${group}`),
    );
    expect(found.toSorted()).toEqual(groups.map(({ id }) => id).toSorted());
  });

  test('have the names by which RDS looks for them, and by which MSK leaves the account’s policy alone', () => {
    const names = groups.flatMap(({ Properties }) => Properties.LogGroupName ?? []);
    const { proxy } = newsdesk.environments[env]!.database;
    expect(names).toEqual([
      `/aws/vendedlogs/msk/millrace-${env}/brokers`,
      `/aws/vendedlogs/msk/millrace-${env}/authorizer`,
      `/aws/rds/cluster/millrace-${env}/postgresql`,
      ...(proxy ? [`/aws/rds/proxy/millrace-${env}`] : []),
    ]);
  });
});

/** Archives as infrastructure: their bucket, and consumers without a database. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { Match } from 'aws-cdk-lib/assertions';
import { appIn } from '../../runtime/app-in-environment.ts';
import { stackParts } from '../../runtime/deployment.ts';
import { captured } from '../fixtures/newsdesk/captured.ts';
import newsdesk from '../fixtures/newsdesk/millrace.config.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { appOf, resourcesOf, templatesOf } from './synthesized.ts';
import { CAPTURE } from './variants.ts';

const CAPTURED = { consumers: captured.consumers, tables: captured.tables!, settings: { capture: CAPTURE } };
const NOT_CAPTURED = { consumers: captured.consumers, tables: captured.tables! };
const prod = templatesOf('prod', CAPTURED);
const ARCHIVES = ['news-pageviews-archive', 'cms-articles-archive', 'cms-heartbeat-archive'];
const consumer = (name: string) => prod[`consumer-${name}`]!;

test('an app with a table has the stacks that others look for, in this order', () => {
  const environment = { ...newsdesk.environments.prod!, capture: CAPTURE };
  expect(Object.keys(prod)).toEqual(stackParts(appIn(captured, environment), environment));
  for (const name of ARCHIVES) expect(Object.keys(prod)).toContain(`consumer-${name}`);
});

test('the same app without them has none of it', () => {
  const without = templatesOf('prod');
  expect(Object.keys(without)).not.toContain('archive');
  expect(JSON.stringify(resourcesOf(without))).not.toMatch(/KafkaConnect|ARCHIVE|cms\./);
});

test('an environment that does not capture the database archives topics, and has nothing of its tables', () => {
  const templates = templatesOf('prod', NOT_CAPTURED);
  const environment = newsdesk.environments.prod!;
  expect(Object.keys(templates)).toEqual(stackParts(appIn(captured, environment), environment));
  expect(Object.keys(templates)).toContain('consumer-news-pageviews-archive');
  expect(JSON.stringify(resourcesOf(templates))).not.toMatch(/KafkaConnect|cms\./);
});

describe('the bucket', () => {
  test('is encrypted under a key of its own, closed, and keeps every version', () => {
    prod.archive!.hasResourceProperties('AWS::S3::Bucket', {
      VersioningConfiguration: { Status: 'Enabled' },
      BucketEncryption: {
        ServerSideEncryptionConfiguration: [
          {
            BucketKeyEnabled: true,
            ServerSideEncryptionByDefault: {
              SSEAlgorithm: 'aws:kms',
              KMSMasterKeyID: { 'Fn::GetAtt': [Match.stringLikeRegexp('^Key'), 'Arn'] },
            },
          },
        ],
      },
      PublicAccessBlockConfiguration: {
        BlockPublicAcls: true,
        BlockPublicPolicy: true,
        IgnorePublicAcls: true,
        RestrictPublicBuckets: true,
      },
    });
    prod.archive!.hasResourceProperties('AWS::S3::BucketPolicy', {
      PolicyDocument: Match.objectLike({
        Statement: Match.arrayWith([
          Match.objectLike({ Effect: 'Deny', Condition: { Bool: { 'aws:SecureTransport': 'false' } } }),
        ]),
      }),
    });
    for (const type of ['AWS::S3::Bucket', 'AWS::KMS::Key'])
      prod.archive!.hasResource(type, { DeletionPolicy: 'RetainExceptOnCreate' });
  });

  test.each([undefined, 45])('has no rule that deletes what a chain ends with (%s days)', (days) => {
    const settings = {
      ...CAPTURED.settings,
      ...(days !== undefined && { archive: { infrequentAccessAfterDays: days } }),
    };
    const { archive } = templatesOf('prod', { ...CAPTURED, settings });
    const [{ Properties }] = Object.values(archive!.findResources('AWS::S3::Bucket')) as [
      { Properties: { LifecycleConfiguration: { Rules: Record<string, unknown>[] } } },
    ];
    const rules = Properties.LifecycleConfiguration.Rules;
    for (const rule of rules) {
      expect(Object.keys(rule)).not.toContain('ExpirationInDays');
      expect(Object.keys(rule)).not.toContain('ExpirationDate');
    }
    const transitions = rules.flatMap(({ Transitions = [] }) => Transitions);
    expect(transitions).toEqual(
      days === undefined ? [] : [{ StorageClass: 'STANDARD_IA', TransitionInDays: 45 }],
    );
  });
});

test.each([29, 30.5, 3_651])('infrequentAccessAfterDays is refused when it is %s', (days) => {
  const settings = { archive: { infrequentAccessAfterDays: days } };
  expect(() => appOf('prod', { ...NOT_CAPTURED, settings })).toThrow(
    expect.objectContaining({
      code: 'ENVIRONMENT_INVALID',
      message: expect.stringMatching(/prod\.archive\.infrequentAccessAfterDays is .* from 30 to 3650/),
    }),
  );
});

describe.each(ARCHIVES)('%s', (name) => {
  const topic = captured.consumers.find((each) => each.name === name)!.topic;
  const [fn] = Object.values(consumer(name).findResources('AWS::Lambda::Function'));
  const statements = Object.values(consumer(name).findResources('AWS::IAM::Policy')).flatMap(
    ({ Properties }) => Properties.PolicyDocument.Statement,
  );

  test('knows its name and the bucket, and no database', () => {
    const { Variables } = fn!.Properties.Environment;
    expect(Variables).toMatchObject({
      MILLRACE_CONSUMER: name,
      MILLRACE_ARCHIVE_BUCKET_NAME: { 'Fn::ImportValue': expect.stringContaining('prod-archive:') },
    });
    expect(Object.keys(Variables).filter((each) => each.includes('DATABASE'))).toEqual([]);
    expect(Object.keys(Variables).includes('MILLRACE_SCHEMA_IDS')).toBe(topic.format === 'avro');
  });

  test('gathers records for half a minute', () => {
    consumer(name).hasResourceProperties('AWS::Lambda::EventSourceMapping', {
      Topics: [topic.name],
      BatchSize: 10_000,
      MaximumBatchingWindowInSeconds: 30,
    });
  });

  test('may write and read the objects of its topic, list them, and touch no other object', () => {
    const on = (action: string) =>
      statements.filter(
        ({ Action, Resource }) =>
          [Action].flat().includes(action) && JSON.stringify(Resource).includes('prod-archive:'),
      );
    const patterns = ['topics', 'holes'].map((kind) => `${kind}/${topic.name}/1/*`);
    for (const action of ['s3:GetObject', 's3:PutObject']) {
      const [statement, ...others] = on(action);
      expect(others).toEqual([]);
      const resources = (statement.Resource as object[]).map((each) => JSON.stringify(each));
      const paths = resources.filter((each) => each.includes('prod-archive:'));
      expect(paths.map((each) => /"\/([^"]+)"/.exec(each)![1]).toSorted()).toEqual(patterns.toSorted());
    }
    expect(on('s3:ListBucket').map(({ Condition }) => Condition)).toEqual([
      { StringLike: { 's3:prefix': patterns } },
    ]);
    const actions = statements.flatMap(({ Action }: { Action: string | string[] }) => Action);
    expect(actions).not.toContain('rds-db:connect');
    expect(actions).not.toContain('s3:DeleteObject');
    expect(actions.includes('glue:GetSchemaVersion')).toBe(topic.format === 'avro');
  });
});

test('no archive has a user of the database behind the proxy', () => {
  const [{ Properties }] = Object.values(
    prod.database!.findResources('AWS::IAM::Policy', {
      Properties: { PolicyName: Match.stringLikeRegexp('^ProxyRole') },
    }),
  ) as [{ Properties: object }];
  expect(JSON.stringify(Properties)).toContain('/editorial-analytics');
  expect(JSON.stringify(Properties)).not.toContain('archive');
});

test('tables have topics, whose records may be as large as declared, and no schema', () => {
  const topicOf = (name: string) =>
    Object.values(prod.contracts!.findResources('AWS::MSK::Topic')).find(
      ({ Properties }) => Properties.TopicName === name,
    )!.Properties;
  const configs = (name: string) => Buffer.from(topicOf(name).Configs, 'base64').toString();
  expect(topicOf('cms.public.articles').PartitionCount).toBe(6);
  expect(configs('cms.public.articles')).toContain('max.message.bytes=2162688\n');
  expect(topicOf('cms.millrace_capture.heartbeat').PartitionCount).toBe(1);
  const schemas = Object.values(prod.contracts!.findResources('AWS::Glue::Schema'));
  expect(schemas.map(({ Properties }) => Properties.Name)).toEqual(['news.pageviews']);
});

test('without lambdas/archive/index.ts, synth says which two lines to write', () => {
  const { path, remove } = createTemporaryFolder();
  try {
    for (const folder of ['migrations', 'collector']) {
      mkdirSync(join(path, 'lambdas', folder), { recursive: true });
      writeFileSync(join(path, 'lambdas', folder, 'index.ts'), '');
    }
    writeFileSync(join(path, 'package-lock.json'), '{}');
    const onlyArchives = { consumers: captured.consumers.filter(({ sink }) => sink === 's3') };
    expect(() => appOf('prod', { ...onlyArchives, root: path })).toThrow(
      expect.objectContaining({
        code: 'CONSUMER_INVALID',
        message: expect.stringMatching(/^lambdas\/archive\/index\.ts is missing.*archiveFunction\(app\)/),
      }),
    );
  } finally {
    remove();
  }
});

/** Captured databases as infrastructure: their connectors, and what must never change of these. */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { App, Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';
import { MskConnector, type MskConnectorProps } from '../../lib/constructs/msk-connector.ts';
import { defineDatabase } from '../../runtime/capture/database.ts';
import type { ExistingSource } from '../../runtime/capture/environment.ts';
import { PLUGIN_FILE, PLUGIN_VERSION } from '../../runtime/capture/plugin.ts';
import { defineTable } from '../../runtime/capture/table.ts';
import type { EnvironmentSettings } from '../../runtime/environment.ts';
import { captured } from '../fixtures/newsdesk/captured.ts';
import newsdesk from '../fixtures/newsdesk/millrace.config.ts';
import { NEWSDESK } from '../newsdesk.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { appOf, type SynthesisOptions, templatesOf } from './synthesized.ts';
import { CAPTURE } from './variants.ts';

const CONNECTOR = 'AWS::KafkaConnect::Connector';
const APP = { consumers: captured.consumers, tables: captured.tables! };
const cms = CAPTURE.databases.cms as ExistingSource;
const withSource = (source: Partial<ExistingSource>): SynthesisOptions => ({
  ...APP,
  settings: { capture: { ...CAPTURE, databases: { cms: { ...cms, ...source } } } },
});
const own = (minCapacity = 1): SynthesisOptions => ({
  ...APP,
  settings: {
    database: { ...newsdesk.environments.prod!.database, minCapacity, proxy: minCapacity > 0 },
    capture: { plugin: PLUGIN_VERSION, databases: { cms: { type: 'own', user: 'capture' } } },
  },
});
const existing = templatesOf('prod', withSource({}));
const connectorOf = (template: Template) => Object.values(template.findResources(CONNECTOR))[0]!.Properties;

describe('the connector of a database', () => {
  const connector = connectorOf(existing['capture-cms']!);

  test('is one worker of one MCU on Kafka Connect 3.7, and does not scale', () => {
    expect(connector).toMatchObject({
      KafkaConnectVersion: '3.7.x',
      Capacity: { ProvisionedCapacity: { McuCount: 1, WorkerCount: 1 } },
      KafkaClusterClientAuthentication: { AuthenticationType: 'IAM' },
      KafkaClusterEncryptionInTransit: { EncryptionType: 'TLS' },
      LogDelivery: { WorkerLogDelivery: { CloudWatchLogs: { Enabled: true } } },
    });
  });

  test('logs in with a token, and has no password', () => {
    expect(connector.ConnectorConfiguration).toMatchObject({
      'database.hostname': cms.host,
      'database.user': cms.user,
      'driver.authenticationPluginClassName': 'millrace.connect.RdsIamLogin',
      'database.sslmode': 'require',
    });
    expect(Object.keys(connector.ConnectorConfiguration).join()).not.toMatch(/password|secret/i);
    existing['capture-cms']!.hasResourceProperties('AWS::IAM::Policy', {
      PolicyDocument: Match.objectLike({
        Statement: Match.arrayWith([
          Match.objectLike({
            Action: 'rds-db:connect',
            Resource: {
              'Fn::Join': ['', Match.arrayWith([`:dbuser:${cms.resourceId}/${cms.user}`])],
            },
          }),
        ]),
      }),
    });
  });

  test('may write to the topics of its tables, and use its own', () => {
    const policies = Object.values(existing['capture-cms']!.findResources('AWS::IAM::Policy'));
    const statements = policies.flatMap(({ Properties }) => Properties.PolicyDocument.Statement);
    const topicsWith = (action: string) =>
      statements
        .filter(({ Action }) => [Action].flat().includes(action))
        .flatMap(({ Resource }) => Resource)
        .map((resource) => /"\/([^"/]+)"\]/.exec(JSON.stringify(resource))?.[1])
        .toSorted();
    const internal = [
      '__amazon_msk_connect_configs_millrace-prod-cms-1_*',
      '__amazon_msk_connect_offsets_millrace-prod-cms-1',
      '__amazon_msk_connect_status_millrace-prod-cms-1_*',
    ];
    const tables = ['cms.millrace_capture.heartbeat', 'cms.public.articles'];
    expect(topicsWith('kafka-cluster:WriteData')).toEqual([...internal, ...tables]);
    expect(topicsWith('kafka-cluster:ReadData')).toEqual(internal);
    expect(topicsWith('kafka-cluster:CreateTopic')).toEqual(internal);
  });

  test('is its role for MSK Connect alone, in this account', () => {
    existing['capture-cms']!.hasResourceProperties('AWS::IAM::Role', {
      AssumeRolePolicyDocument: Match.objectLike({
        Statement: [
          Match.objectLike({
            Principal: { Service: 'kafkaconnect.amazonaws.com' },
            Condition: {
              StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } },
              ArnLike: { 'aws:SourceArn': Match.anyValue() },
            },
          }),
        ],
      }),
    });
  });
});

/** What Kafka Connect and PostgreSQL know a connector by. Were one of these another, it would begin anew. */
function identityOf(template: Template) {
  const { ConnectorName, ConnectorConfiguration } = connectorOf(template);
  const [worker] = Object.values(template.findResources('AWS::KafkaConnect::WorkerConfiguration'));
  const properties = Buffer.from(worker!.Properties.PropertiesFileContent, 'base64').toString();
  return {
    name: ConnectorName,
    offsets: /^offset\.storage\.topic=(.*)$/m.exec(properties)![1],
    prefix: ConnectorConfiguration['topic.prefix'],
    slot: ConnectorConfiguration['slot.name'],
    snapshot: ConnectorConfiguration['snapshot.mode'],
  };
}

describe('no change but that of the epoch makes a connector begin anew', () => {
  const identity = {
    name: 'millrace-prod-cms-1',
    offsets: '__amazon_msk_connect_offsets_millrace-prod-cms-1',
    prefix: 'cms',
    slot: 'millrace_cms_1',
    snapshot: 'initial',
  };
  const database = defineDatabase({ name: 'cms' });
  const table = (name: string, of = database) =>
    defineTable({ database: of, table: name, key: ['id'], columns: { id: 'bigint' } });

  test.each<[string, SynthesisOptions]>([
    ['as it is', withSource({})],
    ['another host, user and database', withSource({ host: 'db.example.com', user: 'u', database: 'd' })],
    ['another table', { ...withSource({}), tables: [table('articles'), table('authors')] }],
    ['another size of a record', { ...withSource({}), tables: [{ ...table('articles') }] }],
    ['the own database', own()],
    [
      'other brokers',
      { ...withSource({}), settings: { ...withSource({}).settings, monitoring: 'PER_BROKER' } },
    ],
  ])('%s', (_, options) => {
    expect(identityOf(templatesOf('prod', options)['capture-cms']!)).toEqual(identity);
  });

  test('a new epoch has another name, another slot, and offsets of its own', () => {
    const restored = defineDatabase({ name: 'cms', epoch: 2 });
    const options = {
      ...withSource({}),
      consumers: newsdesk.consumers,
      tables: [table('articles', restored)],
    };
    expect(identityOf(templatesOf('prod', options)['capture-cms']!)).toEqual({
      ...identity,
      name: 'millrace-prod-cms-2',
      offsets: '__amazon_msk_connect_offsets_millrace-prod-cms-2',
      slot: 'millrace_cms_2',
    });
  });
});

describe('a new connector version', () => {
  const refusal = (settings: Partial<EnvironmentSettings>) => () => appOf('prod', { ...APP, settings });

  test('is refused while a connector runs, with the two deployments that it takes', () => {
    expect(refusal({ capture: { ...CAPTURE, plugin: '3.5.0.Final-1' } })).toThrow(
      expect.objectContaining({
        code: 'ENVIRONMENT_INVALID',
        message: expect.stringMatching(
          /prod\.capture\.plugin is "3\.5\.0\.Final-1"; it takes "3\.6.*connector: false for cms, then/,
        ),
      }),
    );
  });

  test('takes a first deployment without connectors, which keeps all but them', () => {
    const options = withSource({ connector: false });
    const stopped = templatesOf('prod', {
      ...options,
      settings: { capture: { ...options.settings!.capture!, plugin: '3.5.0.Final-1' } },
    });
    expect(Object.keys(stopped)).toEqual(Object.keys(existing));
    stopped['capture-cms']!.resourceCountIs(CONNECTOR, 0);
    stopped['capture-cms']!.resourceCountIs('AWS::KafkaConnect::WorkerConfiguration', 1);
    stopped['capture-cms']!.resourceCountIs('AWS::IAM::Role', 2);
    const alarms = Object.values(stopped['capture-cms']!.findResources('AWS::CloudWatch::Alarm'));
    expect(alarms.map(({ Properties }) => Properties.AlarmName).toSorted()).toEqual([
      'millrace-prod-capture-cms-slot-behind-unsuppressed',
      'millrace-prod-capture-cms-slot-fills-disk',
    ]);
  });
});

describe('a plugin that nobody built', () => {
  test('makes templates that CloudFormation refuses', () => {
    const [rule] = Object.values(
      existing['capture-cms']!.toJSON().Rules as Record<string, { Assertions: object[] }>,
    );
    expect(rule!.Assertions).toEqual([
      {
        Assert: { 'Fn::Equals': [{ Ref: 'DebeziumIsBuilt3E3986C4' }, 'yes'] },
        AssertDescription: expect.stringContaining('npx millrace capture plugin'),
      },
    ]);
    expect(JSON.stringify(connectorOf(existing['capture-cms']!).Plugins)).toContain(
      'custom-plugin/not-built/',
    );
  });

  test('is refused at synth where the account is known', () => {
    expect(() => appOf('prod', { ...withSource({}), account: '123456789012' })).toThrow(
      expect.objectContaining({
        code: 'PREREQUISITE_MISSING',
        message: expect.stringContaining('npx millrace capture plugin'),
      }),
    );
    expect(() =>
      appOf('prod', { ...withSource({ connector: false }), account: '123456789012' }),
    ).not.toThrow();
  });

  test('is none once it is built, and goes by its version, whatever bytes the build has', () => {
    const { path, remove } = createTemporaryFolder();
    try {
      const names = ['one', 'another'].map((bytes, index) => {
        const root = join(path, String(index));
        cpSync(NEWSDESK, root, { recursive: true });
        mkdirSync(join(root, 'node_modules', '.cache'), { recursive: true });
        writeFileSync(join(root, 'node_modules', '.cache', PLUGIN_FILE), bytes);
        const template = templatesOf('prod', { ...withSource({}), root })['capture-cms']!;
        expect(template.toJSON().Rules ?? {}).not.toHaveProperty('DebeziumPluginIsBuilt');
        const [plugin] = Object.values(template.findResources('AWS::KafkaConnect::CustomPlugin'));
        expect(plugin!.Properties).toMatchObject({
          ContentType: 'ZIP',
          Name: expect.stringMatching(/^millrace-prod-cms-1-[0-9a-f]{10}$/),
        });
        return JSON.stringify(plugin!.Properties);
      });
      expect(names[0]).toBe(names[1]);
    } finally {
      remove();
    }
  });
});

describe('the own database', () => {
  const parameters = (options: SynthesisOptions) =>
    Object.values(
      templatesOf('prod', options).database!.findResources('AWS::RDS::DBClusterParameterGroup'),
    )[0]!.Properties.Parameters;

  test('has logical replication, with tokens, where it is captured, and nowhere else', () => {
    const wanted = { 'rds.logical_replication': '1', 'rds.iam_auth_for_replication': '1' };
    expect(parameters(own())).toMatchObject(wanted);
    for (const name of Object.keys(wanted)) expect(parameters(withSource({}))).not.toHaveProperty([name]);
  });

  test('is refused where it would pause, because it never would', () => {
    expect(() => appOf('prod', own(0))).toThrow(
      expect.objectContaining({
        code: 'ENVIRONMENT_INVALID',
        message: expect.stringMatching(
          /prod\.database\.minCapacity is 0; it takes at least 0\.5, because cms/,
        ),
      }),
    );
  });

  test('is reached at the writer, never through the proxy', () => {
    const { ConnectorConfiguration } = connectorOf(templatesOf('prod', own())['capture-cms']!);
    expect(JSON.stringify(ConnectorConfiguration['database.hostname'])).not.toContain('Proxy');
  });
});

test.each<[string, Partial<ExistingSource>, RegExp]>([
  ['a reader', { host: 'cms.cluster-ro-abc.eu-west-1.rds.amazonaws.com' }, /cms\.host .* writer's endpoint/],
  ['a proxy', { host: 'cms.proxy-abc.eu-west-1.rds.amazonaws.com' }, /cms\.host .* proxy cannot carry/],
  ['a port out of range', { port: 70_000 }, /cms\.port is 70000/],
  ['a name in place of an id', { resourceId: 'cms' }, /cms\.resourceId .* DbClusterResourceId/],
  ['a group of something else', { securityGroupId: 'cms' }, /cms\.securityGroupId .* sg-…/],
  ['an odd identifier', { identifier: 'CMS!' }, /cms\.identifier/],
  ['a role that PostgreSQL has not', { user: 'a b' }, /cms\.user/],
  ['a warning above the incident', { retainedLogGiB: { warning: 30 } }, /cms\.retainedLogGiB/],
])('a source is refused: %s', (_, source, message) => {
  expect(() => appOf('prod', withSource(source))).toThrow(
    expect.objectContaining({ code: 'ENVIRONMENT_INVALID', message: expect.stringMatching(message) }),
  );
});

test('a database that the app does not know is refused', () => {
  const capture = { ...CAPTURE, databases: { cns: cms } };
  expect(() => appOf('prod', { ...APP, settings: { capture } })).toThrow(
    expect.objectContaining({ message: expect.stringMatching(/capture\.databases names "cns"/) }),
  );
});

describe('a connector of your own', () => {
  const props: MskConnectorProps = {
    connectorName: 'orders-to-s3',
    cluster: {
      arn: 'arn:aws:kafka:eu-west-1:123456789012:cluster/theirs/6b1f0e6c-6c0a-4b0e-8f5a-0f1d2c3b4a59-2',
      bootstrapBrokers: 'b-1.example.com:9098',
    },
    subnetIds: ['subnet-0a1b2c3d', 'subnet-1a1b2c3d'],
    securityGroupIds: ['sg-0a1b2c3d'],
    plugin: { arn: 'arn:aws:kafkaconnect:eu-west-1:123456789012:custom-plugin/s3/1-2', revision: 3 },
    configuration: {
      'connector.class': 'io.confluent.connect.s3.S3SinkConnector',
      topics: 'orders',
      'tasks.max': '2',
    },
    reads: ['orders'],
  };
  const synthesize = (changes: Partial<MskConnectorProps> = {}) => {
    const stack = new Stack(new App({ analyticsReporting: false }), 'own');
    new MskConnector(stack, 'Sink', { ...props, ...changes });
    return Template.fromStack(stack);
  };

  test('takes a plugin that MSK Connect has, and any configuration', () => {
    const template = synthesize();
    expect(connectorOf(template)).toMatchObject({
      ConnectorName: 'orders-to-s3',
      ConnectorConfiguration: props.configuration,
      Plugins: [{ CustomPlugin: { CustomPluginArn: (props.plugin as { arn: string }).arn, Revision: 3 } }],
    });
    template.resourceCountIs('AWS::KafkaConnect::CustomPlugin', 0);
    template.resourceCountIs('AWS::KafkaConnect::WorkerConfiguration', 0);
    const text = JSON.stringify(template.findResources('AWS::IAM::Policy'));
    expect(text).toContain('/orders"');
    expect(text).toContain('/connect-orders-to-s3"');
    expect(text).not.toContain('WriteDataIdempotently');
  });

  test('takes a jar or a zip, whose plugin is called by its hash, and workers of any size', () => {
    const { path, remove } = createTemporaryFolder();
    try {
      const jar = join(path, 'sink.jar');
      const nameOf = (bytes: string) => {
        writeFileSync(jar, bytes);
        const template = synthesize({
          plugin: { path: jar },
          capacity: { workers: 2, mcusPerWorker: 4 },
          workerConfiguration: { 'key.converter': 'x', 'value.converter': 'y' },
        });
        expect(connectorOf(template).Capacity).toEqual({
          ProvisionedCapacity: { McuCount: 4, WorkerCount: 2 },
        });
        template.resourceCountIs('AWS::KafkaConnect::WorkerConfiguration', 1);
        const [plugin] = Object.values(template.findResources('AWS::KafkaConnect::CustomPlugin'));
        expect(plugin!.Properties.ContentType).toBe('JAR');
        return plugin!.Properties.Name;
      };
      expect(nameOf('one')).toMatch(/^orders-to-s3-[0-9a-f]{10}$/);
      expect(nameOf('one')).not.toBe(nameOf('another'));
    } finally {
      remove();
    }
  });

  test('has neither connector nor alarm of a missing one while it is stopped', () => {
    synthesize({ isRunning: false }).resourceCountIs(CONNECTOR, 0);
  });
});

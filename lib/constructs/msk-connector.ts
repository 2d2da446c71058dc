import { createHash } from 'node:crypto';
import { Stack, Validations } from 'aws-cdk-lib';
import { type CfnPolicy, Effect, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { CfnConnector, CfnCustomPlugin, CfnWorkerConfiguration } from 'aws-cdk-lib/aws-kafkaconnect';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { Asset } from 'aws-cdk-lib/aws-s3-assets';
import { Construct } from 'constructs';
import { kafkaArn } from './cluster.ts';

/** 3.7.x runs on Java 17, 2.7.1 on Java 11: https://docs.aws.amazon.com/msk/latest/developerguide/msk-connect-plugins.html (2026-11-27) */
type ConnectVersion = '3.7.x' | '2.7.1';

/** A plugin that MSK Connect has, or the files of one. */
export type ConnectorPlugin =
  | { readonly arn: string; readonly revision: number }
  | {
      /** Of a zip with the connector's jars, or of one jar, on this machine. MSK Connect takes no .tar.gz. */
      readonly path: string;
      /**
       * Stands for what is in the file; another one makes another plugin, and so another connector. @default the file's own
       * hash, which differs with every build that is not reproducible
       */
      readonly hash?: string;
    };

/** Where the brokers are that a connector reads or writes. */
export interface ConnectorCluster {
  readonly arn: string;
  /** With IAM, port 9098. */
  readonly bootstrapBrokers: string;
}

export interface MskConnectorProps {
  /** Of connector, plugin and worker configuration, in the account and region. A sink's offsets go by it, as a source's do. */
  readonly connectorName: string;
  readonly description?: string;
  readonly cluster: ConnectorCluster;
  /** Private subnets, each in another zone, that reach the brokers. Each worker takes an address. */
  readonly subnetIds: readonly string[];
  readonly securityGroupIds: readonly string[];
  readonly plugin: ConnectorPlugin;
  /** What Kafka Connect's REST interface calls `config`. It is readable for whoever may describe the connector: no secrets. */
  readonly configuration: Readonly<Record<string, string>>;
  /** Of the workers: converters, and topics of offsets. @default what MSK Connect takes by default */
  readonly workerConfiguration?: Readonly<Record<string, string>>;
  /** The topics that it reads and writes, by their names. */
  readonly reads?: readonly string[];
  readonly writes?: readonly string[];
  /** @default 1 worker of 1 MCU: 1 vCPU and 4 GiB */
  readonly capacity?: { readonly workers?: number; readonly mcusPerWorker?: 1 | 2 | 4 | 8 };
  /** @default '3.7.x' */
  readonly connectVersion?: ConnectVersion;
  /** Where the workers log. @default a log group of its own */
  readonly logGroup?: LogGroup;
  /** Whether the connector is there. Without it, its role, plugin and worker configuration stay. @default true */
  readonly isRunning?: boolean;
}

/** https://docs.aws.amazon.com/msk/latest/developerguide/msk-connect-manage-connector-offsets.html (2026-11-27): `__amazon_msk_connect_configs_NAME_ID` */
const INTERNAL_TOPIC = '__amazon_msk_connect';

/**
 * Any connector on MSK Connect, with IAM to the brokers: its plugin, its worker configuration, a role that may use its own
 * topics and no others, and its logs. Connectors that you have already, such as Confluent's S3 sink, deploy as they are.
 *
 * CloudFormation replaces a connector whose plugin or worker configuration changes, and makes the new one before it deletes
 * the old: under the same name that fails, and nothing is changed. Deploy once with `isRunning: false`, then again without.
 */
export class MskConnector extends Construct {
  readonly connectorName: string;
  readonly role: Role;
  readonly logGroup: LogGroup;

  constructor(scope: Construct, id: string, props: MskConnectorProps) {
    super(scope, id);
    const { connectorName, cluster, capacity = {}, connectVersion = '3.7.x', isRunning = true } = props;
    this.connectorName = connectorName;
    this.logGroup = props.logGroup ?? new LogGroup(this, 'Logs');
    this.role = this.addRole(props);
    const plugin = this.addPlugin(props);
    const worker = this.addWorkerConfiguration(props);
    if (!isRunning) return;
    const connector = new CfnConnector(this, 'Resource', {
      connectorName,
      ...(props.description !== undefined && { connectorDescription: props.description }),
      kafkaConnectVersion: connectVersion,
      kafkaCluster: {
        apacheKafkaCluster: {
          bootstrapServers: cluster.bootstrapBrokers,
          vpc: { subnets: [...props.subnetIds], securityGroups: [...props.securityGroupIds] },
        },
      },
      kafkaClusterClientAuthentication: { authenticationType: 'IAM' },
      kafkaClusterEncryptionInTransit: { encryptionType: 'TLS' },
      capacity: {
        provisionedCapacity: { workerCount: capacity.workers ?? 1, mcuCount: capacity.mcusPerWorker ?? 1 },
      },
      connectorConfiguration: { ...props.configuration },
      plugins: [{ customPlugin: { customPluginArn: plugin.arn, revision: plugin.revision } }],
      ...(worker && {
        workerConfiguration: { workerConfigurationArn: worker.arn, revision: worker.revision },
      }),
      serviceExecutionRoleArn: this.role.roleArn,
      logDelivery: {
        workerLogDelivery: { cloudWatchLogs: { enabled: true, logGroup: this.logGroup.logGroupName } },
      },
    });
    // It starts as soon as it is made, and then needs its rights.
    connector.addResourceDependency(this.role.node.findChild('DefaultPolicy').node.defaultChild as CfnPolicy);
  }

  private addPlugin({ connectorName, plugin }: MskConnectorProps): { arn: string; revision: number } {
    if ('arn' in plugin) return plugin;
    const { path, hash } = plugin;
    const asset = new Asset(this, 'PluginFile', { path, ...(hash !== undefined && { assetHash: hash }) });
    const custom = new CfnCustomPlugin(this, 'Plugin', {
      // A plugin cannot change: another one needs another name.
      name: `${connectorName}-${asset.assetHash.slice(0, HASH_LENGTH)}`,
      contentType: path.endsWith('.jar') ? 'JAR' : 'ZIP',
      location: {
        s3Location: { bucketArn: asset.bucket.bucketArn, fileKey: asset.s3ObjectKey },
      },
    });
    return { arn: custom.attrCustomPluginArn, revision: custom.getAtt('Revision') as unknown as number };
  }

  private addWorkerConfiguration({
    connectorName,
    workerConfiguration,
  }: MskConnectorProps): { arn: string; revision: number } | undefined {
    if (!workerConfiguration) return undefined;
    const properties = Object.entries(workerConfiguration)
      .map(([name, value]) => `${name}=${value}\n`)
      .join('');
    const digest = createHash('sha256').update(properties).digest('hex');
    const configuration = new CfnWorkerConfiguration(this, 'Worker', {
      name: `${connectorName}-${digest.slice(0, HASH_LENGTH)}`,
      propertiesFileContent: Buffer.from(properties).toString('base64'),
    });
    return {
      arn: configuration.attrWorkerConfigurationArn,
      revision: configuration.getAtt('Revision') as unknown as number,
    };
  }

  /** https://docs.aws.amazon.com/msk/latest/developerguide/msk-connect-service-execution-role.html (2026-11-27) */
  private addRole({ connectorName, cluster, reads = [], writes = [], ...props }: MskConnectorProps): Role {
    const stack = Stack.of(this);
    const role = new Role(this, 'Role', {
      assumedBy: new ServicePrincipal('kafkaconnect.amazonaws.com', {
        conditions: {
          StringEquals: { 'aws:SourceAccount': stack.account },
          ArnLike: {
            // The last part of its ARN is an id, which it gets when it is made.
            'aws:SourceArn': stack.formatArn({
              service: 'kafkaconnect',
              resource: 'connector',
              resourceName: `${connectorName}/*`,
            }),
          },
        },
      }),
      description: `What the connector ${connectorName} may do`,
    });
    const allow = (actions: string[], resources: string[]) =>
      role.addToPolicy(new PolicyStatement({ effect: Effect.ALLOW, actions, resources }));
    const of = { arn: cluster.arn, name: '' };
    const topics = (names: readonly string[]) => names.map((name) => kafkaArn(of, 'topic', name));
    const [describe, read, write] = ['DescribeTopic', 'ReadData', 'WriteData'].map(
      (action) => `kafka-cluster:${action}`,
    ) as [string, string, string];
    allow(['kafka-cluster:Connect', 'kafka-cluster:DescribeCluster'], [cluster.arn]);
    if (reads.length > 0) allow([describe, read], topics(reads));
    if (writes.length > 0) {
      allow([describe, write], topics(writes));
      // Kafka's producer is idempotent unless it is told otherwise.
      allow(['kafka-cluster:WriteDataIdempotently'], [cluster.arn]);
    }
    const offsets =
      props.workerConfiguration?.['offset.storage.topic'] ?? `${INTERNAL_TOPIC}_offsets_${connectorName}_*`;
    const internal = topics([
      offsets,
      `${INTERNAL_TOPIC}_configs_${connectorName}_*`,
      `${INTERNAL_TOPIC}_status_${connectorName}_*`,
    ]);
    allow(['kafka-cluster:CreateTopic', describe, read, write], internal);
    // What MSK Connect calls the group of the workers is nowhere said more closely; that of a sink is Kafka Connect's.
    const groups = [`${INTERNAL_TOPIC}_*`, `connect-${connectorName}`].map((name) =>
      kafkaArn(of, 'group', name),
    );
    allow(['kafka-cluster:AlterGroup', 'kafka-cluster:DescribeGroup'], groups);
    for (const arn of [...internal, ...groups]) acknowledge(role, arn);
    return role;
  }
}

/** Tells cdk-nag why a right has a wildcard, by the name that it has for the resource: the parts of an ARN as JSON. */
function acknowledge(role: Role, arn: string): void {
  const resolved: unknown = Stack.of(role).resolve(arn);
  const [, parts] = (resolved as { readonly 'Fn::Join'?: [string, unknown[]] })['Fn::Join'] ?? [
    '',
    [resolved],
  ];
  const text = parts.map((part) => (typeof part === 'string' ? part : JSON.stringify(part))).join('');
  if (!text.includes('*')) return;
  Validations.of(role.node.findChild('DefaultPolicy')).acknowledge({
    id: `AwsSolutions-IAM5[Resource::${text}]`,
    reason: 'MSK Connect makes up the ends of these names when the connector is made.',
  });
}

/** Of a hash in a name. */
const HASH_LENGTH = 10;

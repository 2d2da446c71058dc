import { Key } from 'aws-cdk-lib/aws-kms';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import { CfnCluster, CfnConfiguration } from 'aws-cdk-lib/aws-msk';
import type { Construct } from 'constructs';
import type { Environment } from '../config/environment.ts';
import { EnvironmentStack } from './environment-stack.ts';
import type { NetworkStack } from './network-stack.ts';

// The newest that both broker types take, with KRaft; MSK reads the mode from the version's suffix.
// https://docs.aws.amazon.com/msk/latest/developerguide/metadata-management.html, https://github.com/aws/aws-cdk/pull/36450 (2026-11-24)
const KAFKA_VERSION = '3.9.x.kraft';

/** A broker in each zone. */
const BROKERS = 3;

/** The Kafka cluster: IAM the only way in, TLS everywhere, its disks under a key of our own. */
export class ClusterStack extends EnvironmentStack {
  readonly cluster: CfnCluster;
  readonly key: Key;

  constructor(scope: Construct, environment: Environment, { vpc, brokers }: NetworkStack) {
    super(scope, 'cluster', environment, 'Millrace: the MSK cluster of one environment');
    this.key = new Key(this, 'Key', {
      alias: `millrace-${environment.name}-cluster`,
      description: 'What the brokers of Millrace write to disk',
      enableKeyRotation: true,
      removalPolicy: this.dataRemoval,
    });
    const configuration = new CfnConfiguration(this, 'Configuration', {
      name: `millrace-${environment.name}-${environment.brokers.type}`,
      kafkaVersionsList: [KAFKA_VERSION],
      serverProperties: serverProperties(environment),
    });
    const logs = new LogGroup(this, 'BrokerLogs', {
      retention: this.logRetention,
      removalPolicy: this.dataRemoval,
    });
    const exporters = { enabledInBroker: true };
    this.cluster = new CfnCluster(this, 'Resource', {
      clusterName: `millrace-${environment.name}`,
      kafkaVersion: KAFKA_VERSION,
      numberOfBrokerNodes: BROKERS,
      brokerNodeGroupInfo: {
        instanceType: environment.brokers.instanceType,
        clientSubnets: vpc.selectSubnets({ subnetGroupName: 'brokers' }).subnetIds,
        securityGroups: [brokers.securityGroupId],
        // Express brokers refuse a storage size: MSK manages it.
        ...(environment.brokers.type === 'standard' && {
          storageInfo: { ebsStorageInfo: { volumeSize: environment.brokers.storageGiB } },
        }),
      },
      clientAuthentication: { sasl: { iam: { enabled: true } }, unauthenticated: { enabled: false } },
      encryptionInfo: {
        encryptionAtRest: { dataVolumeKmsKeyId: this.key.keyArn },
        encryptionInTransit: { clientBroker: 'TLS', inCluster: true },
      },
      configurationInfo: { arn: configuration.attrArn, revision: 1 },
      enhancedMonitoring: environment.monitoring,
      openMonitoring: { prometheus: { jmxExporter: exporters, nodeExporter: exporters } },
      loggingInfo: { brokerLogs: { cloudWatchLogs: { enabled: true, logGroup: logs.logGroupName } } },
    });
    this.cluster.applyRemovalPolicy(this.dataRemoval);
  }
}

/** A topic exists because a contract does, never because somebody misspelled one. */
function serverProperties({ brokers }: Environment): string {
  const properties = ['auto.create.topics.enable=false'];
  // Express brokers fix both at these values, and refuse a configuration that names them.
  if (brokers.type === 'standard') properties.push('default.replication.factor=3', 'min.insync.replicas=2');
  return `${properties.join('\n')}\n`;
}

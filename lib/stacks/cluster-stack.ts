import { Key } from 'aws-cdk-lib/aws-kms';
import { CfnCluster, CfnConfiguration } from 'aws-cdk-lib/aws-msk';
import type { Construct } from 'constructs';
import { environmentName } from '../../runtime/deployment.ts';
import type { Environment } from '../../runtime/environment.ts';
import { BROKERS, type Cluster } from '../constructs/cluster.ts';
import { EnvironmentStack } from '../environment-stack.ts';
import type { NetworkStack } from './network-stack.ts';
import type { OperationsStack } from './operations-stack.ts';

// The newest that both broker types take, with KRaft; MSK reads the mode from the version's suffix.
// https://docs.aws.amazon.com/msk/latest/developerguide/metadata-management.html, https://github.com/aws/aws-cdk/pull/36450 (2026-11-24)
const KAFKA_VERSION = '3.9.x.kraft';

/** Brokers that we run ourselves. */
export type OwnBrokers = Exclude<Environment['brokers'], { type: 'existing' }>;

/** The Kafka cluster: IAM the only way in, TLS everywhere, its disks under a key of our own. */
export class ClusterStack extends EnvironmentStack {
  readonly cluster: Cluster;

  constructor(
    scope: Construct,
    environment: Environment & { readonly brokers: OwnBrokers },
    network: NetworkStack,
    operations: OperationsStack,
  ) {
    super(scope, 'cluster', environment, {
      description: 'Millrace: the MSK cluster of one environment',
      holdsData: true,
    });
    const { brokers } = environment;
    const key = new Key(this, 'Key', {
      alias: this.nameOf('cluster'),
      description: 'Encrypts the disks of the brokers',
      enableKeyRotation: true,
      removalPolicy: this.dataRemoval,
    });
    // For no version in particular: with a list of them, a new one would make another configuration of the same name.
    // https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-msk-configuration.html (2026-11-25)
    const configuration = new CfnConfiguration(this, 'Configuration', {
      name: this.nameOf(brokers.type),
      serverProperties: serverProperties(brokers),
    });
    // MSK refuses to delete one that a cluster uses.
    configuration.applyRemovalPolicy(this.dataRemoval);
    const clusterName = environmentName(environment.name);
    // MSK writes the group's name into a policy that the whole account shares and that has room for few, except for names
    // that begin so: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-infrastructure-CWL.html (2026-11-26)
    const logsTo = (id: string, name: string) => ({
      cloudWatchLogs: {
        enabled: true,
        logGroup: operations.addLogGroup(this, id, `/aws/vendedlogs/msk/${clusterName}/${name}`).logGroupName,
      },
    });
    const exporters = { enabledInBroker: true };
    const cluster = new CfnCluster(this, 'Resource', {
      clusterName,
      kafkaVersion: KAFKA_VERSION,
      numberOfBrokerNodes: BROKERS,
      brokerNodeGroupInfo: {
        instanceType: brokers.instanceType,
        clientSubnets: network.subnetIds('brokers'),
        securityGroups: [network.brokers.securityGroupId],
        // Express brokers refuse a storage size: MSK manages it.
        ...(brokers.type === 'standard' && {
          storageInfo: { ebsStorageInfo: { volumeSize: brokers.storageGiB } },
        }),
      },
      clientAuthentication: { sasl: { iam: { enabled: true } }, unauthenticated: { enabled: false } },
      encryptionInfo: {
        encryptionAtRest: { dataVolumeKmsKeyId: key.keyArn },
        encryptionInTransit: { clientBroker: 'TLS', inCluster: true },
      },
      configurationInfo: { arn: configuration.attrArn, revision: configuration.attrLatestRevisionRevision },
      enhancedMonitoring: environment.monitoring,
      openMonitoring: { prometheus: { jmxExporter: exporters, nodeExporter: exporters } },
      loggingInfo: {
        brokerLogs: logsTo('BrokerLogs', 'brokers'),
        // Whom IAM turned away, and why: https://docs.aws.amazon.com/msk/latest/developerguide/msk-logging.html (2026-11-26)
        authorizerLogs: logsTo('AuthorizerLogs', 'authorizer'),
      },
    });
    cluster.applyRemovalPolicy(this.dataRemoval);
    this.cluster = { arn: cluster.attrArn, name: clusterName };
  }
}

/** A topic exists because a contract does, never because somebody misspelled one. */
function serverProperties(brokers: OwnBrokers): string {
  const properties = ['auto.create.topics.enable=false'];
  // Express brokers fix both at these values, and refuse a configuration that names them.
  if (brokers.type === 'standard') properties.push('default.replication.factor=3', 'min.insync.replicas=2');
  return `${properties.join('\n')}\n`;
}

import { ArnFormat, type CfnResource, Fn, Validations } from 'aws-cdk-lib';
import { type IGrantable, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import {
  CfnDBCluster,
  CfnDBClusterParameterGroup,
  CfnDBInstance,
  CfnDBProxy,
  CfnDBProxyTargetGroup,
  CfnDBSubnetGroup,
} from 'aws-cdk-lib/aws-rds';
import type { Construct } from 'constructs';
import { environmentName } from '../../runtime/deployment.ts';
import type { Environment } from '../../runtime/environment.ts';
import type { Database } from '../constructs/surroundings.ts';
import { EnvironmentStack } from '../environment-stack.ts';
import type { NetworkStack } from './network-stack.ts';
import type { OperationsStack } from './operations-stack.ts';

const ENGINE = 'aurora-postgresql';
const ENGINE_VERSION = '17.7';
const FAMILY = 'aurora-postgresql17';

/** The least idle time that Aurora takes. */
const AUTO_PAUSE_SECONDS = 300;

/** Who migrations connect as: the cluster's master user, who has no password. */
const ADMINISTRATOR = 'millrace_admin';

/**
 * The sink: Aurora PostgreSQL Serverless v2. There is no password anywhere: the master user, the consumers and the
 * proxy all log in with tokens that IAM grants them.
 * Sources, read 2026-11-24: MasterUserAuthenticationType in
 * https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_CreateDBCluster.html, end-to-end IAM in
 * https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/rds-proxy-iam-migration.html
 */
export class DatabaseStack extends EnvironmentStack {
  readonly databaseName = 'millrace';
  readonly clusterName: string;
  readonly administrator = ADMINISTRATOR;
  /** Where migrations connect: the writer itself. */
  readonly writerHost: string;
  /** Where consumers connect: the proxy, where the environment has one. */
  readonly host: string;
  /** AWS's own for the cluster: another one after a restore under the same name. */
  readonly resourceId: string;
  readonly #cluster: CfnDBCluster;
  readonly #proxy: CfnDBProxy | undefined;

  /** @param users the consumers' names, each a user of the database */
  constructor(
    scope: Construct,
    environment: Environment,
    network: NetworkStack,
    operations: OperationsStack,
    users: readonly string[],
  ) {
    super(scope, 'database', environment, {
      description: 'Millrace: the PostgreSQL database that consumers write to',
      holdsData: true,
    });
    this.clusterName = environmentName(environment.name);
    const subnets = new CfnDBSubnetGroup(this, 'Subnets', {
      dbSubnetGroupDescription: 'Subnets of the databases of Millrace',
      subnetIds: network.subnetIds('databases'),
    });
    // RDS refuses to delete either this or the parameters while a cluster uses them.
    subnets.applyRemovalPolicy(this.dataRemoval);
    this.#cluster = this.addCluster(network, operations, subnets);
    const instances = this.addInstances();
    this.#proxy = environment.database.proxy
      ? this.addProxy(network, operations, users, instances)
      : undefined;
    this.writerHost = this.#cluster.attrEndpointAddress;
    this.host = this.#proxy?.attrEndpoint ?? this.writerHost;
    this.resourceId = this.#cluster.attrDbClusterResourceId;
  }

  /** The database itself, for who is none of the users that the proxy logs in as. */
  get behindProxy(): Database {
    const { databaseName, writerHost: host } = this;
    return {
      databaseName,
      host,
      grantConnect: ({ grantPrincipal }, user) =>
        grantPrincipal.addToPrincipalPolicy(this.mayConnect(this.#cluster.attrDbClusterResourceId, [user])),
    };
  }

  /** Lets a function log in as a consumer's user, where consumers connect. */
  grantConnect(grantee: IGrantable, user: string): void {
    // The proxy's own id is the last part of its ARN, and stands where the cluster's would.
    const resourceId = this.#proxy
      ? Fn.select(6, Fn.split(':', this.#proxy.attrDbProxyArn))
      : this.#cluster.attrDbClusterResourceId;
    grantee.grantPrincipal.addToPrincipalPolicy(this.mayConnect(resourceId, [user]));
  }

  /** Lets the migrations log in as the master user. */
  grantAdminister(grantee: IGrantable): void {
    const { attrDbClusterResourceId } = this.#cluster;
    grantee.grantPrincipal.addToPrincipalPolicy(this.mayConnect(attrDbClusterResourceId, [ADMINISTRATOR]));
  }

  private mayConnect(resourceId: string, users: readonly string[]): PolicyStatement {
    return new PolicyStatement({
      actions: ['rds-db:connect'],
      resources: users.map((user) =>
        this.formatArn({
          service: 'rds-db',
          resource: 'dbuser',
          resourceName: `${resourceId}/${user}`,
          arnFormat: ArnFormat.COLON_RESOURCE_NAME,
        }),
      ),
    });
  }

  private addCluster(
    network: NetworkStack,
    operations: OperationsStack,
    subnets: CfnDBSubnetGroup,
  ): CfnDBCluster {
    const { database, retainsData } = this.target;
    const key = new Key(this, 'Key', {
      alias: this.nameOf('database'),
      description: 'Encrypts the database of the consumers',
      enableKeyRotation: true,
      removalPolicy: this.dataRemoval,
    });
    const isCaptured = Object.values(this.target.capture?.databases ?? {}).some(({ type }) => type === 'own');
    const parameters = new CfnDBClusterParameterGroup(this, 'Parameters', {
      description: 'TLS only, and no data in the logs',
      family: FAMILY,
      parameters: {
        // The first takes effect when the writer restarts, the second at once. No limit on what a slot keeps: Aurora's volume
        // grows, and a slot that is over a limit is lost. The alarm slot-fills-disk says when it keeps much.
        // https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraPostgreSQL.Replication.Logical.Configure.html,
        // https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/AuroraPostgreSQL.Replication.Logical.IAM-auth.html (2026-11-27)
        ...(isCaptured && { 'rds.logical_replication': '1', 'rds.iam_auth_for_replication': '1' }),
        'rds.force_ssl': '1',
        // The DETAIL of an error quotes the row; parameters are the row.
        log_error_verbosity: 'terse',
        log_parameter_max_length: '0',
        log_parameter_max_length_on_error: '0',
      },
    });
    parameters.applyRemovalPolicy(this.dataRemoval);
    // Made before RDS would make it itself, without key and for ever.
    const logs = operations.addLogGroup(this, 'Logs', `/aws/rds/cluster/${this.clusterName}/postgresql`);
    const cluster = new CfnDBCluster(this, 'Resource', {
      dbClusterIdentifier: this.clusterName,
      databaseName: this.databaseName,
      engine: ENGINE,
      engineVersion: ENGINE_VERSION,
      serverlessV2ScalingConfiguration: {
        minCapacity: database.minCapacity,
        maxCapacity: database.maxCapacity,
        ...(database.minCapacity === 0 && { secondsUntilAutoPause: AUTO_PAUSE_SECONDS }),
      },
      masterUsername: ADMINISTRATOR,
      masterUserAuthenticationType: 'iam-db-auth',
      enableIamDatabaseAuthentication: true,
      storageEncrypted: true,
      kmsKeyId: key.keyArn,
      dbClusterParameterGroupName: parameters.ref,
      dbSubnetGroupName: subnets.ref,
      vpcSecurityGroupIds: [network.database.securityGroupId],
      backupRetentionPeriod: database.backupDays,
      copyTagsToSnapshot: true,
      deletionProtection: retainsData,
      enableCloudwatchLogsExports: ['postgresql'],
    });
    cluster.addResourceDependency(logs.node.defaultChild as CfnResource);
    cluster.applyRemovalPolicy(this.dataRemoval);
    Validations.of(cluster).acknowledge({
      id: 'AwsSolutions-RDS11',
      reason:
        'Its subnets have no way in or out, and its security group lets in two others. Another port would hide nothing.',
    });
    if (!retainsData) {
      Validations.of(cluster).acknowledge({
        id: 'AwsSolutions-RDS10',
        reason: 'An environment that keeps no data can be destroyed with one command.',
      });
    }
    return cluster;
  }

  private addInstances(): readonly CfnDBInstance[] {
    const {
      network,
      database: { standbys },
    } = this.target;
    const instances: CfnDBInstance[] = [];
    for (let index = 0; index <= standbys; index++) {
      const instance = new CfnDBInstance(this, index === 0 ? 'Writer' : `Standby${index}`, {
        engine: ENGINE,
        dbClusterIdentifier: this.#cluster.ref,
        dbInstanceClass: 'db.serverless',
        publiclyAccessible: false,
        autoMinorVersionUpgrade: true,
        // Each in a zone of its own: left to itself, Aurora may put a standby beside its writer.
        ...(network.type === 'new' && {
          availabilityZone: this.availabilityZones[index % this.availabilityZones.length]!,
        }),
        // A standby of tier 1 grows with the writer, so that it can take over at once.
        promotionTier: index === 0 ? 0 : 1,
      });
      instance.applyRemovalPolicy(this.dataRemoval);
      // The first instance becomes the writer.
      const previous = instances.at(-1);
      if (previous) instance.addResourceDependency(previous);
      instances.push(instance);
    }
    return instances;
  }

  private addProxy(
    network: NetworkStack,
    operations: OperationsStack,
    users: readonly string[],
    instances: readonly CfnDBInstance[],
  ): CfnDBProxy {
    const role = new Role(this, 'ProxyRole', {
      assumedBy: new ServicePrincipal('rds.amazonaws.com'),
      description: 'RDS Proxy logs in to the database as the consumer that uses it',
    });
    role.addToPolicy(this.mayConnect(this.#cluster.attrDbClusterResourceId, users));
    // The proxy writes to the group of this name, where there is one:
    // https://github.com/terraform-aws-modules/terraform-aws-rds-proxy/blob/master/main.tf (2026-11-25)
    const logs = operations.addLogGroup(this, 'ProxyLogs', `/aws/rds/proxy/${this.clusterName}`);
    const proxy = new CfnDBProxy(this, 'Proxy', {
      dbProxyName: this.clusterName,
      engineFamily: 'POSTGRESQL',
      defaultAuthScheme: 'IAM_AUTH',
      requireTls: true,
      roleArn: role.roleArn,
      vpcSubnetIds: network.subnetIds('databases'),
      vpcSecurityGroupIds: [network.proxy.securityGroupId],
    });
    proxy.addResourceDependency(logs.node.defaultChild as CfnResource);
    const targets = new CfnDBProxyTargetGroup(this, 'ProxyTargets', {
      dbProxyName: proxy.ref,
      targetGroupName: 'default',
      dbClusterIdentifiers: [this.#cluster.ref],
      connectionPoolConfigurationInfo: {
        // Migrations and people need a few.
        maxConnectionsPercent: 90,
        // Less than a function waits: it then hears that the database is busy, not that it is silent.
        connectionBorrowTimeout: 20,
      },
    });
    // It names the cluster, which is there long before an instance that can be a target:
    // https://github.com/aws/aws-cdk/issues/31304 (2026-11-25)
    for (const instance of instances) targets.addResourceDependency(instance);
    return proxy;
  }
}

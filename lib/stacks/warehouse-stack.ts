import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CfnOutput, Duration, Stage, Validations } from 'aws-cdk-lib';
import {
  FlowLogDestination,
  FlowLogTrafficType,
  IpAddresses,
  type ISecurityGroup,
  type IVpc,
  Peer,
  Port,
  SecurityGroup,
  Subnet,
  type SubnetSelection,
  SubnetType,
  Vpc,
} from 'aws-cdk-lib/aws-ec2';
import { DockerImageAsset, Platform } from 'aws-cdk-lib/aws-ecr-assets';
import {
  Cluster,
  ContainerImage,
  ContainerInsights,
  Secret as ContainerSecret,
  CpuArchitecture,
  FargateService,
  FargateTaskDefinition,
  type ICluster,
  LogDrivers,
  OperatingSystemFamily,
} from 'aws-cdk-lib/aws-ecs';
import {
  AccountRootPrincipal,
  ArnPrincipal,
  type CfnRole,
  Effect,
  PolicyDocument,
  PolicyStatement,
  Role,
} from 'aws-cdk-lib/aws-iam';
import { FilterPattern, type LogGroup, MetricFilter } from 'aws-cdk-lib/aws-logs';
import { type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import { METRICS_NAMESPACE } from '../../runtime/delivery/metrics.ts';
import type { Environment } from '../../runtime/environment.ts';
import {
  RUNNER_DEFAULTS,
  type RunnerSettings,
  type WarehouseSettings,
} from '../../runtime/warehouse/environment.ts';
import { type AlarmName, Alarms, gauge } from '../constructs/alarm.ts';
import { copyAppForRunner } from '../constructs/runner-image.ts';
import { EnvironmentStack } from '../environment-stack.ts';
import type { ArchiveStack } from './archive-stack.ts';
import type { OperationsStack } from './operations-stack.ts';

/** https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-cpu-memory-error.html (2026-11-27): dbt takes 300 MB, and Node as much. */
const SIZE = { cpu: 512, memoryLimitMiB: 1_024 } as const;
const STALE_MS = 300_000;
const FIVE_MINUTES = Duration.minutes(5);

const RUNNER = fileURLToPath(new URL('./warehouse/runner', import.meta.resolve('millrace/package.json')));

/**
 * What loads the warehouse and builds its models, one container that runs `millrace warehouse run` in a loop, and the role by
 * which Snowflake reads the archive. It is in a network of its own, because it needs nothing of the environment's, and that
 * has no way out.
 */
export class WarehouseStack extends EnvironmentStack {
  readonly alarms: readonly AlarmName[];
  /** Undefined where somebody else runs it. */
  readonly freshnessMetric: string | undefined;

  constructor(
    scope: Construct,
    environment: Environment & { readonly warehouse: WarehouseSettings },
    archive: ArchiveStack,
    operations: OperationsStack,
  ) {
    super(scope, 'warehouse', environment, {
      description: 'Millrace: loads the warehouse from the archive',
      holdsData: false,
    });
    const { snowflake, runner } = environment.warehouse;
    this.addReader(snowflake, archive);
    const alarms = new Alarms(this, operations, 'warehouse');
    if (runner) {
      const logGroup = operations.addLogGroup(this, 'Logs');
      this.freshnessMetric = this.nameOf('warehouse-freshness');
      this.addRunner(snowflake, runner, logGroup, operations);
      this.measureFreshness(logGroup, this.freshnessMetric);
      alarms.add({
        kind: 'warehouse-stale',
        severity: 'incident',
        metric: gauge(METRICS_NAMESPACE, this.freshnessMetric, {}, { period: FIVE_MINUTES }),
        threshold: STALE_MS,
        when: 'at-least',
        datapoints: 1,
        of: 1,
        missing: 'breaching',
        happened:
          'The newest change in the warehouse is five minutes old or older, or no run has ended in five minutes. Something between the database and the mart stands still.',
        command: `aws logs tail ${logGroup.logGroupName} --since 30m`,
      });
    }
    this.alarms = alarms.names;
  }

  /**
   * By a storage integration, in two deployments: the first makes the role, which trusts nobody; Snowflake then names its
   * user and an external id, which the second puts here.
   * https://docs.snowflake.com/en/user-guide/data-load-s3-config-storage-integration (2026-11-27)
   */
  private addReader({ integration }: WarehouseSettings['snowflake'], archive: ArchiveStack): void {
    const role = new Role(this, 'Snowflake', {
      roleName: this.nameOf('snowflake'),
      description: 'Lets Snowflake read the archive',
      assumedBy: integration
        ? new ArnPrincipal(integration.userArn).withConditions({
            StringEquals: { 'sts:ExternalId': integration.externalId },
          })
        : new AccountRootPrincipal(),
    });
    if (!integration) {
      const nobody = new PolicyStatement({
        effect: Effect.DENY,
        actions: ['sts:AssumeRole'],
        principals: [new AccountRootPrincipal()],
      });
      // A role without a principal is refused.
      (role.node.defaultChild as CfnRole).assumeRolePolicyDocument = new PolicyDocument({
        statements: [nobody],
      });
    }
    for (const resource of archive.grantRead(role)) {
      Validations.of(role.node.findChild('DefaultPolicy')).acknowledge({
        id: `AwsSolutions-IAM5[Resource::${resource}]`,
        reason: 'The warehouse loads every topic and every table.',
      });
    }
    new CfnOutput(this, 'SnowflakeRoleArn', {
      value: role.roleArn,
      description: 'STORAGE_AWS_ROLE_ARN of the storage integration',
    });
  }

  private addRunner(
    { account, user, role, warehouse, database }: WarehouseSettings['snowflake'],
    runner: RunnerSettings,
    logGroup: LogGroup,
    operations: OperationsStack,
  ): void {
    const { vpc, subnets, securityGroup } = this.networkOf(runner, operations);
    const key = new Secret(this, 'PrivateKey', {
      secretName: this.nameOf('snowflake-private-key'),
      description: `The private key of ${user}, in PEM. Put it here: docs/capture-on-aws.md`,
      removalPolicy: this.dataRemoval,
    });
    Validations.of(key).acknowledge({
      id: 'AwsSolutions-SMG4',
      reason: 'Its public half is with a user of Snowflake, which a person changes.',
    });
    const task = new FargateTaskDefinition(this, 'Task', {
      ...SIZE,
      runtimePlatform: {
        cpuArchitecture: CpuArchitecture.ARM64,
        operatingSystemFamily: OperatingSystemFamily.LINUX,
      },
    });
    task.addContainer('Runner', {
      image: this.imageOf(runner),
      environment: {
        MILLRACE_EVERY_SECONDS: String(runner.everySeconds ?? RUNNER_DEFAULTS.everySeconds),
        SNOWFLAKE_ACCOUNT: account,
        SNOWFLAKE_USER: user,
        SNOWFLAKE_ROLE: role ?? 'MILLRACE',
        SNOWFLAKE_WAREHOUSE: warehouse ?? 'MILLRACE',
        SNOWFLAKE_DATABASE: database ?? 'MILLRACE',
      },
      secrets: { SNOWFLAKE_PRIVATE_KEY: ContainerSecret.fromSecretsManager(key as ISecret) },
      logging: LogDrivers.awsLogs({ logGroup, streamPrefix: 'runner' }),
      stopTimeout: Duration.minutes(1),
    });
    Validations.of(task).acknowledge({
      id: 'AwsSolutions-ECS2',
      reason: 'Names of an account, a user and a database. The key is in Secrets Manager.',
    });
    const service = new FargateService(this, 'Runner', {
      // Its own type has a property that ICluster does not allow to be undefined; a secret's, too.
      cluster: new Cluster(this, 'Cluster', {
        vpc,
        clusterName: this.nameOf('warehouse'),
        containerInsightsV2: ContainerInsights.DISABLED,
      }) as ICluster,
      serviceName: this.nameOf('warehouse'),
      taskDefinition: task,
      // One at a time: two runs would build the same models.
      desiredCount: 1,
      minHealthyPercent: 0,
      maxHealthyPercent: 100,
      circuitBreaker: { enable: false, rollback: false },
      securityGroups: [securityGroup],
      vpcSubnets: subnets,
      assignPublicIp: runner.network === undefined,
    });
    Validations.of(service.cluster).acknowledge({
      id: 'AwsSolutions-ECS4',
      reason: 'One container, which says in its log what it does; its freshness has an alarm.',
    });
    Validations.of(task.obtainExecutionRole()).acknowledge({
      id: 'AwsSolutions-IAM5[Resource::*]',
      reason: 'ECR hands out its login for no narrower resource.',
    });
  }

  private networkOf(
    { network }: RunnerSettings,
    operations: OperationsStack,
  ): { readonly vpc: IVpc; readonly subnets: SubnetSelection; readonly securityGroup: ISecurityGroup } {
    if (network) {
      const { vpcId, subnetIds, securityGroupId } = network;
      return {
        vpc: Vpc.fromVpcAttributes(this, 'Vpc', { vpcId, availabilityZones: ['unused'] }),
        subnets: {
          subnets: subnetIds.map((id) => {
            const subnet = Subnet.fromSubnetId(this, id, id);
            Validations.of(subnet).acknowledge({
              id: 'Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId',
              reason: 'Nothing here depends on its route table.',
            });
            return subnet;
          }),
        },
        securityGroup: SecurityGroup.fromSecurityGroupId(this, 'Group', securityGroupId, { mutable: false }),
      };
    }
    const vpc = new Vpc(this, 'Vpc', {
      ipAddresses: IpAddresses.cidr('10.0.0.0/27'),
      natGateways: 0,
      maxAzs: 1,
      restrictDefaultSecurityGroup: false,
      subnetConfiguration: [
        { name: 'runner', subnetType: SubnetType.PUBLIC, cidrMask: 28, mapPublicIpOnLaunch: false },
      ],
    }) as IVpc;
    vpc.addFlowLog('Rejected', {
      destination: FlowLogDestination.toCloudWatchLogs(operations.addLogGroup(this, 'FlowLogs')),
      trafficType: FlowLogTrafficType.REJECT,
    });
    const securityGroup = new SecurityGroup(this, 'Group', {
      vpc,
      description: 'What loads the warehouse: nobody comes in',
      allowAllOutbound: false,
    });
    securityGroup.addEgressRule(
      Peer.anyIpv4(),
      Port.HTTPS,
      'the runner to Snowflake, ECR, Secrets Manager and CloudWatch Logs',
    );
    return { vpc, subnets: { subnetType: SubnetType.PUBLIC }, securityGroup };
  }

  /** Built from a copy of the app's code and dbt project: nothing else of this machine is in the image. */
  private imageOf({ image }: RunnerSettings): ContainerImage {
    if (image !== undefined) return ContainerImage.fromRegistry(image);
    const { appRoot } = this.target;
    const { outdir } = Stage.of(this)!;
    const folder = join(outdir, 'warehouse-runner');
    rmSync(folder, { recursive: true, force: true });
    cpSync(RUNNER, folder, { recursive: true });
    copyAppForRunner(appRoot, join(folder, 'app'), outdir);
    const asset = new DockerImageAsset(this, 'Image', { directory: folder, platform: Platform.LINUX_ARM64 });
    return ContainerImage.fromDockerImageAsset(asset);
  }

  /** Of the line of JSON that a run ends with. */
  private measureFreshness(logGroup: LogGroup, metricName: string): void {
    new MetricFilter(this, 'Freshness', {
      logGroup,
      filterPattern: FilterPattern.numberValue('$.freshnessMs', '>=', 0),
      metricNamespace: METRICS_NAMESPACE,
      metricName,
      metricValue: '$.freshnessMs',
    });
  }
}

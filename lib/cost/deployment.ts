/** What an environment's templates say of what costs money or has a limit. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { App as CdkApp } from 'aws-cdk-lib';
import type { App } from '../../runtime/app.ts';
import { appIn } from '../../runtime/app-in-environment.ts';
import { deployedName, operatorFunctionName, SETTINGS } from '../../runtime/deployment.ts';
import { type Environment, resolveEnvironment } from '../../runtime/environment.ts';
import { countsParked } from '../../runtime/operator/operator.ts';
import { addEnvironmentStacks } from '../environment-stacks.ts';

/** What an estimate needs of an environment, as it would be deployed. */
export interface Deployment {
  readonly environment: string;
  /** Undefined where the cluster is somebody else's. */
  readonly brokers:
    | { readonly instanceType: string; readonly count: number; readonly storageGiB: number | undefined }
    | undefined;
  /** Interface endpoints, one for each zone that it is in. */
  readonly endpoints: number;
  readonly database: {
    readonly instances: number;
    readonly minCapacity: number;
    readonly maxCapacity: number;
    readonly hasProxy: boolean;
  };
  readonly keys: number;
  readonly alarmMetrics: number;
  readonly compositeAlarms: number;
  readonly dashboards: number;
  readonly metricFilters: number;
  /** Mappings of queues: Lambda polls each all the time. */
  readonly queueMappings: number;
  readonly readers: readonly Reader[];
  /** Consumers that park, and whose parked records are counted. */
  readonly parking: number;
  /** The function that looks at every consumer; undefined where there is none. */
  readonly operator: { readonly memoryMb: number; readonly looksPerHour: number } | undefined;
  /** MCUs of connectors. */
  readonly connectUnits: number;
  readonly containers: readonly {
    readonly processors: number;
    readonly memoryGb: number;
    readonly hasPublicAddress: boolean;
  }[];
  readonly secrets: number;
  /** Undefined where nothing takes events over HTTP. */
  readonly collector:
    | { readonly topics: number; readonly memoryMb: number; readonly rate: number }
    | undefined;
  readonly topics: readonly {
    readonly name: string;
    readonly partitions: number;
    readonly retentionMs: number;
  }[];
}

/** A mapping of a topic, and its function. */
export interface Reader {
  readonly stack: string;
  readonly topic: string;
  /** Whether the load is on its topic; not on the probe's, nor on a heartbeat's. */
  readonly isLoaded: boolean;
  readonly sink: 'postgres' | 's3';
  readonly memoryMb: number;
  readonly batch: { readonly maxRecords: number; readonly windowMs: number };
  /** Undefined on demand. */
  readonly provisioned:
    | { readonly minimumPollers: number; readonly maximumPollers: number; readonly group: string | undefined }
    | undefined;
}

/**
 * Synthesizes the environment, without its functions' code, and reads the templates: what is counted is what would be deployed.
 * @param rebuild a consumer whose tables are rebuilt meanwhile, by a second function of it
 * @throws ENVIRONMENT_INVALID, CONSUMER_INVALID, CONTRACT_INVALID as `cdk synth` does
 */
export function deploymentOf(app: App, root: string, env: string, rebuild?: string): Deployment {
  const environment = resolveEnvironment({ ...app, root }, { env });
  const loaded = [...app.contracts, ...appIn(app, environment).tables.map(({ topic }) => topic)];
  const stacks = synthesizedStacks(environment, app, rebuild);
  const all = stacks.flatMap(({ resources }) => resources);
  const of = (type: string) =>
    all.filter(({ Type }) => Type === type).map(({ Properties = {} }) => Properties);

  const [cluster] = of('AWS::MSK::Cluster');
  const nodes = cluster?.BrokerNodeGroupInfo;
  const [databaseCluster] = of('AWS::RDS::DBCluster');
  const scaling = databaseCluster?.ServerlessV2ScalingConfiguration ?? {};
  const collectorFunction = stacks
    .find(({ stackName }) => stackName.endsWith('-collector'))
    ?.resources.find(
      ({ Type, Properties }) =>
        Type === 'AWS::Lambda::Function' && Properties.FunctionName === deployedName(env, 'collector'),
    );
  const operatorFunction = all.find(
    ({ Type, Properties }) =>
      Type === 'AWS::Lambda::Function' && Properties.FunctionName === operatorFunctionName(env),
  );
  const { collector } = environment;
  return {
    environment: env,
    brokers: nodes && {
      instanceType: nodes.InstanceType,
      count: cluster.NumberOfBrokerNodes,
      storageGiB: nodes.StorageInfo?.EBSStorageInfo?.VolumeSize,
    },
    endpoints: sum(
      of('AWS::EC2::VPCEndpoint')
        .filter(({ VpcEndpointType }) => VpcEndpointType === 'Interface')
        .map(({ SubnetIds }) => SubnetIds.length),
    ),
    database: {
      instances: of('AWS::RDS::DBInstance').length,
      minCapacity: scaling.MinCapacity,
      maxCapacity: scaling.MaxCapacity,
      hasProxy: of('AWS::RDS::DBProxy').length > 0,
    },
    keys: of('AWS::KMS::Key').length,
    alarmMetrics: sum(of('AWS::CloudWatch::Alarm').map(({ Metrics }) => pricedMetrics(Metrics))),
    compositeAlarms: of('AWS::CloudWatch::CompositeAlarm').length,
    dashboards: of('AWS::CloudWatch::Dashboard').length,
    metricFilters: of('AWS::Logs::MetricFilter').length,
    queueMappings: of('AWS::Lambda::EventSourceMapping').filter(({ Topics }) => !Topics).length,
    readers: stacks.flatMap(({ stackName, resources, byId }) =>
      resources
        .filter(({ Type, Properties }) => Type === 'AWS::Lambda::EventSourceMapping' && Properties.Topics)
        .map(({ Properties }): Reader => {
          const polling = Properties.ProvisionedPollerConfig;
          const { MemorySize, Environment: settings } = byId[Properties.FunctionName.Ref]!.Properties;
          return {
            stack: stackName,
            topic: Properties.Topics[0],
            isLoaded: loaded.some(({ name }) => name === Properties.Topics[0]),
            sink: SETTINGS.archiveBucketName in settings.Variables ? 's3' : 'postgres',
            memoryMb: MemorySize,
            batch: {
              maxRecords: Properties.BatchSize,
              windowMs: (Properties.MaximumBatchingWindowInSeconds ?? 0.5) * 1_000,
            },
            provisioned: polling && {
              minimumPollers: polling.MinimumPollers,
              maximumPollers: polling.MaximumPollers,
              group: polling.PollerGroupName,
            },
          };
        }),
    ),
    parking: appIn(app, environment).consumers.filter(
      (consumer) => consumer.onDeadLetter === 'park-key' && countsParked(environment, consumer),
    ).length,
    operator: operatorFunction && {
      memoryMb: operatorFunction.Properties.MemorySize,
      looksPerHour: of('AWS::Events::Rule').length * MINUTES,
    },
    connectUnits: sum(
      of('AWS::KafkaConnect::Connector').map(
        ({ Capacity: { ProvisionedCapacity: capacity } }) => capacity.McuCount * capacity.WorkerCount,
      ),
    ),
    containers: stacks.flatMap(({ resources, byId }) =>
      resources
        .filter(({ Type }) => Type === 'AWS::ECS::Service')
        .map(({ Properties }) => {
          const { Cpu, Memory } = byId[Properties.TaskDefinition.Ref]!.Properties;
          const { AssignPublicIp } = Properties.NetworkConfiguration.AwsvpcConfiguration;
          return {
            processors: Number(Cpu) / 1_024,
            memoryGb: Number(Memory) / 1_024,
            hasPublicAddress: AssignPublicIp === 'ENABLED',
          };
        }),
    ),
    secrets: of('AWS::SecretsManager::Secret').length,
    collector: collectorFunction &&
      collector && {
        topics: (app.collected ?? []).length,
        memoryMb: collectorFunction.Properties.MemorySize,
        rate: collector.rate,
      },
    topics: loaded.map(({ name, partitions, retentionMs }) => ({ name, partitions, retentionMs })),
  };
}

/** A rule of ours goes off every minute. */
const MINUTES = 60;

function synthesizedStacks(environment: Environment, app: App, rebuild: string | undefined) {
  const outdir = mkdtempSync(join(tmpdir(), 'millrace-cost-'));
  try {
    const cdk = new CdkApp({
      outdir,
      context: { 'aws:cdk:bundling-stacks': [] },
      analyticsReporting: false,
    });
    addEnvironmentStacks(cdk, environment, app, { rebuild, generation: undefined });
    return cdk.synth().stacks.map(({ stackName, template }) => ({ stackName, ...resourcesOf(template) }));
  } finally {
    rmSync(outdir, { recursive: true });
  }
}

interface Resource {
  readonly Type: string;
  // biome-ignore lint/suspicious/noExplicitAny: a template is any JSON.
  readonly Properties: any;
}

function resourcesOf(template: { readonly Resources?: Readonly<Record<string, Resource>> }) {
  const byId = template.Resources ?? {};
  return { byId, resources: Object.values(byId) };
}

/** An alarm on what is unusual counts as three: https://aws.amazon.com/cloudwatch/pricing/ (2026-11-26) */
const BAND_METRICS = 2;

/** The metrics that an alarm is billed for: those it reads, one where it names it alone. */
function pricedMetrics(
  queries: readonly { MetricStat?: unknown; Expression?: string }[] = [{ MetricStat: {} }],
) {
  const bands = queries.filter(({ Expression = '' }) => Expression.startsWith('ANOMALY_DETECTION_BAND'));
  return queries.filter(({ MetricStat }) => MetricStat).length + bands.length * BAND_METRICS;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

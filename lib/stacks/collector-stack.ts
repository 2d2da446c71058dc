import { CfnOutput, Duration } from 'aws-cdk-lib';
import type { RestApi } from 'aws-cdk-lib/aws-apigateway';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import type { Contract } from '../../runtime/contract/contract.ts';
import { SETTINGS } from '../../runtime/deployment.ts';
import type { CollectorSettings, Environment, PageSettings } from '../../runtime/environment.ts';
import type { DemoPage } from '../../runtime/page.ts';
import { COLLECTOR_SERVICE } from '../../runtime/publish/collect.ts';
import { type AlarmName, Alarms } from '../constructs/alarm.ts';
import { BundledFunction } from '../constructs/bundled-function.ts';
import {
  addCollectorAlarms,
  addPageAlarm,
  type CollectorNames,
  countThrottled,
} from '../constructs/collector-alarms.ts';
import { CollectorApi } from '../constructs/collector-api.ts';
import { CollectorPage, PAGE_METHOD_OPTIONS } from '../constructs/collector-page.ts';
import type { ConsumerSurroundings } from '../constructs/surroundings.ts';
import { EnvironmentStack } from '../environment-stack.ts';
import type { ContractsStack } from './contracts-stack.ts';
import type { MigrationsStack } from './migrations-stack.ts';
import type { NetworkStack } from './network-stack.ts';

/** Less than API Gateway waits, so that a caller hears of it, and more than a leader of Kafka's takes to be replaced. */
const TIMEOUT = Duration.seconds(25);
const MEMORY_MB = 1_024;

/** What the collector is built upon. */
export interface CollectorSurroundings
  extends Pick<ConsumerSurroundings, 'operations' | 'cluster' | 'database'> {
  readonly network: NetworkStack;
  readonly contracts: ContractsStack;
}

/** The app's page, and what makes the role that its function logs in as. */
export interface ShownPage {
  readonly page: DemoPage;
  readonly migrations: MigrationsStack;
}

/** Takes events over HTTP and publishes them: an API, its function, and their alarms. */
export class CollectorStack extends EnvironmentStack implements CollectorNames {
  readonly apiName: string;
  readonly functionName: string;
  readonly topics: readonly string[];
  readonly alarms: readonly AlarmName[];
  readonly hasPage: boolean;

  /** @param shown the app's page, where the environment has it behind this API */
  constructor(
    scope: Construct,
    environment: Environment & { readonly collector: CollectorSettings },
    collected: readonly Contract<never>[],
    surroundings: CollectorSurroundings,
    shown?: ShownPage,
  ) {
    super(scope, 'collector', environment, {
      description: 'Millrace: takes events over HTTP and publishes them',
      holdsData: false,
    });
    const { collector } = environment;
    const { network, operations, cluster, contracts } = surroundings;
    this.apiName = this.nameOf('collector');
    this.functionName = this.nameOf('collector');
    this.topics = collected.map(({ name }) => name);
    // Its topics and their schemas are there before it starts.
    this.addStackDependency(contracts);
    const fn = new BundledFunction(this, 'Function', surroundings, {
      folder: 'collector',
      parts: ['#glue'],
      functionName: this.functionName,
      description: 'Takes events over HTTP and publishes them',
      service: COLLECTOR_SERVICE,
      memoryMb: MEMORY_MB,
      timeout: TIMEOUT,
      ...(collector.maxConcurrency !== undefined && { reservedConcurrency: collector.maxConcurrency }),
      securityGroups: [network.collector!],
      environment: {
        [SETTINGS.registryName]: contracts.registryName,
        [SETTINGS.schemaIds]: contracts.collectedVersionIds(collected),
        [SETTINGS.allowedOrigins]: JSON.stringify(collector.allowedOrigins),
      },
      writesTo: { cluster, topics: this.topics },
    });
    fn.addToRolePolicy(this.readingSchemas(contracts.registryName));

    const accessLogs = operations.addLogGroup(this, 'AccessLogs');
    this.hasPage = shown !== undefined;
    const { api, url } = new CollectorApi(this, 'Collector', {
      ...collector,
      apiName: this.apiName,
      handler: fn,
      accessLogs,
      others: shown && PAGE_METHOD_OPTIONS,
    });
    // Of a name of its own: what a filter makes of such logs has no dimension that would tell two environments apart.
    const throttledMetric = this.nameOf('collector-throttled');
    countThrottled(accessLogs, throttledMetric, this.hasPage);
    const alarms = new Alarms(this, operations, 'collector');
    addCollectorAlarms(alarms, {
      apiName: this.apiName,
      functionName: this.functionName,
      hasPage: this.hasPage,
      functionLogs: fn.logGroup.logGroupName,
      accessLogs: accessLogs.logGroupName,
      throttledMetric,
    });
    if (shown) this.addPage(api, url, shown, surroundings, alarms);
    this.alarms = alarms.names;
    new CfnOutput(this, 'Url', {
      value: `${url}events/`,
      description: 'Append the name of a topic and POST events here',
    });
  }

  private addPage(
    api: RestApi,
    url: string,
    { page, migrations }: ShownPage,
    surroundings: CollectorSurroundings,
    alarms: Alarms,
  ): void {
    // Its role is there before it logs in.
    this.addStackDependency(migrations);
    const { fn, policy } = new CollectorPage(this, 'Page', surroundings, {
      api,
      page,
      collector: this.target.collector as CollectorSettings & { readonly page: PageSettings },
      securityGroup: surroundings.network.page!,
    });
    addPageAlarm(alarms, { apiName: this.apiName, functionLogs: fn.logGroup.logGroupName });
    new CfnOutput(this, 'PageUrl', {
      value: `${url}page`,
      description: 'The page, for whoever is signed in',
    });
    if (policy)
      new CfnOutput(this, 'PagePolicyArn', {
        value: policy.managedPolicyArn,
        description: 'Attach it to the role of whoever may see the page',
      });
  }

  /** https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsglue.html (2026-11-25): it takes both. */
  private readingSchemas(registryName: string): PolicyStatement {
    const arnOf = (resource: string) => this.formatArn({ service: 'glue', resource });
    return new PolicyStatement({
      actions: ['glue:GetSchemaByDefinition'],
      resources: [
        arnOf(`registry/${registryName}`),
        ...this.topics.map((topic) => arnOf(`schema/${registryName}/${topic}`)),
      ],
    });
  }
}

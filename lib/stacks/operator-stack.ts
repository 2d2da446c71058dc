import { CfnOutput, Duration } from 'aws-cdk-lib';
import { Rule, RuleTargetInput, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { ManagedPolicy, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import { METRICS_NAMESPACE } from '../../runtime/delivery/metrics.ts';
import { operatorFunctionName, SETTINGS } from '../../runtime/deployment.ts';
import type { Environment } from '../../runtime/environment.ts';
import { SAMPLED_METRIC } from '../../runtime/lag/metrics.ts';
import {
  OPERATOR_ROLE,
  type Operated,
  type OperatorRequest,
  type SampledConsumer,
  sampledConsumers,
  topicsToRead,
} from '../../runtime/operator/operator.ts';
import { probeConsumer, probes } from '../../runtime/probe/pipeline.ts';
import { type AlarmName, Alarms, counter } from '../constructs/alarm.ts';
import { BundledFunction } from '../constructs/bundled-function.ts';
import { kafkaArn } from '../constructs/cluster.ts';
import type { ConsumerSurroundings } from '../constructs/surroundings.ts';
import { EnvironmentStack } from '../environment-stack.ts';
import type { ConsumerStack } from './consumer-stack.ts';
import type { MigrationsStack } from './migrations-stack.ts';

/** More than it waits for a probe's record (adapters/aws/operator-function.ts). */
const TIMEOUT = Duration.minutes(5);
const EVERY = Duration.minutes(1);
const FIVE_MINUTES = Duration.minutes(5);
/** https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_Target.html (2026-11-27): of a target's input 8,192 characters. */
const INPUT_CHARACTERS = 8_000;

/** What operators need inside the network: one function, its schedule, and the one policy that lets somebody invoke it. */
export class OperatorStack extends EnvironmentStack {
  readonly alarms: readonly AlarmName[];

  constructor(
    scope: Construct,
    environment: Environment,
    declared: Operated,
    surroundings: ConsumerSurroundings,
    {
      migrations,
      probe,
    }: { readonly migrations: MigrationsStack; readonly probe: ConsumerStack | undefined },
  ) {
    super(scope, 'operator', environment, {
      description: 'Millrace: what operators need inside the network',
      holdsData: false,
    });
    const { network, operations, cluster, contracts, database } = surroundings;
    // Its role, and those of the probe's consumer and table, are there before it asks for them.
    this.addStackDependency(migrations);
    if (probe) this.addStackDependency(probe);
    const functionName = operatorFunctionName(environment.name);
    const fn = new BundledFunction(this, 'Function', surroundings, {
      folder: 'operator',
      parts: ['#glue', '#rds'],
      functionName,
      description: 'Looks at consumers, and reads ledgers and topics for operators',
      service: 'operator',
      memoryMb: 512,
      timeout: TIMEOUT,
      securityGroups: [network.functions],
      environment: {
        [SETTINGS.databaseHost]: database.host,
        [SETTINGS.databaseName]: database.databaseName,
        [SETTINGS.registryName]: contracts.registryName,
      },
      writesTo: { cluster, topics: probe ? [probes.name] : [] },
    });
    database.grantConnect(fn, OPERATOR_ROLE);
    // Looking takes part in no group, and commits nothing:
    // https://docs.aws.amazon.com/service-authorization/latest/reference/list_apachekafkaapisforamazonmskclusters.html (2026-11-27)
    const allow = (actions: string[], resources: string[]) =>
      fn.addToRolePolicy(new PolicyStatement({ actions, resources }));
    const topics = topicsToRead(declared).map((topic) => kafkaArn(cluster, 'topic', topic));
    const groups = declared.consumers.map(({ name }) => kafkaArn(cluster, 'group', name));
    if (topics.length > 0) allow(['kafka-cluster:DescribeTopic', 'kafka-cluster:ReadData'], topics);
    if (groups.length > 0) allow(['kafka-cluster:DescribeGroup'], groups);
    if (probe) this.letProbe(fn, surroundings);

    fn.configureAsyncInvoke({ retryAttempts: 0, maxEventAge: EVERY });
    const sampled = sampledConsumers(environment, declared.consumers);
    inputsOf(sampled).forEach((consumers, index) => {
      const request: OperatorRequest = { action: 'sample', consumers };
      new Rule(this, `Samples${index + 1}`, {
        description: 'Looks at how far each consumer is',
        schedule: Schedule.rate(EVERY),
        targets: [
          new LambdaFunction(fn, {
            event: RuleTargetInput.fromObject(request),
            // A look that is late says nothing.
            retryAttempts: 0,
            maxEventAge: EVERY,
          }),
        ],
      });
    });

    const alarms = new Alarms(this, operations, 'operator');
    if (sampled.length > 0) this.addAlarm(alarms, fn);
    this.alarms = alarms.names;

    // It never changes: whoever may deploy, and no more, cannot write another version of a policy.
    const policy = new ManagedPolicy(this, 'Operators', {
      managedPolicyName: this.nameOf('operator'),
      description: `Lets operators look at consumers, ledgers and records of ${environment.name}`,
      statements: [new PolicyStatement({ actions: ['lambda:InvokeFunction'], resources: [fn.functionArn] })],
    });
    new CfnOutput(this, 'PolicyArn', {
      value: policy.managedPolicyArn,
      description: 'Attach it to the role of whoever looks into ledgers and topics',
    });
  }

  private addAlarm(alarms: Alarms, fn: BundledFunction): void {
    alarms.add({
      kind: 'operator-silent',
      severity: 'warning',
      metric: counter(METRICS_NAMESPACE, SAMPLED_METRIC, { environment: this.target.name }, FIVE_MINUTES),
      threshold: 1,
      when: 'below',
      datapoints: 3,
      of: 3,
      missing: 'breaching',
      happened: `Nobody has seen how far the consumers of ${this.target.name} are for 15 minutes. Age and headroom are unknown, and no alarm about them goes off.`,
      command: `aws logs tail ${fn.logGroup.logGroupName} --since 15m --filter-pattern ERROR`,
    });
  }

  /** https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsglue.html (2026-11-25): it takes both. */
  private letProbe(fn: BundledFunction, { contracts, database }: ConsumerSurroundings): void {
    const glueArn = (resource: string) => this.formatArn({ service: 'glue', resource });
    fn.addToRolePolicy(
      new PolicyStatement({
        actions: ['glue:GetSchemaByDefinition'],
        resources: [
          glueArn(`registry/${contracts.registryName}`),
          glueArn(`schema/${contracts.registryName}/${probes.name}`),
        ],
      }),
    );
    database.grantConnect(fn, probeConsumer.name);
  }
}

/** As many consumers a rule as its input has room for. */
function inputsOf(consumers: readonly SampledConsumer[]): readonly (readonly SampledConsumer[])[] {
  const inputs: SampledConsumer[][] = [];
  let room = 0;
  for (const consumer of consumers) {
    const { length } = JSON.stringify(consumer);
    if (room < length) {
      inputs.push([]);
      room = INPUT_CHARACTERS;
    }
    inputs.at(-1)!.push(consumer);
    room -= length + 1;
  }
  return inputs;
}

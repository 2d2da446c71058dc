import { CfnOutput, Duration } from 'aws-cdk-lib';
import { ManagedPolicy, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Construct } from 'constructs';
import { operatorFunctionName, SETTINGS } from '../../runtime/deployment.ts';
import type { Environment } from '../../runtime/environment.ts';
import { probeConsumer, probes } from '../../runtime/probe/pipeline.ts';
import { BundledFunction } from '../constructs/bundled-function.ts';
import type { ConsumerSurroundings } from '../constructs/surroundings.ts';
import { EnvironmentStack } from '../environment-stack.ts';
import type { ConsumerStack } from './consumer-stack.ts';

/** More than it waits for a record (adapters/aws/operator-function.ts). */
const TIMEOUT = Duration.minutes(5);

/** What operators need inside the network: one function, and the one policy that lets somebody invoke it. */
export class OperatorStack extends EnvironmentStack {
  constructor(
    scope: Construct,
    environment: Environment,
    surroundings: ConsumerSurroundings,
    probe: ConsumerStack,
  ) {
    super(scope, 'operator', environment, {
      description: 'Millrace: what operators need inside the network',
      holdsData: false,
    });
    const { network, cluster, contracts, database } = surroundings;
    // Its consumer's table and role are there before it asks for them.
    this.addStackDependency(probe);
    const functionName = operatorFunctionName(environment.name);
    const fn = new BundledFunction(this, 'Function', surroundings, {
      folder: 'operator',
      parts: ['#glue', '#rds'],
      functionName,
      description: 'Sends probes for millrace doctor',
      service: 'operator',
      memoryMb: 512,
      timeout: TIMEOUT,
      securityGroup: network.functions,
      environment: {
        [SETTINGS.databaseHost]: database.host,
        [SETTINGS.databaseName]: database.databaseName,
        [SETTINGS.registryName]: contracts.registryName,
      },
      writesTo: { cluster, topics: [probes.name] },
    });
    // https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsglue.html (2026-11-25): it takes both.
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
    const policy = new ManagedPolicy(this, 'Operators', {
      managedPolicyName: this.nameOf('operator'),
      description: `Lets operators send probes through ${environment.name}`,
      statements: [new PolicyStatement({ actions: ['lambda:InvokeFunction'], resources: [fn.functionArn] })],
    });
    new CfnOutput(this, 'PolicyArn', {
      value: policy.managedPolicyArn,
      description: 'Attach it to the role of whoever runs millrace doctor --probe',
    });
  }
}

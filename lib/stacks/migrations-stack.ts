import { CfnOutput, type CfnResource, Duration } from 'aws-cdk-lib';
import { ManagedPolicy, PolicyStatement } from 'aws-cdk-lib/aws-iam';
import { Trigger } from 'aws-cdk-lib/triggers';
import type { Construct } from 'constructs';
import { SETTINGS } from '../../runtime/deployment.ts';
import type { Environment } from '../../runtime/environment.ts';
import { BundledFunction } from '../constructs/bundled-function.ts';
import { EnvironmentStack } from '../environment-stack.ts';
import type { DatabaseStack } from './database-stack.ts';
import type { NetworkStack } from './network-stack.ts';
import type { OperationsStack } from './operations-stack.ts';

/** What the CDK calls the construct of the function that triggers ours. */
const TRIGGER_PROVIDER = 'AWSCDK.TriggerCustomResourceProviderCustomResourceProvider';

/** The trigger's own function has Lambda's longest, 15 minutes: it has to be there still when ours answers. */
const TIMEOUT = Duration.minutes(13);
const TRIGGER_WAITS = Duration.minutes(14);

/**
 * Brings the database's roles and tables up to date in the course of a deployment, before any consumer's stack: a
 * function that runs whenever its code, and so any migration, has changed. Where one fails the deployment stops. Whoever has
 * its policy may ask it for generations of tables.
 */
export class MigrationsStack extends EnvironmentStack {
  /** @param pageConsumer whose tables the environment's page shows, where it has one */
  constructor(
    scope: Construct,
    environment: Environment,
    database: DatabaseStack,
    surroundings: { readonly network: NetworkStack; readonly operations: OperationsStack },
    pageConsumer?: string,
  ) {
    super(scope, 'migrations', environment, {
      description: "Millrace: the database's roles and tables",
      holdsData: false,
    });
    const fn = new BundledFunction(this, 'Function', surroundings, {
      folder: 'migrations',
      parts: ['#rds'],
      functionName: this.nameOf('migrations'),
      description: 'Migrates the database when it is deployed, and rebuilds tables when it is asked',
      service: 'migrations',
      memoryMb: 512,
      timeout: TIMEOUT,
      securityGroups: [surroundings.network.migrations],
      environment: {
        [SETTINGS.databaseHost]: database.writerHost,
        [SETTINGS.databaseName]: database.databaseName,
        [SETTINGS.databaseUser]: database.administrator,
        [SETTINGS.probe]: String(environment.probe === true),
        [SETTINGS.databasePauses]: String(environment.database.minCapacity === 0),
        ...(pageConsumer !== undefined && { [SETTINGS.pageConsumer]: pageConsumer }),
      },
    });
    database.grantAdminister(fn);
    const trigger = new Trigger(this, 'Migrate', { handler: fn, timeout: TRIGGER_WAITS });
    // It runs again for other code. So it does for another database behind the same code: one restored, or made anew.
    const resource = trigger.node.findChild('Default').node.defaultChild as CfnResource;
    resource.addPropertyOverride('Database', database.resourceId);
    const provider = this.node.findChild(TRIGGER_PROVIDER).node.findChild('Handler') as CfnResource;
    // The trigger's own function waits for its role by its property already; cfn-lint calls saying it twice a mistake.
    provider.addDeletionOverride('DependsOn');
    // Lambda would make one itself, without key and for ever.
    const { logGroupName } = surroundings.operations.addLogGroup(this, 'TriggerLogs');
    provider.addPropertyOverride('LoggingConfig', { LogGroup: logGroupName });
    // It never changes: whoever may deploy, and no more, cannot write another version of a policy.
    const policy = new ManagedPolicy(this, 'Rebuilders', {
      managedPolicyName: this.nameOf('rebuild'),
      description: `Lets operators make, promote, roll back and drop generations of tables in ${environment.name}`,
      statements: [new PolicyStatement({ actions: ['lambda:InvokeFunction'], resources: [fn.functionArn] })],
    });
    new CfnOutput(this, 'RebuildPolicyArn', {
      value: policy.managedPolicyArn,
      description: 'Attach it to the role of whoever rebuilds tables',
    });
    // An instance has to be there to log in to: the stacks' order sees to the cluster only.
    this.addStackDependency(database);
  }
}

import type { Construct } from 'constructs';
import { consumerIn } from '../../runtime/consumer-in-environment.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import type { Environment } from '../../runtime/environment.ts';
import type { AlarmName } from '../constructs/alarm.ts';
import { PipelineConsumer } from '../constructs/pipeline-consumer.ts';
import type { ConsumerSurroundings } from '../constructs/surroundings.ts';
import { EnvironmentStack } from '../environment-stack.ts';
import type { ContractsStack } from './contracts-stack.ts';
import type { MigrationsStack } from './migrations-stack.ts';

/** One consumer, deployed, rolled back and taken away on its own. */
export class ConsumerStack extends EnvironmentStack {
  readonly consumer: AnyConsumer;
  readonly functionName: string;
  readonly alarms: readonly AlarmName[];

  constructor(
    scope: Construct,
    environment: Environment,
    consumer: AnyConsumer,
    surroundings: ConsumerSurroundings & { readonly contracts: ContractsStack },
    migrations: MigrationsStack,
  ) {
    super(scope, `consumer-${consumer.name}`, environment, {
      description: `Millrace: ${consumer.name}, consumer of ${consumer.topic.name}`,
      holdsData: false,
    });
    const deployed = consumerIn(environment, consumer);
    this.consumer = deployed.consumer;
    // Its topic and its tables are there before it starts.
    this.addStackDependency(surroundings.contracts);
    this.addStackDependency(migrations);
    const { functionName, alarms } = new PipelineConsumer(this, 'Consumer', { deployed, ...surroundings });
    this.functionName = functionName;
    this.alarms = alarms;
  }
}

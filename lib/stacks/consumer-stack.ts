import type { Construct } from 'constructs';
import { type ConsumerInEnvironment, consumerIn } from '../../runtime/consumer-in-environment.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import type { Environment } from '../../runtime/environment.ts';
import type { AlarmName } from '../constructs/alarm.ts';
import { PipelineConsumer } from '../constructs/pipeline-consumer.ts';
import type { ConsumerSurroundings } from '../constructs/surroundings.ts';
import { EnvironmentStack } from '../environment-stack.ts';
import type { ContractsStack } from './contracts-stack.ts';
import { GenerationStack } from './generation-stack.ts';
import type { MigrationsStack } from './migrations-stack.ts';

/** One consumer, or a generation of one, deployed, rolled back and taken away on its own. */
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
    const deployed = consumerIn(environment, consumer);
    const own = ownSurroundings(scope, environment, deployed, surroundings);
    super(scope, `consumer-${consumer.name}`, environment, {
      description: `Millrace: ${consumer.name}, consumer of ${consumer.topic.name}`,
      holdsData: false,
    });
    this.consumer = deployed.consumer;
    // Its topic and its tables are there before it starts.
    this.addStackDependency(surroundings.contracts);
    this.addStackDependency(migrations);
    if (own.stack) this.addStackDependency(own.stack);
    const { functionName, alarms } = new PipelineConsumer(this, 'Consumer', {
      deployed,
      ...own.surroundings,
    });
    this.functionName = functionName;
    this.alarms = alarms;
  }
}

/** What a generation has of its own, and whom its alarms tell. */
function ownSurroundings(
  scope: Construct,
  environment: Environment,
  { consumer: { name }, generation, isLive }: ConsumerInEnvironment,
  surroundings: ConsumerSurroundings,
): { readonly surroundings: ConsumerSurroundings; readonly stack?: GenerationStack } {
  const { operations, contracts, cluster } = surroundings;
  const told: ConsumerSurroundings['operations'] = {
    target: operations.target,
    // What readers do not see gets nobody up.
    topics: isLive ? operations.topics : { warning: [], incident: [] },
    nameOf: (part) => operations.nameOf(part),
    addLogGroup: (of, id, logGroupName) => operations.addLogGroup(of, id, logGroupName),
    pauseOf: (consumer) => operations.pauseOf(consumer),
  };
  if (generation === 1) return { surroundings: { ...surroundings, operations: told } };
  const stack = new GenerationStack(scope, environment, { name, isLive, cluster });
  return {
    stack,
    surroundings: {
      ...surroundings,
      deadLetters: stack,
      operations: { ...told, pauseOf: (consumer) => stack.pauseOf(consumer) },
      contracts: {
        registryName: contracts.registryName,
        versionIds: (contract) => contracts.versionIds(contract),
        addDeadLetterTopic: (consumer) => stack.addDeadLetterTopic(consumer),
      },
    },
  };
}

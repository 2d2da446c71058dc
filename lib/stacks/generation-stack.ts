import { CfnParameter } from 'aws-cdk-lib/aws-ssm';
import type { Construct } from 'constructs';
import { topicOfDeadLetters } from '../../runtime/dead-letters/resources.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { generationPart, pausedParameterName } from '../../runtime/deployment.ts';
import type { Environment } from '../../runtime/environment.ts';
import type { Cluster } from '../constructs/cluster.ts';
import { addTopic } from './contracts-stack.ts';
import { DeadLettersStack } from './dead-letters-stack.ts';

/**
 * What else a later generation has of its own, and a first one has in stacks that all share: its dead letters, and whether it is
 * paused. No stack of the others knows of it, so they are deployed as if it were not there.
 */
export class GenerationStack extends DeadLettersStack {
  readonly #cluster: Cluster;

  /** @param isLive whether what readers see is made by it: then its letters stay when the stack goes, where data stays */
  constructor(
    scope: Construct,
    environment: Environment,
    { name, isLive, cluster }: { readonly name: string; readonly isLive: boolean; readonly cluster: Cluster },
  ) {
    const retainsData = environment.retainsData && isLive;
    super(scope, { ...environment, retainsData }, generationPart(name));
    this.#cluster = cluster;
  }

  pauseOf(consumer: string): string {
    const name = pausedParameterName(this.target.name, consumer);
    new CfnParameter(this, 'Paused', { name, type: 'String', value: 'false' });
    return name;
  }

  addDeadLetterTopic(consumer: AnyConsumer): void {
    addTopic(this, this.#cluster, topicOfDeadLetters(consumer));
  }
}

import { CfnOutput, type CfnResource } from 'aws-cdk-lib';
import { CfnRegistry, CfnSchema, CfnSchemaVersion } from 'aws-cdk-lib/aws-glue';
import { CfnTopic } from 'aws-cdk-lib/aws-msk';
import type { Construct } from 'constructs';
import { type Contract, compactDefinitionOf, GLUE_COMPATIBILITY } from '../../runtime/contract/contract.ts';
import { topicOfDeadLetters } from '../../runtime/dead-letters/resources.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { registryName } from '../../runtime/deployment.ts';
import type { Environment } from '../../runtime/environment.ts';
import { type TopicContract, topicSettings } from '../../runtime/topics.ts';
import { bootstrapBrokers, type Cluster } from '../constructs/cluster.ts';
import { EnvironmentStack } from '../environment-stack.ts';
import type { OperationsStack } from './operations-stack.ts';

const REPLICATION_FACTOR = 3;

/**
 * Each contract's topic, and its versions in the schema registry in the order in which they were published; and the topics
 * of consumers whose dead letters are in Kafka.
 */
export class ContractsStack extends EnvironmentStack {
  readonly registryName: string;
  readonly #cluster: Cluster;

  constructor(
    scope: Construct,
    environment: Environment,
    cluster: Cluster,
    contracts: readonly Contract<never>[],
    operations: OperationsStack,
  ) {
    super(scope, 'contracts', environment, {
      description: 'Millrace: topics and schemas',
      holdsData: true,
    });
    this.#cluster = cluster;
    this.registryName = registryName(environment.name);
    const registry = new CfnRegistry(this, 'Registry', {
      name: this.registryName,
      description: 'The contracts of Millrace',
    });
    registry.applyRemovalPolicy(this.dataRemoval);
    for (const contract of contracts) {
      this.addTopic(contract);
      this.addSchema(contract, registry);
    }
    new CfnOutput(this, 'BootstrapBrokers', {
      value: bootstrapBrokers(this, 'Brokers', cluster, operations),
      description: 'Where producers connect, with IAM',
    });
    new CfnOutput(this, 'RegistryName', {
      value: this.registryName,
      description: "Glue's registry, in which producers find their schemas",
    });
  }

  /** For a consumer whose dead letters are in Kafka. */
  addDeadLetterTopic(consumer: AnyConsumer): void {
    this.addTopic(topicOfDeadLetters(consumer));
  }

  private addTopic(topic: TopicContract): void {
    if (this.target.existingTopics?.includes(topic.name)) return;
    const settings = {
      ...topicSettings(topic),
      ...(this.target.brokers.type === 'standard' && { 'min.insync.replicas': '2' }),
    };
    const properties = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
    new CfnTopic(this, `Topic-${topic.name}`, {
      clusterArn: this.#cluster.arn,
      topicName: topic.name,
      partitionCount: topic.partitions,
      replicationFactor: REPLICATION_FACTOR,
      configs: Buffer.from(properties.join('')).toString('base64'),
    }).applyRemovalPolicy(this.dataRemoval);
  }

  private addSchema({ name, owner, compatibility, versions }: Contract<never>, registry: CfnRegistry): void {
    const [first, ...later] = versions;
    const schema = new CfnSchema(this, `Schema-${name}`, {
      name,
      description: `Owner: ${owner}`,
      registry: { arn: registry.attrArn },
      dataFormat: 'AVRO',
      compatibility: GLUE_COMPATIBILITY[compatibility],
      schemaDefinition: compactDefinitionOf(first!),
    });
    schema.applyRemovalPolicy(this.dataRemoval);
    // Glue numbers versions as they come: each waits for the one before it, the second for the schema it names.
    let previous: CfnResource | undefined;
    for (const version of later) {
      const next = new CfnSchemaVersion(this, `Schema-${name}-v${version.version}`, {
        schema: { schemaArn: schema.attrArn },
        schemaDefinition: compactDefinitionOf(version),
      });
      next.applyRemovalPolicy(this.dataRemoval);
      if (previous) next.addResourceDependency(previous);
      previous = next;
    }
  }
}

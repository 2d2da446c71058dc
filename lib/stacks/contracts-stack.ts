import { CfnOutput, type CfnResource } from 'aws-cdk-lib';
import { CfnRegistry, CfnSchema, CfnSchemaVersion } from 'aws-cdk-lib/aws-glue';
import { CfnTopic } from 'aws-cdk-lib/aws-msk';
import { CfnParameter } from 'aws-cdk-lib/aws-ssm';
import type { Construct } from 'constructs';
import { type CapturedTable, capturedTables } from '../../runtime/capture/table.ts';
import { type Contract, compactDefinitionOf, GLUE_COMPATIBILITY } from '../../runtime/contract/contract.ts';
import type { KnownVersion } from '../../runtime/contract/known-versions.ts';
import { topicOfDeadLetters } from '../../runtime/dead-letters/resources.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import {
  collectedVersionsParameterName,
  registryName,
  versionsParameterName,
  writeVersion,
} from '../../runtime/deployment.ts';
import type { Environment } from '../../runtime/environment.ts';
import { type TopicContract, topicOfTable, topicSettings } from '../../runtime/topics.ts';
import { bootstrapBrokers, type Cluster } from '../constructs/cluster.ts';
import { EnvironmentStack } from '../environment-stack.ts';
import type { OperationsStack } from './operations-stack.ts';

const REPLICATION_FACTOR = 3;

/** Of the 4 KB that a function's settings may have together; the others need less than 1.5 KB. A version takes about 60 bytes. */
const VERSION_IDS_BYTES = 2_400;
const ID_LENGTH = 36;

/**
 * Each contract's topic, and its versions in the schema registry in the order in which they were published; the topics of
 * captured tables, which have no schema; and those of consumers whose dead letters are in Kafka.
 */
export class ContractsStack extends EnvironmentStack {
  readonly registryName: string;
  readonly #cluster: Cluster;
  /** By topic, newest first. */
  readonly #versions = new Map<string, readonly KnownVersion[]>();

  constructor(
    scope: Construct,
    environment: Environment,
    cluster: Cluster,
    {
      contracts,
      tables,
    }: { readonly contracts: readonly Contract<never>[]; readonly tables: readonly CapturedTable[] },
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
    for (const table of capturedTables(tables)) this.addTopic(topicOfTable(table));
    new CfnOutput(this, 'BootstrapBrokers', {
      value: bootstrapBrokers(this, 'Brokers', cluster, operations),
      description: 'Where producers connect, with IAM',
    });
    new CfnOutput(this, 'RegistryName', {
      value: this.registryName,
      description: "Glue's registry, in which producers find their schemas",
    });
  }

  versionIds({ name }: Contract<never>): string {
    const parameter = versionsParameterName(this.target.name, name);
    return this.leave(`Versions-${name}`, parameter, this.#versions.get(name)!);
  }

  /** The newest version of each: the collector writes no other. */
  collectedVersionIds(contracts: readonly Contract<never>[]): string {
    const newest = contracts.map(({ name }) => this.#versions.get(name)![0]!);
    return this.leave('CollectedVersions', collectedVersionsParameterName(this.target.name), newest);
  }

  /**
   * Leaves as many of the versions as there is room for where the functions' stacks find them. An export would do that too, but
   * its value may not change while a stack imports it, so that no contract could gain a version; and one export for each
   * version would fill this stack's two hundred. A parameter is read anew whenever what names it is updated: so the number of
   * each newest version goes before it. Who was deployed before asks the registry for the new one.
   * https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references-ssm.html (2026-11-26)
   */
  private leave(id: string, parameterName: string, versions: readonly KnownVersion[]): string {
    if (!this.node.tryFindChild(id)) {
      let room = VERSION_IDS_BYTES;
      const known = versions.filter(({ topic, version }) => {
        room -= writeVersion({ topic, version, id: '' }).length + ID_LENGTH + 1;
        return room >= 0;
      });
      new CfnParameter(this, id, {
        name: parameterName,
        type: 'String',
        value: known.map(writeVersion).join(','),
        description: 'Versions of contracts, with their ids in the schema registry',
      });
    }
    const newest = versions.filter(({ topic }, index) => topic !== versions[index - 1]?.topic);
    return `${newest.map(({ version }) => version).join('.')};{{resolve:ssm:${parameterName}}}`;
  }

  /** For a consumer whose dead letters are in Kafka. */
  addDeadLetterTopic(consumer: AnyConsumer): void {
    this.addTopic(topicOfDeadLetters(consumer));
  }

  private addTopic(topic: TopicContract): void {
    addTopic(this, this.#cluster, topic);
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
    const known = [{ topic: name, version: first!.version, id: schema.attrInitialSchemaVersionId }];
    for (const version of later) {
      const next = new CfnSchemaVersion(this, `Schema-${name}-v${version.version}`, {
        schema: { schemaArn: schema.attrArn },
        schemaDefinition: compactDefinitionOf(version),
      });
      next.applyRemovalPolicy(this.dataRemoval);
      if (previous) next.addResourceDependency(previous);
      previous = next;
      known.unshift({ topic: name, version: version.version, id: next.attrVersionId });
    }
    this.#versions.set(name, known);
  }
}

/** Makes a topic in the stack, unless somebody else has made it. */
export function addTopic(stack: EnvironmentStack, cluster: Cluster, topic: TopicContract): void {
  const { existingTopics, brokers } = stack.target;
  if (existingTopics?.includes(topic.name)) return;
  const settings = {
    ...topicSettings(topic),
    ...(brokers.type === 'standard' && { 'min.insync.replicas': '2' }),
  };
  const properties = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`);
  new CfnTopic(stack, `Topic-${topic.name}`, {
    clusterArn: cluster.arn,
    topicName: topic.name,
    partitionCount: topic.partitions,
    replicationFactor: REPLICATION_FACTOR,
    configs: Buffer.from(properties.join('')).toString('base64'),
  }).applyRemovalPolicy(stack.dataRemoval);
}

import type { CfnResource } from 'aws-cdk-lib';
import { CfnRegistry, CfnSchema, CfnSchemaVersion } from 'aws-cdk-lib/aws-glue';
import { CfnTopic } from 'aws-cdk-lib/aws-msk';
import type { Construct } from 'constructs';
import type { CompatibilityMode, Contract } from '../../runtime/contract.ts';
import { registryName } from '../../runtime/deployed-names.ts';
import type { Environment } from '../config/environment.ts';
import type { Cluster } from './cluster-stack.ts';
import { EnvironmentStack } from './environment-stack.ts';

// https://docs.aws.amazon.com/glue/latest/dg/schema-registry.html (2026-11-24): Glue's names for the same modes.
const GLUE_COMPATIBILITY: Readonly<Record<CompatibilityMode, string>> = {
  BACKWARD: 'BACKWARD',
  BACKWARD_TRANSITIVE: 'BACKWARD_ALL',
  FORWARD: 'FORWARD',
  FORWARD_TRANSITIVE: 'FORWARD_ALL',
  FULL: 'FULL',
  FULL_TRANSITIVE: 'FULL_ALL',
  NONE: 'NONE',
};

const REPLICATION_FACTOR = 3;

/** Each contract's topic, and its versions in the schema registry in the order in which they were published. */
export class ContractsStack extends EnvironmentStack {
  readonly registryName: string;

  constructor(
    scope: Construct,
    environment: Environment,
    cluster: Cluster,
    contracts: readonly Contract<never>[],
  ) {
    super(scope, 'contracts', environment, {
      description: 'Millrace: topics and schemas, one of each a contract',
      holdsData: true,
    });
    this.registryName = registryName(environment.name);
    const registry = new CfnRegistry(this, 'Registry', {
      name: this.registryName,
      description: 'The contracts of Millrace',
    });
    registry.applyRemovalPolicy(this.dataRemoval);
    for (const contract of contracts) {
      this.addTopic(contract, cluster.arn);
      this.addSchema(contract, registry);
    }
  }

  private addTopic(contract: Contract<never>, clusterArn: string): void {
    new CfnTopic(this, `Topic-${contract.name}`, {
      clusterArn,
      topicName: contract.name,
      partitionCount: contract.partitions,
      replicationFactor: REPLICATION_FACTOR,
      configs: Buffer.from(this.topicProperties(contract)).toString('base64'),
    }).applyRemovalPolicy(this.dataRemoval);
  }

  private topicProperties({ retentionMs, cleanup }: Contract<never>): string {
    const properties = [`cleanup.policy=${cleanup}`, `retention.ms=${retentionMs}`];
    if (this.target.brokers.type === 'standard') properties.push('min.insync.replicas=2');
    return `${properties.join('\n')}\n`;
  }

  private addSchema({ name, owner, compatibility, versions }: Contract<never>, registry: CfnRegistry): void {
    const [first, ...later] = versions;
    const schema = new CfnSchema(this, `Schema-${name}`, {
      name,
      description: `Owner: ${owner}`,
      registry: { arn: registry.attrArn },
      dataFormat: 'AVRO',
      compatibility: GLUE_COMPATIBILITY[compatibility],
      schemaDefinition: JSON.stringify(first?.schema),
    });
    schema.applyRemovalPolicy(this.dataRemoval);
    // Glue numbers versions as they come: each waits for the one before it, the second for the schema it names.
    let previous: CfnResource | undefined;
    for (const { version, schema: definition } of later) {
      const next = new CfnSchemaVersion(this, `Schema-${name}-v${version}`, {
        schema: { schemaArn: schema.attrArn },
        schemaDefinition: JSON.stringify(definition),
      });
      next.applyRemovalPolicy(this.dataRemoval);
      if (previous) next.addResourceDependency(previous);
      previous = next;
    }
  }
}

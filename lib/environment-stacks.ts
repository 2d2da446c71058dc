import type { Construct } from 'constructs';
import type { App } from '../runtime/app.ts';
import { appIn } from '../runtime/app-in-environment.ts';
import { isArchive } from '../runtime/archive/archive.ts';
import { databasesOf } from '../runtime/capture/table.ts';
import type { Contract } from '../runtime/contract/contract.ts';
import { checkAgainstApp, checkCollectable, checkDeployable } from '../runtime/deployable.ts';
import { hasOperator } from '../runtime/deployment.ts';
import type { Environment, SubnetGroup } from '../runtime/environment.ts';
import { OPERATOR_ROLE } from '../runtime/operator/operator.ts';
import { PAGE_ROLE } from '../runtime/page.ts';
import { probeConsumer } from '../runtime/probe/pipeline.ts';
import {
  type RebuildInEnvironment,
  type RebuildRequest,
  rebuildIn,
} from '../runtime/rebuild-in-environment.ts';
import { type Cluster, existingCluster } from './constructs/cluster.ts';
import { ArchiveStack } from './stacks/archive-stack.ts';
import { CaptureStack } from './stacks/capture-stack.ts';
import { ClusterStack, type OwnBrokers } from './stacks/cluster-stack.ts';
import { CollectorStack, type CollectorSurroundings } from './stacks/collector-stack.ts';
import { ConsumerStack } from './stacks/consumer-stack.ts';
import { ContractsStack } from './stacks/contracts-stack.ts';
import { DatabaseStack } from './stacks/database-stack.ts';
import { DeadLettersStack } from './stacks/dead-letters-stack.ts';
import { HealthStack } from './stacks/health-stack.ts';
import { MigrationsStack } from './stacks/migrations-stack.ts';
import { NetworkStack } from './stacks/network-stack.ts';
import { OperationsStack } from './stacks/operations-stack.ts';
import { OperatorStack } from './stacks/operator-stack.ts';
import { WarehouseStack } from './stacks/warehouse-stack.ts';

/**
 * Every stack of one environment, in the order in which they deploy. Those that hold data stand apart from those that
 * can be destroyed and built again: network, migrations, consumers, health.
 * @param request a rebuild's candidate is deployed beside them, by two stacks more; none of the others changes for it
 * @throws CONSUMER_INVALID, CONTRACT_INVALID, ENVIRONMENT_INVALID when the declarations do not fit the environment
 */
export function addEnvironmentStacks(
  app: Construct,
  environment: Environment,
  declared: Pick<App, 'contracts' | 'consumers' | 'collected' | 'tables' | 'demo'>,
  request: RebuildRequest = {},
): void {
  const { contracts, consumers, collected = [], tables } = appIn(declared, environment);
  for (const consumer of consumers) checkDeployable(consumer, environment);
  checkAgainstApp(environment, { ...declared, contracts, consumers, tables });
  // Where the environment has none, nothing of it is deployed.
  const page = environment.collector?.page && declared.demo?.page;
  const operations = new OperationsStack(app, environment);
  const network = new NetworkStack(app, environment, operations);
  const cluster = addCluster(app, environment, network, operations);
  const topics = new ContractsStack(app, environment, cluster, { contracts, tables }, operations);
  const users = [
    ...consumers.filter((consumer) => !isArchive(consumer)).map(({ name }) => name),
    ...(hasOperator(environment) ? [OPERATOR_ROLE] : []),
    ...(page ? [PAGE_ROLE] : []),
  ];
  const database = new DatabaseStack(app, environment, network, operations, users);
  const deadLetters = new DeadLettersStack(app, environment);
  const archive = consumers.some(isArchive) ? new ArchiveStack(app, environment) : undefined;
  const migrations = new MigrationsStack(app, environment, database, { network, operations }, page?.consumer);
  const surroundings = { network, operations, cluster, contracts: topics, database, deadLetters, archive };
  const captures = databasesOf(tables).map(
    (each) => new CaptureStack(app, environment, each, tables, surroundings),
  );
  const stacks = consumers.map(
    (consumer) => new ConsumerStack(app, environment, consumer, surroundings, migrations),
  );
  const { warehouse: loaded } = environment;
  const warehouse =
    loaded && archive
      ? new WarehouseStack(app, { ...environment, warehouse: loaded }, archive, operations)
      : undefined;
  const probe = stacks.find(({ consumer }) => consumer.name === probeConsumer.name);
  const operator = hasOperator(environment)
    ? new OperatorStack(app, environment, { contracts, consumers, tables }, surroundings, {
        migrations,
        probe,
      })
    : undefined;
  const rebuild = rebuildIn(environment, declared, request);
  if (rebuild) addCandidate(app, rebuild, declared, surroundings, migrations);
  const collector = addCollector(app, environment, collected, surroundings, page && { page, migrations });
  new HealthStack(app, environment, {
    cluster,
    database,
    operations,
    consumers: stacks,
    collector,
    captures,
    warehouse,
    operator,
  });
}

/** Imports only what the other stacks export whether it is there or not: so they neither change nor fail for it. */
function addCandidate(
  app: Construct,
  { candidate, environment }: RebuildInEnvironment,
  declared: Pick<App, 'contracts' | 'consumers' | 'tables'>,
  surroundings: ConstructorParameters<typeof ConsumerStack>[3] & {
    readonly network: NetworkStack;
    readonly database: DatabaseStack;
  },
  migrations: MigrationsStack,
): void {
  checkDeployable(candidate, environment);
  checkAgainstApp(environment, { ...declared, ...appIn(declared, environment) });
  const { network, database } = surroundings;
  const direct = {
    vpc: network.vpc,
    functions: network.functions,
    behindProxy: network.migrations,
    subnets: (group: SubnetGroup) => network.subnets(group),
  };
  new ConsumerStack(
    app,
    environment,
    candidate,
    // The proxy logs in as those alone that the settings name.
    environment.database.proxy
      ? { ...surroundings, network: direct, database: database.behindProxy }
      : surroundings,
    migrations,
  );
}

/** Where the environment has one, and there is something to collect. */
function addCollector(
  app: Construct,
  environment: Environment,
  collected: readonly Contract<never>[],
  surroundings: CollectorSurroundings,
  shown: ConstructorParameters<typeof CollectorStack>[4],
): CollectorStack | undefined {
  const { collector } = environment;
  if (!collector || collected.length === 0) return undefined;
  collected.forEach(checkCollectable);
  return new CollectorStack(app, { ...environment, collector }, collected, surroundings, shown);
}

function addCluster(
  app: Construct,
  environment: Environment,
  network: NetworkStack,
  operations: OperationsStack,
): Cluster {
  const { brokers } = environment;
  if (brokers.type === 'existing') return existingCluster(brokers.clusterArn);
  return new ClusterStack(
    app,
    { ...environment, brokers } satisfies { brokers: OwnBrokers },
    network,
    operations,
  ).cluster;
}

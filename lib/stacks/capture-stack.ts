import type { Construct } from 'constructs';
import type { CapturedDatabase } from '../../runtime/capture/database.ts';
import { isAurora } from '../../runtime/capture/environment.ts';
import { type CapturedTable, capturedTables } from '../../runtime/capture/table.ts';
import { capturePart, connectorName, PORTS } from '../../runtime/deployment.ts';
import type { Environment } from '../../runtime/environment.ts';
import { type AlarmName, Alarms } from '../constructs/alarm.ts';
import { addCaptureAlarms, type CaptureNames } from '../constructs/capture-alarms.ts';
import { bootstrapBrokers, type Cluster } from '../constructs/cluster.ts';
import { DebeziumConnector } from '../constructs/debezium-connector.ts';
import { EnvironmentStack } from '../environment-stack.ts';
import type { ContractsStack } from './contracts-stack.ts';
import type { DatabaseStack } from './database-stack.ts';
import type { NetworkStack } from './network-stack.ts';
import type { OperationsStack } from './operations-stack.ts';

/** The connector of one database, and the alarms of what its slot does to the database. */
export class CaptureStack extends EnvironmentStack {
  readonly names: CaptureNames;
  readonly alarms: readonly AlarmName[];

  constructor(
    scope: Construct,
    environment: Environment,
    database: CapturedDatabase,
    tables: readonly CapturedTable[],
    surroundings: {
      readonly network: NetworkStack;
      readonly operations: OperationsStack;
      readonly cluster: Cluster;
      readonly contracts: ContractsStack;
      readonly database: DatabaseStack;
    },
  ) {
    super(scope, capturePart(database), environment, {
      description: `Millrace: captures the changes of ${database.name}`,
      holdsData: false,
    });
    const { network, operations, cluster, contracts } = surroundings;
    const settings = environment.capture!.databases[database.name]!;
    const own = surroundings.database;
    const source =
      settings.type === 'own'
        ? {
            host: own.writerHost,
            database: own.databaseName,
            resourceId: own.resourceId,
            port: PORTS.database,
          }
        : { port: PORTS.database, ...settings };
    // Its topics are there before it starts: nobody else makes them.
    this.addStackDependency(contracts);
    // Nor would there be an instance yet to log in to.
    if (settings.type === 'own') this.addStackDependency(own);
    const logGroup = operations.addLogGroup(this, 'Logs');
    const name = connectorName(environment.name, database);
    new DebeziumConnector(this, 'Debezium', {
      database,
      tables: capturedTables(tables.filter((table) => table.database.name === database.name)),
      source: { ...source, user: settings.user },
      connectorName: name,
      cluster: { arn: cluster.arn, bootstrapBrokers: bootstrapBrokers(this, 'Brokers', cluster, operations) },
      subnetIds: network.subnetIds('functions'),
      securityGroup: network.connectors.get(database.name)!,
      logGroup,
      isRunning: settings.connector ?? true,
      appRoot: environment.appRoot,
    });
    this.names = {
      database: database.name,
      slot: database.slot,
      connectorName: name,
      logGroupName: logGroup.logGroupName,
      identifier: settings.type === 'own' ? own.clusterName : settings.identifier,
      isAurora: settings.type === 'own' || isAurora(settings),
    };
    const alarms = new Alarms(this, operations, capturePart(database));
    addCaptureAlarms(alarms, this.names, settings);
    this.alarms = alarms.names;
  }
}

import { Duration } from 'aws-cdk-lib';
import {
  Alarm,
  AlarmStatusWidget,
  Dashboard,
  GraphWidget,
  type IMetric,
  type IWidget,
  TextWidget,
} from 'aws-cdk-lib/aws-cloudwatch';
import type { Construct } from 'constructs';
import { METRICS_NAMESPACE, type MetricName } from '../../runtime/delivery/metrics.ts';
import { environmentName } from '../../runtime/deployment.ts';
import type { Environment } from '../../runtime/environment.ts';
import type { LagMetricName } from '../../runtime/lag/metrics.ts';
import { countsParked } from '../../runtime/operator/operator.ts';
import type { CollectMetricName } from '../../runtime/publish/collect.ts';
import { type AlarmName, Alarms, gauge } from '../constructs/alarm.ts';
import { connectorMetric, retainedLog } from '../constructs/capture-alarms.ts';
import type { Cluster } from '../constructs/cluster.ts';
import { collectedEvents, latencyOf, requestMetric } from '../constructs/collector-alarms.ts';
import { drainTimeOf, functionMetric, lagOf, reportedBy, sampledOf } from '../constructs/consumer-alarms.ts';
import {
  addClusterAlarms,
  addDatabaseAlarms,
  brokerCpu,
  databaseCapacity,
  databaseCpu,
} from '../constructs/shared-alarms.ts';
import type { Severity } from '../constructs/surroundings.ts';
import { EnvironmentStack } from '../environment-stack.ts';
import { checkWidgets, WIDGET_ALARMS } from '../limits.ts';
import type { CaptureStack } from './capture-stack.ts';
import type { CollectorStack } from './collector-stack.ts';
import type { ConsumerStack } from './consumer-stack.ts';
import type { DatabaseStack } from './database-stack.ts';
import type { OperationsStack } from './operations-stack.ts';
import type { OperatorStack } from './operator-stack.ts';
import type { WarehouseStack } from './warehouse-stack.ts';

/** CloudWatch's grid. */
const FULL_WIDTH = 24;

/** Alarms of what all consumers share, the cluster and the database, and one dashboard of everything: worst first. */
export class HealthStack extends EnvironmentStack {
  constructor(
    scope: Construct,
    environment: Environment,
    {
      cluster,
      database,
      operations,
      consumers,
      collector,
      captures,
      warehouse,
      operator,
    }: {
      readonly cluster: Cluster;
      readonly database: DatabaseStack;
      readonly operations: OperationsStack;
      readonly consumers: readonly ConsumerStack[];
      readonly collector: CollectorStack | undefined;
      readonly captures: readonly CaptureStack[];
      readonly warehouse: WarehouseStack | undefined;
      readonly operator: OperatorStack | undefined;
    },
  ) {
    super(scope, 'health', environment, {
      description: 'Millrace: alarms of cluster and database, and the dashboard',
      holdsData: false,
    });
    const ofCluster = new Alarms(this, operations, 'cluster');
    // Who runs a cluster of their own watches it.
    if (environment.brokers.type !== 'existing') {
      addClusterAlarms(ofCluster, environment, cluster.name, cluster.arn);
    }
    const ofDatabase = new Alarms(this, operations, 'database');
    addDatabaseAlarms(ofDatabase, environment, database.clusterName);

    const all = [
      ...consumers.flatMap(({ alarms }) => alarms),
      ...(collector?.alarms ?? []),
      ...captures.flatMap(({ alarms }) => alarms),
      ...(warehouse?.alarms ?? []),
      ...(operator?.alarms ?? []),
      ...ofCluster.names,
      ...ofDatabase.names,
    ];
    const widgets = [
      ...this.alarmRows('Incidents', 'incident', all),
      ...this.alarmRows('Warnings', 'warning', all),
      ...consumers.flatMap((stack) => consumerRows(stack, cluster.name, operator !== undefined)),
      ...(collector ? collectorRows(collector) : []),
      ...captures.flatMap(captureRows),
      ...(warehouse?.freshnessMetric === undefined ? [] : warehouseRows(warehouse.freshnessMetric)),
      [
        graph('Brokers', 12, [brokerCpu(cluster.name)]),
        graph('Database', 12, [databaseCapacity(database.clusterName), databaseCpu(database.clusterName)]),
      ],
    ];
    checkWidgets(this.stackName, widgets.flat().length);
    new Dashboard(this, 'Dashboard', {
      dashboardName: environmentName(environment.name),
      defaultInterval: Duration.hours(3),
      widgets,
    });
  }

  /** CloudWatch shows those in alarm first, in each row. */
  private alarmRows(title: string, severity: Severity, alarms: readonly AlarmName[]): IWidget[][] {
    // By their fixed names: an export that the dashboard uses would keep an alarm from ever being taken away.
    const shown = alarms
      .filter((alarm) => alarm.severity === severity)
      .map(({ name }) => Alarm.fromAlarmName(this, name, name));
    const rows = Array.from({ length: Math.ceil(shown.length / WIDGET_ALARMS) }, (_, row) =>
      shown.slice(row * WIDGET_ALARMS, (row + 1) * WIDGET_ALARMS),
    );
    return rows.map((row, index) => [
      new AlarmStatusWidget({
        title: rows.length === 1 ? title : `${title} (${index + 1} of ${rows.length})`,
        width: FULL_WIDTH,
        height: 4,
        alarms: row,
      }),
    ]);
  }
}

function consumerRows(
  { target, consumer, functionName }: ConsumerStack,
  clusterName: string,
  isSampled: boolean,
): IWidget[][] {
  const width = isSampled ? 5 : 6;
  const isParkedCounted = isSampled && countsParked(target, consumer);
  const sampled = (metric: LagMetricName) => sampledOf(target.name, consumer, metric);
  const reported = (metric: MetricName) => reportedBy(target.name, consumer, metric);
  const title = `## ${consumer.name} ← ${consumer.topic.name}`;
  return [
    [new TextWidget({ markdown: title, width: FULL_WIDTH, height: 1 })],
    [
      graph(
        'Messages behind | seconds to drain',
        width,
        [lagOf(consumer, clusterName)],
        [drainTimeOf(consumer, clusterName)],
      ),
      ...(isSampled
        ? [
            graph(
              'Age and headroom, milliseconds | verdict, 10 is the worst',
              width,
              [sampled('Age'), sampled('Headroom')],
              [sampled('Verdict')],
            ),
          ]
        : []),
      graph('Records', width, [
        reported('Applied'),
        reported('Duplicates'),
        reported('Repeated'),
        reported('Returned'),
      ]),
      graph(
        isParkedCounted ? 'Dead letters and holes | parked records' : 'Dead letters and holes',
        width,
        [reported('DeadLettered'), reported('Holes')],
        isParkedCounted ? [sampled('ParkedRecords')] : [],
      ),
      graph(
        'Function: errors | duration',
        isSampled ? 4 : width,
        [functionMetric(functionName, 'Errors'), functionMetric(functionName, 'Throttles')],
        [gauge('AWS/Lambda', 'Duration', { FunctionName: functionName })],
      ),
    ],
  ];
}

function collectorRows(collector: CollectorStack): IWidget[][] {
  const { target, functionName, topics } = collector;
  const events = (metric: CollectMetricName) =>
    topics.map((topic) => collectedEvents(target.name, topic, metric));
  return [
    [new TextWidget({ markdown: `## collector → ${topics.join(', ')}`, width: FULL_WIDTH, height: 1 })],
    [
      graph(
        'Requests | milliseconds, p99',
        8,
        (['Count', '4XXError', '5XXError'] as const).map((metric) => requestMetric(collector, metric)),
        [latencyOf(collector)],
      ),
      graph('Events', 8, [...events('Accepted'), ...events('Refused'), ...events('Failed')]),
      graph(
        'Function: errors | at once',
        8,
        [functionMetric(functionName, 'Errors'), functionMetric(functionName, 'Throttles')],
        [gauge('AWS/Lambda', 'ConcurrentExecutions', { FunctionName: functionName })],
      ),
    ],
  ];
}

function captureRows({ names }: CaptureStack): IWidget[][] {
  const { database, connectorName } = names;
  return [
    [new TextWidget({ markdown: `## ${database} → Kafka`, width: FULL_WIDTH, height: 1 })],
    [
      graph(
        'Connector: tasks',
        8,
        (['RunningTaskCount', 'ErroredTaskCount'] as const).map((metric) =>
          connectorMetric(connectorName, metric),
        ),
      ),
      graph(
        'Bytes a second | CPU %',
        8,
        [connectorMetric(connectorName, 'SourceProducerByteRate')],
        [connectorMetric(connectorName, 'CpuUtilization')],
      ),
      graph('Log that the slot keeps', 8, [retainedLog(names)]),
    ],
  ];
}

function warehouseRows(freshnessMetric: string): IWidget[][] {
  const age = gauge(METRICS_NAMESPACE, freshnessMetric, {}, { period: Duration.minutes(5) });
  return [
    [new TextWidget({ markdown: '## archive → warehouse', width: FULL_WIDTH, height: 1 })],
    [graph('Age of the newest change, milliseconds', FULL_WIDTH, [age])],
  ];
}

function graph(title: string, width: number, left: IMetric[], right: IMetric[] = []): GraphWidget {
  return new GraphWidget({ title, width, left, right, leftYAxis: { min: 0 }, rightYAxis: { min: 0 } });
}

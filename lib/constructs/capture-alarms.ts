import { Duration } from 'aws-cdk-lib';
import type { IMetric } from 'aws-cdk-lib/aws-cloudwatch';
import { RETAINED_LOG_GIB, type SourceSettings } from '../../runtime/capture/environment.ts';
import { type Alarms, gauge, math } from './alarm.ts';

const FIVE_MINUTES = Duration.minutes(5);
const GIB = 1_024 ** 3;

/** What there is to be measured of a captured database. */
export interface CaptureNames {
  readonly database: string;
  readonly slot: string;
  readonly connectorName: string;
  readonly logGroupName: string;
  /** What CloudWatch calls the database. */
  readonly identifier: string;
  readonly isAurora: boolean;
}

/** https://docs.aws.amazon.com/msk/latest/developerguide/mkc-monitoring-overview.html (2026-11-27) */
export function connectorMetric(
  connectorName: string,
  metric: 'RunningTaskCount' | 'ErroredTaskCount' | 'CpuUtilization' | 'SourceProducerByteRate',
): IMetric {
  return gauge('AWS/KafkaConnect', metric, { ConnectorName: connectorName });
}

/**
 * What the slot keeps of the database's log, in bytes. On Aurora TransactionLogsDiskUsage is -1 where no slot is.
 * https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-metrics.html,
 * https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.AuroraMonitoring.Metrics.html (2026-11-27)
 */
export function retainedLog(names: Pick<CaptureNames, 'identifier' | 'isAurora'>): IMetric {
  const [lag, logs] = ['OldestReplicationSlotLag', 'TransactionLogsDiskUsage'].map((metric) =>
    databaseMetric(names, metric),
  ) as [IMetric, IMetric];
  return math(
    'MAX([FILL(lag, 0), FILL(logs, 0)])',
    { lag, logs },
    'bytes of log that a slot keeps',
    FIVE_MINUTES,
  );
}

function databaseMetric(
  { identifier, isAurora }: Pick<CaptureNames, 'identifier' | 'isAurora'>,
  metric: string,
  statistic = 'Maximum',
): IMetric {
  const of = isAurora
    ? { DBClusterIdentifier: identifier, Role: 'WRITER' }
    : { DBInstanceIdentifier: identifier };
  return gauge('AWS/RDS', metric, of, { period: FIVE_MINUTES, statistic });
}

/** Alarms of a connector and of what its slot does to the database. That a status says RUNNING proves nothing: see warehouse-stale. */
export function addCaptureAlarms(
  alarms: Alarms,
  names: CaptureNames,
  { retainedLogGiB, connector = true }: SourceSettings,
): void {
  const { database, slot, connectorName, logGroupName, identifier, isAurora } = names;
  const { warning, incident } = { ...RETAINED_LOG_GIB, ...retainedLogGiB };
  const tailErrors = `aws logs tail ${logGroupName} --since 30m --filter-pattern ERROR`;
  if (connector) addConnectorAlarms(alarms, { database, connectorName, tailErrors });
  const full = alarms.add({
    kind: 'slot-fills-disk',
    severity: 'incident',
    metric: retainedLog(names),
    threshold: incident * GIB,
    when: 'at-least',
    datapoints: 1,
    of: 1,
    missing: 'ignore',
    happened: `${database} keeps ${incident} GiB or more of its log for a replication slot. The slot ${slot} is not read, or not fast enough.`,
    command: tailErrors,
  });
  alarms.add({
    kind: 'slot-behind',
    severity: 'warning',
    metric: retainedLog(names),
    threshold: warning * GIB,
    when: 'at-least',
    datapoints: 2,
    of: 3,
    missing: 'ignore',
    happened: `${database} keeps ${warning} GiB or more of its log for a replication slot.`,
    command: tailErrors,
    suppressedBy: full,
  });
  // Aurora's volume grows by itself.
  if (isAurora) return;
  alarms.add({
    kind: 'source-disk',
    severity: 'incident',
    metric: databaseMetric(names, 'FreeStorageSpace', 'Minimum'),
    threshold: incident * GIB,
    when: 'below',
    datapoints: 1,
    of: 1,
    missing: 'ignore',
    happened: `${database} has less than ${incident} GiB of disk left. A full disk stops it, and a slot that is not read fills the disk.`,
    command: `aws rds describe-db-instances --db-instance-identifier ${identifier}`,
  });
}

function addConnectorAlarms(
  alarms: Alarms,
  {
    database,
    connectorName,
    tailErrors,
  }: { readonly database: string; readonly connectorName: string; readonly tailErrors: string },
): void {
  alarms.add({
    kind: 'connector-failed',
    severity: 'incident',
    metric: connectorMetric(connectorName, 'ErroredTaskCount'),
    threshold: 1,
    when: 'at-least',
    datapoints: 1,
    of: 1,
    missing: 'not-breaching',
    happened: `The task that captures ${database} has failed and does not start again by itself. The database keeps its log meanwhile.`,
    command: tailErrors,
  });
  alarms.add({
    kind: 'connector-stopped',
    severity: 'incident',
    metric: connectorMetric(connectorName, 'RunningTaskCount'),
    threshold: 1,
    when: 'below',
    datapoints: 5,
    of: 5,
    missing: 'breaching',
    happened: `No task has captured ${database} for five minutes. The database keeps its log meanwhile.`,
    command: `aws kafkaconnect list-connectors --connector-name-prefix ${connectorName}`,
  });
}

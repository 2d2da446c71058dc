import { Duration } from 'aws-cdk-lib';
import type { IMetric } from 'aws-cdk-lib/aws-cloudwatch';
import type { Environment } from '../../runtime/environment.ts';
import { type Alarms, counter, gauge, math } from './alarm.ts';
import { BROKERS } from './cluster.ts';

const FIVE_MINUTES = Duration.minutes(5);

/** The busiest broker's CPU in percent, as MSK's own advice adds it up. */
export function brokerCpu(clusterName: string): IMetric {
  return ofBrokers(
    clusterName,
    ['CpuUser', 'CpuSystem'],
    (broker) => `user${broker} + system${broker}`,
    'CPU, busiest broker',
  );
}

/** The fullest broker's disk in percent. Express brokers have none of their own. */
function brokerDisk(clusterName: string): IMetric {
  return ofBrokers(
    clusterName,
    ['KafkaDataLogsDiskUsed'],
    (broker) => `disk${broker}`,
    'disk, fullest broker',
  );
}

const SHORT: Readonly<Record<string, string>> = {
  CpuUser: 'user',
  CpuSystem: 'system',
  KafkaDataLogsDiskUsed: 'disk',
  HeapMemoryAfterGC: 'heap',
  CPUCreditBalance: 'credits',
  UnderReplicatedPartitions: 'partitions',
  UnderMinIsrPartitionCount: 'partitions',
  ProduceThrottleTime: 'produce',
  FetchThrottleTime: 'fetch',
  IAMTooManyConnections: 'refused',
};

/** The greatest over all brokers, or the least; their metrics have a broker's number as a dimension. */
function ofBrokers(
  clusterName: string,
  metrics: readonly string[],
  of: (broker: number) => string,
  label: string,
  worst: 'MAX' | 'MIN' = 'MAX',
): IMetric {
  const brokers = Array.from({ length: BROKERS }, (_, index) => index + 1);
  const usingMetrics = Object.fromEntries(
    brokers.flatMap((broker) =>
      metrics.map((metric) => [
        `${SHORT[metric]}${broker}`,
        gauge('AWS/Kafka', metric, { 'Cluster Name': clusterName, 'Broker ID': String(broker) }),
      ]),
    ),
  );
  return math(`${worst}([${brokers.map(of).join(', ')}])`, usingMetrics, label);
}

/**
 * The alarms that MSK recommends, as far as the broker type has their metrics:
 * https://docs.aws.amazon.com/msk/latest/developerguide/bestpractices.html,
 * https://docs.aws.amazon.com/msk/latest/developerguide/metrics-details-express.html (2026-11-26); by level of monitoring,
 * https://github.com/aws/agent-toolkit-for-aws/blob/main/skills/specialized-skills/analytics-skills/managing-amazon-msk/references/monitor-and-alarm.md
 * (2026-11-25).
 */
export function addClusterAlarms(
  alarms: Alarms,
  { brokers, monitoring }: Environment,
  clusterName: string,
  clusterArn: string,
): void {
  const ofCluster = { 'Cluster Name': clusterName };
  const command = `aws kafka describe-cluster-v2 --cluster-arn ${clusterArn}`;
  alarms.add({
    kind: 'broker-cpu',
    severity: 'warning',
    metric: brokerCpu(clusterName),
    threshold: 60,
    datapoints: 10,
    of: 15,
    missing: 'ignore',
    happened: 'A broker uses more than 60 % of its CPU. If another broker fails, this one may be overloaded.',
    command,
  });
  alarms.add({
    kind: 'no-controller',
    severity: 'incident',
    metric: gauge('AWS/Kafka', 'ActiveControllerCount', ofCluster),
    threshold: 1,
    when: 'below',
    datapoints: 5,
    of: 5,
    missing: 'ignore',
    happened: 'The cluster has no active controller, so no partition gets a new leader.',
    command,
  });
  if (monitoring === 'PER_BROKER') addConnectionAlarm(alarms, clusterName, command);
  if (brokers.type !== 'standard') {
    addExpressAlarms(alarms, monitoring, clusterName, command);
    return;
  }
  alarms.add({
    kind: 'broker-disk',
    severity: 'incident',
    metric: brokerDisk(clusterName),
    threshold: 85,
    when: 'at-least',
    datapoints: 3,
    of: 5,
    missing: 'ignore',
    happened: "A broker's disk is more than 85 % full. A full disk stops the broker.",
    command,
  });
  alarms.add({
    kind: 'offline-partitions',
    severity: 'incident',
    metric: gauge('AWS/Kafka', 'OfflinePartitionsCount', ofCluster),
    threshold: 0,
    datapoints: 3,
    of: 5,
    missing: 'ignore',
    happened: 'Partitions have no leader, so nobody can write to them or read them.',
    command,
  });
  alarms.add({
    kind: 'under-replicated',
    severity: 'warning',
    metric: ofBrokers(
      clusterName,
      ['UnderReplicatedPartitions'],
      (broker) => `partitions${broker}`,
      'under-replicated partitions',
    ),
    threshold: 0,
    // A broker that restarts for an update takes minutes to catch up.
    datapoints: 15,
    of: 15,
    missing: 'ignore',
    happened:
      'Partitions have lacked a replica for 15 minutes. They still take records, with less redundancy.',
    command,
  });
  alarms.add({
    kind: 'broker-heap',
    severity: 'warning',
    metric: ofBrokers(
      clusterName,
      ['HeapMemoryAfterGC'],
      (broker) => `heap${broker}`,
      'heap after collection, fullest broker',
    ),
    threshold: 60,
    datapoints: 10,
    of: 15,
    missing: 'ignore',
    happened:
      "More than 60 % of a broker's heap is in use after garbage collection. It may run out of memory.",
    command,
  });
  if (brokers.instanceType.startsWith('kafka.t3.')) {
    alarms.add({
      kind: 'broker-credits',
      severity: 'warning',
      metric: ofBrokers(
        clusterName,
        ['CPUCreditBalance'],
        (broker) => `credits${broker}`,
        'CPU credits, lowest broker',
        'MIN',
      ),
      threshold: 100,
      when: 'below',
      datapoints: 15,
      of: 15,
      missing: 'ignore',
      happened: 'A broker has fewer than 100 CPU credits left. Without credits it gets 20 % of its CPU.',
      command,
    });
  }
  if (monitoring === 'DEFAULT') return;
  alarms.add({
    kind: 'under-min-isr',
    severity: 'incident',
    metric: ofBrokers(
      clusterName,
      ['UnderMinIsrPartitionCount'],
      (broker) => `partitions${broker}`,
      'partitions under min.insync.replicas',
    ),
    threshold: 1,
    when: 'at-least',
    datapoints: 3,
    of: 5,
    missing: 'ignore',
    happened: 'Partitions have fewer in-sync replicas than min.insync.replicas, so they take no records.',
    command,
  });
}

/** Every client logs in by IAM, and a broker takes few new ones a second: lambdas that start at once are many. */
function addConnectionAlarm(alarms: Alarms, clusterName: string, command: string): void {
  alarms.add({
    kind: 'broker-connections',
    severity: 'warning',
    metric: ofBrokers(
      clusterName,
      ['IAMTooManyConnections'],
      (broker) => `FILL(refused${broker}, 0)`,
      'connections over the limit, busiest broker',
    ),
    threshold: 0,
    datapoints: 3,
    of: 5,
    missing: 'not-breaching',
    happened: 'A broker refuses new connections, because clients open more a second than it takes with IAM.',
    command,
  });
}

/** Express brokers have no disk that fills up. What gives way is their quota, and what grows is the bill. */
function addExpressAlarms(
  alarms: Alarms,
  monitoring: Environment['monitoring'],
  clusterName: string,
  command: string,
): void {
  alarms.add({
    kind: 'storage-growing',
    severity: 'warning',
    metric: gauge('AWS/Kafka', 'StorageUsed', { 'Cluster Name': clusterName }, { period: FIVE_MINUTES }),
    threshold: 'unusual',
    datapoints: 12,
    of: 12,
    missing: 'not-breaching',
    happened:
      'For an hour the topics have held more than usual. Express brokers have no limit; storage is billed.',
    command,
  });
  if (monitoring === 'DEFAULT') return;
  alarms.add({
    kind: 'broker-throttled',
    severity: 'warning',
    metric: ofBrokers(
      clusterName,
      ['ProduceThrottleTime', 'FetchThrottleTime'],
      (broker) => `FILL(produce${broker}, 0) + FILL(fetch${broker}, 0)`,
      'milliseconds that clients are made to wait, busiest broker',
    ),
    threshold: 0,
    datapoints: 5,
    of: 5,
    missing: 'not-breaching',
    happened:
      "A broker makes producers or consumers wait, because they exceed its instance type's throughput.",
    command,
  });
}

/** How much of its greatest capacity the database uses, in percent. */
export function databaseCapacity(clusterName: string): IMetric {
  return gauge('AWS/RDS', 'ACUUtilization', { DBClusterIdentifier: clusterName });
}

export function databaseCpu(clusterName: string): IMetric {
  return gauge('AWS/RDS', 'CPUUtilization', { DBClusterIdentifier: clusterName, Role: 'WRITER' });
}

/** https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/Aurora.AuroraMonitoring.Metrics.html (2026-11-24) */
export function addDatabaseAlarms(alarms: Alarms, { database }: Environment, clusterName: string): void {
  const ofCluster = { DBClusterIdentifier: clusterName };
  const command = `aws rds describe-db-clusters --db-cluster-identifier ${clusterName}`;
  alarms.add({
    kind: 'capacity',
    severity: 'warning',
    metric: databaseCapacity(clusterName),
    threshold: 90,
    datapoints: 15,
    of: 15,
    missing: 'not-breaching',
    happened: 'The database has used more than 90 % of its maximum capacity for 15 minutes.',
    command,
  });
  alarms.add({
    kind: 'deadlocks',
    severity: 'warning',
    metric: gauge('AWS/RDS', 'Deadlocks', ofCluster, { period: FIVE_MINUTES }),
    threshold: 0,
    datapoints: 3,
    of: 3,
    missing: 'not-breaching',
    happened: 'The database keeps breaking deadlocks: two statements lock the same rows in different orders.',
    command: `aws logs tail /aws/rds/cluster/${clusterName}/postgresql --since 15m --filter-pattern deadlock`,
  });
  alarms.add({
    kind: 'transaction-ids',
    severity: 'incident',
    metric: gauge('AWS/RDS', 'MaximumUsedTransactionIDs', ofCluster, { period: FIVE_MINUTES }),
    threshold: 1_000_000_000,
    datapoints: 3,
    of: 3,
    missing: 'ignore',
    happened:
      'Half of the transaction ids are used up, because vacuum does not keep up. At two billion the database stops taking writes.',
    command,
  });
  // A database that has paused says nothing either.
  if (database.minCapacity === 0) return;
  alarms.add({
    kind: 'no-writer',
    severity: 'incident',
    metric: counter('AWS/RDS', 'DatabaseConnections', { ...ofCluster, Role: 'WRITER' }),
    threshold: 0,
    when: 'below',
    datapoints: 5,
    of: 5,
    missing: 'breaching',
    happened: 'The writer of the database has sent no metrics for five minutes.',
    command,
  });
}

/**
 * Alerts on what MSK's brokers export themselves: the JMX exporter on port 11001 and the node exporter on 11002
 * (https://docs.aws.amazon.com/msk/latest/developerguide/open-monitoring.html, 2026-11-27). The JMX exporter there has one metric for
 * a bean's attribute, and the bean's name in a label: kafka_server_ReplicaManager_Value{name="UnderReplicatedPartitions"}, as
 * https://github.com/DataDog/integrations-core/blob/master/amazon_msk/tests/fixtures/jmx_metrics.txt (2026-11-27) has it of a cluster.
 * Thresholds are those of the alarms in CloudWatch (docs/runbooks/README.md).
 */
import type { AlertRule } from './rule.ts';

/** The names of the scrape jobs, and a label that they set: docs/prometheus.md. */
const JMX = 'job="msk-jmx"';
const NODE = 'job="msk-node"';
const CLUSTER = 'by (cluster_name)';
const BROKER = 'by (cluster_name, instance)';
const WHERE = '{{ $labels.cluster_name }}';
/** Where MSK's brokers keep their topics. */
const DATA = 'mountpoint="/kafka/datalogs"';

/** Every broker reports what is the cluster's, so the most is the one to take. */
const controller = (name: string) => `kafka_controller_KafkaController_Value{${JMX},name="${name}"}`;
const replicas = (name: string) => `kafka_server_ReplicaManager_Value{${JMX},name="${name}"}`;

export const BROKER_RULES: readonly AlertRule[] = [
  {
    alert: 'MillraceOfflinePartitions',
    expr: `max ${CLUSTER} (${controller('OfflinePartitionsCount')}) > 0`,
    for: '3m',
    severity: 'incident',
    scope: 'broker',
    runbook: 'offline-partitions',
    summary: `Partitions of ${WHERE} have no leader: nobody can read or write them.`,
  },
  {
    alert: 'MillraceNoController',
    // With KRaft the first is exported by controllers alone; brokers say which one they follow, -1 for none:
    // https://cwiki.apache.org/confluence/display/KAFKA/KIP-1001:+Add+CurrentControllerId+Metric (2026-11-27)
    expr: `max ${CLUSTER} (${controller('ActiveControllerCount')}) < 1 or max ${CLUSTER} (kafka_server_MetadataLoader_Value{${JMX},name="CurrentControllerId"}) < 0`,
    for: '5m',
    severity: 'incident',
    scope: 'broker',
    runbook: 'no-controller',
    summary: `${WHERE} has no active controller.`,
  },
  {
    alert: 'MillraceUnderMinIsr',
    expr: `sum ${CLUSTER} (${replicas('UnderMinIsrPartitionCount')}) > 0`,
    for: '3m',
    severity: 'incident',
    scope: 'broker',
    runbook: 'under-min-isr',
    summary: `Partitions of ${WHERE} have fewer in-sync replicas than min.insync.replicas: they take no records.`,
  },
  {
    alert: 'MillraceUnderReplicated',
    expr: `sum ${CLUSTER} (${replicas('UnderReplicatedPartitions')}) > 0`,
    for: '15m',
    severity: 'warning',
    scope: 'broker',
    runbook: 'under-replicated',
    summary: `Partitions of ${WHERE} lack a replica.`,
  },
  {
    alert: 'MillraceBrokerDisk',
    expr: `1 - min ${BROKER} (node_filesystem_avail_bytes{${NODE},${DATA}} / node_filesystem_size_bytes{${NODE},${DATA}}) > 0.85`,
    for: '5m',
    severity: 'incident',
    scope: 'broker',
    runbook: 'broker-disk',
    summary: 'The disk of {{ $labels.instance }} is {{ $value | humanizePercentage }} full.',
  },
  {
    alert: 'MillraceBrokerCpu',
    expr: `sum ${BROKER} (rate(node_cpu_seconds_total{${NODE},mode=~"user|system"}[5m])) / count ${BROKER} (node_cpu_seconds_total{${NODE},mode="idle"}) > 0.6`,
    for: '10m',
    severity: 'warning',
    scope: 'broker',
    runbook: 'broker-cpu',
    summary: '{{ $labels.instance }} uses {{ $value | humanizePercentage }} of its CPU.',
  },
  {
    alert: 'MillraceBrokerUnseen',
    expr: `min ${BROKER} (up{job=~"msk-jmx|msk-node"}) == 0`,
    for: '5m',
    severity: 'warning',
    scope: 'broker',
    runbook: 'lag-unknown',
    summary: 'Prometheus cannot scrape {{ $labels.instance }}.',
  },
];

import { expect, test } from '@jest/globals';
import { type ConsumerStatus, LAG_VERDICTS, type PartitionStatus } from '../../../runtime/lag/status.ts';
import { ENDS, exposeFamilies } from '../../../runtime/prometheus/exposition.ts';
import { exporterMetrics, LossCount, lagMetrics } from '../../../runtime/prometheus/lag-metrics.ts';
import { type ParsedFamily, parseExposition } from './parse-exposition.ts';

const PROGRESS = {
  verdict: 'BEHIND',
  lag: 30,
  ageMs: 61_500,
  drain: { lowMs: 10_000, highMs: 20_000 },
  headroomMs: 3_600_000,
  lost: 0,
  inPerSecond: 5,
  outPerSecond: 7.5,
  lastProgressAt: 1_790_000_000_000,
  evidence: [],
} as const;

function partition(number: number, changes: Partial<PartitionStatus> = {}): PartitionStatus {
  return { ...PROGRESS, partition: number, committed: 70, start: 10, end: 100, ...changes };
}

function status(changes: Partial<ConsumerStatus> = {}): ConsumerStatus {
  return {
    ...PROGRESS,
    consumer: 'orders',
    group: 'orders',
    topic: 'shop.orders',
    drainMs: 20_000,
    deadLetters: 2,
    parked: { keys: 3, records: 40, oldestAgeMs: 90_000 },
    heldBy: null,
    retentionMs: 86_400_000,
    isPaused: false,
    warning: 10_000,
    incident: 100_000,
    partitions: [partition(0), partition(1, { lag: 0, ageMs: 0 })],
    ...changes,
  };
}

const UNKNOWN = {
  verdict: 'UNKNOWN',
  lag: null,
  ageMs: null,
  drain: null,
  headroomMs: null,
  lost: null,
  inPerSecond: null,
  outPerSecond: null,
  lastProgressAt: null,
} as const;

const STATE = { sampledAt: 1_790_000_000_000, durationMs: 450, partitions: 2, succeeded: 3, failed: 1 };

function metricsOf(
  statuses: readonly ConsumerStatus[],
  {
    partitions = true,
    losses = new Map<string, number>(),
    state = STATE as Parameters<typeof exporterMetrics>[0],
  } = {},
): ReadonlyMap<string, ParsedFamily> {
  const own = exporterMetrics(state, {
    cluster: 'prod',
    version: '1.2.3',
    now: 1_790_000_004_000,
    intervalMs: 15_000,
  });
  const families = [...own, ...lagMetrics(statuses, { cluster: 'prod', partitions, losses })];
  const text = exposeFamilies(families, 'openmetrics') + ENDS.openmetrics;
  return new Map(parseExposition(text, 'openmetrics').map((family) => [family.name, family]));
}

test('the names and labels are those of kafka-lag-exporter', () => {
  const metrics = metricsOf([status()]);
  const labelsOf = (name: string) => Object.keys(metrics.get(name)!.samples[0]!.labels).join();
  expect(
    Object.fromEntries(
      [...metrics.keys()].filter((name) => name.startsWith('kafka_')).map((name) => [name, labelsOf(name)]),
    ),
  ).toEqual({
    kafka_consumergroup_group_offset: 'cluster_name,group,topic,partition',
    kafka_consumergroup_group_lag: 'cluster_name,group,topic,partition',
    kafka_consumergroup_group_lag_seconds: 'cluster_name,group,topic,partition',
    kafka_consumergroup_group_max_lag: 'cluster_name,group',
    kafka_consumergroup_group_max_lag_seconds: 'cluster_name,group',
    kafka_consumergroup_group_sum_lag: 'cluster_name,group',
    kafka_consumergroup_group_topic_sum_lag: 'cluster_name,group,topic',
    kafka_partition_latest_offset: 'cluster_name,topic,partition',
    kafka_partition_earliest_offset: 'cluster_name,topic,partition',
  });
});

test('a sample is told in seconds and records, with one verdict that holds', () => {
  const metrics = metricsOf([status()]);
  const values = (name: string) => metrics.get(name)!.samples.map(({ value }) => value);
  const labels = { cluster_name: 'prod', consumer: 'orders', group: 'orders', topic: 'shop.orders' };
  expect(metrics.get('millrace_group_verdict')!.samples).toEqual(
    LAG_VERDICTS.map((verdict) => ({
      name: 'millrace_group_verdict',
      labels: { ...labels, verdict },
      value: verdict === 'BEHIND' ? 1 : 0,
    })),
  );
  expect(values('millrace_group_lag')).toEqual([30]);
  expect(values('millrace_group_record_age_seconds')).toEqual([61.5]);
  expect(values('millrace_group_drain_seconds')).toEqual([10, 20]);
  expect(values('millrace_group_deletion_headroom_seconds')).toEqual([3_600]);
  expect(values('millrace_group_last_progress_timestamp_seconds')).toEqual([1_790_000_000]);
  expect(values('millrace_group_dead_letters')).toEqual([2]);
  expect(values('millrace_group_parked_keys')).toEqual([3]);
  expect(values('millrace_group_parked_records')).toEqual([40]);
  expect(values('millrace_group_parked_oldest_age_seconds')).toEqual([90]);
  expect(values('millrace_group_retention_seconds')).toEqual([86_400]);
  expect(metrics.has('millrace_group_paused')).toBe(false);
  expect(metricsOf([status({ isPaused: true })]).get('millrace_group_paused')!.samples).toHaveLength(1);
  expect(values('kafka_consumergroup_group_lag_seconds')).toEqual([61.5, 0]);
  expect(values('kafka_consumergroup_group_max_lag')).toEqual([30]);
  expect(values('kafka_partition_latest_offset')).toEqual([100, 100]);
  expect(values('millrace_exporter_sample_age_seconds')).toEqual([4]);
  expect(values('millrace_exporter_sample_duration_seconds')).toEqual([0.45]);
  expect(values('millrace_exporter_samples')).toEqual([3, 1]);
  expect(values('millrace_exporter_partitions')).toEqual([2]);
});

test('what is unknown has no series, and is never 0', () => {
  const unknown = status({
    ...UNKNOWN,
    deadLetters: null,
    parked: null,
    retentionMs: null,
    drainMs: null,
    partitions: [partition(0, { ...UNKNOWN, committed: null, start: null, end: null })],
  });
  const state = { sampledAt: null, durationMs: null, partitions: null, succeeded: 0, failed: 4 };
  expect([...metricsOf([unknown], { state }).keys()].toSorted()).toEqual([
    'millrace_build_info',
    'millrace_exporter_interval_seconds',
    'millrace_exporter_samples',
    'millrace_group_verdict',
  ]);
});

test('of several partitions one whose lag is unknown leaves the most unknown', () => {
  const one = status({ partitions: [partition(0), partition(1, { lag: null })] });
  expect(metricsOf([one]).has('kafka_consumergroup_group_max_lag')).toBe(false);
  expect(metricsOf([one]).get('kafka_consumergroup_group_lag')!.samples).toHaveLength(1);
});

test('a drain that never ends is +Inf', () => {
  const values = metricsOf([status({ drain: 'never' })]).get('millrace_group_drain_seconds')!.samples;
  expect(values.map(({ value }) => value)).toEqual([Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]);
});

test('a group of two topics has one sum, and a topic of two groups one series for each partition', () => {
  const metrics = metricsOf([
    status(),
    status({ consumer: 'orders/b', topic: 'shop.b', lag: 12 }),
    status({ consumer: 'copy', group: 'copy' }),
  ]);
  expect(metrics.get('kafka_consumergroup_group_sum_lag')!.samples.map(({ value }) => value)).toEqual([
    42, 30,
  ]);
  expect(metrics.get('kafka_consumergroup_group_topic_sum_lag')!.samples).toHaveLength(3);
  expect(metrics.get('kafka_partition_latest_offset')!.samples).toHaveLength(4);
});

test('without partitions, only what is of whole groups is told', () => {
  const names = [...metricsOf([status()], { partitions: false }).keys()];
  expect(names.filter((name) => name.startsWith('kafka_'))).toEqual([
    'kafka_consumergroup_group_max_lag',
    'kafka_consumergroup_group_max_lag_seconds',
    'kafka_consumergroup_group_sum_lag',
    'kafka_consumergroup_group_topic_sum_lag',
  ]);
});

test('losses only ever add up, and begin at a known 0', () => {
  const lost = (...each: (number | null)[]) => [
    status({ partitions: each.map((of, index) => partition(index, { lost: of })) }),
  ];
  const looks = [
    lost(0, 0),
    lost(100, null),
    lost(250, 0),
    lost(null, 40),
    lost(250, 40),
    lost(0, 40),
    lost(30, 40),
  ];
  const count = new LossCount();
  expect(looks.map((look) => count.add(look).get('shop.orders/orders'))).toEqual([
    0, 100, 250, 290, 290, 290, 320,
  ]);
  expect(new LossCount().add(lost(null)).size).toBe(0);
});

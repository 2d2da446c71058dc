/**
 * A sample of consumers as metrics. Where kafka-lag-exporter has a metric, ours has its name and labels
 * (https://github.com/seglo/kafka-lag-exporter#metrics, 2026-11-27), so that its dashboards and rules go on working; its labels of
 * group members are left out, which Prometheus takes for empty. What is unknown has no series: it is never 0.
 */
import { type ConsumerStatus, LAG_VERDICTS, type PartitionStatus } from '../lag/status.ts';
import type { Labels, MetricFamily, Sample } from './exposition.ts';

/** What the exporter knows of itself. */
export interface SamplingState {
  /** When the last sample that succeeded was taken, in epoch milliseconds; null before the first. */
  readonly sampledAt: number | null;
  /** How long it took. */
  readonly durationMs: number | null;
  /** How many pairs of a group and a partition it has. */
  readonly partitions: number | null;
  readonly succeeded: number;
  readonly failed: number;
}

export interface LagMetricsOptions {
  /** Tells clusters from one another in every series. */
  readonly cluster: string;
  /** Whether each partition has series of its own. */
  readonly partitions: boolean;
  /** What a LossCount has added up since the exporter started. */
  readonly losses: ReadonlyMap<string, number>;
}

/** What a sample says of consumers: the same at each scrape. */
export function lagMetrics(
  statuses: readonly ConsumerStatus[],
  options: LagMetricsOptions,
): readonly MetricFamily[] {
  return [...consumerFamilies(statuses, options), ...compatibleFamilies(statuses, options)];
}

/** What an exporter says of itself. @param now the time of the scrape */
export function exporterMetrics(
  { sampledAt, durationMs, succeeded, failed, partitions }: SamplingState,
  {
    cluster,
    version,
    now,
    intervalMs,
  }: {
    readonly cluster: string;
    readonly version: string;
    readonly now: number;
    readonly intervalMs: number;
  },
): readonly MetricFamily[] {
  const labels = { cluster_name: cluster };
  return [
    gauge('millrace_build_info', 'The version of Millrace that exports; always 1.', [
      { labels: { version }, value: 1 },
    ]),
    seconds(
      'millrace_exporter_last_success_timestamp_seconds',
      'When the last sample that succeeded was taken.',
      known(labels, sampledAt),
    ),
    seconds(
      'millrace_exporter_sample_age_seconds',
      'How old that sample is.',
      known(labels, sampledAt === null ? null : Math.max(0, now - sampledAt)),
    ),
    seconds(
      'millrace_exporter_interval_seconds',
      'From the start of one sample to that of the next.',
      known(labels, intervalMs),
    ),
    seconds('millrace_exporter_sample_duration_seconds', 'How long it took.', known(labels, durationMs)),
    {
      name: 'millrace_exporter_samples',
      type: 'counter',
      help: 'Samples that were tried since the exporter started.',
      samples: [
        { labels: { ...labels, result: 'success' }, value: succeeded },
        { labels: { ...labels, result: 'failure' }, value: failed },
      ],
    },
    gauge(
      'millrace_exporter_partitions',
      'How many pairs of a group and a partition that sample has.',
      known(labels, partitions),
    ),
  ];
}

function consumerFamilies(
  statuses: readonly ConsumerStatus[],
  { cluster, losses }: LagMetricsOptions,
): readonly MetricFamily[] {
  const each = (read: (status: ConsumerStatus) => number | null) =>
    statuses.flatMap((status) => known(labelsOf(status, cluster), read(status)));
  return [
    gauge(
      'millrace_group_verdict',
      'What the samples mean, as millrace status says it: 1 for the verdict that holds, 0 for the others.',
      statuses.flatMap((status) =>
        LAG_VERDICTS.map((verdict) => ({
          labels: { ...labelsOf(status, cluster), verdict },
          value: Number(status.verdict === verdict),
        })),
      ),
    ),
    gauge(
      'millrace_group_lag',
      'Records behind, over all partitions.',
      each(({ lag }) => lag),
    ),
    seconds(
      'millrace_group_record_age_seconds',
      'How old the next unread record is; 0 where nothing is unread.',
      each(({ ageMs }) => ageMs),
    ),
    seconds(
      'millrace_group_drain_seconds',
      'How long until nothing is unread, at the least and at the most; +Inf where it never is at this rate.',
      statuses.flatMap((status) => drainSamples(status, cluster)),
    ),
    seconds(
      'millrace_group_deletion_headroom_seconds',
      'How long until retention may delete what is unread, at the earliest.',
      each(({ headroomMs }) => headroomMs),
    ),
    {
      name: 'millrace_group_offsets_lost',
      type: 'counter',
      help: 'Offsets that retention deleted before the group read them, since the exporter started.',
      samples: statuses.flatMap((status) =>
        known(labelsOf(status, cluster), losses.get(lossKey(status)) ?? null),
      ),
    },
    seconds(
      'millrace_group_last_progress_timestamp_seconds',
      "When the group's offsets last moved.",
      each(({ lastProgressAt }) => lastProgressAt),
    ),
    gauge(
      'millrace_group_records_in_per_second',
      'Records written per second.',
      each(({ inPerSecond }) => inPerSecond),
    ),
    gauge(
      'millrace_group_records_out_per_second',
      'Records read per second.',
      each(({ outPerSecond }) => outPerSecond),
    ),
    gauge(
      'millrace_group_dead_letters',
      'Dead letters that wait to be redriven.',
      each(({ deadLetters }) => deadLetters),
    ),
    gauge(
      'millrace_group_parked_keys',
      'Keys that have records parked behind a dead letter.',
      each(({ parked }) => parked?.keys ?? null),
    ),
    gauge(
      'millrace_group_parked_records',
      'Records that are parked behind a dead letter of their key.',
      each(({ parked }) => parked?.records ?? null),
    ),
    seconds(
      'millrace_group_parked_oldest_age_seconds',
      'How long the oldest of them has been parked; 0 where none is.',
      each(({ parked }) => (parked ? (parked.oldestAgeMs ?? 0) : null)),
    ),
    gauge(
      'millrace_group_paused',
      'Always 1: an operator has paused the consumer. One that is not known to be paused has no series.',
      each(({ isPaused }) => (isPaused ? 1 : null)),
    ),
    seconds(
      'millrace_group_retention_seconds',
      'How long the topic keeps a record; +Inf where time deletes none.',
      each(({ retentionMs }) => (retentionMs === 'forever' ? Number.POSITIVE_INFINITY : retentionMs)),
    ),
  ];
}

/** Those of kafka-lag-exporter. */
function compatibleFamilies(
  statuses: readonly ConsumerStatus[],
  { cluster, partitions: withPartitions }: LagMetricsOptions,
): readonly MetricFamily[] {
  const groups = [...Map.groupBy(statuses, ({ group }) => group)];
  const ofGroups = (read: (of: readonly ConsumerStatus[]) => number | null) =>
    groups.flatMap(([group, of]) => known({ cluster_name: cluster, group }, read(of)));
  const ofPartitions = (read: (of: PartitionStatus) => number | null) =>
    statuses.flatMap(({ group, topic, partitions }) =>
      partitions.flatMap((of) =>
        known({ cluster_name: cluster, group, topic, partition: String(of.partition) }, read(of)),
      ),
    );
  const partitionsOf = (of: readonly ConsumerStatus[]) => of.flatMap(({ partitions }) => partitions);
  const wholeGroups = [
    gauge(
      'kafka_consumergroup_group_max_lag',
      'Records behind in the partition that is furthest behind.',
      ofGroups((of) => most(partitionsOf(of).map(({ lag }) => lag))),
    ),
    seconds(
      'kafka_consumergroup_group_max_lag_seconds',
      'The age of the oldest unread record; 0 where nothing is unread.',
      ofGroups((of) => most(of.map(({ ageMs }) => ageMs))),
    ),
    gauge(
      'kafka_consumergroup_group_sum_lag',
      'Records behind, over all topics.',
      ofGroups((of) => sum(of.map(({ lag }) => lag))),
    ),
    gauge(
      'kafka_consumergroup_group_topic_sum_lag',
      'Records behind in a topic.',
      statuses.flatMap(({ group, topic, lag }) => known({ cluster_name: cluster, group, topic }, lag)),
    ),
  ];
  if (!withPartitions) return wholeGroups;
  return [
    ...wholeGroups,
    gauge(
      'kafka_consumergroup_group_offset',
      'The offset that the group goes on from.',
      ofPartitions(({ committed }) => committed),
    ),
    gauge(
      'kafka_consumergroup_group_lag',
      'Records behind in a partition.',
      ofPartitions(({ lag }) => lag),
    ),
    seconds(
      'kafka_consumergroup_group_lag_seconds',
      'The age of the next unread record of a partition; 0 where nothing is unread.',
      ofPartitions(({ ageMs }) => ageMs),
    ),
    gauge(
      'kafka_partition_latest_offset',
      'The offset that the next record gets.',
      topicOffsets(statuses, cluster, 'end'),
    ),
    gauge(
      'kafka_partition_earliest_offset',
      'The oldest offset that is kept.',
      topicOffsets(statuses, cluster, 'start'),
    ),
  ];
}

/** Once for each partition, however many groups read it. */
function topicOffsets(
  statuses: readonly ConsumerStatus[],
  cluster: string,
  side: 'start' | 'end',
): readonly Sample[] {
  const seen = new Map<string, Sample>();
  for (const { topic, partitions } of statuses) {
    for (const each of partitions) {
      const labels = { cluster_name: cluster, topic, partition: String(each.partition) };
      for (const sample of known(labels, each[side])) seen.set(`${topic}/${each.partition}`, sample);
    }
  }
  return [...seen.values()];
}

/** Adds up what retention deletes unread. A group that has moved on from its loss has none any more, and may lose again. */
export class LossCount {
  readonly #lastKnown = new Map<string, number>();
  readonly #sums = new Map<string, number>();

  /** @returns the sums by `lossKey`; 0 where it is known that nothing was lost */
  add(statuses: readonly ConsumerStatus[]): ReadonlyMap<string, number> {
    for (const status of statuses) {
      const key = lossKey(status);
      for (const { partition, lost } of status.partitions) {
        if (lost === null) continue;
        const more = Math.max(0, lost - (this.#lastKnown.get(`${key}/${partition}`) ?? 0));
        this.#lastKnown.set(`${key}/${partition}`, lost);
        this.#sums.set(key, (this.#sums.get(key) ?? 0) + more);
      }
    }
    return this.#sums;
  }
}

/** A topic's name has no slash: https://kafka.apache.org/documentation/#topicconfigs (2026-11-27). */
function lossKey({ group, topic }: Pick<ConsumerStatus, 'group' | 'topic'>): string {
  return `${topic}/${group}`;
}

function labelsOf({ consumer, group, topic }: ConsumerStatus, cluster: string): Labels {
  return { cluster_name: cluster, consumer, group, topic };
}

function drainSamples(status: ConsumerStatus, cluster: string): readonly Sample[] {
  const { drain } = status;
  if (drain === null) return [];
  const [low, high] =
    drain === 'never' ? [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY] : [drain.lowMs, drain.highMs];
  const labels = labelsOf(status, cluster);
  return [
    { labels: { ...labels, bound: 'low' }, value: low },
    { labels: { ...labels, bound: 'high' }, value: high },
  ];
}

function gauge(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return { name, type: 'gauge', help, samples };
}

/** @param samples in milliseconds */
function seconds(name: string, help: string, samples: readonly Sample[]): MetricFamily {
  return {
    name,
    type: 'gauge',
    unit: 'seconds',
    help,
    samples: samples.map(({ labels, value }) => ({ labels, value: value / 1_000 })),
  };
}

function known(labels: Labels, value: number | null): readonly Sample[] {
  return value === null ? [] : [{ labels, value }];
}

/** One unknown makes them all unknown: the most may be that one. */
function most(values: readonly (number | null)[]): number | null {
  return values.length === 0
    ? null
    : values.reduce((a, b) => (a === null || b === null ? null : Math.max(a, b)));
}

function sum(values: readonly (number | null)[]): number | null {
  return values.reduce((a, b) => (a === null || b === null ? null : a + b), 0);
}

/** Alerts on the exporter's metrics: what `millrace status` says of a consumer, once it has held for a while. */
import type { AnyConsumer } from '../delivery/consumer.ts';
import type { LagVerdict } from '../lag/status.ts';
import { type AlertRule, quoted } from './rule.ts';

/** What tells a consumer from others, whichever exporter has seen it. */
const BY_CONSUMER = 'by (cluster_name, consumer, group, topic)';
const WHO = '{{ $labels.consumer }}';
const TOPIC = '{{ $labels.topic }}';

/** With less of the retention left, there is time for one night's sleep and no more. */
const LITTLE_HEADROOM = 0.25;
/** As the alarm on AWS has it: readers of these keys see what is so old. */
const LONG_PARKED_SECONDS = 24 * 3_600;
/** As the exporter's /healthz has it, and not so soon that a slow sample is one. */
const STALE = { intervals: 4, leastSeconds: 120 };

/** The rules of an app's consumers, and of any other group that the exporter watches. */
export function consumerRules(consumers: readonly AnyConsumer[]): readonly AlertRule[] {
  return [...verdictRules(), ...consumers.flatMap(thresholdRules), headroomRule(), ...exporterRules()];
}

function verdictRules(): readonly AlertRule[] {
  const holds = (verdict: LagVerdict) =>
    `max ${BY_CONSUMER} (millrace_group_verdict{verdict="${verdict}"}) == 1`;
  const common = { scope: 'consumer' } as const;
  return [
    {
      ...common,
      alert: 'MillraceDataLost',
      // The counter remembers a loss that the group has moved on from; it cannot rise before it was first scraped.
      expr: `max ${BY_CONSUMER} (increase(millrace_group_offsets_lost_total[15m])) > 0 or ${holds('LOST')}`,
      for: '0s',
      severity: 'incident',
      runbook: 'lost-data',
      summary: `Retention deleted records of ${TOPIC} before ${WHO} read them.`,
    },
    {
      ...common,
      alert: 'MillraceDeletionBeforeDrain',
      expr: holds('AT_RISK'),
      for: '10m',
      severity: 'incident',
      runbook: 'at-risk',
      summary: `${WHO} will not have read ${TOPIC} before retention deletes what is unread.`,
    },
    {
      ...common,
      alert: 'MillraceBlocked',
      expr: holds('BLOCKED'),
      for: '5m',
      severity: 'incident',
      runbook: 'blocked',
      summary: `${WHO} fails at one record of ${TOPIC} again and again, and settles nothing behind it.`,
    },
    {
      ...common,
      alert: 'MillraceStalled',
      expr: holds('STALLED'),
      // The verdict takes five minutes without a commit by itself.
      for: '5m',
      severity: 'incident',
      runbook: 'stalled',
      summary: `${WHO} has work from ${TOPIC} but commits nothing.`,
    },
    {
      ...common,
      alert: 'MillraceLagRising',
      expr: holds('RISING'),
      for: '10m',
      severity: 'warning',
      runbook: 'lag-rising',
      summary: `${WHO} falls further behind ${TOPIC}.`,
    },
    {
      ...common,
      alert: 'MillraceProducerSilent',
      expr: holds('SILENT'),
      for: '30m',
      severity: 'warning',
      runbook: 'producer-silent',
      summary: `Far fewer records than usual are written to ${TOPIC}.`,
    },
    {
      ...common,
      alert: 'MillraceLagUnknown',
      expr: holds('UNKNOWN'),
      for: '15m',
      severity: 'warning',
      runbook: 'lag-unknown',
      summary: `Nobody knows how far ${WHO} is behind ${TOPIC}.`,
    },
    {
      ...common,
      alert: 'MillraceDeadLetters',
      expr: `max ${BY_CONSUMER} (millrace_group_dead_letters) > 0`,
      for: '5m',
      severity: 'warning',
      runbook: 'dead-letters',
      summary: `${WHO} has dead letters.`,
    },
    {
      ...common,
      alert: 'MillraceParkedTooLong',
      expr: `max ${BY_CONSUMER} (millrace_group_parked_oldest_age_seconds) > ${LONG_PARKED_SECONDS}`,
      for: '5m',
      severity: 'warning',
      runbook: 'parked-too-long',
      summary: `Records of ${TOPIC} have been parked behind dead letters of ${WHO} for {{ $value | humanizeDuration }}.`,
    },
  ];
}

/** By a consumer's own declaration. */
function thresholdRules({ name, topic, lag }: AnyConsumer): readonly AlertRule[] {
  const of = `{consumer=${quoted(name)}}`;
  const common = { scope: 'consumer', consumer: name } as const;
  const behind = `max ${BY_CONSUMER} (millrace_group_lag${of})`;
  return [
    {
      ...common,
      alert: 'MillraceLagIncident',
      expr: `${behind} >= ${lag.incident}`,
      for: '3m',
      severity: 'incident',
      runbook: 'lag-incident',
      summary: `${name} is ${lag.incident.toLocaleString('en-US')} or more records behind ${topic.name}.`,
    },
    {
      ...common,
      alert: 'MillraceLagWarning',
      expr: `${behind} >= ${lag.warning}`,
      for: '3m',
      severity: 'warning',
      runbook: 'lag-warning',
      summary: `${name} is ${lag.warning.toLocaleString('en-US')} or more records behind ${topic.name}.`,
    },
    {
      ...common,
      alert: 'MillraceConsumerUnseen',
      expr: `absent(millrace_group_verdict${of})`,
      for: '15m',
      severity: 'warning',
      runbook: 'lag-unknown',
      summary: `No exporter watches ${name}.`,
    },
  ];
}

/** By the retention that the topic has, which may not be its contract's; other groups' topics have none here. */
function headroomRule(): AlertRule {
  const retention = `max ${BY_CONSUMER} (millrace_group_retention_seconds)`;
  return {
    alert: 'MillraceHeadroomLow',
    expr: `min ${BY_CONSUMER} (millrace_group_deletion_headroom_seconds) < ${LITTLE_HEADROOM} * ${retention}`,
    for: '10m',
    severity: 'warning',
    scope: 'consumer',
    runbook: 'at-risk',
    summary: `Retention deletes unread records of ${TOPIC} in {{ $value | humanizeDuration }} unless ${WHO} reads them.`,
  };
}

function exporterRules(): readonly AlertRule[] {
  // An exporter that is down has no series: of each cluster the last day's newest one counts, whatever others export.
  const last = 'max_over_time(millrace_exporter_last_success_timestamp_seconds[1d])';
  const interval = 'max_over_time(millrace_exporter_interval_seconds[1d])';
  const BY_CLUSTER = 'by (cluster_name)';
  return [
    {
      alert: 'MillraceExporterStale',
      expr: [
        `time() - max ${BY_CLUSTER} (${last}) > clamp_min(${STALE.intervals} * max ${BY_CLUSTER} (${interval}), ${STALE.leastSeconds})`,
        `max ${BY_CLUSTER} (millrace_exporter_samples_total{result="success"}) == 0`,
        `absent(${last})`,
      ].join(' or '),
      for: '3m',
      severity: 'incident',
      scope: 'exporter',
      runbook: 'exporter-stale',
      summary:
        'The exporter has no new sample: what it says of consumers is old, and no other alert can be relied on.',
    },
  ];
}

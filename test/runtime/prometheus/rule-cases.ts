/**
 * When each rule fires and when it is silent, as series and a moment: `npm test` finds each rule here in both, and
 * `npm run verify -- prometheus` has promtool run them.
 */
import { defineTopic } from '../../../runtime/contract/contract.ts';
import { defineConsumer } from '../../../runtime/delivery/consumer.ts';
import { BROKER_RULES } from '../../../runtime/prometheus/broker-rules.ts';
import { consumerRules } from '../../../runtime/prometheus/consumer-rules.ts';
import type { AlertRule, RuleTexts } from '../../../runtime/prometheus/rule.ts';
import { toYaml, type Yaml } from '../../../runtime/yaml.ts';

const DAY_MS = 86_400_000;

function consumerOf(
  name: string,
  topic: { retentionMs?: number; cleanup?: 'compact' },
  lag?: { warning: number; incident: number },
) {
  return defineConsumer({
    name,
    topic: defineTopic<{ id: string }>({
      name: `shop.${name}`,
      owner: 'tests',
      key: 'id',
      partitions: 3,
      ...topic,
      versions: [
        { version: 1, schema: { type: 'record', name: 'Row', fields: [{ name: 'id', type: 'string' }] } },
      ],
    }),
    sink: 'postgres',
    migrations: [],
    ...(lag && { lag }),
    async handle() {},
  });
}

/** One with the defaults, one with thresholds of its own, one whose topic deletes nothing by time. */
export const CONSUMERS = [
  consumerOf('orders', {}),
  consumerOf('payments', { retentionMs: 2 * DAY_MS }, { warning: 500, incident: 5_000 }),
  consumerOf('customers', { cleanup: 'compact' }),
];

export const TEXTS: RuleTexts = {
  command: 'npx millrace status --env prod',
  runbooks: 'https://wiki.example.com/runbooks/',
};

export const RULES: readonly AlertRule[] = [...consumerRules(CONSUMERS), ...BROKER_RULES];

interface Moment {
  /** By series, in promtool's notation: https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/#series (2026-11-27). One value a minute. */
  readonly series: Readonly<Record<string, string>>;
  readonly at: string;
}

interface Firing extends Moment {
  readonly labels: Readonly<Record<string, string>>;
  /** What stands for `{{ $value … }}`. */
  readonly value?: string;
}

export interface RuleCase {
  readonly alert: string;
  /** Where the rule is one consumer's own. */
  readonly consumer?: string;
  readonly fires: readonly Firing[];
  readonly silent: readonly Moment[];
}

const labelsOf = (consumer: string, group = consumer) => ({
  cluster_name: 'prod',
  consumer,
  group,
  topic: `shop.${consumer}`,
});

function seriesOf(name: string, labels: Readonly<Record<string, string>>): string {
  return `${name}{${Object.entries(labels)
    .map(([key, value]) => `${key}="${value}"`)
    .join(',')}}`;
}

/** Two exporters that watch the same cluster are one alert. */
const verdict = (name: string, values: string) => ({
  [seriesOf('millrace_group_verdict', { ...labelsOf('orders'), verdict: name, instance: 'a' })]: values,
  [seriesOf('millrace_group_verdict', { ...labelsOf('orders'), verdict: name, instance: 'b' })]: values,
});

/** A verdict that has to hold for so many minutes. */
function verdictCase(alert: string, name: string, minutes: number): RuleCase {
  return {
    alert,
    fires: [
      { series: verdict(name, `0 1x${minutes + 5}`), at: `${minutes + 1}m`, labels: labelsOf('orders') },
    ],
    silent: [
      // A moment too early; one look that said something else; another verdict.
      { series: verdict(name, `0 1x${minutes + 5}`), at: `${minutes}m` },
      { series: verdict(name, `1x2 0 1x${minutes + 5}`), at: `${minutes + 2}m` },
      { series: verdict(name === 'RISING' ? 'OK' : 'RISING', `1x${minutes + 5}`), at: `${minutes + 5}m` },
    ],
  };
}

function lagCase(alert: string, consumer: string, threshold: number): RuleCase {
  const lag = (values: string) => ({ [seriesOf('millrace_group_lag', labelsOf(consumer))]: values });
  return {
    alert,
    consumer,
    fires: [{ series: lag(`0 ${threshold}x10`), at: '4m', labels: labelsOf(consumer) }],
    silent: [
      { series: lag(`${threshold - 1}x10`), at: '10m' },
      { series: lag(`0 ${threshold}x10`), at: '3m' },
      // A deployed group that is another consumer's has no say in it.
      { series: { [seriesOf('millrace_group_lag', labelsOf('other'))]: `${threshold}x10` }, at: '10m' },
      // Unknown is not nothing, and is not a lag either.
      { series: {}, at: '10m' },
    ],
  };
}

/** What is left, of a topic that keeps records for so long. */
function headroomOf(consumer: string, seconds: number, retention: string | number) {
  return {
    [seriesOf('millrace_group_deletion_headroom_seconds', labelsOf(consumer))]: `${seconds}x20`,
    [seriesOf('millrace_group_retention_seconds', labelsOf(consumer))]: `${retention}x20`,
  };
}

/** Exporters by their labels, each with the times of its last sample and its interval. */
function exporters(
  of: Readonly<Record<string, readonly [last: string, interval: string]>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(of).flatMap(([labels, [last, interval]]) => [
      [`millrace_exporter_last_success_timestamp_seconds{${labels}}`, last],
      [`millrace_exporter_interval_seconds{${labels}}`, interval],
    ]),
  );
}

function unseenCase(consumer: string): RuleCase {
  const seen = { [seriesOf('millrace_group_verdict', { ...labelsOf(consumer), verdict: 'OK' })]: '0x30' };
  return {
    alert: 'MillraceConsumerUnseen',
    consumer,
    fires: [{ series: {}, at: '15m', labels: {} }],
    silent: [
      { series: seen, at: '20m' },
      { series: {}, at: '14m' },
    ],
  };
}

const jmx = (metric: string, name: string, instance: string) =>
  seriesOf(metric, { job: 'msk-jmx', cluster_name: 'prod', instance, name });
const node = (metric: string, more: Readonly<Record<string, string>>) =>
  seriesOf(metric, { job: 'msk-node', cluster_name: 'prod', instance: 'b-1:11002', ...more });
const DATA = { mountpoint: '/kafka/datalogs' };
const REPLICAS = 'kafka_server_ReplicaManager_Value';
const CONTROLLER = 'kafka_controller_KafkaController_Value';

/** A count that is to be 0 on every broker. */
function countCase(alert: string, metric: string, name: string, minutes: number): RuleCase {
  const counts = (values: string) => ({
    [jmx(metric, name, 'b-1:11001')]: '0x60',
    [jmx(metric, name, 'b-2:11001')]: values,
  });
  return {
    alert,
    fires: [{ series: counts(`0 2x40`), at: `${minutes + 1}m`, labels: { cluster_name: 'prod' } }],
    silent: [
      { series: counts('0x60'), at: '30m' },
      { series: counts('0 2x40'), at: `${minutes}m` },
      // Another bean's attribute is in the same metric.
      { series: { [jmx(metric, 'PartitionCount', 'b-1:11001')]: '40x60' }, at: '30m' },
    ],
  };
}

export const RULE_CASES: readonly RuleCase[] = [
  {
    alert: 'MillraceDataLost',
    fires: [
      { series: verdict('LOST', '0 1x5'), at: '1m', labels: labelsOf('orders') },
      // The group has moved on, and its verdict is another one: the counter still tells.
      {
        series: {
          ...verdict('LOST', '0x30'),
          [seriesOf('millrace_group_offsets_lost_total', labelsOf('orders'))]: '0x5 120x30',
        },
        at: '12m',
        labels: labelsOf('orders'),
      },
    ],
    silent: [
      { series: verdict('LOST', '0x30'), at: '30m' },
      {
        series: { [seriesOf('millrace_group_offsets_lost_total', labelsOf('orders'))]: '120x60' },
        at: '30m',
      },
      // A quarter of an hour after the loss.
      {
        series: { [seriesOf('millrace_group_offsets_lost_total', labelsOf('orders'))]: '0x5 120x60' },
        at: '25m',
      },
      // An exporter that was started anew counts from 0.
      {
        series: { [seriesOf('millrace_group_offsets_lost_total', labelsOf('orders'))]: '120x5 0x60' },
        at: '12m',
      },
    ],
  },
  verdictCase('MillraceDeletionBeforeDrain', 'AT_RISK', 10),
  verdictCase('MillraceBlocked', 'BLOCKED', 5),
  verdictCase('MillraceStalled', 'STALLED', 5),
  verdictCase('MillraceLagRising', 'RISING', 10),
  verdictCase('MillraceProducerSilent', 'SILENT', 30),
  verdictCase('MillraceLagUnknown', 'UNKNOWN', 15),
  {
    alert: 'MillraceDeadLetters',
    fires: [
      {
        series: { [seriesOf('millrace_group_dead_letters', labelsOf('orders'))]: '0 1x20' },
        at: '6m',
        labels: labelsOf('orders'),
      },
    ],
    silent: [
      { series: { [seriesOf('millrace_group_dead_letters', labelsOf('orders'))]: '0x20' }, at: '20m' },
      { series: { [seriesOf('millrace_group_dead_letters', labelsOf('orders'))]: '0 1x20' }, at: '5m' },
      { series: {}, at: '20m' },
    ],
  },
  {
    alert: 'MillraceParkedTooLong',
    fires: [
      {
        series: { [seriesOf('millrace_group_parked_oldest_age_seconds', labelsOf('orders'))]: '86000+60x20' },
        at: '13m',
        labels: labelsOf('orders'),
        value: '1d 0h 6m 20s',
      },
    ],
    silent: [
      {
        series: { [seriesOf('millrace_group_parked_oldest_age_seconds', labelsOf('orders'))]: '86000+60x20' },
        at: '11m',
      },
      {
        series: { [seriesOf('millrace_group_parked_oldest_age_seconds', labelsOf('orders'))]: '86400x20' },
        at: '20m',
      },
      { series: {}, at: '20m' },
    ],
  },
  lagCase('MillraceLagIncident', 'orders', 100_000),
  lagCase('MillraceLagWarning', 'orders', 10_000),
  unseenCase('orders'),
  lagCase('MillraceLagIncident', 'payments', 5_000),
  lagCase('MillraceLagWarning', 'payments', 500),
  unseenCase('payments'),
  lagCase('MillraceLagIncident', 'customers', 100_000),
  lagCase('MillraceLagWarning', 'customers', 10_000),
  unseenCase('customers'),
  {
    alert: 'MillraceHeadroomLow',
    fires: [
      {
        series: headroomOf('orders', 151_199, 604_800),
        at: '10m',
        labels: labelsOf('orders'),
        value: '1d 17h 59m 59s',
      },
      { series: headroomOf('other', 899, 3_600), at: '10m', labels: labelsOf('other'), value: '14m 59s' },
    ],
    silent: [
      { series: headroomOf('orders', 151_199, 604_800), at: '9m' },
      { series: headroomOf('orders', 151_200, 604_800), at: '20m' },
      // All of a short retention is left.
      { series: headroomOf('other', 3_599, 3_600), at: '20m' },
      // Nothing is unread.
      {
        series: { [seriesOf('millrace_group_retention_seconds', labelsOf('customers'))]: '604800x20' },
        at: '20m',
      },
    ],
  },
  {
    alert: 'MillraceExporterStale',
    fires: [
      // Time begins at 0 in these tests.
      {
        series: exporters({ 'cluster_name="prod"': ['0x10', '15x10'] }),
        at: '6m',
        labels: { cluster_name: 'prod' },
      },
      { series: {}, at: '3m', labels: {} },
      // One is down, and the one of another cluster is well.
      {
        series: exporters({
          'cluster_name="prod"': ['0+60x5 stale', '15x5 stale'],
          'cluster_name="test"': ['0+60x30', '15x30'],
        }),
        at: '20m',
        labels: { cluster_name: 'prod' },
      },
      // One is up and has never had a sample.
      {
        series: {
          ...exporters({ 'cluster_name="test"': ['0+60x30', '15x30'] }),
          'millrace_exporter_samples_total{cluster_name="prod",result="success"}': '0x10',
        },
        at: '3m',
        labels: { cluster_name: 'prod' },
      },
    ],
    silent: [
      { series: exporters({ 'cluster_name="prod"': ['0+60x30', '15x30'] }), at: '20m' },
      { series: exporters({ 'cluster_name="prod"': ['0x4 240+60x30', '15x30'] }), at: '4m' },
      // It samples once an hour.
      { series: exporters({ 'cluster_name="prod"': ['0x60', '3600x60'] }), at: '60m' },
      // Of two exporters of a cluster one is down.
      {
        series: exporters({
          'cluster_name="prod",instance="a"': ['0x30', '15x30'],
          'cluster_name="prod",instance="b"': ['0+60x30', '15x30'],
        }),
        at: '20m',
      },
    ],
  },
  countCase('MillraceOfflinePartitions', CONTROLLER, 'OfflinePartitionsCount', 3),
  {
    alert: 'MillraceNoController',
    fires: [
      {
        series: {
          [jmx(CONTROLLER, 'ActiveControllerCount', 'b-1:11001')]: '1 0x20',
          [jmx(CONTROLLER, 'ActiveControllerCount', 'b-2:11001')]: '0x20',
        },
        at: '6m',
        labels: { cluster_name: 'prod' },
      },
      {
        series: {
          [jmx('kafka_server_MetadataLoader_Value', 'CurrentControllerId', 'b-1:11001')]: '3000 -1x20',
        },
        at: '6m',
        labels: { cluster_name: 'prod' },
      },
    ],
    silent: [
      {
        series: {
          [jmx(CONTROLLER, 'ActiveControllerCount', 'b-1:11001')]: '0x20',
          [jmx(CONTROLLER, 'ActiveControllerCount', 'b-2:11001')]: '1x20',
        },
        at: '20m',
      },
      {
        series: { [jmx('kafka_server_MetadataLoader_Value', 'CurrentControllerId', 'b-1:11001')]: '3000x20' },
        at: '20m',
      },
      // An election takes a moment.
      {
        series: {
          [jmx('kafka_server_MetadataLoader_Value', 'CurrentControllerId', 'b-1:11001')]: '3000 -1x20',
        },
        at: '5m',
      },
    ],
  },
  countCase('MillraceUnderMinIsr', REPLICAS, 'UnderMinIsrPartitionCount', 3),
  countCase('MillraceUnderReplicated', REPLICAS, 'UnderReplicatedPartitions', 15),
  {
    alert: 'MillraceBrokerDisk',
    fires: [
      {
        series: {
          [node('node_filesystem_avail_bytes', DATA)]: '14x20',
          [node('node_filesystem_size_bytes', DATA)]: '100x20',
        },
        at: '5m',
        labels: { cluster_name: 'prod', instance: 'b-1:11002' },
        value: '86%',
      },
    ],
    silent: [
      {
        series: {
          [node('node_filesystem_avail_bytes', DATA)]: '16x20',
          [node('node_filesystem_size_bytes', DATA)]: '100x20',
        },
        at: '20m',
      },
      {
        series: {
          [node('node_filesystem_avail_bytes', DATA)]: '14x20',
          [node('node_filesystem_size_bytes', DATA)]: '100x20',
        },
        at: '4m',
      },
      // The system's own disk.
      {
        series: {
          [node('node_filesystem_avail_bytes', { mountpoint: '/' })]: '1x20',
          [node('node_filesystem_size_bytes', { mountpoint: '/' })]: '100x20',
        },
        at: '20m',
      },
    ],
  },
  {
    alert: 'MillraceBrokerCpu',
    fires: [
      { series: cpu(42), at: '20m', labels: { cluster_name: 'prod', instance: 'b-1:11002' }, value: '70%' },
    ],
    silent: [
      { series: cpu(30), at: '20m' },
      { series: cpu(42), at: '9m' },
    ],
  },
  {
    alert: 'MillraceBrokerUnseen',
    fires: [
      {
        series: { 'up{job="msk-jmx",cluster_name="prod",instance="b-1:11001"}': '1 0x20' },
        at: '6m',
        labels: { cluster_name: 'prod', instance: 'b-1:11001' },
      },
    ],
    silent: [
      { series: { 'up{job="msk-jmx",cluster_name="prod",instance="b-1:11001"}': '1x20' }, at: '20m' },
      { series: { 'up{job="msk-jmx",cluster_name="prod",instance="b-1:11001"}': '1 0x20' }, at: '5m' },
      { series: { 'up{job="something-else",instance="b-1:11001"}': '0x20' }, at: '20m' },
    ],
  },
];

/** A broker with two processors, each of which is busy for so many seconds of a minute. */
function cpu(busySeconds: number): Readonly<Record<string, string>> {
  const of = (processor: string) => ({
    [node('node_cpu_seconds_total', { cpu: processor, mode: 'user' })]: `0+${busySeconds - 2}x40`,
    [node('node_cpu_seconds_total', { cpu: processor, mode: 'system' })]: '0+2x40',
    [node('node_cpu_seconds_total', { cpu: processor, mode: 'idle' })]: `0+${60 - busySeconds}x40`,
  });
  return { ...of('0'), ...of('1') };
}

/** The rule that a case is of. */
export function ruleOf({ alert, consumer }: Pick<RuleCase, 'alert' | 'consumer'>): AlertRule | undefined {
  return RULES.find((rule) => rule.alert === alert && rule.consumer === consumer);
}

/** The file that `promtool test rules` runs. */
export function promtoolTests(ruleFile: string, cases: readonly RuleCase[] = RULE_CASES): string {
  return toYaml({
    rule_files: [ruleFile],
    evaluation_interval: '1m',
    tests: cases.flatMap((each) => [
      ...each.fires.map((moment) => testOf(each, moment, [expected(ruleOf(each)!, moment)])),
      ...each.silent.map((moment) => testOf(each, moment, [])),
    ]),
  });
}

function testOf({ alert, consumer }: RuleCase, { series, at }: Moment, alerts: readonly Yaml[]): Yaml {
  // What is absent, is absent for all consumers: of one rule's firing the others' say nothing.
  const others =
    alert === 'MillraceConsumerUnseen'
      ? Object.fromEntries(
          CONSUMERS.filter(({ name }) => name !== consumer).map(({ name }) => [
            seriesOf('millrace_group_verdict', { ...labelsOf(name), verdict: 'OK' }),
            '1x60',
          ]),
        )
      : {};
  return {
    interval: '1m',
    input_series: Object.entries({ ...series, ...others }).map(([name, values]) => ({
      series: name,
      values,
    })),
    alert_rule_test: [{ eval_time: at, alertname: alert, exp_alerts: alerts }],
  };
}

function expected(rule: AlertRule, { labels, value = '' }: Firing): Yaml {
  const all: Record<string, string> = {
    ...labels,
    ...(rule.consumer !== undefined && { consumer: rule.consumer }),
  };
  const summary = rule.summary
    .replaceAll(/\{\{ \$labels\.(\w+) \}\}/g, (_, name: string) => all[name] ?? '')
    .replaceAll(/\{\{ \$value[^}]*\}\}/g, value);
  return {
    exp_labels: { ...all, severity: rule.severity, scope: rule.scope },
    exp_annotations: {
      summary,
      description: `${summary} First: ${TEXTS.command}`,
      runbook_url: `${TEXTS.runbooks}${rule.runbook}.md`,
    },
  };
}

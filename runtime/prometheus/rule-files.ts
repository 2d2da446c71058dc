/** Rules as the files that Prometheus and Alertmanager read. The same declarations give the same text. */
import type { AnyConsumer } from '../delivery/consumer.ts';
import { toYaml, type Yaml } from '../yaml.ts';
import { BROKER_RULES } from './broker-rules.ts';
import { consumerRules } from './consumer-rules.ts';
import { type RuleTexts, ruleYaml } from './rule.ts';

/** @param consumers those that the exporter watches by default */
export function ruleFile(consumers: readonly AnyConsumer[], texts: RuleTexts): string {
  return toYaml({
    groups: [
      { name: 'millrace-consumers', rules: consumerRules(consumers).map((rule) => ruleYaml(rule, texts)) },
      { name: 'millrace-brokers', rules: BROKER_RULES.map((rule) => ruleYaml(rule, texts)) },
    ],
  });
}

/**
 * What is not worth telling while something worse is told: https://prometheus.io/docs/alerting/latest/configuration/#inhibit_rule
 * (2026-11-27). An alert inhibits none that it equals in both lists of matchers, so itself neither.
 */
const INHIBITIONS: readonly { readonly [key: string]: Yaml }[] = [
  {
    source_matchers: ['alertname="MillraceDataLost"'],
    target_matchers: ['scope="consumer"', 'alertname!="MillraceDataLost"'],
    equal: ['cluster_name', 'consumer', 'topic'],
  },
  {
    source_matchers: ['scope="consumer"', 'severity="incident"'],
    target_matchers: ['scope="consumer"', 'severity="warning"'],
    equal: ['cluster_name', 'consumer', 'topic'],
  },
  {
    // Without samples of a cluster nothing is known of its consumers.
    source_matchers: ['alertname="MillraceExporterStale"'],
    target_matchers: ['alertname="MillraceLagUnknown"'],
    equal: ['cluster_name'],
  },
  {
    // That no exporter watches a consumer is of no cluster, and may be what any exporter's silence looks like.
    source_matchers: ['alertname="MillraceExporterStale"'],
    target_matchers: ['alertname="MillraceConsumerUnseen"'],
  },
  {
    source_matchers: ['alertname=~"MillraceOfflinePartitions|MillraceUnderMinIsr"'],
    target_matchers: ['alertname="MillraceUnderReplicated"'],
    equal: ['cluster_name'],
  },
];

export function inhibitionFile(): string {
  return toYaml({ inhibit_rules: INHIBITIONS });
}

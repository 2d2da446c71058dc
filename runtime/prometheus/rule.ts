import type { Yaml } from '../yaml.ts';

/** What a rule of Prometheus tells of: its labels say which one. */
export type RuleScope = 'consumer' | 'exporter' | 'broker';

export interface AlertRule {
  /** Begins with `Millrace`. Several rules may share one, each for a consumer of its own. */
  readonly alert: string;
  readonly expr: string;
  /** How long it has to hold, as Prometheus writes durations. */
  readonly for: string;
  /** `incident` is worth waking up for, `warning` is worth attention the same day. */
  readonly severity: 'incident' | 'warning';
  readonly scope: RuleScope;
  /** `docs/runbooks/<runbook>.md`. */
  readonly runbook: string;
  /** What happened, in a sentence; may have Prometheus's templates. */
  readonly summary: string;
  /** The consumer that the rule alone is for. */
  readonly consumer?: string;
}

export interface RuleTexts {
  /** The first command to run. */
  readonly command: string;
  /** Where runbooks are, with a slash at its end. */
  readonly runbooks: string;
}

/** https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/ (2026-11-27) */
export function ruleYaml(
  rule: AlertRule,
  { command, runbooks }: RuleTexts,
): { readonly [key: string]: Yaml | undefined } {
  return {
    alert: rule.alert,
    expr: rule.expr,
    for: rule.for,
    labels: { severity: rule.severity, scope: rule.scope, consumer: rule.consumer },
    annotations: {
      summary: rule.summary,
      description: `${rule.summary} First: ${command}`,
      runbook_url: `${runbooks}${rule.runbook}.md`,
    },
  };
}

/** A text as PromQL takes it for that text. */
export function quoted(text: string): string {
  return JSON.stringify(text);
}

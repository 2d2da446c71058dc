import { Duration } from 'aws-cdk-lib';
import {
  Alarm,
  AlarmRule,
  AlarmState,
  AnomalyDetectionAlarm,
  ComparisonOperator,
  CompositeAlarm,
  type IMetric,
  MathExpression,
  Metric,
  Stats,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';

import type { Construct } from 'constructs';
import type { Operations, Severity } from './surroundings.ts';

/** One rule of the alarm policy. */
export interface AlarmPolicy {
  /** Also the name of its runbook: `docs/runbooks/<kind>.md`. */
  readonly kind: string;
  readonly severity: Severity;
  readonly metric: IMetric;
  /** `unusual`: above what CloudWatch expects of the metric by its own past. Such an alarm costs as much as three. */
  readonly threshold: number | 'unusual';
  /** @default above the threshold */
  readonly when?: 'above' | 'at-least' | 'below';
  /** Alarms when `datapoints` of the last `of` periods are over the threshold. */
  readonly datapoints: number;
  readonly of: number;
  /** What a period without data means. */
  readonly missing: 'ignore' | 'breaching' | 'not-breaching';
  /** What happened, in a sentence. */
  readonly happened: string;
  /** The command to run after `millrace status`, which is the first of every alarm: it says what is wrong, and what next. */
  readonly command: string;
  /** While this one is in alarm, this alarm tells nobody. */
  readonly suppressedBy?: Alarm;
}

const COMPARISON = {
  above: ComparisonOperator.GREATER_THAN_THRESHOLD,
  'at-least': ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
  below: ComparisonOperator.LESS_THAN_THRESHOLD,
};

const MISSING = {
  ignore: TreatMissingData.IGNORE,
  breaching: TreatMissingData.BREACHING,
  'not-breaching': TreatMissingData.NOT_BREACHING,
};

/** An alarm's name and its severity, for the dashboard. Names are fixed, so nothing has to be imported to show one. */
export interface AlarmName {
  readonly name: string;
  readonly severity: Severity;
}

/**
 * The alarms of one thing: a consumer, the cluster, the database. Each is called `millrace-<environment>-<of>-<kind>`,
 * tells the topic of its severity when it goes off and when it is over, and says what happened and what to do first.
 */
export class Alarms {
  readonly names: AlarmName[] = [];
  readonly #scope: Construct;
  readonly #operations: Operations;
  readonly #of: string;

  constructor(scope: Construct, operations: Operations, of: string) {
    this.#scope = scope;
    this.#operations = operations;
    this.#of = of;
  }

  add(policy: AlarmPolicy): Alarm {
    const { kind, severity, threshold, suppressedBy } = policy;
    const name = this.#operations.nameOf(`${this.#of}-${kind}`);
    const description = describe(policy, this.#operations.target.name);
    const common = {
      // Where the composite alarm has the name, the one that it looks at cannot.
      alarmName: suppressedBy ? `${name}-unsuppressed` : name,
      alarmDescription: description,
      metric: policy.metric,
      datapointsToAlarm: policy.datapoints,
      evaluationPeriods: policy.of,
      treatMissingData: MISSING[policy.missing],
      actionsEnabled: this.#operations.target.alarmActions,
    };
    const id = `${this.#of}-${kind}`;
    const alarm =
      threshold === 'unusual'
        ? new AnomalyDetectionAlarm(this.#scope, id, {
            ...common,
            comparisonOperator: ComparisonOperator.GREATER_THAN_UPPER_THRESHOLD,
          })
        : new Alarm(this.#scope, id, {
            ...common,
            threshold,
            comparisonOperator: COMPARISON[policy.when ?? 'above'],
          });
    this.names.push({ name, severity });
    const notifying = suppressedBy
      ? new CompositeAlarm(this.#scope, `${this.#of}-${kind}-composite`, {
          compositeAlarmName: name,
          alarmDescription: description,
          alarmRule: AlarmRule.fromAlarm(alarm, AlarmState.ALARM),
          actionsSuppressor: suppressedBy,
          actionsSuppressorWaitPeriod: Duration.minutes(2),
          actionsSuppressorExtensionPeriod: Duration.minutes(2),
          actionsEnabled: this.#operations.target.alarmActions,
        })
      : alarm;
    const actions = this.#operations.topics[severity].map((topic) => new SnsAction(topic));
    notifying.addAlarmAction(...actions);
    notifying.addOkAction(...actions);
    return alarm;
  }
}

function describe({ kind, happened, command }: AlarmPolicy, env: string): string {
  return `${happened}\nFirst: npx millrace status --env ${env}\nThen: ${command}\nRunbook: docs/runbooks/${kind}.md`;
}

/** A metric by the minute. A gauge's Maximum: its sum over samples means nothing, its average hides the worst. */
export function gauge(
  namespace: string,
  metricName: string,
  dimensionsMap: Readonly<Record<string, string>>,
  {
    statistic = Stats.MAXIMUM,
    period = Duration.minutes(1),
  }: { readonly statistic?: string; readonly period?: Duration | undefined } = {},
): Metric {
  return new Metric({ namespace, metricName, dimensionsMap, statistic, period });
}

/** A counter's sum by the minute. */
export function counter(
  namespace: string,
  metricName: string,
  dimensionsMap: Readonly<Record<string, string>>,
  period = Duration.minutes(1),
): Metric {
  return gauge(namespace, metricName, dimensionsMap, { statistic: Stats.SUM, period });
}

export function math(
  expression: string,
  usingMetrics: Readonly<Record<string, IMetric>>,
  label: string,
  period = Duration.minutes(1),
): MathExpression {
  return new MathExpression({ expression, usingMetrics, label, period });
}

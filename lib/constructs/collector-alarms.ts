import type { IMetric } from 'aws-cdk-lib/aws-cloudwatch';
import { FilterPattern, type LogGroup, MetricFilter } from 'aws-cdk-lib/aws-logs';
import { METRICS_NAMESPACE } from '../../runtime/delivery/metrics.ts';
import { COLLECTOR_SERVICE, type CollectMetricName } from '../../runtime/publish/collect.ts';
import { type Alarms, counter, gauge, math } from './alarm.ts';
import { STAGE } from './collector-api.ts';
import { functionMetric } from './consumer-alarms.ts';

/** What there is to be measured of the collector. */
export interface CollectorNames {
  readonly apiName: string;
  readonly functionName: string;
}

/** Share of requests, in percent. */
const MANY_FAILURES = 5;
const SLOW_MS = 3_000;

/** https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html (2026-11-25) */
export function requestMetric(apiName: string, metric: 'Count' | '4XXError' | '5XXError'): IMetric {
  return counter('AWS/ApiGateway', metric, { ApiName: apiName, Stage: STAGE });
}

/** In milliseconds: all but the slowest hundredth are quicker. */
export function latencyOf(apiName: string): IMetric {
  return gauge('AWS/ApiGateway', 'Latency', { ApiName: apiName, Stage: STAGE }, { statistic: 'p99' });
}

export function collectedEvents(environment: string, topic: string, metric: CollectMetricName): IMetric {
  return counter(METRICS_NAMESPACE, metric, { environment, service: COLLECTOR_SERVICE, topic });
}

/** Counts the requests that were answered with 429, which API Gateway has among its 4XXError. */
export function countThrottled(accessLogs: LogGroup, metricName: string): void {
  new MetricFilter(accessLogs, 'Throttled', {
    logGroup: accessLogs,
    filterPattern: FilterPattern.stringValue('$.status', '=', '429'),
    metricNamespace: METRICS_NAMESPACE,
    metricName,
    metricValue: '1',
  });
}

export function addCollectorAlarms(
  alarms: Alarms,
  {
    apiName,
    functionName,
    functionLogs,
    accessLogs,
    throttledMetric,
  }: CollectorNames & {
    readonly functionLogs: string;
    readonly accessLogs: string;
    readonly throttledMetric: string;
  },
): void {
  const tailErrors = `aws logs tail ${functionLogs} --since 15m --filter-pattern ERROR`;
  alarms.add({
    kind: 'collector-failing',
    severity: 'incident',
    metric: math(
      'IF(requests > 0, 100 * FILL(failures, 0) / requests, 0)',
      { requests: requestMetric(apiName, 'Count'), failures: requestMetric(apiName, '5XXError') },
      'percent of requests that failed',
    ),
    threshold: MANY_FAILURES,
    datapoints: 3,
    of: 5,
    missing: 'not-breaching',
    happened: `More than ${MANY_FAILURES} % of the collector's requests fail. Callers may send again; beacons are lost.`,
    command: tailErrors,
  });
  alarms.add({
    kind: 'collector-errors',
    severity: 'warning',
    metric: math(
      'FILL(errors, 0) + FILL(throttles, 0)',
      {
        errors: functionMetric(functionName, 'Errors'),
        throttles: functionMetric(functionName, 'Throttles'),
      },
      'invocations that failed or were throttled',
    ),
    threshold: 0,
    datapoints: 3,
    of: 5,
    missing: 'not-breaching',
    happened: "The collector's function crashes, times out, or is throttled.",
    command: tailErrors,
  });
  alarms.add({
    kind: 'collector-slow',
    severity: 'warning',
    metric: latencyOf(apiName),
    threshold: SLOW_MS,
    datapoints: 10,
    of: 15,
    missing: 'not-breaching',
    happened: `One in a hundred requests to the collector takes more than ${SLOW_MS / 1_000} s.`,
    command: tailErrors,
  });
  alarms.add({
    kind: 'collector-throttled',
    severity: 'warning',
    metric: counter(METRICS_NAMESPACE, throttledMetric, {}),
    threshold: 0,
    datapoints: 3,
    of: 5,
    missing: 'not-breaching',
    happened: "Callers send more than the collector's rate and get 429. Beacons are lost.",
    command: `aws logs tail ${accessLogs} --since 15m --filter-pattern '{ $.status = "429" }'`,
  });
}

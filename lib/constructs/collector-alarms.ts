import type { IMetric } from 'aws-cdk-lib/aws-cloudwatch';
import { FilterPattern, type LogGroup, MetricFilter } from 'aws-cdk-lib/aws-logs';
import { METRICS_NAMESPACE } from '../../runtime/delivery/metrics.ts';
import { COLLECTOR_SERVICE, type CollectMetricName } from '../../runtime/publish/collect.ts';
import { type Alarms, counter, gauge, math } from './alarm.ts';
import { EVENTS_PATH, STAGE } from './collector-api.ts';
import { PAGE_DATA_PATH } from './collector-page.ts';
import { functionMetric } from './consumer-alarms.ts';

/** What there is to be measured of the collector. */
export interface CollectorNames {
  readonly apiName: string;
  readonly functionName: string;
  /** Whether the same API has other methods, and so counts each apart. */
  readonly hasPage: boolean;
}

/** Share of requests, in percent. */
const MANY_FAILURES = 5;
const SLOW_MS = 3_000;

/** https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html (2026-11-25) */
export function requestMetric(names: ApiNames, metric: 'Count' | '4XXError' | '5XXError'): IMetric {
  return counter('AWS/ApiGateway', metric, dimensionsOf(names));
}

/** In milliseconds: all but the slowest hundredth are quicker. */
export function latencyOf(names: ApiNames): IMetric {
  return gauge('AWS/ApiGateway', 'Latency', dimensionsOf(names), { statistic: 'p99' });
}

type ApiNames = Pick<CollectorNames, 'apiName' | 'hasPage'>;

function dimensionsOf({ apiName, hasPage }: ApiNames): Readonly<Record<string, string>> {
  return hasPage ? methodOf(apiName, 'POST', EVENTS_PATH) : { ApiName: apiName, Stage: STAGE };
}

/** Of a method that counts by itself. */
function methodOf(apiName: string, method: string, path: string): Readonly<Record<string, string>> {
  return { ApiName: apiName, Stage: STAGE, Method: method, Resource: path };
}

export function collectedEvents(environment: string, topic: string, metric: CollectMetricName): IMetric {
  return counter(METRICS_NAMESPACE, metric, { environment, service: COLLECTOR_SERVICE, topic });
}

/** Counts the requests that were answered with 429, which API Gateway has among its 4XXError. */
export function countThrottled(accessLogs: LogGroup, metricName: string, hasPage: boolean): void {
  const throttled = FilterPattern.stringValue('$.status', '=', '429');
  new MetricFilter(accessLogs, 'Throttled', {
    logGroup: accessLogs,
    filterPattern: hasPage
      ? FilterPattern.all(throttled, FilterPattern.stringValue('$.path', '=', '*/events/*'))
      : throttled,
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
    hasPage,
    functionLogs,
    accessLogs,
    throttledMetric,
  }: CollectorNames & {
    readonly functionLogs: string;
    readonly accessLogs: string;
    readonly throttledMetric: string;
  },
): void {
  const names = { apiName, hasPage };
  const tailErrors = `aws logs tail ${functionLogs} --since 15m --filter-pattern ERROR`;
  alarms.add({
    kind: 'collector-failing',
    severity: 'incident',
    metric: math(
      'IF(requests > 0, 100 * FILL(failures, 0) / requests, 0)',
      { requests: requestMetric(names, 'Count'), failures: requestMetric(names, '5XXError') },
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
    metric: latencyOf(names),
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

/** A crash, a timeout and a throttled invocation are answers of API Gateway's with 5xx, as ours are when the tables do not answer. */
export function addPageAlarm(
  alarms: Alarms,
  { apiName, functionLogs }: Pick<CollectorNames, 'apiName'> & { readonly functionLogs: string },
): void {
  const of = methodOf(apiName, 'GET', PAGE_DATA_PATH);
  alarms.add({
    kind: 'page-failing',
    severity: 'warning',
    metric: math(
      'IF(requests > 0, 100 * FILL(failures, 0) / requests, 0)',
      {
        requests: counter('AWS/ApiGateway', 'Count', of),
        failures: counter('AWS/ApiGateway', '5XXError', of),
      },
      'percent of requests that failed',
    ),
    threshold: MANY_FAILURES,
    datapoints: 3,
    of: 5,
    missing: 'not-breaching',
    happened: `More than ${MANY_FAILURES} % of the page's requests for data fail. Its viewers see old numbers, or none.`,
    command: `aws logs tail ${functionLogs} --since 15m --filter-pattern ERROR`,
  });
}

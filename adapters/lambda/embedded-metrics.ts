import {
  type BatchReport,
  METRICS,
  METRICS_NAMESPACE,
  type Metrics,
  REDRIVE_METRICS,
  type RedriveReport,
} from '../../runtime/delivery/metrics.ts';
import { LAG_METRICS, PARKED_METRICS, SAMPLED_METRIC } from '../../runtime/lag/metrics.ts';
import type { ConsumerStatus } from '../../runtime/lag/status.ts';
import type { Clock } from '../../runtime/ports.ts';
import {
  COLLECT_METRICS,
  COLLECTOR_SERVICE,
  type CollectMetrics,
  type CollectReport,
} from '../../runtime/publish/collect.ts';

/**
 * One CloudWatch metric document an invocation, on the standard output, in the embedded metric format; namespace
 * Millrace, dimensions `environment`, `service` (the consumer, or the collector) and `topic`. Every metric is in every
 * document, zeros included, so that an alarm can tell nothing to do from nothing reported.
 *
 * Not by Powertools, whose metrics take 14 kB of a function's bundle for this one document.
 * Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
 * (read 2026-11-24).
 */
export class EmbeddedMetrics implements Metrics, CollectMetrics {
  readonly #clock: Clock;
  readonly #environment: string;

  constructor(clock: Clock, environment: string) {
    this.#clock = clock;
    this.#environment = environment;
  }

  report(report: BatchReport): void {
    this.#write(report.consumer, report, METRICS);
  }

  reportRedrive(report: RedriveReport): void {
    this.#write(report.consumer, report, REDRIVE_METRICS);
  }

  reportCollect(report: CollectReport): void {
    this.#write(COLLECTOR_SERVICE, report, COLLECT_METRICS);
  }

  /** Figures that are null are left out: nothing is not 0. */
  reportLag(status: ConsumerStatus): void {
    this.#write(status.consumer, status, { ...LAG_METRICS, ...PARKED_METRICS });
  }

  /** How many consumers of the environment were looked at with success. */
  reportSampled(count: number): void {
    this.#put(['environment'], {}, { [SAMPLED_METRIC]: { unit: 'Count', value: count } });
  }

  #write<Report extends { readonly topic: string }>(
    service: string,
    report: Report,
    metrics: Readonly<Record<string, { readonly unit: string; of(report: Report): number | null }>>,
  ): void {
    const values = Object.entries(metrics).flatMap(([name, { unit, of }]) => {
      const value = of(report);
      return value === null ? [] : [[name, { unit, value }] as const];
    });
    this.#put(
      ['environment', 'service', 'topic'],
      { service, topic: report.topic },
      Object.fromEntries(values),
    );
  }

  #put(
    dimensions: readonly string[],
    of: Readonly<Record<string, string>>,
    values: Readonly<Record<string, { readonly unit: string; readonly value: number }>>,
  ): void {
    const document = {
      _aws: {
        Timestamp: this.#clock.now(),
        CloudWatchMetrics: [
          {
            Namespace: METRICS_NAMESPACE,
            Dimensions: [dimensions],
            Metrics: Object.entries(values).map(([Name, { unit }]) => ({ Name, Unit: unit })),
          },
        ],
      },
      environment: this.#environment,
      ...of,
      ...Object.fromEntries(Object.entries(values).map(([name, { value }]) => [name, value])),
    };
    process.stdout.write(`${JSON.stringify(document)}\n`);
  }
}

import {
  type BatchReport,
  METRICS,
  METRICS_NAMESPACE,
  type Metrics,
  REDRIVE_METRICS,
  type RedriveReport,
} from '../../runtime/delivery/metrics.ts';
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

  #write<Report extends { readonly topic: string }>(
    service: string,
    report: Report,
    metrics: Readonly<Record<string, { readonly unit: string; of(report: Report): number }>>,
  ): void {
    const document = {
      _aws: {
        Timestamp: this.#clock.now(),
        CloudWatchMetrics: [
          {
            Namespace: METRICS_NAMESPACE,
            Dimensions: [['environment', 'service', 'topic']],
            Metrics: Object.entries(metrics).map(([Name, { unit }]) => ({ Name, Unit: unit })),
          },
        ],
      },
      environment: this.#environment,
      service,
      topic: report.topic,
      ...Object.fromEntries(Object.entries(metrics).map(([name, { of }]) => [name, of(report)])),
    };
    process.stdout.write(`${JSON.stringify(document)}\n`);
  }
}

import { METRICS, METRICS_NAMESPACE } from '../../runtime/metrics.ts';
import type { BatchReport, Clock, Metrics } from '../../runtime/ports.ts';

/**
 * One CloudWatch metric document an invocation, on the standard output, in the embedded metric format; namespace
 * Millrace, dimensions `service` (the consumer) and `topic`. Every metric is in every document, zeros included, so
 * that an alarm can tell nothing to do from nothing reported.
 *
 * Not by Powertools, whose metrics take 14 kB of a function's bundle for this one document.
 * Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
 * (read 2026-11-24).
 */
export class EmbeddedMetrics implements Metrics {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  report(report: BatchReport): void {
    const metrics = Object.entries(METRICS);
    const document = {
      _aws: {
        Timestamp: this.#clock.now(),
        CloudWatchMetrics: [
          {
            Namespace: METRICS_NAMESPACE,
            Dimensions: [['service', 'topic']],
            Metrics: metrics.map(([Name, { unit }]) => ({ Name, Unit: unit })),
          },
        ],
      },
      service: report.consumer,
      topic: report.topic,
      ...Object.fromEntries(metrics.map(([name, { of }]) => [name, of(report)])),
    };
    process.stdout.write(`${JSON.stringify(document)}\n`);
  }
}

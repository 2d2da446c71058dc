import { MetricUnit, Metrics as Powertools } from '@aws-lambda-powertools/metrics';
import type { BatchReport, Metrics } from '../../runtime/ports.ts';

const NAMESPACE = 'Millrace';

/**
 * One CloudWatch metric document an invocation, on the standard output, in the embedded metric format; namespace
 * Millrace, dimensions `service` (the consumer) and `topic`. Every metric is in every document, zeros included, so
 * that an alarm can tell nothing to do from nothing reported.
 * Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
 * (read 2026-11-24).
 */
export class PowertoolsMetrics implements Metrics {
  report(report: BatchReport): void {
    new Powertools({ namespace: NAMESPACE, serviceName: report.consumer })
      .addDimension('topic', report.topic)
      .addMetric('Records', MetricUnit.Count, report.records)
      .addMetric('Bytes', MetricUnit.Bytes, report.bytes)
      .addMetric('Applied', MetricUnit.Count, report.applied)
      .addMetric('Duplicates', MetricUnit.Count, report.duplicates)
      .addMetric('DeadLettered', MetricUnit.Count, report.deadLettered)
      .addMetric('Holes', MetricUnit.Count, report.holes)
      .addMetric('Retries', MetricUnit.Count, report.retries)
      .addMetric('Returned', MetricUnit.Count, report.returned)
      .addMetric('BatchTime', MetricUnit.Milliseconds, report.batchMs)
      .addMetric('HandlerTime', MetricUnit.Milliseconds, report.handlerMs)
      .publishStoredMetrics();
  }
}

import { describe, expect, test } from '@jest/globals';
import { EmbeddedMetrics } from '../../../adapters/lambda/embedded-metrics.ts';
import { systemClock } from '../../../adapters/system/system-clock.ts';
import type { BatchReport } from '../../../runtime/delivery/metrics.ts';
import { documentsOf } from './standard-output.ts';

const report: BatchReport = {
  consumer: 'editorial-analytics',
  topic: 'news.pageviews',
  records: 100,
  bytes: 20_480,
  applied: 90,
  duplicates: 7,
  repeated: 0,
  parked: 0,
  deadLettered: 1,
  skipped: 0,
  retries: 4,
  returned: 2,
  broken: 0,
  batchMs: 812,
  handlerMs: 640.5,
};

describe('EmbeddedMetrics', () => {
  test('writes one embedded metric document a report, zeros included', () => {
    const metrics = new EmbeddedMetrics({ ...systemClock, now: () => 1_767_225_600_000 }, 'prod');
    const documents = documentsOf(() => {
      metrics.report(report);
      metrics.report({ ...report, topic: 'news.comments' });
    });
    expect(documents).toHaveLength(2);
    const units = {
      Records: 'Count',
      Bytes: 'Bytes',
      Applied: 'Count',
      Duplicates: 'Count',
      Repeated: 'Count',
      Parked: 'Count',
      DeadLettered: 'Count',
      Holes: 'Count',
      Retries: 'Count',
      Returned: 'Count',
      Broken: 'Count',
      BatchTime: 'Milliseconds',
      HandlerTime: 'Milliseconds',
    };
    expect(documents[0]).toEqual({
      _aws: {
        Timestamp: 1_767_225_600_000,
        CloudWatchMetrics: [
          {
            Namespace: 'Millrace',
            Dimensions: [['environment', 'service', 'topic']],
            Metrics: Object.entries(units).map(([Name, Unit]) => ({ Name, Unit })),
          },
        ],
      },
      environment: 'prod',
      service: 'editorial-analytics',
      topic: 'news.pageviews',
      Records: 100,
      Bytes: 20_480,
      Applied: 90,
      Duplicates: 7,
      Repeated: 0,
      Parked: 0,
      DeadLettered: 1,
      Holes: 0,
      Retries: 4,
      Returned: 2,
      Broken: 0,
      BatchTime: 812,
      HandlerTime: 640.5,
    });
    expect(documents[1]).toMatchObject({ topic: 'news.comments', Records: 100 });
  });
});

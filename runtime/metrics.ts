import type { BatchReport, CollectReport, RedriveReport } from './ports.ts';

/** Where monitoring finds what consumers report: alarms and dashboards are built on these names. */
export const METRICS_NAMESPACE = 'Millrace';

/** The figures of a batch report by their metric's name, each with CloudWatch's name of its unit. */
export const METRICS = {
  Records: { unit: 'Count', of: ({ records }) => records },
  Bytes: { unit: 'Bytes', of: ({ bytes }) => bytes },
  Applied: { unit: 'Count', of: ({ applied }) => applied },
  Duplicates: { unit: 'Count', of: ({ duplicates }) => duplicates },
  DeadLettered: { unit: 'Count', of: ({ deadLettered }) => deadLettered },
  Holes: { unit: 'Count', of: ({ holes }) => holes },
  Retries: { unit: 'Count', of: ({ retries }) => retries },
  Returned: { unit: 'Count', of: ({ returned }) => returned },
  BatchTime: { unit: 'Milliseconds', of: ({ batchMs }) => batchMs },
  HandlerTime: { unit: 'Milliseconds', of: ({ handlerMs }) => handlerMs },
} as const satisfies Record<string, { unit: string; of: (report: BatchReport) => number }>;

/** Likewise those of a redrive report. */
export const REDRIVE_METRICS = {
  RedriveApplied: { unit: 'Count', of: ({ applied }) => applied },
  RedriveAlreadyApplied: { unit: 'Count', of: ({ alreadyApplied }) => alreadyApplied },
  RedriveFailedAgain: { unit: 'Count', of: ({ failedAgain }) => failedAgain },
  RedriveRefused: { unit: 'Count', of: ({ refused }) => refused },
  RedriveReturned: { unit: 'Count', of: ({ returned }) => returned },
} as const satisfies Record<string, { unit: string; of: (report: RedriveReport) => number }>;

/** Likewise those of a collect report, under the service COLLECTOR_SERVICE. */
export const COLLECT_METRICS = {
  Accepted: { unit: 'Count', of: ({ accepted }) => accepted },
  Refused: { unit: 'Count', of: ({ refused }) => refused },
  Failed: { unit: 'Count', of: ({ failed }) => failed },
} as const satisfies Record<string, { unit: string; of: (report: CollectReport) => number }>;

export type CollectMetricName = keyof typeof COLLECT_METRICS;

/** `service` on the collector's log lines and metrics. */
export const COLLECTOR_SERVICE = 'collector';

export type MetricName = keyof typeof METRICS | keyof typeof REDRIVE_METRICS;

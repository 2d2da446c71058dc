/** Where monitoring finds what consumers report: alarms and dashboards are built on these names. */
export const METRICS_NAMESPACE = 'Millrace';

/** The figures of a batch report by their metric's name, each with CloudWatch's name of its unit. */
export const METRICS = {
  Records: { unit: 'Count', of: ({ records }) => records },
  Bytes: { unit: 'Bytes', of: ({ bytes }) => bytes },
  Applied: { unit: 'Count', of: ({ applied }) => applied },
  Duplicates: { unit: 'Count', of: ({ duplicates }) => duplicates },
  Repeated: { unit: 'Count', of: ({ repeated }) => repeated },
  Parked: { unit: 'Count', of: ({ parked }) => parked },
  DeadLettered: { unit: 'Count', of: ({ deadLettered }) => deadLettered },
  Holes: { unit: 'Count', of: ({ skipped }) => skipped },
  Retries: { unit: 'Count', of: ({ retries }) => retries },
  Returned: { unit: 'Count', of: ({ returned }) => returned },
  Broken: { unit: 'Count', of: ({ broken }) => broken },
  BatchTime: { unit: 'Milliseconds', of: ({ batchMs }) => batchMs },
  HandlerTime: { unit: 'Milliseconds', of: ({ handlerMs }) => handlerMs },
} as const satisfies Record<string, { unit: string; of: (report: BatchReport) => number }>;

/** Likewise those of a redrive report. */
export const REDRIVE_METRICS = {
  RedriveApplied: { unit: 'Count', of: ({ applied }) => applied },
  RedriveAlreadyApplied: { unit: 'Count', of: ({ alreadyApplied }) => alreadyApplied },
  RedriveFailedAgain: { unit: 'Count', of: ({ failedAgain }) => failedAgain },
  RedriveOvertaken: { unit: 'Count', of: ({ overtaken }) => overtaken },
  RedriveRefused: { unit: 'Count', of: ({ refused }) => refused },
  RedriveReturned: { unit: 'Count', of: ({ returned }) => returned },
} as const satisfies Record<string, { unit: string; of: (report: RedriveReport) => number }>;

export type MetricName = keyof typeof METRICS | keyof typeof REDRIVE_METRICS;

/** What one invocation did, in counts and milliseconds. */
export interface BatchReport {
  readonly consumer: string;
  readonly topic: string;
  /** Records delivered, duplicates included. */
  readonly records: number;
  /** Key and value bytes delivered. */
  readonly bytes: number;
  readonly applied: number;
  /** Records delivered that were settled already. */
  readonly duplicates: number;
  /** Events that were applied before, under another offset. */
  readonly repeated: number;
  /** Records that wait behind a dead letter of their key from now on. */
  readonly parked: number;
  readonly deadLettered: number;
  /** Offsets that the event source skipped, seen for the first time. */
  readonly skipped: number;
  /** Attempts beyond the first: of a record, or of a line that was held. */
  readonly retries: number;
  /** Records that go back to the event source. */
  readonly returned: number;
  /** Those of them that are held since the code is broken. */
  readonly broken: number;
  readonly batchMs: number;
  /** The part of `batchMs` spent in `handle`. */
  readonly handlerMs: number;
}

/** What became of the messages of one invocation by the redrive queue, in counts. */
export interface RedriveReport {
  readonly consumer: string;
  readonly topic: string;
  readonly applied: number;
  /** Letters whose record was settled already: acknowledged, and nothing changed. */
  readonly alreadyApplied: number;
  /** Letters that are dead letters once more. */
  readonly failedAgain: number;
  /** Letters that stay dead letters, since a newer record of their key was applied. */
  readonly overtaken: number;
  /** Messages of another consumer, or that cannot be read. */
  readonly refused: number;
  /** Letters to be delivered again: early ones, or the line was held. */
  readonly returned: number;
}

export interface Metrics {
  /** Called once for each batch that was settled, by delivery or by redrive, also if it failed. */
  report(report: BatchReport): void;
  /** Called once an invocation by the redrive queue. */
  reportRedrive(report: RedriveReport): void;
}

/** Log lines that others look for: the view of `up`, alarms, runbooks. */
export const LOGGED = {
  held: 'Line held: trying again',
  broken: 'Consumer broken: its records are held',
  deadLettered: 'Record dead-lettered',
  skipped: 'The event source skipped records: redrive the batches it gave up on',
} as const;

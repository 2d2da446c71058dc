/** What is known of a consumer's progress, and what it means. Unknown is null, never 0. */

/** Worst first: a consumer has the first that fits, and so has each of its partitions. */
export const LAG_VERDICTS = [
  'LOST',
  'AT_RISK',
  'BLOCKED',
  'STALLED',
  'RISING',
  'BEHIND',
  'SILENT',
  'RECOVERING',
  'UNKNOWN',
  'OK',
  'IDLE',
] as const;
export type LagVerdict = (typeof LAG_VERDICTS)[number];

/** How long until nothing is unread, at the rates of the samples. */
export type Drain = { readonly lowMs: number; readonly highMs: number } | 'never' | null;

interface Progress {
  readonly verdict: LagVerdict;
  /** Records behind; all that the topic holds where the group never committed. */
  readonly lag: number | null;
  /** How old the next unread record is; 0 where nothing is unread. */
  readonly ageMs: number | null;
  readonly drain: Drain;
  /** How long until retention may delete what is unread, at the earliest. */
  readonly headroomMs: number | null;
  /** Offsets that retention deleted before they were read. */
  readonly lost: number | null;
  readonly inPerSecond: number | null;
  readonly outPerSecond: number | null;
  /** When the committed offset last moved, in epoch milliseconds. */
  readonly lastProgressAt: number | null;
  /** The samples behind the verdict, each a sentence. */
  readonly evidence: readonly string[];
}

export interface PartitionStatus extends Progress {
  readonly partition: number;
  readonly committed: number | null;
  readonly start: number | null;
  readonly end: number | null;
}

export interface ConsumerStatus extends Progress {
  readonly consumer: string;
  readonly group: string;
  readonly topic: string;
  /** The slowest estimate of `drain`; null where it is unknown, or never. */
  readonly drainMs: number | null;
  readonly deadLetters: number | null;
  /** What waits behind them by its key. */
  readonly parked: {
    readonly keys: number;
    readonly records: number;
    readonly oldestAgeMs: number | null;
  } | null;
  /** The error code that keeps records from being settled. */
  readonly heldBy: string | null;
  /** How long the topic keeps a record. */
  readonly retentionMs: number | 'forever' | null;
  /** Whether an operator has paused it. */
  readonly isPaused: boolean;
  readonly warning: number;
  readonly incident: number;
  readonly partitions: readonly PartitionStatus[];
}

/** Takes a sample at each call, and remembers the earlier ones: a verdict needs several. */
export interface LagWatch {
  /** The worst consumer first. One that cannot be looked at is UNKNOWN, with the reason. */
  look(): Promise<readonly ConsumerStatus[]>;
}

/** What is known of a consumer at one time. What could not be found out is null, and never 0. */

/** A consumer to look at: one of an app, or any group on a cluster. */
export interface WatchedConsumer {
  readonly consumer: string;
  /** The consumer group whose offsets count. */
  readonly group: string;
  readonly topic: string;
  /** Records behind. */
  readonly warning: number;
  readonly incident: number;
  /** How long a batch may be collected: no commit is expected sooner. */
  readonly windowMs: number;
  /** Where a group that has committed nothing begins. */
  readonly startingPosition: 'TRIM_HORIZON' | 'LATEST' | { readonly atTimestampMs: number };
  /** Whether who runs it commits where it begins, before it reads: `millrace up` does. @default false */
  readonly commitsBeginning?: boolean;
}

/** An offset that fails with the same error time after time. */
export interface Failing {
  readonly offset: number;
  readonly code: string;
  readonly times: number;
  /** Epoch milliseconds. */
  readonly since: number;
  /** In words, where they may be shown. */
  readonly why?: string;
}

export interface PartitionSample {
  readonly partition: number;
  /** The next offset to read, 'none' where the group has committed nothing. To be read before `start` and `end`. */
  readonly committed: number | 'none' | null;
  /** Where the group begins while it has committed nothing; null where that cannot be told. @default `start` */
  readonly begins?: number | null;
  /** The oldest offset that is kept. */
  readonly start: number | null;
  /** The offset that the next record gets. */
  readonly end: number | null;
  /** The timestamp of the next unread record in epoch milliseconds; null where it is unknown, or nothing is unread. */
  readonly nextAt: number | null;
  readonly failing?: Failing;
}

/** What keeps a consumer from going on without any record being to blame. */
export interface Held {
  readonly code: string;
  readonly since: number;
  readonly tries: number;
  readonly why?: string;
}

/** Who runs the consumer, and what is known to be in its way. */
export interface Runner {
  /** False where it is certain that nobody does. */
  readonly isRunning: boolean | null;
  /** In words: `2 members`, `millrace up, process 4711`, `nobody: the group has no members`. */
  readonly who: string;
  /** An operator has paused it. */
  readonly paused?: { readonly by: string; readonly at: number };
  /** Its event source mapping is off, or on its way to being off, though no operator has paused it: `Disabled`. */
  readonly disabled?: string;
  /** Invocations that were refused because too many ran at once, of late. */
  readonly throttles?: number;
  readonly held?: Held;
  /** The handle() that has been running for longest. */
  readonly handling?: { readonly runningMs: number; readonly timeoutMs: number };
  /** What the event source says of its last invocation. */
  readonly lastResult?: string;
}

export interface ConsumerSample {
  readonly consumer: string;
  /** When `committed` was read, in epoch milliseconds. */
  readonly at: number;
  /** Empty where there is no such topic, so that nothing is known; null where its partitions could not be read. */
  readonly partitions: readonly PartitionSample[] | null;
  /**
   * What a source that sees no offsets knows of all partitions together, instead of `partitions`: a metric of lag.
   * `nextAt` is when the oldest unread record was written, `lost` how many were deleted before they were read.
   */
  readonly total?: {
    readonly lag: number | null;
    readonly nextAt: number | null;
    readonly lost?: number | null;
  };
  /** How long a record is kept; 'forever' also where compaction keeps the newest of each key. */
  readonly retentionMs: number | 'forever' | null;
  readonly deadLetters: number | null;
  /** What waits behind them in the sink, with when the oldest was parked; absent where the source cannot see it. */
  readonly parked?: {
    readonly keys: number;
    readonly records: number;
    readonly oldestAt: number | null;
  } | null;
  readonly runner: Runner;
  /** Records a second that are usual at this time of day, where the source keeps a longer history than the watch does. */
  readonly usualInPerSecond?: number;
  /** Why something in this sample is null. A sentence. */
  readonly unknown?: string;
}

/** Where samples come from: a laptop's log, a cluster, an environment's metrics. */
export interface LagSource {
  /**
   * Looks at all of these once. It may give earlier samples of a consumer too, oldest first. It rejects only where nothing
   * can be looked at: what concerns one consumer is in its sample.
   */
  sample(consumers: readonly WatchedConsumer[]): Promise<readonly ConsumerSample[]>;
}

/** The sample of a consumer that could not be looked at. */
export function unknownSample(consumer: string, at: number, why: string): ConsumerSample {
  return {
    consumer,
    at,
    partitions: null,
    retentionMs: null,
    deadLetters: null,
    runner: { isRunning: null, who: 'unknown' },
    unknown: why,
  };
}

import type { TopicPartition } from './record.ts';

/** Offsets `[from, to)`. */
export interface OffsetRange {
  readonly from: number;
  readonly to: number;
}

export interface LedgerView extends TopicPartition {
  readonly first: number | null;
  readonly next: number | null;
  readonly maxTimestamp: number;
  readonly holes: readonly OffsetRange[];
}

export interface LedgerPatch extends TopicPartition {
  readonly first: number;
  readonly next: number;
  readonly maxTimestamp: number;
  readonly closed: readonly OffsetRange[];
  readonly deadLettered: readonly OffsetRange[];
  readonly passedOver: readonly OffsetRange[];
}

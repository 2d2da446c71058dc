import type { ConsumerStatus, PartitionStatus } from '../../runtime/lag/status.ts';

const PROGRESS = {
  verdict: 'OK',
  lag: 0,
  ageMs: 0,
  drain: { lowMs: 0, highMs: 0 },
  headroomMs: null,
  lost: 0,
  inPerSecond: 0,
  outPerSecond: 0,
  lastProgressAt: null,
  evidence: [],
} as const;

/** A consumer that is well, but for what is given. */
export function statusOf(given: Partial<ConsumerStatus> & { readonly consumer: string }): ConsumerStatus {
  return {
    ...PROGRESS,
    group: given.consumer,
    topic: 't',
    drainMs: 0,
    deadLetters: 0,
    parked: null,
    heldBy: null,
    retentionMs: 'forever',
    isPaused: false,
    warning: 10_000,
    incident: 100_000,
    partitions: [],
    ...given,
  };
}

/** A partition with that many records unread. */
export function partitionOf(partition: number, lag: number): PartitionStatus {
  return { ...PROGRESS, partition, committed: 7, start: 0, end: 7 + lag, lag };
}

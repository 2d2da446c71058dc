import type { ConsumerSample, Runner, WatchedConsumer } from '../../../runtime/lag/sample.ts';

export const START_AT = Date.UTC(2026, 10, 27, 3, 0, 0);
export const SECOND = 1_000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;

export const watched: WatchedConsumer = {
  consumer: 'orders',
  group: 'orders',
  topic: 'shop.orders',
  warning: 10_000,
  incident: 100_000,
  windowMs: 500,
  startingPosition: 'TRIM_HORIZON',
};

const running: Runner = { isRunning: true, who: 'millrace up, process 7' };

interface Shape {
  /** Since START_AT. */
  readonly atMs?: number;
  readonly committed?: number | 'none' | null;
  readonly begins?: number;
  readonly start?: number | null;
  readonly end?: number | null;
  /** The age of the next unread record. */
  readonly ageMs?: number | null;
  readonly retentionMs?: ConsumerSample['retentionMs'];
  readonly runner?: Partial<Runner>;
  readonly usualInPerSecond?: number;
  readonly failing?: { readonly offset: number; readonly times: number; readonly code?: string };
}

/** One partition of a consumer, seven days of retention, and a runner. */
export function sampleOf(shape: Shape): ConsumerSample {
  const { atMs = 0, committed = 0, start = 0, end = 0, ageMs = SECOND, retentionMs = 7 * 24 * HOUR } = shape;
  const at = START_AT + atMs;
  return {
    consumer: watched.consumer,
    at,
    partitions: [
      {
        partition: 0,
        committed,
        ...(shape.begins !== undefined && { begins: shape.begins }),
        start,
        end,
        nextAt: ageMs === null ? null : at - ageMs,
        ...(shape.failing && {
          failing: { code: 'DEPENDENCY_UNAVAILABLE', since: START_AT, ...shape.failing },
        }),
      },
    ],
    retentionMs,
    deadLetters: 0,
    runner: { ...running, ...shape.runner },
    ...(shape.usualInPerSecond !== undefined && { usualInPerSecond: shape.usualInPerSecond }),
  };
}

/** Samples every `stepMs`, each shaped by how many seconds have passed. */
export function seriesOf(looks: number, stepMs: number, shape: (seconds: number) => Shape): ConsumerSample[] {
  return Array.from({ length: looks }, (_, index) =>
    sampleOf({ atMs: index * stepMs, ...shape((index * stepMs) / SECOND) }),
  );
}

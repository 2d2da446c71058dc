import { type ConsumerStatus, LAG_VERDICTS, type LagVerdict } from './status.ts';

/**
 * A verdict as a number, so that the worst of a period is its maximum: IDLE is 0, LOST is the highest. UNKNOWN is below all
 * that asks for somebody.
 */
export function verdictNumber(verdict: LagVerdict): number {
  return LAG_VERDICTS.length - 1 - LAG_VERDICTS.indexOf(verdict);
}

/** The figures of a status by their metric's name, each with CloudWatch's name of its unit. What is null is not written. */
export const LAG_METRICS = {
  Lag: { unit: 'Count', of: ({ lag }) => lag },
  Age: { unit: 'Milliseconds', of: ({ ageMs }) => ageMs },
  Headroom: { unit: 'Milliseconds', of: ({ headroomMs }) => headroomMs },
  DrainTime: { unit: 'Milliseconds', of: ({ drainMs }) => drainMs },
  Lost: { unit: 'Count', of: ({ lost }) => lost },
  Verdict: { unit: 'None', of: ({ verdict }) => verdictNumber(verdict) },
} as const satisfies Record<string, { unit: string; of: (status: ConsumerStatus) => number | null }>;

/** Likewise those of consumers that park. */
export const PARKED_METRICS = {
  ParkedKeys: { unit: 'Count', of: ({ parked }) => parked?.keys ?? null },
  ParkedRecords: { unit: 'Count', of: ({ parked }) => parked?.records ?? null },
  // Of nothing, so that an alarm sees that it is over.
  ParkedOldestAge: { unit: 'Milliseconds', of: ({ parked }) => (parked ? (parked.oldestAgeMs ?? 0) : null) },
} as const satisfies Record<string, { unit: string; of: (status: ConsumerStatus) => number | null }>;

export type LagMetricName = keyof typeof LAG_METRICS | keyof typeof PARKED_METRICS;

/** Of an environment, without a consumer: how many were looked at with success. That it is missing says that nobody looks. */
export const SAMPLED_METRIC = 'Sampled';

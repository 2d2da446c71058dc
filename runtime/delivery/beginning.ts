/** Where a consumer begins in a partition that it has committed nothing in: lag and audits go by it. */
import type { AnyConsumer } from './consumer.ts';

export interface Uncommitted {
  readonly start: number;
  readonly end: number;
  /**
   * Whether who runs the consumer commits where it begins, as `millrace up` does, and then whether the group has committed in
   * another partition: one that it has not is one that the topic was given since.
   */
  readonly commitsBeginning: boolean;
  readonly hasBegun: boolean;
  /** The first offset of that time or later; undefined where there is none. */
  offsetAt(timestampMs: number): Promise<number | undefined>;
}

/**
 * Null where it cannot be told. Lambda's documentation does not say that pollers commit before the first batch, nor where they
 * begin in a partition that is added later (https://docs.aws.amazon.com/lambda/latest/dg/kafka-starting-positions.html, 2026-11-27).
 * So from LATEST on only an empty partition is certain there; a time says it of any.
 */
export async function beginningOf(
  startingPosition: AnyConsumer['startingPosition'],
  { start, end, commitsBeginning, hasBegun, offsetAt }: Uncommitted,
): Promise<number | null> {
  if (startingPosition === 'TRIM_HORIZON' || start === end) return start;
  if (commitsBeginning && hasBegun) return start;
  if (startingPosition === 'LATEST') return commitsBeginning ? end : null;
  return (await offsetAt(startingPosition.atTimestampMs)) ?? end;
}

import type { Check } from '../environment-check.ts';

/** How an environment keeps the archive. */
export interface ArchiveStorage {
  /**
   * After how many days an object moves to S3 Standard-IA: storage costs about half, reading a gigabyte costs one cent, and
   * objects under 128 KB stay where they are. Nothing is ever deleted. 30 to 3,650 days. @default objects do not move
   */
  readonly infrequentAccessAfterDays?: number;
}

/** S3 takes no fewer: https://docs.aws.amazon.com/AmazonS3/latest/userguide/lifecycle-transition-general-considerations.html (2026-11-27) */
const LEAST_DAYS = 30;
const MOST_DAYS = 3_650;

export function checkArchiveStorage({ infrequentAccessAfterDays: days }: ArchiveStorage, check: Check): void {
  check(
    'archive.infrequentAccessAfterDays',
    days,
    days === undefined || (Number.isInteger(days) && days >= LEAST_DAYS && days <= MOST_DAYS),
    `a whole number from ${LEAST_DAYS} to ${MOST_DAYS}`,
  );
}

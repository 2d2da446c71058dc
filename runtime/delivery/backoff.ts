import type { Clock, Random } from '../ports.ts';
import type { RetryPolicy } from './consumer.ts';

/**
 * Waits before try number `attempt + 1`: exponential backoff with full jitter, uniform in
 * [0, min(maxMs, baseMs · 2^(attempt − 1))). Full jitter spreads out callers that failed together, with the fewest
 * calls in all: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/ (read 2026-11-24).
 *
 * Resolves false, without waiting, when the wait would not leave time for another try.
 */
export async function backOff(
  attempt: number,
  policy: RetryPolicy,
  usableMs: number,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): Promise<boolean> {
  const waitMs = random.next() * Math.min(policy.maxMs, policy.baseMs * 2 ** (attempt - 1));
  if (waitMs >= usableMs) return false;
  await clock.sleep(waitMs);
  return true;
}

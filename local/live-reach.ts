import { MillraceError } from '../runtime/errors.ts';
import type { Clock } from '../runtime/ports.ts';

/** How often the live ledger is looked at, at most. */
const LOOK_MS = 200;

/**
 * How far the live generation of a consumer has come: one past the last offset that its ledger knows, by partition, and 0
 * where it knows none. Its ledger only moves on, so what was seen a while ago errs low.
 * @param read asks the sink, for all partitions at once
 */
export function watchReach(
  read: () => Promise<ReadonlyMap<number, number>>,
  clock: Clock,
): (partition: number) => Promise<number> {
  let seen: ReadonlyMap<number, number> = new Map();
  let seenAt = Number.NEGATIVE_INFINITY;
  let looking: Promise<void> | undefined;
  const look = async () => {
    try {
      seen = await read();
    } catch (error) {
      // While the sink is away nothing moves on, and a batch that needs it says so.
      if (!(error instanceof MillraceError) || error.action !== 'hold') throw error;
    } finally {
      seenAt = clock.now();
      looking = undefined;
    }
  };
  return async (partition) => {
    if (clock.now() - seenAt >= LOOK_MS) looking ??= look();
    await looking;
    return seen.get(partition) ?? 0;
  };
}

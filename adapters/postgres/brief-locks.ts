import { MillraceError } from '../../runtime/errors.ts';
import type { Clock } from '../../runtime/ports.ts';
import { systemClock } from '../system/system-clock.ts';
import type { SqlDriver } from './sql-driver.ts';
import { inTransaction, type OpenTransaction } from './sql-transaction.ts';

/**
 * Below PostgreSQL's deadlock_timeout of a second, so that where this and a reader wait for each other, this gives way. While
 * it waits, whoever comes to the same table waits behind it.
 */
const BRIEFLY_MS = 400;
export const BRIEFLY = withinMs(BRIEFLY_MS);
/** Longer than a try, so that readers have most of the time. */
const PAUSE_MS = 1_000;

/** lock_not_available, deadlock_detected */
const IN_THE_WAY: ReadonlySet<unknown> = new Set(['55P03', '40P01']);

function withinMs(ms: number): string {
  return `SET LOCAL lock_timeout = ${ms}`;
}

function isInTheWay(error: unknown): boolean {
  return error instanceof MillraceError && IN_THE_WAY.has(error.details.sqlState);
}

/**
 * A transaction that locks what others read, and makes nobody wait long for it: it gives up where a lock does not come, and
 * begins anew after a pause.
 * @param tries 20 take half a minute
 * @param longestMs how long a try waits for a lock in the end, where each waits longer than the one before. @default as BRIEFLY
 * @throws SINK_CONFLICT after the last try
 */
export async function inBriefLocks<Result>(
  driver: SqlDriver,
  work: (open: OpenTransaction) => Promise<Result>,
  {
    tries = 20,
    clock = systemClock,
    longestMs = BRIEFLY_MS,
  }: { readonly tries?: number; readonly clock?: Clock; readonly longestMs?: number } = {},
): Promise<Result> {
  for (let tried = 1; ; tried++) {
    try {
      return await inTransaction(driver, async (open) => {
        await open.run(withinMs(Math.min(longestMs, Math.round(BRIEFLY_MS * 1.25 ** (tried - 1)))));
        return work(open);
      });
    } catch (error) {
      if (!isInTheWay(error) || tried >= tries) throw error;
      await clock.sleep(PAUSE_MS);
    }
  }
}

/**
 * Working off a batch: settle it whole, and where that fails find out what is to blame. An outage holds the line, a
 * bad record is split out until it stands alone, tried again by its policy and then dead-lettered.
 */
import { backOff } from './backoff.ts';
import { type Diagnosis, describeFailure } from './failure.ts';
import type { Random } from './ports.ts';
import { historyWith, type Item, type SettleContext, SettleFailed, settle } from './settle.ts';

export interface BatchContext extends SettleContext {
  readonly random: Random;
  /** Milliseconds left for work in this invocation. */
  usableMs(): number;
}

export interface BatchOutcome {
  readonly passedOver: number;
  readonly handlerMs: number;
  readonly retries: number;
  /** What stopped the line; null when all is settled or only the time ran out. */
  readonly stoppedBy: Diagnosis | null;
}

/**
 * A failed batch is split in eighths, and one transaction may take a third of the time left. So a handler that hangs
 * on one record out of 10,000 is cornered in five splits, with time left for its retries and its letter.
 */
const SPLIT_INTO = 8;
const SHARE_OF_TIME = 1 / 3;
/**
 * A transaction that gets less than a hundredth of the function's timeout is not begun: a sound handler might not
 * make it, and its record would be blamed for the hour.
 */
const MIN_SHARE_OF_TIMEOUT = 1 / 100;

/**
 * Settles the items in order, as many as the time allows; the others keep the outcome `returned`, and in each
 * partition none after them is settled. Items stand in partition, then offset order.
 */
export async function settleBatch(items: readonly Item[], context: BatchContext): Promise<BatchOutcome> {
  const { consumer, clock, log } = context;
  // A stack of stretches, the earliest on top: what is split goes back in its own place.
  const stretches: (readonly Item[])[] = items.length > 0 ? [items] : [];
  const total = { passedOver: 0, handlerMs: 0, retries: 0 };
  const triesOf = new Map<Item, number>();
  let holds = 0;
  let stoppedBy: Diagnosis | null = null;

  while (stretches.length > 0) {
    const budgetMs = context.usableMs() * SHARE_OF_TIME;
    if (budgetMs < consumer.timeoutMs * MIN_SHARE_OF_TIMEOUT) return { ...total, stoppedBy };
    const stretch = stretches.at(-1)!;
    try {
      const settled = await settle(stretch, budgetMs, context);
      total.passedOver += settled.passedOver;
      total.handlerMs += settled.handlerMs;
      stretches.pop();
      holds = 0;
      stoppedBy = null;
      continue;
    } catch (failed) {
      if (!(failed instanceof SettleFailed)) throw failed;
      total.handlerMs += failed.handlerMs;
      stoppedBy = failed.diagnosis;
    }

    if (stoppedBy.action === 'halt') return { ...total, stoppedBy };
    const suspects = stretch.filter(({ failure }) => failure === null);
    if (stoppedBy.action === 'hold' || suspects.length === 0) {
      holds++;
      log.warn('Line held: trying again', { ...factsOf(stoppedBy), holds });
      if (!(await backOff(holds, consumer.retry, context.usableMs(), context)))
        return { ...total, stoppedBy };
      total.retries++;
    } else if (suspects.length > 1) {
      stretches.pop();
      stretches.push(...split(stretch).reverse());
    } else {
      const suspect = suspects[0]!;
      const tries = (triesOf.get(suspect) ?? 0) + 1;
      triesOf.set(suspect, tries);
      const history = historyWith(suspect, clock.now());
      if (stoppedBy.action === 'dead-letter' || tries >= consumer.retry.attempts) {
        suspect.failure = describeFailure(stoppedBy, history);
        continue;
      }
      suspect.history = history;
      if (!(await backOff(tries, consumer.retry, context.usableMs(), context)))
        return { ...total, stoppedBy };
      total.retries++;
    }
  }
  return { ...total, stoppedBy };
}

function split(stretch: readonly Item[]): (readonly Item[])[] {
  const size = Math.ceil(stretch.length / SPLIT_INTO);
  const parts: (readonly Item[])[] = [];
  for (let from = 0; from < stretch.length; from += size) parts.push(stretch.slice(from, from + size));
  return parts;
}

/** A diagnosis for the log: an error's text may quote a payload, so only ours is shown. */
export function factsOf({ stage, code, action, error }: Diagnosis): Record<string, unknown> {
  return { stage, code, action, errorName: error instanceof Error ? error.name : typeof error };
}

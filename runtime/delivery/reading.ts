/** Reading a batch and settling it in turns, so that what is read is soon settled and no batch has to fit the memory whole. */
import type { DecodeBudget, Decoded, Decoder } from '../contract/codec.ts';
import type { RawRecord } from '../record.ts';
import { backOff } from './backoff.ts';
import { type BatchContext, type BatchOutcome, factsOf, settleBatch } from './batch.ts';
import { type Diagnosis, describeFailure, diagnose } from './failure.ts';
import { historyWith, type Item } from './item.ts';
import { LOGGED } from './metrics.ts';

/**
 * What decoding may spend before the records it has read are settled: 4 MiB of Avro can be 160 MB of small objects, and a
 * topic has few schemas.
 */
const DECODE_BUDGET = { lookUps: 64, bodyBytes: 4 * 1024 * 1024 } as const;
const DECODE_SHARE_OF_TIME = 1 / 3;

export interface ReadingContext extends BatchContext {
  readonly decoder: Decoder<unknown>;
}

/**
 * Reads and settles in turns. What has to wait comes last, a part of each such partition at a time: no partition waits for
 * another one.
 */
export async function readAndSettle(items: readonly Item[], context: ReadingContext): Promise<BatchOutcome> {
  const { consumer, log } = context;
  const draining = new Set<number>();
  const total = { skipped: 0, handlerMs: 0, retries: 0, draining };
  let left = items;
  let stuck: Item[] = [];
  let isLast = false;
  let heldFor: Diagnosis | null = null;
  let holds = 0;
  while (left.length > 0) {
    const budget = { ...DECODE_BUDGET, waitMs: context.usableMs() * DECODE_SHARE_OF_TIME };
    const { ready, left: unread, heldBy } = await (isLast ? decodeEach : decode)(left, budget, context);
    left = unread;
    if (ready.length > 0) {
      const mayWait = isLast || (left.length === 0 && stuck.length === 0);
      const outcome = await settleBatch(ready, context, mayWait);
      total.skipped += outcome.skipped;
      total.handlerMs += outcome.handlerMs;
      total.retries += outcome.retries;
      for (const partition of outcome.draining) draining.add(partition);
      holds = 0;
      for (const item of ready) item.record = null;
      const returned = ready.filter(({ outcome }) => outcome === 'returned');
      if (returned.length > 0) {
        if (mayWait || outcome.stoppedBy?.action === 'halt')
          return { ...total, stoppedBy: outcome.stoppedBy ?? heldFor };
        heldFor ??= outcome.stoppedBy;
        const waiting = new Set(returned.map(({ raw }) => raw.partition));
        const isWaiting = ({ raw }: Item) => waiting.has(raw.partition);
        stuck.push(...returned, ...left.filter(isWaiting));
        left = left.filter((item) => !isWaiting(item));
      }
    } else if (left.length > 0) {
      // What is parked waits for the next delivery, which is not to wait for it.
      if (heldBy?.action !== 'hold' || context.arrival === 'release') return { ...total, stoppedBy: heldBy };
      holds++;
      log.warn(LOGGED.held, { ...factsOf(heldBy), holds });
      if (!(await backOff(holds, consumer.retry, context.usableMs(), context)))
        return { ...total, stoppedBy: heldBy };
      total.retries++;
    }
    if (left.length === 0 && stuck.length > 0) {
      [left, stuck, isLast] = [stuck.toSorted((a, b) => byPosition(a.raw, b.raw)), [], true];
    }
  }
  return { ...total, stoppedBy: null };
}

interface Read {
  readonly ready: Item[];
  readonly left: Item[];
  heldBy: Diagnosis | null;
}

/**
 * Reads as many records as the budget allows, from the first on. Those before a partition's first one that the registry
 * gave no answer for are `ready`; the others are `left`, in order.
 */
async function decode(
  items: readonly Item[],
  budget: DecodeBudget,
  { decoder, clock }: ReadingContext,
): Promise<Read> {
  let decoded: readonly Decoded<unknown>[];
  try {
    decoded = await decoder.decodeBatch(
      items.map(({ raw }) => raw),
      budget,
    );
  } catch (error) {
    return { ready: [], left: [...items], heldBy: diagnose('decode', error, 'UNEXPECTED') };
  }
  const ready: Item[] = [];
  const left: Item[] = [];
  const held = new Set<number>();
  let heldBy: Diagnosis | null = null;
  for (const [index, item] of items.entries()) {
    const result = decoded[index];
    const { partition } = item.raw;
    if (result && 'held' in result) {
      heldBy = diagnose('decode', result.held, 'UNEXPECTED');
      held.add(partition);
    }
    if (!result || held.has(partition)) {
      left.push(item);
      continue;
    }
    ready.push(item);
    if ('record' in result) item.record = result.record;
    else if ('error' in result && item.failure === null) {
      const diagnosis = diagnose('decode', result.error, 'AVRO_INVALID');
      item.failure = describeFailure(diagnosis, historyWith(item, clock.now()));
    }
  }
  return { ready, left, heldBy };
}

/** As `decode`, with a share of the budget for each partition. */
async function decodeEach(
  items: readonly Item[],
  budget: DecodeBudget,
  context: ReadingContext,
): Promise<Read> {
  const partitions = [...Map.groupBy(items, ({ raw }) => raw.partition).values()];
  const share = (of: number) => Math.max(1, Math.floor(of / partitions.length));
  const all: Read = { ready: [], left: [], heldBy: null };
  for (const each of partitions) {
    const shared = {
      lookUps: share(budget.lookUps),
      bodyBytes: share(budget.bodyBytes),
      waitMs: share(budget.waitMs),
    };
    const { ready, left, heldBy } = await decode(each, shared, context);
    all.ready.push(...ready);
    all.left.push(...left);
    all.heldBy ??= heldBy;
  }
  return all;
}

export function byPosition(a: RawRecord, b: RawRecord): number {
  return a.partition - b.partition || a.offset - b.offset;
}

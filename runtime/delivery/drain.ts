/** Parked records on their way into the handler: what waits for no letter is applied, in the order of each key. */
import type { Clock, Logger } from '../ports.ts';
import type { RawRecord } from '../record.ts';
import { factsOf } from './batch.ts';
import type { AnyConsumer } from './consumer.ts';
import { type Diagnosis, diagnose } from './failure.ts';
import type { Item } from './item.ts';
import {
  addReleased,
  type KeyAfter,
  type KeyRelease,
  NOTHING_RELEASED,
  type Released,
  readKey,
  releaseKey,
} from './release.ts';
import type { Invocation } from './settle.ts';
import { NO_CHANGE, type Sink } from './sink.ts';

/** What is taken out of those parked at once: as much as a delivery brings, so that it is settled as one. */
const DRAIN_AT_ONCE = { records: 5_000, bytes: 6 * 1024 * 1024 } as const;
/** With less of the function's time than this, parked records are left to the next invocation. */
const MIN_SHARE_OF_TIME = 1 / 20;

export interface DrainPorts {
  readonly consumer: AnyConsumer;
  readonly sink: Sink<unknown>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Settles parked records by the engine's own path. */
  settle(
    raws: readonly RawRecord[],
    epoch: number,
    invocation: Invocation,
  ): Promise<{ readonly items: readonly Item[]; readonly stoppedBy: Diagnosis | null }>;
}

export interface Drains {
  /**
   * Applies what is parked in these partitions and waits for no letter, in the order of each key, until nothing is left
   * or a key's next record fails. What comes meanwhile is parked behind it, so that nothing overtakes.
   * @returns the partitions that are not done, each for the next invocation
   * @throws what the table calls `halt`
   */
  drain(draining: ReadonlySet<number>, epoch: number, invocation: Invocation): Promise<ReadonlySet<number>>;
  /** As `Engine.release` promises. */
  release(of: KeyRelease, invocation: Invocation): Promise<(Released & KeyAfter) | null>;
}

export function createDrains({ consumer, sink, clock, log, settle }: DrainPorts): Drains {
  const usableIn = (invocation: Invocation) => () =>
    invocation.remainingMs() - consumer.timeoutMs * MIN_SHARE_OF_TIME;

  async function drain(
    draining: ReadonlySet<number>,
    epoch: number,
    invocation: Invocation,
  ): Promise<ReadonlySet<number>> {
    const left = new Set(draining);
    const usableMs = usableIn(invocation);
    for (const partition of draining) {
      while (usableMs() > 0) {
        const raws = await nextParked(partition, epoch, usableMs());
        if (!raws) break;
        if (raws.length === 0) {
          left.delete(partition);
          break;
        }
        const { items, stoppedBy } = await settle(raws, epoch, invocation);
        if (stoppedBy?.action === 'halt') throw stoppedBy.error;
        if (items.some(({ outcome }) => outcome === 'returned')) break;
      }
    }
    return left;
  }

  /**
   * Parked records that wait for no letter; null where the sink cannot tell now. Where there is none, the ledger says so
   * from then on.
   */
  async function nextParked(
    partition: number,
    epoch: number,
    budgetMs: number,
  ): Promise<readonly RawRecord[] | null> {
    const of = { topic: consumer.topic.name, partition };
    const key = { consumer: consumer.name, epoch };
    try {
      return await within(budgetMs, (signal) =>
        sink.transaction(async (opened) => {
          await opened.lockLedgers(key, [{ ...of, from: 0, to: 0 }]);
          const raws = await opened.keys!.nextParked(key, [of], DRAIN_AT_ONCE);
          if (raws.length === 0)
            await opened.keys!.write(key, { ...NO_CHANGE, draining: [{ ...of, isDraining: false }] });
          return raws;
        }, signal),
      );
    } catch (error) {
      const diagnosis = diagnose('write', error, 'SINK_UNAVAILABLE');
      if (diagnosis.action === 'halt') throw error;
      log.warn('Parked records not applied yet', { partition, ...factsOf(diagnosis) });
      return null;
    }
  }

  /** @throws OutOfTime where the work heeds its signal, and is not done in time */
  async function within<Result>(
    budgetMs: number,
    work: (signal: AbortSignal) => Promise<Result>,
  ): Promise<Result> {
    const timer = new AbortController();
    const over = new AbortController();
    void clock.sleep(budgetMs, timer.signal).then(() => {
      if (!timer.signal.aborted) over.abort(new OutOfTime());
    });
    try {
      return await work(over.signal);
    } finally {
      timer.abort();
    }
  }

  async function release(of: KeyRelease, invocation: Invocation): Promise<(Released & KeyAfter) | null> {
    const usableMs = usableIn(invocation);
    /** Null where the time is over. */
    const inTime = <Result>(work: (signal: AbortSignal) => Promise<Result>): Promise<Result | null> =>
      usableMs() <= 0
        ? Promise.resolve(null)
        : within(usableMs(), work).catch((error: unknown) => {
            if (error instanceof OutOfTime) return null;
            throw error;
          });
    let total = NOTHING_RELEASED;
    const draining = new Set<number>();
    for (let isWhole = false; !isWhole; ) {
      const part = await inTime((signal) => releaseKey(of, consumer.name, sink, signal));
      if (!part) return null;
      isWhole = part.isWhole;
      if (part.isDraining) draining.add(of.partition);
      total = addReleased(total, part.released);
    }
    const left = await drain(draining, of.epoch, invocation);
    if (left.size > 0) return null;
    const after = await inTime((signal) => readKey(of, consumer.name, sink, signal));
    return after && { ...total, ...after };
  }

  return { drain, release };
}

/** No time is left to ask the sink. */
class OutOfTime extends Error {}

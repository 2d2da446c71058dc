/** Parked records on their way into the handler: what waits for no letter is applied, in the order of each key. */
import type { Clock, Logger } from '../ports.ts';
import { keyId, type RawRecord } from '../record.ts';
import { factsOf } from './batch.ts';
import type { AnyConsumer } from './consumer.ts';
import { type Diagnosis, diagnose } from './failure.ts';
import { mayBeARecords } from './handler.ts';
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
import { OutOfTime, within } from './within.ts';

/** What is taken out of those parked at once: as much as a delivery brings, so that it is settled as one. */
const DRAIN_AT_ONCE = { records: 5_000, bytes: 6 * 1024 * 1024 } as const;
/** With less of the function's time than this, parked records are left to the next invocation. */
const MIN_SHARE_OF_TIME = 1 / 20;
/** Keys that a drain leaves behind, each for a record that is held, before it takes the cause for everybody's. */
const MOST_STUCK = 3;
const NOT_APPLIED = 'Parked records not applied yet';

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
   * or a key's next record fails. What comes meanwhile is parked behind it, so that nothing overtakes. A record that is held
   * or halted stays parked, and is logged: neither a delivery nor a letter is to wait or to fail for it.
   * @returns the partitions that are not done, each for the next invocation
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
    for (const partition of draining) {
      const { isDone, stoppedBy } = await drainOne(partition, epoch, invocation);
      if (isDone) left.delete(partition);
      if (!stoppedBy) continue;
      const facts = { partition, ...factsOf(stoppedBy) };
      if (stoppedBy.action === 'halt') log.error(NOT_APPLIED, facts);
      else log.warn(NOT_APPLIED, facts);
    }
    return left;
  }

  async function drainOne(
    partition: number,
    epoch: number,
    invocation: Invocation,
  ): Promise<{ readonly isDone: boolean; readonly stoppedBy: Diagnosis | null }> {
    const usableMs = usableIn(invocation);
    const stuck = new Set<string>();
    let stuckFor: Diagnosis | null = null;
    while (usableMs() > 0) {
      try {
        const next = await nextParked(partition, epoch, usableMs());
        const raws = next.filter((raw) => !stuck.has(idOf(raw)));
        if (raws.length === 0) return { isDone: next.length === 0, stoppedBy: stuckFor };
        const { items, stoppedBy } = await settle(raws, epoch, invocation);
        const first = items.find(({ outcome }) => outcome === 'returned');
        if (!first) continue;
        stuckFor ??= stoppedBy;
        if (!stoppedBy || !mayBeItsOwn(stoppedBy) || stuck.size === MOST_STUCK) break;
        stuck.add(idOf(first.raw));
      } catch (error) {
        const code = error instanceof OutOfTime ? 'SINK_UNAVAILABLE' : 'UNEXPECTED';
        return { isDone: false, stoppedBy: diagnose('write', error, code) };
      }
    }
    return { isDone: false, stoppedBy: stuckFor };
  }

  /**
   * Parked records that wait for no letter. Where there is none, the ledger says so from then on.
   * @throws what the sink throws, and OutOfTime
   */
  async function nextParked(
    partition: number,
    epoch: number,
    budgetMs: number,
  ): Promise<readonly RawRecord[]> {
    const of = { topic: consumer.topic.name, partition };
    const key = { consumer: consumer.name, epoch };
    return within(budgetMs, clock, (signal) =>
      sink.transaction(async (opened) => {
        await opened.lockLedgers(key, [{ ...of, from: 0, to: 0 }]);
        const raws = await opened.keys!.nextParked(key, [of], DRAIN_AT_ONCE);
        if (raws.length === 0)
          await opened.keys!.write(key, { ...NO_CHANGE, draining: [{ ...of, isDraining: false }] });
        return raws;
      }, signal),
    );
  }

  async function release(of: KeyRelease, invocation: Invocation): Promise<(Released & KeyAfter) | null> {
    const usableMs = usableIn(invocation);
    /** Null where the time is over. */
    const inTime = <Result>(work: (signal: AbortSignal) => Promise<Result>): Promise<Result | null> =>
      usableMs() <= 0
        ? Promise.resolve(null)
        : within(usableMs(), clock, work).catch((error: unknown) => {
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

/** Whether a record may be held for a cause of its own, which other keys need not share. */
function mayBeItsOwn(stoppedBy: Diagnosis): boolean {
  return mayBeARecords(stoppedBy) && stoppedBy.code !== 'CONSUMER_BROKEN';
}

/** What is parked has a key. */
function idOf({ partition, key }: RawRecord): string {
  return keyId({ partition, key: key! });
}

/** The consumer engine: a batch in, every record settled or handed back. Composes parsing, decoding and settling. */

import { createDecoder, type DecodeBudget, type Decoded } from '../contract/codec.ts';
import type { SchemaRegistry } from '../contract/registry.ts';
import { MillraceError } from '../errors.ts';
import type { Clock, Logger, Random } from '../ports.ts';
import { type RawRecord, recordId } from '../record.ts';
import { backOff } from './backoff.ts';
import { type BatchContext, type BatchOutcome, factsOf, settleBatch } from './batch.ts';
import { createBreakers } from './breaker-watch.ts';
import type { AnyConsumer } from './consumer.ts';
import {
  type DeadLetter,
  type DeadLetterStore,
  type FailureHistory,
  historyOf,
  NO_HISTORY,
} from './dead-letter.ts';
import { type Diagnosis, describeFailure, diagnose } from './failure.ts';
import { historyWith, type Item, newItem, type Outcome } from './item.ts';
import type { Arrival, Replay } from './ledger.ts';
import { type BatchReport, LOGGED, type Metrics } from './metrics.ts';
import { createPatience } from './patience.ts';
import { createRecentLetters } from './recent-letters.ts';
import {
  addReleased,
  type KeyAfter,
  type KeyRelease,
  NOTHING_RELEASED,
  type Released,
  readKey,
  releaseKey,
} from './release.ts';
import { NO_CHANGE, type Sink } from './sink.ts';

export interface EnginePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly registry: SchemaRegistry;
  // biome-ignore lint/suspicious/noExplicitAny: the consumer's declaration says which transaction its sink gives.
  readonly sink: Sink<any>;
  readonly deadLetters: DeadLetterStore;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** What tells this version of the code from every other, for the breaker. @default one for all */
  readonly code?: string;
}

/** One run of the function. */
export interface Invocation {
  readonly requestId: string;
  readonly functionName: string;
  readonly functionVersion: string;
  /** Milliseconds until the function is stopped. */
  remainingMs(): number;
  /** Set where the records are replayed. */
  readonly replay?: Replay | undefined;
}

/** What became of a batch. */
export interface Delivered {
  /** One for each record, in order. The event source has to deliver again what is `returned`. */
  readonly outcomes: readonly Outcome[];
  /** What kept records from being settled; null where all are, or the time ran out. */
  readonly heldBy: Diagnosis | null;
}

export interface Engine {
  /** Its consumer's name, and the topic's. */
  readonly consumer: string;
  readonly topic: string;
  /**
   * Settles records of its topic, which come in partition, then offset order. When it resolves, each record that is not
   * `returned` is applied, was applied before, or is a durable dead letter (promise 1). A partition's returned records are
   * its last ones.
   * @throws TOPIC_RECREATED, SINK_MISCONFIGURED and whatever else the table calls `halt`
   */
  deliver(records: readonly RawRecord[], invocation: Invocation): Promise<Delivered>;
  /**
   * Settles dead letters of this consumer, as if they were delivered once more; gives an outcome for each letter,
   * in order. A letter that fails again is in the dead-letter store again when this resolves; one that is `early`
   * or `returned` is to be kept and tried again. What was parked behind a letter is applied before this resolves; where
   * the time does not suffice, the letter is `returned`. One that is `overtaken` is in the dead-letter store again.
   * @param mayBeOvertaken which letters may be applied though a newer record of their key was. @default none
   * @throws DEAD_LETTER_FOREIGN when a letter is another consumer's; nothing is settled then
   * @throws what the table calls `halt`
   */
  redrive(
    letters: readonly DeadLetter[],
    invocation: Invocation,
    mayBeOvertaken?: (letter: DeadLetter) => boolean,
  ): Promise<readonly Outcome[]>;
  /**
   * Lets a key go on that waits behind letters, and applies what is parked behind them; what is discarded is not applied.
   * Null where that is not done in the time of the invocation: it is to be asked again.
   * @throws what the sink throws, and what the table calls `halt`
   */
  release(of: KeyRelease, invocation: Invocation): Promise<(Released & KeyAfter) | null>;
  /**
   * Takes what escaped a handler, such as the rejection of a promise that it did not await, for the failure of the
   * handle() that is running. False where none is.
   */
  escaped(error: unknown): boolean;
}

/**
 * What decoding may spend before the records it has read are settled: 4 MiB of Avro can be 160 MB of small objects, and a
 * topic has few schemas.
 */
const DECODE_BUDGET = { lookUps: 64, bodyBytes: 4 * 1024 * 1024 } as const;
const DECODE_SHARE_OF_TIME = 1 / 3;

/** What is taken out of those parked at once: as much as a delivery brings, so that it is settled as one. */
const DRAIN_AT_ONCE = { records: 5_000, bytes: 6 * 1024 * 1024 } as const;
/** With less of the function's time than this, parked records are left to the next invocation. */
const MIN_SHARE_OF_TIME = 1 / 20;

/** Builds the engine of one consumer; keep it between invocations, it caches the schemas it has seen. */
export function createEngine(consumer: AnyConsumer, ports: EnginePorts): Engine {
  const { clock, log } = ports;
  const decoder = createDecoder(consumer.topic, ports.registry, clock);
  const patience = createPatience();
  const recentLetters = createRecentLetters(clock);
  const breakers = createBreakers(consumer, { code: 'unknown', ...ports });
  const running = new Set<(error: unknown) => void>();

  /**
   * Reads as many records as the budget allows, from the first on. Those before a partition's first one that the registry
   * gave no answer for are `ready`; the others are `left`, in order.
   */
  async function decode(
    items: readonly Item[],
    budget: DecodeBudget,
  ): Promise<{ ready: Item[]; left: Item[]; heldBy: Diagnosis | null }> {
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
  async function decodeEach(items: readonly Item[], budget: DecodeBudget): ReturnType<typeof decode> {
    const partitions = [...Map.groupBy(items, ({ raw }) => raw.partition).values()];
    const share = (of: number) => Math.max(1, Math.floor(of / partitions.length));
    const all: Awaited<ReturnType<typeof decode>> = { ready: [], left: [], heldBy: null };
    for (const each of partitions) {
      const { ready, left, heldBy } = await decode(each, {
        lookUps: share(budget.lookUps),
        bodyBytes: share(budget.bodyBytes),
        waitMs: share(budget.waitMs),
      });
      all.ready.push(...ready);
      all.left.push(...left);
      all.heldBy ??= heldBy;
    }
    return all;
  }

  /** Works off records of one ledger, in order, and tells what became of them, whatever the end. */
  async function run(
    raws: readonly RawRecord[],
    arrival: Arrival,
    epoch: number,
    invocation: Invocation,
    {
      historyAt = () => NO_HISTORY,
      mayBeOvertaken = () => false,
    }: {
      readonly historyAt?: (index: number) => FailureHistory;
      readonly mayBeOvertaken?: (index: number) => boolean;
    } = {},
  ): Promise<Ran> {
    const startedAt = clock.now();
    const ledger = { consumer: consumer.name, epoch };
    const reserveMs = Math.min(1_000, consumer.timeoutMs / 10);
    const context: BatchContext = {
      ...ports,
      consumer,
      arrival,
      invocation,
      patience,
      recentLetters,
      ledger,
      breaker: breakers(ledger, arrival),
      usableMs: () => invocation.remainingMs() - reserveMs,
      schemaIdOf: (raw) => decoder.schemaIdOf(raw),
      ...(arrival === 'delivery' && {
        drain: (partitions: ReadonlySet<number>) => drain(partitions, epoch, invocation),
      }),
      watchEscapes(onEscaped) {
        running.add(onEscaped);
        return () => running.delete(onEscaped);
      },
    };
    const items = raws.map((raw, index) => newItem(raw, historyAt(index), mayBeOvertaken(index)));
    const outcome = await workOff(items, context);
    const counts = tally(items);
    ports.metrics.report({
      consumer: consumer.name,
      topic: consumer.topic.name,
      ...counts,
      broken: outcome.stoppedBy?.code === 'CONSUMER_BROKEN' ? counts.returned : 0,
      skipped: outcome.skipped,
      retries: outcome.retries,
      batchMs: clock.now() - startedAt,
      handlerMs: outcome.handlerMs,
    });
    logTrouble(items, outcome);
    return { items, stoppedBy: outcome.stoppedBy, draining: outcome.draining };
  }

  const usableIn = (invocation: Invocation) => () =>
    invocation.remainingMs() - consumer.timeoutMs * MIN_SHARE_OF_TIME;

  /**
   * Applies what is parked in these partitions and waits for no letter, in the order of each key, until nothing is left
   * or a key's next record fails. What comes meanwhile is parked behind it, so that nothing overtakes.
   * @returns the partitions that are not done, each for the next invocation
   * @throws what the table calls `halt`
   */
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
        const { items, stoppedBy } = await run(raws, 'release', epoch, invocation);
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
        ports.sink.transaction(async (opened) => {
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

  /**
   * Reads and settles in turns, so that what is read is soon settled and no batch has to fit the memory whole. What has to
   * wait comes last, a part of each such partition at a time: no partition waits for another one.
   */
  async function workOff(items: readonly Item[], context: BatchContext): Promise<BatchOutcome> {
    const draining = new Set<number>();
    const total = { skipped: 0, handlerMs: 0, retries: 0, draining };
    let left = items;
    let stuck: Item[] = [];
    let isLast = false;
    let heldFor: Diagnosis | null = null;
    let holds = 0;
    while (left.length > 0) {
      const budget = { ...DECODE_BUDGET, waitMs: context.usableMs() * DECODE_SHARE_OF_TIME };
      const { ready, left: unread, heldBy } = await (isLast ? decodeEach : decode)(left, budget);
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
        if (heldBy?.action !== 'hold') return { ...total, stoppedBy: heldBy };
        holds++;
        log.warn(LOGGED.held, { ...factsOf(heldBy), holds });
        if (!(await backOff(holds, consumer.retry, context.usableMs(), ports)))
          return { ...total, stoppedBy: heldBy };
        total.retries++;
      }
      if (left.length === 0 && stuck.length > 0) {
        [left, stuck, isLast] = [stuck.toSorted((a, b) => byPosition(a.raw, b.raw)), [], true];
      }
    }
    return { ...total, stoppedBy: null };
  }

  /** Settles letters of one epoch. What halts one of several is its own: the others are settled without it. */
  async function redriveLetters(
    letters: readonly DeadLetter[],
    epoch: number,
    invocation: Invocation,
    mayBeOvertaken: (letter: DeadLetter) => boolean,
  ): Promise<readonly Outcome[]> {
    const { items, stoppedBy, draining } = await run(
      letters.map(({ record }) => record),
      'redrive',
      epoch,
      invocation,
      {
        historyAt: (at) => historyOf(letters[at]!.failure),
        mayBeOvertaken: (at) => mayBeOvertaken(letters[at]!),
      },
    );
    await keepOvertaken(letters, items);
    const isHalt = stoppedBy?.action === 'halt';
    if (isHalt && letters.length === 1) throw stoppedBy.error;
    const notDrained = await drain(draining, epoch, invocation);
    // Where no delivery comes to go on with it, the letter's own message does.
    const outcomes = items.map(({ outcome, raw }) => {
      const isDone = ['applied', 'duplicate', 'repeated'].includes(outcome);
      return isDone && notDrained.has(raw.partition) ? 'returned' : outcome;
    });
    if (!isHalt) {
      // What they were behind is applied: with several letters of a key, each is the first in its turn.
      const again = letters.filter((_, at) => outcomes[at] === 'early');
      const isFurther = outcomes.includes('applied') || outcomes.includes('repeated');
      if (again.length === 0 || !isFurther) return outcomes;
      const later = await redriveLetters(again, epoch, invocation, mayBeOvertaken);
      const ofLater = later.values();
      return outcomes.map((outcome) => (outcome === 'early' ? ofLater.next().value! : outcome));
    }
    let halted = 0;
    for (const [at, letter] of letters.entries()) {
      if (items[at]!.outcome !== 'returned') continue;
      try {
        [outcomes[at] = 'returned'] = await redriveLetters([letter], epoch, invocation, mayBeOvertaken);
      } catch (error) {
        if (++halted === letters.length) throw error;
        log.error('Dead letter not redriven', {
          id: letter.id,
          ...factsOf(diagnose('handle', error, 'UNEXPECTED')),
        });
      }
    }
    return outcomes;
  }

  /** Puts letters that were overtaken back as they were. One that cannot be kept is delivered again. */
  async function keepOvertaken(letters: readonly DeadLetter[], items: readonly Item[]): Promise<void> {
    const overtaken = letters.filter((_, at) => items[at]!.outcome === 'overtaken');
    if (overtaken.length === 0) return;
    try {
      await ports.deadLetters.put(overtaken);
    } catch (error) {
      log.warn(
        'Overtaken letters not kept',
        factsOf(diagnose('handle', error, 'DEAD_LETTER_STORE_UNAVAILABLE')),
      );
      for (const item of items) if (item.outcome === 'overtaken') item.outcome = 'returned';
    }
  }

  function logTrouble(items: readonly Item[], { skipped }: BatchOutcome): void {
    for (const { raw, failure, outcome } of items) {
      if (outcome !== 'deadLettered' || !failure) continue;
      const { topic, partition, offset } = raw;
      const { stage, code, attempts } = failure;
      log.warn(LOGGED.deadLettered, { topic, partition, offset, stage, code, attempts });
    }
    if (skipped > 0) {
      const topic = consumer.topic.name;
      log.error(LOGGED.skipped, {
        topic,
        offsets: skipped,
      });
    }
  }

  return {
    consumer: consumer.name,
    topic: consumer.topic.name,

    async deliver(records, invocation) {
      const { items, stoppedBy, draining } = await run(records, 'delivery', consumer.epoch, invocation);
      if (stoppedBy?.action === 'halt') throw stoppedBy.error;
      await drain(draining, consumer.epoch, invocation);
      return { outcomes: items.map(({ outcome }) => outcome), heldBy: stoppedBy };
    },

    async release(of, invocation) {
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
        const part = await inTime((signal) => releaseKey(of, consumer.name, ports.sink, signal));
        if (!part) return null;
        isWhole = part.isWhole;
        if (part.isDraining) draining.add(of.partition);
        total = addReleased(total, part.released);
      }
      const left = await drain(draining, of.epoch, invocation);
      if (left.size > 0) return null;
      const after = await inTime((signal) => readKey(of, consumer.name, ports.sink, signal));
      return after && { ...total, ...after };
    },

    escaped(error) {
      for (const onEscaped of running) onEscaped(error);
      return running.size > 0;
    },

    async redrive(letters, invocation, mayBeOvertaken = () => false) {
      const foreign = letters.find((letter) => letter.consumer !== consumer.name);
      if (foreign) throw foreignLetter(foreign, consumer.name);
      const outcomes: Outcome[] = [];
      const indexed = letters.map((letter, index) => ({ letter, index }));
      for (const [epoch, ofEpoch] of Map.groupBy(indexed, ({ letter }) => letter.epoch)) {
        // Copies of a letter are settled once: what happens to the first says what became of the others.
        const records = [...Map.groupBy(ofEpoch, ({ letter }) => recordId(letter.record)).values()];
        const queue = records
          .map(([first, ...others]) => ({ ...first!, others }))
          .sort((a, b) => byPosition(a.letter.record, b.letter.record));
        const permitted = new Set(
          queue
            .filter(({ letter, others }) =>
              [letter, ...others.map((other) => other.letter)].some(mayBeOvertaken),
            )
            .map(({ letter }) => letter),
        );
        const settled = await redriveLetters(
          queue.map(({ letter }) => letter),
          epoch,
          invocation,
          (letter) => permitted.has(letter),
        );
        for (const [at, outcome] of settled.entries()) {
          const { index, others } = queue[at]!;
          outcomes[index] = outcome;
          for (const other of others) outcomes[other.index] = outcome === 'applied' ? 'duplicate' : outcome;
        }
      }
      return outcomes;
    },
  };
}

/** No time is left to ask the sink. */
class OutOfTime extends Error {}

/** What became of records, whatever the end. */
interface Ran {
  readonly items: readonly Item[];
  readonly stoppedBy: Diagnosis | null;
  /** Partitions that may have parked records which wait for no letter. */
  readonly draining: ReadonlySet<number>;
}

/** The counts of a report that stand in the items. */
function tally(
  items: readonly Item[],
): Omit<BatchReport, 'consumer' | 'topic' | 'broken' | 'skipped' | 'retries' | 'batchMs' | 'handlerMs'> {
  const counts: Record<Outcome, number> = {
    applied: 0,
    duplicate: 0,
    repeated: 0,
    deadLettered: 0,
    parked: 0,
    early: 0,
    overtaken: 0,
    returned: 0,
  };
  let bytes = 0;
  for (const { raw, outcome } of items) {
    counts[outcome]++;
    bytes += (raw.key?.length ?? 0) + (raw.value?.length ?? 0);
  }
  return {
    records: items.length,
    bytes,
    applied: counts.applied,
    duplicates: counts.duplicate,
    repeated: counts.repeated,
    parked: counts.parked,
    deadLettered: counts.deadLettered,
    returned: counts.returned + counts.early,
  };
}

function byPosition(a: RawRecord, b: RawRecord): number {
  return a.partition - b.partition || a.offset - b.offset;
}

function foreignLetter(letter: DeadLetter, consumer: string): MillraceError {
  return new MillraceError(
    'DEAD_LETTER_FOREIGN',
    `Dead letter ${letter.id} belongs to consumer ${JSON.stringify(letter.consumer)}, not to ` +
      `${JSON.stringify(consumer)}. Redrive it to the consumer that failed it.`,
    { details: { id: letter.id, consumer } },
  );
}

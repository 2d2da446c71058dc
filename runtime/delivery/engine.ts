/** The consumer engine: a batch in, every record settled or handed back. Composes parsing, decoding and settling. */

import { createDecoder } from '../contract/codec.ts';
import type { SchemaRegistry } from '../contract/registry.ts';
import { MillraceError } from '../errors.ts';
import type { Clock, Logger, Random } from '../ports.ts';
import { keyId, type RawRecord, recordId } from '../record.ts';
import { type BatchOutcome, factsOf } from './batch.ts';
import { createBreakers } from './breaker-watch.ts';
import type { AnyConsumer } from './consumer.ts';
import {
  type DeadLetter,
  type DeadLetterStore,
  type FailureHistory,
  historyOf,
  NO_HISTORY,
} from './dead-letter.ts';
import { createDrains } from './drain.ts';
import { type Diagnosis, diagnose } from './failure.ts';
import { type Item, newItem, type Outcome } from './item.ts';
import type { Arrival } from './ledger.ts';
import { type BatchReport, LOGGED, type Metrics } from './metrics.ts';
import { createPatience } from './patience.ts';
import { byPosition, type ReadingContext, readAndSettle } from './reading.ts';
import { createRecentLetters } from './recent-letters.ts';
import type { KeyAfter, KeyRelease, Released } from './release.ts';
import type { Invocation } from './settle.ts';
import type { Sink } from './sink.ts';

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
   * @throws what the sink throws
   */
  release(of: KeyRelease, invocation: Invocation): Promise<(Released & KeyAfter) | null>;
  /**
   * Takes what escaped a handler, such as the rejection of a promise that it did not await, for the failure of the
   * handle() that is running. False where none is.
   */
  escaped(error: unknown): boolean;
}

/** Builds the engine of one consumer; keep it between invocations, it caches the schemas it has seen. */
export function createEngine(consumer: AnyConsumer, ports: EnginePorts): Engine {
  const { clock, log } = ports;
  const decoder = createDecoder(consumer.topic, ports.registry, clock);
  const patience = createPatience();
  const recentLetters = createRecentLetters(clock);
  const breakers = createBreakers(consumer, { code: 'unknown', ...ports });
  const running = new Set<(error: unknown) => void>();
  const drains = createDrains({
    ...ports,
    consumer,
    settle: (raws, epoch, invocation) => run(raws, 'release', epoch, invocation),
  });

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
    const context: ReadingContext = {
      ...ports,
      consumer,
      arrival,
      invocation,
      patience,
      recentLetters,
      ledger,
      breaker: breakers(ledger, arrival),
      usableMs: () => invocation.remainingMs() - reserveMs,
      decoder,
      schemaIdOf: (raw) => decoder.schemaIdOf(raw),
      ...(arrival === 'delivery' && {
        drain: (partitions: ReadonlySet<number>) => drains.drain(partitions, epoch, invocation),
      }),
      watchEscapes(onEscaped) {
        running.add(onEscaped);
        return () => running.delete(onEscaped);
      },
    };
    const items = raws.map((raw, index) => newItem(raw, historyAt(index), mayBeOvertaken(index)));
    const outcome = await readAndSettle(items, context);
    const counts = tally(items, arrival);
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

  /** Settles letters of one epoch, in order. With several of a key, each is the first in its turn. */
  async function redriveLetters(
    letters: readonly DeadLetter[],
    epoch: number,
    invocation: Invocation,
    mayBeOvertaken: (letter: DeadLetter) => boolean,
  ): Promise<readonly Outcome[]> {
    const outcomes = await redriveAtOnce(letters, epoch, invocation, mayBeOvertaken);
    const isFurther = (at: number) => isSettled(outcomes[at]!);
    const keyOf = (at: number) => {
      const { partition, key } = letters[at]!.record;
      return key === null ? null : keyId({ partition, key });
    };
    const ofKeys = Map.groupBy(letters.keys(), keyOf);
    ofKeys.delete(null);
    // One transaction for the next of each such key: to ask for all of them again each time would take forever.
    let queues = [...ofKeys.values()]
      .filter((ofKey) => ofKey.some(isFurther))
      .map((ofKey) => ofKey.filter((at) => outcomes[at] === 'early'))
      .filter((queue) => queue.length > 0);
    while (queues.length > 0) {
      const heads = queues.map(([head]) => head!).toSorted((a, b) => a - b);
      const next = heads.map((at) => letters[at]!);
      let settled: readonly Outcome[];
      try {
        settled = await redriveAtOnce(next, epoch, invocation, mayBeOvertaken);
      } catch (error) {
        // Those before them are settled, and are not delivered again for these.
        for (const { id } of next) log.error(NOT_REDRIVEN, haltFacts(id, error));
        settled = next.map(() => 'returned');
      }
      for (const [index, at] of heads.entries()) outcomes[at] = settled[index]!;
      queues = queues.flatMap(([head, ...rest]) => (isFurther(head!) && rest.length > 0 ? [rest] : []));
    }
    return outcomes;
  }

  /** Settles letters that do not wait for each other. What halts one of several is its own: the others are settled without it. */
  async function redriveAtOnce(
    letters: readonly DeadLetter[],
    epoch: number,
    invocation: Invocation,
    mayBeOvertaken: (letter: DeadLetter) => boolean,
  ): Promise<Outcome[]> {
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
    const notDrained = await drains.drain(draining, epoch, invocation);
    // Where no delivery comes to go on with it, the letter's own message does.
    const outcomes = items.map(({ outcome, raw }) => {
      return isSettled(outcome) && notDrained.has(raw.partition) ? 'returned' : outcome;
    });
    if (!isHalt) return outcomes;
    let halted = 0;
    for (const [at, letter] of letters.entries()) {
      if (items[at]!.outcome !== 'returned') continue;
      try {
        [outcomes[at] = 'returned'] = await redriveAtOnce([letter], epoch, invocation, mayBeOvertaken);
      } catch (error) {
        if (++halted === letters.length) throw error;
        log.error(NOT_REDRIVEN, haltFacts(letter.id, error));
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
      await drains.drain(draining, consumer.epoch, invocation);
      return { outcomes: items.map(({ outcome }) => outcome), heldBy: stoppedBy };
    },

    release: drains.release,

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

/** Whether nothing is left to do for a letter. */
function isSettled(outcome: Outcome): boolean {
  return outcome === 'applied' || outcome === 'duplicate' || outcome === 'repeated';
}

const NOT_REDRIVEN = 'Dead letter not redriven';

function haltFacts(id: string, error: unknown): Record<string, unknown> {
  return { id, ...factsOf(diagnose('handle', error, 'UNEXPECTED')) };
}

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
  arrival: Arrival,
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
  // What is released was counted when it was parked.
  const isDelivered = arrival !== 'release';
  return {
    records: isDelivered ? items.length : 0,
    bytes: isDelivered ? bytes : 0,
    applied: counts.applied,
    duplicates: counts.duplicate,
    repeated: counts.repeated,
    parked: isDelivered ? counts.parked : 0,
    deadLettered: counts.deadLettered,
    returned: counts.returned + counts.early,
  };
}

function foreignLetter(letter: DeadLetter, consumer: string): MillraceError {
  return new MillraceError(
    'DEAD_LETTER_FOREIGN',
    `Dead letter ${letter.id} belongs to consumer ${JSON.stringify(letter.consumer)}, not to ` +
      `${JSON.stringify(consumer)}. Redrive it to the consumer that failed it.`,
    { details: { id: letter.id, consumer } },
  );
}

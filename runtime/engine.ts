/** The consumer engine: a batch in, every record settled or handed back. Composes parsing, decoding and settling. */
import { backOff } from './backoff.ts';
import { type BatchContext, type BatchOutcome, factsOf, settleBatch } from './batch.ts';
import { createDecoder, type Decoded } from './codec.ts';
import type { AnyConsumer } from './consumer.ts';
import { type DeadLetter, type FailureHistory, historyOf, NO_HISTORY } from './dead-letters/dead-letter.ts';
import { MillraceError } from './errors.ts';
import { type Diagnosis, describeFailure, diagnose } from './failure.ts';
import { parseKafkaEvent } from './kafka-event.ts';
import type { Arrival } from './ledger.ts';
import type {
  BatchReport,
  Clock,
  DeadLetterStore,
  Logger,
  Metrics,
  Random,
  SchemaRegistry,
  Sink,
} from './ports.ts';
import { type RawRecord, recordId } from './record.ts';
import { historyWith, type Item, type Outcome } from './settle.ts';

export interface EnginePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly registry: SchemaRegistry;
  // biome-ignore lint/suspicious/noExplicitAny: the consumer's declaration says which transaction its sink gives.
  readonly sink: Sink<any>;
  readonly deadLetters: DeadLetterStore;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** One run of the function. */
export interface Invocation {
  readonly requestId: string;
  readonly functionName: string;
  readonly functionVersion: string;
  /** Milliseconds until the function is stopped. */
  remainingMs(): number;
  /**
   * Whether the event source reads a partial batch response. Only in provisioned mode with ReportBatchItemFailures
   * does Lambda: elsewhere it takes any return for success, and what was handed back would be lost.
   */
  readonly partialResponses: boolean;
}

/** Lambda's partial batch response for Kafka; no failures means that all is settled. */
export interface BatchResponse {
  readonly batchItemFailures: readonly {
    readonly itemIdentifier: { readonly partition: string; readonly offset: number };
  }[];
}

export interface Engine {
  /** Its consumer's name, and the topic's. */
  readonly consumer: string;
  readonly topic: string;
  /**
   * Settles the records of a Kafka event: when it resolves with no failures, each one is applied, was applied
   * before, or is a durable dead letter (promise 1).
   * Where some are not: with `partialResponses` resolves with each of them, from the first one of a partition to
   * the end of its batch, as long as any record was settled; else rejects, so that the batch comes again.
   * @throws EVENT_MALFORMED, EVENT_FOREIGN_TOPIC when the event cannot be this consumer's
   * @throws TOPIC_RECREATED, SINK_MISCONFIGURED and whatever else the table calls `halt`
   * @throws BATCH_INCOMPLETE when time ran out, with what held the line as its cause
   */
  consumeBatch(event: unknown, invocation: Invocation): Promise<BatchResponse>;
  /**
   * Settles dead letters of this consumer, as if they were delivered once more; gives an outcome for each letter,
   * in order. A letter that fails again is in the dead-letter store again when this resolves; one that is `early`
   * or `returned` is to be kept and tried again.
   * @throws DEAD_LETTER_FOREIGN when a letter is another consumer's; nothing is settled then
   * @throws what the table calls `halt`
   */
  redrive(letters: readonly DeadLetter[], invocation: Invocation): Promise<readonly Outcome[]>;
}

/** Builds the engine of one consumer; keep it between invocations, it caches the schemas it has seen. */
export function createEngine(consumer: AnyConsumer, ports: EnginePorts): Engine {
  const { clock, log } = ports;
  const decoder = createDecoder(consumer.topic, ports.registry);

  /** Reads the records; a registry that is down holds the line. Undefined when the time is over. */
  async function decode(raws: readonly RawRecord[], context: BatchContext) {
    for (let holds = 1; ; holds++) {
      try {
        return { decoded: await decoder.decodeBatch(raws), holds: holds - 1, stoppedBy: null };
      } catch (error) {
        const stoppedBy = diagnose('decode', error, 'UNEXPECTED');
        log.warn('Line held: trying again', { ...factsOf(stoppedBy), holds });
        const canGoOn =
          stoppedBy.action === 'hold' && (await backOff(holds, consumer.retry, context.usableMs(), ports));
        if (!canGoOn) return { decoded: null, holds: holds - 1, stoppedBy };
      }
    }
  }

  /** Works off records of one ledger, in order, and tells what became of them, whatever the end. */
  async function run(
    raws: readonly RawRecord[],
    arrival: Arrival,
    epoch: number,
    invocation: Invocation,
    historyAt: (index: number) => FailureHistory = () => NO_HISTORY,
  ): Promise<{ items: readonly Item[]; stoppedBy: Diagnosis | null }> {
    const startedAt = clock.now();
    const reserveMs = Math.min(1_000, consumer.timeoutMs / 10);
    const context: BatchContext = {
      ...ports,
      consumer,
      arrival,
      invocation,
      ledger: { consumer: consumer.name, epoch },
      usableMs: () => invocation.remainingMs() - reserveMs,
      schemaIdOf: (raw) => decoder.schemaIdOf(raw),
    };

    const { decoded, holds, stoppedBy } = await decode(raws, context);
    const items = raws.map((raw, index) => itemOf(raw, decoded?.[index], historyAt(index)));
    const outcome: BatchOutcome = decoded
      ? await settleBatch(items, context)
      : { passedOver: 0, handlerMs: 0, retries: 0, stoppedBy };

    ports.metrics.report({
      consumer: consumer.name,
      topic: consumer.topic.name,
      ...tally(items),
      holes: outcome.passedOver,
      retries: holds + outcome.retries,
      batchMs: clock.now() - startedAt,
      handlerMs: outcome.handlerMs,
    });
    logTrouble(items, outcome);
    return { items, stoppedBy: outcome.stoppedBy };
  }

  function itemOf(raw: RawRecord, decoded: Decoded<unknown> | undefined, history: FailureHistory): Item {
    const item: Item = { raw, record: null, failure: null, outcome: 'returned', history };
    if (!decoded) return item;
    if ('record' in decoded) return { ...item, record: decoded.record };
    const diagnosis = diagnose('decode', decoded.error, 'AVRO_INVALID');
    return { ...item, failure: describeFailure(diagnosis, historyWith(item, clock.now())) };
  }

  function logTrouble(items: readonly Item[], { passedOver }: BatchOutcome): void {
    for (const { raw, failure, outcome } of items) {
      if (outcome !== 'dead-lettered' || !failure) continue;
      const { topic, partition, offset } = raw;
      const { stage, code, attempts } = failure;
      log.warn('Record dead-lettered', { topic, partition, offset, stage, code, attempts });
    }
    if (passedOver > 0) {
      const topic = consumer.topic.name;
      log.error('The event source passed over records: redrive the batches it put aside', {
        topic,
        offsets: passedOver,
      });
    }
  }

  return {
    consumer: consumer.name,
    topic: consumer.topic.name,

    async consumeBatch(event, invocation) {
      const raws = parseKafkaEvent(event, consumer.topic.name);
      const { items, stoppedBy } = await run(raws, 'delivery', consumer.epoch, invocation);
      if (stoppedBy?.action === 'halt') throw stoppedBy.error;
      const returned = items.filter(({ outcome }) => outcome === 'returned');
      if (returned.length > 0 && (!invocation.partialResponses || returned.length === items.length)) {
        throw incomplete(returned.length, items.length, stoppedBy);
      }
      return {
        batchItemFailures: returned.map(({ raw: { topic, partition, offset } }) => ({
          itemIdentifier: { partition: `${topic}-${partition}`, offset },
        })),
      };
    },

    async redrive(letters, invocation) {
      const foreign = letters.find((letter) => letter.consumer !== consumer.name);
      if (foreign) throw foreignLetter(foreign, consumer.name);
      const outcomes: Outcome[] = [];
      const indexed = letters.map((letter, index) => ({ letter, index }));
      for (const [epoch, ofEpoch] of Map.groupBy(indexed, ({ letter }) => letter.epoch)) {
        // Twins of a letter are settled once: what happens to the first says what became of the others.
        const twins = [...Map.groupBy(ofEpoch, ({ letter }) => recordId(letter.record)).values()];
        const queue = twins
          .map(([first, ...others]) => ({ ...first!, others }))
          .sort((a, b) => byPosition(a.letter.record, b.letter.record));
        const { items, stoppedBy } = await run(
          queue.map(({ letter }) => letter.record),
          'redrive',
          epoch,
          invocation,
          (at) => historyOf(queue[at]!.letter.failure),
        );
        if (stoppedBy?.action === 'halt') throw stoppedBy.error;
        for (const [at, { outcome }] of items.entries()) {
          const { index, others } = queue[at]!;
          outcomes[index] = outcome;
          for (const other of others) outcomes[other.index] = outcome === 'applied' ? 'duplicate' : outcome;
        }
      }
      return outcomes;
    },
  };
}

/** The counts of a report that stand in the items. */
function tally(
  items: readonly Item[],
): Pick<BatchReport, 'records' | 'bytes' | 'applied' | 'duplicates' | 'deadLettered' | 'returned'> {
  const counts: Record<Outcome, number> = {
    applied: 0,
    duplicate: 0,
    'dead-lettered': 0,
    early: 0,
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
    deadLettered: counts['dead-lettered'],
    returned: counts.returned + counts.early,
  };
}

function byPosition(a: RawRecord, b: RawRecord): number {
  return a.partition - b.partition || a.offset - b.offset;
}

function incomplete(returned: number, delivered: number, stoppedBy: Diagnosis | null): MillraceError {
  const why = stoppedBy ? `the line was held by ${stoppedBy.code}` : 'the time ran out';
  return new MillraceError(
    'BATCH_INCOMPLETE',
    `${returned} of ${delivered} records are not settled: ${why}. Nothing is lost: what is settled is kept, and the ` +
      'event source delivers the batch again.',
    { details: { returned, delivered, heldBy: stoppedBy?.code ?? null }, cause: stoppedBy?.error },
  );
}

function foreignLetter(letter: DeadLetter, consumer: string): MillraceError {
  return new MillraceError(
    'DEAD_LETTER_FOREIGN',
    `Dead letter ${letter.id} belongs to consumer ${JSON.stringify(letter.consumer)}, not to ` +
      `${JSON.stringify(consumer)}. Redrive it to the consumer that failed it.`,
    { details: { id: letter.id, consumer } },
  );
}

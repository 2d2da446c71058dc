/**
 * A small world in which the delivery promises can be tried: a topic, an event source that does all that Lambda's
 * may do, a sink and a dead-letter store that fail or stop between any two steps, and a handler with bad records.
 */

import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import { defineTopic } from '../../../runtime/contract/contract.ts';
import { settleMessages } from '../../../runtime/dead-letters/redrive/receive.ts';
import { type AnyConsumer, defineConsumer } from '../../../runtime/delivery/consumer.ts';
import {
  type DeadLetter,
  type DeadLetterStore,
  deadLetterId,
} from '../../../runtime/delivery/dead-letter.ts';
import { createEngine, type Engine } from '../../../runtime/delivery/engine.ts';
import type { Ledger, Replay } from '../../../runtime/delivery/ledger.ts';
import type { BatchReport } from '../../../runtime/delivery/metrics.ts';
import { type OffsetRange, union } from '../../../runtime/delivery/offset-ranges.ts';
import type { KeyRelease } from '../../../runtime/delivery/release.ts';
import type { KeyChange, Sink } from '../../../runtime/delivery/sink.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { type KafkaInvocation, settleKafkaEvent } from '../../../runtime/lambda/kafka-batch.ts';
import { encodeKafkaEvent } from '../../../runtime/lambda/kafka-event.ts';
import type { ReceivedMessage } from '../../../runtime/lambda/queue-event.ts';
import type { ObjectStore } from '../../../runtime/objects.ts';
import type { ConsumerRecord, RawRecord } from '../../../runtime/record.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { MemorySink, type MemoryTx } from '../../../testing/memory-sink.ts';
import { type Event, eventRecord, eventRegistry, events } from '../events.ts';
import { refusing, Stop, stoppable } from './stopping.ts';

/**
 * What a record is like: `garbage` never decodes; `throws` makes the handler throw and `rejected` is given to fail(),
 * both until the handler is fixed; `flaky` throws as often as `failures` says and then goes well.
 */
export type Nature =
  | { readonly kind: 'good' | 'garbage' | 'throws' | 'refused' | 'rejected' }
  | { readonly kind: 'odd'; readonly timestamp: number }
  | { readonly kind: 'flaky'; readonly failures: number };

/** What goes wrong during one invocation. */
export interface Trouble {
  /** Stops the function for good at this step, counted over its port calls; null never. */
  readonly stopAt: number | null;
  /** So many of the next sink transactions, and of the next writes of letters, are refused. */
  readonly sinkRefusals: number;
  readonly letterRefusals: number;
  /** Port calls take up to so long. */
  readonly delayMs: number;
  readonly remainingMs: number;
}

export interface Partition {
  readonly records: RawRecord[];
  readonly natures: Nature[];
  /** Of each record the offset at which its event was first sent. */
  readonly sentAt: number[];
  /** The next offset the event source will deliver: everything before it, it has let go of. */
  cursor: number;
  /** Offsets the event source gave up on, or never meant to deliver, and that nobody applied since. */
  readonly discarded: Set<number>;
  /** Every offset that was ever discarded. */
  readonly everDiscarded: Set<number>;
}

/** A sink as the world sees it: where its effects and its ledgers can be looked up. */
export interface WorldSink {
  /** As a new instance of the function opens it. @param step is awaited before and after each call to what outlives the instance */
  // biome-ignore lint/suspicious/noExplicitAny: each has a transaction of its own, which its `apply` knows.
  open(step: () => Promise<void>): Sink<any>;
  // biome-ignore lint/suspicious/noExplicitAny: as above.
  apply(record: ConsumerRecord<Event>, tx: any, replay: Replay | undefined): Promise<void>;
  /** The offsets whose effects were applied, in the order they were. */
  effects(partition: number): readonly number[];
  ledger(partition: number): Ledger | undefined;
  /** What is remembered of a partition's keys. Absent where the sink has no `KeyStore`. */
  remembered?(partition: number): Remembered;
}

export interface Remembered {
  readonly letters: ReadonlyMap<
    number,
    { readonly key: Buffer; readonly isWaitedFor: boolean; readonly overtakenBy: number | null }
  >;
  readonly parked: ReadonlyMap<number, RawRecord>;
  readonly isDraining: boolean;
}

/** What of a declaration a world may be told. */
export type WorldDeclaration = Partial<
  Pick<AnyConsumer, 'onDeadLetter' | 'onOvertaken' | 'parkLimit' | 'breaker' | 'once'>
>;

const identified = defineTopic<Event>({
  name: events.name,
  owner: 'tests',
  key: 'id',
  identity: 'id',
  versions: events.versions,
});

const LEDGER = { consumer: 'world', epoch: 1 } as const;

export function memoryWorldSink(): WorldSink {
  const sink = new MemorySink();
  return {
    open: () => sink,
    apply: (record, tx: MemoryTx) => tx.append(`effects/${record.partition}`, record.offset),
    effects: (partition) => (sink.value(`effects/${partition}`) as number[] | undefined) ?? [],
    ledger: (partition) => sink.ledger(LEDGER, { topic: events.name, partition }),
    remembered: (partition) => sink.keys.of(LEDGER, { topic: events.name, partition }),
  };
}

export class World {
  readonly partitions: Partition[];
  readonly #sink: WorldSink;
  readonly letters = new Map<string, DeadLetter>();
  readonly reports: BatchReport[] = [];
  /** Every letter ever stored, by id. */
  readonly everDeadLettered = new Set<string>();
  /** Letters that were made since there was no room to park their record. */
  readonly everOverflowed = new Set<string>();
  /** Records that some transaction meant to park, by the ids of their letters. */
  readonly everParked = new Set<string>();
  /** Parked records that somebody asked to discard, by the ids of their letters. */
  readonly mayBeDropped = new Set<string>();
  isMended = false;
  readonly #clock = createFakeClock({ autoAdvance: true });
  readonly #random;
  #requests = 0;
  readonly #failuresLeft = new Map<string, number>();
  #consumer: AnyConsumer;
  readonly #store: DeadLetterStore;

  /** @param store takes the letters as well as `letters` does */
  constructor(
    partitions: readonly {
      natures: readonly Nature[];
      /** The default is one of its own for each record. */
      keys?: readonly (Buffer | null)[];
      /** The default is that each was sent once. */
      sentAt?: readonly number[];
      startsAt: number;
    }[],
    seed: number,
    store: DeadLetterStore = { async put() {} },
    sink: WorldSink = memoryWorldSink(),
    declaration: WorldDeclaration = {},
  ) {
    this.#sink = sink;
    this.#random = createSeededRandom(seed);
    this.#store = store;
    this.partitions = partitions.map(({ natures, keys, sentAt, startsAt }, partition) => {
      const start = Math.min(startsAt, natures.length);
      const before = Array.from({ length: start }, (_, offset) => offset);
      const made: Partition = {
        records: [],
        natures: [],
        sentAt: [],
        cursor: start,
        discarded: new Set(before),
        everDiscarded: new Set(before),
      };
      for (const [offset, nature] of natures.entries())
        this.append(made, partition, nature, keys?.[offset], sentAt?.[offset]);
      return made;
    });
    this.#consumer = this.#declare(declaration);
  }

  #declare(declaration: WorldDeclaration): AnyConsumer {
    return defineConsumer({
      name: 'world',
      topic: declaration.once ? identified : events,
      // The world's sink stands in for PostgreSQL; the handler knows.
      sink: 'postgres',
      handle: (records, { tx, fail, replay }) => this.#handle(records, tx, fail, replay),
      breaker: false,
      ...declaration,
    });
  }

  /** Functions that start from now on have this declaration. */
  deploy(declaration: WorldDeclaration): void {
    this.#consumer = this.#declare(declaration);
  }

  /** Another generation of the consumer: it has the same records from `startsAt` on, and all else of its own. */
  rebuilt(startsAt: readonly number[], seed: number, sink: WorldSink): World {
    const other = new World([], seed, undefined, sink);
    for (const [partition, { records, natures, sentAt }] of this.partitions.entries()) {
      const start = Math.min(startsAt[partition] ?? 0, records.length);
      const before = Array.from({ length: start }, (_, offset) => offset);
      const [discarded, everDiscarded] = [new Set(before), new Set(before)];
      other.partitions.push({ records, natures, sentAt, cursor: start, discarded, everDiscarded });
      for (const [offset, nature] of natures.entries()) other.#failAsOften(nature, partition, offset);
    }
    return other;
  }

  #failAsOften(nature: Nature, partition: number, offset: number): void {
    if (nature.kind === 'flaky') this.#failuresLeft.set(`${partition}/${offset}`, nature.failures);
  }

  append(
    of: Partition,
    partition: number,
    nature: Nature,
    key?: Buffer | null,
    sentAt = of.records.length,
  ): void {
    const offset = of.records.length;
    this.#failAsOften(nature, partition, offset);
    of.natures.push(nature);
    of.sentAt.push(sentAt);
    of.records.push(
      eventRecord(partition, offset, {
        value: eventRecord(partition, sentAt).value,
        ...(nature.kind === 'garbage' && { value: Buffer.from('garbage') }),
        ...(nature.kind === 'odd' && { timestamp: nature.timestamp }),
        ...(key !== undefined && { key }),
      }),
    );
  }

  async #handle(
    records: readonly ConsumerRecord<Event>[],
    tx: unknown,
    fail: (record: ConsumerRecord<Event>, error: unknown) => void,
    replay: Replay | undefined,
  ): Promise<void> {
    for (const record of records) {
      const nature = this.partitions[record.partition]!.natures[record.offset]!;
      if (nature.kind === 'rejected' && !this.isMended) {
        fail(record, new Error('rejected'));
        continue;
      }
      if (nature.kind === 'throws' && !this.isMended) throw new Error('bad record');
      if (nature.kind === 'refused' && !this.isMended) {
        throw new MillraceError('SINK_REJECTED', 'no such value', { action: 'dead-letter' });
      }
      const left = this.#failuresLeft.get(record.value.id) ?? 0;
      if (left > 0) {
        this.#failuresLeft.set(record.value.id, left - 1);
        throw new Error('flaky record');
      }
      await this.#sink.apply(record, tx, replay);
    }
  }

  /** The offsets whose effects were applied, in the order they were. */
  effects(partition: number): readonly number[] {
    return this.#sink.effects(partition);
  }

  ledger(partition: number): (Ledger & { readonly holes: readonly OffsetRange[] }) | undefined {
    const ledger = this.#sink.ledger(partition);
    return ledger && { ...ledger, holes: union(ledger.deadLettered, ledger.skipped) };
  }

  /** Nothing, where the sink does not remember keys. */
  remembered(partition: number): Remembered {
    return this.#sink.remembered?.(partition) ?? { letters: new Map(), parked: new Map(), isDraining: false };
  }

  /** Whether another record of its event was applied. */
  isRepeated(partition: number, offset: number, applied: Iterable<number>): boolean {
    const { sentAt } = this.partitions[partition]!;
    return [...applied].some((other) => other !== offset && sentAt[other] === sentAt[offset]);
  }

  letterId(partition: number, offset: number): string {
    return deadLetterId('world', this.partitions[partition]!.records[offset]!);
  }

  /** Hands a batch to a new instance of the function, which may stop half-way. */
  async deliver(records: readonly RawRecord[], trouble: Trouble, partialResponses: boolean) {
    return this.#invoke(trouble, partialResponses, (engine, invocation) =>
      settleKafkaEvent(encodeKafkaEvent(records), engine, invocation),
    );
  }

  async redrive(letters: readonly DeadLetter[], trouble: Trouble, mayBeOvertaken = false) {
    return this.#invoke(trouble, false, (engine, invocation) =>
      engine.redrive(letters, invocation, () => mayBeOvertaken),
    );
  }

  /** Lets a key go on, as an operator does: null where the invocation had not the time. */
  async release(of: Omit<KeyRelease, 'topic' | 'epoch'>, trouble: Trouble) {
    const { partition, discardedParked } = of;
    for (const { from, to } of discardedParked) {
      for (let offset = from; offset < to; offset++) this.mayBeDropped.add(this.letterId(partition, offset));
    }
    return this.#invoke(trouble, false, (engine, invocation) =>
      engine.release({ topic: events.name, epoch: LEDGER.epoch, ...of }, invocation),
    );
  }

  /** Hands messages of the redrive queue to a new instance of the function, and gives the ids of those to be delivered again. */
  async settle(messages: readonly ReceivedMessage[], objects: ObjectStore, trouble: Trouble) {
    const silent = { debug() {}, info() {}, warn() {}, error() {} };
    const metrics = { report() {}, reportRedrive() {} };
    return this.#invoke(trouble, false, (engine, invocation) =>
      settleMessages(messages, { engine, objects, metrics, log: silent }, invocation),
    );
  }

  async #invoke<Result>(
    trouble: Trouble,
    partialResponses: boolean,
    run: (engine: Engine, invocation: KafkaInvocation) => Promise<Result>,
  ): Promise<{ result: Result } | { error: unknown }> {
    const stop = new Stop(trouble.stopAt);
    const step = async () => {
      if (trouble.delayMs > 0) await this.#clock.sleep(this.#random.next() * trouble.delayMs);
      await stop.step();
    };
    const engine = createEngine(this.#consumer, {
      clock: this.#clock,
      random: this.#random,
      registry: eventRegistry,
      sink: refusing(stoppable(this.#noting(this.#sink.open(step)), step, stop.signal), trouble.sinkRefusals),
      deadLetters: this.#letterStore(step, trouble.letterRefusals),
      log: { debug() {}, info() {}, warn() {}, error() {} },
      metrics: { report: (report) => void this.reports.push(report), reportRedrive() {} },
    });
    const endsAt = this.#clock.now() + trouble.remainingMs;
    const invocation: KafkaInvocation = {
      requestId: `request-${this.#requests++}`,
      functionName: 'world',
      functionVersion: '1',
      remainingMs: () => endsAt - this.#clock.now(),
      partialResponses,
    };
    try {
      return { result: await Promise.race([run(engine, invocation), stop.stopped]) };
    } catch (error) {
      return { error };
    }
  }

  /** Notes what is to be parked. */
  #noting<Tx>(sink: Sink<Tx>): Sink<Tx> {
    const note = ({ parked }: KeyChange) => {
      for (const { partition, offset } of parked) this.everParked.add(this.letterId(partition, offset));
    };
    return {
      transaction: (work, signal) =>
        sink.transaction(({ keys, ...inner }) => {
          if (!keys) return work(inner);
          const write: typeof keys.write = (key, change) => {
            note(change);
            return keys.write(key, change);
          };
          return work({ ...inner, keys: { ...keys, write } });
        }, signal),
    };
  }

  #letterStore(step: () => Promise<void>, refusals: number): DeadLetterStore {
    let left = refusals;
    return {
      put: async (letters) => {
        await step();
        if (left-- > 0) throw new MillraceError('DEAD_LETTER_STORE_UNAVAILABLE', 'down');
        await this.#store.put(letters);
        for (const letter of letters) {
          this.letters.set(letter.id, letter);
          this.everDeadLettered.add(letter.id);
          if (letter.failure.code === 'PARK_LIMIT') this.everOverflowed.add(letter.id);
        }
        await step();
      },
    };
  }
}

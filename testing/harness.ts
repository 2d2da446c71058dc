/** A consumer under test: records in, through the path that they take in AWS, and its tables and dead letters out. */
import { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import {
  ALLOW_OVERTAKEN_ATTRIBUTE,
  createQueueLetters,
  fetchIfKept,
  toMessage,
} from '../runtime/dead-letters/queue-letters.ts';
import type { DeadLetterReader, StoredLetter } from '../runtime/dead-letters/reader.ts';
import { settleMessages } from '../runtime/dead-letters/redrive/receive.ts';
import { createTopicLetters, createTopicReader } from '../runtime/dead-letters/topic-letters.ts';
import type { AnyConsumer, Consumer } from '../runtime/delivery/consumer.ts';
import { type DeadLetter, type DeadLetterStore, letterKey } from '../runtime/delivery/dead-letter.ts';
import type { Metrics, RedriveReport } from '../runtime/delivery/metrics.ts';
import type { Sink, SinkKind } from '../runtime/delivery/sink.ts';
import { MillraceError } from '../runtime/errors.ts';
import { settleKafkaEvent } from '../runtime/lambda/kafka-batch.ts';
import { encodeKafkaEvent } from '../runtime/lambda/kafka-event.ts';
import type { Clock, Logger } from '../runtime/ports.ts';
import type { RawRecord } from '../runtime/record.ts';
import { openDatabase } from './database.ts';
import { createFaultyFunction, FunctionDied, type InvocationFault } from './faulty-function.ts';
import { createMemoryLog } from './memory-log.ts';
import { createMemoryObjects } from './memory-objects.ts';
import { createMemoryQueues } from './memory-queue.ts';
import { encodeRecords, type TestRecord } from './test-record.ts';

/**
 * What goes wrong with one delivery of a batch:
 * - `duplicate`: nothing, but the event source does not hear of it and delivers the batch again.
 * - `crash-before-commit`, `crash-after-commit`: the function dies around the commit of its transaction.
 * - `slow-sink`: the sink does not answer before the invocation's time is over.
 * - `sink-down`: the sink takes no transaction.
 * - `dead-letters-down`: the dead-letter store takes no letter.
 * - `discarded`: the event source gives up on the first half of each partition's records and delivers the others. Not on a
 *   topic with sparse offsets, whose ledger cannot tell that from compaction: there it does nothing.
 */
export type Fault = InvocationFault | 'duplicate' | 'discarded';

/** Every fault, to draw from. */
export const FAULTS: readonly Fault[] = [
  'duplicate',
  'crash-before-commit',
  'crash-after-commit',
  'slow-sink',
  'sink-down',
  'dead-letters-down',
  'discarded',
];

export interface DeliverOptions {
  /** Each spoils one delivery of the batch, in this order. Then the batch is delivered once more, without one. @default none */
  readonly faults?: readonly Fault[];
  /** The time of each invocation. Waits between tries cost none of yours. @default the consumer's `timeoutMs` */
  readonly timeoutMs?: number;
}

/** What became of the records, counted over all deliveries but those whose function died. */
export interface Delivery {
  readonly applied: number;
  /** Records that were settled already. */
  readonly duplicates: number;
  readonly deadLettered: number;
  /** Invocations of the function. */
  readonly invocations: number;
}

/** Offsets `[from, to)`. */
export interface Offsets {
  readonly from: number;
  readonly to: number;
}

/** What the ledger says of a partition: `[first, next)` is settled but for the two kinds of holes. */
export interface PartitionLedger {
  readonly partition: number;
  readonly first: number;
  readonly next: number;
  readonly deadLettered: readonly Offsets[];
  /** The event source moved past them without delivering them. */
  readonly skipped: readonly Offsets[];
}

export type Redriven = Pick<
  RedriveReport,
  'applied' | 'alreadyApplied' | 'failedAgain' | 'overtaken' | 'returned'
>;

export interface RedriveOptions {
  /** Whether letters are applied after which a newer record of their key was. @default false: they stay dead letters */
  readonly allowOvertaken?: boolean;
}

export interface Harness<Value = unknown> extends AsyncDisposable {
  readonly consumer: Consumer<Value>;
  /**
   * Publishes values or records to the consumer's topic and delivers them: each is encoded by the contract, its key
   * decides its partition, and the engine gets it from a Lambda event. When it resolves, each is applied, was applied
   * before, or is a dead letter.
   * @throws INPUT_INVALID when a value breaks the contract: no producer could publish it
   * @throws BATCH_INCOMPLETE when the invocation without a fault did not settle all of them, with what held it as the
   * cause; `redeliver` delivers them again
   * @throws whatever halts the consumer, such as SINK_MISCONFIGURED
   */
  deliver(records: readonly (Value | TestRecord<Value>)[], options?: DeliverOptions): Promise<Delivery>;
  /** Delivers all that was ever delivered again, in the topic's order. What is settled stays as it is. @throws as `deliver` */
  redeliver(options?: DeliverOptions): Promise<Delivery>;
  /** Runs one statement as the owner of the consumer's tables: reads them, or fills them before a test. */
  query<Row = Record<string, unknown>>(sql: string, parameters?: readonly unknown[]): Promise<readonly Row[]>;
  /** The dead letters, with their records' bytes; of each the newest copy. */
  deadLetters(): Promise<readonly DeadLetter[]>;
  /**
   * Gives the dead letters back to the consumer, or those that `which` picks; what fails again, or was overtaken, is a dead
   * letter again.
   */
  redrive(which?: (letter: DeadLetter) => boolean, options?: RedriveOptions): Promise<Redriven>;
  /** One for each partition of which something was settled, in order. */
  ledger(): Promise<readonly PartitionLedger[]>;
  /** The records of the topic, as they were published. */
  published(): Promise<readonly RawRecord[]>;
  /** Drops the consumer's tables. `await using` calls it. */
  close(): Promise<void>;
}

/** A harness of any consumer, for code that does not look inside a value. */
// biome-ignore lint/suspicious/noExplicitAny: `deliver` takes what its own contract says; only `any` accepts each.
export type AnyHarness = Harness<any>;

export interface HarnessOptions {
  /** Gets what the consumer and the engine log. @default nobody */
  readonly log?: Logger;
}

const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const MOST_RECORDS = 1_000_000;

/**
 * The consumer on a PostgreSQL of its own, with its migrations applied: the engine, the sink, the ledger and the roles
 * that it has in AWS, and a topic and a dead-letter store in memory. The database is PGlite, in this process. Only the
 * first harness of a process boots it, from an image that is kept in `node_modules/.cache/millrace`. Two that are open
 * at once have two.
 *
 *     await using shop = await harness(orderCount);
 *     await shop.deliver([{ id: 'a' }, { id: 'b' }, { id: 'a' }]);
 *     assert.deepEqual(await shop.query('SELECT id, orders FROM order_count ORDER BY id'), [
 *       { id: 'a', orders: 2 },
 *       { id: 'b', orders: 1 },
 *     ]);
 *
 * @throws SINK_MISCONFIGURED when a migration fails
 */
export async function harness<Value, Kind extends SinkKind>(
  consumer: Consumer<Value, Kind>,
  options: HarnessOptions = {},
): Promise<Harness<Value>> {
  return (await openHarness(consumer, options)).harness;
}

/** Delivers records as they are, at the offsets that they have. */
export type DeliverAsIs = (records: readonly RawRecord[], options?: DeliverOptions) => Promise<Delivery>;

export async function openHarness<Value, Kind extends SinkKind>(
  consumer: Consumer<Value, Kind>,
  { log = SILENT }: HarnessOptions = {},
): Promise<{ readonly harness: Harness<Value>; readonly deliverAsIs: DeliverAsIs }> {
  const { topic, name, epoch } = consumer;
  const database = await openDatabase(consumer);
  const clock: Clock = { now: () => Date.now(), sleep: async () => {} };
  const topics = createMemoryLog({ clock });
  await topics.createTopic(topic.name, topic.partitions);
  const objects = createMemoryObjects({ clock });
  const letters = await openLetters(consumer, topics, objects, clock);
  const owner = new PostgresSink(database.asOwner);
  const superuser = new PostgresSink(database.driver);

  const none = { applied: 0, duplicates: 0, deadLettered: 0 };
  let counted = none;
  let redriven: RedriveReport | undefined;
  const metrics: Metrics = {
    report({ applied, duplicates, deadLettered }) {
      counted = {
        applied: counted.applied + applied,
        duplicates: counted.duplicates + duplicates,
        deadLettered: counted.deadLettered + deadLettered,
      };
    },
    reportRedrive(report) {
      redriven = report;
    },
  };
  const ports = {
    sink: new PostgresSink(database.asConsumer) as Sink<unknown>,
    deadLetters: letters,
    metrics,
    log,
  };
  let environment = createFaultyFunction(consumer, ports);

  /** One batch, one invocation. @throws what the function throws, but for its death */
  const invoke = async (records: readonly RawRecord[], fault: Fault | null, timeoutMs: number) => {
    const inside = fault === 'duplicate' || fault === 'discarded' ? null : fault;
    // As it comes over the wire.
    const event: unknown = JSON.parse(JSON.stringify(encodeKafkaEvent(records)));
    try {
      await environment.invoke(inside, timeoutMs, (engine, invocation) =>
        settleKafkaEvent(event, engine, invocation),
      );
    } catch (error) {
      if (error instanceof FunctionDied) environment = createFaultyFunction(consumer, ports);
      else if (fault === null) throw error;
      // Any other end of a spoilt delivery has the same answer: the batch is delivered again.
      else if (!(error instanceof MillraceError && error.action === 'hold')) throw error;
    }
  };

  const deliverAsIs: DeliverAsIs = async (records, { faults = [], timeoutMs = consumer.timeoutMs } = {}) => {
    counted = none;
    let invocations = 0;
    for (let from = 0; from < records.length; from += consumer.batch.maxRecords) {
      const batch = records.slice(from, from + consumer.batch.maxRecords);
      for (const fault of [...faults, null]) {
        const isDiscarded = fault === 'discarded' && consumer.topic.offsets === 'contiguous';
        const delivered = isDiscarded ? withoutFirstHalves(batch) : batch;
        if (delivered.length === 0) continue;
        invocations++;
        await invoke(delivered, fault, timeoutMs);
      }
    }
    return { ...counted, invocations };
  };

  const published = async () => {
    const partitions = Array.from({ length: topic.partitions }, (_, partition) => partition);
    const read = partitions.map((partition) =>
      topics.read({ topic: topic.name, partition }, 0, MOST_RECORDS),
    );
    return (await Promise.all(read)).flat();
  };

  const scan = async () => {
    const found = new Map<string, { letter: DeadLetter; copies: StoredLetter[] }>();
    for await (const copy of letters.scan()) {
      if ('error' in copy) throw copy.error;
      const letter = (await fetchIfKept(copy, objects)) ?? copy.letter;
      const copies = [...(found.get(letterKey(letter))?.copies ?? []), copy];
      found.set(letterKey(letter), { letter, copies });
    }
    return [...found.values()];
  };

  let isClosed = false;
  const close = async () => {
    if (isClosed) return;
    isClosed = true;
    await database.release();
  };
  /** A database that was given back may be another harness's by now. */
  const whileOpen = <Arguments extends unknown[], Result>(
    call: (...values: Arguments) => Promise<Result>,
  ) => {
    return async (...values: Arguments): Promise<Result> => {
      if (!isClosed) return call(...values);
      throw new MillraceError('INPUT_INVALID', `The harness of ${name} is closed. Open another one.`);
    };
  };

  const opened: Harness<Value> = {
    consumer: consumer as unknown as Consumer<Value>,
    deliver: whileOpen(async (records, options) => {
      const outgoing = await encodeRecords(topic as never, records);
      const positions = await topics.send(topic.name, outgoing);
      const sent = new Set(positions.map(({ partition, offset }) => `${partition}/${offset}`));
      const all = await published();
      return deliverAsIs(
        all.filter(({ partition, offset }) => sent.has(`${partition}/${offset}`)),
        options,
      );
    }),
    redeliver: whileOpen(async (options) => deliverAsIs(await published(), options)),
    query: whileOpen(async <Row>(sql: string, parameters: readonly unknown[] = []) =>
      owner.transaction(async ({ tx }) => (await tx.query<Row>(sql, parameters)).rows),
    ) as Harness['query'],
    deadLetters: whileOpen(async () => (await scan()).map(({ letter }) => letter)),
    redrive: whileOpen(async (which = () => true, { allowOvertaken = false } = {}) => {
      const chosen = (await scan()).filter(({ letter }) => which(letter));
      const messages = await Promise.all(
        chosen.map(async ({ letter }, at) => {
          const { body, attributes = {} } = await toMessage(letter, objects);
          const permission = allowOvertaken ? { [ALLOW_OVERTAKEN_ATTRIBUTE]: 'true' } : {};
          return { id: String(at), body, attributes: { ...attributes, ...permission } };
        }),
      );
      const handedBack = await environment.invoke(null, consumer.timeoutMs, (engine, invocation) =>
        settleMessages(messages, { engine, objects, metrics, log }, invocation),
      );
      const settled = chosen.filter((_, at) => !handedBack.includes(String(at)));
      await letters.remove(settled.flatMap(({ copies }) => copies));
      const { applied, alreadyApplied, failedAgain, overtaken, returned } = redriven!;
      return { applied, alreadyApplied, failedAgain, overtaken, returned };
    }),
    ledger: whileOpen(async () => {
      const rows = await superuser.transaction(
        async ({ tx }) => (await tx.query<LedgerRow>(LEDGER, [name, epoch])).rows,
      );
      return rows.map(({ partition, first, next, holes }) => {
        const of = (kind: string) =>
          holes.filter((hole) => hole.kind === kind).map(({ from, to }) => ({ from, to }));
        return { partition, first, next, deadLettered: of('dead-lettered'), skipped: of('skipped') };
      });
    }),
    published: whileOpen(published),
    close,
    [Symbol.asyncDispose]: close,
  };
  return { harness: opened, deliverAsIs };
}

interface LedgerRow {
  readonly partition: number;
  readonly first: number;
  readonly next: number;
  readonly holes: readonly (Offsets & { readonly kind: string })[];
}

const LEDGER = `
  SELECT partition, first, next, (
    SELECT coalesce(json_agg(json_build_object('kind', kind, 'from', lower(r), 'to', upper(r)) ORDER BY r), '[]')
    FROM millrace_ledger_hole h, unnest(h.offsets) AS r
    WHERE (h.consumer, h.epoch, h.topic, h.partition) = (l.consumer, l.epoch, l.topic, l.partition)
  ) AS holes
  FROM millrace_ledger l WHERE consumer = $1 AND epoch = $2 AND first IS NOT NULL ORDER BY partition`;

/** The store that the consumer declares, in memory. */
async function openLetters(
  { name, topic, epoch, deadLetter, deadLetterTopic }: AnyConsumer,
  topics: ReturnType<typeof createMemoryLog>,
  objects: ReturnType<typeof createMemoryObjects>,
  clock: Clock,
): Promise<DeadLetterStore & DeadLetterReader> {
  if (deadLetter === 'sqs') {
    return createQueueLetters({ queue: createMemoryQueues({ clock }).queue('dead-letters'), objects });
  }
  await topics.createTopic(deadLetterTopic, topic.partitions);
  return {
    ...createTopicLetters({ topic: deadLetterTopic, producer: topics }),
    ...createTopicReader({
      topic: deadLetterTopic,
      of: { consumer: name, topic: topic.name, epoch },
      producer: topics,
      reader: topics,
    }),
  };
}

function withoutFirstHalves(records: readonly RawRecord[]): readonly RawRecord[] {
  const partitions = Map.groupBy(records, ({ partition }) => partition).values();
  return [...partitions].flatMap((each) => each.slice(Math.ceil(each.length / 2)));
}

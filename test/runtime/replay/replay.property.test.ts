/** Replays of gaps keep promises 1, 2 and 3 of docs/delivery.md, whoever else delivers and whatever is killed. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import { createTopicReader } from '../../../runtime/archive/reader.ts';
import { createQueueLetters } from '../../../runtime/dead-letters/queue-letters.ts';
import { defineConsumer } from '../../../runtime/delivery/consumer.ts';
import { createEngine } from '../../../runtime/delivery/engine.ts';
import type { Replay } from '../../../runtime/delivery/ledger.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { type BatchResponse, settleKafkaEvent } from '../../../runtime/lambda/kafka-batch.ts';
import { encodeKafkaEvent, type KafkaEvent } from '../../../runtime/lambda/kafka-event.ts';
import type { RawRecord, TopicPartition } from '../../../runtime/record.ts';
import { auditPartition } from '../../../runtime/replay/audit.ts';
import { type EvidenceLog, type EvidenceSources, gatherEvidence } from '../../../runtime/replay/evidence.ts';
import { findGaps, outcomeOf, remainingOf } from '../../../runtime/replay/gaps.ts';
import type { LedgerReader } from '../../../runtime/replay/ledgers.ts';
import { runReplay } from '../../../runtime/replay/run.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';
import { createMemoryQueues } from '../../../testing/memory-queue.ts';
import { MemorySink, type MemoryTx } from '../../../testing/memory-sink.ts';
import { runs } from '../../runs.ts';
import { type Event, eventRecord, eventRegistry, events } from '../events.ts';

const PARTITIONS = [0, 1];

interface Partition {
  /** The oldest offset that retention has left. */
  readonly start: number;
  /** What the restored sink has: `[first, first + settled)`. */
  readonly first: number;
  readonly settled: number;
  /** How far the group is beyond that, and how many records come on top. */
  readonly behind: number;
  readonly more: number;
}

interface History {
  readonly partitions: readonly Partition[];
  readonly bad: readonly number[];
  readonly batchRecords: number;
  readonly liveBatch: number;
  /** Whether the event source goes on meanwhile. */
  readonly isLive: boolean;
  /** Whether the sink that was lost had left letters of the bad records. */
  readonly hadLetters: boolean;
  /** Of each delivery of the replay: it goes well, is refused, or goes well and nobody hears of it. */
  readonly troubles: readonly ('none' | 'refused' | 'unheard' | 'killed')[];
}

const partition = fc.record({
  start: fc.nat(8),
  first: fc.nat(6),
  settled: fc.nat(8),
  behind: fc.nat(12),
  more: fc.nat(6),
});
const history: fc.Arbitrary<History> = fc.record({
  partitions: fc.tuple(partition, partition),
  bad: fc.array(fc.nat(20), { maxLength: 4 }),
  batchRecords: fc.integer({ min: 1, max: 6 }),
  liveBatch: fc.integer({ min: 1, max: 4 }),
  isLive: fc.boolean(),
  hadLetters: fc.boolean(),
  troubles: fc.array(fc.constantFrom('none', 'refused', 'unheard', 'killed'), { maxLength: 12 }),
});

/** One consumer, its log, and its sink as a backup has it. */
class World {
  readonly clock = createFakeClock({ autoAdvance: true });
  readonly sink = new MemorySink();
  readonly #of: History;
  readonly #ends: readonly number[];
  readonly committed: number[];
  readonly replays: (Replay | undefined)[] = [];
  readonly #letters;
  readonly #redrive;
  readonly #objects = createMemoryObjects({ clock: this.clock });
  readonly #engine;
  readonly consumer;
  #troubles: History['troubles'][number][];
  /** Kills the replay under way. */
  stop = new AbortController();

  constructor(of: History) {
    this.#of = of;
    this.committed = of.partitions.map(({ first, settled, behind }) => first + settled + behind);
    this.#ends = of.partitions.map(({ start, more }, at) => Math.max(start, this.committed[at]!) + more);
    this.#troubles = [...of.troubles];
    const queues = createMemoryQueues({ clock: this.clock });
    this.#redrive = queues.queue('redrive');
    this.#letters = createQueueLetters({ queue: queues.queue('dead-letters'), objects: this.#objects });
    const bad = new Set(of.bad);
    const { replays } = this;
    this.consumer = defineConsumer<Event, 'postgres'>({
      name: 'world',
      topic: events,
      sink: 'postgres',
      async handle(records, { tx, fail, replay }) {
        for (const record of records) {
          if (bad.has(record.offset)) fail(record, new Error('bad'));
          else await (tx as unknown as MemoryTx).append(`applied ${record.partition}`, record.offset);
          replays.push(replay);
        }
      },
    });
    this.#engine = this.#engineOn(this.sink);
  }

  #engineOn(sink: MemorySink) {
    return createEngine(this.consumer, {
      clock: this.clock,
      random: createSeededRandom(1),
      registry: eventRegistry,
      sink: sink as never,
      deadLetters: this.#letters,
      log: { debug() {}, info() {}, warn() {}, error() {} },
      metrics: { report() {}, reportRedrive() {} },
    });
  }

  recordsOf(at: number): RawRecord[] {
    const { start } = this.#of.partitions[at]!;
    return Array.from({ length: this.#ends[at]! - start }, (_, n) => eventRecord(at, start + n));
  }

  readonly log: EvidenceLog = {
    partitions: async () => PARTITIONS.length,
    bounds: async ({ partition: at }: TopicPartition) => ({
      start: this.#of.partitions[at]!.start,
      end: this.#ends[at]!,
    }),
    read: async ({ partition: at }, from, most) =>
      this.recordsOf(at)
        .filter(({ offset }) => offset >= from)
        .slice(0, most),
    offsetAt: async () => 0,
    committed: async (_, { partition: at }) => this.committed[at],
  };

  readonly ledgers: LedgerReader = {
    read: async ({ consumer, epoch, topic }) =>
      PARTITIONS.flatMap((at) => {
        const ledger = this.sink.ledger({ consumer, epoch }, { topic, partition: at });
        return ledger
          ? [{ ...ledger, partition: at, discarded: [], parked: [], overtaken: [], updatedAt: null }]
          : [];
      }),
  };

  get sources(): EvidenceSources {
    return {
      consumer: this.consumer as never,
      group: 'world',
      log: this.log,
      ledgers: this.ledgers,
      letters: { reader: this.#letters, redrive: this.#redrive, objects: this.#objects },
    };
  }

  settle(event: KafkaEvent, engine = this.#engine): Promise<BatchResponse> {
    return settleKafkaEvent(event, engine, {
      requestId: 'r',
      functionName: 'world',
      functionVersion: '1',
      remainingMs: () => 60_000,
      partialResponses: true,
    });
  }

  /** What the backup has. */
  async restore(): Promise<void> {
    const lost = this.#engineOn(new MemorySink());
    for (const at of PARTITIONS) {
      const { first, settled } = this.#of.partitions[at]!;
      const had = Array.from({ length: this.committed[at]! - first }, (_, n) => eventRecord(at, first + n));
      if (this.#of.hadLetters && had.length > 0) await this.settle(encodeKafkaEvent(had), lost);
      const records = Array.from({ length: settled }, (_, n) => eventRecord(at, first + n));
      if (records.length > 0) await this.settle(encodeKafkaEvent(records));
    }
  }

  /** The event source goes on from the group's offsets. */
  async goOn(): Promise<void> {
    for (const at of PARTITIONS) {
      for (;;) {
        const records = await this.log.read(
          { topic: events.name, partition: at },
          this.committed[at]!,
          this.#of.liveBatch,
        );
        if (records.length === 0) break;
        await this.settle(encodeKafkaEvent(records));
        this.committed[at] = records.at(-1)!.offset + 1;
        await this.clock.sleep(1);
      }
    }
  }

  async deliver(event: KafkaEvent): Promise<BatchResponse> {
    const trouble = this.#troubles.shift() ?? 'none';
    if (trouble === 'refused') throw new MillraceError('SINK_UNAVAILABLE', 'the sink is down');
    const answer = await this.settle(event);
    if (trouble === 'unheard') throw new MillraceError('SINK_UNAVAILABLE', 'the connection broke');
    if (trouble === 'killed') this.stop.abort();
    await this.clock.sleep(1);
    return answer;
  }

  applied(at: number): readonly number[] {
    return (this.sink.value(`applied ${at}`) ?? []) as readonly number[];
  }
}

test('a replay of the gaps applies what is missing once, in order, through kills, beside a live event source', async () => {
  await fc.assert(
    fc.asyncProperty(history, async (of) => {
      const world = new World(of);
      await world.restore();
      world.replays.length = 0;
      const before = PARTITIONS.map((at) => world.applied(at).length);
      const reader = createTopicReader({ topic: events.name, log: world.log });
      const { partitions } = await gatherEvidence(world.sources);
      const plan = await findGaps(partitions, reader);
      for (const { ranges, partition: at } of plan) {
        for (const { to } of ranges)
          expect(to).toBeLessThanOrEqual(Math.max(world.committed[at]!, of.partitions[at]!.first));
      }
      const replay = async () => {
        for (let isWhole = false; !isWhole; ) {
          world.stop = new AbortController();
          const remaining = remainingOf(plan, (await gatherEvidence(world.sources)).partitions);
          const result = await runReplay(
            {
              replay: { id: 'r1', kind: 'gaps' },
              ranges: remaining,
              reader,
              function: { deliver: (event) => world.deliver(JSON.parse(JSON.stringify(event))) },
              clock: world.clock,
              random: createSeededRandom(2),
              batchRecords: of.batchRecords,
              ratePerSecond: Number.POSITIVE_INFINITY,
              patienceMs: 3_600_000,
            },
            () => {},
            world.stop.signal,
          );
          ({ isWhole } = result);
        }
      };
      await Promise.all([replay(), of.isLive ? world.goOn() : undefined]);
      if (!of.isLive) await world.goOn();

      const after = (await gatherEvidence(world.sources)).partitions;
      expect(outcomeOf(plan, after, new Map())).toMatchObject({ left: 0 });
      for (const at of PARTITIONS) {
        const { start, first, settled } = of.partitions[at]!;
        const applied = world.applied(at);
        const had = Array.from({ length: settled }, (_, n) => first + n);
        const all = [...new Set([...had, ...world.recordsOf(at).map(({ offset }) => offset)])];
        expect(applied.toSorted((a, b) => a - b)).toEqual(
          all.filter((offset) => !of.bad.includes(offset)).toSorted((a, b) => a - b),
        );
        const { unaccounted, ranges } = auditPartition(after[at]!);
        // Nobody has what retention took before the sink had it.
        const isGone = ranges.unaccounted.every(({ to }) => to <= start);
        expect([unaccounted, isGone]).toEqual([isGone ? unaccounted : 0, true]);
        // Without the event source in between, the replay is in the order of the topic above the ledger's end.
        const above = applied.slice(before[at]!).filter((offset) => offset >= first + settled);
        if (!of.isLive) expect(above).toEqual(above.toSorted((a, b) => a - b));
      }
      expect(world.replays.filter((each) => each !== undefined).every(({ kind }) => kind === 'gaps')).toBe(
        true,
      );
    }),
    { numRuns: runs(500) },
  );
});

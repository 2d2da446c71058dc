/** Where the generations of a consumer stand in its topic, and what each of them reads of it. */
import type { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import type { App } from '../runtime/app.ts';
import { archiveOf } from '../runtime/archive/archive.ts';
import { createArchiveReader } from '../runtime/archive/reader.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { type Generation, generationOf } from '../runtime/replay/generation.ts';
import type { CandidatePosition, LedgerBounds, RebuildPlan } from '../runtime/replay/rebuild.ts';
import { type LogReader, partitionsOf } from '../runtime/topics.ts';
import { watchReach } from './live-reach.ts';
import { limitedReader, logWithArchive } from './log-with-archive.ts';
import { type Pace, pacedReader } from './paced-reader.ts';
import type { Stores } from './stores.ts';

export interface GenerationLogParts {
  readonly app: App;
  readonly stores: Stores;
  readonly sink: PostgresSink;
  readonly reader: LogReader;
  groupOf(consumer: AnyConsumer): string;
  /** Of the generation that readers see now. */
  liveNumber(declared: AnyConsumer): number;
}

export function generationLog({ app, stores, sink, reader: log, groupOf, liveNumber }: GenerationLogParts) {
  const ledgersOf = async ({ name, epoch, topic }: AnyConsumer): Promise<readonly LedgerBounds[]> => {
    const { rows } = await sink.transaction(({ tx }) =>
      tx.query<LedgerBounds>(
        'SELECT partition, first, next FROM millrace_ledger WHERE consumer = $1 AND epoch = $2 AND topic = $3',
        [name, epoch, topic.name],
      ),
    );
    return rows;
  };

  /** The live ledger's, and where its group stands where it has nothing yet. */
  const liveBounds = async (declared: AnyConsumer): Promise<readonly LedgerBounds[]> => {
    const live = generationOf(declared, liveNumber(declared));
    const known = new Map((await ledgersOf(live)).map((each) => [each.partition, each]));
    const topic = live.topic.name;
    const partitions = await partitionsOf(stores.log, topic);
    return Promise.all(
      partitions.map(async (partition) => ({
        ...(known.get(partition) ?? { partition, first: null, next: null }),
        committed: (await stores.log.committed(groupOf(live), { topic, partition })) ?? null,
      })),
    );
  };

  /**
   * Has the candidate's group begin where the plan says, in partitions of which its ledger has nothing: a group of this name
   * may have been here before.
   */
  const placeGroup = async (candidate: AnyConsumer, plan: RebuildPlan) => {
    const begun = new Set(
      (await ledgersOf(candidate)).filter(({ next }) => next !== null).map(({ partition }) => partition),
    );
    const offsets = plan.partitions
      .filter(({ partition }) => !begun.has(partition))
      .map(({ partition, from }) => ({ topic: candidate.topic.name, partition, offset: from }));
    if (offsets.length > 0) await stores.log.commit(groupOf(candidate), offsets);
  };

  const reaches = new Map(
    app.consumers.map((declared) => [
      declared.name,
      watchReach(async () => {
        const ledgers = await ledgersOf(generationOf(declared, liveNumber(declared)));
        return new Map(ledgers.map(({ partition, next }) => [partition, next ?? 0]));
      }, systemClock),
    ]),
  );
  /**
   * Nobody runs ahead of the live generation: an offset that another has handled first would be handled as a replay by that one,
   * and after a promote by the live one before, so that its effects outside the database would never be had.
   */
  const behindLive = (declared: AnyConsumer, number: number, reader: LogReader): LogReader =>
    limitedReader(reader, async ({ partition }) => {
      const isLive = number === liveNumber(declared);
      return isLive ? Number.POSITIVE_INFINITY : reaches.get(declared.name)!(partition);
    });

  /** A candidate reads what the topic has deleted from the archive, as long as it is one. */
  const readerFor = (declared: AnyConsumer, pace: Pace, state: Generation['state']): LogReader => {
    const topic = declared.topic.name;
    const archive = archiveOf(topic, app.consumers);
    if (state !== 'candidate' || !archive) return pacedReader(log, pace);
    const archived = createArchiveReader({ store: stores.archive, topic, epoch: archive.epoch, log });
    return pacedReader(logWithArchive(log, topic, archived), pace);
  };
  const positionsOf = async (
    declared: AnyConsumer,
    number: number,
  ): Promise<readonly CandidatePosition[]> => {
    const candidate = generationOf(declared, number);
    const topic = declared.topic.name;
    // It says when a promote may be tried; the promote itself compares them under their locks.
    const live = new Map(
      (await ledgersOf(generationOf(declared, liveNumber(declared)))).map((each) => [each.partition, each]),
    );
    const own = new Map((await ledgersOf(candidate)).map((each) => [each.partition, each]));
    const partitions = await partitionsOf(stores.log, topic);
    return Promise.all(
      partitions.map(async (partition) => ({
        partition,
        next: own.get(partition)?.next ?? null,
        committed: (await stores.log.committed(groupOf(candidate), { topic, partition })) ?? null,
        live: live.get(partition)?.next ?? null,
      })),
    );
  };

  /**
   * By partition, the next offset that a candidate can read at all: what retention or compaction has taken on the way to the live
   * one cannot be read by anybody any more.
   */
  const oldestFor = async (declared: AnyConsumer, number: number): Promise<ReadonlyMap<number, number>> => {
    const { name: topic } = declared.topic;
    const reader = readerFor(declared, { recordsPerSecond: null }, 'candidate');
    const positions = await positionsOf(declared, number);
    const found = positions.map(async ({ partition, next, committed, live }) => {
      const of = { topic, partition };
      const { start, end } = await reader.bounds(of);
      const at = Math.max(start, next ?? committed ?? start);
      if (live === null || at >= live) return [partition, start] as const;
      const [first] = await reader.read(of, at, 1);
      return [partition, first && first.offset < live ? start : Math.min(end, live)] as const;
    });
    return new Map(await Promise.all(found));
  };

  return { readerFor, behindLive, ledgersOf, liveBounds, placeGroup, positionsOf, oldestFor };
}

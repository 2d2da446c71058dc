/**
 * The event source mapping of a laptop: polls a log and invokes a handler as Lambda does for a Kafka topic. At least
 * once, in order within a partition, and an offset is committed only when all before it was taken or given up.
 */
import type { Clock, Logger, Random } from '../../runtime/ports.ts';
import type { Position } from '../../runtime/record.ts';
import { type LogReader, partitionsOf } from '../../runtime/topics.ts';
import type { DeliveryCounts } from './delivery.ts';
import { type EventSourceMapping, type ResolvedMapping, resolveMapping } from './event-source-mapping.ts';
import { createFunction, type Handler } from './function.ts';
import { POLL_INTERVAL_MS, type PollerContext, runPoller } from './poller.ts';

export interface EventSourceOptions {
  readonly topic: string;
  /** The consumer group, whose name the function has too. */
  readonly group: string;
  readonly mapping: EventSourceMapping;
  readonly handler: Handler;
  readonly reader: LogReader;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface EventSource {
  /** What it has done so far. */
  counts(): Readonly<DeliveryCounts>;
  /** Records after the committed offset, by partition. */
  lag(): Promise<readonly number[]>;
  /** Resolves when there is no lag, or when the source has stopped. Rejects when the log fails. */
  drained(): Promise<void>;
  /**
   * Begins no further invocation, and resolves when those in flight have ended and their offsets are committed.
   * What they did not settle is delivered again on the next start. An invocation that has timed out is not waited
   * for. Rejects when the log has failed.
   */
  stop(): Promise<void>;
}

/** How often a topic is looked at for partitions that it was given meanwhile. */
const GROWTH_LOOK_MS = 60_000;

/**
 * Starts polling at once. A group that never committed begins at the mapping's starting position, and commits it:
 * what arrives from now on is not missed by starting again.
 * @throws INPUT_INVALID when Lambda would refuse the mapping
 */
export function startEventSource(options: EventSourceOptions): EventSource {
  const { topic, group, reader, clock } = options;
  const mapping = resolveMapping(options.mapping);
  const stopping = new AbortController();
  const counts: DeliveryCounts = {
    invocations: 0,
    failedInvocations: 0,
    deliveredRecords: 0,
    redeliveredRecords: 0,
    discardedRecords: 0,
  };
  const fn = createFunction({
    name: group,
    handler: options.handler,
    timeoutMs: mapping.functionTimeoutMs,
    clock,
  });
  const failures: unknown[] = [];
  const fail = (error: unknown) => {
    failures.push(error);
    stopping.abort();
  };
  const context: PollerContext = { ...options, mapping, fn, counts, stop: stopping.signal, fail };

  const begun = startingPositions(options, mapping);
  const run = async (): Promise<'stopped'> => {
    const positions = await begun;
    const pollers = Math.min(mapping.pollers, positions.length);
    const running = Array.from({ length: pollers }, (_, poller) => {
      const partitions = [...positions.keys()].filter((partition) => partition % pollers === poller);
      return runPoller(topic, partitions, positions, context);
    });
    for (;;) {
      await clock.sleep(GROWTH_LOOK_MS, stopping.signal);
      if (stopping.signal.aborted) break;
      try {
        const added = await beginAdded(options, positions);
        if (added.length > 0) running.push(runPoller(topic, added, positions, context));
      } catch (error) {
        fail(error);
      }
    }
    await Promise.all(running);
    if (failures.length > 0) throw failures[0];
    return 'stopped';
  };
  const closed = run();
  // Heard by whoever calls drained() or stop(); until then a failure must not end the process.
  closed.catch(() => {});

  const lag = async () => {
    const partitions = await partitionsOf(reader, topic);
    return Promise.all(
      partitions.map(async (partition) => {
        const { start, end } = await reader.bounds({ topic, partition });
        return end - Math.max(start, (await reader.committed(group, { topic, partition })) ?? start);
      }),
    );
  };

  return {
    counts: () => ({ ...counts }),
    lag,
    async drained() {
      // What the group had committed may be another topic's.
      await begun;
      while ((await lag()).some((records) => records > 0)) {
        const slept = clock.sleep(POLL_INTERVAL_MS).then(() => 'slept' as const);
        if ((await Promise.race([closed, slept])) === 'stopped') return;
      }
    },
    async stop() {
      stopping.abort();
      await closed;
    },
  };
}

/**
 * The next offset of each partition: where the group stands, or where it is to begin. A group that stands behind the end
 * stood in another topic of this name: it begins as one that never committed, as Kafka's consumers do by their
 * auto.offset.reset, and the ledger tells what is new. A partition that the topic was given since begins at its start,
 * wherever others began: all in it is new.
 */
async function startingPositions(
  { topic, group, reader }: EventSourceOptions,
  { startingPosition }: ResolvedMapping,
): Promise<number[]> {
  const positions: number[] = [];
  const firstCommit = [];
  const partitions = await partitionsOf(reader, topic);
  const offsets: (number | undefined)[] = [];
  for (const partition of partitions) offsets.push(await reader.committed(group, { topic, partition }));
  const isFirst = offsets.every((committed) => committed === undefined);
  for (const [partition, committed] of offsets.entries()) {
    const of = { topic, partition };
    const { start, end } = await reader.bounds(of);
    // Retention may have passed the group by.
    if (committed !== undefined && committed <= end) {
      positions.push(Math.max(start, committed));
      continue;
    }
    const isAdded = !isFirst && committed === undefined;
    const begin =
      startingPosition === 'TRIM_HORIZON' || isAdded
        ? start
        : startingPosition === 'LATEST'
          ? end
          : await reader.offsetAt(of, startingPosition.atTimestampMs);
    positions.push(begin);
    firstCommit.push({ ...of, offset: begin });
  }
  if (firstCommit.length > 0) await reader.commit(group, firstCommit);
  return positions;
}

/** Partitions that the topic has been given, from their start on: adds their positions and commits them. */
async function beginAdded(
  { topic, group, reader }: EventSourceOptions,
  positions: number[],
): Promise<readonly number[]> {
  const added: Position[] = [];
  const partitions = await reader.partitions(topic);
  for (let partition = positions.length; partition < partitions; partition++) {
    added.push({ topic, partition, offset: (await reader.bounds({ topic, partition })).start });
  }
  if (added.length === 0) return [];
  await reader.commit(group, added);
  positions.push(...added.map(({ offset }) => offset));
  return added.map(({ partition }) => partition);
}

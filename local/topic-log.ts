import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import type { BulkOffsets } from '../adapters/kafka/bulk-offsets.ts';
import type { KafkaConnection } from '../adapters/kafka/connection.ts';
import { openSqliteLog } from '../adapters/sqlite/sqlite-log.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { MillraceError } from '../runtime/errors.ts';
import { type OffsetReader, readLogOffsets } from '../runtime/lag/offsets.ts';
import type { Runner } from '../runtime/lag/sample.ts';
import {
  type LogReader,
  type Producer,
  partitionsOf,
  type TopicAdmin,
  type TopicContract,
} from '../runtime/topics.ts';
import type { StateFolder } from './state-folder.ts';

/** How groups stand in topics, as verdicts need it. */
export interface Standing extends OffsetReader {
  /** How long each of these topics keeps a record; one that is missing could not be read. */
  retention(topics: readonly string[]): Promise<ReadonlyMap<string, number | 'forever'>>;
  /** Who is in each of these groups. */
  runners(groups: readonly string[]): Promise<(group: string) => Runner>;
}

/** Where the topics are: a state folder, or a Kafka cluster. */
export interface TopicLog extends Producer, TopicAdmin, LogReader {
  /** In words. */
  readonly at: string;
  /** What tells this log, and what its offsets mean, from every other. */
  id(): Promise<string>;
  /** What tells the topic from one of its name that was there before or comes after; undefined where topics stay for good. */
  topicId(topic: string): Promise<string | undefined>;
  /** Creates a topic where there is none. @returns how one that exists differs, in words */
  prepareTopic(topic: TopicContract): Promise<readonly string[]>;
  /** The same for a topic that is there, and null where there is none. Creates nothing. */
  compareTopic(topic: TopicContract): Promise<readonly string[] | null>;
  /**
   * The consumer group of a consumer whose effects go with this ledger. A committed offset says that the ledger has what is
   * before it, so two ledgers on one log need two groups: one's offsets would have the other skip records.
   */
  groupOf(consumer: string, ledger: string): string;
  /** @throws GROUP_IN_USE where the group has members elsewhere */
  requireFreeGroup(group: string): Promise<void>;
  readonly standing: Standing;
  close(): Promise<void>;
}

/** @throws STATE_UNREADABLE, STATE_IN_USE when the file cannot be used */
export function openEmbeddedLog({ path, files }: StateFolder): TopicLog {
  const log = openSqliteLog({ path: files.log, clock: systemClock });
  const offsets = readLogOffsets(log, systemClock);
  return {
    ...log,
    at: path,
    async id() {
      return madeOnce(files.logId);
    },
    async prepareTopic({ name, partitions }) {
      await log.createTopic(name, partitions);
      return [];
    },
    async compareTopic({ name, partitions }) {
      const found = await partitionsIn(log, name);
      if (found === null) return null;
      return found === partitions ? [] : [`partitions: ${found}; its contract says ${partitions}`];
    },
    topicId: async () => undefined,
    // Nobody else has this log, and its ledger is bound to it.
    groupOf: (consumer) => consumer,
    async requireFreeGroup() {},
    standing: {
      ...offsets,
      async read(asked) {
        const found = await offsets.read(asked);
        return found.map((each, index) =>
          each.partitions?.length === 0
            ? { ...each, unknown: notPublished(asked[index]!.topic, path) }
            : each,
        );
      },
      retention: async (topics) => new Map(topics.map((topic) => [topic, 'forever'])),
      runners: async () => () => ({ isRunning: null, who: 'unknown' }),
    },
    async close() {
      log.close();
    },
  };
}

/** The client is loaded only where it is used: it takes a tenth of a second. */
export async function openKafkaTopics(
  connection: KafkaConnection,
): Promise<TopicLog & { readonly standing: BulkOffsets }> {
  const [{ openKafkaLog }, { BulkOffsets }] = await Promise.all([
    import('../adapters/kafka/kafka-log.ts'),
    import('../adapters/kafka/bulk-offsets.ts'),
  ]);
  const log = openKafkaLog({ connection, clock: systemClock });
  const standing = new BulkOffsets({ connection, clock: systemClock });
  return {
    ...log,
    at: `Kafka at ${connection.brokers.join(', ')}`,
    groupOf: (consumer, ledger) => `${consumer}.${ledger}`,
    standing,
    id: async () => `kafka ${await log.clusterId()}`,
    async close() {
      await Promise.all([log.close(), standing.close()]);
    },
  };
}

/** On a laptop that is where everybody begins. */
function notPublished(topic: string, path: string): string {
  return `Topic ${JSON.stringify(topic)} does not exist in ${path}: nobody has published to it yet, and no "millrace up" has made it.`;
}

async function partitionsIn(log: LogReader, topic: string): Promise<number | null> {
  try {
    return await log.partitions(topic);
  } catch (error) {
    if (error instanceof MillraceError && error.code === 'TOPIC_UNKNOWN') return null;
    throw error;
  }
}

/** How many records a topic holds. */
export async function recordsIn(log: LogReader, topic: string): Promise<number> {
  const bounds = await Promise.all(
    (await partitionsOf(log, topic)).map((partition) => log.bounds({ topic, partition })),
  );
  return bounds.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** Goes with the log: what clears the folder takes both. */
function madeOnce(path: string): string {
  try {
    writeFileSync(path, `embedded ${randomUUID()}`, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  return readFileSync(path, 'utf8');
}

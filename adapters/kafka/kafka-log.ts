import { Admin, Consumer, FetchIsolationLevels } from '@platformatic/kafka';
import { MillraceError } from '../../runtime/errors.ts';
import type { Clock } from '../../runtime/ports.ts';
import type { Position, TopicPartition } from '../../runtime/record.ts';
import type { LogReader, Producer } from '../../runtime/topics.ts';
import {
  clientOptions,
  type KafkaConnection,
  METADATA_MAX_AGE_MS,
  REQUEST_TIMEOUT_MS,
} from './connection.ts';
import { hasApiError, kafkaError } from './kafka-errors.ts';
import { createKafkaProducer } from './kafka-producer.ts';
import { createKafkaTopics, type KafkaTopics } from './kafka-topics.ts';
import { createOffsetLookup } from './offset-lookup.ts';
import { SilentBrokers } from './silent-brokers.ts';
import { TopicReader } from './topic-reader.ts';

export interface KafkaLogOptions {
  readonly connection: KafkaConnection;
  /** Stamps records that come without a timestamp. */
  readonly clock: Clock;
  /** Settings of topics that it creates, by Kafka's own names, such as max.message.bytes. @default the cluster's */
  readonly topicSettings?: Readonly<Record<string, string>>;
  /** How long anything is tried before it is given up. @default 60,000: a broker's restart is over by then */
  readonly timeoutMs?: number;
}

export interface KafkaLog extends Producer, KafkaTopics, LogReader {
  /** Kafka's own id of the topic, as a UUID; undefined where there is no such topic. */
  topicId(topic: string): Promise<string | undefined>;
  /** What tells this cluster from every other. @throws KAFKA_UNAVAILABLE, KAFKA_REFUSED */
  clusterId(): Promise<string>;
  /** @throws GROUP_IN_USE where a consumer is a member of the group: its commits and ours would undo each other */
  requireFreeGroup(group: string): Promise<void>;
  /** Sends what is still to be sent, then closes all connections. */
  close(): Promise<void>;
}

/** A fetch brings up to 16 MiB, by way of whatever line there is: as long as Kafka's own client waits for any request. */
const FETCH_TIMEOUT_MS = 30_000;

const FREE_STATES: readonly string[] = ['EMPTY', 'DEAD', 'Empty', 'Dead'];

/**
 * A Kafka cluster as a log. Reading and committing take part in no group: offsets are committed to a group without
 * members, as tools do that set them, so that one process reads all partitions, as Lambda's event source mapping does.
 * Records of transactions are read once these are committed; `end` is where reading can get to now.
 * Every method throws KAFKA_UNAVAILABLE and KAFKA_REFUSED besides what its port says.
 */
export function openKafkaLog(options: KafkaLogOptions): KafkaLog {
  const { connection, clock, topicSettings = {}, timeoutMs = 60_000 } = options;
  const client = clientOptions(connection);
  const silent = new SilentBrokers(connection.brokers);
  const admin = silent.watch(new Admin(client));
  // Consumers by the client's name only: none of them joins its group.
  const consumer = (requestTimeout: number, metadataMaxAge?: number) =>
    silent.watch(
      new Consumer<Buffer, Buffer, Buffer, Buffer>({
        ...client,
        requestTimeout,
        ...(metadataMaxAge !== undefined && { metadataMaxAge }),
        groupId: 'millrace',
        isolationLevel: FetchIsolationLevels.READ_COMMITTED,
      }),
    );
  const lookup = consumer(REQUEST_TIMEOUT_MS);
  const readers = new Map<string, TopicReader>();

  const attempt = async <Result>(
    doing: string,
    details: Readonly<Record<string, unknown>>,
    work: () => Promise<Result>,
  ): Promise<Result> => {
    try {
      return await within(timeoutMs, work(), () => {
        for (const used of [admin, lookup]) silent.giveUp(used);
      });
    } catch (error) {
      throw kafkaError(error, connection.brokers, doing, details);
    }
  };

  const findPartitions = async (topic: string): Promise<number | undefined> => {
    try {
      return await attempt(`Topic ${topic} could not be looked up`, { topic }, async () => {
        const found = (await lookup.metadata({ topics: [topic], retries: 2 })).topics.get(topic);
        return found?.partitions.every(({ leader }) => leader >= 0) ? found.partitionsCount : undefined;
      });
    } catch (error) {
      if (error instanceof MillraceError && error.code === 'TOPIC_UNKNOWN') return undefined;
      throw error;
    }
  };
  const partitionsOf = async (topic: string): Promise<number> => {
    const partitions = await findPartitions(topic);
    if (partitions !== undefined) return partitions;
    throw new MillraceError(
      'TOPIC_UNKNOWN',
      `Topic ${JSON.stringify(topic)} does not exist on Kafka at ${connection.brokers.join(', ')}. Create it first.`,
      { details: { topic } },
    );
  };
  const offsets = createOffsetLookup({ lookup, admin, partitionsOf, attempt });
  const readerOf = (topic: string): TopicReader => {
    let reader = readers.get(topic);
    if (!reader) {
      const startOf = async (partition: number) => (await offsets.bounds({ topic, partition })).start;
      reader = new TopicReader(topic, consumer(FETCH_TIMEOUT_MS, METADATA_MAX_AGE_MS), startOf);
      readers.set(topic, reader);
    }
    return reader;
  };
  const noteEnd = ({ topic, partition }: TopicPartition, end: number) =>
    readers.get(topic)?.endIsAt(partition, end);

  const producer = createKafkaProducer({
    connection,
    silent,
    clock,
    partitionsOf,
    deliveryTimeoutMs: timeoutMs,
  });
  const topics = createKafkaTopics({
    admin,
    findPartitions,
    settings: topicSettings,
    attempt: (doing, topic, work) => attempt(doing, { topic }, work),
  });

  return {
    ...topics,
    async send(topic, records) {
      const positions = await producer.send(topic, records);
      for (const position of positions) noteEnd(position, position.offset + 1);
      return positions;
    },

    partitions: partitionsOf,
    async read({ topic, partition }, fromOffset, maxRecords) {
      // The first read of a topic finds out whether it exists; afterwards a fetch tells.
      if (!readers.has(topic)) await partitionsOf(topic);
      return attempt(`Topic ${topic} could not be read`, { topic, partition }, () =>
        readerOf(topic).read(partition, fromOffset, maxRecords),
      );
    },
    async passed({ topic, partition }, fromOffset) {
      return readers.get(topic)?.passed(partition, fromOffset) ?? fromOffset;
    },
    async bounds(of) {
      const bounds = await offsets.bounds(of);
      noteEnd(of, bounds.end);
      return bounds;
    },
    offsetAt: offsets.offsetAt,
    committed: offsets.committed,

    async commit(group, positions) {
      for (const topic of new Set(positions.map((position) => position.topic))) await partitionsOf(topic);
      try {
        await attempt(`The offsets of group ${group} were not committed`, { group }, () =>
          admin.alterConsumerGroupOffsets({ groupId: group, topics: byTopic(positions) }),
        );
      } catch (error) {
        throw hasApiError(
          error,
          'UNKNOWN_MEMBER_ID',
          'NON_EMPTY_GROUP',
          'STALE_MEMBER_EPOCH',
          'ILLEGAL_GENERATION',
        )
          ? groupInUse(group, connection.brokers, error)
          : error;
      }
    },

    topicId: (topic: string) =>
      attempt(
        `Topic ${topic} could not be looked up`,
        { topic },
        async () => (await lookup.metadata({ topics: [topic] })).topics.get(topic)?.id,
      ),
    clusterId: () =>
      attempt(
        'The cluster could not be looked up',
        {},
        async () => (await lookup.metadata({ topics: [] })).id,
      ),
    async requireFreeGroup(group) {
      const groups = await attempt('Consumer groups could not be listed', { group }, () =>
        // The client leaves out groups of the newer protocol unless they are asked for.
        admin.listGroups({ types: ['classic', 'consumer'] }),
      );
      const state = groups.get(group)?.state;
      if (state !== undefined && !FREE_STATES.includes(state)) throw groupInUse(group, connection.brokers);
    },
    async close() {
      await producer.close();
      await Promise.all([
        admin.close(),
        lookup.close(),
        ...[...readers.values()].map((reader) => reader.close()),
      ]);
    },
  };
}

/**
 * The client tries each step of what it does again by itself, which adds up to many minutes where a broker takes connections
 * and then says nothing. What is given up goes on, and what becomes of it is nobody's concern.
 */
async function within<Result>(ms: number, work: Promise<Result>, onLate: () => void): Promise<Result> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    onLate();
    reject(new Error(`no answer within ${ms / 1_000} s`));
  }, ms);
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

function byTopic(positions: readonly Position[]) {
  return [...Map.groupBy(positions, ({ topic }) => topic)].map(([name, of]) => ({
    name,
    partitionOffsets: of.map(({ partition, offset }) => ({ partition, offset: BigInt(offset) })),
  }));
}

function groupInUse(group: string, brokers: readonly string[], cause?: unknown): MillraceError {
  return new MillraceError(
    'GROUP_IN_USE',
    `Consumer group ${JSON.stringify(group)} on Kafka at ${brokers.join(', ')} has members: another consumer is running, ` +
      'and the two would overwrite each other’s commits. Stop that one first.',
    { ...(cause !== undefined && { cause }), details: { group } },
  );
}

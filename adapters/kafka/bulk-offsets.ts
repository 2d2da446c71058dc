/** Where many groups stand in many partitions, in few requests: a sample of a whole cluster takes a second. */
import { Admin, ConfigResourceTypes, Consumer, FetchIsolationLevels } from '@platformatic/kafka';
import type { MillraceError } from '../../runtime/errors.ts';
import type { Runner } from '../../runtime/lag/sample.ts';
import type { Clock } from '../../runtime/ports.ts';
import { clientOptions, type KafkaConnection } from './connection.ts';
import { errorsIn, kafkaError } from './kafka-errors.ts';
import { NextTimestamps, type Wanted } from './next-timestamps.ts';
import { readBounds } from './partition-bounds.ts';
import { SilentBrokers } from './silent-brokers.ts';

/** A group, and a topic that it reads. */
export interface GroupTopic {
  readonly group: string;
  readonly topic: string;
}

/** What could not be read is null. */
export interface PartitionOffsets {
  readonly partition: number;
  /** The next offset to read; 'none' where the group has committed nothing. */
  readonly committed: number | 'none' | null;
  readonly start: number | null;
  readonly end: number | null;
  /** The timestamp of the next unread record; null where nothing is unread, or it is not known yet. */
  readonly nextAt: number | null;
}

export interface GroupTopicOffsets {
  /** When the committed offsets were read, in epoch milliseconds. */
  readonly at: number;
  /** Empty where there is no such topic, which `unknown` then says. */
  readonly partitions: readonly PartitionOffsets[] | null;
  /** Why something is null. A sentence. */
  readonly unknown?: string;
}

export interface BulkOffsetsOptions {
  readonly connection: KafkaConnection;
  readonly clock: Clock;
  /** How long a broker may take for one request. @default 5,000 */
  readonly requestTimeoutMs?: number;
  /** How long one reading waits for timestamps; what comes later is in the next one. @default 700 */
  readonly timestampsWithinMs?: number;
}

/** One retry: who samples comes back anyway. */
const RETRIES = 1;
/** A leader that moved says so; a topic that grew is seen after so long. */
const METADATA_MAX_AGE_MS = 30_000;
/** Of one request to a coordinator. */
const GROUPS_AT_ONCE = 500;

interface Topic {
  readonly id: string;
  readonly partitions: readonly { readonly leader: number }[];
}

/** By topic and partition; one that the group has committed nothing in is missing. */
type Committed = ReadonlyMap<string, ReadonlyMap<number, number>>;

type Read<Value> = { readonly value: Value } | { readonly failure: MillraceError };

/**
 * Reads in this order, since each moves on while the next is read: committed offsets, ends, timestamps. A lag is never too
 * small that way. One topic, group or broker that cannot be read makes null of what it concerns, and of nothing else.
 */
export class BulkOffsets {
  readonly #connection: KafkaConnection;
  readonly #clock: Clock;
  readonly #admin: Admin;
  readonly #lookup: Consumer<Buffer, Buffer, Buffer, Buffer>;
  readonly #timestamps: NextTimestamps;

  constructor({ connection, clock, requestTimeoutMs = 5_000, timestampsWithinMs = 700 }: BulkOffsetsOptions) {
    this.#connection = connection;
    this.#clock = clock;
    const silent = new SilentBrokers(connection.brokers);
    const client = {
      ...clientOptions(connection),
      retries: RETRIES,
      requestTimeout: requestTimeoutMs,
      metadataMaxAge: METADATA_MAX_AGE_MS,
    };
    this.#admin = silent.watch(new Admin(client));
    const consumer = (of: SilentBrokers) =>
      of.watch(
        new Consumer<Buffer, Buffer, Buffer, Buffer>({
          ...client,
          groupId: 'millrace',
          isolationLevel: FetchIsolationLevels.READ_COMMITTED,
        }),
      );
    this.#lookup = consumer(silent);
    // On connections of its own, with its own memory of brokers: what it fetches must not hold up what is asked meanwhile.
    this.#timestamps = new NextTimestamps(
      consumer(new SilentBrokers(connection.brokers)),
      timestampsWithinMs,
    );
  }

  /**
   * @returns for each of `asked`, in its order
   * @throws KAFKA_UNAVAILABLE, KAFKA_REFUSED where nothing can be read at all
   */
  async read(asked: readonly GroupTopic[]): Promise<readonly GroupTopicOffsets[]> {
    const names = [...new Set(asked.map(({ topic }) => topic))];
    const topics = await this.#topics(names);
    const failures = [...topics.values()].flatMap((read) => ('failure' in read ? [read.failure] : []));
    // Not one of them: then it is the cluster that cannot be read.
    if (failures.length > 0 && failures.length === topics.size) throw failures[0];
    const known = new Map(
      [...topics].flatMap(([name, read]) => ('value' in read && read.value ? [[name, read.value]] : [])),
    );
    const at = this.#clock.now();
    const committed = await this.#committed(asked, known);
    const { bounds, error } = await readBounds(this.#lookup, known);
    const boundless =
      error === undefined
        ? undefined
        : kafkaError(error, this.#connection.brokers, 'Some ends of topics could not be read').message;
    const rows = asked.map(({ group, topic }) => {
      const read = topics.get(topic)!;
      if ('failure' in read) return { read };
      const of = committed.get(group)!;
      const offsets = 'value' in of ? of.value.get(topic) : undefined;
      const partitions = (read.value?.partitions ?? []).map((_, partition) => {
        const { start = null, end = null } = bounds.get(topic)?.[partition] ?? {};
        const offset = 'value' in of ? (offsets?.get(partition) ?? ('none' as const)) : null;
        return { partition, committed: offset, start, end };
      });
      return { read, partitions, why: 'failure' in of ? of.failure.message : undefined };
    });
    const wanted = rows.flatMap(({ partitions = [] }, index) => {
      const { topic } = asked[index]!;
      return partitions.map((each) => wantedOf(each, topic, known.get(topic)!));
    });
    const ageless = await this.#timestamps.find(wanted.filter((each) => each !== undefined));
    return rows.map(({ read, partitions, why }, index): GroupTopicOffsets => {
      if ('failure' in read) return { at, partitions: null, unknown: read.failure.message };
      const { topic } = asked[index]!;
      const found = partitions!.map((each) => {
        const want = wantedOf(each, topic, known.get(topic)!);
        return { ...each, nextAt: want ? this.#timestamps.of(want) : null };
      });
      const isBoundless = found.some(({ end }) => end === null);
      const missing =
        read.value === undefined
          ? `Topic ${JSON.stringify(topic)} does not exist on Kafka at ${this.#connection.brokers.join(', ')}.`
          : undefined;
      const unknown = missing ?? why ?? (isBoundless ? boundless : undefined) ?? ageless;
      return { at, partitions: found, ...(unknown !== undefined && { unknown }) };
    });
  }

  /** The names of all groups of the cluster. */
  async groups(): Promise<readonly string[]> {
    return [...(await this.#states()).keys()];
  }

  /** Who is in each of these groups. One that takes part in no group, as `millrace up`, is not seen. */
  async runners(_groups: readonly string[]): Promise<(group: string) => Runner> {
    const states = await this.#states();
    return (group) => {
      const state = states.get(group);
      if (state === undefined || /^(?:empty|dead)$/i.test(state))
        return { isRunning: false, who: 'nobody: the group has no members' };
      if (/^unknown$/i.test(state)) return { isRunning: null, who: 'unknown: its broker does not say' };
      return { isRunning: true, who: `members of the group, which is ${state.toLowerCase()}` };
    };
  }

  /** What brokers say of each group, such as `Stable` or `Empty`. */
  async #states(): Promise<ReadonlyMap<string, string>> {
    try {
      // The client leaves out groups of the newer protocol unless they are asked for.
      const groups = await this.#admin.listGroups({ types: ['classic', 'consumer'] });
      return new Map([...groups].map(([name, { state }]) => [name, String(state)]));
    } catch (error) {
      throw kafkaError(error, this.#connection.brokers, 'Consumer groups could not be listed');
    }
  }

  /** The topics that each of these groups has committed to. */
  async topicsOf(groups: readonly string[]): Promise<readonly GroupTopic[]> {
    const found = await Promise.all(
      chunked(groups, GROUPS_AT_ONCE).map(async (chunk) => {
        try {
          return await this.#admin.listConsumerGroupOffsets({ groups: [...chunk] });
        } catch (error) {
          throw kafkaError(error, this.#connection.brokers, "The groups' topics could not be read");
        }
      }),
    );
    return found
      .flat()
      .flatMap(({ groupId, topics }) =>
        topics
          .filter(({ partitions }) => partitions.some(({ committedOffset }) => committedOffset >= 0n))
          .map(({ name }) => ({ group: groupId, topic: name })),
      );
  }

  /** How long each of the topics keeps a record, in milliseconds. One that is missing could not be read. */
  async retention(topics: readonly string[]): Promise<ReadonlyMap<string, number | 'forever'>> {
    if (topics.length === 0) return new Map();
    try {
      const resources = await this.#admin.describeConfigs({
        resources: topics.map((topic) => ({
          resourceType: ConfigResourceTypes.TOPIC,
          resourceName: topic,
          configurationKeys: ['retention.ms', 'cleanup.policy'],
        })),
        includeSynonyms: false,
        includeDocumentation: false,
      });
      return new Map(
        resources.flatMap(({ resourceName, configs }) => {
          const values = new Map(configs.map(({ name, value }) => [name, value ?? undefined]));
          const kept = retentionOf(values.get('retention.ms'), values.get('cleanup.policy'));
          return kept === undefined ? [] : [[resourceName, kept] as const];
        }),
      );
    } catch (error) {
      if (topics.length === 1) {
        // One that is not there, or may not be described, must not hide what the others say.
        const [topic] = topics as readonly [string];
        const failure = kafkaError(
          error,
          this.#connection.brokers,
          `The settings of topic ${topic} could not be read`,
          { topic },
        );
        if (failure.code === 'TOPIC_UNKNOWN' || failure.code === 'KAFKA_REFUSED') return new Map();
        throw failure;
      }
      const each = await Promise.all(topics.map((topic) => this.retention([topic])));
      return new Map(each.flatMap((found) => [...found]));
    }
  }

  /** The offsets of the first records at or after these times; null where there is none, or it cannot be read. */
  async offsetsAt(topic: string, timestampMs: number): Promise<ReadonlyMap<number, number>> {
    try {
      const found = await this.#lookup.listOffsetsWithTimestamps({
        topics: [topic],
        timestamp: BigInt(Math.max(0, Math.floor(timestampMs))),
      });
      const offsets = [...(found.get(topic) ?? [])].map(
        ([partition, { offset }]) => [partition, Number(offset)] as const,
      );
      return new Map(offsets.filter(([, offset]) => offset >= 0));
    } catch (error) {
      throw kafkaError(error, this.#connection.brokers, `Topic ${topic} could not be searched by time`, {
        topic,
      });
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.#admin.close(), this.#lookup.close(), this.#timestamps.close()]);
  }

  /** Undefined where there is no such topic. */
  async #topics(names: readonly string[]): Promise<ReadonlyMap<string, Read<Topic | undefined>>> {
    if (names.length === 0) return new Map();
    try {
      const { topics } = await this.#lookup.metadata({ topics: [...names] });
      return new Map(names.map((name) => [name, { value: topics.get(name) }]));
    } catch (error) {
      const failure = kafkaError(error, this.#connection.brokers, 'The topics could not be looked up');
      // A broker has answered: it is about one of them. Which one, the client does not say; of one, it is that one.
      const isAnswer =
        failure.code === 'TOPIC_UNKNOWN' || errorsIn(error).some(({ apiId }) => apiId !== undefined);
      if (names.length > 1 && isAnswer) {
        const halves = [names.slice(0, names.length / 2), names.slice(names.length / 2)];
        const read = await Promise.all(halves.map((half) => this.#topics(half)));
        return new Map(read.flatMap((half) => [...half]));
      }
      const isUnknown = failure.code === 'TOPIC_UNKNOWN';
      return new Map(names.map((name) => [name, isUnknown ? { value: undefined } : { failure }]));
    }
  }

  async #committed(
    asked: readonly GroupTopic[],
    topics: ReadonlyMap<string, Topic>,
  ): Promise<ReadonlyMap<string, Read<Committed>>> {
    const groups = [...Map.groupBy(asked, ({ group }) => group)].map(([groupId, of]) => ({
      groupId,
      topics: [...new Set(of.map(({ topic }) => topic))].flatMap((name) => {
        const partitions = topics.get(name)?.partitions.length ?? 0;
        if (partitions === 0) return [];
        return [{ name, partitionIndexes: Array.from({ length: partitions }, (_, partition) => partition) }];
      }),
    }));
    const nothing = groups.filter((each) => each.topics.length === 0);
    const askable = groups.filter((each) => each.topics.length > 0);
    const read = await Promise.all(chunked(askable, GROUPS_AT_ONCE).map((chunk) => this.#committedOf(chunk)));
    return new Map<string, Read<Committed>>([
      ...nothing.map(({ groupId }) => [groupId, { value: new Map() }] as const),
      ...read.flatMap((each) => [...each]),
    ]);
  }

  async #committedOf(
    groups: readonly {
      readonly groupId: string;
      readonly topics: { name: string; partitionIndexes: number[] }[];
    }[],
  ): Promise<ReadonlyMap<string, Read<Committed>>> {
    try {
      const found = await this.#admin.listConsumerGroupOffsets({ groups: [...groups] });
      return new Map(
        found.map(({ groupId, topics }) => [
          groupId,
          {
            value: new Map(
              topics.map(({ name, partitions }) => {
                const set = partitions.filter(({ committedOffset }) => committedOffset >= 0n);
                return [
                  name,
                  new Map(set.map((each) => [each.partitionIndex, Number(each.committedOffset)])),
                ];
              }),
            ),
          },
        ]),
      );
    } catch (error) {
      if (groups.length > 1) {
        const each = await Promise.all(groups.map((group) => this.#committedOf([group])));
        return new Map(each.flatMap((found) => [...found]));
      }
      const { groupId } = groups[0]!;
      const doing = `The offsets of group ${groupId} could not be read`;
      return new Map([
        [groupId, { failure: kafkaError(error, this.#connection.brokers, doing, { group: groupId }) }],
      ]);
    }
  }
}

/** What is to be found out of a partition: nothing where nothing is unread, or where that is not known. */
function wantedOf(
  { partition, committed, start, end }: Omit<PartitionOffsets, 'nextAt'>,
  topic: string,
  { id, partitions }: Topic,
): Wanted | undefined {
  if (committed === null || start === null || end === null) return undefined;
  const offset = committed === 'none' ? start : Math.max(committed, start);
  if (offset >= end) return undefined;
  return { topic, topicId: id, partition, leader: partitions[partition]!.leader, offset };
}

function retentionOf(text: string | undefined, cleanup: string | undefined): number | 'forever' | undefined {
  if (cleanup === 'compact') return 'forever';
  const ms = Number(text ?? Number.NaN);
  if (!Number.isFinite(ms)) return undefined;
  return ms < 0 ? 'forever' : ms;
}

function chunked<Item>(items: readonly Item[], size: number): readonly (readonly Item[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  );
}

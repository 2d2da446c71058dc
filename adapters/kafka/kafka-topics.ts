import { type Admin, ConfigResourceTypes } from '@platformatic/kafka';
import { MillraceError } from '../../runtime/errors.ts';
import { type TopicAdmin, type TopicContract, topicSettings } from '../../runtime/topics.ts';
import { hasApiError } from './kafka-errors.ts';

export interface KafkaTopics extends TopicAdmin {
  /**
   * Creates the contract's topic where there is none. One that exists is never changed, since it may be somebody else's:
   * @returns how it differs from the contract, in words; nothing where it does not
   */
  prepareTopic(contract: TopicContract): Promise<readonly string[]>;
  /** The same for a topic that is there, and null where there is none. Creates nothing. */
  compareTopic(contract: TopicContract): Promise<readonly string[] | null>;
}

interface KafkaTopicsOptions {
  readonly admin: Admin;
  /** The number of a topic's partitions that can be written to; undefined where there is no such topic. */
  readonly findPartitions: (topic: string) => Promise<number | undefined>;
  /** Runs what is done to a topic and turns its errors into ours. */
  readonly attempt: <Result>(doing: string, topic: string, work: () => Promise<Result>) => Promise<Result>;
  /** Settings of topics that are created, by Kafka's own names. */
  readonly settings: Readonly<Record<string, string>>;
}

/** After it was created, each broker has yet to hear of a topic. */
const CREATION_PATIENCE_MS = 15_000;
const CREATION_POLL_MS = 50;

export function createKafkaTopics({
  admin,
  findPartitions,
  attempt,
  settings,
}: KafkaTopicsOptions): KafkaTopics {
  const create = (topic: string, partitions: number, of: Readonly<Record<string, string>>) =>
    attempt(`Topic ${topic} was not created`, topic, async () => {
      const configs = Object.entries({ ...of, ...settings }).map(([name, value]) => ({ name, value }));
      try {
        // As many replicas as the cluster's default.replication.factor says.
        await admin.createTopics({ topics: [{ topic, partitions, replicas: -1 }], configs });
      } catch (error) {
        if (!hasApiError(error, 'TOPIC_ALREADY_EXISTS')) throw error;
      }
      for (let waitedMs = 0; (await findPartitions(topic)) === undefined; waitedMs += CREATION_POLL_MS) {
        if (waitedMs >= CREATION_PATIENCE_MS) throw new Error(`the topic has no leader after ${waitedMs} ms`);
        await new Promise((resolve) => setTimeout(resolve, CREATION_POLL_MS));
      }
    });

  const settingsOf = async (topic: string, names: readonly string[]) => {
    const [{ configs } = { configs: [] }] = await admin.describeConfigs({
      resources: [
        { resourceType: ConfigResourceTypes.TOPIC, resourceName: topic, configurationKeys: [...names] },
      ],
      includeSynonyms: false,
      includeDocumentation: false,
    });
    return new Map(configs.map(({ name, value }) => [name, value ?? null]));
  };

  const compareTopic = async (contract: TopicContract) => {
    const { name, partitions } = contract;
    const existing = await findPartitions(name);
    if (existing === undefined) return null;
    const wanted = topicSettings(contract);
    const count = existing === partitions ? [] : [`partitions: ${existing}; its contract says ${partitions}`];
    return attempt(`The settings of topic ${name} could not be read`, name, async () => {
      const found = await settingsOf(name, Object.keys(wanted));
      return [...count, ...differences(wanted, found)];
    });
  };

  return {
    compareTopic,

    async createTopic(topic, partitions) {
      if (!Number.isInteger(partitions) || partitions < 1)
        throw wrongPartitions(topic, partitions, undefined);
      const existing = await findPartitions(topic);
      if (existing === undefined) await create(topic, partitions, {});
      const found = existing ?? (await findPartitions(topic));
      if (found !== partitions) throw wrongPartitions(topic, partitions, found);
    },

    async prepareTopic(contract) {
      const compared = await compareTopic(contract);
      if (compared !== null) return compared;
      await create(contract.name, contract.partitions, topicSettings(contract));
      return [];
    },
  };
}

/** @returns for each setting that is not as wanted, a line about it */
function differences(
  wanted: Readonly<Record<string, string>>,
  found: ReadonlyMap<string, string | null>,
): string[] {
  return Object.entries(wanted).flatMap(([name, value]) => {
    const is = found.get(name);
    // Retention means nothing where only compaction deletes.
    if (is === value || (name === 'retention.ms' && wanted['cleanup.policy'] === 'compact')) return [];
    return [`${name}: ${is ?? 'not told'}; its contract says ${value}`];
  });
}

function wrongPartitions(topic: string, wanted: number, found: number | undefined): MillraceError {
  return new MillraceError(
    'INPUT_INVALID',
    `Topic ${JSON.stringify(topic)} cannot have ${wanted} partitions: ${found === undefined ? 'it takes a whole number from 1' : `it exists with ${found}, and is left as it is`}.`,
    { details: { topic, partitions: wanted } },
  );
}

import type { KafkaConnection } from '../adapters/kafka/connection.ts';
import { openSqliteObjects } from '../adapters/sqlite/sqlite-objects.ts';
import { openSqliteQueues } from '../adapters/sqlite/sqlite-queue.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { AUDIT_PREFIX } from '../runtime/dead-letters/audit-log.ts';
import type { Queue } from '../runtime/dead-letters/queue.ts';
import {
  type DeadLetterResources,
  deadLetterResources,
  type LetterOwner,
  MAX_REDELIVERIES,
} from '../runtime/dead-letters/resources.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import type { ObjectStore } from '../runtime/objects.ts';
import { openPauses, type Pauses } from './pauses.ts';
import type { StateFolder } from './state-folder.ts';
import { openEmbeddedLog, openKafkaTopics, type TopicLog } from './topic-log.ts';

export interface StoresOptions {
  /** The cluster that has the topics. @default the state folder has them */
  readonly kafka?: KafkaConnection;
  /** The bucket of the archive. @default the state folder has it */
  readonly archive?: ArchiveBucket;
}

export interface ArchiveBucket {
  readonly bucket: string;
  /** Of a store that answers as S3 does. @default S3 itself */
  readonly endpoint?: string;
}

/** What any number of processes may use at once, all but the sink: the topics, and what else a state folder keeps. */
export interface Stores {
  readonly log: TopicLog;
  readonly archive: ObjectStore;
  readonly pauses: Pauses;
  deadLettersOf(consumer: LetterOwner): DeadLetterResources;
  /** Every consumer with dead letters in the folder's queues, declared or not. */
  withQueuedLetters(): readonly string[];
  /** Where messages become dead letters of the consumer. */
  deadLetterQueueOf(consumer: AnyConsumer): Queue;
  /** How many dead letters wait; null where they are in a topic, which does not say. */
  deadLettersIn(consumer: AnyConsumer): Promise<number | null>;
  /** Makes what a killed function was redriving visible at once. For who holds the folder: no function runs but its own. */
  releaseRedriven(consumer: AnyConsumer): void;
  /** Deletes the dead letters of a generation that was dropped; what people did to them stays known. Letters in a Kafka topic stay. */
  forget(consumer: AnyConsumer): Promise<void>;
  close(): Promise<void>;
}

const DEAD_LETTERS = '-dead-letters';

/** @throws STATE_UNREADABLE, STATE_IN_USE when a file cannot be used */
export async function openStores(
  folder: StateFolder,
  { kafka, archive }: StoresOptions = {},
): Promise<Stores> {
  const { files } = folder;
  const log = kafka ? await openKafkaTopics(kafka) : openEmbeddedLog(folder);
  const queues = openSqliteQueues({ path: files.queues, clock: systemClock });
  const objects = openSqliteObjects({ path: files.objects, clock: systemClock });
  const local = openSqliteObjects({ path: files.archive, clock: systemClock });
  const namesOf = ({ name }: Pick<AnyConsumer, 'name'>) => ({
    deadLetters: `${name}${DEAD_LETTERS}`,
    redrive: `${name}-redrive`,
  });
  return {
    log,
    archive: archive ? await openBucket(archive) : local.objects('archive'),
    pauses: openPauses(folder),
    deadLettersOf(consumer) {
      const names = namesOf(consumer);
      const redrive = queues.queue(names.redrive, {
        deadLetterQueue: names.deadLetters,
        maxReceiveCount: MAX_REDELIVERIES,
      });
      return deadLetterResources(consumer, {
        deadLetters: queues.queue(names.deadLetters),
        redrive,
        mover: queues.mover(names.deadLetters, names.redrive),
        objects: objects.objects(consumer.name),
        log,
      });
    },
    withQueuedLetters: () =>
      queues
        .names()
        .filter((name) => name.endsWith(DEAD_LETTERS))
        .map((name) => name.slice(0, -DEAD_LETTERS.length)),
    deadLetterQueueOf: (consumer) => queues.queue(namesOf(consumer).deadLetters),
    deadLettersIn: async (consumer) =>
      consumer.deadLetter === 'kafka' ? null : queues.queue(namesOf(consumer).deadLetters).depth(),
    releaseRedriven: (consumer) => queues.releaseAll(namesOf(consumer).redrive),
    async forget(consumer) {
      for (const name of Object.values(namesOf(consumer))) queues.clear(name);
      const own = objects.objects(consumer.name);
      const keys = (await Array.fromAsync(own.list(''))).map(({ key }) => key);
      await own.delete(keys.filter((key) => !key.startsWith(AUDIT_PREFIX)));
    },
    async close() {
      await log.close();
      queues.close();
      objects.close();
      local.close();
    },
  };
}

/** The client is loaded only where it is used. */
export async function openBucket({ bucket, endpoint }: ArchiveBucket): Promise<ObjectStore> {
  const { openS3Objects } = await import('../adapters/aws/s3-objects.ts');
  return openS3Objects(endpoint === undefined ? {} : { endpoint, forcePathStyle: true }, bucket);
}

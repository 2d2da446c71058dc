import type { AnyConsumer } from '../delivery/consumer.ts';
import type { DeadLetterStore } from '../delivery/dead-letter.ts';
import type { ObjectStore } from '../objects.ts';
import type { LogReader, Producer, TopicContract } from '../topics.ts';
import { createGivenUpReader } from './given-up-letters.ts';
import type { MessageMover, Queue } from './queue.ts';
import { createQueueLetters } from './queue-letters.ts';
import { type DeadLetterReader, joinReaders } from './reader.ts';
import { createTopicLetters, createTopicReader } from './topic-letters.ts';

/** Deliveries of a redriven letter that its consumer does not settle, before the queue puts it among the dead letters. */
export const MAX_REDELIVERIES = 10;

/** Instances of a consumer's function that a redrive may keep busy: the least that Lambda takes, so as not to crowd out the traffic. */
export const REDRIVE_CONCURRENCY = 2;

/** How long a dead letter is kept, from the time it was stored: SQS's longest. */
export const LETTER_RETENTION_MS = 14 * 24 * 60 * 60 * 1_000;

/** Twice what a topic takes unless it is told: a letter in a topic is the whole record, and its failure besides. */
const MAX_LETTER_BYTES = 2 * 1_048_588;

/** For how many of its function's timeouts a redriven message stays hidden: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html (2026-11-24) */
export const VISIBILITY_TIMEOUTS = 6;

/** The topic of a consumer with `deadLetter: 'kafka'`: spread as the topic that its letters come from. */
export function topicOfDeadLetters({ deadLetterTopic, topic }: AnyConsumer): TopicContract {
  return {
    name: deadLetterTopic,
    partitions: topic.partitions,
    retentionMs: LETTER_RETENTION_MS,
    cleanup: 'delete',
    maxRecordBytes: MAX_LETTER_BYTES,
  };
}

/** Where one consumer's dead letters are kept, and the way back to the consumer. */
export interface DeadLetterResources {
  /** Where the consumer puts them. */
  readonly store: DeadLetterStore;
  /** All there are, wherever they stand: in the queue, in the topic, in batches that the event source gave up on. */
  readonly reader: DeadLetterReader;
  /** Whatever is in here goes to the consumer's function. */
  readonly redrive: Queue;
  /** Moves the dead-letter queue as a whole to the redrive queue. */
  readonly mover: MessageMover;
  /** Bytes of large letters, batches given up, results of redrives, the audit log. */
  readonly objects: ObjectStore;
}

/** What the places of a consumer are made of; `log` where its dead letters can be in a Kafka topic. */
export interface ResourceParts {
  readonly deadLetters: Queue;
  readonly redrive: Queue;
  readonly mover: MessageMover;
  readonly objects: ObjectStore;
  readonly log?: Producer & Pick<LogReader, 'partitions' | 'bounds' | 'read'>;
}

/** Whose dead letters: what leads to them of a consumer, which need not be declared any more. */
export type LetterOwner = Pick<AnyConsumer, 'name' | 'epoch' | 'topic' | 'deadLetter' | 'deadLetterTopic'>;

export function deadLetterResources(
  { name, epoch, topic, deadLetter, deadLetterTopic }: LetterOwner,
  { deadLetters, redrive, mover, objects, log }: ResourceParts,
): DeadLetterResources {
  const queueLetters = createQueueLetters({ queue: deadLetters, objects });
  const of = { consumer: name, epoch, topic: topic.name };
  const isInKafka = deadLetter === 'kafka' && log !== undefined;
  return {
    store: isInKafka ? createTopicLetters({ topic: deadLetterTopic, producer: log }) : queueLetters,
    reader: joinReaders({
      queue: queueLetters,
      ...(isInKafka && {
        topic: createTopicReader({ topic: deadLetterTopic, of, producer: log, reader: log }),
      }),
      'given-up': createGivenUpReader({ of, objects }),
    }),
    redrive,
    mover,
    objects,
  };
}

/**
 * MSK for functions. Kafka's client is six times the rest of a function's code, so it stands in a file of its own beside
 * it: `#msk` is this module here, and that file there (lib/constructs/bundled-function.ts).
 */
import { createTopicLetters } from '../../runtime/dead-letters/topic-letters.ts';
import type { DeadLetterStore } from '../../runtime/delivery/dead-letter.ts';
import type { OffsetReader } from '../../runtime/lag/offsets.ts';
import type { Producer } from '../../runtime/topics.ts';
import { BulkOffsets } from '../kafka/bulk-offsets.ts';
import { type KafkaLog, openKafkaLog } from '../kafka/kafka-log.ts';
import { systemClock } from '../system/system-clock.ts';

export interface MskOptions {
  /** Each `host:port`, with a comma between two. */
  readonly brokers: string;
  readonly region: string;
  /** What brokers call the function in their logs. */
  readonly clientId: string;
}

/** To find a topic's partitions, and again to write: what is left of an invocation's time is the caller's, who may try again. */
const TIMEOUT_MS = 6_000;

/** For a person who waits, or a minute's look. */
const LOOK_TIMEOUT_MS = 20_000;

/** A producer that logs in with the function's role. What `send` resolves with, all replicas in sync have. */
export function openMskProducer({ brokers, region, clientId }: MskOptions): Producer {
  return openKafkaLog({
    connection: { brokers: brokers.split(','), security: { kind: 'iam', region }, clientId },
    clock: systemClock,
    timeoutMs: TIMEOUT_MS,
  });
}

/** Reads topics and where groups stand, with the function's role. */
export function openMskLog({ brokers, region, clientId }: MskOptions): KafkaLog {
  return openKafkaLog({
    connection: { brokers: brokers.split(','), security: { kind: 'iam', region }, clientId },
    clock: systemClock,
    timeoutMs: LOOK_TIMEOUT_MS,
  });
}

/** Reads where many groups stand, in few requests, with the function's role. */
export function openMskOffsets({ brokers, region, clientId }: MskOptions): OffsetReader {
  return new BulkOffsets({
    connection: { brokers: brokers.split(','), security: { kind: 'iam', region }, clientId },
    clock: systemClock,
  });
}

/** A topic of dead letters, written with the function's role. */
export function openMskLetters({
  topic,
  ...options
}: MskOptions & { readonly topic: string }): DeadLetterStore {
  return createTopicLetters({ topic, producer: openMskProducer(options) });
}

/**
 * MSK for functions. Kafka's client is six times the rest of a function's code, so it stands in a file of its own beside
 * it: `#msk` is this module here, and that file there (lib/constructs/bundled-function.ts).
 */
import { createTopicLetters } from '../../runtime/dead-letters/topic-letters.ts';
import type { DeadLetterStore, Producer } from '../../runtime/ports.ts';
import { openKafkaLog } from '../kafka/kafka-log.ts';
import { systemClock } from '../system/system-clock.ts';

export interface MskOptions {
  /** Each `host:port`, with a comma between two. */
  readonly brokers: string;
  readonly region: string;
  /** What brokers call the function in their logs. */
  readonly clientId: string;
}

/** A broker that went away is replaced by then as leader; what is left of an invocation's time is the engine's. */
const DELIVERY_TIMEOUT_MS = 10_000;

/** A producer that logs in with the function's role. What `send` resolves with, all replicas in sync have. */
export function openMskProducer({ brokers, region, clientId }: MskOptions): Producer {
  return openKafkaLog({
    connection: { brokers: brokers.split(','), security: { kind: 'iam', region }, clientId },
    clock: systemClock,
    deliveryTimeoutMs: DELIVERY_TIMEOUT_MS,
  });
}

/** A topic of dead letters, written with the function's role. */
export function openMskLetters({
  topic,
  ...options
}: MskOptions & { readonly topic: string }): DeadLetterStore {
  return createTopicLetters({ topic, producer: openMskProducer(options) });
}

import {
  Producer as Client,
  type CompressionAlgorithmValue,
  type MessageToProduce,
} from '@platformatic/kafka';
import { MillraceError } from '../../runtime/errors.ts';
import { partitionOf } from '../../runtime/partitioner.ts';
import type { Clock, Producer } from '../../runtime/ports.ts';
import { clientOptions, type KafkaConnection } from './connection.ts';
import { errorsIn, reasonOf } from './kafka-errors.ts';
import {
  acknowledgedIn,
  type Call,
  confirm,
  type Entry,
  offsetsIn,
  takeRequest,
  toMessage,
} from './produce-requests.ts';

export interface KafkaProducerOptions {
  readonly connection: KafkaConnection;
  readonly clock: Clock;
  /** @throws TOPIC_UNKNOWN */
  readonly partitionsOf: (topic: string) => Promise<number>;
  /** How long a request is tried before it is given up. @default 60,000: a broker's restart is over by then */
  readonly deliveryTimeoutMs?: number | undefined;
  /**
   * @default 'zstd': the smallest of Kafka's four at about the speed of lz4, and what is smaller is cheaper to keep and to
   * send between zones. Node has it built in; every broker and client since Kafka 2.1 reads it
   * (https://cwiki.apache.org/confluence/display/KAFKA/KIP-110, 2026-11-25).
   */
  readonly compression?: CompressionAlgorithmValue | undefined;
}

export interface KafkaProducer extends Producer {
  /** Waits for what was given to `send`, then ends. */
  close(): Promise<void>;
}

interface Outcome {
  /** The offset of a request's first record in a partition, by `topic/partition`; only what was acknowledged. */
  readonly offsets: ReadonlyMap<string, number>;
  readonly failure?: unknown;
}

type KafkaClient = Client<Buffer, Buffer, Buffer, Buffer>;

/**
 * An idempotent producer whose records all replicas in sync acknowledge. One request is under way at a time, so that
 * nothing overtakes what is being tried again; what is sent meanwhile goes out together in the next one. `send` resolves
 * when the records are durable: awaiting it is the backpressure. After a rejection, records of the call may stand in the
 * topic: those of the request that failed if it did arrive, and all before it; none after it.
 */
export function createKafkaProducer(options: KafkaProducerOptions): KafkaProducer {
  const { connection, clock, partitionsOf, deliveryTimeoutMs = 60_000, compression = 'zstd' } = options;
  let client: KafkaClient | undefined;
  let unkeyedSends = 0;
  /** Partitions by topic, for when no broker can be asked: a request is tried until its time is up, so this is, too. */
  const known = new Map<string, number>();
  /** Those with records that no request has taken yet, in the order in which they were made. */
  let queue: Call[] = [];
  let pumping: Promise<void> | undefined;

  const plan = async (call: Call) => {
    try {
      const count = await partitionsOf(call.topic).catch((error: unknown) => {
        const before = known.get(call.topic);
        if (before !== undefined && error instanceof MillraceError && error.action === 'hold') return before;
        throw error;
      });
      known.set(call.topic, count);
      if (call.records.length === 0) return settle(call);
      const unkeyed = unkeyedSends++ % count;
      call.partitions = call.records.map(({ key }) => (key === null ? unkeyed : partitionOf(key, count)));
    } catch (error) {
      call.reject(error);
      drop(call);
    }
  };
  const drop = (call: Call) => {
    queue = queue.filter((other) => other !== call);
  };
  const settle = (call: Call) => {
    call.resolve(call.positions);
    drop(call);
  };

  const pump = async () => {
    while (queue.length > 0) {
      for (const call of queue) if (!call.partitions) await plan(call);
      const request = takeRequest(queue, clock.now());
      if (request.length === 0) continue;
      const outcome = await produce(request);
      confirm(request, outcome.offsets);
      for (const call of new Set(request.map((entry) => entry.call))) {
        if (call.confirmed < call.taken) {
          call.reject(publishFailed(outcome.failure, call, connection.brokers));
          drop(call);
        } else if (call.confirmed === call.records.length) settle(call);
      }
    }
  };

  const produce = async (request: readonly Entry[]): Promise<Outcome> => {
    client ??= new Client<Buffer, Buffer, Buffer, Buffer>({
      ...clientOptions(connection),
      idempotent: true,
      compression,
      // Until the time is up, below: a number of tries would depend on how fast each of them fails.
      retries: true,
    });
    const used = client;
    let isLate = false;
    // Closing is what ends the client's tries; the next request gets another client.
    const deadline = setTimeout(() => {
      isLate = true;
      client = undefined;
      used.close().catch(() => {});
    }, deliveryTimeoutMs);
    try {
      return {
        offsets: offsetsIn(await used.send({ messages: request.map(toMessage) })),
      };
    } catch (error) {
      const failure = isLate ? new AggregateError([error], `Given up after ${deliveryTimeoutMs} ms`) : error;
      return { offsets: acknowledgedIn(error), failure };
    } finally {
      clearTimeout(deadline);
    }
  };

  return {
    send(topic, records) {
      const { promise, resolve, reject } = Promise.withResolvers<readonly Position[]>();
      queue.push({
        topic,
        records,
        partitions: undefined,
        taken: 0,
        confirmed: 0,
        positions: [],
        resolve,
        reject,
      });
      pumping ??= pump().finally(() => {
        pumping = undefined;
      });
      return promise;
    },
    async close() {
      await pumping;
      await client?.close();
      client = undefined;
    },
  };
}

function publishFailed(cause: unknown, call: Call, brokers: readonly string[]): MillraceError {
  const { topic, records, confirmed } = call;
  const unconfirmed = call.taken - confirmed;
  const unsent = records.length - call.taken;
  return new MillraceError(
    'PUBLISH_FAILED',
    `Topic ${JSON.stringify(topic)} on Kafka at ${brokers.join(', ')} did not take all of ${records.length} records ` +
      `(${confirmed} confirmed, ${unconfirmed} unconfirmed, ${unsent} unsent): ${reasonOf(errorsIn(cause))}. Send again ` +
      'what is not confirmed, once the topic takes records; some of the unconfirmed may then stand in it twice.',
    { cause, details: { topic, records: records.length, confirmed, unconfirmed, unsent } },
  );
}

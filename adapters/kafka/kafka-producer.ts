import { Producer as Client } from '@platformatic/kafka';
import { MillraceError } from '../../runtime/errors.ts';
import type { Clock } from '../../runtime/ports.ts';
import { partitionOf } from '../../runtime/publish/partitioner.ts';
import type { Position } from '../../runtime/record.ts';
import type { Producer } from '../../runtime/topics.ts';
import { clientOptions, type KafkaConnection, METADATA_MAX_AGE_MS } from './connection.ts';
import { errorsIn, reasonOf } from './kafka-errors.ts';
import { type Call, confirm, type Entry, takeRound, toMessage } from './produce-requests.ts';
import type { SilentBrokers } from './silent-brokers.ts';

export interface KafkaProducerOptions {
  readonly connection: KafkaConnection;
  readonly silent: SilentBrokers;
  readonly clock: Clock;
  /** @throws TOPIC_UNKNOWN */
  readonly partitionsOf: (topic: string) => Promise<number>;
  /** How long a request is tried before it is given up. */
  readonly deliveryTimeoutMs: number;
}

export interface KafkaProducer extends Producer {
  /** Waits for what was given to `send`, then ends. */
  close(): Promise<void>;
}

/**
 * The smallest of Kafka's four at about the speed of lz4, and what is smaller is cheaper to keep and to send between zones.
 * Node has it built in; every broker and client since Kafka 2.1 reads it
 * (https://cwiki.apache.org/confluence/display/KAFKA/KIP-110, 2026-11-25).
 */
const COMPRESSION = 'zstd';

/** How long a send waits for a topic's number of partitions to be looked up again. It takes milliseconds, or a broker hangs. */
const REFRESH_PATIENCE_MS = 1_000;

type KafkaClient = Client<Buffer, Buffer, Buffer, Buffer>;

/**
 * An idempotent producer whose records all replicas in sync acknowledge. One request a partition is under way at a time,
 * so that nothing overtakes what is being tried again; what is sent meanwhile goes out together in the next round.
 * `send` resolves when the records are durable: awaiting it is the backpressure. After a rejection, records of the call
 * may stand in the topic: all of earlier rounds, and of the round in which a request failed those that did arrive; none after it.
 */
export function createKafkaProducer(options: KafkaProducerOptions): KafkaProducer {
  const { connection, silent, clock, partitionsOf, deliveryTimeoutMs } = options;
  let client: KafkaClient | undefined;
  let unkeyedSends = 0;
  /** Partitions by topic, as far as they are known, and what looks them up again. */
  const known = new Map<string, number>();
  const refreshing = new Map<string, Promise<void>>();
  /** Those that are not settled, in the order in which they were made. */
  let queue: Call[] = [];
  let pumping: Promise<void> | undefined;

  const lookUp = async (topic: string) => {
    try {
      const count = await partitionsOf(topic);
      // The client would send what is for a partition that it has not heard of to another one.
      if (count !== known.get(topic)) client?.clearMetadata();
      known.set(topic, count);
    } catch (error) {
      if (!(error instanceof MillraceError) || error.action !== 'hold') known.delete(topic);
      throw error;
    }
  };
  /** Beside the sends: where no broker tells, they go on with what is known, as their requests are tried meanwhile. */
  const countOf = async (topic: string) => {
    let refreshed = refreshing.get(topic);
    if (!refreshed) {
      refreshed = lookUp(topic).finally(() => refreshing.delete(topic));
      refreshing.set(topic, refreshed);
      const impatience = new AbortController();
      const soon = clock.sleep(REFRESH_PATIENCE_MS, impatience.signal);
      await Promise.race([refreshed, known.has(topic) ? soon : refreshed]).catch(() => {});
      impatience.abort();
    }
    // Nobody may be left to hear of it.
    refreshed.catch(() => {});
    if (!known.has(topic)) await refreshed;
    return known.get(topic)!;
  };

  /** Finds the partition of each record of the calls that are new. */
  const plan = async () => {
    const counts = new Map<string, Promise<number>>();
    for (const call of queue) {
      if (call.partitions) continue;
      const counting = counts.get(call.topic) ?? countOf(call.topic);
      counts.set(call.topic, counting);
      try {
        const count = await counting;
        const unkeyed = call.records.length > 0 ? unkeyedSends++ % count : 0;
        call.partitions = call.records.map(({ key }) => (key === null ? unkeyed : partitionOf(key, count)));
        if (call.records.length === 0) settle(call);
      } catch (error) {
        call.reject(error);
        call.isSettled = true;
      }
    }
    queue = queue.filter(({ isSettled }) => !isSettled);
  };
  const settle = (call: Call) => {
    call.resolve(call.positions);
    call.isSettled = true;
  };

  const pump = async () => {
    for (;;) {
      await plan();
      if (queue.length === 0) {
        // At once, not when this promise is heard of: a call that comes in between would wait for ever.
        pumping = undefined;
        return;
      }
      const round = takeRound(queue, clock.now());
      const failures = await produce(round);
      for (const call of new Set(round.flat().map((entry) => entry.call))) {
        if (call.confirmed < call.taken) {
          call.reject(publishFailed(failures.get(call), call, connection.brokers));
          call.isSettled = true;
        } else if (call.confirmed === call.records.length) settle(call);
      }
      queue = queue.filter(({ isSettled }) => !isSettled);
    }
  };

  /**
   * A request a partition: of one request for several, the client would try all again where a partition's leader is
   * asked, and write those twice that it had written.
   * @returns why records are not confirmed, by their call
   */
  const produce = async (requests: readonly (readonly Entry[])[]): Promise<ReadonlyMap<Call, unknown>> => {
    client ??= silent.watch(
      new Client<Buffer, Buffer, Buffer, Buffer>({
        ...clientOptions(connection),
        metadataMaxAge: METADATA_MAX_AGE_MS,
        idempotent: true,
        compression: COMPRESSION,
        // Until the time is up, below: a number of tries would depend on how fast each of them fails.
        retries: true,
      }),
    );
    const used = client;
    let isLate = false;
    // Closing is what ends the client's tries; the next request gets another client.
    const deadline = setTimeout(() => {
      isLate = true;
      silent.giveUp(used);
      client = undefined;
      used.close().catch(() => {});
    }, deliveryTimeoutMs);
    const failures = new Map<Call, unknown>();
    const produceOne = async (request: readonly Entry[]) => {
      try {
        const { offsets } = await used.send({ messages: request.map(toMessage) });
        confirm(request, Number(offsets![0]!.offset));
      } catch (error) {
        const failure = isLate
          ? new AggregateError([error], `Given up after ${deliveryTimeoutMs} ms`)
          : error;
        for (const { call } of request) failures.set(call, failure);
      }
    };
    await Promise.all(requests.map(produceOne));
    clearTimeout(deadline);
    return failures;
  };

  return {
    send(topic, records) {
      const { promise, resolve, reject } = Promise.withResolvers<readonly Position[]>();
      queue.push({
        topic,
        records,
        isSettled: false,
        partitions: undefined,
        taken: 0,
        confirmed: 0,
        positions: [],
        resolve,
        reject,
      });
      pumping ??= pump();
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
    `Topic ${JSON.stringify(topic)} on Kafka at ${brokers.join(', ')} did not accept all of ${records.length} records ` +
      `(${confirmed} confirmed, ${unconfirmed} unconfirmed, ${unsent} unsent): ${reasonOf(errorsIn(cause))}. Send the ` +
      'others again once the topic accepts records. Some of the unconfirmed may then be in it twice.',
    { cause, details: { topic, records: records.length, confirmed, unconfirmed, unsent } },
  );
}

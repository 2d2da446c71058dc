import { Consumer, type Message } from '@platformatic/kafka';
import { openKafkaLog } from '../adapters/kafka/kafka-log.ts';
import { pgDriver } from '../adapters/postgres/pg-driver.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import type { Pageview } from '../contracts/news.pageviews/schema.ts';
import { pageviews } from '../contracts/news.pageviews/topic.ts';
import { editorialAnalytics } from '../lambdas/editorial-analytics/consumer.ts';
import { startPostgres } from '../local/parts/postgres.ts';
import type { Processes } from '../local/parts/processes.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import { settleKafkaEvent } from '../runtime/lambda/kafka-batch.ts';
import { flush, onPool, type Query, upsert } from './bare-sink.ts';
import { drain } from './drain.ts';
import { invocation, openEngine, totalViews } from './invocation-10k.ts';
import { consumeKafkajs } from './kafkajs-peer.ts';
import { startLibrdkafka } from './librdkafka-peer.ts';
import { type Figures, measure, median, medianRatio, type Result, resultOf } from './measure.ts';
import { FRAME_BYTES, type } from './pageviews.ts';
import { openPool, startFilledKafka } from './real-parts.ts';

const { maxRecords } = editorialAnalytics.batch;
/** The peer's share of the records: all of them would take it minutes. Its time is scaled up. */
const PEER_SHARE = 20;

/**
 * A backlog in a Kafka broker, through the local event source and the consumer, into a PostgreSQL server. The floor is
 * a bare client and bare SQL. The peer claims and completes each record's id in a table of its own, and writes the rows
 * record by record, all of a batch in one transaction. Beside them, what a team would run in containers, in batches: KafkaJS
 * with pg, and Python with librdkafka and psycopg.
 */
export async function benchKafkaToPostgres(
  processes: Processes,
  count: number,
  rounds: number,
  registry: SchemaRegistry,
): Promise<readonly (Result | Figures)[]> {
  const address = await startFilledKafka(processes, count, registry);
  const server = await startPostgres(processes, { fsync: true });
  const log = openKafkaLog({ connection: { brokers: [address] }, clock: systemClock });
  const pools = {
    ours: await openPool(server.url, 'ours'),
    floor: await openPool(server.url, 'floor'),
    kafkajs: await openPool(server.url, 'kafkajs'),
    librdkafka: await openPool(server.url, 'librdkafka'),
    peer: await openPool(server.url, 'peer'),
  };
  await pools.peer.query('CREATE TABLE processed (record_id text PRIMARY KEY, status text NOT NULL)');
  const python = await startLibrdkafka(
    processes,
    address,
    new URL('librdkafka', server.url).href,
    maxRecords,
  );
  // A group of its own has not read anything yet.
  let groups = 0;
  const readBare = (records: number, take: (batch: readonly BareMessage[]) => Promise<void>) =>
    consumeBare(address, `bare-${groups++}`, records, take);

  const timings = await measure(
    {
      ours: async () => {
        // A ledger of its own has settled nothing.
        await pools.ours.query('DELETE FROM millrace_ledger');
        const engine = await openEngine(pgDriver(pools.ours), registry);
        await drain(log, (event) => settleKafkaEvent(event, engine, invocation()), `ours-${groups++}`);
      },
      floor: () => readBare(count, (batch) => flush(onPool(pools.floor), batch.map(decode))),
      kafkajs: () =>
        consumeKafkajs(address, `kafkajs-${groups++}`, count, (values) =>
          flush(onPool(pools.kafkajs), values.map(decodeValue)),
        ),
      librdkafka: () => python.drain(`librdkafka-${groups++}`, count),
      peer: async () => {
        await pools.peer.query('TRUNCATE processed');
        await readBare(count / PEER_SHARE, (batch) =>
          onPool(pools.peer)(async (query) => {
            for (const message of batch) await applyOne(query, message);
          }),
        );
      },
    },
    { rounds, warmUps: 1 },
  );

  const views = await Promise.all(Object.values(pools).map(totalViews));
  const peer = views.pop()!;
  const expected = (rounds + 1) * count;
  if (views.some((each) => each !== expected) || peer !== expected / PEER_SHARE)
    throw new Error(`the contestants did not do the same work: ${views.join(', ')} and ${peer} views`);
  await python.end();
  await log.close();
  await Promise.all(Object.values(pools).map((pool) => pool.end()));
  const result = resultOf('kafka-to-postgres', count, {
    ...timings,
    peer: timings.peer.map((ms) => ms * PEER_SHARE),
  });
  const beside = (name: 'kafkajs' | 'librdkafka', title: string): Figures => ({
    name: `kafka-to-postgres, ${title}`,
    figures: {
      recordsPerSecond: Math.round(count / (median(timings[name]) / 1_000)),
      timesOurTime: Math.round(medianRatio(timings[name], timings.ours) * 100) / 100,
    },
  });
  return [result, beside('kafkajs', 'KafkaJS'), beside('librdkafka', 'librdkafka')];
}

type BareMessage = Message<Buffer, Buffer, Buffer, Buffer>;

/** The client's own stream in a group of one, in batches as large as ours; commits after each. */
async function consumeBare(
  address: string,
  groupId: string,
  records: number,
  take: (batch: readonly BareMessage[]) => Promise<void>,
): Promise<void> {
  const consumer = new Consumer<Buffer, Buffer, Buffer, Buffer>({
    clientId: 'bench',
    bootstrapBrokers: [address],
    groupId,
    // The broker answers when there is something, as it is asked to by Java's client.
    minBytes: 1,
  });
  const stream = await consumer.consume({ topics: [pageviews.name], mode: 'earliest', autocommit: false });
  let left = records;
  let batch: BareMessage[] = [];
  for await (const message of stream) {
    batch.push(message);
    left--;
    if (batch.length < maxRecords && left > 0) continue;
    await take(batch);
    const last = new Map(batch.map(({ partition, offset }) => [partition, offset]));
    await consumer.commit({
      offsets: [...last].map(([partition, offset]) => ({
        topic: pageviews.name,
        partition,
        offset: offset + 1n,
        leaderEpoch: -1,
      })),
    });
    batch = [];
    if (left === 0) break;
  }
  await stream.close();
  await consumer.close(true);
}

const decodeValue = (value: Buffer): Pageview => type.fromBuffer(value.subarray(FRAME_BYTES));
const decode = ({ value }: BareMessage): Pageview => decodeValue(value);

async function applyOne(query: Query, message: BareMessage): Promise<void> {
  const { topic, partition, offset } = message;
  const id = `${topic}/${partition}/${offset}`;
  await query("INSERT INTO processed VALUES ($1, 'in progress')", [id]);
  await upsert(query, [decode(message)]);
  await query("UPDATE processed SET status = 'completed' WHERE record_id = $1", [id]);
}

import { kafkaConsumer, SchemaType } from '@aws-lambda-powertools/kafka';
import { PGlite } from '@electric-sql/pglite';
import type { Context } from 'aws-lambda';
import type { Pool } from 'pg';
import { ledgerMigrations } from '../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../adapters/postgres/migrate.ts';
import { pgliteDriver } from '../adapters/postgres/pglite-driver.ts';
import { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import type { SqlDriver } from '../adapters/postgres/sql-driver.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import type { Pageview } from '../contracts/news.pageviews/schema.ts';
import { editorialAnalytics } from '../lambdas/editorial-analytics/consumer.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { createEngine, type Engine } from '../runtime/delivery/engine.ts';
import { type KafkaInvocation, settleKafkaEvent } from '../runtime/lambda/kafka-batch.ts';
import { encodeKafkaEvent, type KafkaEvent } from '../runtime/lambda/kafka-event.ts';
import { flush, onPglite } from './bare-sink.ts';
import { withoutFraming } from './decode-avro.ts';
import { measure, type Result, resultOf } from './measure.ts';
import { FRAME_BYTES, inPartitions, makeRecords, schema, type } from './pageviews.ts';

/** A whole invocation of editorial-analytics, from the event to the commit, on PostgreSQL in the process. */
export async function benchInvocation(
  count: number,
  rounds: number,
  registry: SchemaRegistry,
): Promise<Result> {
  const records = await makeRecords(count, registry);
  const warmUps = 3;
  // Every invocation brings new offsets, as a topic does: the same ones would be dropped as duplicates.
  const eventsOf = () =>
    Array.from({ length: warmUps + rounds }, (_, round) =>
      encodeKafkaEvent(inPartitions(records, round * count)),
    );
  const ours = eventsOf();
  const floor = eventsOf();
  const peer = eventsOf().map(withoutFraming);

  const databases = { ours: await openDatabase(), floor: await openDatabase(), peer: await openDatabase() };
  const engine = await openEngine(pgliteDriver(databases.ours), registry);
  const powertools = kafkaConsumer(
    async (event) =>
      flush(
        onPglite(databases.peer),
        event.records.map(({ value }) => value as Pageview),
      ),
    { value: { type: SchemaType.AVRO, schema: JSON.stringify(schema) } },
  );
  const timings = await measure(
    {
      ours: async () => {
        const { batchItemFailures } = await settleKafkaEvent(ours.pop(), engine, invocation());
        if (batchItemFailures.length > 0) throw new Error('the batch was not settled');
      },
      floor: () => flush(onPglite(databases.floor), decodeBare(floor.pop()!)),
      peer: () => powertools(peer.pop() as never, {} as Context),
    },
    { rounds, warmUps },
  );

  const [expected, ...others] = await Promise.all(Object.values(databases).map(totalViews));
  if (expected !== (warmUps + rounds) * count || others.some((views) => views !== expected)) {
    throw new Error(`the contestants did not do the same work: ${expected} views, and ${others.join(', ')}`);
  }
  await Promise.all(Object.values(databases).map((database) => database.close()));
  return resultOf('invocation-10k', count, timings);
}

/** A database with the consumer's tables, in memory unless it is given a folder. */
async function openDatabase(folder?: string): Promise<PGlite> {
  const database = await PGlite.create(folder ? { dataDir: folder } : {});
  await makeTables(pgliteDriver(database));
  return database;
}

export async function makeTables(driver: SqlDriver): Promise<void> {
  await migrate(driver, 'millrace', ledgerMigrations);
  await migrate(driver, editorialAnalytics.name, editorialAnalytics.migrations);
}

/** The consumer without `once`: rounds send the same events again. */
export const eachIsAnEvent: AnyConsumer = withoutOnce(editorialAnalytics);

function withoutOnce({ once: _, ...consumer }: AnyConsumer): AnyConsumer {
  return consumer;
}

export async function openEngine(
  driver: SqlDriver,
  registry: SchemaRegistry,
  consumer = eachIsAnEvent,
): Promise<Engine> {
  const refuse = (message: string) => {
    throw new Error(`the benchmark met trouble: ${message}`);
  };
  return createEngine(consumer, {
    clock: systemClock,
    random: systemRandom,
    registry,
    sink: new PostgresSink(driver),
    deadLetters: { put: async () => refuse('a dead letter') },
    log: { debug() {}, info() {}, warn: refuse, error: refuse },
    metrics: { report() {}, reportRedrive() {} },
  });
}

export function invocation(): KafkaInvocation {
  const endsAt = Date.now() + editorialAnalytics.timeoutMs;
  return {
    requestId: 'bench',
    functionName: editorialAnalytics.name,
    functionVersion: '$LATEST',
    remainingMs: () => endsAt - Date.now(),
    partialResponses: false,
  };
}

export function decodeBare(event: KafkaEvent): Pageview[] {
  const values: Pageview[] = [];
  for (const records of Object.values(event.records)) {
    for (const { value } of records) {
      values.push(type.fromBuffer(Buffer.from(value!, 'base64').subarray(FRAME_BYTES)));
    }
  }
  return values;
}

export async function totalViews(database: Pick<PGlite, 'query'> | Pool): Promise<number> {
  const { rows } = await (database as PGlite).query<{ views: string }>(
    'SELECT sum(views)::bigint AS views FROM article_minute',
  );
  return Number(rows[0]!.views);
}

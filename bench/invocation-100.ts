import pg from 'pg';
import { pgDriver } from '../adapters/postgres/pg-driver.ts';
import { startPostgres } from '../local/parts/postgres.ts';
import type { Processes } from '../local/parts/processes.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import { settleKafkaEvent } from '../runtime/lambda/kafka-batch.ts';
import { encodeKafkaEvent } from '../runtime/lambda/kafka-event.ts';
import { flush, onPool } from './bare-sink.ts';
import { startDistantServer } from './distant-server.ts';
import { decodeBare, invocation, openEngine, totalViews } from './invocation-10k.ts';
import { measure, type Result, resultOf } from './measure.ts';
import { inPartitions, makeRecords } from './pageviews.ts';
import { openPool } from './real-parts.ts';

const RECORDS = 100;
/** About what lies between two zones. */
const ROUND_TRIP_MS = 1;

/** A small invocation of editorial-analytics on a PostgreSQL server at a distance: what it costs is round trips. */
export async function benchSmallInvocation(
  processes: Processes,
  rounds: number,
  registry: SchemaRegistry,
): Promise<Result> {
  const server = await startPostgres(processes, { fsync: true });
  const distant = await startDistantServer(server.url, ROUND_TRIP_MS);
  const connect = async (database: string) => {
    const near = await openPool(server.url, database);
    await near.end();
    const pool = new pg.Pool({ connectionString: new URL(database, distant.url).href, max: 1 });
    // The server may be gone before the last goodbye has come that far.
    return pool.on('error', () => {});
  };
  const pools = { ours: await connect('ours'), floor: await connect('floor') };
  const warmUps = 3;
  const records = await makeRecords(RECORDS, registry);
  const eventsOf = () =>
    Array.from({ length: warmUps + rounds }, (_, round) =>
      encodeKafkaEvent(inPartitions(records, round * RECORDS)),
    );
  const ours = eventsOf();
  const floor = eventsOf();
  const engine = await openEngine(pgDriver(pools.ours), registry);
  const timings = await measure(
    {
      ours: async () => {
        const { batchItemFailures } = await settleKafkaEvent(ours.pop(), engine, invocation());
        if (batchItemFailures.length > 0) throw new Error('the batch was not settled');
      },
      floor: () => flush(onPool(pools.floor), decodeBare(floor.pop()!)),
    },
    { rounds, warmUps },
  );
  const [applied, expected] = [await totalViews(pools.ours), await totalViews(pools.floor)];
  if (applied !== expected || applied !== (warmUps + rounds) * RECORDS)
    throw new Error(`the contestants did not do the same work: ${applied} and ${expected} views`);
  await Promise.all(Object.values(pools).map((pool) => pool.end()));
  distant.close();
  return resultOf('invocation-100', RECORDS, timings);
}

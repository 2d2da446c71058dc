import type pg from 'pg';
import { pgDriver } from '../adapters/postgres/pg-driver.ts';
import { pageviews } from '../contracts/news.pageviews/topic.ts';
import { startPostgres } from '../local/parts/postgres.ts';
import type { Processes } from '../local/parts/processes.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import { settleKafkaEvent } from '../runtime/lambda/kafka-batch.ts';
import { encodeKafkaEvent } from '../runtime/lambda/kafka-event.ts';
import type { OutgoingRecord } from '../runtime/topics.ts';
import { eachIsAnEvent, invocation, openEngine, totalViews } from './invocation-10k.ts';
import { measure, type Result, resultOf } from './measure.ts';
import { inPartitions, makeRecordChunks, RECORDS_PER_SECOND, STARTED_AT } from './pageviews.ts';
import { openPool } from './real-parts.ts';

/** What the ids of events are: the newsroom's, which begin with their time and are kept as they are, or any text, which is hashed. */
const ID_KINDS = ['uuid-v7', 'hashed'] as const;
type IdKind = (typeof ID_KINDS)[number];

/** Of a hundred events, one was sent twice. */
const ONE_IN = 100;

/**
 * Batches of editorial-analytics on a PostgreSQL server that syncs each commit, with `once` and without it. So many ids are kept
 * all the time: as many leave the window with each batch as come.
 */
export async function benchOnce(
  processes: Processes,
  count: number,
  rounds: number,
  ids: number,
  registry: SchemaRegistry,
): Promise<Result[]> {
  const results: Result[] = [];
  for (const kind of ID_KINDS) results.push(await withIds(kind, processes, count, rounds, ids, registry));
  return results;
}

async function withIds(
  kind: IdKind,
  processes: Processes,
  count: number,
  rounds: number,
  ids: number,
  registry: SchemaRegistry,
): Promise<Result> {
  const server = await startPostgres(processes, {
    fsync: true,
    settings: ['shared_buffers=3GB', 'max_wal_size=4GB', 'maintenance_work_mem=1GB'],
  });
  const warmUps = 3;
  const events = await makeEvents(kind, count, 1 + warmUps + rounds, registry);
  const windowMs = Math.floor((ids / RECORDS_PER_SECOND) * 1_000);
  const consumers = { ours: { ...eachIsAnEvent, once: { windowMs } }, floor: eachIsAnEvent };
  const pools = {
    ours: await openPool(server.url, 'ours'),
    floor: await openPool(server.url, 'floor'),
  };
  const open = async (name: 'ours' | 'floor') => {
    const engine = await openEngine(pgDriver(pools[name]), registry, consumers[name]);
    const left = [...events];
    return async () => {
      const { batchItemFailures } = await settleKafkaEvent(left.shift(), engine, invocation());
      if (batchItemFailures.length > 0) throw new Error('the batch was not settled');
    };
  };
  const contestants = { ours: await open('ours'), floor: await open('floor') };
  // The first batch makes the ledgers.
  await contestants.ours();
  await contestants.floor();
  await fill(pools.ours, kind, ids, windowMs);
  const timings = await measure(contestants, { rounds, warmUps });

  const sent = (1 + warmUps + rounds) * count;
  const [ours, floor] = [await totalViews(pools.ours), await totalViews(pools.floor)];
  if (floor !== sent || ours !== sent - (warmUps + rounds) * (count / ONE_IN))
    throw new Error(`the contestants did not do their work: ${ours} and ${floor} views of ${sent}`);
  const { rows } = await pools.ours.query('SELECT count(*)::int AS kept FROM millrace_seen');
  if (Math.abs(rows[0].kept - ids) > ids / 10 + 5 * count)
    throw new Error(`${rows[0].kept} ids are kept, not ${ids}`);
  await Promise.all(Object.values(pools).map((pool) => pool.end()));
  return resultOf(`once, ids ${kind}`, count, timings);
}

/** Batches that each begin with the last events of the one before. */
async function makeEvents(kind: IdKind, count: number, batches: number, registry: SchemaRegistry) {
  const events: unknown[] = [];
  const next = new Array<number>(pageviews.partitions).fill(0);
  let before: readonly OutgoingRecord[] = [];
  for await (const chunk of makeRecordChunks(
    count * batches,
    registry,
    count,
    kind === 'hashed' ? ({ eventId }) => `event-${eventId}` : undefined,
  )) {
    const again = before.slice(before.length - before.length / ONE_IN);
    events.push(encodeKafkaEvent(inPartitions([...again, ...chunk.slice(again.length)], 0, next)));
    before = chunk;
  }
  return events;
}

async function fill(pool: pg.Pool, kind: IdKind, ids: number, windowMs: number): Promise<void> {
  // As a server has it whose autovacuum has been along: in the order of time, and without statistics at first. The indexes are
  // made afterwards, which is quicker, and as full as random ids leave them.
  await pool.query('ALTER TABLE millrace_seen DROP CONSTRAINT millrace_seen_pkey');
  await pool.query('DROP INDEX millrace_seen_ledger_at_idx');
  await pool.query(
    `INSERT INTO millrace_seen (ledger, id, at)
     SELECT l.ids[1 + n % cardinality(l.ids)],
       CASE WHEN $5 THEN lpad(to_hex(at), 12, '0') || '7' || substr(r::text, 16) ELSE r::text END::uuid, at
     FROM (SELECT array_agg(id) AS ids FROM millrace_ledger WHERE topic = $4) l, generate_series(1, $1::bigint) n,
       LATERAL (SELECT $2::bigint + n * $3::bigint / $1::bigint AS at, gen_random_uuid() AS r) e`,
    [ids, STARTED_AT - windowMs, windowMs, pageviews.name, kind === 'uuid-v7'],
  );
  await pool.query('ALTER TABLE millrace_seen ADD PRIMARY KEY (ledger, id) WITH (fillfactor = 70)');
  await pool.query('CREATE INDEX ON millrace_seen (ledger, at)');
  await pool.query('VACUUM millrace_seen');
  await pool.query('CHECKPOINT');
}

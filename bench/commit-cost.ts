import { readFileSync } from 'node:fs';
import { pgDriver } from '../adapters/postgres/pg-driver.ts';
import { pageviews } from '../contracts/news.pageviews/topic.ts';
import { startPostgres } from '../local/parts/postgres.ts';
import type { Processes } from '../local/parts/processes.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import { settleKafkaEvent } from '../runtime/lambda/kafka-batch.ts';
import { encodeKafkaEvent } from '../runtime/lambda/kafka-event.ts';
import { partitionOf } from '../runtime/publish/partitioner.ts';
import type { RawRecord } from '../runtime/record.ts';
import type { OutgoingRecord } from '../runtime/topics.ts';
import { invocation, openEngine } from './invocation-10k.ts';
import type { Figures } from './measure.ts';
import { inPartitions, makeRecords } from './pageviews.ts';
import { openPool } from './real-parts.ts';

/** Linux counts the time of a process in hundredths of a second: sysconf(_SC_CLK_TCK). */
const TICK_US = 10_000;
const WARM_UPS = 5;

/**
 * What a record costs by the size of its batch: processor time of the function and of the database's server, and bytes of
 * the write-ahead log. `docs/scale.md` rests on it.
 */
export async function benchCommitCost(
  processes: Processes,
  total: number,
  registry: SchemaRegistry,
): Promise<readonly Figures[]> {
  const server = await startPostgres(processes, { fsync: true });
  const results: Figures[] = [];
  for (const size of [10, 100, 1_000, 5_000, 10_000]) {
    if (size > total) continue;
    const batches = Math.ceil(Math.min(total, size * 1_000) / size);
    const pool = await openPool(server.url, `commit_cost_${size}`);
    const engine = await openEngine(pgDriver(pool), registry);
    const batchesOf = batchesAsTheyArrive(await makeRecords(size * (WARM_UPS + batches), registry), size);
    const {
      rows: [{ pid }],
    } = await pool.query('SELECT pg_backend_pid() AS pid');
    const walBytes = async () =>
      Number((await pool.query("SELECT pg_current_wal_lsn() - '0/0' AS bytes")).rows[0].bytes);
    const run = async (from: number, to: number) => {
      for (const batch of batchesOf.slice(from, to)) {
        const { batchItemFailures } = await settleKafkaEvent(encodeKafkaEvent(batch), engine, invocation());
        if (batchItemFailures.length > 0) throw new Error('the batch was not settled');
      }
    };
    await run(0, WARM_UPS);
    const before = { wal: await walBytes(), server: serverUs(pid), own: process.cpuUsage() };
    const startedAt = performance.now();
    await run(WARM_UPS, WARM_UPS + batches);
    const ms = performance.now() - startedAt;
    const own = process.cpuUsage(before.own);
    const count = size * batches;
    const rounded = (value: number) => Math.round(value * 10) / 10;
    results.push({
      name: `commit-cost, ${size} a batch`,
      figures: {
        'function µs/record': rounded((own.user + own.system) / count),
        'server µs/record': rounded((serverUs(pid) - before.server) / count),
        'WAL bytes/record': Math.round(((await walBytes()) - before.wal) / count),
        'ms/batch': rounded(ms / batches),
      },
    });
    await pool.end();
  }
  return results;
}

/** The records in batches, in the order in which they were published, with the offsets that they have in the topic. */
function batchesAsTheyArrive(records: readonly OutgoingRecord[], size: number): readonly RawRecord[][] {
  const placed = Map.groupBy(inPartitions(records), ({ partition }) => partition);
  const arriving = records.map(({ key }) => placed.get(partitionOf(key!, pageviews.partitions))!.shift()!);
  return Array.from({ length: records.length / size }, (_, batch) =>
    arriving.slice(batch * size, (batch + 1) * size),
  );
}

/** Processor time of the connection's server process since it began. */
function serverUs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // Its name may hold blanks, and stands in brackets: utime and stime are the 12th and 13th after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

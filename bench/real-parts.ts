/** What the benchmarks on real parts share: their processes, and a Kafka that holds pageviews. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { openKafkaLog } from '../adapters/kafka/kafka-log.ts';
import { pgDriver } from '../adapters/postgres/pg-driver.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { pageviews } from '../contracts/news.pageviews/topic.ts';
import { startKafka } from '../local/parts/kafka.ts';
import { Processes } from '../local/parts/processes.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import { makeTables } from './invocation-10k.ts';
import { makeRecordChunks } from './pageviews.ts';

/** Runs the work with processes of its own, which end with it, or with a signal. */
export async function withProcesses<Outcome>(
  work: (processes: Processes) => Promise<Outcome>,
): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const processes = new Processes(folder, { ownGroups: true, note: console.error });
  const end = async () => {
    await processes.endAll();
    rmSync(folder, { recursive: true, force: true });
  };
  // The work would wait for parts that are gone.
  const quit = () => void end().finally(() => process.exit(130));
  for (const signal of SIGNALS) process.on(signal, quit);
  try {
    return await work(processes);
  } finally {
    await end();
    for (const signal of SIGNALS) process.off(signal, quit);
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** One node with `count` pageviews. @returns its address */
export async function startFilledKafka(
  processes: Processes,
  count: number,
  registry: SchemaRegistry,
): Promise<string> {
  const [node] = await startKafka(processes, { nodes: 1 });
  const log = openKafkaLog({ connection: { brokers: [node!.address] }, clock: systemClock });
  await log.createTopic(pageviews.name, pageviews.partitions);
  for await (const records of makeRecordChunks(count, registry)) {
    // Stamped as they are sent: Kafka would not keep what is older than a week.
    await log.send(
      pageviews.name,
      records.map(({ key, value }) => ({ key, value })),
    );
  }
  await log.close();
  return node!.address;
}

/** The memory that a process has in RAM; undefined where it has ended. */
export function residentMb(pid: number): number | undefined {
  const { stdout } = spawnSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' });
  const kb = Number.parseInt(stdout, 10);
  return Number.isNaN(kb) ? undefined : kb / 1_024;
}

/** A pool on a new database of the server, with the consumer's tables. */
export async function openPool(serverUrl: string, database: string): Promise<pg.Pool> {
  const admin = new pg.Client({ connectionString: serverUrl });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${database}`);
  await admin.end();
  const url = new URL(serverUrl);
  url.pathname = database;
  const pool = new pg.Pool({ connectionString: url.href, max: 10 });
  await makeTables(pgDriver(pool));
  return pool;
}

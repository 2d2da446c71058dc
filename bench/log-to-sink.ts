import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { pgliteDriver } from '../adapters/postgres/pglite-driver.ts';
import { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import { openSqliteLog } from '../adapters/sqlite/sqlite-log.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import type { Pageview } from '../contracts/news.pageviews/schema.ts';
import { pageviews } from '../contracts/news.pageviews/topic.ts';
import { editorialAnalytics } from '../lambdas/editorial-analytics/consumer.ts';
import { openEmbeddedSink } from '../local/embedded-sink.ts';
import { startFunctionThreads } from '../local/function-threads.ts';
import { openStateFolder } from '../local/state-folder.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import { createMemoryObjects } from '../testing/memory-objects.ts';
import { flush, onPglite } from './bare-sink.ts';
import { drain } from './drain.ts';
import { makeTables } from './invocation-10k.ts';
import { measure, type Result, resultOf } from './measure.ts';
import { FRAME_BYTES, makeRecords, type } from './pageviews.ts';

const TOTAL = 'SELECT sum(views)::int AS views FROM article_minute';

/**
 * A backlog in the embedded log, through the local event source and the consumer's function in its threads, into the database
 * on disk in its own: as `millrace up` runs them. The floor reads and writes the same in one thread.
 */
export async function benchLogToSink(
  count: number,
  rounds: number,
  registry: SchemaRegistry,
): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const trouble = (message: string) => {
    throw new Error(`the benchmark met trouble: ${message}`);
  };
  const quiet = { debug() {}, info() {}, warn: trouble, error: trouble };
  const log = openSqliteLog({ path: join(folder, 'log.sqlite'), clock: systemClock });
  try {
    await log.createTopic(pageviews.name, pageviews.partitions);
    await log.send(pageviews.name, await makeRecords(count, registry));
    const sink = await openEmbeddedSink(openStateFolder(join(folder, 'ours')), quiet);
    await makeTables(sink.driver);
    mkdirSync(join(folder, 'floor'));
    const floor = await PGlite.create({ dataDir: join(folder, 'floor', 'sink') });
    await makeTables(pgliteDriver(floor));
    const threads = startFunctionThreads({
      consumer: editorialAnalytics,
      module: new URL('../millrace.config.ts', import.meta.url),
      sink,
      deadLetters: { send: async () => trouble('a dead letter') },
      objects: createMemoryObjects({ clock: systemClock }),
      archive: createMemoryObjects({ clock: systemClock }),
      producer: { send: async () => trouble('a record to send') },
      registry,
      faults: {},
      random: systemRandom,
      log: quiet,
      onReport() {},
      partialResponses: true,
    });
    const { maxRecords } = editorialAnalytics.batch;
    let run = 0;
    const timings = await measure(
      {
        ours: async () => {
          // A group of its own has not read anything yet; a ledger of its own has settled nothing.
          await new PostgresSink(sink.driver).transaction(({ tx }) =>
            tx.query('DELETE FROM millrace_ledger'),
          );
          await drain(log, (event, context) => threads.invoke(event, context), `bench-${run++}`);
        },
        floor: async () => {
          for (let partition = 0; partition < pageviews.partitions; partition++) {
            for (let offset = 0; ; ) {
              const records = await log.read({ topic: pageviews.name, partition }, offset, maxRecords);
              if (records.length === 0) break;
              const values = records.map(
                ({ value }): Pageview => type.fromBuffer(value!.subarray(FRAME_BYTES)),
              );
              await flush(onPglite(floor), values);
              offset = records.at(-1)!.offset + 1;
            }
          }
        },
      },
      { rounds, warmUps: 1 },
    );

    const got = (await sink.query(TOTAL)).rows[0]![0];
    const expected = (await floor.query<{ views: number }>(TOTAL)).rows[0]!.views;
    if (got !== expected || got !== (rounds + 1) * count)
      throw new Error(`applied ${got} records, bare SQL ${expected}`);
    await threads.stop();
    await Promise.all([sink.close(), floor.close()]);
    return resultOf('log-to-sink', count, timings);
  } finally {
    log.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

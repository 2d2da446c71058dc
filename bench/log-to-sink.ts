import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pgliteDriver } from '../adapters/postgres/pglite-driver.ts';
import { openSqliteLog } from '../adapters/sqlite/sqlite-log.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import type { Pageview } from '../contracts/news.pageviews/schema.ts';
import { pageviews } from '../contracts/news.pageviews/topic.ts';
import { editorialAnalytics } from '../lambdas/editorial-analytics/consumer.ts';
import type { SchemaRegistry } from '../runtime/ports.ts';
import { flush, onPglite } from './bare-sink.ts';
import { drain } from './drain.ts';
import { openDatabase, openEngine, totalViews } from './invocation-10k.ts';
import { measure, type Result, resultOf } from './measure.ts';
import { FRAME_BYTES, makeRecords, type } from './pageviews.ts';

/** A backlog in the embedded log, through the local event source and the consumer, into a database on disk. */
export async function benchLogToSink(
  count: number,
  rounds: number,
  registry: SchemaRegistry,
): Promise<Result> {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-bench-'));
  const log = openSqliteLog({ path: join(folder, 'log.sqlite'), clock: systemClock });
  try {
    await log.createTopic(pageviews.name, pageviews.partitions);
    await log.send(pageviews.name, await makeRecords(count, registry));
    const ours = await openDatabase(join(folder, 'ours'));
    const floor = await openDatabase(join(folder, 'floor'));
    const { maxRecords } = editorialAnalytics.batch;
    let run = 0;

    const timings = await measure(
      {
        ours: async () => {
          // A group of its own has not read anything yet; a ledger of its own has settled nothing.
          await ours.query('DELETE FROM millrace_ledger');
          await drain(log, await openEngine(pgliteDriver(ours), registry), `bench-${run++}`);
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

    const [got, expected] = [await totalViews(ours), await totalViews(floor)];
    if (got !== expected || got !== (rounds + 1) * count)
      throw new Error(`applied ${got} records, bare SQL ${expected}`);
    await Promise.all([ours.close(), floor.close()]);
    return resultOf('log-to-sink', count, timings);
  } finally {
    log.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

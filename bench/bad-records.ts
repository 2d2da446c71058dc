import { pgDriver } from '../adapters/postgres/pg-driver.ts';
import { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import type { Pageview } from '../contracts/news.pageviews/schema.ts';
import { editorialAnalytics } from '../lambdas/editorial-analytics/consumer.ts';
import { startPostgres } from '../local/parts/postgres.ts';
import type { Processes } from '../local/parts/processes.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import { createEngine } from '../runtime/delivery/engine.ts';
import { settleKafkaEvent } from '../runtime/lambda/kafka-batch.ts';
import { encodeKafkaEvent } from '../runtime/lambda/kafka-event.ts';
import type { RawRecord } from '../runtime/record.ts';
import { invocation } from './invocation-10k.ts';
import { type Figures, median } from './measure.ts';
import { FRAME_BYTES, inPartitions, makeRecords, type } from './pageviews.ts';
import { openPool } from './real-parts.ts';

/** PostgreSQL's text holds no U+0000. Publishing refuses it; whoever writes to the topic directly need not. */
const REFUSED = '/refused\u0000';
const THROWS = '/throws';

const throwing = {
  ...editorialAnalytics,
  handle: ((records, context) => {
    if (records.some(({ value }) => value.contentId === THROWS))
      throw new TypeError('a bug, for one article');
    return editorialAnalytics.handle(records, context);
  }) satisfies typeof editorialAnalytics.handle,
};

/**
 * A batch with k bad records on a PostgreSQL server, from the event to the last commit, with the retries and waits that the
 * consumer's policy has: as multiples of the time of the same batch without any.
 */
export async function benchBadRecords(
  processes: Processes,
  count: number,
  rounds: number,
  registry: SchemaRegistry,
): Promise<readonly Figures[]> {
  const server = await startPostgres(processes, { fsync: true });
  const pool = await openPool(server.url, 'bad_records');
  const sink = new PostgresSink(pgDriver(pool));
  const shares = [0, 1, 10, 100, 1_000, 5_000].filter((bad) => bad <= count);
  const sound = await makeRecords(count, registry);
  let firstOffset = 0;

  /** Milliseconds of one batch, delivered until it is settled. */
  async function run(consumer: typeof editorialAnalytics, contentId: string, bad: number): Promise<number> {
    const letters = new Set<string>();
    const engine = createEngine(consumer, {
      clock: systemClock,
      random: systemRandom,
      registry,
      sink,
      deadLetters: {
        async put(stored) {
          for (const { id } of stored) letters.add(id);
        },
      },
      log: { debug() {}, info() {}, warn() {}, error() {} },
      metrics: { report() {}, reportRedrive() {} },
    });
    const records = inPartitions(sound, firstOffset).map((record, index) =>
      bad > 0 && index % Math.floor(count / bad) === 0 && index / Math.floor(count / bad) < bad
        ? withContentId(record, contentId)
        : record,
    );
    firstOffset += count;
    const event = encodeKafkaEvent(records);
    const startedAt = performance.now();
    await settleKafkaEvent(event, engine, invocation());
    const ms = performance.now() - startedAt;
    if (letters.size !== bad) throw new Error(`${letters.size} dead letters of ${bad} bad records`);
    return ms;
  }

  const results: Figures[] = [];
  for (const [name, consumer, contentId] of [
    ['bad-records, the sink refuses', editorialAnalytics, REFUSED],
    ['bad-records, handle() throws', throwing, THROWS],
  ] as const) {
    const ms = new Map(shares.map((bad) => [bad, [] as number[]]));
    for (let round = -1; round < rounds; round++) {
      for (const bad of shares) {
        const taken = await run(consumer, contentId, bad);
        if (round >= 0) ms.get(bad)!.push(taken);
      }
    }
    const clean = median(ms.get(0)!);
    const figures = Object.fromEntries(
      shares.slice(1).map((bad) => [`k=${bad}`, Math.round((median(ms.get(bad)!) / clean) * 10) / 10]),
    );
    results.push({ name, figures: { 'clean ms': Math.round(clean), ...figures } });
  }
  await pool.end();
  return results;
}

function withContentId({ value, ...record }: RawRecord, contentId: string): RawRecord {
  const frame = value!.subarray(0, FRAME_BYTES);
  const pageview = type.fromBuffer(value!.subarray(FRAME_BYTES)) as Pageview;
  return { ...record, value: Buffer.concat([frame, type.toBuffer({ ...pageview, contentId })]) };
}

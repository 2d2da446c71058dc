import type { Pool } from 'pg';
import { pgDriver } from '../adapters/postgres/pg-driver.ts';
import { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import { editorialAnalytics } from '../lambdas/editorial-analytics/consumer.ts';
import { startPostgres } from '../local/parts/postgres.ts';
import type { Processes } from '../local/parts/processes.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import type { DeadLetter } from '../runtime/delivery/dead-letter.ts';
import { createEngine } from '../runtime/delivery/engine.ts';
import type { RawRecord } from '../runtime/record.ts';
import type { OutgoingRecord } from '../runtime/topics.ts';
import { invocation } from './invocation-10k.ts';
import { type Figures, median } from './measure.ts';
import { inPartitions, makeRecords } from './pageviews.ts';
import { openPool } from './real-parts.ts';

/** What fills these fills them faster than they are analysed: the planner has no figures to go by. */
const NEVER_ANALYSED = ['millrace_key', 'millrace_key_letter', 'millrace_parked'];

/** Which of the records behind the letters are parked, and how many batches come before the letters are redriven. */
const CASES = [
  { name: '1 in 20 parked', isParked: (index: number) => index % 20 === 0, batches: 1 },
  { name: '2 in 3 parked', isParked: (index: number) => index % 3 > 0, batches: 1 },
  { name: '2 in 3 of 13 batches parked', isParked: (index: number) => index % 3 > 0, batches: 13 },
] as const;

/**
 * What parking costs on a PostgreSQL server, from the records to the last commit, on tables that were never analysed: as
 * multiples of a batch of a consumer that parks nothing.
 */
export async function benchParking(
  processes: Processes,
  count: number,
  rounds: number,
  registry: SchemaRegistry,
): Promise<readonly Figures[]> {
  const server = await startPostgres(processes, { fsync: true });
  const pool = await openPool(server.url, 'parking');
  await pool.query(
    NEVER_ANALYSED.map((table) => `ALTER TABLE ${table} SET (autovacuum_enabled = off);`).join(' '),
  );
  const sound = await makeRecords(count, registry);
  const plain = createConsumer(pool, 'plain', 'continue', registry);
  const idle = createConsumer(pool, 'idle', 'park-key', registry);
  const clean: number[] = [];
  const nothing: number[] = [];
  for (let round = -2; round < rounds; round++) {
    const [before, after] = [await plain.deliver(withKeys(sound)), await idle.deliver(withKeys(sound))];
    if (round < 0) continue;
    clean.push(before);
    nothing.push(after);
  }
  const base = median(clean);
  const ratio = (ms: readonly number[]) => Math.round((median(ms) / base) * 100) / 100;
  const results: Figures[] = [
    { name: 'parking', figures: { 'clean ms': Math.round(base), 'nothing parked': ratio(nothing) } },
  ];
  const failed = Math.round(count / 10);
  for (const { name, isParked, batches } of CASES) {
    const ms = { letters: [] as number[], parked: [] as number[], redrive: [] as number[], rows: 0 };
    for (let round = 0; round < (batches > 1 ? Math.min(rounds, 2) : rounds); round++) {
      const consumer = createConsumer(pool, `${name} ${round}`, 'park-key', registry);
      const behind = withKeys(sound, (index) => (isParked(index) ? index % failed : index + failed));
      // Each key once, so that those that fail have none behind them yet.
      ms.letters.push(await consumer.deliver(withKeys(sound), failed));
      for (let batch = 0; batch < batches; batch++) ms.parked.push(await consumer.deliver(behind));
      ms.rows = await consumer.parked();
      ms.redrive.push(await consumer.redrive());
      if ((await consumer.parked()) > 0) throw new Error('something is parked after the redrive');
    }
    results.push({
      name: `parking, ${name}`,
      figures: {
        'batch with letters': ratio(ms.letters),
        'batch behind them': ratio(ms.parked),
        'redrive and drain ms': Math.round(median(ms.redrive)),
        letters: failed,
        'parked rows': ms.rows,
      },
    });
  }
  await pool.end();
  return results;
}

function createConsumer(
  pool: Pool,
  name: string,
  onDeadLetter: 'continue' | 'park-key',
  registry: SchemaRegistry,
) {
  const letters: DeadLetter[] = [];
  let failing: ReadonlySet<string> = new Set();
  let firstOffset = 0;
  const consumer: typeof editorialAnalytics = {
    ...editorialAnalytics,
    name,
    onDeadLetter,
    handle(records, context) {
      for (const record of records) if (failing.has(record.key!)) context.fail(record, new Error('no'));
      return editorialAnalytics.handle(
        records.filter(({ key }) => !failing.has(key!)),
        context,
      );
    },
  };
  const engine = createEngine(consumer, {
    clock: systemClock,
    random: systemRandom,
    registry,
    sink: new PostgresSink(pgDriver(pool)),
    deadLetters: {
      async put(stored) {
        letters.push(...stored);
      },
    },
    log: { debug() {}, info() {}, warn() {}, error() {} },
    metrics: { report() {}, reportRedrive() {} },
  });
  const timed = async (work: () => Promise<unknown>) => {
    const startedAt = performance.now();
    await work();
    return performance.now() - startedAt;
  };
  return {
    /** Milliseconds of a batch in which the records of the first keys fail. */
    async deliver(keyed: readonly OutgoingRecord[], failed = 0): Promise<number> {
      failing = new Set(keyed.slice(0, failed).map(({ key }) => String(key)));
      const records: RawRecord[] = inPartitions(keyed, firstOffset);
      firstOffset += keyed.length;
      const before = letters.length;
      const ms = await timed(async () => {
        const { outcomes } = await engine.deliver(records, invocation());
        if (outcomes.includes('returned')) throw new Error('the batch was not settled');
      });
      if (letters.length - before !== failed)
        throw new Error(`${letters.length - before} letters of ${failed} records that fail`);
      return ms;
    },
    /** Milliseconds until every letter and what is parked behind it is applied. */
    redrive(): Promise<number> {
      failing = new Set();
      return timed(async () => {
        const outcomes = await engine.redrive(letters, invocation());
        if (outcomes.some((outcome) => outcome !== 'applied')) throw new Error('a letter was not applied');
      });
    },
    async parked(): Promise<number> {
      const { rows } = await pool.query(
        'SELECT sum(parked_records)::int AS parked FROM millrace_ledger WHERE consumer = $1',
        [name],
      );
      return rows[0].parked;
    },
  };
}

/** The records with other keys, each with one of its own unless told. */
function withKeys(
  records: readonly OutgoingRecord[],
  keyOf = (index: number) => index,
): readonly OutgoingRecord[] {
  return records.map((record, index) => ({ ...record, key: Buffer.from(`k${keyOf(index)}`) }));
}

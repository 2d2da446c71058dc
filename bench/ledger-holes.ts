import { pgDriver } from '../adapters/postgres/pg-driver.ts';
import { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import { startPostgres } from '../local/parts/postgres.ts';
import type { Processes } from '../local/parts/processes.ts';
import { type Figures, median } from './measure.ts';
import { openPool } from './real-parts.ts';

const HOLES = [0, 1_000, 10_000, 100_000, 1_000_000];
const OF = { topic: 't', partition: 0 };

/**
 * What a batch's two statements on the ledger cost, from BEGIN to COMMIT, beside so many scattered dead letters: a batch that
 * meets none of them, and one with a new one. As multiples of the time without any.
 */
export async function benchLedgerHoles(
  processes: Processes,
  rounds: number,
  most: number,
): Promise<readonly Figures[]> {
  const server = await startPostgres(processes, { fsync: true });
  const pool = await openPool(server.url, 'ledger_holes');
  const sink = new PostgresSink(pgDriver(pool));
  const ledgers = HOLES.filter((holes) => holes <= most).map((holes) => ({
    holes,
    key: { consumer: `holes-${holes}`, epoch: 1 },
    next: holes * 2 + 1,
  }));
  const batch = async (ledger: (typeof ledgers)[number], isNew: boolean): Promise<number> => {
    const { key, next } = ledger;
    const startedAt = performance.now();
    await sink.transaction(async ({ lockLedgers, writeLedgers }) => {
      await lockLedgers(key, [{ ...OF, from: next, to: next + 10 }]);
      await writeLedgers(key, [
        {
          ...OF,
          first: 0,
          next: next + 10,
          maxTimestamp: 1,
          closed: [],
          deadLettered: isNew ? [{ from: next + 3, to: next + 4 }] : [],
          skipped: [],
        },
      ]);
    });
    ledger.next += 10;
    return performance.now() - startedAt;
  };

  for (const { holes, key, next } of ledgers) {
    await pool.query(
      `INSERT INTO millrace_ledger (consumer, epoch, topic, partition, first, next, dead_lettered)
       SELECT $1, 1, 't', 0, 0, $2, coalesce(range_agg(int8range(n * 2, n * 2 + 1)), '{}')
       FROM generate_series(0, $3::bigint - 1) n`,
      [key.consumer, next, holes],
    );
  }
  const timings = new Map(
    ledgers.map(({ holes }) => [holes, { clean: [] as number[], letter: [] as number[] }]),
  );
  for (let round = -2; round < rounds; round++) {
    for (const ledger of ledgers) {
      const [clean, letter] = [await batch(ledger, false), await batch(ledger, true)];
      if (round < 0) continue;
      timings.get(ledger.holes)!.clean.push(clean);
      timings.get(ledger.holes)!.letter.push(letter);
    }
  }
  await pool.end();
  const base = median(timings.get(0)!.clean);
  const figures = (of: 'clean' | 'letter') =>
    Object.fromEntries(
      ledgers.map(({ holes }) => [
        `holes=${holes}`,
        Math.round((median(timings.get(holes)![of]) / base) * 100) / 100,
      ]),
    );
  return [
    {
      name: 'ledger-holes, clean batch',
      figures: { 'base ms': Math.round(base * 100) / 100, ...figures('clean') },
    },
    { name: 'ledger-holes, with a letter', figures: figures('letter') },
  ];
}

/** Whatever happens to ids, PostgreSQL remembers of them what the sink in memory does, and plans for it at little cost. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createPostgresSeen } from '../../../adapters/postgres/postgres-seen.ts';
import { PostgresSink } from '../../../adapters/postgres/postgres-sink.ts';
import type { SqlDriver } from '../../../adapters/postgres/sql-driver.ts';
import { inTransaction, type OpenTransaction } from '../../../adapters/postgres/sql-transaction.ts';
import { NO_LOG_TIME } from '../../../runtime/delivery/log-time.ts';
import type { LedgerKey, Sighting, Sink } from '../../../runtime/delivery/sink.ts';
import { MemorySink } from '../../../testing/memory-sink.ts';
import { runs } from '../../runs.ts';

const PARTITIONS = [0, 1];
const WINDOW_MS = 10;
const START = 1_700_000_000_000;

const sightings = fc.uniqueArray(
  fc.record({
    topic: fc.constant('t'),
    partition: fc.constantFrom(...PARTITIONS),
    id: fc.constantFrom('a', 'b', 'c', 'd', '018f3c5e-7b1a-7c3e-9d2f-0123456789ab'),
    at: fc.nat(40).map((after) => START + after),
  }),
  { maxLength: 8, selector: ({ partition, id }) => `${partition}/${id}` },
);
const step = fc.record({
  seen: sightings,
  // Of what was seen, how many are taken back.
  forgotten: fc.nat(2),
  rollsBack: fc.boolean(),
});

export function seenOfPostgresSuite(driver: () => SqlDriver): void {
  let histories = 0;

  test('of ids, it remembers what the sink in memory remembers, whatever happens', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 8 }), async (steps) => {
        const key: LedgerKey = { consumer: `ids of history ${histories++}`, epoch: 1 };
        const sinks: readonly Sink<unknown>[] = [new MemorySink(), new PostgresSink(driver())];
        for (const { seen: asked, forgotten, rollsBack } of steps) {
          const [expected, found] = await inTurn(sinks, (sink) =>
            settle(sink, key, asked, forgotten, rollsBack),
          );
          expect(found).toEqual(expected);
        }
      }),
      { numRuns: runs(40) },
    );
  });

  test('looks ids up in a large table without statistics at a cost that PostgreSQL compiles nothing for', async () => {
    const ids = 20_000;
    const asked = 10_000;
    const ledger = -1;
    const cost = await inTransaction(driver(), async (open) => {
      await open.query(
        'INSERT INTO millrace_seen (ledger, id, at) SELECT $1::int, gen_random_uuid(), n FROM generate_series(1, $2::int) n',
        [ledger, ids],
      );
      return costOfSeeing(open, ledger, asked);
    });
    await inTransaction(driver(), (open) =>
      open.query('DELETE FROM millrace_seen WHERE ledger = $1', [ledger]),
    );
    // The default of jit_above_cost: https://www.postgresql.org/docs/current/runtime-config-query.html (2026-11-27)
    expect(cost).toBeLessThan(100_000 / 4);
  });
}

async function costOfSeeing(open: OpenTransaction, ledger: number, asked: number): Promise<number> {
  let plan: string | null | undefined;
  const explained: OpenTransaction = {
    ...open,
    async query(sql, parameters) {
      const result = await open.query(`EXPLAIN (FORMAT JSON) ${sql}`, parameters);
      plan = result.rows[0]?.[0];
      return { ...result, rows: [] };
    },
  };
  const locked = { topic: 't', partition: 0, id: ledger, log_time: null };
  await createPostgresSeen(explained, () => locked).see(
    { consumer: 'planned', epoch: 1 },
    Array.from({ length: asked }, (_, n) => ({ topic: 't', partition: 0, id: `${n}`, at: 60_000 })),
    WINDOW_MS,
  );
  const [{ Plan: top }] = JSON.parse(plan!) as [{ Plan: { readonly 'Total Cost': number } }];
  return top['Total Cost'];
}

async function inTurn<Of, Result>(each: readonly Of[], work: (of: Of) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  for (const of of each) results.push(await work(of));
  return results;
}

class RolledBack extends Error {}

async function settle(
  sink: Sink<unknown>,
  key: LedgerKey,
  asked: readonly Sighting[],
  forgotten: number,
  rollsBack: boolean,
): Promise<readonly (number | null)[]> {
  let found: readonly (number | null)[] = [];
  const settled = sink.transaction(async ({ lockLedgers, writeLedgers, seen }) => {
    await lockLedgers(
      key,
      PARTITIONS.map((partition) => ({ topic: 't', partition, from: 0, to: 1 })),
    );
    found = await seen!.see(key, asked, WINDOW_MS);
    const added = asked.filter((_, at) => found[at] === null);
    if (forgotten > 0) await seen!.forget(key, added.slice(0, forgotten));
    if (rollsBack) throw new RolledBack();
    await writeLedgers(
      key,
      PARTITIONS.map((partition) => ({
        topic: 't',
        partition,
        first: 0,
        next: 1,
        maxTimestamp: -1,
        closed: [],
        deadLettered: [],
        skipped: [],
        logTime: NO_LOG_TIME,
      })),
    );
  });
  await settled.catch((error) => {
    if (!(error instanceof RolledBack)) throw error;
  });
  return found;
}

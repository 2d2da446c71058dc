import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { migrate } from '../../../adapters/postgres/migrate.ts';
import { pgliteDriver } from '../../../adapters/postgres/pglite-driver.ts';
import { PostgresSink } from '../../../adapters/postgres/postgres-sink.ts';
import { editorialAnalytics } from '../../../lambdas/editorial-analytics/consumer.ts';
import { expectedTables, readTables, type View } from '../../fixtures/newsdesk/tables.ts';
import { createPglite } from '../../prepared-pglite.ts';
import { handleBatch } from './pageviews.ts';

describe('editorial-analytics', () => {
  const pglite = createPglite();
  const driver = pgliteDriver(pglite);
  const sink = new PostgresSink(driver);

  beforeAll(() => migrate(driver, editorialAnalytics.name, editorialAnalytics.migrations), 30_000);
  afterAll(() => pglite.close());
  const clear = () => sink.transaction(({ tx }) => tx.query('TRUNCATE article_minute, session_engagement'));
  beforeEach(async () => {
    await clear();
  });

  /** Sessions whose last minute is not the one of when they were last seen. */
  const wrongMinutes = async () => {
    const { rows } = await sink.transaction(({ tx }) =>
      tx.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM session_engagement
         WHERE last_minute IS DISTINCT FROM date_trunc('minute', last_seen, 'UTC')`,
      ),
    );
    return rows[0]!.n;
  };

  const view: fc.Arbitrary<View> = fc.record({
    contentId: fc.constantFrom('/', '/a', '/A', '/ä', '/blog "quoted", {braced}', '\\', 'NULL', ''),
    sessionId: fc.constantFrom('s1', 's2', 's3'),
    occurredAt: fc.oneof(
      fc.integer({ min: 0, max: 300_000 }),
      fc.constantFrom(0, 59_999, 60_000, 253_402_300_800_000, 8.64e15),
    ),
    engagedMs: fc.integer({ min: -2_147_483_648, max: 2_147_483_647 }),
  });

  test('counts every view once, by article and minute and by session, however they are batched', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(view, { maxLength: 12 }), { maxLength: 5 }), async (batches) => {
        await clear();
        for (const batch of batches) expect(await handleBatch(sink, batch)).toEqual([]);
        expect(await readTables(sink)).toEqual(expectedTables(batches.flat()));
        expect(await wrongMinutes()).toBe(0);
      }),
      { numRuns: 60 },
    );
  }, 180_000);

  test('fails a record whose time no table can hold, and counts the others', async () => {
    const good: View = { contentId: '/', sessionId: 's1', occurredAt: 61_000, engagedMs: 5 };
    const bad = [-1, 8.64e15 + 1, Number.NaN].map((occurredAt) => ({ ...good, occurredAt }));
    expect(await handleBatch(sink, [bad[0]!, good, bad[1]!, bad[2]!])).toEqual(bad);
    expect(await readTables(sink)).toEqual(expectedTables([good]));
  });

  test('a full batch is two statements', async () => {
    const views = Array.from(
      { length: 10_000 },
      (_, n): View => ({
        contentId: `/article/${(n * 7_919) % 800}`,
        sessionId: `session-${(n * 104_729) % 3_000}`,
        occurredAt: 1_767_225_600_000 + n * 37,
        engagedMs: n % 90_000,
      }),
    );
    let statements = 0;
    const counted = {
      transaction: <Result>(work: Parameters<typeof sink.transaction<Result>>[0]) =>
        sink.transaction((transaction) =>
          work({
            ...transaction,
            tx: {
              query: (sql, parameters) => {
                statements++;
                return transaction.tx.query(sql, parameters);
              },
            },
          }),
        ),
    };
    await handleBatch(counted, views);
    expect(statements).toBe(2);
    expect(await readTables(sink)).toEqual(expectedTables(views));
  });
});

import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { ledgerMigrations } from '../../../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../../../adapters/postgres/migrate.ts';
import { pgliteDriver } from '../../../adapters/postgres/pglite-driver.ts';
import { PostgresSink } from '../../../adapters/postgres/postgres-sink.ts';
import { demo } from '../../../demo/index.ts';
import { pictureOf } from '../../../demo/newsroom/picture.ts';
import { editorialAnalytics } from '../../../lambdas/editorial-analytics/consumer.ts';
import { readPageData } from '../../../local/page-data.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import type { View } from '../../fixtures/newsdesk/tables.ts';
import { handleBatch } from '../../lambdas/editorial-analytics/pageviews.ts';
import { createPglite } from '../../prepared-pglite.ts';

const pglite = createPglite();
const driver = pgliteDriver(pglite);
const sink = new PostgresSink(driver);
const MINUTE = 60_000;

beforeAll(async () => {
  await migrate(driver, 'millrace', ledgerMigrations);
  await migrate(driver, editorialAnalytics.name, editorialAnalytics.migrations);
}, 30_000);
afterAll(() => pglite.close());
beforeEach(() =>
  sink.transaction(async ({ tx }) => {
    await tx.query('TRUNCATE article_minute, session_engagement');
  }),
);

const view = (contentId: string, occurredAt: number, sessionId = 's'): View => ({
  contentId,
  sessionId,
  occurredAt,
  engagedMs: 4_000,
});
const read = (now = Date.now()) => readPageData(sink, demo.page!, () => now);

describe('a query that is wrong', () => {
  const readWith = (queries: Readonly<Record<string, string>>) =>
    readPageData(sink, { ...demo.page!, queries: { fine: 'SELECT 1 AS one', ...queries } }, Date.now);

  test.each([
    ['SELECT nope FROM nowhere', 'relation "nowhere" does not exist (SQLSTATE 42P01)'],
    ['SELECT nope FROM article_minute', 'column "nope" does not exist (SQLSTATE 42703)'],
    ['SELECT 1; SELECT 2', 'syntax error at or near ";" (SQLSTATE 42601)'],
    ['SELEC', 'syntax error at or near ")" (SQLSTATE 42601)'],
    ['DELETE FROM article_minute', 'syntax error at or near "FROM" (SQLSTATE 42601)'],
    ['SELECT 1 / (SELECT count(*) FROM article_minute)', 'division by zero (SQLSTATE 22012)'],
  ])('is named, with the reason: %s', async (sql, reason) => {
    const error = await readWith({ wrong: sql }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ code: 'APP_INVALID' });
    const { message } = error as Error;
    expect(message).toContain('The query "wrong" of demo.page cannot be read:');
    expect(message).toContain(`${reason}. Correct demo.page.queries in millrace.config.ts;`);
  });

  test('quotes nothing that is in a row', async () => {
    await handleBatch(sink, [view('/secret/path', Date.now())]);
    const error = await readWith({ cast: 'SELECT content_id::regclass FROM article_minute' }).catch(String);
    expect(error).toContain('The query "cast" of demo.page');
    expect(error).not.toContain('secret');
  });

  test('a sink that is down is not blamed on a query', async () => {
    const down = async () => {
      throw new MillraceError('SINK_UNAVAILABLE', 'down');
    };
    await expect(readPageData({ transaction: down }, demo.page!, Date.now)).rejects.toMatchObject({
      code: 'SINK_UNAVAILABLE',
    });
  });
});

test('before the first pageview there is nothing, and no error', async () => {
  const data = await read();
  expect(data.asOf).toBeNull();
  expect(pictureOf(data)).toMatchObject({ newest: null, sessions: 0, articles: [] });
});

test('ranks what is read in the last five minutes, and counts who reads', async () => {
  const now = Math.floor(Date.now() / MINUTE) * MINUTE;
  await handleBatch(sink, [
    ...Array.from({ length: 5 }, (_, n) => view('/sport/final-1', now - n * MINUTE, `s${n}`)),
    ...Array.from({ length: 9 }, () => view('/world/old-2', now - 20 * MINUTE, 'gone')),
    view('/world/old-2', now, 'back'),
    // Longer ago than an hour, and a visitor whose clock is ahead.
    view('/sport/final-1', now - 61 * MINUTE, 'older'),
    view('/sport/final-1', now + 30 * MINUTE, 'ahead'),
  ]);
  const picture = pictureOf(await read(now));
  expect(picture).toMatchObject({ newest: now, isLive: true, sessions: 6 });
  expect(picture.articles.map(({ headline, views, engagedMs }) => [headline, views, engagedMs])).toEqual([
    ['Final', 5, 4_000],
    ['Old', 1, 4_000],
  ]);
  expect(picture.articles[1]!.minutes.at(-21)).toBe(9);
  expect(picture.minutes.reduce((sum, each) => sum + each, 0)).toBe(15);
});

test('a session that goes on moves to its newest minute', async () => {
  const now = Math.floor(Date.now() / MINUTE) * MINUTE;
  await handleBatch(sink, [view('/a', now - 30 * MINUTE, 'goes-on')]);
  await handleBatch(sink, [view('/a', now, 'goes-on'), view('/a', now - 40 * MINUTE, 'late')]);
  await handleBatch(sink, [view('/a', now - 35 * MINUTE, 'goes-on')]);
  expect(pictureOf(await read(now)).sessions).toBe(1);
});

test('an old log is shown to its own last minute', async () => {
  const then = Date.parse('2025-03-03T14:05:00Z');
  await handleBatch(sink, [view('/a', then), view('/a', then - MINUTE), view('/b', then - 10 * MINUTE)]);
  const picture = pictureOf(await read());
  expect(picture).toMatchObject({ newest: then, isLive: false, sessions: 1 });
  expect(picture.articles.map(({ id, views }) => [id, views])).toEqual([['/a', 2]]);
});

test('an id as long as a record is sent as its beginning, and stays apart from others that begin alike', async () => {
  const now = Math.floor(Date.now() / MINUTE) * MINUTE;
  const long = `/${'x'.repeat(1_000)}`;
  await handleBatch(sink, [view(`${long}1`, now), view(`${long}2`, now), view('"\'; DROP TABLE x --', now)]);
  const { articles } = pictureOf(await read(now));
  expect(new Set(articles.map(({ key }) => key)).size).toBe(3);
  expect(Math.max(...articles.map(({ id }) => id.length))).toBe(300);
});

test('a page cannot write', async () => {
  const page = { ...demo.page!, queries: { write: "SELECT nextval('x')" } };
  await sink.transaction(({ tx }) => tx.query('CREATE SEQUENCE x'));
  await expect(readPageData(sink, page, Date.now)).rejects.toThrow();
  const { rows } = await sink.transaction(({ tx }) =>
    tx.query<{ is_called: boolean }>('SELECT is_called FROM x'),
  );
  expect(rows[0]!.is_called).toBe(false);
});

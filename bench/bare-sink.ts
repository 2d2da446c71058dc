/** The floor under the consumer: the same rows by the least SQL, with no ledger, no contract and no dead letters. */
import type { PGlite } from '@electric-sql/pglite';
import type { Pool } from 'pg';
import type { Pageview } from '../contracts/news.pageviews/schema.ts';

const UPSERT_ARTICLES = `
  INSERT INTO article_minute AS t (content_id, minute, views, engaged_ms)
  SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::bigint[])
  ON CONFLICT (content_id, minute) DO UPDATE SET
    views = t.views + excluded.views, engaged_ms = t.engaged_ms + excluded.engaged_ms`;
const UPSERT_SESSIONS = `
  INSERT INTO session_engagement AS t (session_id, first_seen, last_seen, pageviews, engaged_ms, last_minute)
  SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::timestamptz[])
  ON CONFLICT (session_id) DO UPDATE SET
    first_seen = least(t.first_seen, excluded.first_seen), last_seen = greatest(t.last_seen, excluded.last_seen),
    last_minute = greatest(t.last_minute, excluded.last_minute), pageviews = t.pageviews + excluded.pageviews,
    engaged_ms = t.engaged_ms + excluded.engaged_ms`;

/** Runs work in one transaction. */
export type Transact = (work: (query: Query) => Promise<void>) => Promise<void>;
export type Query = (sql: string, parameters: unknown[]) => Promise<unknown>;

export const onPglite =
  (database: PGlite): Transact =>
  (work) =>
    database.transaction((tx) => work((sql, parameters) => tx.query(sql, parameters)));

export const onPool =
  (pool: Pool): Transact =>
  async (work) => {
    const client = await pool.connect();
    await client.query('BEGIN');
    await work((sql, parameters) => client.query(sql, parameters));
    await client.query('COMMIT');
    client.release();
  };

export async function flush(transact: Transact, values: readonly Pageview[]): Promise<void> {
  await transact((query) => upsert(query, values));
}

/** The same rows within a transaction of the caller's. */
export async function upsert(query: Query, values: readonly Pageview[]): Promise<void> {
  const articles = new Map<string, [id: string, minute: Date, views: number, engagedMs: number]>();
  const sessions = new Map<
    string,
    [id: string, first: number, last: number, views: number, engagedMs: number]
  >();
  for (const { contentId, sessionId, occurredAt, engagedMs } of values) {
    const minute = occurredAt - (occurredAt % 60_000);
    const article = articles.get(`${minute} ${contentId}`);
    if (article) {
      article[2]++;
      article[3] += engagedMs;
    } else articles.set(`${minute} ${contentId}`, [contentId, new Date(minute), 1, engagedMs]);
    const session = sessions.get(sessionId);
    if (session) {
      session[1] = Math.min(session[1], occurredAt);
      session[2] = Math.max(session[2], occurredAt);
      session[3]++;
      session[4] += engagedMs;
    } else sessions.set(sessionId, [sessionId, occurredAt, occurredAt, 1, engagedMs]);
  }
  const byArticle = [...articles.values()];
  await query(
    UPSERT_ARTICLES,
    [0, 1, 2, 3].map((column) => byArticle.map((row) => row[column])),
  );
  const bySession = [...sessions.values()].map(([id, first, last, ...rest]) => [
    id,
    new Date(first),
    new Date(last),
    ...rest,
    new Date(last - (last % 60_000)),
  ]);
  await query(
    UPSERT_SESSIONS,
    [0, 1, 2, 3, 4, 5].map((column) => bySession.map((row) => row[column])),
  );
}

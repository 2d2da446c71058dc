import { pageviews } from '../../contracts/news.pageviews/topic.ts';
import { defineConsumer } from '../../runtime/delivery/consumer.ts';
import type { SqlTransaction } from '../../runtime/delivery/sink.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { migrations } from './migrations.ts';

/**
 * What the newsroom looks at: views and engaged time by article and minute (UTC), and by session. A batch is summed
 * up in memory and flushed in one statement a table, whatever its size. Every write adds to what is there, so the
 * order of batches does not matter, nor does a late redrive: it may apply overtaken letters.
 */
export const editorialAnalytics = defineConsumer({
  name: 'editorial-analytics',
  topic: pageviews,
  sink: 'postgres',
  migrations,
  onOvertaken: 'apply',
  // A beacon that got no answer is sent again within minutes; a reader's phone may keep it for hours.
  once: { windowMs: 24 * 60 * 60 * 1_000 },
  async handle(records, { tx, fail }) {
    const articles = new Map<string, Map<number, ArticleMinute>>();
    const sessions = new Map<string, Session>();
    for (const record of records) {
      const { contentId, sessionId, occurredAt, engagedMs } = record.value;
      if (!isTime(occurredAt)) {
        fail(record, new MillraceError('HANDLER_REJECTED', 'occurredAt is not a time from 1970 on.'));
        continue;
      }
      addToArticle(articles, contentId, occurredAt, engagedMs);
      addToSession(sessions, sessionId, occurredAt, engagedMs);
    }
    // Articles before sessions, and each in the order of its key: batches of two partitions can meet in a session,
    // and would deadlock if they locked its rows in different orders.
    await flushArticles(
      tx,
      [...articles.values()].flatMap((minutes) => [...minutes.values()]),
    );
    await flushSessions(tx, [...sessions.values()]);
  },
});

interface ArticleMinute {
  readonly contentId: string;
  readonly minute: Date;
  views: number;
  engagedMs: number;
}

interface Session {
  readonly sessionId: string;
  firstSeen: number;
  lastSeen: number;
  pageviews: number;
  engagedMs: number;
}

const MINUTE_MS = 60_000;
const LAST_TIME_MS = 8.64e15; // the last that a Date can hold

function isTime(epochMs: number): boolean {
  return epochMs >= 0 && epochMs <= LAST_TIME_MS;
}

/** When the minute began. */
function minuteOf(epochMs: number): number {
  return Math.floor(epochMs / MINUTE_MS) * MINUTE_MS;
}

function addToArticle(
  articles: Map<string, Map<number, ArticleMinute>>,
  contentId: string,
  occurredAt: number,
  engagedMs: number,
): void {
  const startMs = minuteOf(occurredAt);
  const minutes = articles.get(contentId) ?? new Map<number, ArticleMinute>();
  const row = minutes.get(startMs) ?? { contentId, minute: new Date(startMs), views: 0, engagedMs: 0 };
  row.views++;
  row.engagedMs += engagedMs;
  minutes.set(startMs, row);
  articles.set(contentId, minutes);
}

function addToSession(
  sessions: Map<string, Session>,
  sessionId: string,
  occurredAt: number,
  engagedMs: number,
): void {
  const row = sessions.get(sessionId) ?? {
    sessionId,
    firstSeen: occurredAt,
    lastSeen: occurredAt,
    pageviews: 0,
    engagedMs: 0,
  };
  row.firstSeen = Math.min(row.firstSeen, occurredAt);
  row.lastSeen = Math.max(row.lastSeen, occurredAt);
  row.pageviews++;
  row.engagedMs += engagedMs;
  sessions.set(sessionId, row);
}

async function flushArticles(tx: SqlTransaction, rows: readonly ArticleMinute[]): Promise<void> {
  await tx.query(
    `INSERT INTO article_minute AS total (content_id, minute, views, engaged_ms)
     SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::bigint[], $4::bigint[])
     ORDER BY 1, 2
     ON CONFLICT (content_id, minute) DO UPDATE SET
       views = total.views + excluded.views,
       engaged_ms = total.engaged_ms + excluded.engaged_ms`,
    [
      rows.map(({ contentId }) => contentId),
      rows.map(({ minute }) => minute),
      rows.map(({ views }) => views),
      rows.map(({ engagedMs }) => engagedMs),
    ],
  );
}

async function flushSessions(tx: SqlTransaction, rows: readonly Session[]): Promise<void> {
  await tx.query(
    `INSERT INTO session_engagement AS total (session_id, first_seen, last_seen, pageviews, engaged_ms, last_minute)
     SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::timestamptz[])
     ORDER BY 1
     ON CONFLICT (session_id) DO UPDATE SET
       first_seen = least(total.first_seen, excluded.first_seen),
       last_seen = greatest(total.last_seen, excluded.last_seen),
       last_minute = greatest(total.last_minute, excluded.last_minute),
       pageviews = total.pageviews + excluded.pageviews,
       engaged_ms = total.engaged_ms + excluded.engaged_ms`,
    [
      rows.map(({ sessionId }) => sessionId),
      rows.map(({ firstSeen }) => new Date(firstSeen)),
      rows.map(({ lastSeen }) => new Date(lastSeen)),
      rows.map(({ pageviews }) => pageviews),
      rows.map(({ engagedMs }) => engagedMs),
      rows.map(({ lastSeen }) => new Date(minuteOf(lastSeen))),
    ],
  );
}

/** Pageviews as the handler gets them, and what the tables must hold after them. */
import type { Pageview } from '../../../contracts/news.pageviews/schema.ts';
import { editorialAnalytics } from '../../../lambdas/editorial-analytics/consumer.ts';
import type { Sink, SqlTransaction } from '../../../runtime/delivery/sink.ts';
import type { ConsumerRecord } from '../../../runtime/record.ts';

export type View = Pick<Pageview, 'contentId' | 'sessionId' | 'occurredAt' | 'engagedMs'>;

function recordOf(view: View, offset = 0): ConsumerRecord<Pageview> {
  const topic = editorialAnalytics.topic.name;
  const raw = {
    topic,
    partition: 0,
    offset,
    timestamp: view.occurredAt,
    timestampType: 'CREATE_TIME' as const,
    key: Buffer.from(view.contentId),
    value: Buffer.alloc(0),
    headers: [],
  };
  const value: Pageview = {
    eventId: `event-${offset}`,
    userId: null,
    url: `https://news.example/${view.contentId}`,
    referrer: null,
    section: 'politics',
    device: 'PHONE',
    country: null,
    ...view,
  };
  return { ...raw, id: `${topic}/0/${offset}`, key: view.contentId, value, raw };
}

/** Runs the handler on one batch in a transaction; gives the records it failed. */
export async function handleBatch(
  sink: Sink<SqlTransaction>,
  views: readonly View[],
): Promise<readonly View[]> {
  const failed: View[] = [];
  const records = views.map(recordOf);
  await sink.transaction(({ tx }) =>
    editorialAnalytics.handle(records, {
      tx,
      fail: ({ value: { contentId, sessionId, occurredAt, engagedMs } }) =>
        failed.push({ contentId, sessionId, occurredAt, engagedMs }),
      signal: new AbortController().signal,
      log: { debug() {}, info() {}, warn() {}, error() {} },
    }),
  );
  return failed;
}

export interface Tables {
  readonly articles: readonly unknown[];
  readonly sessions: readonly unknown[];
}

export async function readTables(sink: Sink<SqlTransaction>): Promise<Tables> {
  return sink.transaction(async ({ tx }) => ({
    articles: (await tx.query('SELECT * FROM article_minute')).rows.toSorted(byText),
    sessions: (await tx.query('SELECT * FROM session_engagement')).rows.toSorted(byText),
  }));
}

/** The same tables by looking at every view again for every row. */
export function expectedTables(views: readonly View[]): Tables {
  const minuteOf = ({ occurredAt }: View) => new Date(new Date(occurredAt).setUTCSeconds(0, 0));
  const total = (some: readonly View[]) => some.reduce((sum, { engagedMs }) => sum + engagedMs, 0);
  const articles = Map.groupBy(views, (view) => JSON.stringify([view.contentId, minuteOf(view)]));
  const sessions = Map.groupBy(views, ({ sessionId }) => sessionId);
  return {
    articles: [...articles.values()]
      .map((some) => ({
        content_id: some[0]!.contentId,
        minute: minuteOf(some[0]!),
        views: some.length,
        engaged_ms: total(some),
      }))
      .sort(byText),
    sessions: [...sessions.values()]
      .map((some) => ({
        session_id: some[0]!.sessionId,
        first_seen: new Date(Math.min(...some.map(({ occurredAt }) => occurredAt))),
        last_seen: new Date(Math.max(...some.map(({ occurredAt }) => occurredAt))),
        pageviews: some.length,
        engaged_ms: total(some),
      }))
      .sort(byText),
  };
}

function byText(a: unknown, b: unknown): number {
  const [left, right] = [JSON.stringify(a), JSON.stringify(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Pageviews as the handler gets them. */
import type { Pageview } from '../../../contracts/news.pageviews/schema.ts';
import { editorialAnalytics } from '../../../lambdas/editorial-analytics/consumer.ts';
import type { Sink, SqlTransaction } from '../../../runtime/delivery/sink.ts';
import type { ConsumerRecord } from '../../../runtime/record.ts';
import type { View } from '../../fixtures/newsdesk/tables.ts';

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
  return {
    ...raw,
    id: `${topic}/0/${offset}`,
    key: view.contentId,
    value,
    raw,
    arrival: 'delivery',
    overtaken: false,
  };
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

import type { Migration } from '../../runtime/delivery/consumer.ts';

export const migrations: readonly Migration[] = [
  {
    name: '0001-engagement',
    sql: `
      CREATE TABLE article_minute (
        content_id text NOT NULL,
        minute timestamptz NOT NULL,
        views bigint NOT NULL,
        engaged_ms bigint NOT NULL,
        PRIMARY KEY (content_id, minute)
      );
      CREATE INDEX article_minute_minute ON article_minute (minute);

      CREATE TABLE session_engagement (
        session_id text PRIMARY KEY,
        first_seen timestamptz NOT NULL,
        last_seen timestamptz NOT NULL,
        pageviews bigint NOT NULL,
        engaged_ms bigint NOT NULL
      );`,
  },
];

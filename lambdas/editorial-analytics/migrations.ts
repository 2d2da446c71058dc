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
  {
    // Who reads now is asked twice a second. The minute changes once a minute, so most updates of a session leave the index alone.
    name: '0002-session-minute',
    sql: `
      ALTER TABLE session_engagement ADD COLUMN last_minute timestamptz;
      COMMENT ON COLUMN session_engagement.last_minute IS 'The minute of last_seen; null where nothing came since the column did';
      CREATE INDEX session_engagement_last_minute ON session_engagement (last_minute);`,
  },
];

/** What the newsroom's page asks its consumer's tables. Minutes count back from the newest, which is 0. */

/** The last minutes of a log may be long ago. A visitor's clock may be ahead: that must not hide everybody else. */
const NEWEST = '(SELECT max(minute) AS minute FROM article_minute WHERE minute <= now())';

/** Of article_minute's rows `m`: those of the last hour. */
const LAST_HOUR = `m.minute > newest.minute - interval '60 minutes' AND m.minute <= newest.minute`;

const AGO = '(extract(epoch FROM newest.minute - m.minute) / 60)::int';

/** One row: the whole site. `newest` is null where there is nothing yet. */
export const SITE = `
  WITH newest AS ${NEWEST}
  SELECT (extract(epoch FROM newest.minute) * 1000)::bigint AS newest,
    (SELECT count(*) FROM session_engagement s
      WHERE s.last_minute > newest.minute - interval '5 minutes' AND s.last_minute <= newest.minute) AS sessions,
    (SELECT coalesce(json_agg(json_build_array(ago, views, engaged_ms) ORDER BY ago), '[]') FROM (
      SELECT ${AGO} AS ago, sum(m.views) AS views, sum(m.engaged_ms) AS engaged_ms
      FROM article_minute m WHERE ${LAST_HOUR} GROUP BY 1) AS each) AS minutes
  FROM newest`;

/**
 * A row an article that is read now, the most read first. An id may be as long as a record: its hash tells articles apart,
 * and its beginning is shown. A few more than the page has places for, so that one may fall behind calmly.
 */
export const ARTICLES = `
  WITH newest AS ${NEWEST},
  most AS (
    SELECT m.content_id, sum(m.views) AS views, sum(m.engaged_ms) AS engaged_ms
    FROM article_minute m, newest
    WHERE m.minute > newest.minute - interval '5 minutes' AND m.minute <= newest.minute
    GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 24)
  SELECT md5(most.content_id) AS key, left(most.content_id, 300) AS id, most.views, most.engaged_ms,
    (SELECT json_agg(json_build_array(${AGO}, m.views) ORDER BY m.minute DESC)
      FROM article_minute m WHERE m.content_id = most.content_id AND ${LAST_HOUR}) AS minutes
  FROM most, newest ORDER BY most.views DESC, most.content_id`;

import { pageviews } from '../contracts/news.pageviews/topic.ts';
import type { Demo } from '../runtime/app.ts';
import { accessLogParser } from './access-log.ts';
import { ARTICLES, SITE } from './newsroom/queries.ts';
import { createTraffic } from './traffic.ts';

/** What `npm start` publishes and shows: a newsroom's pageviews, and the articles that are read most. */
export const demo: Demo = {
  topic: pageviews,
  traffic: createTraffic,
  input: accessLogParser,
  panel: {
    // The last minutes of a log may be long ago. A visitor's clock may be ahead: that must not hide everybody else.
    title: 'Most read, last 5 minutes',
    sql: `
      SELECT content_id, sum(views) FROM article_minute
      WHERE minute > (SELECT max(minute) FROM article_minute WHERE minute <= now()) - interval '5 minutes'
        AND minute <= now()
      GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10`,
  },
  page: {
    title: 'Newsroom',
    script: 'demo/newsroom/newsroom.tsx',
    consumer: 'editorial-analytics',
    queries: { site: SITE, articles: ARTICLES },
  },
  query: 'select content_id, sum(views) as views from article_minute group by 1 order by 2 desc limit 10',
};

/** The newsroom from end to end: what `npm start -- --input access.log.gz` does. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from '@jest/globals';
import { millraceJson } from '../cli/millrace.ts';
import { ROOT } from '../newsdesk.ts';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

const ACCESS_LOG = `192.0.2.1 - - [17/May/2015:10:05:03 +0000] "GET /blog/tags/puppet?flav=rss20 HTTP/1.1" 200 14872 "-" "UniversalFeedParser/4.2"
192.0.2.1 - - [17/May/2015:10:05:43 +0000] "GET /images/logo.png HTTP/1.1" 200 203 "-" "Mozilla/5.0"
192.0.2.2 - - [17/May/2015:10:06:01 +0000] "GET / HTTP/1.1" 304 -

192.0.2.2 - - [17/May/2015:10:06:02 +0000] "POST /comments HTTP/1.1" 200 12 "-" "Mozilla/5.0"
192.0.2.2 - - [31/Feb/2015:10:06:03 +0000] "GET / HTTP/1.1" 200 12 "-" "Mozilla/5.0"
192.0.2.3 - - [17/May/2015:10:06:04 +0000] "GET /missing HTTP/1.1" 404 12 "-" "Mozilla/5.0"
192.0.2.3 - - [17/May/2015:10:06:05 +0000] "GET /blog/tags/puppet HTTP/1.1" 200 12 "-" "Mozilla/5.0"
this is no log line
192.0.2.4 - - [17/May/2015:10:06:06 +0000] "GET /blog/tags/puppet HTTP/1.1" 200 12 "-" "Mozilla/5.0 (cut`;

test('an access log becomes pageviews, and pageviews become tables', async () => {
  const temporary = createTemporaryFolder();
  const state = ['--state', join(temporary.path, 'state')];
  placeSink(state[1]!);
  const log = join(temporary.path, 'access.log.gz');
  writeFileSync(log, gzipSync(ACCESS_LOG));
  const report = await millraceJson(['up', '--input', log, '--exit-when-drained', ...state], '', ROOT);
  expect(report).toMatchObject({
    published: 4,
    ignored: 3,
    malformed: 2,
    applied: 4,
    deadLettered: 0,
    lag: 0,
    complaints: [
      { kind: 'malformed', line: 6 },
      { kind: 'malformed', line: 9 },
    ],
  });
  const views = 'select content_id, sum(views) as views from article_minute group by 1 order by 2 desc, 1';
  expect(await millraceJson(['sql', views, ...state], '', ROOT)).toEqual([
    { content_id: '/blog/tags/puppet', views: 3 },
    { content_id: '/', views: 1 },
  ]);
  temporary.remove();
});

/** An archive beside a consumer, from the command line. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { existingStateFolder } from '../../local/state-folder.ts';
import { openStores } from '../../local/stores.ts';
import { createArchiveReader } from '../../runtime/archive/reader.ts';
import { createTraffic } from '../fixtures/newsdesk/demo.ts';
import { ROOT } from '../newsdesk.ts';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millraceJson } from './millrace.ts';

jest.setTimeout(180_000);

const TOPIC = 'news.pageviews';
const RECORDS = 2_000;

let temporary: ReturnType<typeof createTemporaryFolder>;
let project: string;
let state: string;
beforeAll(() => {
  temporary = createTemporaryFolder();
  project = join(temporary.path, 'project');
  state = join(temporary.path, 'state');
  mkdirSync(project);
  placeSink(state);
  symlinkSync(join(ROOT, 'test/fixtures/newsdesk/contracts'), join(project, 'contracts'));
  const from = (path: string) => JSON.stringify(pathToFileURL(join(ROOT, path)).href);
  writeFileSync(
    join(project, 'millrace.config.ts'),
    `import { defineApp } from ${from('runtime/app.ts')};
     import { defineArchive } from ${from('runtime/archive/archive.ts')};
     import { defineDatabase } from ${from('runtime/capture/database.ts')};
     import { defineTable } from ${from('runtime/capture/table.ts')};
     import { pageviews } from ${from('test/fixtures/newsdesk/contracts/news.pageviews/topic.ts')};
     import { editorialAnalytics } from ${from('test/fixtures/newsdesk/lambdas/editorial-analytics/consumer.ts')};
     export default defineApp({
       name: 'archived',
       contracts: [pageviews],
       consumers: [editorialAnalytics, defineArchive({ topic: pageviews, windowMs: 1_000 })],
       tables: [defineTable({ database: defineDatabase({ name: 'cms' }), table: 'articles', key: ['id'], columns: { id: 'bigint' } })],
       environments: {},
     });`,
  );
});
afterAll(() => temporary.remove());

test('holds every record once, byte by byte, through crashes and redeliveries; poison comes as dead letters', async () => {
  const traffic = createTraffic(createSeededRandom(7));
  const views = Array.from({ length: RECORDS }, (_, at) => traffic.next(1_760_000_000_000 + at * 1_000));
  const input = join(temporary.path, 'pageviews.jsonl');
  writeFileSync(input, views.map((view) => JSON.stringify(view)).join('\n'));
  const run = ['--redeliver', '0.4', '--crash', '0.2', '--sink-outage', '1', '--exit-when-drained'];
  const report = await millraceJson(
    ['up', '--input', input, '--poison', '0.02', '--state', state, '--seed', '3', ...run],
    '',
    project,
  );
  // The tables are of no interest where nothing captures them.
  expect(report).toMatchObject({ published: RECORDS, lag: 0 });
  const { poisoned } = report;
  expect(poisoned).toBeGreaterThan(5);

  const stores = await openStores(existingStateFolder(state));
  try {
    const reader = createArchiveReader({ store: stores.archive, topic: TOPIC, epoch: 1 });
    let archived = 0;
    let missing = 0;
    for (let partition = 0; partition < (await stores.log.partitions(TOPIC)); partition++) {
      const { end } = await stores.log.bounds({ topic: TOPIC, partition });
      const inTopic = new Map(
        (await stores.log.read({ topic: TOPIC, partition }, 0, end)).map((record) => [record.offset, record]),
      );
      let last = -1;
      for await (const record of reader.read(partition, 0, end, ({ from, to }) => {
        missing += to - from;
      })) {
        expect(record.offset).toBeGreaterThan(last);
        last = record.offset;
        const { key, value, headers, timestamp, timestampType } = inTopic.get(record.offset)!;
        expect(record).toMatchObject({ key, value, headers: [...headers], timestamp, timestampType });
        archived++;
      }
    }
    expect(archived).toBe(RECORDS);
    expect(missing).toBe(poisoned);
    const letters = await millraceJson(
      ['dlq', 'list', '--consumer', 'news-pageviews-archive', '--state', state],
      '',
      project,
    );
    expect(letters).toHaveLength(poisoned);
  } finally {
    await stores.close();
  }
});

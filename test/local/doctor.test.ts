import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { examineTopics } from '../../local/doctor.ts';
import { openStateFolder } from '../../local/state-folder.ts';
import { openEmbeddedLog, type TopicLog } from '../../local/topic-log.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { pageviews } from '../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import { editorialAnalytics } from '../fixtures/newsdesk/lambdas/editorial-analytics/consumer.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

const consumer: AnyConsumer = { ...editorialAnalytics, lag: { warning: 2, incident: 5 } };

let temporary: ReturnType<typeof createTemporaryFolder>;
let log: TopicLog;
beforeEach(() => {
  temporary = createTemporaryFolder();
  log = openEmbeddedLog(openStateFolder(temporary.path));
});
afterEach(async () => {
  await log.close();
  temporary.remove();
});

const examined = (on: TopicLog = log) =>
  examineTopics({
    app: { contracts: [pageviews], consumers: [consumer] },
    log: on,
    clock: systemClock,
    groupOf: ({ name }) => name,
    isOwn: true,
    placed: (words) => `${words} --here`,
    onProgress: () => {},
  });

test('a topic that is not there cannot be told, and is not created', async () => {
  expect(await examined()).toMatchObject([
    {
      check: 'topic',
      verdict: 'unknown',
      fix: 'npx millrace up --here creates it; so does the first publish.',
    },
    { check: 'lag', verdict: 'unknown' },
  ]);
  expect(await log.compareTopic(pageviews)).toBeNull();
});

test('a topic as its contract says passes, and one with other partitions fails', async () => {
  await log.createTopic(pageviews.name, pageviews.partitions);
  expect((await examined())[0]).toMatchObject({ verdict: 'pass', fix: null });
  const other = { ...pageviews, partitions: 3 };
  expect(await log.compareTopic(other)).toEqual(['partitions: 12; its contract says 3']);
});

test('a lag that the declaration calls one fails, with the command that shows it', async () => {
  await log.createTopic(pageviews.name, pageviews.partitions);
  await log.send(
    pageviews.name,
    [1, 2].map(() => ({ key: Buffer.from('k'), value: null })),
  );
  expect((await examined())[1]).toEqual({
    check: 'lag',
    subject: 'editorial-analytics',
    verdict: 'fail',
    evidence:
      'BEHIND: 2 unread, over the warning threshold of 2. 2 messages behind; warning from 2, incident from 5.',
    fix: 'npx millrace lag explain editorial-analytics --here',
  });
});

test('brokers that do not answer leave nothing that passes', async () => {
  const down = async () => Promise.reject(new MillraceError('KAFKA_UNAVAILABLE', 'No broker answered.'));
  const standing = {
    ...log.standing,
    read: async () => [{ at: 0, partitions: null, unknown: 'No broker answered.' }],
  };
  const lines = await examined({ ...log, compareTopic: down, standing });
  expect(lines.map(({ verdict, evidence }) => `${verdict}: ${evidence}`)).toEqual([
    'unknown: No broker answered.',
    'unknown: No broker answered.',
  ]);
});

/** Promises 1, 2 and 5 of docs/delivery.md, from the command line; and what else a pipeline shows there. */
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { existingStateFolder } from '../../local/state-folder.ts';
import { openStores, type Stores } from '../../local/stores.ts';
import type { Pageview } from '../fixtures/newsdesk/contracts/news.pageviews/schema.ts';
import { createTraffic } from '../fixtures/newsdesk/demo.ts';
import { POLLING_MODES } from '../polling-modes.ts';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace, millraceJson, start, TABLES, until } from './millrace.ts';

const VIEWS = `
  select content_id, sum(views) as views from article_minute
  where content_id in ('/', '/blog/tags/puppet') group by 1 order by 2 desc, 1`;

// Each step is a process or several, and some of them start a PostgreSQL.
jest.setTimeout(120_000);

const RECORDS = 3_000;

/** The steps build on one another, in one state folder. */
describe('a state folder', () => {
  let temporary: ReturnType<typeof createTemporaryFolder>;
  let state: string[];
  let log: string;
  beforeAll(() => {
    temporary = createTemporaryFolder();
    state = ['--state', join(temporary.path, 'state')];
    placeSink(state[1]!);
    log = join(temporary.path, 'visits.log.gz');
    writeFileSync(log, gzipSync(VISITS));
  });
  afterAll(() => temporary.remove());

  const views: Pageview[] = [];
  let poisonedSoFar = 0;
  test.each(POLLING_MODES)(
    'polled %s, through faults, poison and kills has in its tables what the input says, and the poison as dead letters',
    async (mode) => {
      const added = pageviews(views.length, RECORDS / POLLING_MODES.length);
      views.push(...added);
      const input = join(temporary.path, 'pageviews.jsonl');
      writeFileSync(input, added.map((view) => JSON.stringify(view)).join('\n'));
      const { published, poisoned } = await millraceJson([
        'publish',
        'news.pageviews',
        '--input',
        input,
        '--poison',
        '0.02',
        ...state,
      ]);
      expect(published).toBe(added.length);
      expect(poisoned).toBeGreaterThan(10);
      poisonedSoFar += poisoned;

      const faults = [
        '--polling',
        mode,
        '--redeliver',
        '0.4',
        '--crash',
        '0.2',
        '--sink-outage',
        '0.3',
        '--dead-letter-outage',
        '0.3',
      ];
      let kills = 0;
      for (let seed = 0; kills < 2 && (await lagOf(state)) > 0; seed++) {
        const before = await lagOf(state);
        const child = start(['up', '--no-publish', ...faults, '--seed', String(seed), ...state]);
        const exited = once(child, 'exit');
        await until(async () => (await lagOf(state)) < before);
        child.kill('SIGKILL');
        await exited;
        kills++;
      }
      expect(kills).toBeGreaterThan(0);

      const report = await millraceJson([
        'up',
        '--no-publish',
        '--exit-when-drained',
        ...faults,
        '--seed',
        '99',
        ...state,
      ]);
      expect(report).toMatchObject({ published: 0, lag: 0, skipped: 0 });
      expect(await millraceJson(['sql', TABLES, ...state])).toEqual(expectedTables(views));

      const letters = await millraceJson(['dlq', 'list', ...state]);
      expect(letters).toHaveLength(poisonedSoFar);
      const letter = await millraceJson(['dlq', 'show', letters[0].id, ...state]);
      expect(letter).toEqual(letters[0]);
      expect(await rawRecord(state, letter.record)).toEqual({
        key: letter.record.key,
        value: letter.record.value,
      });
      expect(letter.failure).toMatchObject({
        stage: 'decode',
        code: expect.stringMatching(/^(FRAME|AVRO|SCHEMA|VALUE)_/),
      });
    },
  );

  test('takes a file that the demo reads, consumes it and says so', async () => {
    const report = await millraceJson(['up', '--input', log, '--exit-when-drained', ...state]);
    expect(report).toEqual({
      published: 4,
      refused: 0,
      ignored: 3,
      malformed: 2,
      poisoned: 0,
      applied: 4,
      duplicates: 0,
      deadLettered: 0,
      skipped: 0,
      retries: 0,
      lag: 0,
      elapsedMs: expect.any(Number),
      recordsPerSecond: expect.any(Number),
      seed: expect.any(Number),
      complaints: [
        { kind: 'malformed', line: 6, reason: expect.any(String) },
        { kind: 'malformed', line: 9, reason: expect.any(String) },
      ],
    });
    expect(await millraceJson(['sql', VIEWS, ...state])).toEqual([
      { content_id: '/blog/tags/puppet', views: 3 },
      { content_id: '/', views: 1 },
    ]);
  });

  test('shows its lag', async () => {
    const [lag] = await millraceJson(['lag', ...state]);
    expect(lag).toMatchObject({
      consumer: 'editorial-analytics',
      topic: 'news.pageviews',
      lag: 0,
      verdict: 'OK',
    });
    expect(lag.partitions).toHaveLength(12);
    const people = await millrace(['lag', ...state]);
    expect(people.stdout).toContain('editorial-analytics  OK  0 behind');
  });

  test('prints a query as a table for people', async () => {
    const { stdout, stderr } = await millrace(['sql', VIEWS, ...state]);
    expect(stdout).toBe(
      ['content_id         views', '/blog/tags/puppet      3', '/                      1', ''].join('\n'),
    );
    expect(stderr).toBe('(2 rows)\n');
  });

  test('takes JSON lines beside it; refuses what breaks the contract by line, path and reason', async () => {
    const [good] = pageviews(1, 1);
    const lines = [JSON.stringify(good), 'no JSON', JSON.stringify({ ...good, device: 'ABACUS' })];
    const { code, stdout, stderr } = await millrace(
      ['publish', 'news.pageviews', '--input', '-', '--json', ...state],
      lines.join('\n'),
    );
    expect(JSON.parse(stdout)).toMatchObject({ published: 1, refused: 1, malformed: 1 });
    expect(stderr).toMatch(/^line 2 is malformed: not JSON$/m);
    expect(stderr).toMatch(/^line 3 is refused: device: /m);
    expect(stderr).not.toContain('ABACUS');
    expect(code).toBe(1);
    const left = await millrace(['lag', '--json', ...state]);
    expect([left.code, JSON.parse(left.stdout)[0]]).toMatchObject([2, { lag: 1, verdict: 'STALLED' }]);
  });

  test('has one owner, whom others can still ask', async () => {
    const owner = start(['up', '--rate', '50', ...state]);
    const ended = once(owner, 'exit');
    try {
      await until(async () => (await appliedViews(state)) > RECORDS + 10);
      const { code, stderr } = await millrace(['up', ...state]);
      expect(stderr).toMatch(new RegExp(`Process ${owner.pid}.*\\[STATE_IN_USE\\]`));
      expect(code).toBe(1);
    } finally {
      owner.kill('SIGINT');
    }
    expect(await ended).toEqual([0, null]);
    expect((await millraceJson(['lag', ...state]))[0]).toMatchObject({ lag: 0 });
  });

  test('is never cleared when it is somebody else’s', async () => {
    const foreign = join(temporary.path, 'foreign');
    mkdirSync(foreign);
    writeFileSync(join(foreign, 'thesis.txt'), 'precious');
    const { code, stderr } = await millrace(['up', '--fresh', '--input', log, '--state', foreign]);
    expect(stderr).toMatch(/files that are not Millrace's.*\[STATE_UNREADABLE\]/);
    expect(code).toBe(1);
  });
});

const VISITS = `2015-05-17T10:05:03Z visit /blog/tags/puppet s1
# 2015-05-17T10:05:43Z visit /images/logo.png s1
2015-05-17T10:06:01Z visit / s2

# 2015-05-17T10:06:02Z visit /comments s2
2015-02-31T10:06:03 visit / s2
# 2015-05-17T10:06:04Z visit /missing s3
2015-05-17T10:06:05Z visit /blog/tags/puppet s3
this is no visit
2015-05-17T10:06:06Z visit /blog/tags/puppet s4`;

function pageviews(seed: number, records: number): Pageview[] {
  const traffic = createTraffic(createSeededRandom(seed));
  return Array.from({ length: records }, (_, index) => traffic.next(Date.UTC(2026, 0, 1) + index * 40));
}

/** What TABLES gives for these pageviews, each counted once. */
function expectedTables(views: readonly Pageview[]) {
  const articles = Map.groupBy(
    views,
    ({ contentId, occurredAt }) => `${contentId}\n${sqlTime(occurredAt - (occurredAt % 60_000))}`,
  );
  const sessions = Map.groupBy(views, ({ sessionId }) => sessionId);
  const sum = (group: readonly Pageview[]) => ({
    n: group.length,
    engaged_ms: group.reduce((total, { engagedMs }) => total + engagedMs, 0),
  });
  const rows = [
    ...[...articles].map(([key, group]) => ({
      id: key.split('\n')[0]!,
      at: key.split('\n')[1]!,
      ...sum(group),
    })),
    ...[...sessions].map(([id, group]) => {
      const times = group.map(({ occurredAt }) => occurredAt);
      return { id, at: `${sqlTime(Math.min(...times))} ${sqlTime(Math.max(...times))}`, ...sum(group) };
    }),
  ];
  return rows.sort((a, b) => compare(a.id, b.id) || compare(a.at, b.at));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** As PostgreSQL writes it: no trailing zeros in the fraction. */
function sqlTime(epochMs: number): string {
  return `${new Date(epochMs)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.?0*Z$/, '')}+00`;
}

async function withStores<Result>(state: readonly string[], inspect: (stores: Stores) => Promise<Result>) {
  const stores = await openStores(existingStateFolder(state[1]!));
  try {
    return await inspect(stores);
  } finally {
    await stores.close();
  }
}

async function lagOf(state: readonly string[]): Promise<number> {
  return JSON.parse((await millrace(['lag', '--json', ...state])).stdout)[0].lag;
}

function rawRecord(state: readonly string[], position: { topic: string; partition: number; offset: number }) {
  return withStores(state, async ({ log }) => {
    const [record] = await log.read(position, position.offset, 1);
    return { key: record!.key!.toString('base64'), value: record!.value?.toString('base64') ?? null };
  });
}

async function appliedViews(state: readonly string[]): Promise<number> {
  const [row] = await millraceJson(['sql', 'select sum(views) as n from article_minute', ...state]);
  return row.n;
}

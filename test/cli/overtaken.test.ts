/** Dead letters that newer records of their keys have overtaken, as a person meets them on the command line. */
import { once } from 'node:events';
import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Pageview } from '../fixtures/newsdesk/contracts/news.pageviews/schema.ts';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace, millraceJson, start, until } from './millrace.ts';

jest.setTimeout(120_000);

const fixture = (path: string) => new URL(`../fixtures/newsdesk/${path}`, import.meta.url).href;
const runtime = (path: string) => new URL(`../../runtime/${path}`, import.meta.url).href;

/** Keeps the last reader of each article: which one that is depends on the order. */
const CONFIG = `
import { defineApp } from '${runtime('app.ts')}';
import { defineConsumer } from '${runtime('delivery/consumer.ts')}';
import { pageviews } from '${fixture('contracts/news.pageviews/topic.ts')}';

const lastReader = defineConsumer({
  name: 'last-reader',
  topic: pageviews,
  sink: 'postgres',
  migrations: [{ name: '0001', sql: 'CREATE TABLE last_reader (content_id text PRIMARY KEY, session_id text)' }],
  async handle(records, { tx }) {
    for (const { value } of records)
      await tx.query(
        'INSERT INTO last_reader VALUES ($1, $2) ON CONFLICT (content_id) DO UPDATE SET session_id = excluded.session_id',
        [value.contentId, value.sessionId],
      );
  },
});
export default defineApp({ name: 'readers', contracts: [pageviews], consumers: [lastReader], environments: {} });
`;

/** Each step is a command of its own on the same folder, as a person gives them; they build on one another. */
describe('overtaken letters, from the command line', () => {
  let temporary: ReturnType<typeof createTemporaryFolder>;
  let state: string[];
  const run = (args: readonly string[], input = '') => millrace([...args, ...state], input, temporary.path);
  const json = (args: readonly string[], input = '') =>
    millraceJson([...args, ...state], input, temporary.path);
  const readers = () => json(['sql', 'select content_id, session_id from last_reader order by 1']);

  beforeAll(() => {
    temporary = createTemporaryFolder();
    state = ['--state', join(temporary.path, 'state')];
    placeSink(state[1]!);
    symlinkSync(fileURLToPath(fixture('contracts')), join(temporary.path, 'contracts'));
    writeFileSync(join(temporary.path, 'millrace.config.ts'), CONFIG);
  });
  afterAll(() => temporary.remove());

  test('a record that fails is overtaken by a newer one of its key, and by no other', async () => {
    const view = (contentId: string, sessionId: string, at: number): Pageview => ({
      eventId: `e${at}`,
      contentId,
      sessionId,
      userId: null,
      url: 'https://news.example/',
      referrer: null,
      section: 'news',
      device: 'PHONE',
      country: null,
      occurredAt: Date.UTC(2026, 0, 1) + at,
      engagedMs: 0,
    });
    const views = [view('/a', 'bad', 1), view('/b', 'bad', 2), view('/a', 'good', 3), view('/c', 'good', 4)];
    const input = views.map((each) => JSON.stringify(each)).join('\n');
    const up = ['up', '--input', '-', '--exit-when-drained', '--fail', 'sessionId=bad'];
    expect(await json(up, input)).toMatchObject({ published: 4, deadLettered: 2, lag: 0 });
    expect(await readers()).toEqual([
      { content_id: '/a', session_id: 'good' },
      { content_id: '/c', session_id: 'good' },
    ]);
  });

  test('triage, list and show mark it', async () => {
    const { groups } = await json(['dlq', 'triage']);
    expect(groups).toMatchObject([{ count: 2, overtaken: 1 }]);
    expect((await run(['dlq', 'triage'])).stdout).toContain('1 overtaken');
    const letters: { id: string; decoded: Pageview; overtakenBy?: number }[] = await json(['dlq', 'list']);
    const marked = letters.filter(({ overtakenBy }) => overtakenBy !== undefined);
    expect(marked).toMatchObject([{ decoded: { contentId: '/a' } }]);
    const { id, overtakenBy } = marked[0]!;
    expect((await run(['dlq', 'list', '--where', 'overtaken=yes'])).stdout).toContain(
      `overtaken by offset ${overtakenBy}`,
    );
    const { stdout } = await run(['dlq', 'show', id]);
    expect(stdout).toMatch(/Overtaken: the newer record of its key at offset \d+ was\s+applied since/);
  });

  test('a redrive leaves it out, and says so', async () => {
    const { code, stdout, stderr } = await run(['dlq', 'redrive', '--yes', '--json']);
    expect(stderr).toContain('Redrive 1 dead letter of last-reader');
    expect(stderr).toContain('without 1 overtaken letter');
    expect(JSON.parse(stdout)).toMatchObject({
      planned: 2,
      applied: 1,
      alreadyApplied: 0,
      failed: 0,
      overtaken: 1,
      remaining: 0,
    });
    expect(code).toBe(1);
    expect(await readers()).toContainEqual({ content_id: '/a', session_id: 'good' });
    expect(await readers()).toContainEqual({ content_id: '/b', session_id: 'bad' });
  });

  test('a redrive of nothing else does nothing, and tells how to see it', async () => {
    const { code, stdout } = await run(['dlq', 'redrive', '--yes']);
    expect(code).toBe(1);
    expect(stdout).toContain('Nothing to do: the letter is overtaken.');
    expect(stdout).toContain('npx millrace dlq list --consumer last-reader --where overtaken=yes');
  });

  test('a move of the whole queue brings it back to the dead letters, beside a running up', async () => {
    expect(await json(['dlq', 'move', '--yes'])).toEqual({ moved: 1 });
    expect(await json(['dlq', 'list'])).toEqual([]);
    const up = start(['up', '--no-publish', ...state], temporary.path);
    const ended = once(up, 'exit');
    try {
      // Its process tells which letters are overtaken.
      await until(async () => (await json(['dlq', 'list', '--where', 'overtaken=yes'])).length === 1);
    } finally {
      up.kill('SIGINT');
      await ended;
    }
    expect(await readers()).toContainEqual({ content_id: '/a', session_id: 'good' });
  });

  test('a redrive that permits it applies it', async () => {
    const redrive = ['dlq', 'redrive', '--where', 'overtaken=yes', '--allow-overtaken', '--yes'];
    expect(await json(redrive)).toMatchObject({ planned: 1, applied: 1, overtaken: 0, remaining: 0 });
    expect(await readers()).toContainEqual({ content_id: '/a', session_id: 'bad' });
    expect((await json(['dlq', 'triage'])).groups).toEqual([]);
  });
});

import { once } from 'node:events';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import type { PageAnswer } from '../../runtime/page.ts';
import { copyNewsdesk } from '../newsdesk.ts';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace, start, until } from './millrace.ts';

// It starts PostgreSQL.
jest.setTimeout(120_000);

const temporary = createTemporaryFolder();
const project = join(temporary.path, 'project');
beforeAll(() => {
  copyNewsdesk(project);
  const demo = join(project, 'demo.ts');
  const page = `page: {
    title: 'Articles', script: 'page.js', consumer: 'editorial-analytics',
    queries: { most: 'SELECT content_id, views FROM article_minute ORDER BY views DESC LIMIT 3' },
  },
  query:`;
  writeFileSync(demo, readFileSync(demo, 'utf8').replace('query:', page));
  writeFileSync(join(project, 'page.js'), 'document.title = "a page of my own";');
});
afterAll(() => temporary.remove());

/** What has come so far. */
function textOf(stream: NodeJS.ReadableStream): () => string {
  let text = '';
  stream.setEncoding('utf8').on('data', (more) => {
    text += more;
  });
  return () => text;
}

const stateIn = (name: string) => {
  const state = join(temporary.path, name);
  placeSink(state);
  return ['--state', state];
};

test('up serves the page of an app, and its first line on stdout says where', async () => {
  const up = start(
    ['up', '--json', '--collector-port', '0', '--page-port', '0', ...stateIn('live')],
    project,
  );
  const read = textOf(up.stdout!);
  up.stderr!.resume();
  try {
    await until(async () => read().includes('\n') || up.exitCode !== null);
    const listening = JSON.parse(read().split('\n')[0]!);
    expect(listening).toEqual({
      event: 'listening',
      newsroom: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/\?token=[\w-]{32}$/),
      console: expect.anything(),
      collector: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
    });
    const { origin } = new URL(listening.newsroom);
    const opened = await fetch(listening.newsroom, { redirect: 'manual' });
    const headers = { cookie: opened.headers.get('set-cookie')!.split(';')[0]! };
    const script = await fetch(`${origin}/assets/page.js`, { headers });
    expect(await script.text()).toContain('a page of my own');
    let answer: PageAnswer | undefined;
    await until(async () => {
      answer = (await (await fetch(`${origin}/data`, { headers })).json()) as PageAnswer;
      return answer.data?.rows.most?.length === 3 && answer.freshness !== null;
    });
    expect(answer).toMatchObject({
      data: {
        asOf: expect.any(Number),
        rows: { most: Array(3).fill({ content_id: expect.any(String), views: expect.any(Number) }) },
      },
      freshness: { consumer: 'editorial-analytics', old: null },
    });
  } finally {
    up.kill('SIGKILL');
  }
});

test('a query that is wrong is said on the page, and once in the terminal, and the pipeline goes on', async () => {
  const wrong = join(temporary.path, 'wrong');
  cpSync(project, wrong, { recursive: true, verbatimSymlinks: true });
  const demo = join(wrong, 'demo.ts');
  const text = readFileSync(demo, 'utf8');
  writeFileSync(
    demo,
    text.replace('SELECT content_id, views FROM article_minute', 'SELECT nope FROM nowhere'),
  );
  const ports = ['--collector-port', '0', '--page-port', '0', '--console-port', '0'];
  const up = start(['up', '--json', ...ports, ...stateIn('wrong-query')], wrong);
  const [read, heard] = [textOf(up.stdout!), textOf(up.stderr!)];
  try {
    await until(async () => read().includes('\n') || up.exitCode !== null);
    const { newsroom } = JSON.parse(read().split('\n')[0]!);
    const opened = await fetch(newsroom, { redirect: 'manual' });
    const headers = { cookie: opened.headers.get('set-cookie')!.split(';')[0]! };
    const ask = async () =>
      (await (await fetch(new URL('/data', newsroom), { headers })).json()) as PageAnswer;
    const complaint = 'The query "most" of demo.page cannot be read';
    await until(async () => (await ask()).problem?.startsWith(complaint) === true);
    await until(async () => heard().includes(complaint));
    await until(async () => ((await ask()).freshness?.lag ?? null) !== null);
    expect((await ask()).data).toBeNull();
    expect(heard().split(complaint)).toHaveLength(2);
    expect(heard()).toMatch(/relation "nowhere" does not exist .*Correct demo\.page\.queries/);
  } finally {
    up.kill('SIGKILL');
  }
});

test.each([
  ['--page-port', 'page'],
  ['--console-port', 'console'],
])('where the port of %s is taken, nothing is published', async (option, name) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo;
  const state = stateIn(`taken-${name}`);
  const { code, stderr } = await millrace(
    ['up', '--json', '--collector-port', '0', option, String(port), ...state],
    '',
    project,
  );
  taken.close();
  expect([code, stderr]).toEqual([1, expect.stringContaining(`Port ${port} of 127.0.0.1 is in use`)]);
  const drained = await millrace(
    ['up', '--no-publish', '--exit-when-drained', '--json', ...state],
    '',
    project,
  );
  expect(JSON.parse(drained.stdout.trim().split('\n').at(-1)!)).toMatchObject({ applied: 0, lag: 0 });
});

test('a run that ends by itself serves nothing: its first line says so, and its last one is the summary', async () => {
  const args = ['up', '--no-publish', '--exit-when-drained', '--json', ...stateIn('drained')];
  const { code, stdout } = await millrace(args);
  const lines = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines).toEqual([
    { event: 'listening', newsroom: null, console: null, collector: null },
    expect.objectContaining({ applied: 0, lag: 0 }),
  ]);
  expect(code).toBe(0);
});

test('a page that nobody would see is not asked for', async () => {
  const { code, stderr } = await millrace(['up', '--no-publish', '--exit-when-drained', '--page-port', '0']);
  expect(code).toBe(2);
  expect(stderr).toContain("no page is served with '--exit-when-drained'");
});

import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import type { Pageview } from '../fixtures/newsdesk/contracts/news.pageviews/schema.ts';
import { createTraffic } from '../fixtures/newsdesk/demo.ts';
import { copyNewsdesk } from '../newsdesk.ts';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace, millraceJson } from './millrace.ts';

// Each step is a process or several, and some of them start a PostgreSQL.
jest.setTimeout(180_000);

/** Each step is a command of its own on the same folder, as a person gives them; they build on one another. */
describe('parked keys, from the command line', () => {
  let temporary: ReturnType<typeof createTemporaryFolder>;
  let project: string;
  let state: string[];
  /** While this file is there, the handler fails the articles below. */
  let bug: string;
  let articles: readonly string[];
  const recordsOf = new Map<string, number>();

  beforeAll(() => {
    temporary = createTemporaryFolder();
    project = join(temporary.path, 'project');
    state = ['--state', join(temporary.path, 'state')];
    bug = join(temporary.path, 'bug');
    writeFileSync(bug, '');
    placeSink(state[1]!);
    const traffic = createTraffic(createSeededRandom(11));
    const views = Array.from(
      { length: 400 },
      (_, n): Pageview => traffic.next(Date.UTC(2026, 0, 1) + n * 40),
    );
    writeFileSync(join(temporary.path, 'views.jsonl'), views.map((view) => JSON.stringify(view)).join('\n'));
    for (const { contentId } of views) recordsOf.set(contentId, (recordsOf.get(contentId) ?? 0) + 1);
    articles = [...recordsOf]
      .flatMap(([id, records]) => (records >= 4 && records <= 25 ? [id] : []))
      .slice(0, 4);
    copyNewsdesk(project);
    const consumer = join(project, 'lambdas/editorial-analytics/consumer.ts');
    const text = readFileSync(consumer, 'utf8')
      .replace(/^ *onOvertaken: 'apply',.*\n/m, '')
      .replace("sink: 'postgres',", "sink: 'postgres', onDeadLetter: 'park-key',")
      .replace(
        'if (!isTime(occurredAt)) {',
        `if (!isTime(occurredAt) || (existsSync(${JSON.stringify(bug)}) && ${JSON.stringify(articles)}.includes(contentId))) {`,
      );
    writeFileSync(consumer, `import { existsSync } from 'node:fs';\n${text}`);
  });
  afterAll(() => temporary.remove());

  const run = (...args: string[]) => millrace([...args, ...state], '', project);
  const json = (...args: string[]) => millraceJson([...args, ...state], '', project);
  const keys = async (): Promise<readonly Key[]> => (await json('park', 'list')).keys;
  const viewsOf = async (article: string): Promise<number> => {
    const sql = `select coalesce(sum(views), 0)::int as n from article_minute where content_id = '${article}'`;
    return (await json('sql', sql))[0].n;
  };

  test('a failing key is listed with what is parked behind its letter', async () => {
    const up = ['up', '--input', join(temporary.path, 'views.jsonl'), '--exit-when-drained', '--seed', '3'];
    expect(await json(...up)).toMatchObject({ published: 400, deadLettered: 4, lag: 0 });
    const found = await keys();
    expect(new Map(found.map(({ key, records }) => [key, records]))).toEqual(
      new Map(articles.map((article) => [article, recordsOf.get(article)! - 1])),
    );
    expect(found[0]).toEqual({
      consumer: 'editorial-analytics',
      topic: 'news.pageviews',
      partition: expect.any(Number),
      key: expect.any(String),
      records: expect.any(Number),
      oldestAgeMs: expect.any(Number),
      blockedBy: expect.stringMatching(/^editorial-analytics\/news\.pageviews\/\d+\/\d+$/),
    });
  });

  test('a released key whose next record fails waits again, and the command says so', async () => {
    const { code, stdout } = await run('park', 'release', articles[3]!, '--yes', '--json');
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      released: 1,
      discarded: 0,
      parked: recordsOf.get(articles[3]!)! - 2,
      blockedBy: expect.stringContaining('editorial-analytics/'),
    });
    rmSync(bug);
  });

  test('a letter that is discarded lets its key go on', async () => {
    const article = articles[3]!;
    const { blockedBy, records } = (await keys()).find(({ key }) => key === article)!;
    const discard = ['dlq', 'discard', '--where', `id=${blockedBy}`, '--reason', 'sent by mistake', '--yes'];
    expect(await json(...discard)).toMatchObject({ discarded: 1 });
    expect(await viewsOf(article)).toBe(records);
  });

  test('release applies what is parked, and its letter is overtaken', async () => {
    const [article] = articles;
    const { blockedBy } = (await keys()).find(({ key }) => key === article)!;
    const { code, stdout } = await run('park', 'release', article!, '--yes');
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `${recordsOf.get(article!)! - 1} parked records of editorial-analytics applied. The key waits no longer.\n`,
    });
    expect(await viewsOf(article!)).toBe(recordsOf.get(article!)! - 1);
    await run('dlq', 'redrive', '--where', `id=${blockedBy}`, '--yes', '--json', '--wait', '5');
    expect(await viewsOf(article!)).toBe(recordsOf.get(article!)! - 1);
  });

  test('skip discards the letter, with an export, an audit entry and the reason', async () => {
    const article = articles[1]!;
    const file = join(temporary.path, 'skipped.jsonl');
    const skip = ['park', 'skip', article, '--reason', 'a test order', '--export', file, '--yes'];
    expect(await json(...skip)).toEqual({
      released: 0,
      discarded: 1,
      parked: 0,
      blockedBy: null,
      export: file,
    });
    expect(
      readFileSync(file, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).record.key),
    ).toEqual([Buffer.from(article).toString('base64')]);
    expect(await viewsOf(article)).toBe(recordsOf.get(article)! - 1);
    const noted = await json('dlq', 'audit');
    // A redrive of a letter that is overtaken has nothing to do, and notes nothing.
    const actions = noted.map(({ action }: { action: string }) => action);
    expect(actions).toEqual(['release', 'discard', 'release', 'discard']);
    expect(noted.at(-1)).toMatchObject({
      plan: { command: 'park skip', key: article, reason: 'a test order' },
    });
  });

  test('discard removes what is parked too, and the export has it', async () => {
    const article = articles[2]!;
    const records = recordsOf.get(article)!;
    const file = join(temporary.path, 'discarded.jsonl');
    const base64 = Buffer.from(article).toString('base64');
    const discard = [
      'park',
      'discard',
      '--key-base64',
      base64,
      '--reason',
      'load',
      '--export',
      file,
      '--yes',
    ];
    expect(await json(...discard)).toMatchObject({ discarded: records, parked: 0, blockedBy: null });
    expect(readFileSync(file, 'utf8').trim().split('\n')).toHaveLength(records);
    expect(await viewsOf(article)).toBe(0);
    const audit = await json('audit', 'editorial-analytics');
    expect(audit.unaccounted).toBe(0);
    // An import takes the letter, and leaves out what was parked.
    expect(await json('dlq', 'import', '--input', file)).toEqual({ imported: 1 });
  });

  test('refuses an empty reason, a key that does not wait, and to go on unasked', async () => {
    const empty = await run('park', 'skip', 'k', '--reason', ' ', '--yes');
    expect(empty).toMatchObject({ code: 2, stderr: expect.stringContaining("'--reason' is empty") });
    const unasked = await run('park', 'release', 'k');
    expect(unasked).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') });
    const unknown = await run('park', 'release', 'k', '--yes');
    expect(unknown).toMatchObject({ code: 1, stderr: expect.stringContaining('park list') });
    expect(existsSync(bug)).toBe(false);
  });
});

interface Key {
  readonly key: string;
  readonly partition: number;
  readonly records: number;
  readonly blockedBy: string;
}

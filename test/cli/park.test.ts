import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import type { Pageview } from '../fixtures/newsdesk/contracts/news.pageviews/schema.ts';
import { createTraffic } from '../fixtures/newsdesk/demo.ts';
import { copyNewsdesk } from '../newsdesk.ts';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace, millraceJson, millraceVerdicts, start, until } from './millrace.ts';

// Each step is a process or several.
jest.setTimeout(120_000);

const PER_KEY = 6;

/** Commands on the folder of one running `up`, as a person gives them; they build on one another. */
describe('parked keys, from the command line', () => {
  let temporary: ReturnType<typeof createTemporaryFolder>;
  let project: string;
  let consumerFile: string;
  let state: string[];
  /** While this file is there, the handler fails the articles below. */
  let bug: string;
  const recordsOf = new Map<string, number>();
  /** Articles with fewer records than may be parked, and with more. */
  let few: readonly string[];
  let many: readonly string[];
  let waiting: ReadonlyMap<string, Key>;
  let up: ReturnType<typeof start>;

  beforeAll(async () => {
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
    const input = join(temporary.path, 'views.jsonl');
    writeFileSync(input, views.map((view) => JSON.stringify(view)).join('\n'));
    for (const { contentId } of views) recordsOf.set(contentId, (recordsOf.get(contentId) ?? 0) + 1);
    const between = (least: number, most: number) =>
      [...recordsOf].flatMap(([id, records]) => (records >= least && records <= most ? [id] : []));
    few = between(3, PER_KEY).slice(0, 4);
    many = between(PER_KEY + 3, 30).slice(0, 2);
    copyNewsdesk(project);
    consumerFile = join(project, 'lambdas/editorial-analytics/consumer.ts');
    const failing = JSON.stringify([...few, ...many]);
    const text = readFileSync(consumerFile, 'utf8')
      .replace(/^ *onOvertaken: 'apply',.*\n/m, '')
      .replace(
        "sink: 'postgres',",
        `sink: 'postgres', onDeadLetter: 'park-key', parkLimit: { perKey: ${PER_KEY}, then: 'dead-letter' },`,
      )
      .replace(
        'if (!isTime(occurredAt)) {',
        `if (!isTime(occurredAt) || (existsSync(${JSON.stringify(bug)}) && ${failing}.includes(contentId))) {`,
      );
    writeFileSync(consumerFile, `import { existsSync } from 'node:fs';\n${text}`);
    up = start(['up', '--input', input, '--seed', '3', ...state], project);
  });
  afterAll(async () => {
    const ended = once(up, 'exit');
    up.kill('SIGINT');
    if (up.exitCode === null) await ended;
    temporary.remove();
  });

  const run = (...args: string[]) => millrace([...args, ...state], '', project);
  const json = (...args: string[]) => millraceJson([...args, ...state], '', project);
  const overflowOf = (article: string) => recordsOf.get(article)! - 1 - PER_KEY;

  test('a failing key is listed with what is parked behind its letter', async () => {
    const letters = few.length + many.length + many.reduce((sum, article) => sum + overflowOf(article), 0);
    let found: readonly Key[] = [];
    await until(async () => {
      // While "up" starts nothing is known of its lag, and later it may be behind.
      const { printed } = await millraceVerdicts(['status', ...state], project);
      const { lag, deadLetters } = printed.consumers[0];
      if (lag !== 0 || deadLetters !== letters) return false;
      found = (await json('park', 'list')).keys;
      return true;
    });
    waiting = new Map(found.map((each) => [each.key, each]));
    expect(new Map(found.map(({ key, records }) => [key, records]))).toEqual(
      new Map([
        ...few.map((article) => [article, recordsOf.get(article)! - 1] as const),
        ...many.map((article) => [article, PER_KEY] as const),
      ]),
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

  test('a released key whose next record fails waits again, and a discard of that letter lets it go on', async () => {
    const article = few[3]!;
    const { code, stdout } = await run('park', 'release', article, '--yes', '--json');
    expect(code).toBe(1);
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({
      released: 1,
      discarded: 0,
      parked: recordsOf.get(article)! - 2,
      blockedBy: expect.stringContaining('editorial-analytics/'),
    });
    rmSync(bug);
    const discard = ['dlq', 'discard', '--where', `id=${result.blockedBy}`, '--reason', 'by mistake'];
    expect(await json(...discard, '--yes')).toMatchObject({ discarded: 1 });
  });

  test('a discard lets a key go on whose consumer no longer parks', async () => {
    const declaration = readFileSync(consumerFile, 'utf8');
    writeFileSync(
      consumerFile,
      declaration.replace(/onDeadLetter: 'park-key', parkLimit: \{.*?\},/, "onDeadLetter: 'continue',"),
    );
    const { blockedBy } = waiting.get(few[2]!)!;
    const discard = ['dlq', 'discard', '--where', `id=${blockedBy}`, '--reason', 'by mistake', '--yes'];
    expect(await json(...discard)).toMatchObject({ discarded: 1 });
    expect((await json('park', 'list')).keys.map(({ key }: Key) => key)).not.toContain(few[2]);
    writeFileSync(consumerFile, declaration);
  });

  test('release applies what is parked, and its letter is overtaken', async () => {
    // By the letter, as somebody does who may not see the key.
    const { blockedBy: letter } = waiting.get(few[0]!)!;
    expect((await json('park', 'show', '--letter', letter)).key).toBe(few[0]);
    const { code, stdout } = await run('park', 'release', '--letter', letter, '--yes');
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: 'What was parked with the key is applied. The key waits no longer.\n',
    });
    const redrive = ['dlq', 'redrive', '--where', `id=${letter}`, '--yes', '--json', '--wait', '5'];
    expect(JSON.parse((await run(...redrive)).stdout)).toMatchObject({ applied: 0, overtaken: 1 });
  });

  test('skip discards the letter, with an export and the reason', async () => {
    const article = few[1]!;
    const file = join(temporary.path, 'skipped.jsonl');
    const skip = ['park', 'skip', article, '--reason', 'a test order', '--export', file, '--yes'];
    expect(await json(...skip)).toEqual({
      released: 0,
      discarded: 1,
      parked: 0,
      blockedBy: null,
      export: file,
    });
    expect(linesOf(file).map((line) => line.record.key)).toEqual([Buffer.from(article).toString('base64')]);
  });

  test('skip leaves the letters that parkLimit made, and the key waits for the next of them', async () => {
    const article = many[0]!;
    const file = join(temporary.path, 'first.jsonl');
    const { code, stdout, stderr } = await run(
      'park',
      'skip',
      article,
      '--reason',
      'by mistake',
      '--export',
      file,
      '--yes',
    );
    expect(stderr).toContain('the key then waits for its next letter (parkLimit was reached)');
    expect(code).toBe(1);
    expect(linesOf(file)).toHaveLength(1);
    expect(stdout).toContain('1 record discarded.');
    const next = /The key waits for its next dead letter: (\S+)/.exec(stdout)?.[1];
    expect(stdout).toContain(`--where id=${next}`);
    const redrive = ['dlq', 'redrive', '--where', `id=${next}`, '--yes'];
    expect(await json(...redrive)).toMatchObject({ planned: 1, applied: 1 });
  });

  test('discard removes all letters of the key and what is parked, and the export has it', async () => {
    const article = many[1]!;
    const records = recordsOf.get(article)!;
    const file = join(temporary.path, 'discarded.jsonl');
    const base64 = ['--key-base64', Buffer.from(article).toString('base64')];
    const discard = ['park', 'discard', ...base64, '--reason', 'load', '--export', file, '--yes'];
    expect(await json(...discard)).toMatchObject({ discarded: records, parked: 0, blockedBy: null });
    expect(linesOf(file)).toHaveLength(records);
    // An import takes the letters, and leaves out what was parked.
    expect(await json('dlq', 'import', '--input', file)).toEqual({ imported: 1 + overflowOf(article) });
  });

  test('the tables have what was applied, the audit log what was done, and no record is unaccounted', async () => {
    const rows: { content_id: string; n: number }[] = await json(
      'sql',
      'select content_id, sum(views)::int as n from article_minute group by 1',
    );
    const views = new Map(rows.map(({ content_id, n }) => [content_id, n]));
    expect([...few, ...many].map((article) => views.get(article) ?? 0)).toEqual([
      recordsOf.get(few[0]!)! - 1,
      recordsOf.get(few[1]!)! - 1,
      recordsOf.get(few[2]!)! - 1,
      recordsOf.get(few[3]!)! - 2,
      PER_KEY + 1,
      0,
    ]);
    const noted: { action: string }[] = await json('dlq', 'audit');
    expect(noted.map(({ action }) => action)).toEqual([
      'release',
      'discard',
      'discard',
      'release',
      'discard',
      'discard',
      'redrive',
      'discard',
      'import',
    ]);
    expect(noted[4]).toMatchObject({
      plan: { command: 'park skip', key: few[1]!, reason: 'a test order' },
    });
    expect((await json('audit', 'editorial-analytics')).unaccounted).toBe(0);
  });

  test('refuses an empty reason, a key that does not wait, and to go on unasked', async () => {
    const { blockedBy: gone } = waiting.get(few[0]!)!;
    const [empty, unasked, unknown, settled, twice, none] = await Promise.all([
      run('park', 'skip', 'k', '--reason', ' ', '--yes'),
      run('park', 'release', 'k'),
      run('park', 'release', 'k', '--yes'),
      run('park', 'release', '--letter', gone, '--yes'),
      run('park', 'show', 'k', '--letter', gone),
      run('park', 'show'),
    ]);
    expect(empty).toMatchObject({ code: 2, stderr: expect.stringContaining("'--reason' is empty") });
    expect(unasked).toMatchObject({ code: 2, stderr: expect.stringContaining('--yes') });
    expect(unknown).toMatchObject({ code: 1, stderr: expect.stringContaining('park list') });
    expect(settled).toMatchObject({ code: 1, stderr: expect.stringContaining(`for the letter "${gone}"`) });
    expect(twice).toMatchObject({ code: 2, stderr: expect.stringContaining('named twice') });
    expect(none).toMatchObject({ code: 2, stderr: expect.stringContaining('which key?') });
    expect(existsSync(bug)).toBe(false);
  });
});

function linesOf(file: string): { readonly record: { readonly key: string } }[] {
  return readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

interface Key {
  readonly key: string;
  readonly partition: number;
  readonly records: number;
  readonly blockedBy: string;
}

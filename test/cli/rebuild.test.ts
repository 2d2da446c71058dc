/** Rebuilds from the command line: a bad deploy that corrupted a table, with a pipeline that runs and with none. */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { createTraffic } from '../fixtures/newsdesk/demo.ts';
import { copyNewsdesk } from '../newsdesk.ts';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace, millraceJson, start, until } from './millrace.ts';

// Each step is a process, and most of them start a PostgreSQL.
jest.setTimeout(120_000);

const CONSUMER = 'editorial-analytics';
const HANDLER = `lambdas/${CONSUMER}/consumer.ts`;
const SOUND = 'row.views++;';
const BAD = "row.views += contentId === '/about' ? 2 : 1;";
const ABOUT = "select coalesce(sum(views), 0) as n from article_minute where content_id = '/about'";
const ALL = 'select coalesce(sum(views), 0) as n from article_minute';

describe('a handler bug that doubled one article', () => {
  let temporary: ReturnType<typeof createTemporaryFolder>;
  let project: string;
  let state: string[];
  beforeAll(() => {
    temporary = createTemporaryFolder();
    project = join(temporary.path, 'project');
    copyNewsdesk(project);
    state = ['--state', join(temporary.path, 'state')];
    placeSink(state[1]!);
  });
  afterAll(() => temporary.remove());

  const run = (...args: string[]) => millraceJson([...args, ...state], '', project);
  const numberOf = async (sql: string): Promise<number> => (await run('sql', sql))[0].n;
  const edit = (from: string, to: string) => {
    const path = join(project, HANDLER);
    const text = readFileSync(path, 'utf8');
    expect(text).toContain(from);
    writeFileSync(path, text.replace(from, to));
  };
  let views = 0;
  let about = 0;
  const publish = async (count: number, seed: number) => {
    const traffic = createTraffic(createSeededRandom(seed));
    const lines = Array.from({ length: count }, (_, at) => {
      const view = traffic.next(Date.UTC(2026, 10, 26, 12, 0, at));
      return { ...view, contentId: at % 10 === 0 ? '/about' : view.contentId };
    });
    views += count;
    about += lines.filter(({ contentId }) => contentId === '/about').length;
    const input = join(temporary.path, 'views.jsonl');
    writeFileSync(input, lines.map((line) => JSON.stringify(line)).join('\n'));
    await run('publish', 'news.pageviews', '--input', input);
  };
  const drain = () => run('up', '--no-publish', '--exit-when-drained');

  test('is found in the table', async () => {
    edit(SOUND, BAD);
    await publish(600, 1);
    await drain();
    expect(await numberOf(ABOUT)).toBe(2 * about);
  });

  test('a rebuild with the mended handler, promoted, gives the table that there would have been', async () => {
    edit(BAD, SOUND);
    const report = await run('rebuild', CONSUMER, '--yes', '--promote');
    expect(report).toEqual({
      consumer: CONSUMER,
      generation: 2,
      records: views,
      promoted: true,
      elapsedMs: expect.any(Number),
    });
    expect(await numberOf(ABOUT)).toBe(about);
    expect(await numberOf(ALL)).toBe(views);
  });

  test('"up" feeds what was promoted', async () => {
    await publish(200, 2);
    const report = await drain();
    expect(report).toMatchObject({ applied: 200, lag: 0 });
    expect(await numberOf(ABOUT)).toBe(about);
    expect(await numberOf(ALL)).toBe(views);
  });

  test('a rollback gives the earlier tables back, which have gone on, and a promote the new ones', async () => {
    expect(await run('rebuild', 'rollback', CONSUMER, '--yes')).toMatchObject({ generation: 1, from: 2 });
    expect(await numberOf(ABOUT)).toBeGreaterThan(about);
    expect(await numberOf(ALL)).toBeGreaterThan(views);
    expect(await run('rebuild', 'promote', CONSUMER, '--yes')).toMatchObject({ generation: 2, from: 1 });
    expect(await numberOf(ABOUT)).toBe(about);
    expect(await run('rebuild', 'drop', CONSUMER, '--yes')).toEqual({ consumer: CONSUMER, generation: 1 });
    expect(await run('rebuild', 'list', CONSUMER)).toMatchObject([{ number: 2, state: 'live' }]);
    expect(await numberOf(ABOUT)).toBe(about);
  });

  test('beside a running pipeline with traffic, killed again and again, it loses and doubles nothing', async () => {
    const up = start(['up', '--rate', '300', '--json', ...state], project);
    let stdout = '';
    up.stdout!.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    const exited = once(up, 'exit');
    await until(async () => (await numberOf(ALL)) > views);
    for (const afterMs of [400, 900, 1_400]) {
      const child = start(
        ['rebuild', CONSUMER, '--yes', '--promote', '--rate', '300', '--json', ...state],
        project,
      );
      const gone = once(child, 'exit');
      await sleep(afterMs);
      child.kill('SIGKILL');
      await gone;
    }
    const report = await run('rebuild', CONSUMER, '--yes', '--promote');
    expect(report).toMatchObject({ generation: 3, promoted: true });
    await publish(50, 3);
    up.kill('SIGINT');
    await exited;
    const { published, applied, lag } = JSON.parse(stdout.trimEnd().split('\n').at(-1)!);
    expect(lag).toBe(0);
    expect(applied).toBe(published + 50);
    expect(await numberOf(ALL)).toBe(views + published);
  });

  test('a candidate that other code was begun with is not gone on with', async () => {
    const child = start(['rebuild', CONSUMER, '--yes', '--rate', '20', '--json', ...state], project);
    const exited = once(child, 'exit');
    await until(async () => {
      const { stdout } = await millrace(['rebuild', 'list', CONSUMER, '--json', ...state], '', project);
      return stdout.includes('candidate');
    });
    child.kill('SIGKILL');
    await exited;
    edit(SOUND, `${SOUND} // another version`);
    const refused = await millrace(['rebuild', CONSUMER, '--yes', ...state], '', project);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/begun with other code.*\[REBUILD_REFUSED\]/s);
    expect(await run('rebuild', 'drop', CONSUMER, '--yes')).toMatchObject({ generation: 4 });
    expect(await numberOf(ABOUT)).toBeGreaterThan(0);
  });
});

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
jest.setTimeout(240_000);

const CONSUMER = 'editorial-analytics';
const HANDLER = `lambdas/${CONSUMER}/consumer.ts`;
const SOUND = 'row.views++;';
const BAD = "row.views += contentId === '/about' ? 2 : 1;";
const isCandidate = ({ state }: { state: string }) => state === 'candidate';
const SUMS = `
  select coalesce(sum(views) filter (where content_id = '/about'), 0) as about, coalesce(sum(views), 0) as all
  from article_minute`;

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
  const sums = async (): Promise<{ about: number; all: number }> => (await run('sql', SUMS))[0];
  const edit = (from: string, to: string) => {
    const path = join(project, HANDLER);
    const text = readFileSync(path, 'utf8');
    expect(text).toContain(from);
    writeFileSync(path, text.replace(from, to));
  };
  let views = 0;
  let about = 0;
  let doubled = 0;
  let bad = 0;
  const publish = async (count: number, seed: number, poison = 0.02) => {
    const traffic = createTraffic(createSeededRandom(seed));
    const lines = Array.from({ length: count }, (_, at) => {
      const view = traffic.next(Date.UTC(2026, 10, 26, 12, 0, at));
      return { ...view, contentId: at % 10 === 0 ? '/about' : view.contentId };
    });
    views += count;
    about += lines.filter(({ contentId }) => contentId === '/about').length;
    const input = join(temporary.path, 'views.jsonl');
    writeFileSync(input, lines.map((line) => JSON.stringify(line)).join('\n'));
    const { poisoned } = await run('publish', 'news.pageviews', '--input', input, '--poison', `${poison}`);
    bad += poisoned;
  };
  const drain = () => run('up', '--no-publish', '--exit-when-drained');

  test('is found in the table', async () => {
    edit(SOUND, BAD);
    await publish(600, 1);
    await drain();
    doubled = about;
    expect(await sums()).toEqual({ about: 2 * about, all: views + about });
  });

  test('a shadow replay of yesterday tells which rows would come out differently', async () => {
    edit(BAD, SOUND);
    const yesterday = ['--from', '1d', '--yes'];
    const { records, isWhole, tables } = await run('replay', CONSUMER, '--shadow', ...yesterday);
    expect({ records, isWhole }).toEqual({ records: views, isWhole: true });
    const [articles, sessions] = tables;
    expect(articles).toMatchObject({ table: 'article_minute', missing: 0, other: 0 });
    expect(articles.changed).toBeGreaterThan(0);
    expect(articles.same).toBeGreaterThan(0);
    expect(sessions).toMatchObject({ table: 'session_engagement', changed: 0, missing: 0, other: 0 });
    // It was dropped, and readers see what they saw.
    expect(await run('rebuild', 'list', CONSUMER)).toMatchObject([{ number: 1, state: 'live' }]);
  });

  test('a rebuild with the fixed handler, promoted, gives the table that there would have been', async () => {
    const applied = views;
    // What the live one has not had is nothing for a replay: whoever is live next handles it, with its effects outside.
    await publish(40, 4, 0);
    const report = await run('rebuild', CONSUMER, '--yes', '--promote');
    expect(report).toEqual({
      consumer: CONSUMER,
      generation: 3,
      records: applied,
      promoted: true,
      elapsedMs: expect.any(Number),
    });
    await drain();
    expect(await sums()).toEqual({ about, all: views });
  });

  test('the dead letters of the consumer are those of what was promoted, and the others stay within reach', async () => {
    expect(bad).toBeGreaterThan(0);
    const letters: { id: string }[] = await run('dlq', 'list');
    expect(letters).toHaveLength(bad);
    const first: { id: string }[] = await run('dlq', 'list', '--consumer', `${CONSUMER}-g1`);
    expect(first.map(({ id }) => id.replace(CONSUMER, `${CONSUMER}-g3`)).sort()).toEqual(
      letters.map(({ id }) => id).sort(),
    );
    for (const { id } of [letters[0]!, first[0]!]) expect(await run('dlq', 'show', id)).toMatchObject({ id });
    const audit = await run('audit', CONSUMER);
    expect(audit).toMatchObject({ consumer: CONSUMER, unaccounted: 0 });
    const actions = (await run('dlq', 'audit')).map(({ action }: { action: string }) => action);
    expect(actions).toEqual(['replay', 'rebuild', 'promote']);
  });

  test('"up" feeds what was promoted', async () => {
    await publish(200, 2);
    const report = await drain();
    expect(report).toMatchObject({ applied: 200, lag: 0 });
    expect(await sums()).toEqual({ about, all: views });
  });

  test('a rollback gives the earlier tables back, which have gone on, and a promote the new ones', async () => {
    expect(await run('rebuild', 'rollback', CONSUMER, '--yes')).toMatchObject({ generation: 1, from: 3 });
    expect(await sums()).toEqual({ about: about + doubled, all: views + doubled });
    expect(await run('rebuild', 'promote', CONSUMER, '--yes')).toMatchObject({ generation: 3, from: 1 });
    expect(await run('rebuild', 'drop', CONSUMER, '--yes')).toEqual({ consumer: CONSUMER, generation: 1 });
    expect(await run('rebuild', 'list', CONSUMER)).toMatchObject([{ number: 3, state: 'live' }]);
    expect(await run('dlq', 'list', '--consumer', `${CONSUMER}-g1`)).toEqual([]);
    expect(await run('dlq', 'list')).toHaveLength(bad);
    expect(await sums()).toEqual({ about, all: views });
  });

  test('beside a running pipeline with traffic, killed again and again, it loses and doubles nothing', async () => {
    const up = start(['up', '--rate', '300', '--collector-port', '0', '--json', ...state], project);
    let stdout = '';
    up.stdout!.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    const exited = once(up, 'exit');
    await until(async () => (await sums()).all > views);
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
    // Slower than the traffic: at that pace it would never be there.
    const report = await run('rebuild', CONSUMER, '--yes', '--promote', '--rate', '250');
    expect(report).toMatchObject({ generation: 4, promoted: true });
    await publish(50, 3);
    up.kill('SIGINT');
    await exited;
    const { published, applied, lag } = JSON.parse(stdout.trimEnd().split('\n').at(-1)!);
    expect(lag).toBe(0);
    expect(applied).toBe(published + 50);
    expect((await sums()).all).toBe(views + published);
  });

  test('a shadow run is nothing to promote', async () => {
    const child = start(
      ['replay', CONSUMER, '--shadow', '--from', '1d', '--yes', '--rate', '20', ...state],
      project,
    );
    const exited = once(child, 'exit');
    await until(async () => (await run('rebuild', 'list', CONSUMER)).some(isCandidate));
    const refused = await millrace(['rebuild', 'promote', CONSUMER, '--yes', ...state], '', project);
    expect(refused.stderr).toMatch(/has no candidate generation.*\[REBUILD_REFUSED\]/s);
    child.kill('SIGINT');
    await exited;
    expect(await run('rebuild', 'list', CONSUMER)).not.toContainEqual(expect.objectContaining({ number: 5 }));
  });

  test('a rebuild without "up" lets others look at the ledgers, and ends when it is dropped', async () => {
    const child = start(['rebuild', CONSUMER, '--yes', '--rate', '20', '--json', ...state], project);
    let stderr = '';
    child.stderr!.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    const exited = once(child, 'exit');
    await until(async () => (await run('rebuild', 'list', CONSUMER)).some(isCandidate));
    const { number } = (await run('rebuild', 'list', CONSUMER)).find(isCandidate);
    expect(await run('audit', CONSUMER)).toMatchObject({ unaccounted: 0 });
    expect(await run('rebuild', 'drop', CONSUMER, '--yes')).toMatchObject({ generation: number });
    expect((await exited)[0]).toBe(1);
    expect(stderr).toMatch(/dropped meanwhile.*\[REBUILD_REFUSED\]/s);
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
    const { number } = (await run('rebuild', 'list', CONSUMER)).find(isCandidate);
    edit(SOUND, `${SOUND} // another version`);
    const refused = await millrace(['rebuild', CONSUMER, '--yes', ...state], '', project);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/begun with other code.*\[REBUILD_REFUSED\]/s);
    expect(await run('rebuild', 'drop', CONSUMER, '--yes')).toMatchObject({ generation: number });
  });
});

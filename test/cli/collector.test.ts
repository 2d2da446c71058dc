import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millraceJson, start, until } from './millrace.ts';

// It starts a PostgreSQL.
jest.setTimeout(60_000);

/** A command line as it is printed: `curl -H type -d 'event' url`. */
const CURL =
  /^Collector: curl -H content-type:(\S+) -d '(\{.*\})' (http:\/\/127\.0\.0\.1:\d+\/events\/\S+)$/m;

describe('millrace up takes events by HTTP', () => {
  const temporary = createTemporaryFolder();
  const state = ['--state', join(temporary.path, 'state')];
  let up: ChildProcess;
  const printed = { stdout: '', stderr: '' };
  let curl: { readonly type: string; readonly event: string; readonly url: string };
  beforeAll(async () => {
    placeSink(state[1]!);
    up = start(['up', '--no-publish', '--collector-port', '0', '--json', ...state]);
    for (const name of ['stdout', 'stderr'] as const) {
      up[name]!.setEncoding('utf8').on('data', (text) => {
        printed[name] += text;
      });
    }
    await until(async () => CURL.test(printed.stderr) || up.exitCode !== null);
    const [, type, event, url] = CURL.exec(printed.stderr)!;
    curl = { type: type!, event: event!, url: url! };
  });
  afterAll(() => {
    up.kill('SIGKILL');
    temporary.remove();
  });

  const post = async (body: string, type = curl.type) => {
    const answer = await fetch(curl.url, { method: 'POST', body, headers: { 'content-type': type } });
    return { status: answer.status, ...((await answer.json()) as object) };
  };
  const views = async (contentId: string) => {
    const rows = await millraceJson([
      'sql',
      `select views as n from article_minute where content_id = '${contentId}'`,
      ...state,
    ]);
    return rows.reduce((sum: number, { n }: { n: number }) => sum + n, 0);
  };
  const eventOf = (contentId: string) => ({ ...JSON.parse(curl.event), contentId });

  test('the line that it prints publishes an event, and the consumer applies it', async () => {
    expect(await post(curl.event)).toMatchObject({ status: 202, accepted: 1 });
    const { contentId } = JSON.parse(curl.event);
    expect(contentId).toMatch(/^\/\w+\/./);
    await until(async () => (await views(contentId)) === 1);
    // No consumer of the newsdesk asks for once.
    expect(printed.stderr).toContain('Every event counts, even one that was sent before.');
  });

  test('a bad event is answered with its path and the reason', async () => {
    expect(await post(JSON.stringify({ ...eventOf('/bad'), device: 'ABACUS' }))).toEqual({
      status: 400,
      accepted: 0,
      refused: 1,
      failed: 0,
      verdicts: [
        {
          index: 0,
          status: 'refused',
          code: 'EVENT_REFUSED',
          violations: [
            { path: 'device', reason: 'takes one of DESKTOP, PHONE, TABLET, TV, OTHER; got a string' },
          ],
        },
      ],
    });
  });

  test('of a beacon with both, the good ones are kept', async () => {
    const { engagedMs: _, ...bad } = eventOf('/bad');
    const batch = [eventOf('/good'), bad, eventOf('/good')];
    expect(await post(JSON.stringify(batch), 'text/plain;charset=UTF-8')).toMatchObject({
      status: 207,
      verdicts: [
        { status: 'accepted' },
        { status: 'refused', violations: [{ path: 'engagedMs' }] },
        { status: 'accepted' },
      ],
    });
    await until(async () => (await views('/good')) === 2);
    expect(await views('/bad')).toBe(0);
  });

  test('until it is told to end; what was accepted is in the summary', async () => {
    const ended = once(up, 'close');
    up.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
    const [listening, summary] = printed.stdout.split('\n').map((line) => line && JSON.parse(line));
    expect(listening).toMatchObject({ event: 'listening', collector: expect.stringContaining('http://') });
    expect(summary).toMatchObject({ published: 3, applied: 3, lag: 0, complaints: [] });
    await expect(post(curl.event)).rejects.toThrow('fetch failed');
  });
});

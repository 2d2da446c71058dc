/** The line that `up` prints for the newsroom: repeated, it counts once. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, expect, jest, test } from '@jest/globals';
import { millraceJson, start, until } from '../cli/millrace.ts';
import { ROOT } from '../newsdesk.ts';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

// It starts a PostgreSQL.
jest.setTimeout(120_000);

const CURL =
  /^Collector: curl -H content-type:(\S+) -d '(\{.*\})' (http:\/\/127\.0\.0\.1:\d+\/events\/\S+)$/m;

const temporary = createTemporaryFolder();
let up: ChildProcess | undefined;
afterAll(() => {
  up?.kill('SIGKILL');
  temporary.remove();
});

test('an event that is sent three times counts once, and another one of its article counts too', async () => {
  const state = ['--state', join(temporary.path, 'state')];
  placeSink(state[1]!);
  const running = start(['up', '--no-publish', '--collector-port', '0', '--json', ...state], ROOT);
  up = running;
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    running[name]!.setEncoding('utf8').on('data', (text) => {
      printed[name] += text;
    });
  }
  await until(async () => CURL.test(printed.stderr) || running.exitCode !== null);
  const [, type, event, url] = CURL.exec(printed.stderr)!;
  expect(printed.stderr).toContain('Sent again, it counts once: its eventId is the same.');

  const { contentId, eventId } = JSON.parse(event!);
  const other = JSON.stringify({ ...JSON.parse(event!), eventId: `${eventId}-2` });
  for (const body of [event!, event!, event!, other]) {
    const answer = await fetch(url!, { method: 'POST', body, headers: { 'content-type': type! } });
    expect(await answer.json()).toMatchObject({ accepted: 1 });
  }
  const views = async () => {
    const query = `select sum(views)::int as n from article_minute where content_id = '${contentId}'`;
    const [row] = await millraceJson(['sql', query, ...state], '', ROOT);
    return row.n ?? 0;
  };
  // The last one stands behind the copies, in their partition.
  await until(async () => (await views()) >= 2);
  expect(await views()).toBe(2);

  const ended = once(running, 'close');
  running.kill('SIGINT');
  expect(await ended).toEqual([0, null]);
  const report = JSON.parse(printed.stdout.trimEnd().split('\n').at(-1)!);
  expect(report).toMatchObject({ published: 4, applied: 2, repeated: 2, duplicates: 0, lag: 0 });
});

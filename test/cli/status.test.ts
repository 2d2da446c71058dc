/** `status`, `lag explain`, `pause` and `resume` in the situations that they are for, as whoever is on call meets them. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { askOwner } from '../../local/control-socket.ts';
import { existingStateFolder } from '../../local/state-folder.ts';
import type { Pageview } from '../fixtures/newsdesk/contracts/news.pageviews/schema.ts';
import { createTraffic } from '../fixtures/newsdesk/demo.ts';
import { copyNewsdesk, NEWSDESK } from '../newsdesk.ts';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace, millraceJson, millraceVerdicts, start, until } from './millrace.ts';

jest.setTimeout(120_000);

const TOPIC = 'news.pageviews';
const CONSUMER = 'editorial-analytics';

let temporary: ReturnType<typeof createTemporaryFolder>;
let state: string[];
let project: string;
let owner: ChildProcess | undefined;
beforeEach(() => {
  temporary = createTemporaryFolder();
  state = ['--state', join(temporary.path, 'state')];
  placeSink(state[1]!);
  project = NEWSDESK;
});
afterEach(async () => {
  await stopped();
  temporary.remove();
});

const run = (...args: string[]) => millrace([...args, ...state], '', project);
const publish = (views: readonly Pageview[]) =>
  millraceJson(
    ['publish', TOPIC, '--input', '-', ...state],
    views.map((view) => JSON.stringify(view)).join('\n'),
    project,
  );
/** `status --json`, with the code that it ended with. */
const status = async () => {
  const { code, printed } = await millraceVerdicts(['status', ...state], project);
  return { code, ...printed.consumers[0] };
};

/** The same by the control socket: a process takes a second to start. */
const seen = async () =>
  (await askOwner(existingStateFolder(state[1]!), 'status', {}))?.result[0] ?? { verdict: 'none', lag: null };
const applied = async () => {
  const sql = 'select coalesce(sum(views), 0)::int as n from article_minute';
  const [{ n }] = await millraceJson(['sql', sql, ...state], '', project);
  return n;
};

function up(...args: string[]): void {
  owner = start(['up', ...args, ...state], project);
  owner.stdout!.resume();
  owner.stderr!.resume();
}

/** As a kill does, so that nothing is drained. */
async function stopped(): Promise<void> {
  if (!owner) return;
  const ended = once(owner, 'exit');
  if (owner.exitCode === null && owner.signalCode === null && owner.kill('SIGKILL')) await ended;
  owner = undefined;
}

function pageviews(count: number): Pageview[] {
  const traffic = createTraffic(createSeededRandom(7));
  return Array.from({ length: count }, (_, n) => traffic.next(Date.UTC(2026, 0, 1) + n * 40));
}

test('the sink is down: status names its code, and since when', async () => {
  up('--rate', '100', '--sink-outage', '100');
  await until(async () => (await seen()).verdict === 'STALLED');
  const found = await status();
  expect(found).toMatchObject({ code: 2, heldBy: 'SINK_UNAVAILABLE' });
  expect(found.evidence[0]).toMatch(
    /unread and held by SINK_UNAVAILABLE since \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ, \d+ tries: the sink does not answer\.$/,
  );
  const { stdout, code } = await run('lag', 'explain', CONSUMER);
  expect(stdout).toContain('docs/errors.md');
  expect(code).toBe(2);
});

describe('one record cannot be handled for now', () => {
  test('status names its partition, its offset and the code, and the other partitions go on', async () => {
    project = join(temporary.path, 'project');
    copyNewsdesk(project);
    const path = join(project, 'lambdas/editorial-analytics/consumer.ts');
    const down =
      "if (contentId === '/stuck') throw new MillraceError('DEPENDENCY_UNAVAILABLE', 'The tax service does not answer.');";
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace('      if (!isTime(occurredAt)) {', `      ${down}\n$&`));
    const views = pageviews(40);
    await publish(views.map((view, n) => (n === 20 ? { ...view, contentId: '/stuck' } : view)));
    up('--no-publish');
    await until(async () => (await seen()).verdict === 'BLOCKED');

    const found = await status();
    expect(found).toMatchObject({ code: 2, heldBy: 'DEPENDENCY_UNAVAILABLE' });
    expect(found.evidence[0]).toMatch(
      /^Partition \d+: offset \d+ failed \d+ times with DEPENDENCY_UNAVAILABLE since .*: The tax service does not answer\.$/,
    );
    const [, partition, offset] = /^Partition (\d+): offset (\d+) /.exec(found.evidence[0])!;
    const [lag] = (await millraceVerdicts(['lag', ...state], project)).printed;
    const blocked = lag.partitions.filter((each: { verdict: string }) => each.verdict === 'BLOCKED');
    expect(blocked).toMatchObject([{ partition: Number(partition) }]);
    const waiting = blocked[0].end - Number(offset);
    expect(await applied()).toBe(views.length - waiting);
  });
});

test('nobody consumes: the first record is a stall, and the printed command ends it', async () => {
  await publish(pageviews(1));
  expect(await status()).toMatchObject({ code: 2, verdict: 'STALLED', lag: 1 });
  const people = await run('status');
  expect(people.stdout).toContain(
    '1 unread and nobody runs it: there is no "millrace up" on this state folder.',
  );

  const { stdout } = await run('lag', 'explain', CONSUMER);
  const words = stdout.trimEnd().split('\n').at(-1)!.trim().split(/\s+/).slice(2);
  expect(words.slice(0, 2)).toEqual(['up', '--no-publish']);
  expect((await millrace([...words, '--exit-when-drained'], '', project)).code).toBe(0);
  expect(await status()).toMatchObject({ code: 0, verdict: 'OK', lag: 0 });
});

describe('a consumer is paused', () => {
  test('it reads nothing until it is resumed, whoever stops and starts the pipeline meanwhile', async () => {
    await publish(pageviews(10));
    up('--no-publish');
    await until(async () => (await seen()).lag === 0);

    const { stdout } = await run('pause', CONSUMER);
    expect(stdout).toContain(`npx millrace resume ${CONSUMER} --state ${state[1]}`);
    await publish(pageviews(30));
    await until(async () => (await seen()).verdict === 'STALLED');
    const found = await status();
    expect(found).toMatchObject({ code: 2, lag: 30 });
    expect(found.evidence[0]).toMatch(/^30 unread and paused by \S+@\S+ since/);
    await stopped();

    const next = await run('up', '--no-publish', '--exit-when-drained');
    expect(next.code).toBe(1);
    expect(next.stderr).toMatch(new RegExp(`${CONSUMER} is paused, by \\S+ since \\S+`));
    expect(next.stdout.replaceAll('\n', ' ')).toContain(
      `with 30 records left to consume. ${CONSUMER} is paused with 30 unread, and reads nothing until it is resumed.`,
    );
    expect(next.stdout).toContain(`\n  npx millrace resume ${CONSUMER} --state ${state[1]}\n`);
    expect(await applied()).toBe(10);

    up('--no-publish');
    await until(async () => (await seen()).lag === 30);
    await run('resume', CONSUMER);
    await until(async () => (await seen()).lag === 0);
    expect(await applied()).toBe(40);
    const log = await millraceJson(['dlq', 'audit', ...state]);
    expect(log).toMatchObject([
      { action: 'pause', consumer: CONSUMER, result: { before: 'running' } },
      { action: 'resume', consumer: CONSUMER, result: { before: expect.stringMatching(/^paused by /) } },
    ]);
  });

  test('a pause twice is the first one, and a resume of what runs changes nothing', async () => {
    await publish(pageviews(1));
    expect(await millraceJson(['resume', CONSUMER, ...state])).toMatchObject({
      isPaused: false,
      isChanged: false,
    });
    const first = await millraceJson(['pause', CONSUMER, ...state]);
    expect((await run('status')).stdout).toMatch(/paused by \S+@\S+ since/);
    const again = await millraceJson(['pause', CONSUMER, ...state]);
    expect([first, again]).toMatchObject([
      { consumer: CONSUMER, isPaused: true, isChanged: true },
      { isPaused: true, isChanged: false, at: first.at },
    ]);
    // Without a pipeline nothing goes on.
    const { stdout } = await run('resume', CONSUMER);
    expect(stdout.replaceAll('\n', ' ')).toContain(`${CONSUMER} is no longer paused. Nobody runs it`);
    expect(stdout).toContain(`\n  npx millrace up --no-publish --state ${state[1]}\n`);
  });

  test('a name that is mistyped is refused, with the closest one', async () => {
    await publish(pageviews(1));
    const { code, stderr } = await run('pause', 'editorial-analytic');
    expect([code, stderr]).toEqual([1, expect.stringContaining(`Did you mean "${CONSUMER}"?`)]);
  });
});

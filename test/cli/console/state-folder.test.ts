/** What the console says of a real state folder: of one that a run has left, and beside the next run. */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import { loadApp } from '../../../cli/app.ts';
import type { ConsoleOptions } from '../../../cli/console/context.ts';
import { createOperations } from '../../../cli/console/operations.ts';
import type { Operations } from '../../../console/operations.ts';
import { existingStateFolder, tryLockStateFolder } from '../../../local/state-folder.ts';
import { openStores } from '../../../local/stores.ts';
import { AUDIT_PREFIX, audited } from '../../../runtime/dead-letters/audit-log.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import type { Pageview } from '../../fixtures/newsdesk/contracts/news.pageviews/schema.ts';
import { createTraffic } from '../../fixtures/newsdesk/demo.ts';
import { copyNewsdesk } from '../../newsdesk.ts';
import { placeSink } from '../../prepared-pglite.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';
import { millraceJson, start, until } from '../millrace.ts';

jest.setTimeout(240_000);

const CONSUMER = 'editorial-analytics';

describe('the console on a state folder', () => {
  const before = process.cwd();
  let temporary: ReturnType<typeof createTemporaryFolder>;
  let project: string;
  let state: string;
  let published: number;
  /** Records of the articles that the handler fails, by article. */
  let failing: ReadonlyMap<string, number>;
  let operations: Operations;
  let up: ChildProcess | undefined;

  const open = async (options: Partial<ConsoleOptions> = {}) =>
    createOperations(await loadApp(), { state, ...options });

  beforeAll(async () => {
    temporary = createTemporaryFolder();
    project = join(temporary.path, 'project');
    state = join(temporary.path, 'state');
    placeSink(state);
    copyNewsdesk(project);
    const traffic = createTraffic(createSeededRandom(11));
    const views = Array.from(
      { length: 300 },
      (_, n): Pageview => traffic.next(Date.UTC(2026, 0, 1) + n * 40),
    );
    const counts = [...Map.groupBy(views, ({ contentId }) => contentId)].map(
      ([id, of]) => [id, of.length] as const,
    );
    failing = new Map(counts.filter(([, records]) => records >= 3 && records <= 12).slice(0, 3));
    const consumer = join(project, 'lambdas/editorial-analytics/consumer.ts');
    const text = readFileSync(consumer, 'utf8')
      .replace(/^ *onOvertaken: 'apply',.*\n/m, '')
      .replace("sink: 'postgres',", `sink: 'postgres', onDeadLetter: 'park-key',`)
      .replace(
        'if (!isTime(occurredAt)) {',
        `if (!isTime(occurredAt) || ${JSON.stringify([...failing.keys()])}.includes(contentId)) {`,
      );
    writeFileSync(consumer, text);
    const input = join(temporary.path, 'views.jsonl');
    writeFileSync(input, views.map((view) => JSON.stringify(view)).join('\n'));
    const run = ['up', '--input', input, '--exit-when-drained', '--seed', '3', '--state', state];
    ({ published } = await millraceJson(run, '', project));
    process.chdir(project);
    operations = await open();
  });
  afterAll(async () => {
    await operations.close();
    process.chdir(before);
    if (up && up.exitCode === null) {
      const ended = once(up, 'exit');
      up.kill('SIGINT');
      await ended;
    }
    // A look may still have the sink open.
    await until(async () => {
      const lock = tryLockStateFolder(existingStateFolder(state), 'look');
      lock?.release();
      return lock !== undefined;
    });
    temporary.remove();
  });

  const sum = (values: readonly number[]) => values.reduce((all, each) => all + each, 0);
  const parkedRecords = () => sum([...failing.values()].map((records) => records - 1));

  test('its status says that nobody runs the consumer, with what waits', async () => {
    // The first look may take longer than an answer waits.
    await until(async () => (await operations.status()).problem === null);
    const { consumers, place } = await operations.status();
    expect(place).toMatchObject({ kind: 'laptop', at: state });
    expect(consumers).toMatchObject([
      {
        consumer: CONSUMER,
        verdict: expect.stringMatching(/^(OK|IDLE)$/),
        lag: 0,
        deadLetters: failing.size,
        parked: { keys: failing.size, records: parkedRecords() },
        deployedAt: null,
      },
    ]);
  });

  test('the ledgers have every record of the run, as audit accounts for them', async () => {
    const { ledger, ledgerProblem, generations, generationsProblem, look } =
      await operations.consumer(CONSUMER);
    expect([ledgerProblem, generationsProblem]).toEqual([null, null]);
    const totals = (of: 'settled' | 'deadLetters' | 'parked' | 'skipped' | 'pending') =>
      sum(ledger!.map(({ counts }) => counts[of]));
    expect(sum(ledger!.map(({ end }) => end))).toBe(published);
    expect(totals('deadLetters')).toBe(failing.size);
    expect(totals('parked')).toBe(parkedRecords());
    expect(totals('skipped') + totals('pending')).toBe(0);
    expect(totals('settled')).toBe(published - failing.size - parkedRecords());
    expect(ledger!.map(({ partition }) => partition)).toEqual(
      look.partitions.map(({ partition }) => partition),
    );
    expect(generations).toEqual([
      {
        name: CONSUMER,
        number: 1,
        isLive: true,
        lag: 0,
        state: 'live',
        commands: [`npx millrace rebuild ${CONSUMER} --state ${state}`],
      },
    ]);
  });

  test('of a folder in which nothing has run nothing is known, and every part says why', async () => {
    const nothing = join(temporary.path, 'nothing');
    const others = await open({ state: nothing });
    try {
      const why = expect.stringContaining(`npx millrace up --state ${nothing}`);
      expect(await others.consumer(CONSUMER)).toMatchObject({
        look: { verdict: 'UNKNOWN', lag: null, deadLetters: null, parked: null, evidence: [why] },
        ledger: null,
        ledgerProblem: why,
        generations: [],
        generationsProblem: why,
      });
    } finally {
      await others.close();
    }
  });

  test('a consumer that the app does not have is refused by name', async () => {
    await expect(operations.consumer('nobody')).rejects.toMatchObject({ code: 'INPUT_INVALID' });
  });

  test('the parked keys are those that wait, the longest first, page by page', async () => {
    const all = await operations.parked({});
    expect(new Map(all.items.map(({ key, records }) => [key, records]))).toEqual(
      new Map([...failing].map(([article, records]) => [article, records - 1])),
    );
    const ages = all.items.map(({ oldestAgeMs }) => oldestAgeMs!);
    expect(ages).toEqual(ages.toSorted((a, b) => b - a));
    const [first] = all.items;
    expect(first).toMatchObject({
      consumer: CONSUMER,
      topic: 'news.pageviews',
      blockedBy: expect.stringMatching(/^editorial-analytics\/news\.pageviews\/\d+\/\d+$/),
      command: `npx millrace park show --consumer ${CONSUMER} ${first!.key} --partition ${first!.partition} --state ${state}`,
    });
    expect(first!.name).toEqual({
      base64: Buffer.from(first!.key).toString('base64'),
      partition: first!.partition,
    });
    const one = await operations.parked({ limit: 1 });
    expect(one).toMatchObject({ total: failing.size, problem: null });
    const rest = await operations.parked({ limit: 50, cursor: one.next! });
    expect([...one.items, ...rest.items].map(({ key }) => key)).toEqual(all.items.map(({ key }) => key));
    expect(await operations.parked({ search: first!.key.slice(1).toUpperCase() })).toMatchObject({
      total: 1,
    });
    expect(await operations.parked({ consumer: CONSUMER })).toMatchObject({ total: failing.size });
  });

  test('the audit log has what people did, newest first, and what goes on as such', async () => {
    expect(await operations.auditLog({})).toMatchObject({ items: [], total: 0, problem: null });
    const stores = await openStores(existingStateFolder(state));
    const { objects } = stores.deadLettersOf((await loadApp()).consumers[0]!);
    const clock = createFakeClock({ startsAt: Date.now() });
    for (let n = 0; n < 3; n++) {
      const plan = { letters: n + 1, where: 'all', reason: `reason ${n}` };
      const entry = { id: `id-${n}`, action: 'discard', consumer: CONSUMER, who: 'ada', plan } as const;
      await audited({ objects, clock }, entry, async () => ({ discarded: n + 1 }));
      await clock.advance(1_000);
    }
    const going = Promise.withResolvers<Record<string, never>>();
    const redrive = { id: 'r', action: 'redrive', consumer: CONSUMER, who: 'bob', plan: {} } as const;
    const done = audited({ objects, clock }, redrive, () => going.promise);
    // A console that was opened before sees it within seconds; another at once.
    const another = await open();
    const { items, total } = await another.auditLog({ consumer: CONSUMER });
    expect(total).toBe(4);
    expect(items.map(({ action, who, endedAt }) => [action, who, endedAt === null])).toEqual([
      ['redrive', 'bob', true],
      ...Array(3).fill(['discard', 'ada', false]),
    ]);
    expect(items[1]).toMatchObject({
      consumer: CONSUMER,
      plan: 'discard of 3 letters of editorial-analytics (all), because: reason 2',
      result: expect.stringContaining('3'),
    });
    expect(items[0]!.result).toContain('no end');
    expect(new Set(items.map(({ id }) => id)).size).toBe(4);
    expect(await another.auditLog({ search: 'REASON 1' })).toMatchObject({ total: 1 });
    expect((await another.auditLog({ limit: 1, cursor: '1' })).items[0]).toEqual(items[1]);
    const { marks } = await another.consumer(CONSUMER);
    expect(marks.filter(({ kind }) => kind === 'action').map(({ text }) => text)).toEqual([
      ...Array(3).fill('discard by ada'),
      'redrive by bob',
    ]);
    going.resolve({});
    await done;
    await until(async () => (await another.auditLog({})).items[0]!.endedAt !== null);
    const key = `${AUDIT_PREFIX}2026-01-01T00:00:00.000Z-redrive-x.json`;
    await objects.put(key, Buffer.from('{"id":"x","action":"redr'));
    await until(async () => (await another.auditLog({})).total === 5);
    const { items: five, problem } = await another.auditLog({});
    expect(problem).toBeNull();
    expect(five.find(({ id }) => id === key)).toMatchObject({
      action: 'redrive',
      who: '?',
      plan: expect.stringContaining(`${key} cannot be read`),
    });
    await objects.delete([key]);
    await another.close();
    await stores.close();
  });

  test('while somebody else has the sink the rest is read, and the sink as soon as it can be', async () => {
    const lock = tryLockStateFolder(existingStateFolder(state), 'run')!;
    const another = await open();
    try {
      expect(await another.auditLog({})).toMatchObject({ total: 4, problem: null });
    } finally {
      lock.release();
    }
    await until(async () => (await another.status()).consumers[0]?.parked?.keys === failing.size);
    await another.close();
  });

  test('beside a run it asks the run, and reading takes nothing away from it', async () => {
    up = start(['up', '--no-publish', '--json', '--state', state], project);
    let line = '';
    up.stdout!.setEncoding('utf8').on('data', (text: string) => {
      line += text;
    });
    await until(async () => line.includes('\n'));
    const { console: url } = JSON.parse(line.split('\n')[0]!);
    await until(async () => {
      const { consumers } = await operations.status();
      return (
        consumers[0]?.deployedAt != null && consumers[0].evidence.some((fact) => fact.includes('millrace up'))
      );
    });
    const { ledger } = await operations.consumer(CONSUMER);
    expect(sum(ledger!.map(({ counts }) => counts.deadLetters))).toBe(failing.size);
    // The run serves the same console itself.
    const opened = await fetch(url, { redirect: 'manual' });
    const cookie = opened.headers.get('set-cookie')!.split(';')[0]!;
    const ask = async (path: string) => (await fetch(new URL(path, url), { headers: { cookie } })).json();
    expect(await ask('/api/status')).toMatchObject({
      place: { at: state, allowsActions: false },
      consumers: [{ consumer: CONSUMER }],
    });
    expect(await ask('/api/parked')).toMatchObject({ total: failing.size, problem: null });
    // The run still has its folder: nobody's look has taken its lock.
    const other = `new (require('node:sqlite').DatabaseSync)(process.argv[1]).exec('BEGIN EXCLUSIVE')`;
    const { stderr } = spawnSync(process.execPath, ['-e', other, join(state, 'lock.sqlite')]);
    expect(stderr.toString()).toContain('database is locked');
    const ended = once(up, 'exit');
    up.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
    await expect(fetch(url)).rejects.toThrow();
  });
});

/** Actions of the console on the folder of a running `up`, beside the same commands. */
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import { loadApp } from '../../../cli/app.ts';
import { type Actions, createActions } from '../../../cli/console/actions.ts';
import { type ConsoleOptions, placeOf } from '../../../cli/console/context.ts';
import { chooseConsumer, inDlqSession } from '../../../cli/dlq/session.ts';
import { run } from '../../../cli/main.ts';
import { withWaitingKeys } from '../../../cli/park/keys.ts';
import type { ActionRequest, ActionState } from '../../../console/operations.ts';
import { existingStateFolder, lockLetters, openStateFolder } from '../../../local/state-folder.ts';
import { openStores } from '../../../local/stores.ts';
import { type AuditEntry, readAuditLog } from '../../../runtime/dead-letters/audit-log.ts';
import { ledgerOwner } from '../../../runtime/replay/ledgers.ts';
import { allPages } from '../../../runtime/replay/waiting-keys.ts';
import { deadLetter } from '../../dead-letters.ts';
import type { Pageview } from '../../fixtures/newsdesk/contracts/news.pageviews/schema.ts';
import { createTraffic } from '../../fixtures/newsdesk/demo.ts';
import { copyNewsdesk } from '../../newsdesk.ts';
import { placeSink } from '../../prepared-pglite.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';
import { start, until } from '../millrace.ts';

// Another process runs the consumer, and a busy machine is slow.
jest.setTimeout(240_000);

const CONSUMER = 'editorial-analytics';
const TOPIC = 'news.pageviews';

describe('actions of the console', () => {
  const before = process.cwd();
  let temporary: ReturnType<typeof createTemporaryFolder>;
  let state: string;
  /** While this file is there, the handler fails the articles below. */
  let bug: string;
  let articles: readonly string[];
  let up: ReturnType<typeof start>;
  let actions: Actions;
  const forgotten: string[] = [];

  const open = async (options: Partial<ConsoleOptions> = { allowActions: true }) => {
    const app = await loadApp();
    const all = { state, ...options };
    return createActions(
      { app, options: all, place: placeOf(app, all) },
      { forget: (consumer) => forgotten.push(consumer) },
    );
  };

  beforeAll(async () => {
    temporary = createTemporaryFolder();
    const project = join(temporary.path, 'project');
    state = join(temporary.path, 'state');
    bug = join(temporary.path, 'bug');
    writeFileSync(bug, '');
    placeSink(state);
    const traffic = createTraffic(createSeededRandom(11));
    const views = Array.from(
      { length: 500 },
      (_, n): Pageview => traffic.next(Date.UTC(2026, 0, 1) + n * 40),
    );
    const input = join(temporary.path, 'views.jsonl');
    writeFileSync(input, views.map((view) => JSON.stringify(view)).join('\n'));
    const counts = Map.groupBy(views, ({ contentId }) => contentId);
    articles = [...counts].flatMap(([id, of]) => (of.length >= 3 ? [id] : [])).slice(0, 16);
    copyNewsdesk(project);
    const file = join(project, 'lambdas/editorial-analytics/consumer.ts');
    const text = readFileSync(file, 'utf8')
      .replace(/^ *onOvertaken: 'apply',.*\n/m, '')
      .replace("sink: 'postgres',", "sink: 'postgres', onDeadLetter: 'park-key', breaker: false,")
      .replace(
        'if (!isTime(occurredAt)) {',
        `if (!isTime(occurredAt) || (existsSync(${JSON.stringify(bug)}) && ${JSON.stringify(articles)}.includes(contentId))) {`,
      );
    writeFileSync(file, `import { existsSync } from 'node:fs';\n${text}`);
    up = start(['up', '--input', input, '--seed', '3', '--state', state], project);
    process.chdir(project);
    await until(async () => existsSync(join(state, 'queues.sqlite')));
    await until(async () => (await letters()).length === articles.length);
    actions = await open();
  });
  afterAll(async () => {
    await actions.close();
    process.chdir(before);
    const ended = once(up, 'exit');
    up.kill('SIGINT');
    if (up.exitCode === null) await ended;
    temporary.remove();
  });

  const inSession = async <Result>(work: Parameters<typeof inDlqSession<Result>>[2]) =>
    inDlqSession(await chooseConsumer(CONSUMER, { state }), { state }, work);
  const letters = () =>
    inSession(async ({ resources }) => {
      const ids: string[] = [];
      for await (const copy of resources.reader.scan()) if ('letter' in copy) ids.push(copy.letter.id);
      return ids;
    });
  const audit = () => inSession(async ({ resources }) => readAuditLog(resources.objects));
  const newest = async (): Promise<AuditEntry> => (await audit()).at(-1)!;
  /** The command line, in this process. */
  const command = async (...args: string[]) => {
    const written: string[] = [];
    const silent = (text: unknown) => written.push(String(text)) > 0;
    const spies = [process.stdout, process.stderr].map((stream) =>
      jest.spyOn(stream, 'write').mockImplementation(silent as typeof stream.write),
    );
    try {
      const code = await run([...args, '--state', state, '--yes']);
      return { code, text: written.join('') };
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
  };
  const redrive = (where: string, more: Partial<Extract<ActionRequest, { kind: 'redrive' }>> = {}) =>
    ({
      kind: 'redrive',
      consumer: CONSUMER,
      where,
      allowOvertaken: false,
      canary: 0,
      rate: 100,
      maxFailures: 20,
      ...more,
    }) satisfies ActionRequest;
  const discard = (where: string, reason = 'a load test') =>
    ({ kind: 'discard', consumer: CONSUMER, where, reason }) satisfies ActionRequest;
  const seen = (id: string) => actions.list().find((each) => each.id === id)!;
  const ended = async ({ id }: ActionState) => {
    await until(async () => seen(id).endedAt !== null);
    return seen(id);
  };
  const done = async (request: ActionRequest) => ended(await actions.start(request, CONSUMER));
  /** An entry without what differs from one action to the next. */
  const alike = ({ id: _, begunAt: _b, endedAt, plan, result, progress, ...entry }: AuditEntry) => ({
    ...entry,
    hasEnded: endedAt !== null,
    plan: {
      ...plan,
      ...('export' in plan && { export: 'file' }),
      where: 'letters',
      key: 'k',
      letter: 'l',
      partition: 0,
    },
    result: { ...result, ...(result?.export !== null && { export: 'file' }) },
    progress: Object.keys(progress ?? {}),
  });

  test('a plan says what would happen, and the command that does the same', async () => {
    const plan = await actions.plan(redrive('stage=handle', { canary: 2, rate: 7 }));
    expect(plan).toEqual({
      request: redrive('stage=handle', { canary: 2, rate: 7 }),
      count: articles.length,
      overtaken: 0,
      lines: [
        `Redrive ${articles.length} dead letters of ${CONSUMER} (${state})`,
        'Which: stage=handle',
        'How: 2 letters first, then the others if those were applied; at most 7 a second',
        'Stops when 20 have failed again',
      ],
      refusal: null,
      confirmation: CONSUMER,
      command:
        'npx millrace dlq redrive --where stage=handle --canary 2 --rate 7 --max-failures 20 ' +
        `--consumer ${CONSUMER} --state ${state}`,
    });
    const quoted = await actions.plan(discard('stage=handle', "it's $HOME"));
    expect(quoted.command).toContain(`--reason 'it'\\''s $HOME'`);
    expect(await actions.plan(redrive('partition=900000000'))).toMatchObject({
      count: 0,
      refusal: `No dead letters of ${CONSUMER} match partition=900000000.`,
    });
  });

  test('a time that counts back is fixed by the plan', async () => {
    const { request } = await actions.plan(redrive('since=2h'));
    expect(request).toMatchObject({ where: expect.stringMatching(/^since=\d{4}-\d\d-\d\dT[\d:.]+Z$/) });
  });

  test('nothing is done where the console only looks, for another word, without a reason, or for nonsense', async () => {
    const reader = await open({});
    expect((await reader.plan(redrive(''))).refusal).toContain('--allow-actions');
    await expect(reader.start(redrive(''), CONSUMER)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringContaining('--allow-actions'),
    });
    await expect(actions.start(redrive(''), 'editorial')).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: `You typed "editorial", not "${CONSUMER}": nothing was done.`,
    });
    expect((await actions.plan(discard('', ' '))).refusal).toContain('reason');
    await expect(actions.start(discard('', ' '), CONSUMER)).rejects.toMatchObject({
      message: expect.stringContaining('reason'),
    });
    await expect(actions.plan(redrive('code=X'))).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringContaining('Unknown condition "code=X"'),
    });
    await expect(actions.plan({ ...redrive(''), consumer: 'nobody' })).rejects.toMatchObject({
      code: 'INPUT_INVALID',
    });
    expect(await audit()).toEqual([]);
    expect(actions.list()).toEqual([]);
  });

  test('a redrive while the bug is there stops after the canary', async () => {
    const request = redrive('stage=handle', { canary: 2 });
    const begun = await actions.start(request, CONSUMER);
    expect(begun).toMatchObject({ phase: 'running', isCanary: true, planned: articles.length, sent: 0 });
    await expect(actions.start(request, CONSUMER)).rejects.toMatchObject({ code: 'STATE_IN_USE' });
    expect((await actions.plan(request)).refusal).toContain('under way');
    expect(await ended(begun)).toMatchObject({
      phase: 'failed',
      isCanary: false,
      sent: 2,
      applied: 0,
      text: expect.stringMatching(/stopped: \d of 2 failed again[\s\S]*\[REDRIVE_STOPPED\]\nTo see why: npx/),
    });
    expect(await letters()).toHaveLength(articles.length);
    expect(await newest()).toMatchObject({ action: 'redrive', result: { error: 'REDRIVE_STOPPED' } });
    expect(forgotten).toEqual([CONSUMER]);
    rmSync(bug);
  });

  test('a discard keeps what it removes, and what the command does is the same', async () => {
    const [one, other] = await letters();
    await actions.plan(discard(`id=${one}`));
    const console = await done(discard(`id=${one}`));
    expect(console).toMatchObject({ phase: 'done', planned: 1, sent: 1, applied: 1, remaining: 0 });
    const entry = await newest();
    const file = String(entry.plan.export);
    expect(console.text).toContain(`1 discarded. They are in ${file}`);
    expect(
      readFileSync(file, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).id),
    ).toEqual([one]);
    expect(await letters()).not.toContain(one);
    const { code } = await command('dlq', 'discard', '--where', `id=${other}`, '--reason', 'a load test');
    expect(code).toBe(0);
    expect(alike(entry)).toEqual(alike(await newest()));
  });

  test('a discard that is cancelled at once leaves everything where it is, and cannot be paused', async () => {
    const waiting = await letters();
    await actions.plan(discard(''));
    const { id } = await actions.start(discard(''), CONSUMER);
    expect(() => actions.steer(id, 'pause')).toThrow('Only a redrive');
    actions.steer(id, 'cancel');
    const end = await ended(seen(id));
    expect(end).toMatchObject({ phase: 'cancelled', applied: 0, remaining: waiting.length });
    expect(end.text).toContain('Cancelled before anything was discarded');
    expect(await letters()).toEqual(waiting);
    expect(await newest()).toMatchObject({ result: { discarded: 0, cancelled: true } });
  });

  test('a discard is refused while letters are given back elsewhere', async () => {
    const [one] = await letters();
    const lock = lockLetters(existingStateFolder(state), CONSUMER, 'give-back');
    expect((await actions.plan(discard(`id=${one}`))).refusal).toContain('right now');
    lock.release();
    expect((await actions.plan(discard(`id=${one}`))).refusal).toBeNull();
  });

  test('what was planned is done, and nothing that matches later', async () => {
    const poison = discard('stage=decode', 'not sent yet');
    const { length } = await letters();
    await publishPoison('one');
    await until(async () => (await letters()).length === length + 1);
    expect(await actions.plan(poison)).toMatchObject({ count: 1 });
    await publishPoison('other');
    await until(async () => (await letters()).length === length + 2);
    expect(await done({ ...poison, reason: 'not Avro' })).toMatchObject({
      planned: 1,
      applied: 1,
      arrived: 0,
    });
    expect(await newest()).toMatchObject({ plan: { letters: 1, reason: 'not Avro' } });
    expect(await letters()).toHaveLength(length + 1);
    expect(await done(poison)).toMatchObject({ planned: 1, applied: 1 });
  });

  test('keys are released, skipped and discarded as by the commands', async () => {
    const keys = await inSession((session) =>
      withWaitingKeys(session, { state }, (waiting) =>
        allPages((from) => waiting.list(ledgerOwner(session.consumer), from)),
      ),
    );
    expect(keys.length).toBeGreaterThanOrEqual(10);
    const pairs = (['release', 'skip', 'discard'] as const).map(
      (verb, at) => [verb, keys[2 * at]!, keys[2 * at + 1]!] as const,
    );
    for (const [verb, mine, theirs] of pairs) {
      const request = {
        kind: `park-${verb}`,
        consumer: CONSUMER,
        keyBase64: mine.key.toString('base64'),
        partition: mine.partition,
        reason: 'a test order',
      } satisfies ActionRequest;
      const plan = await actions.plan(request);
      expect(plan.lines[0]).toMatch(new RegExp(`^${verb} the key `, 'i'));
      expect(plan.command).toBe(
        `npx millrace park ${verb} ${mine.key} --partition ${mine.partition}` +
          `${verb === 'release' ? '' : " --reason 'a test order'"} --consumer ${CONSUMER} --state ${state}`,
      );
      const begun = await actions.start(request, CONSUMER);
      expect(() => actions.steer(begun.id, 'cancel')).toThrow('cannot be cancelled');
      expect(await ended(begun)).toMatchObject({
        phase: 'done',
        planned: plan.count,
        remaining: 0,
        text: expect.stringContaining('The key waits no longer.'),
      });
      const entry = await newest();
      const base64 = ['--key-base64', theirs.key.toString('base64')];
      const { code } = await command(
        'park',
        verb,
        ...base64,
        ...(verb === 'release' ? [] : ['--reason', 'a test order']),
      );
      expect(code).toBe(0);
      const [own, other] = [alike(entry), alike(await newest())];
      // How much waits differs from key to key.
      const counts = { parked: 0, released: 0, discarded: 0 };
      expect({ ...own, plan: { ...own.plan, ...counts }, result: { ...own.result, ...counts } }).toEqual({
        ...other,
        plan: { ...other.plan, ...counts },
        result: { ...other.result, ...counts },
      });
      expect((await actions.plan(request)).refusal).toContain('park list');
      await expect(actions.start(request, CONSUMER)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    }
  });

  test('a redrive is paused, resumed and cancelled; the same again is a new plan', async () => {
    const waiting = await letters();
    const begun = await actions.start(redrive('', { rate: 1 }), CONSUMER);
    await until(async () => seen(begun.id).sent > 0);
    expect(actions.steer(begun.id, 'pause')).toMatchObject({ phase: 'paused' });
    await publishPoison('poison');
    await until(async () => seen(begun.id).arrived === 1);
    expect(seen(begun.id)).toMatchObject({ phase: 'paused', endedAt: null });
    expect(seen(begun.id).sent).toBeLessThan(waiting.length);
    expect(actions.steer(begun.id, 'resume')).toMatchObject({ phase: 'running' });
    const { sent } = seen(begun.id);
    await until(async () => seen(begun.id).sent > sent);
    actions.steer(begun.id, 'cancel');
    expect(() => actions.steer(begun.id, 'resume')).toThrow('It is being cancelled.');
    const end = await ended(begun);
    expect(end).toMatchObject({ phase: 'cancelled', planned: waiting.length, failed: 0, arrived: 1 });
    expect(end.applied).toBe(end.sent);
    // The letters of keys that were released are overtaken by what was parked behind them.
    expect(end.overtaken).toBe(2);
    expect(end.remaining).toBe(waiting.length - end.overtaken - end.sent);
    expect(end.text).toContain('cannot be taken back');
    expect(end.text).toContain(`${end.remaining} not sent (they stay dead letters)`);
    expect(await newest()).toMatchObject({ result: { cancelled: true, sent: end.sent } });
    expect(() => actions.steer(begun.id, 'pause')).toThrow('The action has ended.');
    expect(() => actions.steer('another', 'pause')).toThrow('no such action');

    const again = await actions.plan(redrive(''));
    expect(again.lines[0]).toMatch(/^Redrive /);
    expect(again.count).toBe(end.remaining + 1);
  });

  test('a redrive goes into the audit log as the command’s does', async () => {
    const [one, other] = (await letters()).toReversed();
    expect(await done(redrive(`id=${one}`))).toMatchObject({ phase: 'done' });
    const entry = await newest();
    await command('dlq', 'redrive', '--where', `id=${other}`, '--canary', '0');
    const [own, theirs] = [alike(entry), alike(await newest())];
    const outcome = { applied: 0, failed: 0 };
    expect({ ...own, result: { ...own.result, ...outcome } }).toEqual({
      ...theirs,
      result: { ...theirs.result, ...outcome },
    });
  });

  test('closing cancels what is under way, and the newest action is listed first', async () => {
    const other = await open();
    const begun = await other.start(redrive('', { rate: 1 }), CONSUMER);
    await other.close();
    expect(other.list()[0]).toMatchObject({ id: begun.id, endedAt: expect.any(Number) });
    await expect(other.start(redrive(''), CONSUMER)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    const times = actions.list().map(({ startedAt }) => startedAt);
    expect(times).toEqual(times.toSorted((a, b) => b - a));
  });

  test('letters of a consumer that is no longer declared are given to nobody, and can be discarded', async () => {
    const path = join(temporary.path, 'other');
    const stores = await openStores(openStateFolder(path));
    const gone = { ...(await loadApp()).consumers[0]!, name: 'gone' };
    await stores.deadLettersOf(gone).store.put([deadLetter({ consumer: 'gone', topic: TOPIC })]);
    await stores.close();
    const others = await open({ state: path, allowActions: true });
    const request = { ...redrive(''), consumer: 'gone' };
    expect(await others.plan(request)).toMatchObject({
      count: 0,
      refusal: expect.stringContaining('gone is no longer declared'),
      confirmation: 'gone',
    });
    await expect(others.start(request, 'gone')).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    expect(await others.plan({ ...discard(''), consumer: 'gone' })).toMatchObject({
      count: 1,
      refusal: null,
    });
  });

  async function publishPoison(key: string): Promise<void> {
    const stores = await openStores(existingStateFolder(state));
    await stores.log.send(TOPIC, [{ key: Buffer.from(key), value: Buffer.from('{}') }]);
    await stores.close();
  }
});

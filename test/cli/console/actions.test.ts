/** Actions of the console on the folder of a running `up`, beside the same commands. */
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import { systemClock } from '../../../adapters/system/system-clock.ts';
import { loadApp } from '../../../cli/app.ts';
import { type Actions, createActions, keptPlans } from '../../../cli/console/actions.ts';
import { type ConsoleOptions, placeOf } from '../../../cli/console/context.ts';
import { createFailures, type Failures } from '../../../cli/console/failures.ts';
import { chooseConsumer, inDlqSession } from '../../../cli/dlq/session.ts';
import { run } from '../../../cli/main.ts';
import { withWaitingKeys } from '../../../cli/park/keys.ts';
import type { ActionPlan, ActionRequest, ActionState } from '../../../console/operations.ts';
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

test('plans are kept as long as they hold little memory, and the newest in any case', () => {
  const plans = [70, 1, 1].map((megabytes) => ({ plannedAt: 0, action: { heldBytes: megabytes * 1e6 } }));
  expect(keptPlans(plans, 0)).toEqual(plans.slice(0, 1));
  expect(keptPlans(plans.toReversed(), 0)).toEqual(plans.slice(1));
  // As it is of a plan of 100,000 letters.
  const large = new Array(8).fill({ plannedAt: 0, action: { heldBytes: 24e6 } });
  expect(keptPlans(large, 0)).toHaveLength(2);
});

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
  const opened: Failures[] = [];

  const open = async (options: Partial<ConsoleOptions> = { allowActions: true }, clock = systemClock) => {
    const app = await loadApp();
    const all = { state, ...options };
    const context = { app, options: all, place: placeOf(app, all) };
    const failures = createFailures(context);
    opened.push(failures);
    const forget = (consumer: string) => {
      forgotten.push(consumer);
      failures.forget(consumer);
    };
    return createActions(context, { ...failures, forget }, clock);
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
    for (const failures of opened) await failures.close();
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
  const audit = () => inSession(async ({ resources }) => (await readAuditLog(resources.objects)).entries);
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
  /** Planned and confirmed in one go. */
  const begin = async (request: ActionRequest, on = actions) =>
    on.start((await on.plan(request)).id, request, CONSUMER);
  const done = async (request: ActionRequest) => ended(await begin(request));
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
      id: expect.any(String),
      request: redrive('stage=handle', { canary: 2, rate: 7 }),
      count: articles.length,
      leftOut: 0,
      overtaken: 0,
      lines: [`Redrive ${articles.length} dead letters of ${CONSUMER} (${state})`, 'Which: stage=handle'],
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

  test('a plan without a reason is none that is refused, and its command has a place for one', async () => {
    const { length } = articles;
    const plan = await actions.plan(discard('', ' '));
    expect(plan).toMatchObject({ refusal: null, count: length });
    expect(plan.command).toContain(" --reason '<why>' ");
  });

  test('a start does what a plan said, and no other selection', async () => {
    const plan = await actions.plan(redrive('stage=handle'));
    const others = [
      redrive(''),
      redrive('stage=handle', { allowOvertaken: true }),
      { ...redrive('stage=handle'), consumer: 'order-totals' },
      discard('stage=handle'),
    ];
    for (const other of others)
      await expect(actions.start(plan.id, other, CONSUMER)).rejects.toMatchObject({
        code: 'INPUT_INVALID',
        message: expect.stringMatching(/another selection.*Plan it again\.$/),
      });
    await expect(actions.start('none', redrive(''), CONSUMER)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringMatching(/no longer known.*Plan it again\.$/),
    });
    expect(actions.list()).toEqual([]);
  });

  test('a plan is forgotten after an hour, and behind eight newer ones', async () => {
    const clock = { ...systemClock, ms: 0, now: () => clock.ms };
    const own = await open({ allowActions: true }, clock);
    const request = redrive('stage=handle');
    const isKnown = ({ id }: { readonly id: string }) =>
      own.start(id, request, 'another word').catch(({ message }) => message.startsWith('You typed'));
    const old = await own.plan(request);
    clock.ms = 3_599_999;
    expect(await isKnown(old)).toBe(true);
    clock.ms = 3_600_000;
    expect(await isKnown(old)).toBe(false);
    const plans = [];
    for (let n = 0; n < 9; n++) plans.push(await own.plan(request));
    expect(await Promise.all(plans.map(isKnown))).toEqual([false, ...new Array(8).fill(true)]);
  });

  test('nothing is done where the console only looks, for another word, without a reason, or for nonsense', async () => {
    const reader = await open({});
    expect((await reader.plan(redrive(''))).refusal).toContain('--allow-actions');
    await expect(begin(redrive(''), reader)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringContaining('--allow-actions'),
    });
    const all = await actions.plan(redrive(''));
    await expect(actions.start(all.id, redrive(''), 'editorial')).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: `You typed "editorial", not "${CONSUMER}": nothing was done.`,
    });
    await expect(begin(discard('', ' '))).rejects.toMatchObject({
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
    const plan = await actions.plan(request);
    const begun = await actions.start(plan.id, request, CONSUMER);
    expect(begun).toMatchObject({ phase: 'running', isCanary: true, planned: articles.length, sent: 0 });
    await expect(actions.start(plan.id, request, CONSUMER)).rejects.toMatchObject({ code: 'STATE_IN_USE' });
    expect((await actions.plan(request)).refusal).toContain('under way');
    expect(await ended(begun)).toMatchObject({
      phase: 'failed',
      isCanary: false,
      sent: 2,
      applied: 0,
      text: expect.stringMatching(/stopped: \d of 2 failed again[\s\S]*\[REDRIVE_STOPPED\]\nTo see why: npx/),
    });
    await expect(actions.start(plan.id, request, CONSUMER)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    expect(await letters()).toHaveLength(articles.length);
    expect(await newest()).toMatchObject({ action: 'redrive', result: { error: 'REDRIVE_STOPPED' } });
    expect(forgotten).toEqual([CONSUMER]);
    rmSync(bug);
  });

  test('a discard keeps what it removes, and what the command does is the same', async () => {
    const [one, other] = await letters();
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
    const { id } = await begin(discard(''));
    expect(() => actions.steer(id, 'pause')).toThrow('Only a redrive');
    actions.steer(id, 'cancel');
    const end = await ended(seen(id));
    expect(end).toMatchObject({ phase: 'cancelled', applied: 0, remaining: waiting.length });
    expect(end.text).toContain('Cancelled before anything was discarded');
    expect(await letters()).toEqual(waiting);
    expect(await newest()).toMatchObject({ result: { discarded: 0, cancelled: true } });
  });

  test('a plan locks nobody out; a discard does nothing while letters are given back elsewhere', async () => {
    const [one] = await letters();
    for (const to of ['give-back', 'take-away'] as const) {
      const lock = lockLetters(existingStateFolder(state), CONSUMER, to);
      expect((await actions.plan(discard(`id=${one}`))).refusal).toBeNull();
      expect((await actions.plan(redrive(`id=${one}`))).refusal).toBeNull();
      expect(await done(discard(`id=${one}`))).toMatchObject({
        phase: 'failed',
        text: expect.stringMatching(/Nothing was done\..*\[STATE_IN_USE\]$/),
      });
      lock.release();
    }
    expect(await letters()).toContain(one);
  });

  test('what was planned is done, and nothing that matches later', async () => {
    const poison = discard('stage=decode', 'not sent yet');
    const { length } = await letters();
    await publishPoison('one');
    await until(async () => (await letters()).length === length + 1);
    const plan = await actions.plan(poison);
    expect(plan).toMatchObject({ count: 1 });
    await publishPoison('other');
    await until(async () => (await letters()).length === length + 2);
    const begun = await actions.start(plan.id, { ...poison, reason: 'not Avro' }, CONSUMER);
    expect(await ended(begun)).toMatchObject({
      planned: 1,
      applied: 1,
      arrived: 0,
    });
    expect(await newest()).toMatchObject({ plan: { letters: 1, reason: 'not Avro' } });
    expect(await letters()).toHaveLength(length + 1);
    expect(await done(poison)).toMatchObject({ planned: 1, applied: 1 });
  });

  test('each of two tabs discards what its own plan has, and what is gone counts as gone', async () => {
    const poison = discard('stage=decode', 'not Avro');
    const { length } = await letters();
    const arrive = async (...keys: readonly string[]) => {
      const before = (await letters()).length;
      for (const key of keys) await publishPoison(key);
      await until(async () => (await letters()).length === before + keys.length);
    };
    const finish = async ({ id }: ActionPlan) => ended(await actions.start(id, poison, CONSUMER));
    await arrive('1', '2');
    const [a, b] = [await actions.plan(poison), await actions.plan(poison)];
    await finish(a);
    await arrive('3');
    const gone = await finish(b);
    expect(gone).toMatchObject({ phase: 'done', planned: 2, applied: 0, remaining: 0 });
    expect(gone.text).toMatch(/^Nothing to do: all 2 are gone/);
    expect(await letters()).toHaveLength(length + 1);
    const c = await actions.plan(poison);
    await arrive('4');
    const d = await actions.plan(poison);
    expect([c.count, d.count]).toEqual([1, 2]);
    expect(await finish(c)).toMatchObject({ planned: 1, applied: 1, remaining: 0 });
    expect(await letters()).toHaveLength(length + 1);
    const last = await finish(d);
    expect(last).toMatchObject({ planned: 2, applied: 1, remaining: 0 });
    expect(last.text).toMatch(/^1 of 2 were gone\./);
    expect(await letters()).toHaveLength(length);
  });

  const waitingKeys = () =>
    inSession((session) =>
      withWaitingKeys(session, { state }, (waiting) =>
        allPages((from) => waiting.list(ledgerOwner(session.consumer), from)),
      ),
    );

  test('keys are released, skipped and discarded as by the commands', async () => {
    const keys = await waitingKeys();
    expect(keys.length).toBeGreaterThanOrEqual(10);
    const pairs = (['release', 'skip', 'discard'] as const).map(
      (verb, at) => [verb, keys[2 * at]!, keys[2 * at + 1]!] as const,
    );
    for (const [verb, mine, theirs] of pairs) {
      const request = {
        kind: `park-${verb}`,
        consumer: CONSUMER,
        key: { base64: mine.key.toString('base64'), partition: mine.partition },
        reason: 'a test order',
      } satisfies ActionRequest;
      const plan = await actions.plan(request);
      expect(plan.lines[0]).toMatch(new RegExp(`^${verb} the key `, 'i'));
      expect([plan.count, plan.parked]).toEqual(
        verb === 'discard' ? [mine.records + 1, mine.records] : [mine.records, undefined],
      );
      expect(plan.command).toBe(
        `npx millrace park ${verb} ${mine.key} --partition ${mine.partition}` +
          `${verb === 'release' ? '' : " --reason 'a test order'"} --consumer ${CONSUMER} --state ${state}`,
      );
      // As of a key that is hidden.
      const letter = `${CONSUMER}/${TOPIC}/${mine.partition}/${mine.blockedBy}`;
      const byLetter = await actions.plan({ ...request, key: { letter } });
      expect({ ...byLetter, id: plan.id, request }).toEqual({
        ...plan,
        command: plan.command.replace(`${mine.key} --partition ${mine.partition}`, `--letter ${letter}`),
      });
      const begun = await actions.start(plan.id, request, CONSUMER);
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
      await expect(begin(request)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    }
  });

  test('a discard of a key that was released meanwhile says what did not wait any more', async () => {
    const key = (await waitingKeys()).at(-1)!;
    const request = {
      kind: 'park-discard',
      consumer: CONSUMER,
      key: { base64: key.key.toString('base64'), partition: key.partition },
      reason: 'a test order',
    } satisfies ActionRequest;
    const plan = await actions.plan(request);
    const { code } = await command('park', 'release', '--key-base64', request.key.base64);
    expect(code).toBe(0);
    const end = await ended(await actions.start(plan.id, request, CONSUMER));
    expect(end).toMatchObject({ phase: 'done', planned: plan.count, failed: 0 });
    expect(end.remaining).toBe(plan.count - end.applied);
    expect(end.remaining).toBeGreaterThanOrEqual(key.records);
    expect(end.text).toMatch(
      /^\d records? discarded\..*\n\d+ records? of the plan did not wait with the key any more/,
    );
  });

  test('a plan counts what it acts on, and tells of overtaken letters whether it has them', async () => {
    const { length } = await letters();
    // Those of keys that were released are overtaken by what was parked behind them.
    expect(await actions.plan(redrive(''))).toMatchObject({ count: length - 2, leftOut: 2, overtaken: 0 });
    const allowed = redrive('', { allowOvertaken: true });
    expect(await actions.plan(allowed)).toMatchObject({ count: length, leftOut: 0, overtaken: 2 });
    expect(await actions.plan(redrive('overtaken=yes'))).toMatchObject({
      count: 0,
      leftOut: 2,
      refusal: expect.stringContaining('Nothing to do'),
    });
    expect(await actions.plan(discard(''))).toMatchObject({ count: length, leftOut: 0, overtaken: 0 });
  });

  test('a redrive is paused, resumed and cancelled; the same again is a new plan', async () => {
    const waiting = await letters();
    const begun = await begin(redrive('', { rate: 1 }));
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
    const begun = await begin(redrive('', { rate: 1 }), other);
    await other.close();
    expect(other.list()[0]).toMatchObject({ id: begun.id, endedAt: expect.any(Number) });
    await expect(begin(redrive(''), other)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
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
    const plan = await others.plan(request);
    expect(plan).toMatchObject({
      count: 0,
      refusal: expect.stringContaining('gone is no longer declared'),
      confirmation: 'gone',
    });
    await expect(others.start(plan.id, request, 'gone')).rejects.toMatchObject({ code: 'INPUT_INVALID' });
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

import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { existingStateFolder, isRunning, lockLetters, openStateFolder } from '../../local/state-folder.ts';
import { openStores } from '../../local/stores.ts';
import { AUDIT_PREFIX } from '../../runtime/dead-letters/audit-log.ts';
import { encodeDeadLetter } from '../../runtime/dead-letters/json-envelope.ts';
import { PAYLOAD_PREFIX } from '../../runtime/dead-letters/queue-letters.ts';
import { deadLetter } from '../dead-letters.ts';
import type { Pageview } from '../fixtures/newsdesk/contracts/news.pageviews/schema.ts';
import { createTraffic } from '../fixtures/newsdesk/demo.ts';
import { editorialAnalytics } from '../fixtures/newsdesk/lambdas/editorial-analytics/consumer.ts';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { finished, millrace, millraceJson, start, TABLES, until } from './millrace.ts';

// Each step is a process or several, and some of them start a PostgreSQL.
jest.setTimeout(120_000);

/** Each step is a command of its own on the same folder, as a person gives them; they build on one another. */
describe('dead letters, from the command line', () => {
  let temporary: ReturnType<typeof createTemporaryFolder>;
  let state: string[];
  let other: string[];
  let input: string;
  /** The article whose records fail, and how many they are. */
  let article: string;
  let failing: number;

  beforeAll(async () => {
    temporary = createTemporaryFolder();
    state = ['--state', join(temporary.path, 'state')];
    other = ['--state', join(temporary.path, 'other')];
    for (const [, path] of [state, other]) placeSink(path!);
    const traffic = createTraffic(createSeededRandom(11));
    const views = Array.from(
      { length: 600 },
      (_, n): Pageview => traffic.next(Date.UTC(2026, 0, 1) + n * 40),
    );
    const counts = [...Map.groupBy(views, ({ contentId }) => contentId)].map(
      ([id, of]) => [id, of.length] as const,
    );
    [article, failing] = counts.find(([, n]) => n >= 8 && n <= 25)!;
    input = join(temporary.path, 'pageviews.jsonl');
    writeFileSync(input, views.map((view) => JSON.stringify(view)).join('\n'));
  });
  afterAll(() => temporary.remove());

  const groups = async () => {
    const triage: { groups: { errorCode: string; stage: string; topic: string; count: number }[] } =
      await millraceJson(['dlq', 'triage', ...state]);
    return triage.groups;
  };
  const countOf = async (code: string) =>
    (await groups()).find(({ errorCode }) => errorCode === code)?.count ?? 0;
  const poison = async () =>
    (await groups()).filter(({ stage }) => stage === 'decode').reduce((sum, { count }) => sum + count, 0);

  let poisoned: number;
  test('a handler with a bug, and poison, make two kinds of them', async () => {
    const up = ['up', '--input', input, '--exit-when-drained', '--seed', '3', ...state];
    const report = await millraceJson([...up, '--poison', '0.02', '--fail', `contentId=${article}`]);
    poisoned = report.poisoned;
    expect(poisoned).toBeGreaterThan(5);
    expect(report).toMatchObject({ published: 600, deadLettered: poisoned + failing, lag: 0 });
    expect(await countOf('HANDLER_FAILED')).toBe(failing);
    expect(await poison()).toBe(poisoned);
    expect(await groups()).toContainEqual(
      expect.objectContaining({
        errorCode: 'HANDLER_FAILED',
        stage: 'handle',
        topic: 'news.pageviews',
        partition: expect.any(Number),
        firstSeenAt: expect.any(Number),
        lastSeenAt: expect.any(Number),
      }),
    );
  });

  test('triage shows no values unless it is asked to', async () => {
    const masked = await millrace(['dlq', 'triage', '--where', 'error=HANDLER_FAILED', ...state]);
    expect(masked.stdout).toMatch(new RegExp(`1 +${failing} 100% {2}HANDLER_FAILED {2}Error`));
    expect(masked.stdout).toMatch(/partition \d+ {3}news\.pageviews/);
    expect(masked.stdout).toContain(
      `npx millrace dlq redrive --consumer editorial-analytics --where error=HANDLER_FAILED ${state.join(' ')}`,
    );
    expect(masked.stdout).not.toContain('"contentId"');
    const { groups } = await millraceJson(['dlq', 'triage', '--where', 'error=HANDLER_FAILED', ...state]);
    expect(groups[0].sample.value).toContain(`"contentId":"<string of ${article.length}>"`);
    expect(groups[0]).toMatchObject({ errorName: 'Error', location: null, keys: [{ count: failing }] });
    const shown = await millrace([
      'dlq',
      'triage',
      '--where',
      'error=HANDLER_FAILED',
      '--show-values',
      ...state,
    ]);
    expect(shown.stdout).toContain(`"contentId":"${article}"`);
  });

  test('list and show have the value by its writer’s schema beside the bytes', async () => {
    const [letter] = await millraceJson([
      'dlq',
      'list',
      '--where',
      'error=HANDLER_FAILED',
      '--limit',
      '1',
      ...state,
    ]);
    expect(letter.decoded).toMatchObject({ contentId: article });
    const shown = await millraceJson(['dlq', 'show', letter.id, ...state]);
    expect(shown).toEqual(letter);
    const { stdout } = await millrace(['dlq', 'show', letter.id, ...state]);
    expect(stdout).toContain(`"contentId":"${article}"`);
    expect(stdout).toMatch(/000000 {2}03 00/);
  });

  test('a redrive while the bug is there tries a few, and stops', async () => {
    const up = start(['up', '--no-publish', '--fail', `contentId=${article}`, ...state]);
    const ended = once(up, 'exit');
    try {
      await until(async () => (await millrace(['sql', 'select 1', ...state])).code === 0);
      const { code, stderr } = await millrace([
        'dlq',
        'redrive',
        '--where',
        'error=HANDLER_FAILED',
        '--canary',
        '2',
        '--yes',
        ...state,
      ]);
      expect(stderr).toMatch(/stopped: \d of 2 failed again.*\[REDRIVE_STOPPED\]/s);
      expect(code).toBe(1);
    } finally {
      up.kill('SIGINT');
      await ended;
    }
    expect(await countOf('HANDLER_FAILED')).toBe(failing);
    const again = (await millraceJson(['dlq', 'list', '--where', 'error=HANDLER_FAILED', ...state])).filter(
      (letter: { failure: { earlier: unknown[] } }) => letter.failure.earlier.length > 0,
    );
    expect(again).toHaveLength(2);
    expect(again[0].failure).toMatchObject({
      attempts: 6,
      earlier: [{ code: 'HANDLER_FAILED', stage: 'handle' }],
    });
  });

  test('asks before it does anything, and takes nothing that makes no sense', async () => {
    const unasked = await millrace(['dlq', 'redrive', ...state]);
    expect(unasked).toMatchObject({ code: 2, stderr: expect.stringContaining('nobody can be asked here') });
    const wrong = await millrace(['dlq', 'redrive', '--where', 'code=X', '--yes', ...state]);
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('Unknown condition "code=X"') });
    const nobody = await millrace(['dlq', 'triage', '--consumer', 'nobody', ...state]);
    expect(nobody).toMatchObject({ code: 1, stderr: expect.stringContaining('[INPUT_INVALID]') });
    expect(await countOf('HANDLER_FAILED')).toBe(failing);
  });

  test('with the bug fixed, a redrive that is killed again and again applies exactly that group', async () => {
    const redrive = [
      'dlq',
      'redrive',
      '--where',
      'error=HANDLER_FAILED',
      '--rate',
      '4',
      '--canary',
      '1',
      '--yes',
      '--json',
      ...state,
    ];
    for (let kill = 0; kill < 2; kill++) {
      const before = await countOf('HANDLER_FAILED');
      const child = start(redrive);
      const exited = once(child, 'exit');
      await until(async () => (await lettersLeft(state)) < before + poisoned);
      child.kill('SIGKILL');
      await exited;
    }
    expect(await countOf('HANDLER_FAILED')).toBeGreaterThan(0);
    const { code, stdout, stderr } = await millrace(redrive);
    expect(stderr).toMatch(/Going on with redrive .*: \d+ of \d+ were sent/);
    expect(code).toBe(0);
    const report = JSON.parse(stdout);
    expect(report).toMatchObject({ planned: failing, failed: 0, remaining: 0 });
    expect(report.applied + report.alreadyApplied).toBe(failing);

    await millraceJson(['up', '--input', input, '--exit-when-drained', ...other]);
    expect(await millraceJson(['sql', TABLES, ...state])).toEqual(
      await millraceJson(['sql', TABLES, ...other]),
    );
  });

  test('again it changes nothing, and the poison is where it was', async () => {
    expect(
      await millraceJson(['dlq', 'redrive', '--where', 'error=HANDLER_FAILED', '--yes', ...state]),
    ).toEqual({
      planned: 0,
      applied: 0,
      alreadyApplied: 0,
      failed: 0,
      overtaken: 0,
      remaining: 0,
    });
    expect(await poison()).toBe(poisoned);
  });

  test('what is exported, discarded and imported is the same again', async () => {
    const file = join(temporary.path, 'letters.jsonl');
    await millrace(['dlq', 'export', '--output', file, ...state]);
    const before = await millraceJson(['dlq', 'list', ...state]);
    const refused = await millrace(['dlq', 'discard', '--yes', ...state]);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('--reason') });

    const lock = lockLetters(existingStateFolder(state[1]!), editorialAnalytics.name, 'give-back');
    const held = await millrace(['dlq', 'discard', '--reason', 'a load test', '--yes', ...state]);
    expect(held).toMatchObject({ code: 1, stderr: expect.stringContaining('Nothing was done.') });
    lock.release();

    const discarded = await millraceJson(['dlq', 'discard', '--reason', 'a load test', '--yes', ...state]);
    expect(discarded).toEqual({ discarded: poisoned, export: expect.stringContaining('discarded-') });
    expect(readFileSync(discarded.export, 'utf8')).toBe(readFileSync(file, 'utf8'));
    expect(await groups()).toEqual([]);

    // As an editor on Windows saves it.
    writeFileSync(file, `\ufeff${readFileSync(file, 'utf8')}`);
    expect(await millraceJson(['dlq', 'import', '--input', file, ...state])).toEqual({ imported: poisoned });
    expect(await millraceJson(['dlq', 'list', ...state])).toEqual(before);
  });

  test('moved as the SQS console does, they come back as dead letters: poison stays poison', async () => {
    expect(await millraceJson(['dlq', 'move', '--rate', '500', '--yes', ...state])).toEqual({
      moved: poisoned,
    });
    expect(await groups()).toEqual([]);
    const up = start(['up', '--no-publish', ...state]);
    const ended = once(up, 'exit');
    await until(async () => (await lettersLeft(state)) === poisoned);
    up.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
    expect(await poison()).toBe(poisoned);
  });

  test('everything that was done is in the audit log', async () => {
    const entries = await millraceJson(['dlq', 'audit', ...state]);
    expect(
      entries.map(({ action, result }: { action: string; result: unknown }) => [action, result]),
    ).toEqual([
      ['redrive', expect.objectContaining({ error: 'REDRIVE_STOPPED' })],
      ['redrive', null],
      ['redrive', null],
      ['redrive', expect.objectContaining({ planned: failing, failed: 0 })],
      ['discard', expect.objectContaining({ discarded: poisoned })],
      ['import', { imported: poisoned }],
      ['move', { moved: poisoned }],
    ]);
    expect(entries.at(-3).plan).toMatchObject({ reason: 'a load test', where: 'all' });

    const stores = await openStores(existingStateFolder(state[1]!));
    const { objects } = stores.deadLettersOf(editorialAnalytics);
    const key = `${AUDIT_PREFIX}2026-01-01T00:00:00.000Z-redrive-x.json`;
    await objects.put(key, Buffer.from('{"id":"x"'));
    const told = await millrace(['dlq', 'audit', '--json', ...state]);
    expect(told).toMatchObject({ code: 1, stderr: expect.stringContaining(`${key} cannot be read`) });
    expect(JSON.parse(told.stdout)).toEqual(entries);
    await objects.delete([key]);
    await stores.close();
  });
});

test('a redrive runs the consumer itself once the process that ran it has gone', async () => {
  const temporary = createTemporaryFolder();
  const state = ['--state', join(temporary.path, 'state')];
  placeSink(state[1]!);
  try {
    const traffic = createTraffic(createSeededRandom(7));
    const view = traffic.next(Date.UTC(2026, 0, 1));
    const views = Array.from({ length: 6 }, (_, n) => JSON.stringify({ ...view, eventId: `e${n}` }));
    const failing = ['up', '--input', '-', '--exit-when-drained', '--fail', `contentId=${view.contentId}`];
    await millraceJson([...failing, ...state], views.join('\n'));

    const up = start(['up', '--no-publish', ...state]);
    const gone = once(up, 'exit');
    await until(async () => isRunning(existingStateFolder(state[1]!)));
    const redriven = millraceJson(['dlq', 'redrive', '--yes', '--rate', '1', '--canary', '0', ...state]);
    await until(async () => (await lettersLeft(state)) < 6);
    up.kill('SIGINT');
    await gone;
    expect(await redriven).toMatchObject({ planned: 6, applied: 6, remaining: 0 });
  } finally {
    temporary.remove();
  }
});

test('Ctrl-C cancels a redrive: what was sent has its results, and the same command is a new redrive', async () => {
  const temporary = createTemporaryFolder();
  const state = ['--state', join(temporary.path, 'state')];
  placeSink(state[1]!);
  try {
    const traffic = createTraffic(createSeededRandom(7));
    const view = traffic.next(Date.UTC(2026, 0, 1));
    const views = Array.from({ length: 8 }, (_, n) => JSON.stringify({ ...view, eventId: `e${n}` }));
    const failing = ['up', '--input', '-', '--exit-when-drained', '--fail', `contentId=${view.contentId}`];
    await millraceJson([...failing, ...state], views.join('\n'));

    const slow = ['dlq', 'redrive', '--yes', '--rate', '1', '--canary', '0', '--json', ...state];
    const child = start(slow);
    const ended = finished(child);
    await until(async () => (await lettersLeft(state)) < 8);
    child.kill('SIGINT');
    const { code, stdout, stderr } = await ended;
    expect(code).toBe(1);
    expect(stderr).toContain('Cancelling: nothing more is sent.');
    const result = JSON.parse(stdout);
    expect(result).toMatchObject({ planned: 8, failed: 0, cancelled: true });
    expect(result.applied).toBeGreaterThan(0);
    expect(result.remaining).toBe(8 - result.applied);
    expect(await lettersLeft(state)).toBe(result.remaining);
    const [entry] = await millraceJson(['dlq', 'audit', ...state]);
    expect(entry.result).toMatchObject({ sent: result.applied, cancelled: true });

    const again = await millrace(['dlq', 'redrive', '--yes', ...state]);
    expect(again.stderr).not.toContain('Going on');
    expect(again.stdout).toContain(`${result.remaining} applied.`);
  } finally {
    temporary.remove();
  }
});

describe('letters that are not as they should be', () => {
  let temporary: ReturnType<typeof createTemporaryFolder>;
  let state: string[];
  const consumer = 'editorial-analytics';
  const topic = 'news.pageviews';
  const large = deadLetter({ consumer, topic, offset: 1, value: Buffer.alloc(900_000) });
  const small = deadLetter({ consumer, topic, offset: 2 });

  beforeAll(async () => {
    temporary = createTemporaryFolder();
    state = ['--state', temporary.path];
    const stores = await openStores(openStateFolder(temporary.path));
    const { store, objects } = stores.deadLettersOf(editorialAnalytics);
    await store.put([large, small]);
    for await (const { key } of objects.list(PAYLOAD_PREFIX)) await objects.delete([key]);
    await stores.close();
  });
  afterAll(() => temporary.remove());

  test('letters of a consumer that is no longer declared stay visible, and are given to nobody', async () => {
    const other = ['--state', join(temporary.path, 'other')];
    const stores = await openStores(openStateFolder(other[1]!));
    const gone = { ...editorialAnalytics, name: 'gone' } as typeof editorialAnalytics;
    await stores.deadLettersOf(gone).store.put([deadLetter({ consumer: 'gone', topic: 'news.pageviews' })]);
    await stores.close();
    const triage = await millrace(['dlq', 'triage', ...other]);
    expect(triage.stdout).toContain('gone (no longer declared): 1 dead letter in 1 group');
    const listed = await millraceJson(['dlq', 'list', '--consumer', 'gone', ...other]);
    expect(listed).toMatchObject([{ id: 'gone/news.pageviews/0/0' }]);
    const redrive = await millrace(['dlq', 'redrive', '--consumer', 'gone', '--yes', ...other]);
    expect(redrive).toMatchObject({ code: 1, stderr: expect.stringContaining('gone is no longer declared') });
    const unnamed = await millrace(['dlq', 'redrive', '--yes', ...other]);
    expect(unnamed.stderr).toContain(
      'Which consumer? Add --consumer editorial-analytics or --consumer gone.',
    );
    const reason = ['--reason', 'the consumer is gone', '--yes'];
    expect(await millraceJson(['dlq', 'discard', '--consumer', 'gone', ...reason, ...other])).toMatchObject({
      discarded: 1,
    });
  });

  test('list as JSON has every letter of every consumer', async () => {
    const both = ['--state', join(temporary.path, 'both')];
    const stores = await openStores(openStateFolder(both[1]!));
    const gone = { ...editorialAnalytics, name: 'gone' } as typeof editorialAnalytics;
    await stores.deadLettersOf(editorialAnalytics).store.put([small]);
    await stores
      .deadLettersOf(gone)
      .store.put([0, 1].map((offset) => deadLetter({ consumer: 'gone', topic, offset })));
    await stores.close();
    expect(await millraceJson(['dlq', 'list', ...both])).toHaveLength(3);
    expect(await millraceJson(['dlq', 'list', '--limit', '2', ...both])).toHaveLength(2);
  });

  test('a command that finds none says what it looked for', async () => {
    const { stdout } = await millrace(['dlq', 'list', '--where', 'error=NO_SUCH', ...state]);
    expect(stdout).toBe('No dead letters of editorial-analytics match error=NO_SUCH.\n');
  });

  test('one that has lost its bytes keeps nobody from the others, and can be taken away', async () => {
    const triage = await millraceJson(['dlq', 'triage', ...state]);
    expect(triage.groups).toMatchObject([{ count: 2, sample: { id: large.id, value: '(cannot be read)' } }]);
    const listed = await millraceJson(['dlq', 'list', ...state]);
    expect(listed).toMatchObject([
      { id: large.id, record: { payload: { objectKey: expect.stringContaining(large.id) } } },
      { id: small.id, record: { value: small.record.value!.toString('base64') } },
    ]);
    const shown = await millrace(['dlq', 'show', large.id, ...state]);
    expect(shown).toMatchObject({ code: 1, stderr: expect.stringContaining('[DEAD_LETTER_PAYLOAD_LOST]') });

    const discarded = await millraceJson(['dlq', 'discard', '--reason', 'a test', '--yes', ...state]);
    expect(discarded).toMatchObject({ discarded: 2 });
    const imported = await millrace(['dlq', 'import', '--input', discarded.export, ...state]);
    expect(imported).toMatchObject({ code: 0, stdout: '1 imported.\n' });
    expect(imported.stderr).toContain('1 message could not be read when exported');
  });

  test('an import reads again what the export could not read', async () => {
    const later = ['--state', join(temporary.path, 'later')];
    const stores = await openStores(openStateFolder(later[1]!));
    const { store, reader } = stores.deadLettersOf(editorialAnalytics);
    await store.put([large]);
    // The message has a pointer to the bytes, which are in an object.
    const [pointing] = await Array.fromAsync(reader.scan());
    await reader.remove([pointing!]);
    await stores.close();
    const newer = encodeDeadLetter(small).replace('"version":"1.0"', '"version":"2.0"');
    const lines = [pointing!.message!.body, encodeDeadLetter(small), newer, 'no letter', null];
    const file = lines.map((unreadable, n) => JSON.stringify({ unreadable, copy: String(n) })).join('\n');
    const imported = await millrace(['dlq', 'import', '--input', '-', ...later], file);
    expect(imported).toMatchObject({ code: 0, stdout: '2 imported.\n' });
    expect(imported.stderr).toContain('3 messages could not be read when exported');
    expect(await millraceJson(['dlq', 'list', ...later])).toMatchObject([
      { id: large.id, record: { value: large.record.value!.toString('base64') } },
      { id: small.id },
    ]);
    const foreign = JSON.stringify({
      unreadable: encodeDeadLetter(deadLetter({ consumer: 'other', topic })),
    });
    const refused = await millrace(['dlq', 'import', '--input', '-', ...later], foreign);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('Nothing was imported') });
  });

  test('what is cut, or not this consumer’s and topic’s, is not imported, and nothing beside it', async () => {
    const whole = encodeDeadLetter(small);
    const refused = async (line: string) => {
      const { code, stderr } = await millrace(
        ['dlq', 'import', '--input', '-', ...state],
        `${whole}\n${line}`,
      );
      expect([code, stderr]).toEqual([1, expect.stringMatching(/^error: -, line 2: .*Nothing was imported/)]);
      return stderr;
    };
    expect(await refused(whole.slice(0, -9))).toContain('the letter is other text; it takes JSON, whole');
    expect(await refused(encodeDeadLetter(deadLetter({ consumer: 'other', topic })))).toContain('other');
    expect(await refused(encodeDeadLetter(deadLetter({ consumer, topic: 'other' })))).toContain(
      'is of topic other; editorial-analytics reads news.pageviews',
    );
    expect(await lettersLeft(state)).toBe(1);
  });
});

/** Messages in the dead-letter queue, without the cost of a command. */
async function lettersLeft(state: readonly string[]): Promise<number> {
  const stores = await openStores(existingStateFolder(state[1]!));
  try {
    return (await Array.fromAsync(stores.deadLettersOf(editorialAnalytics).reader.scan())).length;
  } finally {
    await stores.close();
  }
}

import { once } from 'node:events';
import { cpSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { beginReplay } from '../../local/replay-journal.ts';
import { existingStateFolder, isRunning } from '../../local/state-folder.ts';
import type { ConsumerAudit } from '../../runtime/replay/audit.ts';
import type { Pageview } from '../fixtures/newsdesk/contracts/news.pageviews/schema.ts';
import { createTraffic } from '../fixtures/newsdesk/demo.ts';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace, millraceJson, start, TABLES, until } from './millrace.ts';

// Each step is a process or several, and some of them start a PostgreSQL.
jest.setTimeout(240_000);

const CONSUMER = 'editorial-analytics';
const TOPIC = 'news.pageviews';

/** Each step is a command of its own on the same folder, as a person gives them; they build on one another. */
describe('audit, find and replay, from the command line', () => {
  let temporary: ReturnType<typeof createTemporaryFolder>;
  let state: string[];
  /** A folder with the same records that nothing ever happens to. */
  let undisturbed: string[];
  let views: readonly Pageview[];
  const inputs: string[] = [];
  const traffic = createTraffic(createSeededRandom(11));

  beforeAll(async () => {
    temporary = createTemporaryFolder();
    [state, undisturbed] = ['state', 'undisturbed'].map((name) => [
      '--state',
      join(temporary.path, name),
    ]) as [string[], string[]];
    for (const [, path] of [state, undisturbed]) placeSink(path!);
    views = Array.from({ length: 900 }, (_, n) => traffic.next(Date.UTC(2026, 0, 1) + n * 40));
    for (let part = 0; part < 3; part++) {
      const input = join(temporary.path, `pageviews-${part}.jsonl`);
      const lines = views.slice(part * 300, part * 300 + 300).map((view) => JSON.stringify(view));
      writeFileSync(input, lines.join('\n'));
      inputs.push(input);
    }
  });
  afterAll(() => temporary.remove());

  const folder = () => existingStateFolder(state[1]!);
  const audit = async (): Promise<ConsumerAudit & { code: number | null }> => {
    const { code, stdout } = await millrace(['audit', CONSUMER, '--json', ...state]);
    return { ...JSON.parse(stdout), code };
  };
  const total = ({ partitions }: ConsumerAudit, of: 'applied' | 'deadLettered' | 'discarded' | 'skipped') =>
    partitions.reduce((sum, each) => sum + each[of], 0);
  const rows = (of = state) => millraceJson(['sql', TABLES, ...of]);
  const backup = () => join(temporary.path, 'backup');
  /** Puts back the sink of an earlier time; the groups' offsets stay. */
  const restore = () => {
    rmSync(folder().files.sink, { recursive: true });
    cpSync(backup(), folder().files.sink, { recursive: true });
  };
  const tamper = async (sql: string) => {
    const pglite = new PGlite(folder().files.sink);
    await pglite.exec(sql);
    await pglite.close();
  };

  /** How many bad records the first input came with, and the second. */
  let poisoned: number;
  let more: number;
  test('every offset is accounted for', async () => {
    const up = ['up', '--input', inputs[0]!, '--exit-when-drained', '--seed', '3'];
    ({ poisoned } = await millraceJson([...up, '--poison', '0.03', ...state]));
    expect(poisoned).toBeGreaterThan(3);
    const found = await audit();
    expect(found).toMatchObject({ code: 0, consumer: CONSUMER, topic: TOPIC, unaccounted: 0 });
    expect([total(found, 'applied'), total(found, 'deadLettered')]).toEqual([300, poisoned]);
    const { stdout } = await millrace(['audit', CONSUMER, ...state]);
    expect(stdout).toContain(
      `${CONSUMER}: every offset is accounted for\n${300 + poisoned} offsets of ${TOPIC}`,
    );
    expect(stdout.split('\n').filter((line) => line.length > 80 && !line.includes('npx'))).toEqual([]);
  });

  describe('was event X processed?', () => {
    test('it is in the tables', async () => {
      const { eventId, contentId } = views[17]!;
      const byValue = await millraceJson(['find', TOPIC, '--where', `eventId=${eventId}`, ...state]);
      expect(byValue.records).toEqual([
        {
          partition: expect.any(Number),
          offset: expect.any(Number),
          timestamp: expect.any(Number),
          consumers: { [CONSUMER]: 'applied' },
        },
      ]);
      const byKey = await millraceJson(['find', TOPIC, '--key', contentId, ...state]);
      expect(byKey.records).toHaveLength(
        views.slice(0, 300).filter((view) => view.contentId === contentId).length,
      );
      expect(byKey.records).toContainEqual(byValue.records[0]);
      const { stdout } = await millrace(['find', TOPIC, '--where', `eventId=${eventId}`, ...state]);
      expect(stdout).toMatch(new RegExp(`^${TOPIC}/\\d+/\\d+ .*\\n {2}${CONSUMER} {2}applied`));
      expect(stdout).not.toContain(eventId);
    });

    test('it is a dead letter, whose id leads on', async () => {
      const [letter] = await millraceJson(['dlq', 'list', '--limit', '1', ...state]);
      const { offset, partition, key } = letter.record;
      const text = Buffer.from(key, 'base64').toString();
      const { stdout } = await millrace(['find', TOPIC, '--key', text, ...state]);
      expect(stdout).toContain(`${TOPIC}/${partition}/${offset}`);
      expect(stdout).toContain(`dead-lettered  ${letter.id}`);
      expect(stdout).toContain(`npx millrace dlq show ${letter.id} ${state.join(' ')}`);
    });

    test('somebody discarded it', async () => {
      const [letter] = await millraceJson(['dlq', 'list', '--limit', '1', ...state]);
      const { partition, offset } = letter.record;
      const where = ['--where', `partition=${partition},offset=${offset}`];
      await millraceJson(['dlq', 'discard', ...where, '--reason', 'a test', '--yes', ...state]);
      const key = Buffer.from(letter.record.key, 'base64').toString();
      const { records } = await millraceJson(['find', TOPIC, '--key', key, ...state]);
      const found = records.find((each: { offset: number }) => each.offset === offset);
      expect(found.consumers).toEqual({ [CONSUMER]: 'discarded' });
      const after = await audit();
      expect(after).toMatchObject({ code: 0, unaccounted: 0 });
      expect([total(after, 'deadLettered'), total(after, 'discarded')]).toEqual([poisoned - 1, 1]);
    });

    test('the consumer has not reached it', async () => {
      const publish = ['publish', TOPIC, '--input', inputs[1]!, '--poison', '0.02', '--seed', '9'];
      ({ poisoned: more } = await millraceJson([...publish, ...state]));
      expect(more).toBeGreaterThan(2);
      const search = ['find', TOPIC, '--where', `eventId=${views[400]!.eventId}`];
      const { records } = await millraceJson([...search, ...state]);
      expect(records).toMatchObject([{ consumers: { [CONSUMER]: 'pending' } }]);
    });

    test('it was never published', async () => {
      const { code, stdout } = await millrace(['find', TOPIC, '--where', 'eventId=none', ...state]);
      expect(code).toBe(0);
      expect(stdout).toMatch(
        new RegExp(`Nothing found among ${600 + poisoned + more} records of ${TOPIC}, from \\d{4}-`),
      );
      const { stdout: byKey } = await millrace(['find', TOPIC, '--key', '/none', '--since', '1h', ...state]);
      expect(byKey).toContain('--every-partition');
    });

    test('a field that the contract lacks is refused', async () => {
      const { code, stderr } = await millrace(['find', TOPIC, '--where', 'contentID=/about', ...state]);
      expect(code).toBe(1);
      expect(stderr).toContain('Did you mean "contentId"?');
    });
  });

  describe('the sink was restored to an earlier backup, and the group’s offsets stayed', () => {
    let expected: unknown;

    test('the audit finds what the tables lack, and names the command', async () => {
      cpSync(folder().files.sink, backup(), { recursive: true });
      await millraceJson(['up', '--no-publish', '--exit-when-drained', ...state]);
      expected = await rows();
      restore();
      expect(await rows()).not.toEqual(expected);
      const { code, stdout } = await millrace(['audit', CONSUMER, ...state]);
      expect(code).toBe(2);
      expect(stdout).toContain('300 offsets UNACCOUNTED');
      expect(stdout).toContain(`npx millrace replay ${CONSUMER} --gaps ${state.join(' ')}`);
    });

    test('replay --gaps brings the tables to where they were, exactly', async () => {
      const result = await millraceJson(['replay', CONSUMER, '--gaps', '--yes', ...state]);
      expect(result).toMatchObject({
        consumer: CONSUMER,
        planned: 300 + more,
        applied: 300,
        deadLettered: more,
        deleted: 0,
        left: 0,
      });
      expect(await rows()).toEqual(expected);
      expect(await audit()).toMatchObject({ code: 0, unaccounted: 0 });
    });

    test('a second time changes nothing', async () => {
      const result = await millraceJson(['replay', CONSUMER, '--gaps', '--yes', ...state]);
      expect(result).toMatchObject({ planned: 0, applied: 0, replay: null });
      expect(await rows()).toEqual(expected);
      const [entry] = (await millraceJson(['dlq', 'audit', ...state])).filter(
        ({ action }: { action: string }) => action === 'replay',
      );
      expect(entry).toMatchObject({
        plan: { kind: 'gaps', records: 300 + more },
        result: { applied: 300, left: 0 },
      });
    });

    test('a replay that is killed goes on with its own plan', async () => {
      restore();
      const killed = start(['replay', CONSUMER, '--gaps', '--yes', '--rate', '60', ...state]);
      let said = '';
      killed.stderr!.setEncoding('utf8').on('data', (text) => {
        said += text;
      });
      await until(async () => /[1-9]\d* delivered/.test(said));
      killed.kill('SIGKILL');
      await once(killed, 'close');
      const between = await audit();
      expect(between.unaccounted).toBeGreaterThan(0);
      expect(between.unaccounted).toBeLessThan(300);
      const { code, stdout, stderr } = await millrace([
        'replay',
        CONSUMER,
        '--gaps',
        '--yes',
        '--json',
        ...state,
      ]);
      expect(code).toBe(0);
      expect(stderr).toContain(`Going on with replay ${JSON.parse(stdout).replay}`);
      expect(await rows()).toEqual(expected);
      expect(await audit()).toMatchObject({ code: 0, unaccounted: 0 });
    });

    test('what is missing since a killed plan is planned, too', async () => {
      restore();
      const { path, files } = folder();
      const of = { kind: 'gaps', consumer: CONSUMER, epoch: 1, at: path, sink: path } as const;
      // All of its own is applied.
      const { plan } = beginReplay(files.replays, { ...of, ranges: [] });
      const { code, stdout } = await millrace(['replay', CONSUMER, '--gaps', '--yes', '--json', ...state]);
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ replay: plan.id, left: 0 });
      expect(JSON.parse(stdout).planned).toBeGreaterThan(0);
      expect(await audit()).toMatchObject({ code: 0, unaccounted: 0 });
    });
  });

  test('beside a running up that has jumped ahead, nothing is applied twice', async () => {
    restore();
    const up = start(['up', '--no-publish', ...state]);
    await until(async () => isRunning(folder()));
    await millraceJson(['publish', TOPIC, '--input', inputs[2]!, ...state]);
    const search = ['find', TOPIC, '--where', `eventId=${views[899]!.eventId}`, ...state];
    await until(async () => (await millraceJson(search)).records[0].consumers[CONSUMER] === 'applied');
    // What it jumped over is in the ledger as skipped.
    expect(total(await audit(), 'skipped')).toBeGreaterThan(0);
    const plan = await millrace(['replay', CONSUMER, '--gaps', '--yes', ...state]);
    expect(plan.stderr).toContain('stop "millrace up" first');
    expect(plan.code).toBe(0);
    expect(await audit()).toMatchObject({ code: 0, unaccounted: 0 });
    expect(total(await audit(), 'skipped')).toBe(0);
    up.kill('SIGINT');
    await once(up, 'close');

    await millraceJson(['up', '--input', ...inputs, '--exit-when-drained', ...undisturbed]);
    expect(await rows()).toEqual(await rows(undisturbed));
  });

  test.each([
    ['its end', 'UPDATE millrace_ledger SET next = next - 5 WHERE partition = 6', 5],
    ['offsets that there never were', 'UPDATE millrace_ledger SET next = next + 7 WHERE partition = 6', 7],
  ])('a ledger row that somebody changed is found: %s', async (_, sql, offsets) => {
    const sink = folder().files.sink;
    const kept = join(temporary.path, 'kept');
    cpSync(sink, kept, { recursive: true });
    await tamper(sql);
    const found = await audit();
    expect(found).toMatchObject({ code: 2, unaccounted: offsets });
    expect(found.partitions.filter((each) => each.unaccounted > 0).map(({ partition }) => partition)).toEqual(
      [6],
    );
    rmSync(sink, { recursive: true });
    cpSync(kept, sink, { recursive: true });
    rmSync(kept, { recursive: true });
  });
});

/** The command line on a real Kafka and a real PostgreSQL: as on the embedded stack, and what it says where it cannot be. */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import pg from 'pg';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { createTraffic } from '../../demo/traffic.ts';
import { startKafka } from '../../local/parts/kafka.ts';
import { Processes } from '../../local/parts/processes.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace, millraceJson, millraceVerdicts, start, TABLES, until } from './newsroom.ts';
import { part } from './part.ts';

jest.setTimeout(180_000);

const postgres = part('MILLRACE_TEST_POSTGRES');

const RECORDS = 2_000;
const TOPIC = 'news.pageviews';
/** As the two clients give them. */
const asText = (rows: readonly Record<string, unknown>[]) =>
  rows.map((row) => Object.values(row).map(String).join(' '));

/** The steps build on one another, on a broker of their own: a contract's topic and a consumer's group have one name. */
describe('up on Kafka', () => {
  const temporary = createTemporaryFolder();
  const processes = new Processes(temporary.path);
  const embedded = ['--state', join(temporary.path, 'embedded')];
  const state = ['--state', join(temporary.path, 'state')];
  const database = new URL(postgres);
  let brokers: string;
  let cluster: string[];
  let sink: string[];
  let article: string;
  let input: string[];
  /** As many events again: the newsroom applies one that is sent twice once. */
  let newInput: () => string[];
  let admin: pg.Client;
  let client: pg.Client;

  beforeAll(async () => {
    const [node] = await startKafka(processes, { nodes: 1 });
    brokers = node!.address;
    admin = new pg.Client({ connectionString: postgres });
    await admin.connect();
    database.pathname = 'up_verify';
    await admin.query('CREATE DATABASE up_verify');
    client = new pg.Client({ connectionString: database.href });
    await client.connect();
    await client.query('SET search_path = "editorial-analytics", public');
    cluster = ['--kafka', brokers, ...state];
    sink = ['--postgres', database.href];
    const traffic = createTraffic(createSeededRandom(7));
    const newViews = () =>
      Array.from({ length: RECORDS }, (_, n) => traffic.next(Date.UTC(2026, 0, 1) + n * 40));
    const views = newViews();
    article = [...Map.groupBy(views, ({ contentId }) => contentId)].find(
      ([, of]) => of.length > 5 && of.length < 25,
    )![0];
    let files = 0;
    const inputOf = (of: typeof views) => {
      const file = join(temporary.path, `pageviews-${files++}.jsonl`);
      writeFileSync(file, of.map((view) => JSON.stringify(view)).join('\n'));
      return [TOPIC, '--input', file, '--poison', '0.02', '--seed', '3'];
    };
    input = inputOf(views);
    newInput = () => inputOf(newViews());
  });
  afterAll(async () => {
    await client?.end();
    await admin?.query('DROP DATABASE up_verify WITH (FORCE)');
    await admin?.end();
    await processes.endAll();
    temporary.remove();
  });

  const tables = async () => {
    await client.query('SET search_path = "editorial-analytics-reader", public');
    return asText((await client.query(TABLES)).rows);
  };
  const lagsOf = async (where: readonly string[]) => (await millraceVerdicts(['lag', ...where])).printed;
  const lag = async () => (await lagsOf(cluster))[0];
  const status = async (where: readonly string[]) => {
    const { code, printed } = await millraceVerdicts(['status', ...where]);
    return { code, ...printed.consumers[0] };
  };
  const isClaimed = async () =>
    (await client.query("SELECT FROM pg_stat_activity WHERE application_name LIKE 'millrace up,%'")).rows
      .length > 0;
  const letters = async (where: readonly string[]) =>
    (await millraceJson(['dlq', 'list', ...where])).map(({ id }: { id: string }) => id).sort();

  test('says that a cluster lacks the topic, so that nothing is known', async () => {
    expect(await lag()).toMatchObject({
      lag: null,
      verdict: 'UNKNOWN',
      partitions: [],
      evidence: expect.arrayContaining([expect.stringContaining('does not exist on Kafka at')]),
    });
  });

  let poisoned: number;
  test('publishes, and shows what nobody has consumed as lag', async () => {
    const [there, here] = [
      await millraceJson(['publish', ...input, ...embedded]),
      await millraceJson(['publish', ...input, ...cluster]),
    ];
    expect(here).toEqual({ ...there, elapsedMs: expect.any(Number) });
    expect(here).toMatchObject({ published: RECORDS, refused: 0 });
    poisoned = here.poisoned;
    expect(poisoned).toBeGreaterThan(20);
    expect(await lag()).toMatchObject({ lag: RECORDS + poisoned });
  });

  test('status says that nobody runs the consumer, how old its next record is, and what retention leaves', async () => {
    for (const where of [cluster, ['--kafka', brokers, '--state', join(temporary.path, 'none')]]) {
      const found = await status(where);
      expect(found).toMatchObject({ code: 2, verdict: 'STALLED', lag: RECORDS + poisoned });
      expect(found.evidence[0]).toContain('nobody');
      expect(found.ageMs).toBeGreaterThan(0);
      expect(found.ageMs).toBeLessThan(180_000);
      expect(found.headroomMs + found.ageMs).toBe(7 * 86_400_000);
    }
  });

  test('has the same rows and the same dead letters as the embedded stack, to the offset', async () => {
    const up = ['up', '--no-publish', '--exit-when-drained', '--fail', `contentId=${article}`];
    const there = await millraceJson([...up, ...embedded]);
    const here = await millraceJson([...up, ...sink, ...cluster]);
    const { applied, deadLettered } = there;
    expect(here).toMatchObject({ applied, deadLettered, skipped: 0, duplicates: 0, lag: 0 });
    expect(await lag()).toMatchObject({ lag: 0 });

    expect(await tables()).toEqual(asText(await millraceJson(['sql', TABLES, ...embedded])));
    const ids = await letters(cluster);
    expect(ids).toHaveLength(deadLettered);
    expect(ids).toEqual(await letters(embedded));
  });

  test('redrives what a fixed handler takes into the same database', async () => {
    const redrive = ['dlq', 'redrive', '--where', 'error=HANDLER_FAILED', '--yes', '--rate', '1000'];
    const there = await millraceJson([...redrive, ...embedded]);
    const here = await millraceJson([...redrive, ...sink, ...cluster]);
    expect(here).toEqual({ ...there, redrive: expect.any(String) });
    expect(here).toMatchObject({ failed: 0, remaining: 0 });
    expect(here.applied).toBeGreaterThan(5);
    expect(await tables()).toEqual(asText(await millraceJson(['sql', TABLES, ...embedded])));
    expect(await letters(cluster)).toHaveLength(poisoned);
  });

  test('starts nothing over: what is applied stays applied, and another log gets no such ledger', async () => {
    const before = await tables();
    const up = ['up', '--no-publish', '--exit-when-drained', ...sink];
    expect(await millraceJson([...up, ...cluster])).toMatchObject({ applied: 0, deadLettered: 0, lag: 0 });
    expect(await tables()).toEqual(before);
    // The ledger knows whose offsets it has.
    const { code, stderr } = await millrace([...up, ...embedded]);
    expect(stderr).toMatch(/belongs to other topics.*--postgres.*\[STATE_UNREADABLE\]/s);
    expect(code).toBe(1);
  });

  test('is refused beside a run on the same database, which it names', async () => {
    const up = start(['up', '--no-publish', '--collector-port', '0', '--json', ...sink, ...cluster]);
    const ended = once(up, 'close');
    await until(async () => up.exitCode !== null || (await isClaimed()));
    const second = ['--kafka', brokers, '--state', join(temporary.path, 'second')];
    const { code, stderr } = await millrace([
      'up',
      '--no-publish',
      '--exit-when-drained',
      ...sink,
      ...second,
    ]);
    expect(stderr).toMatch(
      new RegExp(`in use: millrace up, .* process ${up.pid}.*since 20.*\\[STATE_IN_USE\\]`),
    );
    expect(code).toBe(1);
    up.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
  });

  test('takes events by HTTP into the topic, and applies them', async () => {
    const up = start(['up', '--no-publish', '--collector-port', '0', '--json', ...sink, ...cluster]);
    const ended = once(up, 'close');
    const printed = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const) {
      up[name]!.setEncoding('utf8').on('data', (text) => {
        printed[name] += text;
      });
    }
    const CURL = /-d '(\{.*\})' (http:\S+)/;
    await until(async () => CURL.test(printed.stderr) || up.exitCode !== null);
    const [, event, url] = CURL.exec(printed.stderr)!;
    const body = JSON.stringify([JSON.parse(event!), {}]);
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(url!, { method: 'POST', body, headers });
    expect([answer.status, await answer.json()]).toMatchObject([207, { accepted: 1, refused: 1 }]);
    up.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
    expect(JSON.parse(printed.stdout.trimEnd().split('\n').at(-1)!)).toMatchObject({
      published: 1,
      applied: 1,
      lag: 0,
    });
  });

  test('two runs with ledgers of their own each apply every record, beside and after one another', async () => {
    const [one, two] = ['one', 'two'].map((name) => [
      '--kafka',
      brokers,
      '--state',
      join(temporary.path, name),
    ]) as [string[], string[]];
    const drain = ['up', '--no-publish', '--exit-when-drained'];
    const sums = (of: readonly string[]) =>
      millraceJson(['sql', 'select sum(views) as n from article_minute', '--state', of.at(-1)!]);
    const publish = () => millraceJson(['publish', ...newInput().slice(0, 3), '--kafka', brokers]);
    await Promise.all([one, two].map((each) => millraceJson([...drain, ...each])));
    await publish();
    await Promise.all([one, two].map((each) => millraceJson([...drain, ...each])));
    await publish();
    for (const each of [two, one])
      expect(await millraceJson([...drain, ...each])).toMatchObject({ skipped: 0, lag: 0 });
    expect(await sums(one)).toEqual(await sums(two));
    // What was published before, one event by HTTP among it, and twice since.
    expect((await sums(one))[0].n).toBe(3 * RECORDS + 1);
    const groups = await Promise.all([one, two].map(lagsOf));
    expect(new Set(groups.map(([{ group }]) => group)).size).toBe(2);
  });

  test('a pause keeps the next run from reading, and groups of others are refused', async () => {
    const others = ['--kafka', brokers, '--state', join(temporary.path, 'none')];
    const refused = await millrace(['pause', 'editorial-analytics', ...others]);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringContaining('only who runs them can pause them'),
    ]);

    await millraceJson(['pause', 'editorial-analytics', ...cluster]);
    const before = await tables();
    await millraceJson(['publish', ...newInput(), ...cluster]);
    const { lag: unread } = await lag();
    expect(unread).toBeGreaterThanOrEqual(RECORDS + poisoned);
    const up = start(['up', '--no-publish', '--collector-port', '0', '--json', ...sink, ...cluster]);
    const ended = once(up, 'close');
    try {
      const isAsked = (fact: string) => fact.includes('Run by millrace up');
      await until(async () => (await status(cluster)).evidence.some(isAsked));
      const paused = await status(cluster);
      expect(paused).toMatchObject({ code: 2, verdict: 'STALLED', lag: unread });
      expect(paused.evidence[0]).toMatch(/paused by /);
      expect(await tables()).toEqual(before);
      await millraceJson(['resume', 'editorial-analytics', ...cluster]);
      await until(async () => (await status(cluster)).lag === 0);
    } finally {
      up.kill('SIGINT');
      await ended;
    }
    expect(await tables()).not.toEqual(before);
  });

  describe('says what is wrong, and what to do', () => {
    const up = ['up', '--no-publish', '--exit-when-drained'];
    const outcome = async (args: readonly string[]) => {
      const { code, stderr } = await millrace([...args, ...state]);
      expect(code).toBe(1);
      return stderr;
    };

    test.each([
      ['no broker there', '127.0.0.1:1', /127\.0\.0\.1:1 does not answer: .*ECONNREFUSED.*Check the address/],
      [
        'no such host',
        'nowhere.invalid',
        /nowhere\.invalid:9092 does not answer: .*ENOTFOUND.*Check the address/,
      ],
      ['a database’s port', new URL(postgres).host, /does not answer: .*Check the address/],
    ])('%s', async (_, address, message) => {
      const where = ['--kafka', address];
      const all = [
        ['publish', ...input, ...state],
        [...up, ...sink, ...state],
      ].map(async (args) => {
        const { code, stderr } = await millrace([...args, ...where]);
        expect(stderr).toMatch(message);
        expect(stderr).toContain('[KAFKA_UNAVAILABLE]');
        expect(code).toBe(1);
      });
      await Promise.all(all);
      expect(await status(where)).toMatchObject({
        code: 3,
        verdict: 'UNKNOWN',
        lag: null,
        evidence: [expect.stringMatching(message)],
      });
    });

    test('something in the place of PostgreSQL that never answers', async () => {
      const silent = createServer().listen(0, '127.0.0.1');
      await once(silent, 'listening');
      const { port } = silent.address() as { port: number };
      const url = `postgres://me:secret@127.0.0.1:${port}/news`;
      const stderr = await outcome([...up, '--kafka', brokers, '--postgres', url]);
      silent.close();
      expect(stderr).toMatch(/PostgreSQL at 127\.0\.0\.1:\d+\/news cannot be used: .*\[SINK_UNAVAILABLE\]/);
      expect(stderr).not.toContain('secret');
    });

    test('no PostgreSQL, or none with that database', async () => {
      const nobody = 'postgres://me:secret@127.0.0.1:1/news';
      const down = await outcome([...up, '--kafka', brokers, '--postgres', nobody]);
      expect(down).toMatch(
        /PostgreSQL at 127\.0\.0\.1:1\/news cannot be used: .*ECONNREFUSED.*\[SINK_UNAVAILABLE\]/,
      );
      expect(down).not.toContain('secret');
      const other = new URL(database);
      other.pathname = 'nothing';
      expect(await outcome([...up, '--kafka', brokers, '--postgres', other.href])).toMatch(
        /nothing cannot be used: .*"nothing" does not exist.*that it has the database.*\[SINK_MISCONFIGURED\]/,
      );
    });
  });
});

/**
 * Half a million pageviews through a real Kafka into a real PostgreSQL, by the command line, while everything that can be
 * killed is. MILLRACE_TEST_ACCESS_LOG names a web server's access log to take them from; without it they are made up.
 */
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { Admin } from '@platformatic/kafka';
import avsc from 'avsc';
import pg from 'pg';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import type { Pageview } from '../../contracts/news.pageviews/schema.ts';
import { pageviews } from '../../contracts/news.pageviews/topic.ts';
import { demo } from '../../demo/index.ts';
import { createTraffic } from '../../demo/traffic.ts';
import { editorialAnalytics } from '../../lambdas/editorial-analytics/consumer.ts';
import { type KafkaNode, startKafka } from '../../local/parts/kafka.ts';
import { type PostgresServer, startPostgres } from '../../local/parts/postgres.ts';
import { Processes } from '../../local/parts/processes.ts';
import { fileSource } from '../../local/publishing/sources.ts';
import { existingStateFolder } from '../../local/state-folder.ts';
import { openStores } from '../../local/stores.ts';
import type { ConsumerAudit } from '../../runtime/replay/audit.ts';
import { POLLING_MODES } from '../polling-modes.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { readTopic, rewindGroup } from './bare-kafka.ts';
import { differences } from './differences.ts';
import { finished, millrace, millraceJson, start, until } from './newsroom.ts';

jest.setTimeout(900_000);

const SEED = Number(process.env.MILLRACE_TEST_SEED ?? 2026);
const RECORDS = 500_000;
const KILLS = 20;
/** In which of the consumer's lives the others are killed. */
const BROKER_IN_LIFE = 7;
const POSTGRES_IN_LIFE = 14;
const BACKUP_AFTER_LIFE = 12;
/** Of each partition, so many records at most are delivered again after a kill. */
const MOST_REWOUND = 1_500;

const TOPIC = pageviews.name;
/** A consumer's tables are in the schema of its name. */
const SEARCH_PATH = `SET LOCAL search_path = "${editorialAnalytics.name}", public`;
const BACKED_UP = [
  'article_minute',
  'session_engagement',
  'millrace_ledger',
  'millrace_ledger_range',
  'millrace_key',
  'millrace_key_letter',
  'millrace_parked',
  'millrace_seen',
];
const POISON_KEY = /^poison-\d+$/;

describe('a load with kills', () => {
  const random = createSeededRandom(SEED);
  const temporary = createTemporaryFolder();
  const processes = new Processes(temporary.path);
  const state = join(temporary.path, 'state');
  let node: KafkaNode;
  let server: PostgresServer;
  let where: string[];
  let pool: pg.Pool;
  let admin: Admin;

  beforeAll(async () => {
    [[node], server] = (await Promise.all([
      startKafka(processes, { nodes: 1 }),
      startPostgres(processes),
    ])) as [[KafkaNode], PostgresServer];
    where = ['--kafka', node.address, '--state', state];
    pool = new pg.Pool({ connectionString: server.url, max: 1 });
    pool.on('error', () => {});
    admin = new Admin({ clientId: 'verify', bootstrapBrokers: [node.address] });
  });
  afterAll(async () => {
    await admin?.close();
    await pool?.end();
    await processes.endAll();
    temporary.remove();
  });

  test('leaves in the table what was published, once, and the poison as dead letters, all of it accounted for', async () => {
    const expected = new Tables();
    const publisher = start([
      'publish',
      TOPIC,
      '--input',
      '-',
      '--poison',
      '0.01',
      '--seed',
      '5',
      '--json',
      ...where,
    ]);
    const published = finished(publisher);
    const feeding = pipeline(Readable.from(lines(expected)), publisher.stdin!);
    feeding.catch(() => {});

    let rewound = 0;
    for (let life = 1; life <= KILLS; life++) {
      const polling = POLLING_MODES[life % POLLING_MODES.length]!;
      const consumer = start([
        'up',
        '--no-publish',
        '--polling',
        polling,
        '--postgres',
        server.url,
        ...where,
      ]);
      const printed = finished(consumer);
      const atLeast = async (records: number) => {
        await until(async () => {
          if (publisher.exitCode) throw new Error(`publish failed: ${(await published).stderr}`);
          if (consumer.exitCode !== null) throw new Error(`up ended by itself: ${(await printed).stderr}`);
          return (await appliedSoFar()) >= records;
        });
      };
      const target = Math.floor(((life - 1 + random.next()) / (KILLS + 1)) * RECORDS);
      await atLeast(target);
      if (life === BROKER_IN_LIFE || life === POSTGRES_IN_LIFE) {
        const part = life === BROKER_IN_LIFE ? node : server;
        const applied = await appliedSoFar();
        say(`${part === node ? 'the broker' : 'PostgreSQL'} is killed and started again`);
        await part.restart();
        await atLeast(applied + 1);
      }
      await sleep(random.next() * 150);
      consumer.kill('SIGKILL');
      if (life === BACKUP_AFTER_LIFE) await backUp();
      await printed;
      if (life % 2 === 0) rewound += await rewind();
      say(
        `${life} of ${KILLS} kills, ${await appliedSoFar()} of ${RECORDS} applied, ${rewound} to be delivered again`,
      );
    }
    expect(rewound).toBeGreaterThan(10_000);

    const { poisoned, ...feed } = JSON.parse((await published).stdout);
    await feeding;
    expect(feed).toMatchObject({ topic: TOPIC, published: RECORDS, refused: 0, malformed: 0 });
    const report = await millraceJson([
      'up',
      '--no-publish',
      '--exit-when-drained',
      '--postgres',
      server.url,
      ...where,
    ]);
    say(`drained: ${report.applied} applied in the last life, ${report.duplicates} duplicates in it`);

    // What the topic holds, by a bare client: everything once, and where the poison is.
    const { ids, poison, ends } = await idsAndPoison();
    expect(ids.length).toBe(RECORDS);
    expect(new Set(ids).size).toBe(RECORDS);
    expect(poison.length).toBe(poisoned);
    expect(poisoned).toBeGreaterThan(RECORDS * 0.009);

    expect(differences(expected.rows(), await tableRows())).toEqual({ missing: [], extra: [] });

    const letters = await letterPositions();
    expect(differences(poison, [...new Set(letters)])).toEqual({ missing: [], extra: [] });
    // A kill between the letter and the commit has the record delivered again, and makes a second copy of the letter.
    say(`${poison.length} dead letters, and ${letters.length - poison.length} second copies`);

    const { rows } = await pool.query(
      `SELECT partition, first, next, passed_over::text AS passed, array(
         SELECT generate_series(lower(r), upper(r) - 1) FROM unnest(dead_lettered) AS r ORDER BY 1
       ) AS dead FROM millrace_ledger ORDER BY partition`,
    );
    expect(rows.map(({ first, next, passed }) => [first, next, passed])).toEqual(
      ends.map((end) => ['0', String(end), '{}']),
    );
    const dead = rows.flatMap((row) => row.dead.map((offset: string) => `${row.partition}/${offset}`));
    expect(differences(poison, dead)).toEqual({ missing: [], extra: [] });
    expect(await lagOf()).toMatchObject({ consumer: editorialAnalytics.name, lag: 0 });

    const audited = await audit();
    expect(audited).toMatchObject({ code: 0, unaccounted: 0 });
    const total = (of: 'applied' | 'deadLettered') =>
      audited.partitions.reduce((sum, each) => sum + each[of], 0);
    expect([total('applied'), total('deadLettered')]).toEqual([RECORDS, poisoned]);

    const find = ['find', TOPIC, '--key', 'poison-3', '--postgres', server.url, ...where];
    const { records } = await millraceJson(find);
    expect(records.length).toBeGreaterThan(0);
    for (const { partition, offset, consumers } of records) {
      expect(poison).toContain(`${partition}/${offset}`);
      expect(consumers).toEqual({ [editorialAnalytics.name]: 'dead-lettered' });
    }

    // One row that somebody changed.
    const end = ends[3]!;
    await pool.query('UPDATE millrace_ledger SET next = next - 100 WHERE partition = 3');
    const tampered = await audit();
    expect(tampered).toMatchObject({ code: 2 });
    expect(tampered.partitions.flatMap((each) => each.ranges.unaccounted.map(({ to }) => to)).at(-1)).toBe(
      end,
    );
    expect(tampered.partitions.filter((each) => each.unaccounted > 0)).toMatchObject([{ partition: 3 }]);
    await pool.query('UPDATE millrace_ledger SET next = next + 100 WHERE partition = 3');

    // The database goes back to a backup from the middle, and the group stays where it is.
    const lost = await restore();
    expect(lost).toBeGreaterThan(10_000);
    expect(await audit()).toMatchObject({ code: 2 });
    const replay = ['replay', editorialAnalytics.name, '--gaps', '--yes', '--rate', 'max'];
    const replayed = await millraceJson([...replay, '--postgres', server.url, ...where]);
    say(`replayed ${replayed.applied} of ${replayed.planned} in ${replayed.elapsedMs} ms`);
    expect(replayed).toMatchObject({ left: 0, deleted: 0 });
    expect(differences(expected.rows(), await tableRows())).toEqual({ missing: [], extra: [] });
    expect(await audit()).toMatchObject({ code: 0, unaccounted: 0 });
  });

  /** Whatever its verdict: nobody runs the consumer after a kill. */
  async function lagOf(): Promise<{ readonly group: string; readonly lag: number }> {
    const { stdout, stderr } = await millrace(['lag', '--json', ...where]);
    if (stdout === '') throw new Error(stderr);
    return JSON.parse(stdout)[0];
  }

  async function audit(): Promise<ConsumerAudit & { readonly code: number | null }> {
    const asked = ['audit', editorialAnalytics.name, '--json', '--postgres', server.url, ...where];
    const { code, stdout, stderr } = await millrace(asked);
    if (stdout === '') throw new Error(`audit ended with ${code}: ${stderr}`);
    return { ...JSON.parse(stdout), code };
  }

  /** Copies all that a backup of the sink would have. */
  async function backUp(): Promise<void> {
    const copies = BACKED_UP.map((table) => `CREATE TABLE backup.${table} AS SELECT * FROM ${table};`);
    await inSink(`CREATE SCHEMA backup; ${copies.join(' ')}`);
  }

  /** @returns how many offsets the ledger lost */
  async function restore(): Promise<number> {
    const before = await appliedSoFar();
    const copies = BACKED_UP.map(
      (table) =>
        `DELETE FROM ${table}; INSERT INTO ${table} OVERRIDING SYSTEM VALUE SELECT * FROM backup.${table};`,
    );
    await inSink(copies.join(' '));
    return before - (await appliedSoFar());
  }

  /** In one transaction, of one moment. */
  async function inSink(script: string): Promise<void> {
    await pool.query(`BEGIN ISOLATION LEVEL REPEATABLE READ; ${SEARCH_PATH}; ${script} COMMIT`);
  }

  /** @returns how many records are delivered again */
  async function rewind(): Promise<number> {
    const { group } = await lagOf();
    return rewindGroup(admin, group, TOPIC, () => Math.floor(random.next() * MOST_REWOUND));
  }

  /** Zero, too, before there is a table, and less than there is while there is no server. */
  async function appliedSoFar(): Promise<number> {
    try {
      const { rows } = await pool.query('SELECT coalesce(sum(next - first), 0) AS n FROM millrace_ledger');
      return Number(rows[0].n);
    } catch {
      return 0;
    }
  }

  const VIEWS = '"editorial-analytics-reader"';
  async function tableRows(): Promise<string[]> {
    const articles = await pool.query({ text: `SELECT * FROM ${VIEWS}.article_minute`, rowMode: 'array' });
    const sessions = await pool.query({
      text: `SELECT session_id, first_seen, last_seen, pageviews, engaged_ms FROM ${VIEWS}.session_engagement`,
      rowMode: 'array',
    });
    return [...articles.rows, ...sessions.rows].map((row: unknown[]) =>
      row.map((value) => (value instanceof Date ? value.getTime() : value)).join(' '),
    );
  }

  /** Every copy of every letter. */
  async function letterPositions(): Promise<string[]> {
    const stores = await openStores(existingStateFolder(state));
    const positions: string[] = [];
    for await (const copy of stores.deadLettersOf(editorialAnalytics).reader.scan()) {
      if (!('letter' in copy)) throw new Error('a letter cannot be read');
      const { partition, offset } = copy.letter.record;
      positions.push(`${partition}/${offset}`);
    }
    await stores.close();
    return positions;
  }

  async function idsAndPoison() {
    const FRAME_BYTES = 18;
    const type = avsc.Type.forSchema(pageviews.latest.schema as never);
    const { records, ends } = await readTopic([node.address], TOPIC);
    const ids: string[] = [];
    const poison: string[] = [];
    for await (const { key, value, partition, offset } of records) {
      if (POISON_KEY.test(key.toString())) poison.push(`${partition}/${offset}`);
      else ids.push(type.fromBuffer(value.subarray(FRAME_BYTES)).eventId);
    }
    return { ids, poison, ends };
  }
});

/** Values as JSON lines, each counted in the tables that are to come of them. */
async function* lines(expected: Tables): AsyncGenerator<string> {
  let chunk = '';
  for await (const view of views()) {
    expected.add(view);
    chunk += `${JSON.stringify(view)}\n`;
    if (chunk.length < 65_536) continue;
    yield chunk;
    chunk = '';
  }
  yield chunk;
}

async function* views(): AsyncGenerator<Pageview> {
  const log = process.env.MILLRACE_TEST_ACCESS_LOG;
  if (!log) {
    const traffic = createTraffic(createSeededRandom(SEED));
    for (let n = 0; n < RECORDS; n++) yield traffic.next(Date.UTC(2026, 0, 1) + n * 2);
    return;
  }
  const source = fileSource([log], pageviews, demo, Buffer.from('verify'));
  const read: Pageview[] = [];
  for (let items = await source.take(1_000); items.length > 0; items = await source.take(1_000)) {
    for (const item of items) if (item.kind === 'value') read.push(item.value);
  }
  const span =
    1 + Math.max(...read.map((view) => view.occurredAt)) - Math.min(...read.map((view) => view.occurredAt));
  for (let n = 0; n < RECORDS; n++) {
    const round = Math.floor(n / read.length);
    const view = read[n % read.length]!;
    yield {
      ...view,
      eventId: `${view.eventId}-${round}`,
      sessionId: `${view.sessionId}-${round}`,
      occurredAt: view.occurredAt + round * span,
    };
  }
}

/** What the consumer's tables must hold, added up another way than the consumer does it: a view at a time. */
class Tables {
  readonly #articles = new Map<string, [views: number, engagedMs: number]>();
  readonly #sessions = new Map<string, [first: number, last: number, views: number, engagedMs: number]>();

  add({ contentId, sessionId, occurredAt, engagedMs }: Pageview): void {
    const minute = new Date(occurredAt).setUTCSeconds(0, 0);
    const [views, ms] = this.#articles.get(`${contentId} ${minute}`) ?? [0, 0];
    this.#articles.set(`${contentId} ${minute}`, [views + 1, ms + engagedMs]);
    const [first, last, pages, allMs] = this.#sessions.get(sessionId) ?? [occurredAt, occurredAt, 0, 0];
    this.#sessions.set(sessionId, [
      Math.min(first, occurredAt),
      Math.max(last, occurredAt),
      pages + 1,
      allMs + engagedMs,
    ]);
  }

  rows(): string[] {
    return [...this.#articles, ...this.#sessions].map(([key, values]) => [key, ...values].join(' '));
  }
}

function say(what: string): void {
  process.stderr.write(`load: ${what}\n`);
}

/** Generations on a real PostgreSQL: roles that log in, readers that poll, promoters that are killed. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { createPostgresGenerations } from '../../adapters/postgres/generations.ts';
import { pgDriver } from '../../adapters/postgres/pg-driver.ts';
import { PostgresSink } from '../../adapters/postgres/postgres-sink.ts';
import { provision } from '../../adapters/postgres/provision.ts';
import type { SqlDriver } from '../../adapters/postgres/sql-driver.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { generationName } from '../../runtime/replay/generation.ts';
import { newConsumer, postgresGenerationsSuite } from '../adapters/postgres/generations-suite.ts';
import { movingSuite } from '../adapters/postgres/moving-suite.ts';
import { part } from './part.ts';

const url = part('MILLRACE_TEST_POSTGRES');
let databases = 0;

/** A database whose owner is no superuser, as on RDS, and logins to it. */
async function openDatabase() {
  const name = `generations_${process.pid}_${databases++}`;
  const root = new pg.Client({ connectionString: url });
  await root.connect();
  const administrator = `administrator_${name}`;
  await root.query(`CREATE ROLE ${administrator} LOGIN CREATEROLE`);
  // As RDS's has it, through rds_superuser.
  await root.query(`GRANT pg_read_all_stats TO ${administrator}`);
  await root.query(`CREATE DATABASE ${name} OWNER ${administrator}`);
  const pools: pg.Pool[] = [];
  const pool = (user: string, max = 4) => {
    const of = new URL(url);
    Object.assign(of, { pathname: name, username: encodeURIComponent(user) });
    const opened = new pg.Pool({ connectionString: of.href, max });
    opened.on('error', () => {});
    pools.push(opened);
    return opened;
  };
  const superuser = pool('postgres');
  if (Number((await root.query('SHOW server_version_num')).rows[0].server_version_num) < 150_000) {
    await superuser.query(`ALTER SCHEMA public OWNER TO ${administrator}`);
  }
  const adminPool = pool(administrator);
  const logins = new Map<string, SqlDriver>();
  return {
    name,
    pool,
    adminPool,
    superuser,
    admin: pgDriver(adminPool),
    async as(role: string) {
      const known = logins.get(role) ?? pgDriver(pool(role));
      logins.set(role, known);
      return known;
    },
    async close() {
      await Promise.all(pools.map((each) => each.end()));
      await root.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await root.end();
    },
  };
}

postgresGenerationsSuite('PostgreSQL with roles', openDatabase);
postgresGenerationsSuite('PostgreSQL with one login', async () => {
  const { superuser, close } = await openDatabase();
  return { admin: pgDriver(superuser), close };
});

describe('on PostgreSQL', () => {
  let database: Awaited<ReturnType<typeof openDatabase>>;
  beforeAll(async () => {
    database = await openDatabase();
  }, 120_000);
  afterAll(() => database.close());

  movingSuite('PostgreSQL with roles', async () => database);

  const TABLES = [
    {
      name: '0001',
      sql: `
        CREATE TABLE a (generation text NOT NULL, n bigint NOT NULL);
        CREATE TABLE b (generation text NOT NULL, n bigint NOT NULL);
        CREATE TABLE c (generation text NOT NULL, n bigint NOT NULL)`,
    },
  ];

  describe('while consumers, readers and promoters are at work', () => {
    let consumer: AnyConsumer;
    let store: ReturnType<typeof createPostgresGenerations>;
    const partitions = [0, 1, 2];
    let since: number;
    let isOver: boolean;
    const work: Promise<unknown>[] = [];

    beforeEach(async () => {
      isOver = false;
      since = performance.now();
      consumer = newConsumer(TABLES);
      await provision(database.admin, [consumer]);
      store = createPostgresGenerations(database.admin, { roles: { pauses: false }, tries: 10 });
    });

    /** Both generations read one log, which grows by the clock. */
    const ends = () => Math.floor((performance.now() - since) / 4);

    /** One partition of a generation, batch after batch, each with a row for every offset in every table. */
    async function feed(generation: number, partition: number) {
      const name = generationName(consumer.name, generation);
      const sink = new PostgresSink(await database.as(name));
      const key = { consumer: name, epoch: consumer.epoch };
      const of = { topic: consumer.topic.name, partition };
      let from = 0;
      while (!isOver) {
        const to = Math.min(from + 200, ends());
        if (to === from) {
          await sleep(5);
          continue;
        }
        try {
          await sink.transaction(async ({ tx, lockLedgers, writeLedgers }) => {
            const [view] = await lockLedgers(key, [{ ...of, from, to }]);
            for (const table of ['a', 'b', 'c']) {
              await tx.query(
                `INSERT INTO ${table} SELECT $1, n FROM generate_series($2::bigint, $3::bigint) n`,
                [name, from, to - 1],
              );
            }
            const patch = { ...of, first: view!.first ?? from, next: to, maxTimestamp: 1 };
            await writeLedgers(key, [{ ...patch, closed: [], deadLettered: [], skipped: [] }]);
          });
          from = to;
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/^SINK_(CONFLICT|UNAVAILABLE)$/) });
          // Delivered again: the transaction was rolled back, or its end is unknown and the ledger tells.
          const { rows } = await database.superuser.query(
            'SELECT next::int FROM millrace_ledger WHERE consumer = $1 AND partition = $2',
            [name, partition],
          );
          from = rows[0]?.next ?? 0;
        }
        await sleep(5);
      }
    }

    /** Reads as a role that has the views alone, by a named statement and by text, in one statement each. */
    async function poll(
      seen: { reads: number; mixtures: string[]; slowestMs: number; steps: string[] },
      prepared: boolean,
    ) {
      const client = await database.pool(`bi_${consumer.name.replaceAll('-', '_')}`, 1).connect();
      const views = `"${consumer.name}-reader"`;
      const text = `
        SELECT array_agg(DISTINCT generation ORDER BY generation) AS generations,
          (SELECT count(*) FROM ${views}.a)::int AS a, (SELECT count(*) FROM ${views}.b)::int AS b, (SELECT count(*) FROM ${views}.c)::int AS c
        FROM (SELECT generation FROM ${views}.a UNION ALL SELECT generation FROM ${views}.b UNION ALL SELECT generation FROM ${views}.c) all_of`;
      let last = 0;
      try {
        while (!isOver) {
          const since = performance.now();
          const { rows } = await client.query(prepared ? { name: 'all', text } : text);
          seen.slowestMs = Math.max(seen.slowestMs, performance.now() - since);
          const [{ generations, a, b, c }] = rows;
          seen.reads++;
          // A switch shows at least what was seen before it.
          if (a < last) seen.steps.push(`${last} ${a}`);
          last = a;
          if (generations.length > 1 || a !== b || b !== c)
            seen.mixtures.push(`${generations} ${a} ${b} ${c}`);
          await sleep(3);
        }
      } finally {
        client.release();
      }
    }

    const start = async () => {
      for (const partition of partitions) work.push(feed(1, partition));
      await sleep(100);
      await store.create(consumer, { id: 'r1', code: 'c1' });
      for (const partition of partitions) work.push(feed(2, partition));
      const reader = `bi_${consumer.name.replaceAll('-', '_')}`;
      await database.superuser.query(`CREATE ROLE ${reader} LOGIN`);
      await database.adminPool.query(`GRANT USAGE ON SCHEMA "${consumer.name}-reader" TO ${reader}`);
      await database.adminPool.query(
        `GRANT SELECT ON ALL TABLES IN SCHEMA "${consumer.name}-reader" TO ${reader}`,
      );
    };
    const stop = async () => {
      isOver = true;
      await Promise.all(work.splice(0));
    };
    afterEach(stop);
    /** Every generation has in each table exactly what its ledger says; exactly the live one runs without a replay. */
    const check = async () => {
      const { rows: states } = await database.superuser.query(
        'SELECT name, state FROM millrace_generation WHERE consumer = $1 ORDER BY number',
        [consumer.name],
      );
      expect(states.filter(({ state }) => state === 'live')).toHaveLength(1);
      for (const { name, state } of states) {
        const { rows } = await database.superuser.query(
          `SELECT count(*)::int AS rows, bool_and((replay IS NULL) = $2) AS told,
             bool_and(first = 0 AND isempty(dead_lettered) AND isempty(passed_over)) AS whole, sum(next)::int AS settled
           FROM millrace_ledger WHERE consumer = $1`,
          [name, state === 'live'],
        );
        expect({ name, ...rows[0] }).toMatchObject({ name, rows: 3, told: true, whole: true });
        for (const table of ['a', 'b', 'c']) {
          const { rows: counted } = await database.superuser.query(
            `SELECT count(*)::int AS n, bool_and(generation = $1) AS own FROM "${name}".${table}`,
            [name],
          );
          expect({ table, ...counted[0] }).toEqual({ table, n: rows[0].settled, own: true });
        }
      }
    };

    test('readers see one generation or the other through 20 promotes and rollbacks, and never both in a statement', async () => {
      await start();
      const seen = { reads: 0, mixtures: [] as string[], slowestMs: 0, steps: [] as string[] };
      for (const prepared of [true, false, true]) work.push(poll(seen, prepared));
      const heldMs: number[] = [];
      for (let switched = 0; switched < 20; switched++) {
        const { to, heldMs: held } =
          switched % 2 === 0
            ? await store.promote(consumer, 2, { code: 'c1' })
            : await store.rollback(consumer);
        expect(to.number).toBe(switched % 2 === 0 ? 2 : 1);
        heldMs.push(held);
        await sleep(30);
      }
      await stop();
      await check();
      console.info(
        `${seen.reads} reads, the slowest in ${seen.slowestMs.toFixed(0)} ms; live held for ${heldMs.toSorted((a, b) => a - b).join(' ')} ms`,
      );
      expect(seen).toMatchObject({ mixtures: [], steps: [] });
      expect(seen.reads).toBeGreaterThan(100);
    }, 180_000);

    test('a promoter that is killed at any moment leaves the old state or the new one', async () => {
      await start();
      const outcomes: string[] = [];
      let kills = 0;
      for (let tried = 0; tried < 30; tried++) {
        const { rows: before } = await database.adminPool.query('SELECT 1');
        expect(before).toHaveLength(1);
        const killer = (async () => {
          await sleep(Math.random() * 150);
          const { rows } = await database.superuser.query(
            `SELECT pg_terminate_backend(pid) AS ended FROM pg_stat_activity WHERE usename = $1 AND xact_start IS NOT NULL AND datname = $2`,
            [`administrator_${database.name}`, database.name],
          );
          kills += rows.length;
        })();
        const [live] = (await store.list(consumer.name).catch(() => [])).filter(
          ({ state }) => state === 'live',
        );
        const outcome =
          live?.number === 2 ? store.rollback(consumer) : store.promote(consumer, 2, { code: 'c1' });
        await outcome.then(
          ({ to }) => outcomes.push(`to ${to.number}`),
          (error) => {
            outcomes.push(error.code);
            if (!['SINK_UNAVAILABLE', 'REBUILD_REFUSED'].includes(error.code)) throw error;
          },
        );
        await killer;
      }
      await stop();
      await check();
      const switches = outcomes.filter((each) => each.startsWith('to')).length;
      console.info(`${kills} sessions killed; ${outcomes.join(', ')}`);
      expect(kills).toBeGreaterThan(5);
      expect(switches).toBeGreaterThan(5);
    }, 180_000);

    test('a reader of minutes makes promote give up, is named, and others do not wait for it', async () => {
      await start();
      await sleep(100);
      const seen = { reads: 0, mixtures: [] as string[], slowestMs: 0, steps: [] as string[] };
      work.push(poll(seen, false));
      const long = await database.pool('postgres', 1).connect();
      await long.query(
        `SET application_name = 'monthly report'; BEGIN; SELECT count(*) FROM "${consumer.name}-reader".b`,
      );
      const quick = createPostgresGenerations(database.admin, { roles: { pauses: false }, tries: 3 });
      try {
        await expect(quick.promote(consumer, 2, { code: 'c1' })).rejects.toMatchObject({
          code: 'REBUILD_REFUSED',
          message: expect.stringMatching(
            /session \d+ of postgres \(monthly report\), in a transaction for \d+ s/,
          ),
        });
      } finally {
        await long.query('COMMIT');
        long.release();
      }
      expect(seen.slowestMs).toBeLessThan(3_000);
      await quick.promote(consumer, 2, { code: 'c1' });
      await stop();
      await check();
      expect(seen).toMatchObject({ mixtures: [], steps: [] });
      const late = await database.pool('postgres', 1).connect();
      await late.query(
        `SET application_name = 'old report'; BEGIN; SELECT count(*) FROM "${consumer.name}".b`,
      );
      try {
        await expect(quick.drop(consumer, 1)).rejects.toMatchObject({
          code: 'REBUILD_REFUSED',
          message: expect.stringContaining('(old report), in a transaction for'),
        });
      } finally {
        await late.query('COMMIT');
        late.release();
      }
      await quick.drop(consumer, 1);
    }, 120_000);

    test('a partition that comes up in the middle of a promote is told whose it is', async () => {
      const of = { topic: consumer.topic.name, partition: 9 };
      await store.create(consumer, { id: 'r1', code: 'c1' });
      const name = `${consumer.name}-g2`;
      const isMade = Promise.withResolvers<void>();
      const mayEnd = Promise.withResolvers<void>();
      const delivery = new PostgresSink(await database.as(name)).transaction(async ({ lockLedgers }) => {
        await lockLedgers({ consumer: name, epoch: consumer.epoch }, [{ ...of, from: 0, to: 1 }]);
        isMade.resolve();
        await mayEnd.promise;
      });
      await isMade.promise;
      const promoted = store.promote(consumer, 2, { code: 'c1' });
      await sleep(300);
      mayEnd.resolve();
      await Promise.all([delivery, promoted]);
      const { rows } = await database.superuser.query(
        'SELECT partition, replay FROM millrace_ledger WHERE consumer = $1',
        [name],
      );
      expect(rows).toEqual([{ partition: 9, replay: null }]);
    });

    test('a function has the rights of its generation: it cannot write another’s rows, nor say that it is live', async () => {
      await store.create(consumer, { id: 'r1', code: 'c1' });
      const candidate = new PostgresSink(await database.as(`${consumer.name}-g2`));
      const run = (sql: string) => candidate.transaction(({ tx }) => tx.query(sql));
      await run(
        `INSERT INTO millrace_ledger (consumer, epoch, topic, partition) VALUES ('${consumer.name}-g2', 1, 't', 0)`,
      );
      expect(
        (
          await run(
            "SELECT id FROM (SELECT replay ->> 'id' AS id FROM millrace_ledger WHERE consumer = current_user) r",
          )
        ).rows,
      ).toEqual([{ id: 'r1' }]);
      expect((await run("UPDATE millrace_ledger SET max_timestamp = 1 WHERE topic = 't'")).affectedRows).toBe(
        1,
      );
      for (const sql of [
        'UPDATE millrace_ledger SET replay = NULL',
        `INSERT INTO millrace_ledger (consumer, epoch, topic, partition, replay) VALUES ('${consumer.name}-g2', 1, 't', 1, NULL)`,
        `INSERT INTO millrace_ledger (consumer, epoch, topic, partition) VALUES ('${consumer.name}', 1, 't', 0)`,
        "UPDATE millrace_generation SET state = 'live'",
        `INSERT INTO "${consumer.name}".a VALUES ('x', 1)`,
        `SELECT * FROM "${consumer.name}".a`,
        `SELECT * FROM "${consumer.name}-reader".a`,
        'CREATE TABLE mine (n int)',
        'DROP TABLE a',
      ]) {
        await expect(run(sql)).rejects.toMatchObject({ code: 'SINK_MISCONFIGURED' });
      }
      await run("INSERT INTO a VALUES ('own', 1)");
      await store.drop(consumer, 2);
      const { rows } = await database.superuser.query('SELECT FROM pg_roles WHERE rolname = $1', [
        `${consumer.name}-g2`,
      ]);
      expect(rows).toEqual([]);
      expect(
        await database.superuser.query('SELECT FROM millrace_ledger WHERE consumer = $1', [
          `${consumer.name}-g2`,
        ]),
      ).toMatchObject({ rowCount: 0 });
    });

    test('the schema on a laptop travels with BEGIN, and a handler cannot set it for the next one', async () => {
      const own = database.pool('postgres', 1);
      const sink = new PostgresSink(pgDriver(own), { schema: consumer.name });
      const path = () =>
        sink.transaction(
          async ({ tx }) =>
            (await tx.query<{ path: string }>("SELECT current_setting('search_path') AS path")).rows[0]!.path,
        );
      const expected = `"${consumer.name}", public`;
      expect(await path()).toBe(expected);
      for (const sql of [
        'SET search_path = pg_catalog',
        'SET LOCAL search_path = pg_catalog',
        "SELECT set_config('search_path', 'pg_catalog', false)",
      ]) {
        await sink.transaction(({ tx }) => tx.query(sql));
        expect(await path()).toBe(expected);
      }
      const { rows } = await own.query("SELECT current_setting('search_path') AS path");
      expect(rows).toEqual([{ path: '"$user", public' }]);
    });
  });
});

/** The PostgreSQL sink on a real server: `npm run verify` starts one and names it in MILLRACE_TEST_POSTGRES. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { ledgerMigrations } from '../../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../../adapters/postgres/migrate.ts';
import { pgDriver } from '../../adapters/postgres/pg-driver.ts';
import { PostgresSink } from '../../adapters/postgres/postgres-sink.ts';
import { provision } from '../../adapters/postgres/provision.ts';
import type { SqlDriver } from '../../adapters/postgres/sql-driver.ts';
import { editorialAnalytics } from '../../lambdas/editorial-analytics/consumer.ts';
import { postgresSuite } from '../adapters/postgres/postgres-suite.ts';
import { provisionSuite } from '../adapters/postgres/provision-suite.ts';
import { expectedTables, readTables, type View } from '../fixtures/newsdesk/tables.ts';
import { handleBatch } from '../lambdas/editorial-analytics/pageviews.ts';
import { part } from './part.ts';

const url = part('MILLRACE_TEST_POSTGRES');

let databases = 0;

function openPool({ href }: URL, max: number, idleMs = 10_000) {
  const pool = new pg.Pool({ connectionString: href, max, idleTimeoutMillis: idleMs });
  // Its end() does not wait until the server has heard of it: DROP DATABASE may find a session, and end it.
  pool.on('error', () => {});
  return pool;
}

/** A database of the test's own, and a pool that logs in as `user`. */
async function openDatabase(user = 'postgres') {
  const name = `millrace_${databases++}`;
  const admin = new pg.Client({ connectionString: url });
  await admin.connect();
  await admin.query(`CREATE DATABASE ${name}`);
  const of = new URL(url!);
  of.pathname = name;
  of.username = user;
  const pool = openPool(of, 8);
  return {
    pool,
    admin,
    name,
    driver: pgDriver(pool),
    async close() {
      await pool.end();
      await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
      await admin.end();
    },
  };
}

postgresSuite('PostgreSQL', () => openDatabase(), { transactions: 'many' });

describe('provision() on PostgreSQL', () => {
  let database: Awaited<ReturnType<typeof openDatabase>>;
  const pools: pg.Pool[] = [];
  const logIn = (user: string) => {
    const of = new URL(url!);
    Object.assign(of, { pathname: database.name, username: encodeURIComponent(user) });
    // The server has few connections, and the suite many logins.
    const pool = openPool(of, 2, 1);
    pools.push(pool);
    return pool;
  };
  beforeAll(async () => {
    database = await openDatabase();
    // RDS has it; its members log in with tokens.
    await database.admin.query('CREATE ROLE rds_iam NOLOGIN');
    // As on RDS, where the administrator is no superuser.
    await database.admin.query('CREATE ROLE administrator LOGIN CREATEROLE');
    await database.admin.query('GRANT rds_iam TO administrator WITH ADMIN OPTION');
    await database.admin.query(`ALTER DATABASE ${database.name} OWNER TO administrator`);
    if (
      Number((await database.admin.query('SHOW server_version_num')).rows[0].server_version_num) < 150_000
    ) {
      // From 15 on, the database's owner owns its schema public.
      await database.pool.query('ALTER SCHEMA public OWNER TO administrator');
    }
  }, 120_000);
  afterAll(async () => {
    await Promise.all(pools.map((pool) => pool.end()));
    await database.close();
  });

  provisionSuite(() => ({
    admin: pgDriver(logIn('administrator')),
    as: async (role) => pgDriver(logIn(role)),
  }));

  test('a consumer’s role bounds what a lost function can hold, and logs in with a token where there are any', async () => {
    await provision(pgDriver(logIn('administrator')), [{ name: 'bounded', migrations: [] }]);
    const { rows } = await logIn('bounded').query(
      `SELECT current_setting('idle_in_transaction_session_timeout') AS idle, current_setting('lock_timeout') AS lock,
         current_setting('client_connection_check_interval') AS alive, pg_has_role('rds_iam', 'member') AS token`,
    );
    expect(rows).toEqual([{ idle: '1min', lock: '10s', alive: '5s', token: true }]);
  });

  test('a session that is idle ends where the database pauses, and nowhere else', async () => {
    const idle = async (pauses: boolean) => {
      await provision(pgDriver(logIn('administrator')), [{ name: 'idler', migrations: [] }], { pauses });
      const { rows } = await logIn('idler').query(`SELECT current_setting('idle_session_timeout') AS idle`);
      return rows[0].idle;
    };
    expect([await idle(false), await idle(true), await idle(false)]).toEqual(['0', '4min', '0']);
  });
});

describe('PostgresSink when the server intervenes', () => {
  const user = 'impatient';
  let database: Awaited<ReturnType<typeof openDatabase>>;
  let sink: PostgresSink;
  beforeAll(async () => {
    database = await openDatabase(user);
    await database.admin.query(`CREATE ROLE ${user} LOGIN SUPERUSER`);
    sink = new PostgresSink(database.driver);
    await migrate(database.driver, 'millrace', ledgerMigrations);
    await query('CREATE TABLE item (id int PRIMARY KEY, n int)');
    await query('INSERT INTO item VALUES (1, 0), (2, 0)');
  }, 120_000);
  afterAll(() => database.close());

  const query = (sql: string) => sink.transaction(({ tx }) => tx.query(sql)).then(({ rows }) => rows);
  const add = (id: number) => `UPDATE item SET n = n + 1 WHERE id = ${id}`;
  /** Runs `work` while sessions of the role have a setting; a pool's connections are made anew for it. */
  async function withRoleSetting(setting: string, work: (sink: PostgresSink) => Promise<void>) {
    await database.admin.query(`ALTER ROLE ${user} SET ${setting}`);
    const pool = new pg.Pool({ ...database.pool.options, max: 4 });
    try {
      await work(new PostgresSink(pgDriver(pool)));
    } finally {
      await pool.end();
      await database.admin.query(`ALTER ROLE ${user} RESET ALL`);
    }
  }
  /** Resolves when the role's sessions that match are as many as expected; jest's own limit ends a wait in vain. */
  async function sessions(count: number, where: string) {
    for (;;) {
      const { rows } = await database.admin.query(
        `SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = $1 AND usename = $2 AND ${where}`,
        [database.name, user],
      );
      if (rows[0].n === count) return;
    }
  }

  test('a session ended by an operator is SINK_UNAVAILABLE with the server’s reason, and the sink goes on', async () => {
    const outcome = sink.transaction(async ({ tx }) => {
      await tx.query(add(1));
      const { rows } = await tx.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      await database.admin.query('SELECT pg_terminate_backend($1)', [rows[0]!.pid]);
      await sessions(0, `pid = ${rows[0]!.pid}`);
      await tx.query(add(1));
    });
    await expect(outcome).rejects.toMatchObject({ code: 'SINK_UNAVAILABLE' });
    expect(await query('SELECT n FROM item WHERE id = 1')).toEqual([{ n: 0 }]);
  });

  test('idle_in_transaction_session_timeout frees the locks of a handler that went silent', () =>
    withRoleSetting(`idle_in_transaction_session_timeout = '50ms'`, async (impatient) => {
      const outcome = impatient.transaction(async ({ tx }) => {
        await tx.query(add(1));
        await sessions(0, `state = 'idle in transaction'`);
        await tx.query(add(1));
      });
      await expect(outcome).rejects.toMatchObject({ code: 'SINK_UNAVAILABLE' });
      expect(await query('SELECT n FROM item WHERE id = 1')).toEqual([{ n: 0 }]);
    }));

  test('lock_timeout makes a concurrent transaction that waits too long a SINK_CONFLICT', () =>
    withRoleSetting(`lock_timeout = '50ms'`, async (impatient) => {
      const key = { consumer: 'twins', epoch: 1 };
      const request = { topic: 't', partition: 0, from: 0, to: 1 };
      await sink.transaction(async (first) => {
        await first.lockLedgers(key, [request]);
        const twin = impatient.transaction((second) => second.lockLedgers(key, [request]));
        await expect(twin).rejects.toMatchObject({ code: 'SINK_CONFLICT', details: { sqlState: '55P03' } });
      });
    }));

  test('a deadlock is a SINK_CONFLICT for one of the two, and the other goes through', async () => {
    const bothHold = barrier(2);
    const cross = (first: number, second: number) =>
      sink.transaction(async ({ tx }) => {
        await tx.query(add(first));
        await bothHold();
        await tx.query(add(second));
      });
    const outcomes = await Promise.allSettled([cross(1, 2), cross(2, 1)]);
    const rejected = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(rejected).toHaveLength(1);
    expect(rejected[0]!.reason).toMatchObject({ code: 'SINK_CONFLICT', details: { sqlState: '40P01' } });
    expect(await query('SELECT n FROM item ORDER BY id')).toEqual([{ n: 1 }, { n: 1 }]);
  });

  test('a read-only server is SINK_UNAVAILABLE: it was the primary before a failover', () =>
    withRoleSetting('default_transaction_read_only = on', async (impatient) => {
      const outcome = impatient.transaction(({ tx }) => tx.query(add(1)));
      await expect(outcome).rejects.toMatchObject({
        code: 'SINK_UNAVAILABLE',
        details: { sqlState: '25006' },
      });
    }));

  test('a signal ends a statement that is running, and client_connection_check_interval its session', () =>
    withRoleSetting(`client_connection_check_interval = '50ms'`, async (impatient) => {
      const reason = new Error('out of time');
      const abandon = new AbortController();
      const outcome = impatient.transaction(({ tx }) => tx.query('SELECT pg_sleep(600)'), abandon.signal);
      await sessions(1, `query LIKE '%pg_sleep(600)%'`);
      abandon.abort(reason);
      await expect(outcome).rejects.toBe(reason);
      await sessions(0, `query LIKE '%pg_sleep(600)%'`);
    }));

  test('a batch that meets a new and a known partition takes no lock out of order', async () => {
    const key = { consumer: 'newcomers', epoch: 1 };
    const requests = [0, 1].map((partition) => ({ topic: 't', partition, from: 0, to: 1 }));
    const beforeCreate = gate();
    const beforeSecondLock = gate();
    const slow = new PostgresSink(
      hooked(database.driver, async (sql, count) => {
        if (sql.includes('INSERT INTO millrace_ledger')) await beforeCreate.pass();
        if (sql.includes('FOR UPDATE') && count > 1) await beforeSecondLock.pass();
      }),
    );
    // One finds neither partition, then a third makes partition 1, then it makes partition 0 …
    const one = slow.transaction(({ lockLedgers }) => lockLedgers(key, requests));
    await beforeCreate.reached;
    await sink.transaction(({ lockLedgers }) => lockLedgers(key, [requests[1]!]));
    beforeCreate.open();
    await beforeSecondLock.reached;
    // … while another finds partition 1 and wants partition 0. It must not hold partition 1 by now.
    const other = sink.transaction(({ lockLedgers }) => lockLedgers(key, requests));
    await sessions(1, `wait_event_type = 'Lock'`);
    beforeSecondLock.open();
    expect(await Promise.all([one, other])).toHaveLength(2);
  });
});

describe('editorial-analytics on PostgreSQL', () => {
  test('batches that meet in the same sessions at the same time all count, without a deadlock', async () => {
    const database = await openDatabase();
    try {
      const sink = new PostgresSink(database.driver);
      await migrate(database.driver, editorialAnalytics.name, editorialAnalytics.migrations);
      // Every row takes its time, so that two flushes are sure to overlap.
      await database.pool.query(`
        CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$;
        CREATE TRIGGER dawdle BEFORE INSERT ON session_engagement FOR EACH ROW EXECUTE FUNCTION dawdle()`);
      const sessions = ['s1', 's2', 's3', 's4'];
      const batchOf = (partition: number, order: readonly string[]) =>
        order.map(
          (sessionId, n): View => ({
            contentId: `/${partition}`,
            sessionId,
            occurredAt: 1_767_225_600_000 + n,
            engagedMs: 1,
          }),
        );
      const batches = [batchOf(0, sessions), batchOf(1, sessions.toReversed())];
      await Promise.all(batches.map((batch) => handleBatch(sink, batch)));
      expect(await readTables(sink)).toEqual(expectedTables(batches.flat()));
    } finally {
      await database.close();
    }
  }, 180_000);
});

/** Calls `before` ahead of each statement, with how often that very statement was sent on its connection. */
function hooked(driver: SqlDriver, before: (sql: string, count: number) => Promise<void>): SqlDriver {
  return {
    async begin() {
      const connection = await driver.begin();
      const counts = new Map<string, number>();
      return {
        async query(sql, parameters) {
          const count = (counts.get(sql) ?? 0) + 1;
          counts.set(sql, count);
          await before(sql, count);
          return connection.query(sql, parameters);
        },
        run: (script) => connection.run(script),
        commit: () => connection.commit(),
        rollback: () => connection.rollback(),
        retire: () => connection.retire(),
        destroy: () => connection.destroy(),
      };
    },
  };
}

/** A place where one waits until another opens it. */
function gate() {
  const arrival = Promise.withResolvers<void>();
  const opening = Promise.withResolvers<void>();
  return {
    reached: arrival.promise,
    open: opening.resolve,
    pass() {
      arrival.resolve();
      return opening.promise;
    },
  };
}

function barrier(parties: number): () => Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let arrived = 0;
  return () => {
    arrived++;
    if (arrived === parties) resolve();
    return promise;
  };
}

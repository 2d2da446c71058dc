import { EventEmitter } from 'node:events';
import type { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { pgDriver } from '../../../adapters/postgres/pg-driver.ts';
import { PostgresSink } from '../../../adapters/postgres/postgres-sink.ts';
import { createPglite } from '../../prepared-pglite.ts';
import { type PgliteServer, servePglite } from './pglite-server.ts';
import { postgresSuite } from './postgres-suite.ts';

async function openServer(): Promise<{
  pglite: PGlite;
  pool: pg.Pool;
  server: PgliteServer;
  close(): Promise<void>;
}> {
  const pglite = createPglite();
  const server = await servePglite(pglite);
  const pool = new pg.Pool({
    host: '127.0.0.1',
    port: server.port,
    user: 'postgres',
    database: 'postgres',
    max: 4,
  });
  return {
    pglite,
    pool,
    server,
    async close() {
      await pool.end();
      await server.close();
      await pglite.close();
    },
  };
}

postgresSuite(
  'pg',
  async () => {
    const { pool, close } = await openServer();
    return { driver: pgDriver(pool), close };
  },
  { transactions: 'one', sessions: 'shared' },
);

describe('pg when the connection breaks', () => {
  let database: Awaited<ReturnType<typeof openServer>>;
  let sink: PostgresSink;
  beforeAll(async () => {
    database = await openServer();
    sink = new PostgresSink(pgDriver(database.pool));
    await sink.transaction(({ tx }) => tx.query('CREATE TABLE item (n int)'));
  }, 120_000);
  afterAll(() => database.close());

  const unavailable = { code: 'SINK_UNAVAILABLE' };
  const items = () => sink.transaction(({ tx }) => tx.query('SELECT n FROM item')).then(({ rows }) => rows);

  test('between two statements: the next one is SINK_UNAVAILABLE, nothing stays, and the sink goes on after', async () => {
    const outcome = sink.transaction(async ({ tx }) => {
      await tx.query('INSERT INTO item VALUES (1)');
      database.server.disconnectAll();
      await tx.query('INSERT INTO item VALUES (2)');
    });
    await expect(outcome).rejects.toMatchObject(unavailable);
    expect(await items()).toEqual([]);
  });

  test('before COMMIT: SINK_UNAVAILABLE that says the outcome is unknown', async () => {
    const outcome = sink.transaction(async ({ tx }) => {
      await tx.query('INSERT INTO item VALUES (1)');
      database.server.disconnectAll();
    });
    await expect(outcome).rejects.toMatchObject({
      ...unavailable,
      message: expect.stringContaining('unknown'),
    });
    expect(await items()).toEqual([]);
  });

  test('while it is idle: the next transaction goes through, at the latest at the second try', async () => {
    await items();
    database.server.disconnectAll();
    await items().catch((error) => expect(error).toMatchObject(unavailable));
    expect(await items()).toEqual([]);
  });

  test('and nobody listens: SINK_UNAVAILABLE that names the reason', async () => {
    const { port } = database.server;
    await database.server.close();
    const pool = new pg.Pool({ host: '127.0.0.1', port, user: 'postgres' });
    const outcome = new PostgresSink(pgDriver(pool)).transaction(async () => {});
    await expect(outcome).rejects.toMatchObject({
      ...unavailable,
      message: expect.stringContaining('ECONNREFUSED'),
    });
    await pool.end();
  });
});

describe('a session of pg', () => {
  /** A client that answers each statement, but for those that fail, and says how it was released. */
  function fakeClient(failing: string[] = []) {
    const released: (boolean | Error | undefined)[] = [];
    const client = Object.assign(new EventEmitter(), {
      async query(statement: string | { text: string }) {
        const text = typeof statement === 'string' ? statement : statement.text;
        if (failing.some((each) => text.trim().startsWith(each)))
          throw new Error('the server does not answer');
        return { command: text, fields: [], rows: [], rowCount: 0 };
      },
      release: (destroy?: boolean) => released.push(destroy),
    });
    const driver = pgDriver({ connect: async () => client as unknown as pg.PoolClient });
    return { driver, released };
  }

  test.each([
    ['is given back after COMMIT', [], 'commit', false],
    ['is given back after ROLLBACK', [], 'rollback', false],
    ['that does not roll back is closed', ['ROLLBACK'], 'rollback', true],
    ['that does not commit is closed', ['COMMIT'], 'commit', true],
  ] as const)('%s, once', async (_, failing, end, isClosed) => {
    const { driver, released } = fakeClient([...failing]);
    const connection = await driver.begin();
    await connection[end]().catch(() => {});
    connection.destroy();
    expect(released).toEqual([isClosed]);
  });

  test('that may hold what a handler left in it is closed after COMMIT', async () => {
    const { driver, released } = fakeClient();
    const connection = await driver.begin();
    connection.retire();
    await connection.commit();
    expect(released).toEqual([true]);
  });

  test('has READ COMMITTED transactions, whatever the role’s default', async () => {
    const { pglite, pool, close } = await openServer();
    await pglite.exec(`SET default_transaction_isolation = 'serializable'`);
    const { rows } = await new PostgresSink(pgDriver(pool)).transaction(({ tx }) =>
      tx.query('SHOW transaction_isolation'),
    );
    expect(rows).toEqual([{ transaction_isolation: 'read committed' }]);
    await close();
  }, 120_000);

  test('that is broken off while it has a statement is closed, and the statement cancelled by another one', async () => {
    const asked: { text: string; values?: readonly string[] }[] = [];
    const released: (boolean | undefined)[] = [];
    const open = (answer: (text: string) => Promise<unknown>) =>
      Object.assign(new EventEmitter(), {
        query: (statement: string, values?: readonly string[]) => {
          const text = typeof statement === 'string' ? statement : (statement as { text: string }).text;
          asked.push({ text, ...(values && { values }) });
          return answer(text);
        },
        release: (destroy?: boolean) => released.push(destroy),
      }) as unknown as pg.PoolClient;
    const busy = open(async (text) => {
      if (text.includes('BEGIN')) return [{}, { rows: [{ pid: '4711', begun: '2026-11-26 10:00:00+00' }] }];
      return new Promise(() => {});
    });
    const clients = [busy, open(async () => ({ rows: [] }))];
    const connection = await pgDriver({ connect: async () => clients.shift()! }).begin();
    void connection.query('SELECT pg_sleep(30)', []);
    connection.destroy();
    await new Promise(setImmediate);
    expect(asked.at(-1)).toEqual({
      text: expect.stringContaining('pg_cancel_backend'),
      values: ['4711', '2026-11-26 10:00:00+00'],
    });
    expect(released).toEqual([true, undefined]);
  });

  test('that cannot begin a transaction is closed', async () => {
    const { driver, released } = fakeClient(['BEGIN ISOLATION LEVEL READ COMMITTED']);
    await expect(driver.begin()).rejects.toThrow('does not answer');
    expect(released).toEqual([true]);
  });
});

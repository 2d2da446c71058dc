import { EventEmitter } from 'node:events';
import type { PGlite } from '@electric-sql/pglite';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { ledgerMigrations } from '../../../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../../../adapters/postgres/migrate.ts';
import { pgDriver } from '../../../adapters/postgres/pg-driver.ts';
import { PostgresSink } from '../../../adapters/postgres/postgres-sink.ts';
import { RoundTrip } from '../../../adapters/postgres/round-trip.ts';
import { createPglite } from '../../prepared-pglite.ts';
import { type PgliteServer, servePglite } from './pglite-server.ts';
import { postgresSuite } from './postgres-suite.ts';

type Response = (string | null)[][] | Error | 'nothing';

/** A client of pg's whose server gives each statement rows, an error or no answer; with what it was asked, and how it was released. */
function answeringClient(respond: (text: string) => Response) {
  const asked: { text: string; values?: readonly string[] }[] = [];
  const released: (boolean | undefined)[] = [];
  const sent: string[] = [];
  const take = (roundTrip: RoundTrip) => {
    const texts: string[] = [];
    const stream = { cork: () => sent.push('cork'), uncork: () => sent.push('uncork') };
    const connection = {
      stream,
      parse({ text }: { text: string }) {
        texts.push(text);
        sent.push(text);
      },
      bind() {},
      describe() {},
      execute() {},
      flush: () => sent.push('flush'),
      sync: () => sent.push('sync'),
    };
    roundTrip.submit(connection as never);
    setImmediate(() => {
      for (const text of texts) {
        const response = respond(text);
        if (response === 'nothing') return;
        if (response instanceof Error) {
          roundTrip.handleError(response);
          break;
        }
        roundTrip.handleRowDescription({ fields: [] });
        for (const fields of response) roundTrip.handleDataRow({ fields });
        roundTrip.handleCommandComplete({ text: text.split(' ')[0]! });
      }
      roundTrip.handleReadyForQuery();
    });
  };
  const client = Object.assign(new EventEmitter(), {
    query(statement: string | RoundTrip, values?: readonly string[]) {
      if (typeof statement !== 'string') return take(statement);
      asked.push({ text: statement, ...(values && { values }) });
      const response = respond(statement);
      if (response instanceof Error) return Promise.reject(response);
      return Promise.resolve({ command: statement, fields: [], rows: [], rowCount: 0 });
    },
    release: (destroy?: boolean) => released.push(destroy),
  }) as unknown as pg.PoolClient;
  return { client, asked, released, sent };
}

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

const ONE_SETTLED = {
  topic: 't',
  partition: 0,
  first: 0,
  next: 1,
  maxTimestamp: 0,
  closed: [],
  deadLettered: [],
  skipped: [],
};

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

  test('before the ledger is written with COMMIT: SINK_UNAVAILABLE that says the outcome is unknown', async () => {
    await migrate(pgDriver(database.pool), 'millrace', ledgerMigrations);
    const key = { consumer: 'lost', epoch: 1 };
    const outcome = sink.transaction(async ({ tx, lockLedgers, writeLedgers }) => {
      await lockLedgers(key, [{ topic: 't', partition: 0, from: 0, to: 1 }]);
      await tx.query('INSERT INTO item VALUES (1)');
      database.server.disconnectAll();
      await writeLedgers(key, [ONE_SETTLED]);
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
    const { client, released } = answeringClient((text) =>
      failing.some((each) => text.startsWith(each)) ? new Error('the server does not answer') : [],
    );
    return { driver: pgDriver({ connect: async () => client }), released };
  }

  test.each([
    ['is given back after COMMIT', [], 'commit', false],
    ['is given back after ROLLBACK', [], 'rollback', false],
    ['that does not roll back is closed', ['ROLLBACK'], 'rollback', true],
    ['that does not commit is closed', ['COMMIT'], 'commit', true],
  ] as const)('%s, once', async (_, failing, end, isClosed) => {
    const { driver, released } = fakeClient([...failing]);
    const connection = await driver.begin();
    await connection.query('SELECT 1', []);
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
    const busy = answeringClient((text) => {
      if (text.includes('pg_backend_pid')) return [['4711', '2026-11-26 10:00:00+00']];
      return text.includes('pg_sleep') ? 'nothing' : [];
    });
    const other = answeringClient(() => []);
    const clients = [busy.client, other.client];
    const connection = await pgDriver({ connect: async () => clients.shift()! }).begin();
    // With its very first statement, which may be the one that waits for a lock.
    void connection.query('SELECT pg_sleep(30)', []);
    await new Promise(setImmediate);
    connection.destroy();
    await new Promise(setImmediate);
    expect(other.asked).toEqual([
      { text: expect.stringContaining('pg_cancel_backend'), values: ['4711', '2026-11-26 10:00:00+00'] },
    ]);
    expect(busy.released).toEqual([true]);
    expect(other.released).toEqual([undefined]);
  });

  test('that cannot begin a transaction is closed', async () => {
    const { driver, released } = fakeClient(['BEGIN ISOLATION LEVEL READ COMMITTED', 'ROLLBACK']);
    const connection = await driver.begin();
    await expect(connection.query('SELECT 1', [])).rejects.toThrow('does not answer');
    await connection.rollback();
    expect(released).toEqual([true]);
  });
});

describe('a round trip of pg', () => {
  const statements = (...texts: string[]) => texts.map((sql) => ({ sql, parameters: [] }));

  test('begins with the first statement, and commits with the last', async () => {
    const { client, sent } = answeringClient(() => []);
    const connection = await pgDriver({ connect: async () => client }).begin();
    await connection.query('lock', []);
    expect(await connection.commit({ sql: 'write', parameters: [] })).toBe(true);
    expect(sent.map((each) => each.split(' ')[0])).toEqual([
      ...['cork', 'BEGIN', 'SELECT', 'flush', 'lock', 'sync', 'uncork'],
      ...['cork', 'write', 'COMMIT', 'sync', 'uncork'],
    ]);
  });

  test('costs nothing for a transaction that does nothing, whichever way it ends', async () => {
    const { client, asked, sent, released } = answeringClient(() => []);
    const driver = pgDriver({ connect: async () => client });
    expect(await (await driver.begin()).commit()).toBe(true);
    await (await driver.begin()).rollback();
    expect([...asked, ...sent]).toEqual([]);
    expect(released).toEqual([false, false]);
  });

  test('gives each statement its own answer, and none after one that fails', async () => {
    const error = new Error('no');
    const { client } = answeringClient((text) => (text === 'c' ? error : [[text]]));
    const answered: unknown[] = [];
    const failing = new RoundTrip(statements('a', 'b', 'c', 'd'), (at, { rows }) =>
      answered.push([at, rows]),
    );
    client.query(failing);
    await expect(failing.answered).rejects.toBe(error);
    expect(answered).toEqual([
      [0, [['a']]],
      [1, [['b']]],
    ]);
    const sound = new RoundTrip(statements('a', 'b'));
    client.query(sound);
    expect((await sound.answered).map(({ rows }) => rows)).toEqual([[['a']], [['b']]]);
  });

  test('of which a statement is not answered fails', async () => {
    const roundTrip = new RoundTrip(statements('a', 'COMMIT'));
    roundTrip.handleCommandComplete({ text: 'a' });
    roundTrip.handleReadyForQuery();
    await expect(roundTrip.answered).rejects.toThrow('fewer statements');
  });

  test('whose last statement fails leaves the session rolled back, and usable', async () => {
    const { client, asked, released } = answeringClient((text) => (text === 'write' ? new Error('no') : []));
    const connection = await pgDriver({ connect: async () => client }).begin();
    await connection.query('lock', []);
    await expect(connection.commit({ sql: 'write', parameters: [] })).rejects.toThrow('no');
    expect(asked).toEqual([{ text: 'ROLLBACK' }]);
    expect(released).toEqual([false]);
  });

  test('that is answered by ROLLBACK has not committed', async () => {
    const { client } = answeringClient(() => []);
    const connection = await pgDriver({ connect: async () => client }).begin();
    const committed = connection.commit({ sql: 'write', parameters: [] });
    await expect(committed).resolves.toBe(true);
    const answers: RoundTrip[] = [];
    const rolledBack = await pgDriver({
      connect: async () =>
        Object.assign(new EventEmitter(), {
          query: (roundTrip: RoundTrip) => {
            answers.push(roundTrip);
            for (const text of ['BEGIN', 'SELECT 1', 'SELECT 1', 'ROLLBACK'])
              roundTrip.handleCommandComplete({ text });
            roundTrip.handleReadyForQuery();
          },
          release() {},
        }) as unknown as pg.PoolClient,
    }).begin();
    expect(await rolledBack.commit({ sql: 'write', parameters: [] })).toBe(false);
  });
});

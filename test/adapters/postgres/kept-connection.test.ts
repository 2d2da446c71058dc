import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import type { PoolClient } from 'pg';
import Client from 'pg/lib/client.js';
import { keptConnection } from '../../../adapters/postgres/kept-connection.ts';
import { type PgConnections, pgDriver } from '../../../adapters/postgres/pg-driver.ts';
import { createPglite } from '../../prepared-pglite.ts';
import { type PgliteServer, servePglite } from './pglite-server.ts';
import { postgresSuite } from './postgres-suite.ts';

const connectTo = (port: number) => () =>
  new Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' });

async function openServer() {
  const pglite = createPglite();
  const server = await servePglite(pglite);
  return {
    server,
    async close() {
      await server.close();
      await pglite.close();
    },
  };
}

postgresSuite(
  'pg, one connection kept',
  async () => {
    const { server, close } = await openServer();
    return { driver: pgDriver(keptConnection(connectTo(server.port))), close };
  },
  { transactions: 'one', sessions: 'shared' },
);

describe('keptConnection', () => {
  let database: { readonly server: PgliteServer; close(): Promise<void> };
  let opened: Client[];
  let connections: PgConnections;
  beforeAll(async () => {
    database = await openServer();
  }, 120_000);
  afterAll(() => database.close());
  beforeEach(() => {
    opened = [];
    const create = connectTo(database.server.port);
    connections = keptConnection(() => {
      const client = create();
      opened.push(client);
      return client;
    });
  });

  const one = (client: PoolClient) => client.query('SELECT 1 AS n').then(({ rows }) => rows);
  const ended = (client: Client) => new Promise((resolve) => client.once('end', resolve));

  test('opens one when it is first asked, and gives the same one every time after', async () => {
    expect(opened).toHaveLength(0);
    for (let uses = 0; uses < 3; uses++) {
      const client = await connections.connect();
      expect(await one(client)).toEqual([{ n: 1 }]);
      client.release();
    }
    expect(opened).toHaveLength(1);
  });

  test('replaces one that broke while nobody used it', async () => {
    (await connections.connect()).release();
    const end = ended(opened[0]!);
    database.server.disconnectAll();
    await end;
    const client = await connections.connect();
    expect(await one(client)).toEqual([{ n: 1 }]);
    client.release();
    expect(opened).toHaveLength(2);
  });

  test('replaces one that broke in use, though it was released as if it had not', async () => {
    const client = await connections.connect();
    const end = ended(opened[0]!);
    database.server.disconnectAll();
    await end;
    client.release();
    expect(await one(await connections.connect())).toEqual([{ n: 1 }]);
    expect(opened).toHaveLength(2);
  });

  test('closes one that is given up', async () => {
    const client = await connections.connect();
    const end = ended(opened[0]!);
    client.release(true);
    await end;
    (await connections.connect()).release();
    expect(opened).toHaveLength(2);
  });

  test('opens a second one beside the first in use, and keeps one of the two', async () => {
    const first = await connections.connect();
    const second = await connections.connect();
    expect(opened).toHaveLength(2);
    first.release();
    const end = ended(opened[1]!);
    second.release();
    await end;
    (await connections.connect()).release();
    expect(opened).toHaveLength(2);
  });

  test('rejects when it cannot connect, and tries anew the next time', async () => {
    let port = 1;
    const failing = keptConnection(() => connectTo(port)());
    await expect(failing.connect()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    port = database.server.port;
    expect(await one(await failing.connect())).toEqual([{ n: 1 }]);
  });
});

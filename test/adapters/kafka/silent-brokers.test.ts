import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { Base } from '@platformatic/kafka';
import { SilentBrokers } from '../../../adapters/kafka/silent-brokers.ts';

/** Two that take requests and say nothing, as brokers that hang. */
let servers: { readonly server: Server; readonly address: string; requests: number }[];
let sockets: Socket[];
let clients: Base[];
let now: number;
let silent: SilentBrokers;

beforeEach(async () => {
  sockets = [];
  clients = [];
  now = 0;
  servers = [];
  for (let n = 0; n < 2; n++) {
    const server = createServer((socket) => {
      sockets.push(
        socket
          .on('error', () => {})
          .on('data', () => {
            entry.requests++;
            server.emit('asked');
          }),
      );
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const entry = { server, address: `127.0.0.1:${(server.address() as AddressInfo).port}`, requests: 0 };
    servers.push(entry);
  }
  silent = new SilentBrokers(
    servers.map(({ address }) => address),
    () => now,
  );
});
afterEach(async () => {
  for (const client of clients) await client.close();
  for (const socket of sockets) socket.destroy();
  for (const { server } of servers) server.close();
});

/** One that tries again so often, and knows the first broker only. */
function open(retries: number, requestTimeout = 100): Base {
  const client = silent.watch(
    new Base({
      clientId: 'test',
      bootstrapBrokers: [servers[0]!.address],
      requestTimeout,
      retries,
      retryDelay: 1,
    }),
  );
  clients.push(client);
  return client;
}
/** Asks in vain, and until the connection is closed. */
async function fails(retries: number): Promise<void> {
  await expect(open(retries).listApis()).rejects.toThrow();
  await closed();
}
/** A socket's end is told after the first of these. */
async function closed(): Promise<void> {
  for (let turns = 0; turns < 2; turns++) await new Promise((resolve) => setImmediate(resolve));
}
const asked = () => servers.map(({ requests }) => requests);

test('a broker that did not answer is passed by, by every client, until its time is over', async () => {
  await fails(0);
  expect(asked()).toEqual([1, 0]);
  await fails(0);
  expect(asked()).toEqual([1, 1]);
  // Nobody is left to ask: that is told at once, without a request.
  await fails(5);
  expect(asked()).toEqual([1, 1]);
  now = 10_000;
  await fails(0);
  expect(asked()).toEqual([2, 1]);
});

test('a broker that ended the connection is asked again at once', async () => {
  servers[0]!.server.on('connection', (socket) => socket.on('data', () => socket.destroy()));
  await fails(2);
  // The second attempt begins with the next broker, which is silent.
  expect(asked()).toEqual([2, 1]);
});

test('a broker whose answer the client refuses is not taken for silent', async () => {
  // How a listener with TLS answers a client without.
  servers[0]!.server.on('connection', (socket) =>
    socket.on('data', () => socket.write(Buffer.from([21, 3, 3, 0, 2, 2, 40]))),
  );
  for (let asking = 1; asking <= 2; asking++) {
    await expect(open(0).listApis()).rejects.toThrow(/TLS/);
    await closed();
    expect(asked()).toEqual([asking, 0]);
  }
});

test.each([
  ['in time, tells the others', 3_000, [1, 1]],
  ['too soon, tells nobody', 2_999, [2, 0]],
])('a client that is given up %s', async (_, afterMs, both) => {
  const client = open(0, 60_000);
  client.listApis().catch(() => {});
  await once(servers[0]!.server, 'asked');
  now = afterMs;
  silent.giveUp(client);
  await fails(0);
  expect(asked()).toEqual(both);
});

test('a connection that was quiet for long says nothing of its broker', async () => {
  const client = open(0);
  const asking = client.listApis();
  await once(servers[0]!.server, 'asked');
  now = 60_001;
  await expect(asking).rejects.toThrow();
  await closed();
  await fails(0);
  expect(asked()).toEqual([2, 0]);
});

test('a broker that was silent is the last to be asked, also when it may be asked again', async () => {
  await fails(0);
  now = 10_000;
  await fails(0);
  expect(asked()).toEqual([1, 1]);
});

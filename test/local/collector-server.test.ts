import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { afterEach, expect, test } from '@jest/globals';
import { createContractSchemaRegistry } from '../../adapters/contract-schema-registry.ts';
import {
  type CollectorServer,
  type CollectorServerOptions,
  serveCollector,
} from '../../local/collector-server.ts';
import { exampleEvent } from '../../local/publishing/generated-traffic.ts';
import type { Producer } from '../../runtime/topics.ts';
import { createFakeClock } from '../../testing/fake-clock.ts';
import { createMemoryLog } from '../../testing/memory-log.ts';
import { collected } from '../fixtures/newsdesk/lambdas/collector/collector.ts';
import { codeOf } from '../rejection.ts';

const [topic] = collected;
const EVENT = JSON.stringify(exampleEvent(topic, 1_764_000_000_000));
const servers: CollectorServer[] = [];
afterEach(() => Promise.all(servers.splice(0).map((server) => server.close())));

const log = createMemoryLog({ clock: createFakeClock() });
await log.createTopic(topic.name, 1);

async function open(options: Partial<CollectorServerOptions> = {}) {
  const server = await serveCollector({
    collected,
    limits: {},
    registry: createContractSchemaRegistry(collected),
    producer: log,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    allowedOrigins: [],
    port: 0,
    ...options,
  });
  servers.push(server);
  return {
    server,
    post: (
      body: string | Uint8Array<ArrayBuffer>,
      path = `/events/${topic.name}`,
      headers: Record<string, string> = {},
    ) =>
      fetch(server.url + path, {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/json', ...headers },
      }),
  };
}

test('serves the handler: events by topic, answers with status, headers and body', async () => {
  const { server, post } = await open({ allowedOrigins: ['http://localhost:3000'] });
  const answer = await post(EVENT, undefined, { Origin: 'http://localhost:3000' });
  expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([
    202,
    'http://localhost:3000',
  ]);
  expect(await answer.json()).toMatchObject({ accepted: 1 });
  expect((await post(EVENT, `/events/${topic.name}/?x=1`)).status).toBe(202);
  expect(server.accepted()).toBe(2);
  for (const path of ['/', '/events', '/events/payments', `/events/${topic.name}/more`]) {
    expect((await post(EVENT, path)).status).toBe(404);
  }
});

/** As no client of today's sends it: fetch() writes targets and hosts of its own. */
async function send(url: string, target: string, host: string): Promise<number> {
  const { port } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1');
  const head = [
    `POST ${target} HTTP/1.1`,
    `Host: ${host}`,
    'Content-Type: application/json',
    `Content-Length: ${EVENT.length}`,
    'Connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${EVENT}`);
  const answer = Buffer.concat(await Array.fromAsync(socket as AsyncIterable<Buffer>)).toString();
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
}

test('takes a target in every form that HTTP gives it', async () => {
  const { server } = await open();
  const { host } = new URL(server.url);
  const encoded = topic.name.replace('.', '%2E');
  for (const target of [
    `http://${host}/events/${topic.name}`,
    `HTTP://localhost/events/${topic.name}?x=1`,
    `/events/${encoded}`,
    `http://${host}/events/${encoded}/`,
  ])
    expect([target, await send(server.url, target, host)]).toEqual([target, 202]);
  for (const target of [
    '*',
    '/events/%',
    '/events/%ff',
    '/events/a%2Fb',
    `//events/${topic.name}`,
    `http://${host}`,
  ])
    expect([target, await send(server.url, target, host)]).toEqual([target, 404]);
});

test('refuses what is for another host: a page may have its own name lead to this machine', async () => {
  const { server } = await open();
  const { host, port } = new URL(server.url);
  const target = `/events/${topic.name}`;
  for (const its of ['localhost', `LOCALHOST:${port}`, `app.localhost:${port}`, '127.0.0.1', `[::1]:${port}`])
    expect([its, await send(server.url, target, its)]).toEqual([its, 202]);
  for (const its of [
    'evil.example',
    `evil.example:${port}`,
    '127.0.0.1.evil.example',
    'localhost.evil.example',
    '',
  ])
    expect([its, await send(server.url, target, its)]).toEqual([its, 403]);
  // The target's own authority counts: https://www.rfc-editor.org/rfc/rfc9112#section-3.2.2 (2026-11-26)
  expect(await send(server.url, `http://evil.example${target}`, host)).toBe(403);
  expect(await send(server.url, `http://${host}${target}`, 'evil.example')).toBe(202);
});

test('refuses a page that is not on the list: any that is open in a browser here could send', async () => {
  const { post } = await open();
  expect((await post(EVENT, undefined, { Origin: 'https://evil.example' })).status).toBe(403);
});

test('takes no more of a body than Lambda would', async () => {
  const { post } = await open();
  expect((await post('x'.repeat(2 * 1_048_576))).status).toBe(413);
  const tooLarge = await post(new Uint8Array(7 * 1_048_576)).then(
    ({ status }) => status,
    () => 'hung up',
  );
  // The answer can overtake what is still being sent.
  expect([413, 'hung up']).toContain(tooLarge);
  expect((await post(EVENT)).status).toBe(202);
});

test('a port that is taken is said, unless any will do', async () => {
  const { server } = await open();
  const port = Number(new URL(server.url).port);
  expect(await codeOf(open({ port }))).toBe('INPUT_INVALID');
  const [first, second] = [await open({ port: undefined }), await open({ port: undefined })];
  expect(first.server.url).not.toBe(second.server.url);
});

/** Its first request waits for `release`. */
function holdsFirst() {
  const sending = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  let sent = 0;
  const producer: Producer = {
    async send(...args) {
      if (++sent === 1) {
        sending.resolve();
        await release.promise;
      }
      return log.send(...args);
    },
  };
  return { producer, sending: sending.promise, release: release.resolve };
}

test('when closed, a request that is not whole yet is neither published nor answered', async () => {
  const { producer, sending, release } = holdsFirst();
  const { server, post } = await open({ producer });
  const late = request(`${server.url}/events/${topic.name}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'content-length': EVENT.length },
  });
  const outcome = once(late, 'response').then(
    () => 'answered',
    () => 'hung up',
  );
  late.write(EVENT.slice(0, 9));
  const answering = post(EVENT);
  await sending;
  const closing = server.close();
  late.end(EVENT.slice(9));
  expect(await outcome).toBe('hung up');
  release();
  expect((await answering).status).toBe(202);
  await closing;
  expect(server.accepted()).toBe(1);
});

test('when closed, what was taken is published and answered; a caller that dawdles is not waited for', async () => {
  const { producer, sending, release } = holdsFirst();
  const { server, post } = await open({ producer });
  const dawdling = connect(Number(new URL(server.url).port), '127.0.0.1');
  await once(dawdling, 'connect');
  dawdling.on('error', () => {}).write('POST /events/x HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{');
  const answering = post(EVENT);
  await sending;
  const closing = server.close();
  release();
  expect((await answering).status).toBe(202);
  await closing;
  await expect(post(EVENT)).rejects.toThrow('fetch failed');
});

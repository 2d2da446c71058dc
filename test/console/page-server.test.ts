import { once } from 'node:events';
import { connect } from 'node:net';
import { afterEach, expect, jest, test } from '@jest/globals';
import fc from 'fast-check';
import type { Guard } from '../../console/guard.ts';
import {
  type PageServer,
  type PageServerOptions,
  type Route,
  servePages,
} from '../../console/page-server.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { codeOf } from '../rejection.ts';
import { type RawRequest, rawRequest } from './raw-request.ts';

const servers: PageServer[] = [];
afterEach(() => Promise.all(servers.splice(0).map((server) => server.close())));

const ROUTES: readonly Route[] = [
  { method: 'GET', path: '/api/status', answer: () => ({ secret: 'lag' }) },
  { method: 'GET', path: '/api/echo/:word', answer: ({ parameters }) => parameters },
  { method: 'POST', path: '/api/do', answer: ({ body }) => ({ did: body }) },
  {
    method: 'GET',
    path: '/api/live',
    async stream(events, { signal }) {
      events.send('status', 1);
      if (!signal.aborted) await once(signal, 'abort');
    },
  },
];

async function open(options: Partial<PageServerOptions> = {}) {
  let guard!: Guard;
  const server = await servePages({
    assets: { '/assets/a.js': { type: 'text/javascript', body: 'let a;' } },
    page: (path) => (path.startsWith('/no') ? undefined : '<!doctype html><p>page</p>'),
    port: 0,
    ...options,
    routes: (its) => {
      guard = its;
      return options.routes?.(its) ?? ROUTES;
    },
  });
  servers.push(server);
  const { port } = server;
  const own = `Host: 127.0.0.1:${port}`;
  const cookie = `Cookie: ${guard.cookie(port).split(';')[0]}`;
  return {
    server,
    port,
    guard,
    own,
    cookie,
    raw: (request: RawRequest) => rawRequest(port, request),
    /** As the page itself asks. */
    ask: (target: string, method = 'GET', head: readonly string[] = [], body?: string) =>
      rawRequest(port, {
        method,
        target,
        head: [own, cookie, ...head],
        ...(body !== undefined && { body }),
      }),
  };
}

test('a file that is not there is no page', async () => {
  const { ask } = await open();
  for (const target of [
    '/assets/b.js',
    '/assets/',
    '/assets/deep/a.js',
    '/assets/a.js/more',
    '/api',
    '/api/nothing',
  ])
    expect([target, (await ask(target)).status]).toEqual([target, 404]);
  expect((await ask('/assetsofmine')).status).toBe(200);
});

test('without the cookie nothing is answered but how to open the page', async () => {
  const { raw, own } = await open();
  for (const target of ['/api/status', '/api/nothing', '/', '/assets/a.js', '/failures'])
    expect([target, (await raw({ target, head: [own] })).status]).toEqual([target, 401]);
  const { body } = await raw({ target: '/api/status?token=wrong', head: [own] });
  expect(body).not.toContain('lag');
  expect(body).not.toContain('wrong');
});

test('who is not signed in reads which command prints the URL, in a page whose style is the only file there is', async () => {
  const { raw, own } = await open();
  const { body } = await raw({ target: '/failures', head: [own] });
  expect(body).toMatch(/npx millrace console<\/code>.*prints the URL/);
  expect(body).toContain('npm start');
  const linked = [...body.matchAll(/(?:href|src)="([^"]*)"/g)].map(([, path]) => path!);
  expect(linked).toEqual(['/assets/plain.css']);
  const style = await raw({ target: linked[0]!, head: [own] });
  expect([style.status, style.headers['content-type']]).toEqual([200, 'text/css']);
  expect(style.body).not.toMatch(/url\(|@import/);
  for (const target of ['/assets/', '/assets/plain.css/', '/assets/plain.css/../a.js', '/assets/PLAIN.CSS'])
    expect([target, (await raw({ target, head: [own] })).status]).toEqual([target, 401]);
  expect((await raw({ target: linked[0]!, head: [own], method: 'POST', body: '{}' })).status).toBe(401);
  expect((await raw({ target: linked[0]!, head: ['Host: evil.example'] })).status).not.toBe(200);
});

test('the token becomes a cookie, and leaves the address', async () => {
  const { raw, own, server, ask, guard } = await open();
  const { pathname, search } = new URL(server.url);
  const { status, headers } = await raw({ target: pathname + search, head: [own] });
  expect([status, headers.location]).toEqual([303, `/#csrf=${guard.csrf}`]);
  const cookie = headers['set-cookie']!;
  expect(cookie).toMatch(/; HttpOnly; SameSite=Strict; Path=\/$/);
  expect((await raw({ target: '/api/status', head: [own, `Cookie: ${cookie.split(';')[0]}`] })).body).toBe(
    '{"secret":"lag"}',
  );
  expect((await ask('/api/status')).status).toBe(200);
});

test('the token signs in by the first URL only: in no header, no form, no other method', async () => {
  const { raw, own, guard } = await open();
  for (const request of [
    { target: '/api/status', head: [own, `Authorization: Bearer ${guard.token}`] },
    { target: '/api/status', head: [own, `Cookie: token=${guard.token}`] },
    { target: `/api/status?token=${guard.token}`, head: [own], method: 'HEAD' },
    { target: `/api/do?token=${guard.token}`, head: [own], method: 'POST', body: '{}' },
  ]) {
    const { status, headers } = await raw(request);
    expect([status, headers['set-cookie']]).toEqual([401, undefined]);
  }
});

test('signing in leads nowhere but to this server, whatever the path', async () => {
  const { raw, own, guard, port } = await open();
  const locationOf = async (path: string) => {
    const target = `${path}${path.includes('?') ? '&' : '?'}token=${guard.token}`;
    const { status, headers } = await raw({ target, head: [own] });
    expect([path, status]).toEqual([path, 303]);
    return headers.location!.replace(/#csrf=.*$/, '');
  };
  const origin = `http://127.0.0.1:${port}`;
  for (const [path, location] of [
    ['//evil.example/', '/evil.example/'],
    ['///evil.example', '/evil.example'],
    ['/\\evil.example/', '/evil.example/'],
    ['/\\/evil.example', '/evil.example'],
    ['/.//evil.example', '/evil.example'],
    ['/x/..//evil.example/', '/evil.example/'],
    ['/%2e//evil.example', '/evil.example'],
    ['//user@evil.example:80/?q=1', '/user@evil.example:80/?q=1'],
    ['/failures?consumer=a%20b&x=//evil.example', '/failures?consumer=a+b&x=%2F%2Fevil.example'],
    ['/%0d%0aSet-Cookie:x=y', '/%0d%0aSet-Cookie:x=y'],
    ['//', '/'],
    ['//:', '/:'],
  ])
    expect([path, await locationOf(path!)]).toEqual([path, location]);
  const segment = fc.constantFrom('/', '\\', '.', '..', '%2e', '%2f', '%5c', 'evil.example', ':', '@', 'a');
  await fc.assert(
    fc.asyncProperty(fc.array(segment, { maxLength: 6 }), async (segments) => {
      const location = await locationOf(`/${segments.join('')}`);
      expect(new URL(location, origin).origin).toBe(origin);
    }),
    { numRuns: 50 },
  );
});

test('a browser that comes from another site is sent on by the page: it leaves out a strict cookie on the way', async () => {
  const { raw, own, guard } = await open();
  const { status, body, headers } = await raw({
    target: `/failures?q="><script>alert(1)</script>&token=${guard.token}`.replaceAll(' ', '%20'),
    head: [own, 'Sec-Fetch-Site: cross-site', 'Sec-Fetch-Mode: navigate', 'Sec-Fetch-Dest: document'],
  });
  expect([status, headers['set-cookie']]).toEqual([200, expect.stringContaining('millrace-')]);
  expect(body).toContain('content="0;url=/failures?q=%22%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E#csrf=');
  expect(body).not.toContain('<script');
  expect(body).not.toContain(guard.token);
});

test('a foreign host is refused, with the cookie and the token too', async () => {
  const { raw, cookie, guard, port } = await open();
  for (const host of ['evil.example', `evil.example:${port}`, `127.0.0.1:${port + 1}`, '127.0.0.1', '']) {
    const request = { target: `/api/status?token=${guard.token}`, head: [`Host: ${host}`, cookie] };
    const { status, body, headers } = await raw(request);
    expect([host, status, headers['set-cookie']]).toEqual([host, 421, undefined]);
    expect(body).not.toContain('lag');
  }
  // HTTP asks for one: https://www.rfc-editor.org/rfc/rfc9112#section-3.2 (2026-11-27)
  expect((await raw({ target: '/api/status', head: [cookie] })).status).toBe(400);
  expect((await raw({ target: '/api/status', head: [cookie], version: '1.0' })).status).toBe(421);
  const both = [`Host: 127.0.0.1:${port}`, 'Host: evil.example', cookie];
  expect((await raw({ target: '/api/status', head: both })).status).toBe(421);
});

test('a target with a host of its own is refused', async () => {
  const { ask, port } = await open();
  for (const target of [`http://127.0.0.1:${port}/api/status`, 'http://evil.example/api/status', '*'])
    expect([target, (await ask(target)).status]).toEqual([target, 421]);
  expect((await ask('//evil.example/api/status')).body).not.toContain('lag');
});

test('a foreign origin is refused in every method, before anything is done', async () => {
  const did = jest.fn();
  const routes = () => [{ method: 'POST', path: '/api/do', answer: did } as const];
  const { ask, guard, port } = await open({ routes });
  const csrf = `X-Millrace-Csrf: ${guard.csrf}`;
  for (const origin of ['https://evil.example', 'null', `http://127.0.0.1:${port + 1}`, 'file://'])
    for (const method of ['GET', 'HEAD', 'POST', 'OPTIONS', 'PUT'])
      expect([
        origin,
        method,
        (
          await ask(
            '/api/do',
            method,
            [`Origin: ${origin}`, csrf, 'Content-Type: application/json'],
            method === 'POST' ? '{}' : undefined,
          )
        ).status,
      ]).toEqual([origin, method, 403]);
  expect(did).not.toHaveBeenCalled();
});

test('no answer allows another origin anything, a preflight neither', async () => {
  const { ask, raw, own, port } = await open();
  const preflight = [
    'Access-Control-Request-Method: POST',
    'Access-Control-Request-Headers: x-millrace-csrf,content-type',
  ];
  const answers = [
    await ask('/api/do', 'OPTIONS', ['Origin: https://evil.example', ...preflight]),
    await ask('/api/do', 'OPTIONS', [`Origin: http://127.0.0.1:${port}`, ...preflight]),
    await ask('/api/status'),
    await ask('/'),
    await ask('/assets/a.js'),
    await ask('/api/nothing'),
    await raw({ target: '/', head: [own] }),
    await raw({ target: '/', head: ['Host: evil.example'] }),
  ];
  for (const { headers } of answers) {
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    expect(headers['content-security-policy']).toMatch(/^default-src 'none'; script-src 'self';/);
    expect(headers['content-security-policy']).not.toContain('unsafe');
    expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
    expect(headers).toMatchObject({
      'x-frame-options': 'DENY',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'cache-control': 'no-store',
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-resource-policy': 'same-origin',
    });
  }
  expect(answers[0]!.status).toBe(403);
  expect(answers[1]!.status).toBe(404);
});

test('a write needs the cookie, the header of the page, and JSON', async () => {
  const did = jest.fn(() => 'done');
  const { ask, raw, own, guard } = await open({
    routes: () => [{ method: 'POST', path: '/api/do', answer: did }],
  });
  const csrf = `X-Millrace-Csrf: ${guard.csrf}`;
  const json = 'Content-Type: application/json';
  const status = async (head: readonly string[], body = '{}') =>
    (await ask('/api/do', 'POST', head, body)).status;
  expect(await status([json])).toBe(403);
  expect(await status([json, 'X-Millrace-Csrf: wrong'])).toBe(403);
  expect(await status([json, csrf, csrf])).toBe(403);
  expect((await raw({ method: 'POST', target: '/api/do', head: [own, csrf, json], body: '{}' })).status).toBe(
    401,
  );
  for (const type of [
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data',
    'application/jsonx',
  ])
    expect([type, await status([`Content-Type: ${type}`, csrf])]).toEqual([type, 400]);
  expect(await status([csrf])).toBe(400);
  for (const text of ['', '{', '{"a":}', 'undefined', '\uFFFD'])
    expect([text, await status([json, csrf], text)]).toEqual([text, 400]);
  expect(did).not.toHaveBeenCalled();
  expect(await status([json, csrf])).toBe(200);
  expect(await status(['content-type: application/json; charset=utf-8', csrf])).toBe(200);
  expect(did).toHaveBeenCalledTimes(2);
});

test('a body of more than 1 MB is refused, one of unknown length too', async () => {
  const { ask, guard, port, own, cookie } = await open();
  const head = [`X-Millrace-Csrf: ${guard.csrf}`, 'Content-Type: application/json'];
  const large = await ask('/api/do', 'POST', head, JSON.stringify('x'.repeat(2_000_000)));
  // The answer can overtake what is still being sent.
  expect([0, 400]).toContain(large.status);
  const socket = connect(port, '127.0.0.1');
  const hungUp = new Promise((resolve) => socket.on('error', () => {}).once('close', resolve));
  const lines = ['POST /api/do HTTP/1.1', own, cookie, ...head, 'Transfer-Encoding: chunked'];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  const part = ' '.repeat(65_536);
  const sender = setInterval(() => socket.write(`10000\r\n${part}\r\n`), 1);
  await hungUp;
  clearInterval(sender);
  expect((await ask('/api/do', 'POST', head, '1')).body).toBe('{"did":1}');
});

test('a name that every object has is no asset, no route and no parameter', async () => {
  const { ask } = await open({ page: () => undefined });
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty'])
    for (const target of [`/${name}`, `/assets/${name}`, `/api/${name}`])
      expect([target, (await ask(target)).status]).toEqual([target, 404]);
  expect((await ask('/api/echo/__proto__')).body).toBe('{"word":"__proto__"}');
});

test('a path is taken apart before it is decoded', async () => {
  const { ask } = await open();
  expect((await ask('/api/echo/a%2Fb%3Fc%23d')).body).toBe('{"word":"a/b?c#d"}');
  expect((await ask('/api/echo/a/b')).status).toBe(404);
  expect((await ask('/api%2Fstatus')).body).not.toContain('lag');
  expect((await ask('/assets%2Fa.js')).body).not.toContain('let a');
  for (const broken of ['%', '%zz', '%ff', '%c3%28'])
    expect([broken, (await ask(`/api/echo/${broken}`)).status]).toEqual([broken, 404]);
  for (const outside of [
    '/assets/../../package.json',
    '/assets/%2e%2e/%2e%2e/package.json',
    '/assets/a.js/..',
  ])
    expect((await ask(outside)).body).not.toMatch(/millrace|let a/);
});

test('HEAD tells no more than GET, and does nothing', async () => {
  const { ask } = await open();
  expect(await ask('/assets/a.js', 'HEAD')).toMatchObject({ status: 200, body: '' });
  expect(await ask('/', 'HEAD')).toMatchObject({ status: 200, body: '' });
  expect((await ask('/api/live', 'HEAD')).status).toBe(404);
  for (const method of ['PUT', 'DELETE', 'PATCH', 'TRACE'])
    expect([method, (await ask('/api/do', method)).status]).toEqual([method, 404]);
});

test('no connection becomes a WebSocket', async () => {
  const { ask, raw, own, port } = await open();
  const upgrade = [
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  ];
  const from = (origin: string) => ask('/api/status', 'GET', [...upgrade, `Origin: ${origin}`]);
  expect((await from('https://evil.example')).status).toBe(403);
  expect((await from(`http://127.0.0.1:${port}`)).status).toBe(200);
  expect((await raw({ target: '/api/live', head: [own, ...upgrade] })).status).toBe(401);
});

test('a failed call says what MillraceError says, and of any other error nothing', async () => {
  const errors = jest.spyOn(process.stderr, 'write').mockReturnValue(true);
  const { ask } = await open({
    routes: () => [
      {
        method: 'GET',
        path: '/api/known',
        answer: () => Promise.reject(new MillraceError('DEAD_LETTER_NOT_FOUND', 'There is none.')),
      },
      {
        method: 'GET',
        path: '/api/unknown',
        answer: () => {
          throw new Error('payload \u001b[2J of ada');
        },
      },
    ],
  });
  expect(await ask('/api/known')).toMatchObject({
    status: 404,
    body: '{"error":{"code":"DEAD_LETTER_NOT_FOUND","message":"There is none."}}',
  });
  const { status, body } = await ask('/api/unknown');
  const printed = errors.mock.calls.map(([text]) => String(text)).join('');
  errors.mockRestore();
  expect([status, JSON.parse(body).error.code]).toEqual([500, 'UNEXPECTED']);
  expect(body).not.toContain('ada');
  // A person has to see it; their terminal must not obey it.
  expect(printed).toContain('payload �[2J of ada');
});

test('no answer and no note repeats a secret', async () => {
  const errors = jest.spyOn(process.stderr, 'write').mockReturnValue(true);
  const { raw, ask, own, cookie, guard } = await open();
  const secrets = [guard.token, guard.csrf, cookie.split('=')[1]!];
  const query = secrets.map((secret) => `a=${secret}`).join('&');
  const answers = [
    await raw({ target: `/api/status?${query}`, head: [own] }),
    await raw({ target: `/no?${query}`, head: ['Host: evil.example', cookie] }),
    await ask(`/no?${query}`),
    await ask(`/api/nothing?${query}`),
    await ask('/api/do', 'POST', [`X-Millrace-Csrf: ${guard.csrf}x`], query),
  ];
  const texts = [...answers.map((answer) => JSON.stringify(answer)), JSON.stringify(errors.mock.calls)];
  errors.mockRestore();
  for (const secret of secrets) expect(texts.filter((text) => text.includes(secret))).toEqual([]);
});

test('each server has a cookie of its own: two on this machine sign out neither', async () => {
  const [one, two] = [await open(), await open()];
  const both = `${one.cookie}; ${two.cookie.replace('Cookie: ', '')}`;
  for (const { raw, own } of [one, two])
    expect((await raw({ target: '/api/status', head: [own, both] })).status).toBe(200);
  expect((await two.raw({ target: '/api/status', head: [two.own, one.cookie] })).status).toBe(401);
});

test('listens on the loopback only', async () => {
  const { server } = await open();
  expect(new URL(server.url).hostname).toBe('127.0.0.1');
  const other = connect(server.port, '::1');
  await expect(once(other, 'connect')).rejects.toThrow(/ECONNREFUSED|EADDRNOTAVAIL|ENETUNREACH/);
});

test('a port that is taken is said, unless any will do', async () => {
  const { port } = await open();
  expect(await codeOf(open({ port }))).toBe('INPUT_INVALID');
  expect((await open({ port, orAnyPort: true })).port).not.toBe(port);
});

test('closes with streams open, and tells each', async () => {
  const ended = Promise.withResolvers<void>();
  const { server, own, cookie } = await open({
    routes: () => [
      {
        method: 'GET',
        path: '/api/live',
        async stream(events, { signal }) {
          events.send('status', 1);
          await once(signal, 'abort');
          await events.closed;
          ended.resolve();
        },
      },
    ],
  });
  const socket = connect(server.port, '127.0.0.1');
  socket.on('error', () => {}).write(`GET /api/live HTTP/1.1\r\n${own}\r\n${cookie}\r\n\r\n`);
  const [first] = await once(socket, 'data');
  expect(String(first)).toContain('text/event-stream');
  const hungUp = once(socket, 'close');
  await server.close();
  await Promise.all([ended.promise, hungUp]);
});

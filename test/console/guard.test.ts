import type { IncomingMessage } from 'node:http';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { CSRF_HEADER, createGuard } from '../../console/guard.ts';

const PORT = 4181;
const guard = createGuard();

/** As node:http gives it. */
function request(
  headers: Readonly<Record<string, string>>,
  { method = 'GET', url = '/', hosts = 1 } = {},
): IncomingMessage {
  const rawHeaders = Array.from({ length: hosts }, () => ['Host', headers.host ?? '']).flat();
  return { method, url, headers, rawHeaders } as unknown as IncomingMessage;
}

const statusOf = (...of: Parameters<typeof request>) => guard.refusal(request(...of), PORT)?.status;
const own = { host: `127.0.0.1:${PORT}` };

test('lets through what names this server and comes from nowhere else', () => {
  for (const host of [`127.0.0.1:${PORT}`, `localhost:${PORT}`, `LOCALHOST:${PORT}`])
    expect([host, statusOf({ host })]).toEqual([host, undefined]);
  expect(statusOf({ ...own, origin: `http://${own.host}` })).toBeUndefined();
  expect(statusOf({ ...own, 'sec-fetch-site': 'same-origin', 'sec-fetch-mode': 'cors' })).toBeUndefined();
  expect(statusOf({ ...own, 'sec-fetch-site': 'none', 'sec-fetch-mode': 'navigate' })).toBeUndefined();
});

test('a browser leaves out port 80', () => {
  expect(guard.refusal(request({ host: '127.0.0.1', origin: 'http://127.0.0.1' }), 80)).toBeUndefined();
  expect(statusOf({ host: '127.0.0.1' })).toBe(421);
});

test('refuses every other host', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.webAuthority({ withPort: true, withIPv4: true, withIPv6: true }),
        fc.string(),
        fc.constantFrom(
          `127.0.0.1:${PORT}.evil.example`,
          `127.0.0.1.evil.example:${PORT}`,
          `localhost.evil.example:${PORT}`,
          `user@127.0.0.1:${PORT}`,
          `127.0.0.1:${PORT + 1}`,
          `127.1:${PORT}`,
          `2130706433:${PORT}`,
          `[::1]:${PORT}`,
          `0.0.0.0:${PORT}`,
          `127.0.0.1:0${PORT}`,
          '127.0.0.1',
          '',
        ),
      ),
      (host) => {
        fc.pre(!['127.0.0.1', 'localhost'].some((name) => host.toLowerCase() === `${name}:${PORT}`));
        expect(statusOf({ host })).toBe(421);
      },
    ),
  );
  expect(statusOf({})).toBe(421);
  expect(statusOf(own, { hosts: 2 })).toBe(421);
});

test('refuses a target that is no path', () => {
  for (const url of ['*', `http://127.0.0.1:${PORT}/`, `http://evil.example/`, '', 'evil'])
    expect([url, statusOf(own, { url })]).toEqual([url, 421]);
});

test('refuses every other origin, that of another port and none at all ("null") among them', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.webUrl(),
        fc.string(),
        fc.constantFrom(
          'null',
          '',
          `https://127.0.0.1:${PORT}`,
          `http://127.0.0.1:${PORT + 1}`,
          // The server answers to both names, but to a browser they are two origins.
          `http://localhost:${PORT}`,
          `http://127.0.0.1:${PORT}.evil.example`,
          `http://127.0.0.1:${PORT}/`,
          `http://127.0.0.1:${PORT}, http://evil.example`,
        ),
      ),
      (origin) => {
        fc.pre(origin !== `http://127.0.0.1:${PORT}`);
        expect(statusOf({ ...own, origin })).toBe(403);
      },
    ),
  );
});

test('of what a page elsewhere asks for, only a link to a page is let through', () => {
  const link = { ...own, 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
  for (const site of ['cross-site', 'same-site', 'something-new']) {
    const elsewhere = { 'sec-fetch-site': site };
    expect(statusOf({ ...link, ...elsewhere })).toBeUndefined();
    expect(statusOf({ ...link, ...elsewhere }, { url: '/failures?consumer=a' })).toBeUndefined();
    expect(statusOf({ ...link, ...elsewhere }, { url: '/api/status' })).toBe(403);
    expect(statusOf({ ...link, ...elsewhere }, { method: 'POST' })).toBe(403);
    for (const [mode, dest] of [
      ['navigate', 'iframe'],
      ['navigate', 'object'],
      ['no-cors', 'script'],
      ['no-cors', 'image'],
      ['cors', 'empty'],
      ['websocket', 'websocket'],
    ])
      expect(statusOf({ ...own, ...elsewhere, 'sec-fetch-mode': mode!, 'sec-fetch-dest': dest! })).toBe(403);
  }
});

test('only the token opens, and only the cookie of this port signs in', () => {
  const [cookie = ''] = guard.cookie(PORT).split(';');
  const signedIn = (text: string, port = PORT) => guard.isSignedIn(request({ cookie: text }), port);
  expect(guard.opens(guard.token)).toBe(true);
  expect(signedIn(cookie)).toBe(true);
  expect(signedIn(`a=b; ${cookie};c=d`)).toBe(true);
  // Another server on this machine can set one of the same name; it takes away nothing.
  expect(signedIn(`millrace-${PORT}=forged; ${cookie}`)).toBe(true);
  expect(signedIn(cookie, PORT + 1)).toBe(false);
  expect(createGuard().isSignedIn(request({ cookie }), PORT)).toBe(false);
  const value = cookie.slice(cookie.indexOf('=') + 1);
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.constantFrom(guard.token, guard.csrf, '')), (text) => {
      fc.pre(text.trim() !== value);
      expect(signedIn(`millrace-${PORT}=${text}`)).toBe(false);
      expect(guard.opens(text)).toBe(text === guard.token);
    }),
  );
});

test('the cookie is for no script, no other site, and no other guard', () => {
  expect(guard.cookie(PORT)).toMatch(/^millrace-4181=[\w-]{32,}; HttpOnly; SameSite=Strict; Path=\/$/);
  expect(createGuard().cookie(PORT)).not.toBe(guard.cookie(PORT));
  expect(new Set([guard.token, guard.csrf, guard.cookie(PORT).split(/[=;]/)[1]]).size).toBe(3);
});

test("only the page's own header lets it write", () => {
  expect(guard.mayWrite(request({ [CSRF_HEADER]: guard.csrf }))).toBe(true);
  for (const word of ['', guard.token, `${guard.csrf}, ${guard.csrf}`, guard.csrf.toUpperCase()])
    expect(guard.mayWrite(request({ [CSRF_HEADER]: word }))).toBe(false);
  expect(guard.mayWrite(request({}))).toBe(false);
});

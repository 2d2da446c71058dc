import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from '@jest/globals';
import type { Context } from 'aws-lambda';
import fc from 'fast-check';
import { type PageEvent, pageHandler } from '../../../adapters/lambda/page-handler.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import type { PageAnswer } from '../../../runtime/page.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';

const SECRET = 'reader-4711';
const ANSWER: PageAnswer = {
  data: { at: 2_000, asOf: 1_000, rows: { articles: [{ content_id: '<script>', views: 3 }] } },
  freshness: null,
};
const page = {
  document: '<!doctype html><title>Most read</title>',
  assets: {
    'newsroom.js': { type: 'text/javascript; charset=utf-8', body: `/* ${'long '.repeat(400)}*/` },
    'icon.svg': { type: 'image/svg+xml', body: '<svg/>' },
  },
};

/** A page of whose tables each read is answered by the next of `answers`; the last one is given again and again. */
function openPage(answers: readonly (PageAnswer | Error | Promise<PageAnswer>)[] = [ANSWER]) {
  const clock = createFakeClock();
  const lines: unknown[] = [];
  const signals: AbortSignal[] = [];
  const note = (message: string, fields?: object) => lines.push([message, fields]);
  const handler = pageHandler({
    page,
    clock,
    logger: { addContext() {}, debug: note, info: note, warn: note, error: note },
    async read(signal) {
      const answer = answers[Math.min(signals.push(signal), answers.length) - 1]!;
      if (answer instanceof Error) throw answer;
      return answer;
    },
  });
  const context = { getRemainingTimeInMillis: () => 25_000 } as Context;
  const get = (resource: string, event: Partial<PageEvent> = {}) =>
    handler(
      { httpMethod: 'GET', resource, path: resource, pathParameters: null, headers: {}, ...event },
      context,
    );
  return { get, clock, lines, reads: () => signals.length, signals };
}

const file = (name: string) => ({ pathParameters: { file: name } });

describe('the page', () => {
  test('is its document, with the script and the style that it loads', async () => {
    const { get } = openPage();
    const document = await get('/page/live');
    expect(document).toMatchObject({ statusCode: 200, body: page.document });
    expect(document.headers!['Content-Type']).toBe('text/html; charset=utf-8');
    const icon = await get('/page/assets/{file}', file('icon.svg'));
    expect(icon).toMatchObject({ statusCode: 200, body: '<svg/>' });
    expect(icon.headers!['Content-Type']).toBe('image/svg+xml');
  });

  test.each([
    ['/page', 'page/live'],
    ['/page/', 'live'],
  ])('%s leads to it, under whatever name and stage it was asked for', async (path, Location) => {
    const { get } = openPage();
    const answer = await get('/page', { path });
    expect(answer).toMatchObject({ statusCode: 302, headers: { Location } });
    const own = new URL(Location, `https://api.example/v1${path}`);
    expect(own.pathname).toBe('/v1/page/live');
    expect(new URL('data', own).pathname).toBe('/v1/page/data');
    expect(new URL('assets/newsroom.js', own).pathname).toBe('/v1/page/assets/newsroom.js');
  });

  test('is compressed where the browser takes that, and it pays', async () => {
    const { get } = openPage();
    const asked = (encoding: string) =>
      get('/page/assets/{file}', { ...file('newsroom.js'), headers: { 'accept-ENCODING': encoding } });
    const zipped = await asked('br, gzip;q=0.8');
    expect(zipped.isBase64Encoded).toBe(true);
    expect(zipped.headers!['Content-Encoding']).toBe('gzip');
    expect(gunzipSync(Buffer.from(zipped.body, 'base64')).toString()).toBe(page.assets['newsroom.js'].body);
    for (const encoding of ['', 'br', 'gzip;q=0', 'gzip; q=0.0', 'x-gzip-2']) {
      const plain = await asked(encoding);
      expect([plain.isBase64Encoded, plain.body]).toEqual([undefined, page.assets['newsroom.js'].body]);
      expect(plain.headers!['Content-Encoding']).toBeUndefined();
    }
  });
});

describe('what no page is', () => {
  test.each([
    '',
    '.',
    '..',
    '../index.js',
    'newsroom.JS',
    '__proto__',
    'constructor',
    'toString',
    'page.json',
    'newsroom.js\0',
  ])('there is no file %j', async (name) => {
    const { get } = openPage();
    expect(await get('/page/assets/{file}', file(name))).toMatchObject({ statusCode: 404 });
  });

  test('whatever path and file a caller thinks of, only declared ones are answered', async () => {
    const { get } = openPage();
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), async (path, name) => {
        fc.pre(!(name in page.assets && Object.hasOwn(page.assets, name)));
        const missed = await get('/page/assets/{file}', { path, ...file(name) });
        expect(missed.statusCode).toBe(404);
        expect(missed.body).not.toContain(name.length > 3 ? name : '\u{0}');
        expect((await get(`/page/${path}x`, { path })).statusCode).toBe(404);
      }),
    );
  });

  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'get', ''])(
    '%s is refused',
    async (httpMethod) => {
      const { get, reads } = openPage();
      const refused = await get('/page/data', { httpMethod });
      expect(refused).toMatchObject({ statusCode: 405, headers: { Allow: 'GET, HEAD' } });
      expect(reads()).toBe(0);
    },
  );

  test.each([
    { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'no-cors' },
    { 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors' },
    { 'Sec-Fetch-Site': 'cross-site' },
    { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' },
  ])('another page in the same browser gets nothing: %j', async (headers) => {
    const { get, reads } = openPage();
    expect(await get('/page/data', { headers })).toMatchObject({ statusCode: 403 });
    expect(reads()).toBe(0);
  });

  test('a link from another page opens it', async () => {
    const { get } = openPage();
    const to = (dest: string) => ({
      headers: { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': dest },
    });
    expect(await get('/page', to('document'))).toMatchObject({ statusCode: 302 });
    expect(await get('/page/live', to('document'))).toMatchObject({ statusCode: 200 });
    expect(await get('/page/live', to('iframe'))).toMatchObject({ statusCode: 403 });
  });
});

test('HEAD has the headers of GET, and no body', async () => {
  const { get } = openPage();
  for (const resource of ['/page', '/page/live', '/page/data']) {
    const [whole, head] = [await get(resource), await get(resource, { httpMethod: 'HEAD' })];
    expect(head).toEqual({ ...whole, body: '' });
  }
});

test('every answer forbids inline code, frames, sniffing and keeping', async () => {
  const { get } = openPage([new Error('down')]);
  const answers = [
    await get('/page'),
    await get('/page/live'),
    await get('/page/data'),
    await get('/page/assets/{file}', file('newsroom.js')),
    await get('/page/assets/{file}', file('none')),
    await get('/page/live', { httpMethod: 'POST' }),
  ];
  expect(answers.map(({ statusCode }) => statusCode)).toEqual([302, 200, 503, 200, 404, 405]);
  for (const { headers } of answers) {
    expect(headers).toMatchObject({
      'Content-Security-Policy': expect.stringMatching(
        /^default-src 'none'; script-src 'self';.*frame-ancestors 'none'/,
      ),
      'X-Content-Type-Options': 'nosniff',
      'X-Frame-Options': 'DENY',
      'Referrer-Policy': 'no-referrer',
      'Cross-Origin-Resource-Policy': 'same-origin',
      'Cross-Origin-Opener-Policy': 'same-origin',
      'Cache-Control': 'no-store',
      'Strict-Transport-Security': expect.stringMatching(/^max-age=\d{8}/),
    });
    expect(headers!['Content-Security-Policy']).not.toContain('unsafe');
    expect(Object.keys(headers!).filter((name) => name.startsWith('Access-Control'))).toEqual([]);
  }
});

describe('the data', () => {
  test('a hundred viewers in a second cost one query', async () => {
    const { get, reads, clock } = openPage();
    const answers = await Promise.all(Array.from({ length: 50 }, () => get('/page/data')));
    await clock.advance(999);
    for (let viewer = 0; viewer < 50; viewer++) answers.push(await get('/page/data'));
    expect(reads()).toBe(1);
    for (const { statusCode, body } of answers) expect([statusCode, JSON.parse(body)]).toEqual([200, ANSWER]);
  });

  test('is read again after a second', async () => {
    const later = { ...ANSWER, data: { ...ANSWER.data!, at: 3_000 } };
    const { get, reads, clock } = openPage([ANSWER, later]);
    await get('/page/data');
    await clock.advance(1_000);
    expect(JSON.parse((await get('/page/data')).body)).toEqual(later);
    expect(reads()).toBe(2);
  });

  test('nobody asks the tables for the rest of the page', async () => {
    const { get, reads } = openPage();
    for (const resource of ['/page', '/page/live', '/page/none']) await get(resource);
    expect(reads()).toBe(0);
  });

  test('tables that do not answer are 503 and a line in the log, which alone says why', async () => {
    const down = new MillraceError('SINK_UNAVAILABLE', `connection to ${SECRET} refused`);
    const { get, lines } = openPage([down, new Error(`row ${SECRET}`), ANSWER]);
    for (const error of [down, expect.any(Error)]) {
      const answer = await get('/page/data');
      expect(answer).toMatchObject({ statusCode: 503, headers: { 'Retry-After': '5' } });
      expect(JSON.stringify(answer)).not.toContain(SECRET);
      expect(lines.at(-1)).toEqual(['Page not read', expect.objectContaining({ error })]);
    }
    // A failure is not kept.
    expect(await get('/page/data')).toMatchObject({ statusCode: 200 });
    expect(lines).toHaveLength(2);
  });

  test('the tables are given up while there is time left to say so', async () => {
    const { get, signals } = openPage();
    await get('/page/data');
    expect(signals[0]).toBeInstanceOf(AbortSignal);
    expect(signals[0]!.aborted).toBe(false);
  });
});

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { accessLogParser } from '../../../local/publishing/access-log.ts';

const parse = accessLogParser(Buffer.from('a salt'));
const CHROME =
  'Mozilla/5.0 (Windows NT 6.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/32.0 Safari/537.36';

function line({
  host = '192.0.2.7',
  time = '17/May/2015:10:05:03 +0000',
  request = 'GET /blog/tags/puppet HTTP/1.1',
  status = '200',
  tail = ` "http://other.example/page" "${CHROME}"`,
} = {}): string {
  return `${host} - - [${time}] "${request}" ${status} 1203${tail}`;
}

function pageviewOf(text: string, number = 1) {
  const item = parse(text, number);
  if (item.kind !== 'value') throw new Error(`not a pageview but ${item.kind}`);
  return item.value;
}

describe('a pageview', () => {
  test('has every field of the contract from a combined line', () => {
    const { eventId, sessionId, ...rest } = pageviewOf(line());
    expect(rest).toEqual({
      contentId: '/blog/tags/puppet',
      userId: null,
      url: '/blog/tags/puppet',
      referrer: 'http://other.example/page',
      section: 'blog',
      device: 'DESKTOP',
      country: null,
      occurredAt: Date.UTC(2015, 4, 17, 10, 5, 3),
      engagedMs: 0,
    });
    expect(eventId).toMatch(/^[\w-]{22}$/);
    expect(sessionId).toMatch(/^[\w-]{22}$/);
  });

  test('comes from a common line too, without referrer and user agent', () => {
    expect(pageviewOf(line({ tail: '' }))).toMatchObject({
      contentId: '/blog/tags/puppet',
      referrer: null,
      device: 'OTHER',
    });
  });

  test.each([
    ['GET /a?x=1&y=/b.png HTTP/1.1', '/a', '/a?x=1&y=/b.png'],
    ['GET /a#part HTTP/1.1', '/a', '/a'],
    ['GET /%7Euser/?q=%22 HTTP/1.1', '/%7Euser/', '/%7Euser/?q=%22'],
    ['GET / HTTP/1.0', '/', '/'],
    ['GET /style.css/about HTTP/1.1', '/style.css/about', '/style.css/about'],
    ['GET /png HTTP/1.1', '/png', '/png'],
    ['GET /old HTTP/1.1', '/old', '/old'],
    ['GET /before-http-had-versions', '/before-http-had-versions', '/before-http-had-versions'],
    ['GET http://www.site.example/a/b?c HTTP/1.1', '/a/b', 'http://www.site.example/a/b?c'],
    ['GET /say-\\"hi\\" HTTP/1.1', '/say-\\"hi\\"', '/say-\\"hi\\"'],
  ])('%s is content %s', (request, contentId, url) => {
    expect(pageviewOf(line({ request }))).toMatchObject({ contentId, url });
  });

  test.each([
    ['/', 'home'],
    ['/sport/', 'sport'],
    ['/sport/cup/final', 'sport'],
  ])('%s belongs to section %s', (path, section) => {
    expect(pageviewOf(line({ request: `GET ${path} HTTP/1.1` })).section).toBe(section);
  });

  test.each([
    [CHROME, 'DESKTOP'],
    ['Mozilla/5.0 (iPhone; CPU iPhone OS 7_0 like Mac OS X) Mobile/11A465 Safari/9537.53', 'PHONE'],
    ['Mozilla/5.0 (Linux; Android 4.4; Nexus 5) Chrome/33.0 Mobile Safari/537.36', 'PHONE'],
    ['Mozilla/5.0 (iPad; CPU OS 7_0 like Mac OS X) Mobile/11A465', 'TABLET'],
    ['Mozilla/5.0 (SMART-TV; Linux; Tizen 2.4.0) Safari/538.1', 'TV'],
    ['Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)', 'OTHER'],
    ['-', 'OTHER'],
  ])('%s is read on %s', (agent, device) => {
    expect(pageviewOf(line({ tail: ` "-" "${agent}"` })).device).toBe(device);
  });

  test('keeps what stands before a user agent that was cut short', () => {
    expect(
      pageviewOf(line({ tail: ' "-" "Mozilla/5.0 (compatible; +http://a.example/bot.html' })),
    ).toMatchObject({
      contentId: '/blog/tags/puppet',
      referrer: null,
    });
  });

  test('is at the instant that its zone says', () => {
    expect(pageviewOf(line({ time: '31/Dec/2015:23:30:00 -0130' })).occurredAt).toBe(
      Date.UTC(2016, 0, 1, 1, 0, 0),
    );
    expect(pageviewOf(line({ time: '29/Feb/2016:00:00:00 +0545' })).occurredAt).toBe(
      Date.UTC(2016, 1, 28, 18, 15, 0),
    );
  });
});

describe('pseudonyms', () => {
  test('one reader on one day is one session; another address, agent or day is another', () => {
    const session = (text: string) => pageviewOf(text).sessionId;
    const first = session(line());
    expect(session(line({ request: 'GET /other HTTP/1.1', time: '17/May/2015:23:59:59 +0000' }))).toBe(first);
    expect(session(line({ host: '192.0.2.8' }))).not.toBe(first);
    expect(session(line({ tail: ' "-" "curl/8"' }))).not.toBe(first);
    expect(session(line({ time: '18/May/2015:10:05:03 +0000' }))).not.toBe(first);
  });

  test('the same line at the same place has the same event id, another place another', () => {
    expect(pageviewOf(line(), 3).eventId).toBe(pageviewOf(line(), 3).eventId);
    expect(pageviewOf(line(), 4).eventId).not.toBe(pageviewOf(line(), 3).eventId);
  });

  test('the address is nowhere, and another salt gives other pseudonyms', () => {
    expect(JSON.stringify(pageviewOf(line()))).not.toContain('192.0.2.7');
    const other = accessLogParser(Buffer.from('another salt'))(line(), 1);
    expect(other).toMatchObject({ kind: 'value' });
    expect(JSON.stringify(other)).not.toContain(pageviewOf(line()).sessionId);
    expect(JSON.stringify(other)).not.toContain(pageviewOf(line()).eventId);
  });
});

describe('what is ignored', () => {
  const assets = 'css js png jpg jpeg gif ico svg woff woff2 ttf eot map mp4 webp'.split(' ');
  test.each([
    ...assets.map((extension) => [`GET /a/b.${extension}?v=3 HTTP/1.1`, '200']),
    ['GET /LOGO.PNG HTTP/1.1', '304'],
    ['POST /comments HTTP/1.1', '200'],
    ['HEAD / HTTP/1.1', '200'],
    ['GET / HTTP/1.1', '301'],
    ['GET / HTTP/1.1', '206'],
    ['GET /gone HTTP/1.1', '404'],
    ['-', '408'],
    ['\\x16\\x03\\x01', '400'],
    ['get / HTTP/1.1', '200'],
  ])('%s answered %s', (request, status) => {
    expect(parse(line({ request: request!, status: status! }), 9)).toEqual({ kind: 'ignored', line: 9 });
  });
});

describe('what is malformed', () => {
  test.each([
    'not a log line',
    line().slice(0, 60),
    line({ time: '30/Feb/2015:10:05:03 +0000' }),
    line({ time: '29/Feb/2015:10:05:03 +0000' }),
    line({ time: '17/Mai/2015:10:05:03 +0000' }),
    line({ time: '17/May/2015:24:05:03 +0000' }),
    line({ time: '17/May/2015:10:60:03 +0000' }),
    line({ time: '17/May/2015:10:05:03' }),
    line({ time: '2015-05-17T10:05:03Z' }),
    line({ status: '20' }),
    line({ tail: ' "http://cut.example/refer' }),
    line({ tail: ' "-" "agent" and more' }),
    '{"contentId":"/a"}',
  ])('%s', (text) => {
    expect(parse(text, 12)).toEqual({ kind: 'malformed', line: 12, reason: expect.any(String) });
  });

  test('a reason never quotes the line', () => {
    const item = parse('secret-host secret text', 1);
    expect(JSON.stringify(item)).not.toContain('secret');
  });
});

test('no text makes it throw', () => {
  const fragments = fc.constantFrom(
    '"',
    '[',
    ']',
    ' ',
    '\\',
    '- - [',
    '"GET / HTTP/1.1"',
    ' 200 5',
    '17/May/2015:10:05:03 +0000',
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(fragments, fc.string()), { maxLength: 20 }), (parts) => {
      expect(['value', 'ignored', 'malformed']).toContain(parse(parts.join(''), 1).kind);
    }),
  );
});

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { accessLogParser } from '../../demo/access-log.ts';

const SALT = Buffer.from('a salt');
const parse = accessLogParser(SALT);
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
    ['GET /%7Euser/?q=%22 HTTP/1.1', '/~user/', '/%7Euser/?q=%22'],
    ['GET /news/%C3%A9lection HTTP/1.1', '/news/élection', '/news/%C3%A9lection'],
    ['GET /a%2Fb HTTP/1.1', '/a%2Fb', '/a%2Fb'],
    ['GET /a%00b%1b HTTP/1.1', '/a%00b%1b', '/a%00b%1b'],
    ['GET /caf%E9 HTTP/1.1', '/caf%E9', '/caf%E9'],
    ['GET / HTTP/1.0', '/', '/'],
    ['GET /style.css/about HTTP/1.1', '/style.css/about', '/style.css/about'],
    ['GET /png HTTP/1.1', '/png', '/png'],
    ['GET /old HTTP/1.1', '/old', '/old'],
    ['GET /reports/2026.pdf HTTP/1.1', '/reports/2026.pdf', '/reports/2026.pdf'],
    ['GET /gpt-4.5 HTTP/1.1', '/gpt-4.5', '/gpt-4.5'],
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
    ['Mozilla/5.0 (Android 13; Mobile; rv:109.0) Gecko/113.0 Firefox/113.0', 'PHONE'],
    ['Mozilla/5.0 (Linux; Android 13; SM-X700) Chrome/120.0 Safari/537.36', 'TABLET'],
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

  test('the same line at the same place of one reading has the same event id, another place another', () => {
    expect(pageviewOf(line(), 3).eventId).toBe(pageviewOf(line(), 3).eventId);
    expect(pageviewOf(line(), 4).eventId).not.toBe(pageviewOf(line(), 3).eventId);
  });

  test('each reading of a log has event ids of its own, and the same sessions', () => {
    const again = accessLogParser(SALT)(line(), 3);
    expect(again).toMatchObject({ value: { sessionId: pageviewOf(line(), 3).sessionId } });
    expect(again).not.toMatchObject({ value: { eventId: pageviewOf(line(), 3).eventId } });
    const named = () => accessLogParser(SALT, 'monday')(line(), 3);
    expect(named()).toEqual(named());
  });

  test('the address is nowhere, and another salt gives other pseudonyms', () => {
    expect(JSON.stringify(pageviewOf(line()))).not.toContain('192.0.2.7');
    const other = accessLogParser(Buffer.from('another salt'))(line(), 1);
    expect(other).toMatchObject({ kind: 'value' });
    expect(JSON.stringify(other)).not.toContain(pageviewOf(line()).sessionId);
    expect(JSON.stringify(other)).not.toContain(pageviewOf(line()).eventId);
  });
});

describe('the client', () => {
  const session = (text: string) => pageviewOf(text).sessionId;
  const ADDRESSES = ['198.51.100.7', '2001:db8::', '::ffff:192.0.2.1'];

  test.each([
    ['common', ''],
    ["Debian's vhost_combined", 'www.example.org:443 '],
    ['vhost_combined by address', '192.0.2.80:80 '],
    ['vhost_combined by IPv6 address', '[2001:db8::80]:443 '],
    ["Apache's %v before %h", 'www.example.org '],
    ['syslog', 'Nov 13 10:00:00 web1 nginx: '],
    ['syslog on a day of one digit', 'Nov  3 10:00:00 web1 nginx: '],
    ['syslog, unpadded', 'Nov 3 10:00:00 10.0.0.5 apache2[713]: '],
    ["syslog as nginx's nohostname sends it", '<190>Nov 13 10:00:00 nginx: '],
    ['syslog with ISO times', '2026-11-13T10:00:00.123456+01:00 web1 nginx: '],
    ['RFC 5424', '<165>1 2026-11-13T10:00:00.003Z web1.example.org nginx - ID47 - '],
    [
      'RFC 5424 with structured data',
      '<165>1 2026-11-13T10:00:00Z web1 nginx 7 - [a@1 x="]\\" 192.0.2.9 - - ["][b@1] \ufeff',
    ],
    ['docker compose logs', 'web-1  | '],
    ['docker compose logs -t', 'web-1  | 2026-11-13T10:00:00.123456789Z '],
    ['docker logs -t', '2026-11-13T10:00:00.123456789Z '],
    ["Kubernetes' CRI", '2026-11-13T10:00:00.123456789Z stdout F '],
    ["Kubernetes' CRI with an offset", '2026-11-13T10:00:00.123456789+02:00 stderr F '],
    ['a collector before vhost_combined', 'Nov 13 10:00:00 web1 apache: www.example.org:443 '],
  ])('is the address in %s', (_, prefix) => {
    for (const host of ADDRESSES) expect(session(prefix + line({ host }))).toBe(session(line({ host })));
    expect(session(prefix + line({ host: '203.0.113.20' }))).not.toBe(session(prefix + line()));
  });

  test('is a name where the server looks names up', () => {
    const host = 'crawl-66-249-66-1.example.com';
    expect(session(`www.example.org:443 ${line({ host })}`)).toBe(session(line({ host })));
    expect(session(line({ host: 'localhost' }))).not.toBe(session(line({ host })));
  });

  test('is the address whatever the user is called', () => {
    const named = (user: string) => line().replace('- - [', `${user} [`);
    for (const user of ['- jo', '- Jo van den Berg', '- jo.b@example.org', 'ident jo'])
      expect(session(named(user))).toBe(session(line()));
  });

  test.each([
    'Nov 13 10:00:00 web1 198.51.100.7 - -',
    'web-1 nginx - -',
    '2026-11-13T10:00:00.123456789Z stdout P 198.51.100.7 - -',
    '2026-11-13 10:00:00 198.51.100.7 - -',
    '10.0.0.5 nginx 198.51.100.7 - -',
    '203.0.113.9 198.51.100.7 - -',
    '203.0.113.9, 198.51.100.7 - -',
    '198.51.100.7:54321 - -',
    'www.example.org alice -',
    'www.example.org 198.51.100.7 -',
    'unix: - -',
    '- - -',
    '999.1.1.1 - -',
    '13 - -',
    '198.51.100.7 -',
    '198.51.100.7',
    '',
  ])('is not guessed: %p', (head) => {
    const text = line().replace('192.0.2.7 - -', head);
    expect(parse(text, 1)).toEqual({ kind: 'malformed', line: 1, reason: expect.any(String) });
  });
});

describe('fields behind the user agent', () => {
  test.each([
    ["nginx's packaged format", ' "203.0.113.9, 10.0.0.1"'],
    ['no address forwarded', ' "-"'],
    ["Apache's combinedio", ' 512 10244'],
    ['times and quoted fields', ' "-" 0.012 "0.010" -'],
    ['one that was cut short', ' "203.0.113'],
  ])('count for nothing: %s', (_, fields) => {
    const { eventId: _id, ...plain } = pageviewOf(line());
    expect(pageviewOf(line({ tail: ` "http://other.example/page" "${CHROME}"${fields}` }))).toMatchObject(
      plain,
    );
  });
});

describe('a line as long as an input lets through', () => {
  const long = (piece: string) => piece.repeat(Math.floor(1_000_000 / piece.length));
  test.each<[string, string]>([
    ['an agent', line({ tail: ` "-" "${long('android ')}mobile"` })],
    ['an agent of escapes, cut short', line({ tail: ` "-" "${long('\\"')}` })],
    ['a request', line({ request: `GET /${long('?')}\u2028 HTTP/1.1` })],
    ['a request of versions', line({ request: `GET /${long(' HTTP/1.')}` })],
    ['fields', line({ tail: ` "-" "-"${long(' "-"')} x` })],
    ['a head', line({ host: long('a ') })],
    ['a name', line({ host: long('a.') })],
    ['a prefix', `1 2026-11-13T10:00:00Z a b c d ${long('[a="]"]')} ${line()}`],
    ['a path', line({ request: `GET /${long('.js;')}/ HTTP/1.1` })],
  ])('is read in one go: %s', (_, text) => {
    // Quadratic matching would take minutes: this test would run out of its time.
    expect(['value', 'malformed']).toContain(parse(text, 1).kind);
  });
});

describe('what is ignored', () => {
  const assets = (
    'css js png jpg jpeg gif ico svg woff woff2 ttf eot map mp4 webp avif mjs webmanifest otf webm m3u8 m4s wasm jxl ' +
    'cur bmp mp3 heic tiff svgz flac m4a ogg opus wav mov mpd ts vtt apng json zip tgz dmg'
  ).split(' ');
  test.each([
    ...assets.map((extension) => [`GET /a/b.${extension}?v=3 HTTP/1.1`, '200', 'files that pages load']),
    ['GET /LOGO.PNG HTTP/1.1', '304', 'files that pages load'],
    ['GET /robots.txt HTTP/1.1', '200', 'files for machines'],
    ['GET /sitemap-news.xml HTTP/1.1', '200', 'files for machines'],
    ['GET /.well-known/security.txt HTTP/1.1', '200', 'files for machines'],
    ['POST /comments HTTP/1.1', '200', 'requests other than GET'],
    ['HEAD / HTTP/1.1', '200', 'requests other than GET'],
    ['GET / HTTP/1.1', '301', 'answers other than 200 and 304'],
    ['GET / HTTP/1.1', '206', 'answers other than 200 and 304'],
    ['GET /gone HTTP/1.1', '404', 'answers other than 200 and 304'],
    ['-', '408', 'requests other than GET'],
    ['\\x16\\x03\\x01', '400', 'requests other than GET'],
    ['get / HTTP/1.1', '200', 'requests other than GET'],
  ])('%s answered %s', (request, status, reason) => {
    const parsed = parse(line({ request: request!, status: status! }), 9);
    expect(parsed).toEqual({ kind: 'ignored', line: 9, reason });
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

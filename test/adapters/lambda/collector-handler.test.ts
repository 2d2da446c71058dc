import { describe, expect, test } from '@jest/globals';
import type { APIGatewayProxyResult, Context } from 'aws-lambda';
import fc from 'fast-check';
import { createContractSchemaRegistry } from '../../../adapters/contract-schema-registry.ts';
import { type CollectorEvent, collectorHandler } from '../../../adapters/lambda/collector-handler.ts';
import { MillraceError } from '../../../runtime/errors.ts';
import { type CollectReport, createCollector } from '../../../runtime/publish/collect.ts';
import type { Producer } from '../../../runtime/topics.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryLog } from '../../../testing/memory-log.ts';
import { pageviews } from '../../fixtures/newsdesk/contracts/news.pageviews/topic.ts';

const SECRET = 'reader-4711';
const EVENT = {
  eventId: 'e1',
  contentId: '/politics/vote',
  sessionId: SECRET,
  url: '/politics/vote',
  section: 'politics',
  occurredAt: 1_764_000_000_000,
  engagedMs: 0,
};
const BAD = { ...EVENT, engagedMs: SECRET };
const ADDRESS = '203.0.113.7';

async function openHandler({
  allowedOrigins = ['https://www.example.org'],
  producer,
}: {
  allowedOrigins?: readonly string[];
  producer?: Producer;
} = {}) {
  const log = createMemoryLog({ clock: createFakeClock() });
  await log.createTopic(pageviews.name, 1);
  const lines: unknown[] = [];
  const reports: CollectReport[] = [];
  const note = (message: string, fields?: object) => lines.push([message, fields]);
  const handler = collectorHandler({
    collector: createCollector([pageviews], {
      registry: createContractSchemaRegistry([pageviews]),
      producer: producer ?? log,
    }),
    logger: { addContext() {}, debug: note, info: note, warn: note, error: note },
    metrics: { reportCollect: (report) => reports.push(report) },
    allowedOrigins,
  });
  return {
    lines,
    reports,
    call: async (event: Partial<CollectorEvent>) => {
      const whole = {
        httpMethod: 'POST',
        pathParameters: { topic: pageviews.name },
        headers: { 'Content-Type': 'application/json', 'X-Forwarded-For': ADDRESS },
        body: null,
        isBase64Encoded: false,
        requestContext: { identity: { sourceIp: ADDRESS } },
        ...event,
      };
      const { body, ...rest } = (await handler(whole, {} as Context)) as APIGatewayProxyResult;
      return { ...rest, body: body === '' ? '' : JSON.parse(body) };
    },
    records: async () => log.read({ topic: pageviews.name, partition: 0 }, 0, 100),
  };
}

describe('events are answered', () => {
  test.each([
    ['202 when all are accepted', [EVENT, EVENT], 202, { accepted: 2, refused: 0, failed: 0 }],
    ['207 when some are refused', [EVENT, BAD], 207, { accepted: 1, refused: 1, failed: 0 }],
    ['400 when all are', [BAD], 400, { accepted: 0, refused: 1, failed: 0 }],
  ])('%s', async (_, events, statusCode, counts) => {
    const { call, records, reports, lines } = await openHandler();
    const answer = await call({ body: JSON.stringify(events) });
    expect(answer).toMatchObject({ statusCode, body: counts });
    expect(answer.body.verdicts).toHaveLength(events.length);
    expect(reports).toEqual([{ topic: pageviews.name, ...counts }]);
    expect(await records()).toHaveLength(counts.accepted);
    expect([JSON.stringify(answer.body).includes(SECRET), lines]).toEqual([false, []]);
  });

  test('503, and when to send again, when the topic does not take them', async () => {
    const producer = { send: () => Promise.reject(new Error(SECRET)) };
    const { call, lines } = await openHandler({ producer });
    const answer = await call({ body: JSON.stringify([EVENT, BAD]) });
    expect(answer).toMatchObject({
      statusCode: 503,
      headers: { 'Retry-After': '5' },
      body: { verdicts: [{ status: 'failed', code: 'PUBLISH_FAILED' }, { status: 'refused' }] },
    });
    expect(lines).toEqual([
      ['Events not published', expect.objectContaining({ error: expect.any(MillraceError) })],
    ]);
    expect(JSON.stringify(answer)).not.toContain(SECRET);
  });

  test('500 at a bug, of which only the log has more', async () => {
    const { call, lines } = await openHandler();
    const answer = await call({ headers: { 'content-type': 42 } as never });
    expect(answer).toMatchObject({ statusCode: 500, body: { code: 'UNEXPECTED' } });
    expect(lines).toEqual([['Request failed', { error: expect.any(TypeError) }]]);
  });

  test('without the caller’s address in the topic, a log line or a metric', async () => {
    const { call, records, lines, reports } = await openHandler();
    await call({ body: JSON.stringify(EVENT) });
    const [record] = await records();
    expect(record!.headers).toEqual([]);
    expect(record!.value!.includes(ADDRESS)).toBe(false);
    expect(JSON.stringify([lines, reports])).not.toContain(ADDRESS);
  });
});

describe('a body is taken', () => {
  test.each([
    ['a beacon of text', 'text/plain;charset=UTF-8', JSON.stringify(EVENT), false],
    ['JSON, however the header is written', 'Application/JSON', JSON.stringify(EVENT), false],
    ['a line an event', 'application/x-ndjson', `${JSON.stringify(EVENT)}\n`, false],
    ['base64', 'application/json', Buffer.from(JSON.stringify(EVENT)).toString('base64'), true],
  ])('as %s', async (_, type, body, isBase64Encoded) => {
    const { call } = await openHandler();
    const headers = { 'content-type': type, 'Content-Encoding': 'identity' };
    expect(await call({ headers, body, isBase64Encoded })).toMatchObject({ statusCode: 202 });
  });

  test('and whatever it is, it is answered', async () => {
    const { call } = await openHandler();
    const event = fc.record({
      httpMethod: fc.constantFrom('POST', 'GET', 'OPTIONS', 'PUT'),
      pathParameters: fc.constantFrom(null, { topic: pageviews.name }, { topic: '__proto__' }),
      headers: fc.dictionary(
        fc.constantFrom('content-type', 'origin', 'Content-Encoding'),
        fc.oneof(fc.constantFrom('application/json', 'text/plain', 'application/x-ndjson'), fc.string()),
      ),
      body: fc.option(fc.oneof(fc.string({ unit: 'binary' }), fc.json())),
      isBase64Encoded: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(event, async (each) => {
        const { statusCode } = await call(each);
        expect([202, 204, 207, 400, 403, 404, 405, 413, 415]).toContain(statusCode);
      }),
      { numRuns: 300 },
    );
  });
});

describe('a request is refused', () => {
  test.each<[number, string, Partial<CollectorEvent>]>([
    [400, 'REQUEST_UNREADABLE', { body: `{"sessionId": "${SECRET}` }],
    [400, 'REQUEST_UNREADABLE', { body: null }],
    [404, 'TOPIC_UNKNOWN', { pathParameters: { topic: 'payments' } }],
    [404, 'TOPIC_UNKNOWN', { pathParameters: null }],
    [405, 'REQUEST_UNSUPPORTED', { httpMethod: 'GET' }],
    [413, 'REQUEST_TOO_LARGE', { body: 'x'.repeat(1_048_577) }],
    [415, 'REQUEST_UNSUPPORTED', { headers: {} }],
    [415, 'REQUEST_UNSUPPORTED', { headers: { 'Content-Type': 'application/x-www-form-urlencoded' } }],
    [415, 'REQUEST_UNSUPPORTED', { headers: { 'Content-Type': 'constructor' } }],
    [
      415,
      'REQUEST_UNSUPPORTED',
      { headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' } },
    ],
  ])('with %i %s', async (statusCode, code, event) => {
    const { call, reports, lines, records } = await openHandler();
    const answer = await call(event);
    expect(answer).toMatchObject({ statusCode, body: { code, message: expect.any(String) } });
    expect(JSON.stringify(answer)).not.toContain(SECRET);
    // Whoever is outside must not be able to fill the log.
    expect([reports, lines, await records()]).toEqual([[], [], []]);
  });
});

test('a method that it does not take is answered with those that it takes', async () => {
  const { call } = await openHandler();
  for (const httpMethod of ['GET', 'HEAD', 'PUT'])
    expect(await call({ httpMethod })).toMatchObject({
      statusCode: 405,
      headers: { Allow: 'POST, OPTIONS' },
    });
});

describe('pages', () => {
  const from = (origin: string, event: Partial<CollectorEvent> = {}) => ({
    ...event,
    headers: { 'content-type': 'text/plain', Origin: origin },
    body: JSON.stringify(EVENT),
  });

  test('on the list may send events and read the answer, a beacon’s credentials included', async () => {
    const { call } = await openHandler({ allowedOrigins: ['https://a.example', 'https://b.example'] });
    expect(await call(from('https://b.example'))).toMatchObject({
      statusCode: 202,
      headers: {
        'Access-Control-Allow-Origin': 'https://b.example',
        'Access-Control-Allow-Credentials': 'true',
        Vary: 'Origin',
      },
    });
    expect(await call(from('https://b.example', { pathParameters: null }))).toMatchObject({
      statusCode: 404,
      headers: { 'Access-Control-Allow-Origin': 'https://b.example' },
    });
  });

  test('ask first, where they do more than a form could', async () => {
    const { call, records } = await openHandler();
    const headers = {
      Origin: 'https://www.example.org',
      'Access-Control-Request-Method': 'POST',
      'Access-Control-Request-Headers': 'content-type',
    };
    expect(await call({ httpMethod: 'OPTIONS', headers })).toEqual({
      statusCode: 204,
      headers: {
        'Access-Control-Allow-Origin': 'https://www.example.org',
        'Access-Control-Allow-Credentials': 'true',
        'Access-Control-Allow-Methods': 'POST',
        'Access-Control-Allow-Headers': 'content-type',
        'Access-Control-Expose-Headers': 'Retry-After',
        'Access-Control-Max-Age': '7200',
        Vary: 'Origin',
      },
      body: '',
    });
    expect(await records()).toEqual([]);
  });

  test.each(['https://evil.example', 'https://www.example.org.evil.example', 'null', '*', ''])(
    'of %j, which is not on the list, are refused and nothing is published',
    async (origin) => {
      const { call, records } = await openHandler();
      for (const httpMethod of ['POST', 'OPTIONS']) {
        const answer = await call(from(origin, { httpMethod }));
        expect(answer).toMatchObject({ statusCode: 403, body: { code: 'ORIGIN_REFUSED' } });
        expect(Object.keys(answer.headers!)).not.toContainEqual(expect.stringMatching(/^Access-Control/));
      }
      expect(await records()).toEqual([]);
    },
  );

  test.each([
    ['cross-site', 403],
    ['same-site', 403],
    ['same-origin', 202],
    ['none', 202],
  ])('that a browser calls %s, without their origin, are answered %d', async (site, statusCode) => {
    const { call } = await openHandler();
    const headers = { 'content-type': 'text/plain', 'Sec-Fetch-Site': site };
    expect(await call({ headers, body: JSON.stringify(EVENT) })).toMatchObject({ statusCode });
    const listed = { ...headers, Origin: 'https://www.example.org' };
    expect(await call({ headers: listed, body: JSON.stringify(EVENT) })).toMatchObject({ statusCode: 202 });
  });

  test('of every origin, where all are allowed, are never granted credentials', async () => {
    const { call } = await openHandler({ allowedOrigins: ['*'] });
    const { statusCode, headers } = await call(from('https://anywhere.example'));
    expect([statusCode, headers!['Access-Control-Allow-Origin']]).toEqual([202, '*']);
    expect(headers).not.toHaveProperty('Access-Control-Allow-Credentials');
  });
});

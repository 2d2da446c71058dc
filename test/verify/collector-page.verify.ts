/** The collector as pages send to it: from an origin that it lists, and from another one. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { newContext, startBrowser } from './browser.ts';
import { millraceJson, start } from './newsroom.ts';

jest.setTimeout(120_000);

const temporary = createTemporaryFolder();
const state = ['--state', join(temporary.path, 'state')];
const LISTED = 'listed.example';
const OTHER = 'other.example';

let browser: Browser;
let site: Server;
let port: number;
let up: ChildProcess;
let events: string;

beforeAll(async () => {
  site = createServer((_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><title>site</title>');
  }).listen(0, '127.0.0.1');
  await once(site, 'listening');
  ({ port } = site.address() as AddressInfo);
  // The names are made up, and lead to this machine; the browser's own check of who may reach it would ask a person.
  browser = await startBrowser([
    '--host-resolver-rules=MAP *.example 127.0.0.1',
    '--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests',
  ]);
  const origin = `http://${LISTED}:${port}`;
  up = start([
    'up',
    '--no-publish',
    '--json',
    '--collector-port',
    '0',
    '--collector-origin',
    origin,
    ...state,
  ]);
  up.stderr!.resume();
  const [line] = await once(createInterface({ input: up.stdout! }), 'line');
  events = `${JSON.parse(line).collector}/events/news.pageviews`;
});
afterAll(async () => {
  await browser?.close();
  if (up?.kill('SIGKILL')) await once(up, 'exit');
  site?.close();
  site?.closeAllConnections();
  temporary.remove();
});

async function open(host: string): Promise<Page> {
  const page = await (await newContext(browser)).newPage();
  await page.goto(`http://${host}:${port}/`);
  return page;
}

/** An event, as the text of a script. */
const eventOf = (host: string, way: string) =>
  JSON.stringify(
    JSON.stringify({
      eventId: `${host}-${way}`,
      contentId: `/verify/${host}/${way}`,
      sessionId: 'verify',
      url: '/verify',
      section: 'verify',
      occurredAt: Date.now(),
      engagedMs: 0,
    }),
  );

const byFetch = (page: Page, host: string, type: string) =>
  page.evaluate<number | string>(
    `fetch(${JSON.stringify(events)}, {
       method: 'POST', headers: { 'content-type': '${type}' }, body: ${eventOf(host, type.replace('/', '-'))},
     }).then(({ status }) => status, () => 'refused')`,
  );

/** What the collector says to a beacon: the page itself never hears it. */
async function byBeacon(page: Page, host: string, type: string): Promise<number | string> {
  // A preflight comes first for JSON, and is all there is where it is refused.
  const answered = page.waitForEvent(
    'response',
    (answer) => answer.url() === events && answer.request().method() === 'POST',
  );
  const failed = page.waitForEvent('requestfailed', (request) => request.url() === events);
  const outcome = Promise.race([answered.then((answer) => answer.status()), failed.then(() => 'refused')]);
  for (const each of [answered, failed]) each.catch(() => {});
  await page.evaluate(
    `navigator.sendBeacon(${JSON.stringify(events)}, new Blob([${eventOf(host, `beacon-${type.replace('/', '-')}`)}], { type: '${type}' }))`,
  );
  return outcome;
}

async function onPagehide(page: Page, host: string): Promise<void> {
  await page.evaluate(
    `addEventListener('pagehide', () => navigator.sendBeacon(${JSON.stringify(events)}, ${eventOf(host, 'pagehide')}))`,
  );
  await page.goto('about:blank');
}

test('a page of a listed origin sends by fetch, by a beacon, and as it is left', async () => {
  const page = await open(LISTED);
  expect(await byFetch(page, LISTED, 'application/json')).toBe(202);
  expect(await byFetch(page, LISTED, 'text/plain')).toBe(202);
  expect(await byBeacon(page, LISTED, 'text/plain')).toBe(202);
  expect(await byBeacon(page, LISTED, 'application/json')).toBe(202);
  await onPagehide(page, LISTED);
});

test('a page of another origin sends nothing, in none of these ways', async () => {
  const page = await open(OTHER);
  expect(await byFetch(page, OTHER, 'application/json')).toBe('refused');
  expect(await byFetch(page, OTHER, 'text/plain')).toBe('refused');
  expect([403, 'refused']).toContain(await byBeacon(page, OTHER, 'text/plain'));
  expect([403, 'refused']).toContain(await byBeacon(page, OTHER, 'application/json'));
  await onPagehide(page, OTHER);
});

test('the tables have what the listed page sent, and nothing of the other', async () => {
  const contents = async (): Promise<readonly string[]> =>
    (
      await millraceJson([
        'sql',
        "select distinct content_id from article_minute where content_id like '/verify/%' order by 1",
        ...state,
      ])
    ).map(({ content_id }: { content_id: string }) => content_id);
  let found = await contents();
  // The beacon of a page that is left goes on its way by itself.
  while (found.length < 5) found = await contents();
  expect(found).toEqual(
    ['application-json', 'beacon-application-json', 'beacon-text-plain', 'pagehide', 'text-plain'].map(
      (way) => `/verify/${LISTED}/${way}`,
    ),
  );
});

/** The console beside hostile pages in the same browser, and with records that mean harm. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { consoleAssets } from '../../console/assets.ts';
import type { Operations } from '../../console/operations.ts';
import type { PageServer } from '../../console/page-server.ts';
import { serveConsole } from '../../console/server.ts';
import { sampleOperations } from '../console/sample-operations.ts';
import { newContext, startBrowser } from './browser.ts';
import { hostileOperations } from './hostile-operations.ts';

jest.setTimeout(120_000);

const LETTER = 'order-totals/news.pageviews/5/7';
const REDRIVE = {
  request: {
    kind: 'redrive',
    consumer: 'order-totals',
    where: 'error=HANDLER_FAILED',
    allowOvertaken: true,
    canary: 0,
    rate: 1_000,
    maxFailures: 1,
  },
  plan: 'plan-1',
  confirmation: 'order-totals',
};
const JSON_OF_REDRIVE = JSON.stringify(REDRIVE);
/** What a page would like to read. */
const READS = [
  '/',
  '/failures',
  '/assets/console.js',
  '/api/session',
  '/api/status',
  '/api/groups',
  `/api/letter?id=${encodeURIComponent(LETTER)}`,
  '/api/live',
];

/** The operations, and which of them were asked. */
function watched(operations: Operations): { readonly operations: Operations; readonly asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    operations: new Proxy(operations, {
      get(target, name: keyof Operations) {
        asked.push(name);
        return target[name];
      },
    }),
  };
}

let browser: Browser;
let hostile: Server;
let hostilePort: number;
/** What the hostile server got: a page can send there what it has read. */
const cookiesSeen: string[] = [];

beforeAll(async () => {
  // Names of the attacker's that lead to this machine: those of another site, and those of DNS rebinding.
  // The browser's own check of who may reach this machine is off: what is tested is ours, which older browsers have to rely on.
  browser = await startBrowser([
    '--host-resolver-rules=MAP *.example 127.0.0.1',
    '--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests',
  ]);
  hostile = createServer((request, response) => {
    cookiesSeen.push(request.headers.cookie ?? '');
    response
      .writeHead(200, { 'Content-Type': 'text/html' })
      .end('<!doctype html><title>hostile</title><body></body>');
  }).listen(0, '127.0.0.1');
  await once(hostile, 'listening');
  hostilePort = (hostile.address() as AddressInfo).port;
});
afterAll(async () => {
  await browser?.close();
  hostile?.close();
  hostile?.closeAllConnections();
});

/** The text of a function's body, run in the page. It may wait. */
const run = <Value>(page: Page, body: string) => page.evaluate<Value>(`(async () => { ${body} })()`);

describe.each([
  // Another port is another origin, yet the same site: the browser sends the cookie along.
  ['another port of this machine', '127.0.0.1'],
  ['another site', 'evil.example'],
])('a hostile page on %s', (_, host) => {
  let server: PageServer;
  let origin: string;
  let asked: string[];
  let context: BrowserContext;
  let page: Page;
  const openBait = async () => {
    page = await context.newPage();
    await page.goto(`http://${host}:${hostilePort}/`);
  };

  beforeAll(async () => {
    cookiesSeen.length = 0;
    const sample = watched(sampleOperations({ allowsActions: true, showsValues: true, groups: 50 }));
    asked = sample.asked;
    server = await serveConsole({
      operations: sample.operations,
      assets: await consoleAssets(),
      port: 0,
    });
    ({ origin } = new URL(server.url));
    context = await newContext(browser);
    // Signed in, as somebody has the console open; its own page would ask, too, and is not.
    await context.request.get(server.url, { maxRedirects: 0 });
    const signedIn = await context.request.get(`${origin}/api/status`);
    expect(signedIn.status()).toBe(200);
    await openBait();
  });
  beforeEach(() => {
    asked.length = 0;
  });
  afterAll(async () => {
    await context?.close();
    await server?.close();
  });

  test('reads nothing by fetch', async () => {
    const outcomes = await run<readonly string[]>(
      page,
      `const outcomes = [];
       for (const path of ${JSON.stringify(READS)})
         for (const mode of ['cors', 'no-cors'])
           outcomes.push(await fetch(${JSON.stringify(origin)} + path, { mode, credentials: 'include' })
             .then(async (answer) => answer.type + ' ' + await answer.text(), () => 'refused'));
       return outcomes;`,
    );
    expect(new Set(outcomes)).toEqual(new Set(['refused']));
    expect(asked).toEqual([]);
  });

  test('does nothing by fetch, whatever the body says that it is', async () => {
    const outcomes = await run<readonly string[]>(
      page,
      `const outcomes = [];
       const types = ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/json'];
       for (const path of ['/api/actions', '/api/plan', '/api/letter/reveal', '/api/actions/action-1/cancel'])
         for (const mode of ['cors', 'no-cors'])
           for (const type of types)
             for (const headers of [{}, { 'x-millrace-csrf': 'guess' }])
               outcomes.push(await fetch(${JSON.stringify(origin)} + path, {
                 method: 'POST', mode, credentials: 'include', headers: { 'content-type': type, ...headers },
                 body: ${JSON.stringify(JSON_OF_REDRIVE)},
               }).then((answer) => answer.type + answer.status, () => 'refused'));
       const beacon = new Blob([${JSON.stringify(JSON_OF_REDRIVE)}], { type: 'text/plain' });
       navigator.sendBeacon(${JSON.stringify(`${origin}/api/actions`)}, beacon);
       return outcomes;`,
    );
    expect(new Set(outcomes)).toEqual(new Set(['refused']));
    expect(asked).toEqual([]);
  });

  test.each(['application/x-www-form-urlencoded', 'multipart/form-data', 'text/plain'])(
    'does nothing by a form of %s',
    async (type) => {
      for (const target of ['frame', ...(type === 'text/plain' ? ['_blank', '_self'] : [])]) {
        const isOurs = (url: string) => url === `${origin}/api/actions`;
        // Refused before its body is read, a request can also end without an answer.
        const answered = Promise.any([
          context
            .waitForEvent('response', (answer) => isOurs(answer.url()))
            .then((answer) => answer.status()),
          context.waitForEvent('requestfailed', (request) => isOurs(request.url())).then(() => 403),
        ]);
        answered.catch(() => {});
        await run(
          page,
          `const frame = document.createElement('iframe');
           frame.name = 'frame';
           const form = document.createElement('form');
           Object.assign(form, { method: 'post', enctype: ${JSON.stringify(type)}, target: '${target}' });
           form.action = ${JSON.stringify(`${origin}/api/actions`)};
           // As text, name and value together are JSON.
           const field = document.createElement('input');
           field.name = ${JSON.stringify(`${JSON_OF_REDRIVE.slice(0, -1)},"more":"`)};
           field.value = '"}';
           form.append(field);
           document.body.append(frame, form);
           form.submit();`,
        );
        expect([target, await answered]).toEqual([target, 403]);
      }
      if (type === 'text/plain') await openBait();
      expect(asked).toEqual([]);
    },
  );

  test('opens no WebSocket and no EventSource', async () => {
    const outcomes = await run<readonly string[]>(
      page,
      `const socket = new WebSocket(${JSON.stringify(`${origin.replace('http', 'ws')}/api/live`)});
       const events = new EventSource(${JSON.stringify(`${origin}/api/live`)}, { withCredentials: true });
       const outcome = (source, good) => new Promise((resolve) => {
         source.onopen = source.onmessage = () => resolve('opened');
         source.onerror = () => resolve('refused');
       });
       const outcomes = await Promise.all([outcome(socket), outcome(events)]);
       events.close();
       return outcomes;`,
    );
    expect(outcomes).toEqual(['refused', 'refused']);
    expect(asked).toEqual([]);
  });

  test('gets nothing as a script, a style, an image, a font or a film', async () => {
    const outcomes = await run<readonly (readonly string[])[]>(
      page,
      `const tags = [['script', 'src'], ['img', 'src'], ['video', 'src'], ['audio', 'src'], ['link', 'href']];
       const loading = ${JSON.stringify(READS.slice(0, -1))}.flatMap((path) => tags.map(([tag, from]) =>
         new Promise((resolve) => {
           const element = document.createElement(tag);
           if (tag === 'link') element.rel = 'stylesheet';
           element.onload = element.onloadeddata = () => resolve([tag, path, 'loaded']);
           element.onerror = () => resolve([tag, path, 'refused']);
           element[from] = ${JSON.stringify(origin)} + path;
           document.body.append(element);
         })));
       return Promise.all(loading);`,
    );
    expect(outcomes.filter(([, , outcome]) => outcome !== 'refused')).toEqual([]);
    expect(asked).toEqual([]);
  });

  test('shows it in no frame', async () => {
    for (const [tag, from] of [
      ['iframe', 'src'],
      ['object', 'data'],
      ['embed', 'src'],
    ]) {
      const answered = context.waitForEvent('response', (answer) => answer.url() === `${origin}/failures`);
      await run(
        page,
        `const frame = document.createElement('${tag}');
         frame.${from} = ${JSON.stringify(`${origin}/failures`)};
         document.body.append(frame);`,
      );
      expect([tag, (await answered).status()]).toEqual([tag, 403]);
    }
    expect(page.frames().filter((frame) => frame.url().startsWith(origin))).toEqual([]);
    expect(asked).toEqual([]);
  });

  test('loses every hold of a window that it opens on the console', async () => {
    const opened = context.waitForEvent('page');
    await run(page, `globalThis.opened = open(${JSON.stringify(`${origin}/failures`)});`);
    const there = await opened;
    await there.waitForSelector('h1');
    expect(await there.evaluate('opener')).toBeNull();
    const hold = await run<readonly unknown[]>(
      page,
      `const attempt = (what) => { try { return String(what()); } catch { return 'refused'; } };
       opened.postMessage({ kind: 'redrive' }, '*');
       return [opened.closed, attempt(() => opened.document.title), attempt(() => opened.length)];`,
    );
    // Closed is how a window looks from which its opener is cut off.
    expect(hold).toEqual([true, 'refused', '0']);
    expect(asked.filter((name) => ['start', 'steer', 'plan'].includes(name))).toEqual([]);
  });

  test('puts no word of its own in the place of the one for writing', async () => {
    const own = await context.newPage();
    await own.goto(server.url);
    await own.waitForSelector('main h1');
    const kept = () => own.evaluate<string | null>(`localStorage.getItem('millrace-csrf')`);
    const word = await kept();
    expect(word).not.toBeNull();
    const opened = context.waitForEvent('page');
    await run(page, `open(${JSON.stringify(`${origin}/failures#csrf=evil`)});`);
    const there = await opened;
    await there.waitForSelector('h1');
    await own.goto(`${origin}/letters/${LETTER}#csrf=evil`);
    await own.waitForURL(`${origin}/letters/${LETTER}`);
    expect(await kept()).toBe(word);
    await own.getByRole('button', { name: /^Reveal/ }).click();
    await own.getByText(/^Values are shown/).waitFor();
    await own.close();
    await there.close();
    asked.length = 0;
  });

  test('has no use of the cookie, where its server gets it along', async () => {
    expect(cookiesSeen.some((cookie) => cookie.includes('millrace-'))).toBe(host === '127.0.0.1');
    const cookie = (await context.cookies(origin)).map(({ name, value }) => `${name}=${value}`).join('; ');
    const session = await (await fetch(`${origin}/api/session`, { headers: { cookie } })).text();
    const words = [...new Set(`${cookie} ${session}`.match(/[\w-]{32,}/g)), ''];
    for (const word of words) {
      const { status } = await fetch(`${origin}/api/actions`, {
        method: 'POST',
        headers: { cookie, 'content-type': 'application/json', 'x-millrace-csrf': word },
        body: JSON_OF_REDRIVE,
      });
      expect(status).toBe(403);
    }
    expect(asked).not.toContain('start');
  });
});

describe('DNS rebinding', () => {
  test("a name of the attacker's that leads to the console's port is answered by nobody", async () => {
    const sample = watched(sampleOperations({ allowsActions: true, groups: 5 }));
    const server = await serveConsole({ operations: sample.operations, assets: {}, port: 0 });
    const context = await newContext(browser);
    await context.request.get(server.url, { maxRedirects: 0 });
    sample.asked.length = 0;
    const page = await context.newPage();
    const rebound = `http://rebound.example:${server.port}`;
    // What the name's first address has served; the second is this machine's.
    await page.route(`${rebound}/bait`, (route) => route.fulfill({ contentType: 'text/html', body: 'bait' }));
    await page.goto(`${rebound}/bait`);
    const { search } = new URL(server.url);
    const outcomes = await run<readonly number[]>(
      page,
      `const paths = ${JSON.stringify([...READS, `/${search}`])};
       const reads = await Promise.all(paths.map(async (path) => (await fetch(path)).status));
       const { status } = await fetch('/api/actions', {
         method: 'POST', headers: { 'content-type': 'application/json', 'x-millrace-csrf': 'guess' },
         body: ${JSON.stringify(JSON_OF_REDRIVE)},
       });
       return [...reads, status];`,
    );
    expect(new Set(outcomes)).toEqual(new Set([421]));
    expect((await page.goto(`${rebound}/`))!.status()).toBe(421);
    expect(await context.cookies(rebound)).toEqual([]);
    expect(sample.asked).toEqual([]);
    await context.close();
    await server.close();
  });
});

describe('records that mean harm', () => {
  const PATHS = [
    '/',
    '/consumers/order-totals',
    '/failures',
    '/group/order-totals/f0000001',
    `/letters/${LETTER}`,
    '/redrive',
    '/parked',
    '/find?topic=news.pageviews&key=%3Cscript%3EglobalThis.pwned%3D1%3C%2Fscript%3E',
    '/audit',
    '/%3Cimg%20src=x%20onerror=globalThis.pwned=1%3E',
    '/failures?search=%3Cscript%3EglobalThis.pwned%3D1%3C%2Fscript%3E&consumer=%22%3E%3Cb%3E',
  ];
  let server: PageServer;
  let context: BrowserContext;
  let page: Page;
  const complaints: string[] = [];

  beforeAll(async () => {
    const operations = hostileOperations(
      sampleOperations({ allowsActions: true, showsValues: true, groups: 200 }),
    );
    server = await serveConsole({ operations, assets: await consoleAssets(), port: 0 });
    context = await newContext(browser);
    context.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
    });
    context.on('weberror', (error) => complaints.push(error.error().message));
    context.on('dialog', (dialog) => {
      complaints.push(`dialog: ${dialog.message().slice(0, 40)}`);
      void dialog.dismiss();
    });
    page = await context.newPage();
    await page.addInitScript(
      "addEventListener('securitypolicyviolation', (event) => { (globalThis.violations ??= []).push(event.violatedDirective + ' ' + event.sourceFile); });",
    );
    await page.goto(server.url);
  });
  afterAll(async () => {
    await context?.close();
    await server?.close();
  });

  test.each(PATHS)('are text at %s: no script runs, and no policy is broken', async (path) => {
    complaints.length = 0;
    await page.goto(new URL(path, server.url).href);
    await page.waitForSelector('main h1, main [role=alert]');
    await page.waitForLoadState('load');
    const reveal = page.getByRole('button', { name: /reveal/i });
    if ((await reveal.count()) > 0) await reveal.first().click();
    // Until what was asked for is shown.
    await page.waitForFunction("!document.querySelector('main')?.textContent.includes('Loading …')");
    const found = await run<Readonly<Record<string, unknown>>>(
      page,
      `const known = new Set(['SCRIPT', 'IFRAME', 'OBJECT', 'EMBED', 'BASE', 'META', 'STYLE', 'IMG']);
       const elements = [...document.querySelectorAll('#app *')];
       return {
         pwned: globalThis.pwned ?? null,
         violations: globalThis.violations ?? [],
         elements: elements.filter(({ tagName }) => known.has(tagName.toUpperCase()))
           .map((element) => element.outerHTML).filter((html) => html !== '<img src="/assets/icon.svg" alt="">'),
         handlers: elements.filter((element) => element.getAttributeNames().some((name) => name.startsWith('on'))).length,
         links: elements.map((element) => element.href).filter((href) => href !== undefined)
           .map((href) => new URL(href.baseVal ?? href, location.href).protocol).filter((protocol) => protocol !== 'http:'),
         // What turns text around, moves a cursor, or is not seen.
         unseen: elements.filter(({ children }) => children.length === 0)
           .filter(({ textContent }) => /[\\u202a-\\u202e\\u2066-\\u2069\\u200b\\u001b\\u0000]/.test(textContent))
           .map((element) => element.parentElement.tagName + '>' + element.outerHTML.slice(0, 300)),
       };`,
    );
    expect(found).toEqual({
      pwned: null,
      violations: [],
      elements: [],
      handlers: 0,
      links: [],
      unseen: [],
    });
    expect(complaints).toEqual([]);
  });

  test('a line of 1 MB keeps the page in its width, and the page answers on', async () => {
    await page.goto(new URL(`/letters/${LETTER}`, server.url).href);
    await page.waitForSelector('main h1');
    const widths = await run<readonly number[]>(
      page,
      'return [document.documentElement.scrollWidth, innerWidth];',
    );
    expect(widths[0]).toBeLessThanOrEqual(widths[1]!);
    await page.getByRole('link', { name: 'Audit log' }).click();
    await page.waitForURL('**/audit');
  });
});

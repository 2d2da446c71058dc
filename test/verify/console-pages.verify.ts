/** Each page of the console: what axe-core finds, how wide it is, how it looks, and how fast it answers. */
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { consoleAssets } from '../../console/assets.ts';
import type { PageServer } from '../../console/page-server.ts';
import { serveConsole } from '../../console/server.ts';
import { sampleOperations } from '../console/sample-operations.ts';
import { artifact, figuresIn, newContext, startBrowser, THEMES, violationsIn, WIDTHS } from './browser.ts';

jest.setTimeout(180_000);

const LETTER = 'order-totals/news.pageviews/5/7';
const PAGES: Readonly<Record<string, string>> = {
  now: '/',
  consumer: '/consumers/order-totals',
  failures: '/failures',
  group: '/group/order-totals/f0000000',
  'group-of-overtaken': '/group/editorial-analytics/f0000002',
  letter: `/letters/${LETTER}`,
  plan: `/redrive?consumer=order-totals&where=${encodeURIComponent('error=HANDLER_FAILED')}`,
  'plan-of-nothing': '/redrive?consumer=order-totals&where=error%3DNONE',
  'plan-of-discard': '/redrive?kind=discard&consumer=order-totals&where=error%3DHANDLER_FAILED',
  redrives: '/redrive',
  parked: '/parked',
  find: '/find?topic=news.pageviews&key=%2Fabout',
  audit: '/audit',
  'not-found': '/nowhere',
};
const PLAN_OF_KEY = '/redrive?kind=park-skip&consumer=billing&partition=3&key=cmVhZGVyLTQ3MTE%3D';

const TWO_FRAMES = 'new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))';
const MAX_FIRST_PAGE_BYTES = 120_000;
const MAX_FIRST_PAINT_MS = 1_000;
const MAX_INTERACTION_MS = 100;

let browser: Browser;
let server: PageServer;

beforeAll(async () => {
  browser = await startBrowser();
  const operations = sampleOperations({ allowsActions: true });
  server = await serveConsole({ operations, assets: await consoleAssets(), port: 0 });
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
});

/** The page, with all that it asked for. */
async function show(page: Page, path: string): Promise<void> {
  await page.goto(new URL(path, server.url).href);
  await page.waitForSelector('main h1');
  // A plan takes the word for writing, which is not in the cookie.
  if (path.startsWith('/redrive?')) await page.waitForSelector('main form');
  await page.waitForFunction("!/Loading …|Looking …/.test(document.querySelector('main').textContent)");
}

describe.each(THEMES)('in the %s theme', (theme) => {
  let context: BrowserContext;
  let page: Page;
  beforeAll(async () => {
    context = await newContext(browser, theme);
    page = await context.newPage();
    await page.goto(server.url);
  });
  afterAll(() => context?.close());

  test.each(Object.entries(PAGES))(
    '%s has no fault that axe-core knows, and fits each width',
    async (name, path) => {
      const found = [];
      await show(page, path);
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: width < 600 ? 700 : Math.round((width * 9) / 16) });
        // What follows the width is drawn by the frame after.
        await page.evaluate(TWO_FRAMES);
        await page.screenshot({ path: artifact(`console-${name}-${theme}-${width}.png`) });
        const wide = await page.evaluate<number>('document.documentElement.scrollWidth - innerWidth');
        if (wide > 0) found.push(`${width} px: the page is ${wide} px too wide`);
        // Colours do not follow the width.
        if (width === 2_560 || (width === 320 && theme === 'dark')) continue;
        found.push(...(await violationsIn(page)).map((each) => `${width} px: ${each}`));
      }
      expect(found).toEqual([]);
    },
  );
});

describe('actions', () => {
  let context: BrowserContext;
  let page: Page;
  beforeAll(async () => {
    context = await newContext(browser);
    page = await context.newPage();
    await page.goto(server.url);
  });
  afterAll(() => context?.close());
  const startButton = () => page.locator('form.card button[type=submit]');

  test('what a page offers can be started and acts on something', async () => {
    const offered = new Map<string, string>();
    for (const path of [PAGES.group!, PAGES['group-of-overtaken']!, PAGES.letter!, PAGES.parked!]) {
      await show(page, path);
      const links = await page.evaluate<readonly string[]>(
        "[...document.querySelectorAll('main a[href^=\"/redrive?\"]')].map((link) => link.getAttribute('href'))",
      );
      // Of many keys, one of a kind.
      for (const link of links) {
        const kind = new URL(link, server.url).searchParams.get('kind') ?? '';
        if (!kind.startsWith('park')) offered.set(`${path} ${link}`, link);
        else if (!offered.has(kind)) offered.set(kind, link);
      }
    }
    expect(offered.size).toBe(9);
    for (const link of offered.values()) {
      await show(page, link);
      const name = await page.locator('form.card label code').textContent();
      const reason = page.getByRole('textbox', { name: 'Reason' });
      if ((await reason.count()) > 0) await reason.fill('a test');
      await page.getByRole('textbox', { name: /to confirm/ }).fill(name!);
      expect([link, await startButton().textContent()]).toEqual([link, expect.stringMatching(/[1-9]/)]);
      await startButton().click();
      await page.waitForURL('**/redrive/action-*');
      await page.getByRole('progressbar').waitFor();
      // A redrive alone can be paused.
      if (link.includes('kind='))
        expect([link, await page.getByRole('button', { name: 'Pause' }).count()]).toEqual([link, 0]);
    }
  });

  test('an action on nothing cannot be started', async () => {
    await show(page, PAGES['plan-of-nothing']!);
    expect(await startButton().isDisabled()).toBe(true);
    expect(await page.textContent('#refusal')).toContain('No dead letters match.');
  });

  test.each([PAGES['plan-of-discard']!, PLAN_OF_KEY])(
    '%s waits for a reason, says so, and is not planned again for it',
    async (path) => {
      await show(page, path);
      const planned: string[] = [];
      page.on('request', (request) => planned.push(new URL(request.url()).pathname));
      expect(await startButton().isDisabled()).toBe(true);
      const field = page.getByRole('textbox', { name: 'Reason' });
      expect(await field.isEnabled()).toBe(true);
      expect(await page.textContent('#why-reason')).toContain('before you start');
      await field.fill('   ');
      expect(await startButton().isDisabled()).toBe(true);
      await field.fill("it's a test order");
      expect(await startButton().isEnabled()).toBe(true);
      expect(await page.textContent('form .command')).toContain("--reason 'it'\\''s a test order'");
      page.removeAllListeners('request');
      expect(planned.filter((path) => path === '/api/plan')).toEqual([]);
    },
  );

  test('pace and limits are not planned again; overtaken letters are, and can be left out again', async () => {
    await show(page, PAGES.plan!);
    let plans = 0;
    page.on('request', (request) => {
      if (new URL(request.url()).pathname === '/api/plan') plans++;
    });
    await page.getByLabel('Letters to try first').fill('12');
    await page.getByLabel('Letters a second, at most').fill('40');
    await page.getByLabel('Stop after failures').fill('3');
    expect(await startButton().textContent()).toBe('Start: 12 first, then 260');
    expect(await page.textContent('form .command')).toContain('--canary 12 --rate 40 --max-failures 3');
    expect([plans, await figuresIn(page)]).toEqual([
      0,
      { 'Letters to redrive': '272', 'Overtaken, left out': '3' },
    ]);
    const overtaken = page.getByRole('checkbox', { name: /Also the 3 overtaken letters/ });
    await overtaken.check();
    await page.getByText('Start: 12 first, then 263').waitFor();
    expect([plans, await figuresIn(page)]).toEqual([
      1,
      { 'Letters to redrive': '275', 'Overtaken ones among them': '3' },
    ]);
    await overtaken.uncheck();
    await page.getByText('Start: 12 first, then 260').waitFor();
    page.removeAllListeners('request');
  });

  test("on a phone the app's name stays in one piece, beside what the console may do", async () => {
    await page.setViewportSize({ width: 320, height: 700 });
    await show(page, '/');
    const pieces = await page.evaluate<number>(
      `(() => {
         const range = document.createRange();
         range.selectNodeContents([...document.querySelector('.home').childNodes].find(({ nodeType }) => nodeType === 3));
         return range.getClientRects().length;
       })()`,
    );
    expect(pieces).toBe(1);
    expect(await page.getByText('actions allowed').isVisible()).toBe(true);
    await page.setViewportSize({ width: 1280, height: 720 });
  });
});

describe('budgets', () => {
  const measured: Record<string, string> = {};

  /** How long the browser took from the event to the next frame, at its longest since `from`: Event Timing. */
  const observe = `
    globalThis.longest = { event: 0, frame: 0 };
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) longest.event = Math.max(longest.event, duration);
    }).observe({ type: 'event', durationThreshold: 16, buffered: true });`;

  let context: BrowserContext;
  let page: Page;
  beforeAll(async () => {
    context = await newContext(browser);
    page = await context.newPage();
    await page.goto(server.url);
    // Whatever that page still asks for is none of what is measured.
    await page.goto('about:blank');
  });
  afterAll(async () => {
    await context?.close();
    // Beside what jest says itself.
    process.stderr.write(`The console's budgets: ${JSON.stringify(measured)}\n`);
  });

  test('the first page takes 120 kB at most, gzipped, and comes from nowhere else', async () => {
    const bodies: Buffer[] = [];
    const urls: string[] = [];
    const reading: Promise<unknown>[] = [];
    page.on('response', (answer) => {
      urls.push(answer.url());
      if (answer.url().endsWith('/api/live')) return;
      reading.push(answer.body().then((body) => bodies.push(body)));
    });
    await show(page, '/');
    await Promise.all(reading);
    page.removeAllListeners('response');
    const bytes = bodies.reduce((sum, body) => sum + gzipSync(body).length, 0);
    measured['first page, gzipped'] =
      `${(bytes / 1_000).toFixed(1)} kB of ${MAX_FIRST_PAGE_BYTES / 1_000} kB`;
    expect(new Set(urls.map((url) => new URL(url).origin))).toEqual(new Set([new URL(server.url).origin]));
    expect(bytes).toBeLessThanOrEqual(MAX_FIRST_PAGE_BYTES);
  });

  test('the first paint comes within a second', async () => {
    // The best of three: other work on this machine slows the page down.
    const paints: number[] = [];
    for (let time = 0; time < 3; time++) {
      await show(page, '/');
      paints.push(
        await page.evaluate<number>("performance.getEntriesByName('first-contentful-paint')[0].startTime"),
      );
    }
    const best = Math.min(...paints);
    measured['first paint'] = `${Math.round(best)} ms of ${MAX_FIRST_PAINT_MS} ms`;
    expect(best).toBeLessThan(MAX_FIRST_PAINT_MS);
  });

  test('with 15,000 groups, typing a search and turning the page each show within 100 ms', async () => {
    await show(page, '/failures');
    expect(await page.textContent('main')).toMatch(/15,000/);
    const search = page.getByRole('searchbox').first();
    const longest: Record<string, number> = {};
    for (let time = 0; time < 3; time++) {
      await show(page, '/failures');
      await page.evaluate(observe);
      const note = async (name: string) => {
        // Two frames: entries are handed out after the paint that they measure.
        await page.evaluate(
          'new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))',
        );
        const { event } = await page.evaluate<{ event: number }>('longest');
        longest[name] = Math.min(longest[name] ?? Number.POSITIVE_INFINITY, event);
        await page.evaluate('longest.event = 0');
      };
      await page.locator('main').getByRole('link', { name: 'Next page' }).click();
      await note('next page');
      await search.click();
      await page.keyboard.type('article-12');
      await note('typing');
    }
    for (const [name, ms] of Object.entries(longest)) {
      measured[name] = `${Math.round(ms)} ms of ${MAX_INTERACTION_MS} ms`;
      expect([name, ms < MAX_INTERACTION_MS]).toEqual([name, true]);
    }
  });
});

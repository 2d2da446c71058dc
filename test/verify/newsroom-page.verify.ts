import type { ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { bundled, pageIcon } from '../../console/assets.ts';
import { type LivePage, serveLivePage } from '../../console/live-page.ts';
import type { PageData, PageFreshness } from '../../runtime/page.ts';
import { ROOT } from '../newsdesk.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { artifact, newContext, startBrowser, THEMES, violationsIn, WIDTHS } from './browser.ts';
import { start, until } from './newsroom.ts';
import { busyData, freshnessAt, HOSTILE_IDS, heldAt, newsroomData } from './newsroom-data.ts';

// A browser, and a pipeline that it looks at.
jest.setTimeout(240_000);

/** Numbers that need more room than they have. As text: the compiler of the tests knows no document. */
const CUT_OFF = `[...document.querySelectorAll('.views, .figures dd')].filter((each) => {
  const number = document.createRange();
  number.selectNode(each.firstChild);
  const [its, room] = [number, each].map((one) => one.getBoundingClientRect());
  return its.left < room.left - 1 || its.right > room.right + 1;
}).map((each) => each.textContent)`;

let browser: Browser;
beforeAll(async () => {
  browser = await startBrowser();
});
afterAll(() => browser?.close());

describe('the newsroom of a made-up hour', () => {
  let served: LivePage;
  let data: (at: number) => PageData = newsroomData;
  let freshness: (at: number) => PageFreshness = freshnessAt;
  beforeAll(async () => {
    served = await serveLivePage({
      title: 'Newsroom',
      assets: { ...pageIcon, ...(await bundled(join(ROOT, 'demo/newsroom/newsroom.tsx'))) },
      port: 0,
      read: async () => data(Date.now()),
      freshness: () => freshness(Date.now()),
    });
  });
  afterAll(() => served?.close());

  const STATES: Readonly<Record<string, [(at: number) => PageData, (at: number) => PageFreshness]>> = {
    now: [newsroomData, freshnessAt],
    busy: [busyData, freshnessAt],
    held: [newsroomData, heldAt],
    hostile: [(at) => newsroomData(at, HOSTILE_IDS), freshnessAt],
    'old-log': [(at) => ({ ...newsroomData(Date.parse('2025-03-03T14:05:30Z')), at }), freshnessAt],
    empty: [
      (at) => ({
        at,
        asOf: null,
        rows: { site: [{ newest: null, sessions: 0, minutes: [] }], articles: [] },
      }),
      freshnessAt,
    ],
  };

  for (const [state, [itsData, itsFreshness]] of Object.entries(STATES)) {
    test.each(THEMES.flatMap((theme) => WIDTHS.map((width) => [theme, width] as const)))(
      `${state}, %s and %d wide: nothing keeps anybody from reading it`,
      async (theme, width) => {
        [data, freshness] = [itsData, itsFreshness];
        const context = await newContext(browser, theme, width);
        try {
          const page = await context.newPage();
          await settled(page, served, state);
          expect(await violationsIn(page)).toEqual([]);
          expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
          expect(await page.evaluate(CUT_OFF)).toEqual([]);
          await page.screenshot({
            path: artifact(`newsroom-${state}-${width}-${theme}.png`),
            fullPage: true,
          });
        } finally {
          await context.close();
        }
      },
    );
  }

  test('what others name an article is text, and never markup', async () => {
    [data, freshness] = STATES.hostile!;
    const context = await newContext(browser);
    try {
      const page = await context.newPage();
      const complaints: string[] = [];
      page.on('console', (message) => complaints.push(message.text()));
      page.on('pageerror', (error) => complaints.push(error.message));
      await settled(page, served, 'hostile');
      const text = await page.locator('.articles').textContent();
      expect(text).toContain('<script>document.title="owned"</script>');
      expect(text).toContain('<img src=x onerror=document.title="owned">');
      expect(text).toContain('<U+202E>evitisop');
      expect(text).not.toMatch(/\p{Bidi_Control}|\u200b|\p{Cc}/u);
      expect(await page.locator('.articles script, .articles img').count()).toBe(0);
      expect(await page.title()).toBe('Newsroom');
      expect(complaints).toEqual([]);
    } finally {
      await context.close();
    }
  });

  test('one that was started again says so to a page that was open, which goes on once another is opened', async () => {
    const assets = await bundled(join(ROOT, 'demo/newsroom/newsroom.tsx'));
    const serve = (port: number) =>
      serveLivePage({
        title: 'Newsroom',
        assets,
        port,
        read: async () => newsroomData(Date.now()),
        freshness: () => freshnessAt(Date.now()),
      });
    const first = await serve(0);
    const context = await newContext(browser);
    const page = await context.newPage();
    await page.goto(first.url);
    await page.locator('.article').first().waitFor();
    await first.close();
    const second = await serve(first.port);
    try {
      const banner = page.getByText('It was started again. Open the URL that it prints now.');
      await banner.waitFor();
      await (await context.newPage()).goto(second.url);
      await banner.waitFor({ state: 'detached' });
    } finally {
      await context.close();
      await second.close();
    }
  });

  test('a page that only polls says that it hears nothing once an answer takes too long, and not between two', async () => {
    [data, freshness] = STATES.now!;
    const context = await newContext(browser);
    const page = await context.newPage();
    await context.clock.install();
    let isHanging = false;
    await context.route('**/events', (route) => route.fulfill({ status: 404 }));
    await context.route('**/data', (route) => (isHanging ? undefined : route.fallback()));
    try {
      await page.goto(served.url);
      await page.locator('.article').first().waitFor();
      const banner = page.getByText(
        /Nobody sends numbers any more: nothing was heard since \d\d:\d\d:\d\d\./,
      );
      for (let seconds = 0; seconds < 30; seconds++) {
        await page.clock.runFor(1_000);
        expect(await banner.count()).toBe(0);
      }
      isHanging = true;
      await page.clock.runFor(18_000);
      await banner.waitFor({ timeout: 5_000 });
      expect(await page.locator('.masthead .verdict').count()).toBe(0);
    } finally {
      await context.close();
    }
  });

  test('no other page can frame it, sniff it or run in it', async () => {
    const opened = await fetch(served.url, { redirect: 'manual' });
    const headers = { cookie: opened.headers.get('set-cookie')!.split(';')[0]! };
    const { headers: got } = await fetch(new URL('/', served.url), { headers });
    expect(got.get('content-security-policy')).toContain(
      "default-src 'none'; script-src 'self'; style-src 'self'",
    );
    expect(got.get('content-security-policy')).toContain("frame-ancestors 'none'");
    expect(got.get('x-content-type-options')).toBe('nosniff');
    expect(got.get('access-control-allow-origin')).toBeNull();
    const foreign = { ...headers, origin: 'https://elsewhere.example' };
    expect((await fetch(new URL('/data', served.url), { headers: foreign })).status).toBe(403);
  });
});

/** The page, once it shows the state: what the server had read before may be of another one. */
async function settled(page: Page, served: LivePage, state: string): Promise<void> {
  const seen = {
    now: '.article.breaking',
    busy: '.views:has-text("120,000")',
    held: '.banner.bad',
    hostile: 'text=evitisop',
    'old-log': 'text=The newest minute is 3 Mar 2025',
    empty: 'text=Nothing is counted yet',
  }[state]!;
  served.changed();
  await page.goto(served.url);
  served.changed();
  await page.locator(seen).first().waitFor();
}

describe('the newsroom of npm start', () => {
  const temporary = createTemporaryFolder();
  const running: ChildProcess[] = [];
  afterAll(() => {
    for (const up of running) up.kill('SIGKILL');
    temporary.remove();
  });

  /** Its page, open, and its addresses. */
  const opened = async (name: string, ...args: string[]) => {
    const ports = ['--page-port', '0', '--collector-port', '0'];
    const up = start(['up', '--json', '--state', join(temporary.path, name), ...ports, ...args]);
    running.push(up);
    up.stderr!.resume();
    const listening = await firstLine(up);
    const context = await newContext(browser);
    const page = await context.newPage();
    await page.goto(listening.newsroom);
    return { up, page, listening, context };
  };

  test('an article that somebody reads is on the page within a second of its commit', async () => {
    const { page, listening, up, context } = await opened('article', '--no-publish');
    await page.locator('text=Nothing is counted yet').waitFor();
    const contentId = '/science/a-comet-over-the-harbour-77';
    const event = {
      eventId: 'event-1',
      contentId,
      sessionId: 'session-1',
      url: `https://news.example${contentId}`,
      section: 'science',
      occurredAt: Date.now(),
      engagedMs: 12_000,
    };
    const answer = await fetch(`${listening.collector}/events/news.pageviews`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(event),
    });
    expect(answer.status).toBe(202);
    const sentAt = Date.now();
    await page.locator('h3:has-text("A comet over the harbour")').waitFor();
    console.log(
      `On the page ${Date.now() - sentAt} ms after the collector's answer, the batch window included.`,
    );
    const row = await page.locator('.article').textContent();
    expect(row).toMatch(/science[\s\S]*12 s engaged/);
    await context.close();
    up.kill('SIGKILL');
  });

  test('during an outage of the sink a banner says since when, in the words of status, and goes when it is over', async () => {
    const { page, up, context } = await opened('outage', '--sink-outage', '20');
    // The outage begins with the first batch: what is read from it on is not counted.
    const banner = page.locator('.banner.bad');
    await banner.waitFor({ timeout: 30_000 });
    const text = (await banner.textContent())!;
    expect(text).toMatch(/(?:STALLED|BLOCKED): The numbers are old since \d\d:\d\d:\d\d\./);
    expect(text).toMatch(/held by SINK_UNAVAILABLE since .*: the sink does not answer/);
    const [, held] = /since (\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ)/.exec(text)!;
    console.log(`The banner came ${Date.now() - Date.parse(held!)} ms after the outage began.`);
    await page.screenshot({ path: artifact('newsroom-outage.png') });
    await banner.waitFor({ state: 'hidden', timeout: 60_000 });
    await page.locator('.verdict.good').waitFor({ timeout: 60_000 });
    await page.locator('.article').first().waitFor();
    await context.close();
    up.kill('SIGKILL');
  });

  test('while the run hangs, the page says since when it hears nothing', async () => {
    const { page, up, context } = await opened('hangs');
    const well = page.locator('.masthead .verdict');
    await well.waitFor();
    process.kill(up.pid!, 'SIGSTOP');
    const banner = page.getByText(/Nobody sends numbers any more: nothing was heard since \d\d:\d\d:\d\d\./);
    await banner.waitFor({ timeout: 20_000 });
    expect(await well.count()).toBe(0);
    // It tries again meanwhile, and still hears nothing.
    await page.waitForTimeout(13_000);
    expect(await banner.count()).toBe(1);
    process.kill(up.pid!, 'SIGCONT');
    await banner.waitFor({ state: 'detached', timeout: 20_000 });
    await well.waitFor();
    await context.close();
    up.kill('SIGKILL');
  });

  test('when the run ends, the page says that nobody sends numbers any more', async () => {
    const { page, up, context } = await opened('ends');
    await page.locator('.article').first().waitFor();
    up.kill('SIGINT');
    await page.locator('text=Nobody sends numbers any more').waitFor({ timeout: 60_000 });
    await context.close();
  });
});

async function firstLine(up: ChildProcess): Promise<{ newsroom: string; collector: string }> {
  let stdout = '';
  up.stdout!.setEncoding('utf8').on('data', (text) => {
    stdout += text;
  });
  await until(async () => stdout.includes('\n') || up.exitCode !== null);
  return JSON.parse(stdout.split('\n')[0]!);
}

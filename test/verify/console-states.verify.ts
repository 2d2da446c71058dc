/** The console when something is not there: its store, its server, what a link names, or an answer. */
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { consoleAssets } from '../../console/assets.ts';
import type { ActionState, Operations } from '../../console/operations.ts';
import type { PageServer } from '../../console/page-server.ts';
import { serveConsole } from '../../console/server.ts';
import { BEYOND, GONE, sampleOperations } from '../console/sample-operations.ts';
import { artifact, figuresIn, newContext, startBrowser, violationsIn } from './browser.ts';

jest.setTimeout(120_000);

const REASON = 'order-totals: The sink does not answer. [SINK_UNAVAILABLE]';

let browser: Browser;
let assets: Awaited<ReturnType<typeof consoleAssets>>;
/** Of one test. */
const servers: PageServer[] = [];
const contexts: BrowserContext[] = [];
beforeAll(async () => {
  browser = await startBrowser();
  assets = await consoleAssets();
});
afterEach(async () => {
  for (const context of contexts.splice(0)) await context.close();
  for (const server of servers.splice(0)) await server.close().catch(() => {});
});
afterAll(() => browser?.close());

async function serve(changes: Partial<Operations> = {}, port = 0): Promise<PageServer> {
  const operations = { ...sampleOperations({ allowsActions: true, groups: 60 }), ...changes };
  const server = await serveConsole({ operations, assets, port });
  servers.push(server);
  return server;
}

/** The page, signed in, with all that it asked for. */
async function open(
  server: PageServer,
  path: string,
  before: (context: BrowserContext) => Promise<unknown> = async () => {},
): Promise<Page> {
  const context = await newContext(browser);
  contexts.push(context);
  await before(context);
  const page = await context.newPage();
  await page.goto(server.url);
  await page.waitForSelector('main h1');
  await page.goto(new URL(path, server.url).href);
  await read(page);
  return page;
}

async function read(page: Page): Promise<void> {
  await page.waitForSelector('main h1');
  await page.locator('main', { hasNotText: /Loading …|Reading …/ }).waitFor();
}

const main = async (page: Page) => (await page.textContent('main')) ?? '';

describe('a store that cannot be read', () => {
  const unread = async () => ({ items: [], total: 0, next: null, asOf: Date.now(), problem: REASON });
  const all = { groups: unread, letters: unread, parked: unread, auditLog: unread };

  test.each(['/failures', '/failures?search=a', '/parked', '/audit', '/group/order-totals/f0000000'])(
    '%s says so with the reason, and never that there is nothing',
    async (path) => {
      const page = await open(await serve(all), path);
      const text = await main(page);
      expect(text).toContain(`cannot be read. ${REASON}`);
      expect(text).not.toMatch(/No dead letters|No key waits|Nobody has changed|matches|are left|\b0 /);
      expect(await page.locator('main .notice.good').count()).toBe(0);
      expect(await violationsIn(page)).toEqual([]);
    },
  );

  test('a list that is read in part says that it is not whole', async () => {
    const sample = sampleOperations();
    const parked: Operations['parked'] = async (query) => ({
      ...(await sample.parked(query)),
      problem: REASON,
    });
    const text = await main(await open(await serve({ parked }), '/parked'));
    expect(text).toContain('at least 230 keys');
    expect(text).toContain(`This list is not whole. ${REASON}`);
  });

  test('an empty store that can be read is empty', async () => {
    const none = async () => ({ ...(await unread()), problem: null });
    const text = await main(await open(await serve({ groups: none }), '/failures'));
    expect(text).toMatch(/0 groups.*No dead letters/);
  });

  test('consumers that cannot be read any more keep up no more', async () => {
    const { status } = sampleOperations();
    const problem = 'The log cannot be read.';
    const page = await open(await serve({ status: async () => ({ ...(await status()), problem }) }), '/');
    expect(await page.textContent('h1')).toMatch(/^The consumers cannot be read since \d\d:\d\d:\d\d$/);
    expect(await main(page)).toContain(problem);
    await expectNothingWell(page);
  });

  test('one consumer that cannot be read any more was so at a time, and no badge counts for now', async () => {
    const { status, consumer } = sampleOperations();
    const problem = 'The folder is gone.';
    const server = await serve({
      status: async () => ({ ...(await status()), problem }),
      consumer: async (name) => ({ ...(await consumer(name)), problem }),
    });
    const page = await open(server, '/consumers/subscriptions');
    expect(await main(page)).toMatch(
      /It cannot be read\. What is below was so at \d\d:\d\d:\d\d\. The folder is gone\./,
    );
    await expectNothingWell(page);
    const badges = page.locator('.tabs .count');
    expect(await badges.locator('[aria-hidden]').allTextContents()).toEqual(['?', '?']);
    expect(await badges.first().textContent()).toMatch(/dead letters at \d\d:\d\d:\d\d, unknown since$/);
    expect(await violationsIn(page)).toEqual([]);
  });

  test('parked keys that nobody counted are unknown', async () => {
    const page = await open(await serve(), '/consumers/comments');
    expect(await main(page)).toMatch(/Parked keys\?/);
    expect(await main(await open(await serve(), '/consumers/billing'))).toMatch(/Parked keys230/);
  });
});

/** No verdict stands as if it held now, and nothing is green. */
async function expectNothingWell(page: Page): Promise<void> {
  const verdicts = await page.locator('main .verdict').allTextContents();
  expect(verdicts.length).toBeGreaterThan(0);
  expect(verdicts.filter((each) => !/^… ?was /.test(each))).toEqual([]);
  const colours = await page.evaluate<string[]>(
    `[...document.querySelectorAll('.verdict, main .cell, .chips a')].flatMap((each) => {
       const { color, backgroundColor } = getComputedStyle(each);
       return [color, backgroundColor];
     })`,
  );
  // What is green has more of it than of red, by far.
  const green = [...new Set(colours)].filter((colour) => {
    const [red = 0, g = 0, , alpha = 1] = colour.match(/[\d.]+/g)!.map(Number);
    return alpha > 0 && g > red + 20;
  });
  expect(green).toEqual([]);
}

describe('a server that is gone', () => {
  test('the Now page says since when, and nothing is well any more', async () => {
    const server = await serve();
    const page = await open(server, '/');
    await server.close();
    await page.getByRole('heading', { name: /^The console does not answer since \d\d:\d\d:\d\d$/ }).waitFor();
    await expectNothingWell(page);
    expect(await page.textContent('.health')).toBe('?UNKNOWNNo answer');
    expect(await page.title()).toMatch(/^\(no answer\)/);
    expect(await violationsIn(page)).toEqual([]);
    await page.screenshot({ path: artifact('console-gone.png') });
  });

  test.each(['/failures', '/consumers/subscriptions'])('%s says it, too', async (path) => {
    const server = await serve();
    const page = await open(server, path);
    await server.close();
    await page.getByText(/The console does not answer since \d\d:\d\d:\d\d\. Is its command/).waitFor();
    if (path !== '/failures') await expectNothingWell(page);
  });

  test.each(['/', '/failures'])('%s of one that was started again names the way on', async (path) => {
    const server = await serve();
    const page = await open(server, path);
    const { port } = server;
    await server.close();
    const second = await serve({}, port);
    await page.getByText('It was started again. Open the URL that it prints now.').waitFor();
    // Opened in another tab, it goes on in this one.
    const other = await page.context().newPage();
    await other.goto(second.url);
    await read(other);
    await page.getByText('It was started again.').waitFor({ state: 'detached' });
  });
});

describe('a cursor behind the end of its list', () => {
  test.each([
    ['/failures?cursor=60', 'No dead letters'],
    ['/parked?cursor=230', 'No key waits'],
    ['/audit?cursor=400', 'Nobody has changed'],
    ['/group/order-totals/f0000000?cursor=100000', 'No letter matches'],
  ])('%s says so, and leads to the first page', async (path, allClear) => {
    const page = await open(await serve(), path);
    await page.getByText('ends before this page').waitFor();
    expect(await main(page)).not.toContain(allClear);
    expect(await page.locator('main .notice.good').count()).toBe(0);
    expect(await violationsIn(page)).toEqual([]);
    await page.getByRole('link', { name: 'Show its first page' }).click();
    await page.locator('main [data-row], main td').first().waitFor();
  });

  test.each(['/failures?consumer=&search=zzz', '/failures?search=zzz'])(
    '%s, which matches nothing, is no all-clear',
    async (path) => {
      const text = await main(await open(await serve(), path));
      expect(text).toContain('No failure matches.');
      expect(text).not.toContain('No dead letters');
    },
  );
});

describe('what a person types', () => {
  test('is theirs while the list is asked for what they typed before', async () => {
    const page = await open(await serve(), '/failures');
    const search = page.getByRole('searchbox');
    await page.evaluate(
      `addEventListener('millrace:place', () => {
         const field = document.querySelector('main input[type=search]');
         const type = (letter) => {
           field.value += letter;
           field.dispatchEvent(new Event('input', { bubbles: true }));
         };
         type('B');
         setTimeout(type, 60, 'C');
       }, { once: true })`,
    );
    await search.fill('A');
    await page.waitForURL('**/failures?search=ABC');
    expect(await search.inputValue()).toBe('ABC');
    await page.getByRole('navigation', { name: 'Pages', exact: true }).getByText('Failures').click();
    await page.waitForURL('**/failures');
    expect(await search.inputValue()).toBe('');
    await page.goBack();
    await page.waitForURL('**/failures?search=ABC');
    expect(await search.inputValue()).toBe('ABC');
  });

  test('in the box of every page stays, whatever comes in meanwhile', async () => {
    const page = await open(await serve(), '/audit');
    const topic = page.locator('.bar select');
    await topic.selectOption('shop.orders');
    await page.locator('#find-key').fill('/abou');
    // Two samples of all consumers.
    for (let seen = 0; seen < 2; seen++)
      await page.evaluate(`new Promise((resolve) => {
        const events = new EventSource('/api/live');
        let heard = 0;
        events.addEventListener('status', () => ++heard === 2 && (events.close(), setTimeout(resolve, 200)));
      })`);
    expect(await topic.inputValue()).toBe('shop.orders');
    expect(await page.locator('#find-key').inputValue()).toBe('/abou');
  });
});

describe('asking again', () => {
  test('for the same records searches again, and back leads to what was before', async () => {
    let searches = 0;
    const { find } = sampleOperations();
    const server = await serve({
      find: (query, signal) => {
        searches++;
        return find(query, signal);
      },
    });
    const page = await open(server, '/find?topic=shop.orders&key=%2Fabout');
    await page.getByText(/found among .*, as of \d\d:\d\d:\d\d\./).waitFor();
    const entries = await page.evaluate('history.length');
    const asked = async (times: number) => {
      await page.locator('main tbody tr').first().waitFor();
      expect([searches, await page.evaluate('history.length')]).toEqual([times, entries]);
    };
    await asked(1);
    const again = () => page.waitForResponse((answer) => answer.url().includes('/api/find'));
    await Promise.all([again(), page.locator('main').getByRole('button', { name: 'Find' }).click()]);
    await asked(2);
    await page.locator('#find-key').fill('/about');
    await Promise.all([again(), page.locator('#find-key').press('Enter')]);
    await asked(3);
  });

  test('of a list stops while nobody looks, and goes on at once', async () => {
    const page = await open(await serve(), '/failures', (context) => context.clock.install());
    let asked = 0;
    page.on('request', (request) => {
      if (request.url().includes('/api/groups')) asked++;
    });
    const show = (isShown: boolean) =>
      page.evaluate(
        `Object.defineProperty(document, 'hidden', { configurable: true, value: ${!isShown} });
         document.dispatchEvent(new Event('visibilitychange'));`,
      );
    await Promise.all([
      page.waitForResponse((answer) => answer.url().includes('/api/groups')),
      page.clock.runFor(6_000),
    ]);
    await show(false);
    asked = 0;
    for (let seconds = 0; seconds < 12; seconds++) await page.clock.runFor(1_000);
    expect(asked).toBe(0);
    await Promise.all([page.waitForResponse((answer) => answer.url().includes('/api/groups')), show(true)]);
    expect(asked).toBe(1);
  });
});

describe('an action', () => {
  const REDRIVE: ActionState = {
    id: 'a',
    request: {
      kind: 'redrive',
      consumer: 'order-totals',
      where: '',
      allowOvertaken: false,
      canary: 0,
      rate: 1,
      maxFailures: 1,
    },
    command: 'npx millrace dlq redrive',
    phase: 'running',
    isCanary: false,
    startedAt: Date.now(),
    endedAt: null,
    planned: 9,
    sent: 1,
    applied: 1,
    alreadyApplied: 0,
    failed: 0,
    overtaken: 0,
    remaining: 8,
    arrived: 0,
    text: '',
  };

  test('that was resumed elsewhere before the page looked again can be paused again', async () => {
    let steered = 0;
    const server = await serve({
      // A new answer each time, as from JSON.
      actions: async () => [{ ...REDRIVE }],
      steer: async () => {
        steered++;
        return { ...REDRIVE, phase: 'paused' };
      },
    });
    const page = await open(server, '/redrive/a');
    const pause = page.getByRole('button', { name: 'Pause', exact: true });
    await pause.click();
    await page.getByRole('button', { name: 'Pausing …' }).waitFor({ state: 'detached', timeout: 5_000 });
    await pause.waitFor();
    expect(steered).toBe(1);
  });

  test('that lacks a part of its plan does not end as done', async () => {
    const key = { base64: 'YQ==', partition: 0 };
    const ended: ActionState = {
      ...REDRIVE,
      request: { kind: 'park-discard', consumer: 'billing', key, reason: 'a test' },
      phase: 'done',
      endedAt: Date.now(),
      planned: 3,
      remaining: 2,
      text: '2 records of the plan did not wait with the key any more.',
    };
    const page = await open(await serve({ actions: async () => [ended] }), '/redrive/a');
    expect(await figuresIn(page)).toEqual({ Done: '1', 'Failed again': '0', 'Not done': '2' });
    const text = await main(page);
    expect(text).toContain('▲ It ended. 2 records of the plan did not wait with the key any more.');
    expect(text).not.toContain('✓ Done.');
    expect(text).toContain('1 record done');
  });

  test.each([
    ['park-discard', 'Discard 1 letter and 12 parked records', { Letters: '1', 'Parked records': '12' }],
    ['park-skip', 'Skip the letter, apply 12 parked records', { 'Parked records': '12' }],
    ['park-release', 'Release 12 parked records', { 'Parked records': '12' }],
  ])('%s counts letters and parked records apart', async (kind, button, figures) => {
    const page = await open(await serve(), `/redrive?kind=${kind}&consumer=billing&partition=3&key=YQ%3D%3D`);
    await page.getByRole('button', { name: button, exact: true }).waitFor();
    expect(await figuresIn(page)).toEqual(figures);
    await page.setViewportSize({ width: 320, height: 700 });
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
  });

  test('of a kind that there is not is planned as nothing else', async () => {
    let plans = 0;
    const { plan } = sampleOperations();
    const server = await serve({
      plan: (request) => {
        plans++;
        return plan(request);
      },
    });
    const page = await open(server, '/redrive?consumer=order-totals&kind=foo');
    await page.getByRole('heading', { level: 1, name: 'There is no such action' }).waitFor();
    expect(await main(page)).toMatch(/kind=foo is no action\. The kinds are redrive, discard, /);
    expect(plans).toBe(0);
    expect(await violationsIn(page)).toEqual([]);
  });

  test('with a number that is none says so until it is corrected', async () => {
    const page = await open(await serve(), '/redrive?consumer=order-totals&where=error%3DHANDLER_FAILED');
    const rate = page.getByLabel('Letters a second, at most');
    await rate.fill('0');
    await page.getByRole('textbox', { name: /to confirm/ }).fill('order-totals');
    await page.locator('form.card button[type=submit]').click();
    const wrong = page.getByText('type a whole number from 1');
    await wrong.waitFor();
    await rate.fill('10');
    await wrong.waitFor({ state: 'detached', timeout: 5_000 });
  });
});

describe('a time that no date holds', () => {
  const NO_DATE = 9_007_199_254_740_991;
  const sample = sampleOperations({ groups: 60 });
  const changes: Partial<Operations> = {
    groups: async (query) => {
      const page = await sample.groups(query);
      const times = { firstSeenAt: NO_DATE, lastSeenAt: NO_DATE, expiresAt: NO_DATE };
      return { ...page, items: page.items.map((group) => ({ ...group, ...times })) };
    },
    letters: async (query) => {
      const page = await sample.letters(query);
      return { ...page, items: page.items.map((letter) => ({ ...letter, lastFailedAt: NO_DATE })) };
    },
    letter: async (id, reveal) => {
      const letter = await sample.letter(id, reveal);
      const earlier = letter.earlier.map((each) => ({ ...each, at: String(NO_DATE) }));
      return { ...letter, firstFailedAt: NO_DATE - 1, lastFailedAt: NO_DATE, earlier };
    },
    consumer: async (name) => {
      const answer = await sample.consumer(name);
      const mark = { at: NO_DATE, kind: 'action', text: 'an import' } as const;
      return { ...answer, look: { ...answer.look, deployedAt: NO_DATE }, marks: [mark] };
    },
    status: async () => {
      const status = await sample.status();
      return { ...status, consumers: status.consumers.map((look) => ({ ...look, deployedAt: NO_DATE })) };
    },
    auditLog: async (query) => {
      const page = await sample.auditLog(query);
      return { ...page, items: page.items.map((row) => ({ ...row, begunAt: 'once' })) };
    },
  };

  test.each([
    ['/', 'Drains in'],
    ['/failures', 'Newest failure first'],
    ['/group/order-totals/f0000000', 'Last failed'],
    ['/letters/order-totals/news.pageviews/5/7', 'What people did to it'],
    ['/consumers/billing', 'Generations'],
    ['/audit', 'ada@newsroom'],
  ])('is unknown on %s, and the rest of the page is there', async (path, rest) => {
    const page = await open(await serve(changes), path);
    await page.locator('main').getByText('unknown', { exact: true }).first().waitFor();
    const text = await main(page);
    expect(text).toContain(rest);
    expect(text).not.toMatch(/Invalid|NaN/);
  });
});

describe('an answer that is none', () => {
  test('too much typed is cut, with a word about it', async () => {
    const page = await open(await serve(), '/failures');
    await page.getByRole('searchbox').click();
    await page.keyboard.insertText('x'.repeat(30_000));
    expect((await page.getByRole('searchbox').inputValue()).length).toBe(400);
    await page.getByText('400 characters at most').waitFor();
    await page.getByText('No failure matches.').waitFor();
  });

  test.each([
    [431, '', 'That is too long to ask for. Ask for fewer characters.'],
    [502, '<html>Bad gateway</html>', 'The console gave an answer that this page cannot read (HTTP 502).'],
    [200, '<html>', 'The console gave an answer that this page cannot read (HTTP 200).'],
    [500, '{}', 'The console gave an answer that this page cannot read (HTTP 500).'],
  ])('%i with %p is told in words', async (status, body, words) => {
    const page = await open(await serve(), '/failures', (context) =>
      context.route('**/api/groups*', (route) => route.fulfill({ status, body })),
    );
    await page.getByRole('alert').filter({ hasText: words }).waitFor();
    expect(await main(page)).not.toMatch(/SyntaxError|undefined/);
  });

  test('what was asked to happen and has no answer after ten seconds says so', async () => {
    const page = await open(await serve(), '/letters/order-totals/news.pageviews/5/7', async (context) => {
      await context.clock.install();
      await context.route('**/api/letter/reveal', () => {});
    });
    const late = page.getByText('The console has not answered for 10 s.');
    await page.getByRole('button', { name: /^Reveal/ }).click();
    await page.clock.runFor(9_000);
    expect(await late.count()).toBe(0);
    await page.clock.runFor(2_000);
    await late.waitFor();
  });
});

test('a letter that is revealed but for its personal data says what is shown', async () => {
  const { letter } = sampleOperations();
  const server = await serve({
    letter: async (id, reveal) => ({
      ...(await letter(id, reveal)),
      ...(reveal && { isMasked: true, isRevealable: false }),
    }),
  });
  const page = await open(server, '/letters/order-totals/shop.orders/1/1001');
  expect(await main(page)).toContain('Values are hidden.');
  await page.getByRole('button', { name: /^Reveal values/ }).click();
  await page.getByText('The other values are shown; the audit log has it.').waitFor();
  const text = await main(page);
  expect(text).not.toContain('Values are hidden.');
  expect(text).toContain('Start the console with --show-values');
  expect(await violationsIn(page)).toEqual([]);
});

describe('a link that names nothing', () => {
  let server: PageServer;
  let page: Page;
  beforeAll(async () => {
    server = await serve();
    // The others' end is not its end.
    page = await open(server, '/find');
    servers.length = 0;
    contexts.length = 0;
  });
  afterAll(() => server?.close());

  test.each([
    ['/letters/%ff', 'There is no such dead letter'],
    ['/letters/a%2Fb/c', 'There is no such dead letter'],
    ['/letters/a/b/c/d', 'There is no such dead letter'],
    ['/letters/a/b/1/2/3', 'There is no such dead letter'],
    [`/letters/order-totals/news.pageviews/5/${GONE}`, 'There is no such dead letter'],
    ['/letters/order-totals/news.pageviews/5/7/', 'Dead letter 5/7'],
    ['/letters', 'Not found'],
    ['/consumers', 'Not found'],
    ['/consumers/', 'Not found'],
    ['/consumers/billing/x', 'Not found'],
    ['/consumers/%E0%A4%A', 'There is no such consumer'],
    ['/consumers/nobody', 'There is no such consumer'],
    ['/group/billing', 'Not found'],
    ['/group/billing/nothing', 'No letters are left in this group'],
    ['/failures/x', 'Not found'],
    ['/failures/', 'Failures'],
    ['/toString', 'Not found'],
    ['/constructor', 'Not found'],
    ['/redrives', 'Redrives and other actions'],
    ['/redrive', 'Redrives and other actions'],
    ['/redrive/nothing', 'This console does not know the action'],
    ['//', '8 of 11 consumers need you'],
  ])('%s shows %p', async (path, heading) => {
    await page.goto(new URL(server.url).origin + path);
    await read(page);
    await page.getByRole('heading', { level: 1, name: heading }).waitFor();
    expect(await page.locator('h1').count()).toBe(1);
    expect(`${await page.title()} ${await main(page)}`).not.toMatch(/undefined|NaN|\[object/);
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
  });
});

describe('what leads on', () => {
  test('a letter that no change lets through is discarded first', async () => {
    const page = await open(await serve(), `/letters/order-totals/news.pageviews/5/${BEYOND}`);
    expect(await page.getByRole('link', { name: 'Redrive this letter …' }).getAttribute('class')).not.toMatch(
      /primary/,
    );
    expect(await page.getByRole('link', { name: 'Discard …' }).getAttribute('class')).toMatch(/primary/);
    expect(await main(page)).toContain('No change lets such a record through');
  });

  test('a letter that would pass is redriven, after what has to change', async () => {
    const page = await open(await serve(), '/letters/order-totals/news.pageviews/5/9');
    expect(await page.getByRole('link', { name: 'Redrive this letter …' }).getAttribute('class')).toMatch(
      /primary/,
    );
    expect(await main(page)).toContain('A redrive helps only after a deployment without the bug.');
  });

  test('a group is called by its code and its place, and its keys can be selected', async () => {
    const page = await open(await serve(), '/failures');
    await page
      .getByRole('link', { name: /^FRAME_UNKNOWN in news\.pageviews$/ })
      .first()
      .waitFor();
    const covered = await page.evaluate<string[]>(
      `[...document.querySelectorAll('.linked :is(code, .key .mono)')].slice(0, 9).flatMap((each) => {
         const { x, y, height } = each.getBoundingClientRect();
         const on = document.elementFromPoint(x + 3, y + height / 2);
         return on === null || each.contains(on) || on.contains(each) && !on.matches('a') ? [] : [on.outerHTML];
       })`,
    );
    expect(covered).toEqual([]);
    await page
      .getByRole('link', { name: /^FRAME_UNKNOWN/ })
      .first()
      .click();
    await page.getByRole('heading', { level: 1, name: 'FRAME_UNKNOWN in news.pageviews' }).waitFor();
  });

  test('a position stays in one line', async () => {
    const page = await open(await serve(), '/group/order-totals/f0000000');
    const heights = await page.evaluate<number[]>(
      `[...document.querySelectorAll('.position')].map((each) =>
         Math.round(each.getBoundingClientRect().height / Number.parseFloat(getComputedStyle(each).fontSize)))`,
    );
    expect(new Set(heights)).toEqual(new Set([1]));
  });

  test('with one topic, the page asks for none', async () => {
    const sample = sampleOperations();
    const place: Operations['place'] = async () => ({
      ...(await sample.place()),
      topics: ['news.pageviews'],
    });
    const page = await open(await serve({ place }), '/audit');
    expect(await page.locator('.bar select').count()).toBe(0);
    await page.locator('#find-key').fill('/about');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/find?topic=news.pageviews&key=%2Fabout');
    expect(await (await open(await serve(), '/audit')).locator('.bar select').count()).toBe(1);
  });
});

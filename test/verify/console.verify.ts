/** On call with the console: a handler bug for one article, from the Now page to "applied", by clicking and by keyboard. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import type { Browser, Page } from 'playwright-core';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { createTraffic } from '../../demo/traffic.ts';
import { rawRequest } from '../console/raw-request.ts';
import type { OrderChange } from '../fixtures/order-history/contracts/shop.order-changes/schema.ts';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { artifact, figuresIn, newContext, startBrowser } from './browser.ts';
import { millrace, millraceJson, start } from './newsroom.ts';
import { copyOrderHistory, MENDED } from './order-faults.ts';

jest.setTimeout(240_000);

const CONSUMER = 'editorial-analytics';
const RECORDS = 600;
const MAX_CLICKS = 6;
const temporary = createTemporaryFolder();
const running: ChildProcess[] = [];
let browser: Browser;
let input: string;
let article: string;
let failing: number;

beforeAll(async () => {
  browser = await startBrowser();
  const traffic = createTraffic(createSeededRandom(7));
  const views = Array.from({ length: RECORDS }, (_, n) => traffic.next(Date.now() - n * 40));
  const articles = [...Map.groupBy(views, ({ contentId }) => contentId)];
  [article, failing] = articles
    .map(([id, of]) => [id, of.length] as const)
    .find(([, length]) => length >= 12 && length <= 40)!;
  input = join(temporary.path, 'pageviews.jsonl');
  writeFileSync(input, views.map((view) => JSON.stringify(view)).join('\n'));
});
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  for (const child of running.splice(0)) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
});
afterAll(async () => {
  await browser?.close();
  temporary.remove();
});

/** A state folder in which the consumer failed every view of the article, and nobody runs it now. */
async function afterTheBug(name: string): Promise<readonly string[]> {
  const state = ['--state', join(temporary.path, name)];
  await millraceJson(['publish', 'news.pageviews', '--input', input, ...state]);
  const bug = ['--fail', `contentId=${article}`];
  await millraceJson(['up', '--no-publish', '--exit-when-drained', ...bug, ...state]);
  expect(await millraceJson(['dlq', 'list', ...state])).toHaveLength(failing);
  return state;
}

/** What the first line of a command's JSON says. */
async function started(args: readonly string[], project?: string): Promise<Readonly<Record<string, string>>> {
  const child = start([...args, '--json'], project);
  running.push(child);
  child.stderr!.resume();
  const [line] = await once(createInterface({ input: child.stdout! }), 'line');
  return JSON.parse(line);
}

/** The pipeline without the bug, and its console. */
async function open(state: readonly string[], project?: string): Promise<Page> {
  const ports = ['--console-port', '0', ...(project === undefined ? ['--collector-port', '0'] : [])];
  const { console } = await started(['up', '--no-publish', '--allow-actions', ...ports, ...state], project);
  const page = await (await newContext(browser)).newPage();
  await page.goto(console!);
  return page;
}

/** All was applied, and the audit log says who did it. */
async function expectApplied(page: Page, state: readonly string[]): Promise<void> {
  const rows = page.locator('main').getByText(/redrive/i);
  await rows.first().waitFor();
  expect(await page.textContent('main')).toContain(`applied ${failing}`);
  const [entry] = (await millraceJson(['dlq', 'audit', ...state])) as readonly { readonly action: string }[];
  expect(entry).toMatchObject({
    action: 'redrive',
    consumer: CONSUMER,
    result: { applied: failing, failed: 0 },
  });
  expect(await millraceJson(['dlq', 'list', ...state])).toEqual([]);
  const [{ views }] = await millraceJson([
    'sql',
    `select sum(views)::int as views from article_minute where content_id = '${article}'`,
    ...state,
  ]);
  expect(views).toBe(failing);
}

describe('a handler bug for one article, deployed away', () => {
  test('goes from the Now page to applied in at most six clicks, and the audit log has it', async () => {
    const state = await afterTheBug('by-clicking');
    const page = await open(state);
    let clicks = 0;
    const click = async (role: 'link' | 'button' | 'textbox', name: RegExp) => {
      clicks++;
      await page.locator('main').getByRole(role, { name }).first().click();
    };
    await click('link', /why they failed|dead letters?$/i);
    await page.waitForURL('**/failures?**');
    clicks++;
    await page.locator('main [data-row]').first().click();
    await page.waitForURL('**/group/**');
    await click('link', /^Redrive/);
    await click('textbox', /to confirm/);
    await page.keyboard.type(CONSUMER);
    await page.screenshot({ path: artifact('console-scenario-plan.png') });
    await click('button', /^Start/);
    await page.getByText('✓ Done.').waitFor();
    await page.screenshot({ path: artifact('console-scenario-applied.png') });
    process.stderr.write(`From Now to applied: ${clicks} clicks of ${MAX_CLICKS}\n`);
    expect(clicks).toBeLessThanOrEqual(MAX_CLICKS);
    await click('link', /^Audit log$/);
    await page.waitForURL('**/audit**');
    await expectApplied(page, state);
  });

  test('goes the same way by keyboard alone', async () => {
    const state = await afterTheBug('by-keyboard');
    const page = await open(state);
    /** Goes on by Tab until what has the focus is called so. */
    const tabTo = async (name: RegExp) => {
      for (let presses = 0; presses < 80; presses++) {
        await page.keyboard.press('Tab');
        const focused = await page.evaluate<string>(
          '(({ activeElement: on }) => on.labels?.[0]?.textContent || on.ariaLabel || on.textContent)(document)',
        );
        if (name.test(focused.trim())) return;
      }
      throw new Error(`Tab reaches nothing that is called ${name}`);
    };
    await page.waitForSelector('main a');
    await tabTo(/why they failed|dead letters?$/i);
    await page.keyboard.press('Enter');
    await page.waitForSelector('main [data-row]');
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await page.waitForURL('**/group/**');
    await page.getByRole('link', { name: /^Redrive these/ }).waitFor();
    await tabTo(/^Redrive (these|this)/);
    await page.keyboard.press('Enter');
    await page.getByRole('textbox', { name: /to confirm/ }).waitFor();
    await tabTo(/to confirm/);
    await page.keyboard.type(CONSUMER);
    await page.keyboard.press('Enter');
    await page.getByText('✓ Done.').waitFor();
    await page.keyboard.press('g');
    await page.keyboard.press('a');
    await page.waitForURL('**/audit**');
    await expectApplied(page, state);
  });
});

describe('orders of which one change was lost', () => {
  const project = () => join(temporary.path, 'orders');
  const state = () => ['--state', join(temporary.path, 'of-orders')];
  const json = (...args: readonly string[]) => millraceJson([...args, ...state()], '', project());
  /** Each begins with the change that fails; of the last one nothing is parked. */
  const histories: Readonly<Record<string, readonly string[]>> = {
    skipped: ['lost', 'paid', 'sent'],
    released: ['lost', 'paid'],
    waiting: ['lost', 'packed'],
    single: ['lost'],
  };

  beforeAll(async () => {
    copyOrderHistory(project(), MENDED);
    const changes = Object.entries(histories).flatMap(([orderId, statuses]) =>
      statuses.map((status, at): OrderChange => ({ eventId: `${orderId}-${at}`, orderId, status, cents: 1 })),
    );
    const changesFile = join(temporary.path, 'orders.jsonl');
    writeFileSync(changesFile, changes.map((each) => JSON.stringify(each)).join('\n'));
    placeSink(state()[1]!);
    const up = ['up', '--input', changesFile, '--exit-when-drained', '--fail', 'status=lost'];
    expect(await json(...up)).toMatchObject({ deadLettered: 4 });
  });

  test('a key is skipped and one released; a redrive leaves out what that overtook; a discard does away with it', async () => {
    const page = await open(state(), project());
    const main = page.locator('main');
    const go = async (name: string) => page.getByLabel('Pages').getByRole('link', { name }).click();
    /** Fills the form in as it asks to be, and starts. */
    const startIt = async (reason?: string) => {
      const button = page.locator('form.card button[type=submit]');
      await button.waitFor();
      if (reason !== undefined) {
        expect(await button.isDisabled()).toBe(true);
        await page.getByRole('textbox', { name: 'Reason' }).fill(reason);
      }
      await page.getByRole('textbox', { name: /to confirm/ }).fill('order-history');
      await button.click();
      await page.waitForURL(/\/redrive\/[\w-]+$/);
      await page.getByText('✓ Done.').waitFor();
    };

    await go('Parked keys');
    await page.getByRole('link', { name: /Skip … key skipped/ }).click();
    await startIt('a test order');
    expect(await figuresIn(page)).toMatchObject({ Done: '2', 'Not done': '0' });
    await go('Parked keys');
    await page.getByRole('link', { name: /Release … key released/ }).click();
    await page.locator('form.card').waitFor();
    expect(await page.getByRole('textbox', { name: 'Reason' }).count()).toBe(0);
    await startIt();

    // Three letters are left, of which that of the released key is overtaken.
    await go('Failures');
    await main.locator('[data-row]').first().click();
    await page.getByRole('link', { name: 'Redrive these 2 letters …' }).click();
    await main.getByText('Start: redrive 2 letters').waitFor();
    expect(await figuresIn(page)).toEqual({ 'Letters to redrive': '2', 'Overtaken, left out': '1' });
    await page.screenshot({ path: artifact('console-scenario-overtaken.png') });
    await startIt();
    expect(await figuresIn(page)).toMatchObject({
      Applied: '2',
      'Overtaken, left out': '1',
      'Failed again': '0',
      'Without a result': '0',
    });

    // What is left is overtaken, and the page offers nothing that leaves it out.
    await page.goBack();
    await page.getByRole('link', { name: 'Redrive the overtaken letter …' }).click();
    await main.getByText('Start: redrive 1 letter').waitFor();
    expect(await figuresIn(page)).toEqual({ 'Letters to redrive': '1', 'Overtaken ones among them': '1' });
    expect(await page.getByRole('checkbox', { name: /overtaken letter/ }).isChecked()).toBe(true);
    await page.goBack();
    await page.getByRole('link', { name: 'Discard …' }).click();
    await startIt("the customer's mistake");

    const log = JSON.stringify(await json('dlq', 'audit'));
    expect(log).toContain('a test order');
    expect(log).toContain("the customer's mistake");
    const rows = await json('sql', 'select order_id, status, history from order_history order by 1');
    expect(rows).toEqual([
      { order_id: 'released', status: 'paid', history: 'released-1 paid\n' },
      { order_id: 'single', status: 'lost', history: 'single-0 lost\n' },
      { order_id: 'skipped', status: 'sent', history: 'skipped-1 paid\nskipped-2 sent\n' },
      { order_id: 'waiting', status: 'packed', history: 'waiting-0 lost\nwaiting-1 packed\n' },
    ]);
  });
});

describe('without --allow-actions', () => {
  test('the console shows the plan and the command, and starts nothing', async () => {
    const state = await afterTheBug('read-only');
    const { url } = await started(['console', '--port', '0', ...state]);
    const { port, origin } = new URL(url!);

    // What scripts rely on.
    const status = async (...head: readonly string[]) =>
      (await rawRequest(Number(port), { target: '/api/status', head })).status;
    const own = `Host: 127.0.0.1:${port}`;
    expect(await status(own)).toBe(401);
    expect(await status('Host: evil.example')).toBe(421);
    expect(await status(own, 'Origin: https://evil.example')).toBe(403);

    const page = await (await newContext(browser)).newPage();
    await page.goto(url!);
    const where = encodeURIComponent('error=HANDLER_FAILED');
    await page.goto(`${origin}/redrive?consumer=${CONSUMER}&where=${where}`);
    await page.getByText('--allow-actions').first().waitFor();
    expect(await page.getByRole('button', { name: /^Start/ }).isDisabled()).toBe(true);
    expect(await page.textContent('main')).toContain('npx millrace dlq redrive');
    const refused = await page.evaluate<{ status: number; text: string }>(
      `(async () => {
         const answer = await fetch('/api/actions', {
           method: 'POST',
           headers: { 'content-type': 'application/json', 'x-millrace-csrf': localStorage.getItem('millrace-csrf') },
           body: JSON.stringify({
             plan: 'any',
             request: { kind: 'redrive', consumer: '${CONSUMER}', where: '', allowOvertaken: false, canary: 0, rate: 100, maxFailures: 1 },
             confirmation: '${CONSUMER}',
           }),
         });
         return { status: answer.status, text: await answer.text() };
       })()`,
    );
    expect(refused).toMatchObject({ status: 400, text: expect.stringContaining('--allow-actions') });
    expect(JSON.parse((await millrace(['dlq', 'audit', '--json', ...state])).stdout)).toEqual([]);
    expect(await millraceJson(['dlq', 'list', ...state])).toHaveLength(failing);
  });
});

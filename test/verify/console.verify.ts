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
import { createTemporaryFolder } from '../temporary-folder.ts';
import { artifact, newContext, startBrowser } from './browser.ts';
import { millrace, millraceJson, start } from './newsroom.ts';

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
async function started(args: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const child = start([...args, '--json']);
  running.push(child);
  child.stderr!.resume();
  const [line] = await once(createInterface({ input: child.stdout! }), 'line');
  return JSON.parse(line);
}

/** The pipeline without the bug, and its console. */
async function open(state: readonly string[]): Promise<Page> {
  const ports = ['--console-port', '0', '--collector-port', '0'];
  const { console } = await started(['up', '--no-publish', '--allow-actions', ...ports, ...state]);
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

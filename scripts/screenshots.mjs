// `npm run screenshots`: one picture of each page for README.md and docs/console.md, each under 200 kB. The console looks at the
// made-up pipeline of its tests; the newsroom is a run of its own, an hour after its first reader.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { createSeededRandom } from '../adapters/system/seeded-random.ts';
import { consoleAssets } from '../console/assets.ts';
import { serveConsole } from '../console/server.ts';
import { createTraffic } from '../demo/traffic.ts';
import { chromium as installed, required } from '../local/parts/prerequisites.ts';
import { HOSTILE, sampleOperations } from '../test/console/sample-operations.ts';

const MAX_BYTES = 200_000;
const SIZE = { width: 1280, height: 800 };
/** Until the newsroom has counted the hour. */
const NEWSROOM_MS = 90_000;
const HOUR_MS = 3_600_000;
const VIEWS_PER_SECOND = 40;
const LETTER = 'order-totals/news.pageviews/5/7';
const PAGES = [
  ['now', '/'],
  ['consumer', '/consumers/order-totals'],
  ['failures', '/failures?consumer=editorial-analytics'],
  ['group', '/group/order-totals/f0000000'],
  ['letter', `/letters/${LETTER}`],
  ['redrive', `/redrive?consumer=order-totals&where=${encodeURIComponent('error=HANDLER_FAILED')}`],
  ['parked', '/parked'],
  ['find', '/find?topic=news.pageviews&key=%2Fabout'],
  ['audit', '/audit'],
];

const root = fileURLToPath(new URL('..', import.meta.url));
const browser = await chromium.launch({ executablePath: required(installed), args: ['--no-sandbox'] });
try {
  await Promise.all([pictureNewsroom(), pictureConsole()]);
} finally {
  await browser.close();
}

async function pictureConsole() {
  const operations = tame(sampleOperations({ allowsActions: true }));
  const server = await serveConsole({ operations, assets: await consoleAssets(), port: 0 });
  const page = await pageOf('light');
  await page.goto(server.url);
  for (const [name, path] of PAGES) {
    await page.goto(new URL(path, server.url).href);
    await page.waitForSelector('main h1');
    await page.waitForFunction(() => !/Loading …|Looking …/.test(document.querySelector('main').textContent));
    await picture(page, `docs/console-${name}.png`);
  }
  await page.close();
  await server.close();
}

/** The sample tests what means harm; a picture shows what a person sees on most days. */
function tame(operations) {
  const calm = (value) => {
    if (typeof value === 'string')
      return HOSTILE.reduce((text, each, at) => text.replaceAll(each, `/news/2026/article-${at}`), value);
    if (Array.isArray(value)) return value.map(calm);
    if (typeof value === 'object' && value !== null)
      return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, calm(each)]));
    return value;
  };
  return new Proxy(operations, {
    get:
      (target, name) =>
      async (...args) =>
        calm(await target[name](...args)),
  });
}

async function pictureNewsroom() {
  const folder = mkdtempSync(join(tmpdir(), 'millrace-screenshots-'));
  const ports = ['--collector-port', '0', '--console-port', '0', '--page-port', '0'];
  const args = ['up', '--json', '--input', '-', ...ports, '--state', join(folder, 'state')];
  const up = spawn(process.execPath, [join(root, 'bin/millrace.ts'), ...args], {
    cwd: root,
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const stop = new AbortController();
  const sent = pipeline(pageviews(Date.now() - HOUR_MS, stop.signal), up.stdin);
  try {
    const [line] = await once(createInterface({ input: up.stdout }), 'line');
    const page = await pageOf('dark');
    await page.goto(JSON.parse(line).newsroom);
    await page.waitForTimeout(NEWSROOM_MS);
    await page.waitForSelector('.article.breaking', { timeout: 2 * NEWSROOM_MS });
    await picture(page, 'docs/newsroom.png');
    await page.close();
  } finally {
    stop.abort();
    await sent;
    const ended = once(up, 'exit');
    up.kill('SIGKILL');
    await ended;
    rmSync(folder, { recursive: true });
  }
}

/** Those since then, a line each, and from now on as they happen. */
async function* pageviews(since, signal) {
  const traffic = createTraffic(createSeededRandom(7));
  for (let at = since; !signal.aborted; at += 1_000 / VIEWS_PER_SECOND / traffic.load(at)) {
    while (at > Date.now() && !signal.aborted) await sleep(100);
    yield `${JSON.stringify(traffic.next(Math.trunc(at)))}\n`;
  }
}

function pageOf(colorScheme) {
  return browser.newPage({ colorScheme, viewport: SIZE, reducedMotion: 'reduce', bypassCSP: true });
}

async function picture(page, file) {
  const path = join(root, file);
  // No scrollbar is in the picture, so no room for one.
  await page.addStyleTag({ content: 'html { scrollbar-gutter: auto !important }' });
  // Charts are drawn by the frame after.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  await page.screenshot({ path });
  const { size } = statSync(path);
  console.log(`${relative(root, path)}  ${Math.round(size / 1_000)} kB`);
  if (size > MAX_BYTES) {
    process.exitCode = 1;
    console.error(
      `${file} has ${size} bytes, and may have ${MAX_BYTES}: make its page calmer, or SIZE smaller.`,
    );
  }
}

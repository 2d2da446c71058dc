import { join } from 'node:path';
import { expect, jest, test } from '@jest/globals';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { newContext, startBrowser } from './browser.ts';
import { start, until } from './newsroom.ts';

// Two minutes of traffic, and what stands around them.
jest.setTimeout(360_000);

const RATE = 2_000;
const MINUTE_MS = 60_000;
const MOST_FRAME_MS = 200;
const MOST_GROWTH = 1.1;

/** Notes the longest time between two frames. As text: the compiler of the tests knows no window. */
const WATCH_FRAMES = `{
  let last = performance.now();
  globalThis.frames = { longestMs: 0, count: 0 };
  const step = (now) => {
    globalThis.frames.longestMs = Math.max(globalThis.frames.longestMs, now - last);
    globalThis.frames.count++;
    last = now;
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}`;

test(`${RATE} events a second for two minutes: no frame is long, and the heap does not grow`, async () => {
  const temporary = createTemporaryFolder();
  const up = start([
    ...['up', '--json', '--rate', String(RATE), '--page-port', '0', '--collector-port', '0'],
    ...['--state', join(temporary.path, 'state')],
  ]);
  const browser = await startBrowser();
  try {
    let stdout = '';
    up.stdout!.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    up.stderr!.resume();
    await until(async () => stdout.includes('\n') || up.exitCode !== null);
    const { newsroom } = JSON.parse(stdout.split('\n')[0]!);
    // With its motion: that is part of the cost.
    const context = await newContext(browser);
    const page = await context.newPage();
    await page.emulateMedia({ reducedMotion: 'no-preference' });
    await page.goto(newsroom);
    await page.locator('.article').nth(19).waitFor();
    const chrome = await context.newCDPSession(page);
    await chrome.send('Performance.enable');
    const heapBytes = async () => {
      await chrome.send('HeapProfiler.collectGarbage');
      const { metrics } = await chrome.send('Performance.getMetrics');
      return metrics.find(({ name }) => name === 'JSHeapUsedSize')!.value;
    };

    await page.evaluate(WATCH_FRAMES);
    await page.waitForTimeout(MINUTE_MS);
    const first = await page.evaluate<{ longestMs: number; count: number }>('globalThis.frames');
    const heapAfterFirst = await heapBytes();
    await page.evaluate(WATCH_FRAMES);
    await page.waitForTimeout(MINUTE_MS);
    const second = await page.evaluate<{ longestMs: number; count: number }>('globalThis.frames');
    const heapAfterSecond = await heapBytes();
    console.log(
      [
        `frames: ${first.count + second.count}, the longest ${Math.round(Math.max(first.longestMs, second.longestMs))} ms`,
        `heap after a minute: ${(heapAfterFirst / 1e6).toFixed(2)} MB, after two: ${(heapAfterSecond / 1e6).toFixed(2)} MB`,
        `page: ${(await page.locator('.figures').textContent())!.slice(0, 200)}`,
      ].join('\n'),
    );
    expect(heapAfterSecond).toBeLessThanOrEqual(heapAfterFirst * MOST_GROWTH);
    expect(Math.max(first.longestMs, second.longestMs)).toBeLessThanOrEqual(MOST_FRAME_MS);
  } finally {
    up.kill('SIGKILL');
    await browser.close();
    temporary.remove();
  }
});

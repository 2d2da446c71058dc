/** Debian's Chromium, driven as a person would: for the suites that look at pages. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import axe from 'axe-core';
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { chromium as installed, required } from '../../local/parts/prerequisites.ts';

export const THEMES = ['light', 'dark'] as const;
export type Theme = (typeof THEMES)[number];
/** A phone, a laptop and a wall screen. */
export const WIDTHS = [320, 1280, 2560] as const;

/** @param args more of the command line, such as names that lead here */
export function startBrowser(args: readonly string[] = []): Promise<Browser> {
  // As root, Chromium refuses to start with its sandbox; it opens nothing but our own pages.
  return chromium.launch({ executablePath: required(installed), args: ['--no-sandbox', ...args] });
}

export function newContext(browser: Browser, theme: Theme = 'light', width = 1280): Promise<BrowserContext> {
  const height = width < 600 ? 700 : Math.round((width * 9) / 16);
  return browser.newContext({ colorScheme: theme, viewport: { width, height }, reducedMotion: 'reduce' });
}

/** What axe-core finds wrong with the page, a line each. */
export async function violationsIn(page: Page): Promise<readonly string[]> {
  // By the protocol: the page's policy allows no script of anybody else.
  await page.evaluate(axe.source);
  // As text: the compiler of the tests knows no document.
  const rules = JSON.stringify(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']);
  const { violations } = await page.evaluate<axe.AxeResults>(`axe.run(document, { runOnly: ${rules} })`);
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, failureSummary }) => `${id} ${target}: ${failureSummary}`),
  );
}

/** The page's large numbers by their names; the signs before those are for the eye alone. */
export function figuresIn(page: Page): Promise<Readonly<Record<string, string>>> {
  return page.evaluate(
    `Object.fromEntries([...document.querySelectorAll('.numbers > div')].map((each) =>
       [each.querySelector('dt').lastChild.textContent, each.querySelector('dd').textContent]))`,
  );
}

/** Where pictures are left for a person to look at: MILLRACE_ARTIFACTS, or artifacts/ in the checkout. */
export function artifact(name: string): string {
  const folder = process.env.MILLRACE_ARTIFACTS ?? join(import.meta.dirname, '../../artifacts');
  mkdirSync(folder, { recursive: true });
  return join(folder, name);
}

import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { consoleAssets } from '../../console/assets.ts';
import type { Asset } from '../../console/page-server.ts';
import { ROOT } from '../newsdesk.ts';

/** Ways in which a text becomes markup or code. */
const MAKES_MARKUP =
  /\b(?:innerHTML|outerHTML|insertAdjacentHTML|setHTMLUnsafe|dangerouslySetInnerHTML|createContextualFragment|DOMParser|srcdoc)\b|\bdocument\.write|\beval\(|\bnew Function\b/;

describe('the first page', () => {
  let assets: Readonly<Record<string, Asset>>;
  beforeAll(async () => {
    assets = await consoleAssets();
  });

  test('takes 120 kB at most, compressed', () => {
    const bytes = Object.values(assets).reduce((total, { body }) => total + gzipSync(body).length, 0);
    process.stdout.write(`The first page takes ${bytes} bytes, compressed.\n`);
    expect(bytes).toBeLessThanOrEqual(120_000);
  });

  test('loads nothing from elsewhere', () => {
    const style = String(assets['/assets/console.css']?.body);
    expect(style).not.toMatch(/@import|url\((?!"?#)/);
  });

  test('has the licences of what is in it', () => {
    const script = String(assets['/assets/console.js']?.body);
    expect(script.match(/^Copyright .*$/gm)).toEqual([
      expect.stringContaining('Jason Miller'),
      expect.stringContaining('Leon Sorokin'),
    ]);
  });
});

describe('the pages’ own code', () => {
  const sources = globSync('{console/ui,demo/newsroom}/**/*.{ts,tsx}', { cwd: ROOT });

  test('makes markup out of no text', () => {
    expect(sources.length).toBeGreaterThan(25);
    const made = sources.flatMap((path) =>
      readFileSync(join(ROOT, path), 'utf8')
        .split('\n')
        .flatMap((line, at) => (MAKES_MARKUP.test(line) ? [`${path}:${at + 1}`] : [])),
    );
    expect(made).toEqual([]);
  });

  test.each([
    'element.innerHTML = text;',
    'element["outerHTML"] += text;',
    '<p dangerouslySetInnerHTML={{ __html: text }} />',
    'element.insertAdjacentHTML("beforeend", text);',
    'document.write(text);',
    '<iframe srcdoc={text} />',
    'new DOMParser().parseFromString(text, "text/html");',
  ])('would be found: %s', (line) => {
    expect(line).toMatch(MAKES_MARKUP);
  });
});

import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { consoleAssets } from '../../console/assets.ts';
import type { Asset } from '../../console/page-server.ts';

describe('the first page', () => {
  let assets: Readonly<Record<string, Asset>>;
  beforeAll(async () => {
    assets = await consoleAssets();
  });

  test('takes 120 kB at most, compressed', () => {
    const bytes = Object.values(assets).map(({ body }) => gzipSync(body).length);
    expect(bytes.reduce((total, each) => total + each)).toBeLessThanOrEqual(120_000);
  });

  test('loads nothing from elsewhere', () => {
    const style = String(assets['/assets/console.css']?.body);
    expect(style).not.toMatch(/@import|url\((?!"?#)/);
  });

  test('makes markup out of no text', () => {
    const script = String(assets['/assets/console.js']?.body);
    expect(script).not.toMatch(/insertAdjacentHTML|document\.write|\beval\(|new Function/);
  });
});

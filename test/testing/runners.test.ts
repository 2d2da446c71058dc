/** The test that docs/testing.md shows, in a project of its own, by node:test; check:package runs it by vitest too. */

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { childEnvironment } from '../child-environment.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SHOP = join(ROOT, 'test/fixtures/shop');
const folder = createTemporaryFolder();
const project = join(folder.path, 'shop');

beforeAll(() => {
  cpSync(SHOP, project, { recursive: true });
  mkdirSync(join(project, 'node_modules'));
  symlinkSync(ROOT, join(project, 'node_modules/millrace'));
  symlinkSync(join(ROOT, 'node_modules/fast-check'), join(project, 'node_modules/fast-check'));
  expect(node(join(ROOT, 'bin/millrace.ts'), 'contracts', 'generate')).toMatchObject({ status: 0 });
});
afterAll(() => folder.remove());

/** On plain Node, from the sources. */
function node(...args: readonly string[]) {
  const env = childEnvironment();
  return spawnSync(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--conditions=millrace-source', ...args],
    { cwd: project, encoding: 'utf8', env },
  );
}

test('node:test runs it, and the process ends by itself', () => {
  const { status, stdout } = node('--test', '--test-reporter=tap', 'test/order-count.test.ts');
  expect(stdout).toMatch(/^# pass 2$/m);
  expect(status).toBe(0);
});

test('a project without fast-check has all but recordsOf, which says what to install', () => {
  const bare = `
    import { registerHooks } from 'node:module';
    registerHooks({
      resolve(name, context, next) {
        if (name === 'fast-check') throw Object.assign(new Error('missing'), { code: 'MODULE_NOT_FOUND' });
        return next(name, context);
      },
    });
    const { recordsOf } = await import('millrace/testing');
    const { orders } = await import('./contracts/shop.orders/topic.ts');
    try { recordsOf(orders); } catch ({ code, message }) { console.log(code, message); }`;
  const { stdout, stderr } = node('--input-type=module', '--eval', bare);
  expect(stderr).toBe('');
  expect(stdout).toBe(
    'INPUT_INVALID recordsOf() needs fast-check, which is not installed. Install it: npm install --save-dev fast-check\n',
  );
});

test('docs/testing.md shows it word for word', () => {
  const docs = readFileSync(join(ROOT, 'docs/testing.md'), 'utf8');
  const shown = /```ts\n([\s\S]*?)```/.exec(docs)?.[1];
  expect(shown).toBe(readFileSync(join(SHOP, 'test/order-count.test.ts'), 'utf8'));
});

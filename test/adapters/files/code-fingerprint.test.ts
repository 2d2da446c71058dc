import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { codeFingerprint } from '../../../adapters/files/code-fingerprint.ts';
import { createTemporaryFolder } from '../../temporary-folder.ts';

let temporary: ReturnType<typeof createTemporaryFolder>;
beforeEach(() => {
  temporary = createTemporaryFolder();
});
afterEach(() => temporary.remove());

const FILES = {
  'millrace.config.ts':
    "import { a } from './lambdas/a/consumer.ts'; import { b } from './lambdas/b/consumer.ts';",
  'lambdas/a/index.ts': "export { a } from './consumer.ts';",
  'lambdas/a/consumer.ts':
    "import { helper } from '../../shared/helper';\nconst v = readFileSync(new URL('./v1.avsc', import.meta.url));",
  'lambdas/a/v1.avsc': '"string"',
  'lambdas/b/consumer.ts': "import x from 'millrace';",
  'shared/helper.ts': "await import('./more.ts');",
  'shared/more.ts': 'export {};',
};
const consumer = { name: 'a', migrations: [{ name: '1', sql: 'SELECT 1' }], epoch: 1 };

function write(files: Readonly<Record<string, string>>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(temporary.path, path)), { recursive: true });
    writeFileSync(join(temporary.path, path), text);
  }
}
const fingerprint = (of: Parameters<typeof codeFingerprint>[1] = consumer) =>
  codeFingerprint(pathToFileURL(join(temporary.path, 'millrace.config.ts')), of);

test.each([
  'lambdas/a/index.ts',
  'lambdas/a/consumer.ts',
  'lambdas/a/v1.avsc',
  'shared/helper.ts',
  'shared/more.ts',
])('a change of %s, which the consumer leads to, is another code', (path) => {
  write(FILES);
  const before = fingerprint();
  expect(fingerprint()).toBe(before);
  write({ [path]: `${FILES[path as keyof typeof FILES]} ` });
  expect(fingerprint()).not.toBe(before);
});

test.each(['lambdas/b/consumer.ts', 'millrace.config.ts'])('a change of %s is not', (path) => {
  write(FILES);
  const before = fingerprint();
  write({ [path]: '// another' });
  expect(fingerprint()).toBe(before);
});

test('migrations and the epoch count, and a consumer without a module of its own has the whole app', () => {
  write(FILES);
  const before = fingerprint();
  expect(fingerprint({ ...consumer, epoch: 2 })).not.toBe(before);
  expect(fingerprint({ ...consumer, migrations: [] })).not.toBe(before);
  const other = fingerprint({ ...consumer, name: 'c' });
  write({ 'lambdas/b/consumer.ts': '// another' });
  expect(fingerprint({ ...consumer, name: 'c' })).not.toBe(other);
});

import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from '@jest/globals';
import { chooseFolder, chooseMillrace, writeProject } from '../../create/project.ts';
import { childEnvironment } from '../child-environment.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const { path: folder, remove } = createTemporaryFolder();
afterAll(remove);

const parse = (path: string) => JSON.parse(readFileSync(join(ROOT, path), 'utf8'));

/** The command, as a process without a terminal. */
function create(...args: readonly string[]) {
  const env = childEnvironment();
  const { status, stderr } = spawnSync(process.execPath, [join(ROOT, 'create/bin.mjs'), ...args], {
    cwd: folder,
    // Nothing listens there: npm fails at once.
    env: { ...env, npm_config_registry: 'http://127.0.0.1:9', npm_config_fetch_retries: '0' },
    encoding: 'utf8',
  });
  return { status, stderr };
}

test('the project has the versions that Millrace is tested with, and its CDK flags', () => {
  const { version, dependencies, devDependencies } = parse('package.json');
  const { devDependencies: written } = parse('create/template/package.json');
  const tested = Object.keys(written).map((name) => [name, { ...dependencies, ...devDependencies }[name]]);
  expect(written).toEqual(Object.fromEntries(tested));
  expect(parse('create/template/cdk.json')).toEqual(parse('cdk.json'));
  expect(parse('create/package.json').version).toBe(version);
});

test('writing fills in the names, and undoing it leaves nothing', () => {
  const root = join(folder, 'deep/er/shop');
  const undo = writeProject(root, { name: 'shop', millrace: '^9.9.9' });
  const { name, dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  expect({ name, dependencies }).toEqual({ name: 'shop', dependencies: { millrace: '^9.9.9' } });
  expect(readFileSync(join(root, 'millrace.config.ts'), 'utf8')).toContain("name: 'shop',");
  expect(readdirSync(root)).toEqual(expect.arrayContaining(['.github', '.gitignore', 'biome.json']));
  undo();
  expect(readdirSync(folder)).not.toContain('deep');
});

test('a packed file may have a quote in its path', () => {
  const root = join(folder, 'quoted');
  const undo = writeProject(root, { name: 'quoted', millrace: 'file:../a"b.tgz' });
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  expect(dependencies.millrace).toBe('file:../a"b.tgz');
  undo();
});

test('a packed file is named from the project', () => {
  const file = join(folder, 'millrace.tgz');
  writeFileSync(file, '');
  expect(chooseMillrace(file, '1.2.3', join(folder, 'shop'))).toBe('file:../millrace.tgz');
  expect(chooseMillrace(undefined, '1.2.3', join(folder, 'shop'))).toBe('^1.2.3');
  expect(chooseMillrace('~1.0', '1.2.3', join(folder, 'shop'))).toBe('~1.0');
});

describe.each([
  ['no folder', [], 2, /Which folder\?/],
  ['two folders', ['a', 'b'], 2, /It takes one folder, and got 2/],
  ['a name that no app has', ['My_App'], 2, /up to 40 lower-case letters/],
  ['an unknown option', ['shop', '--nope'], 2, /Unknown option '--nope'/],
  ['a topic that is none', ['shop', '--topic', 'a b'], 2, /The topic is "a b"; it takes up to 249/],
  [
    'a consumer that a stack is called by',
    ['shop', '--consumer', 'database'],
    2,
    /and not cluster, collector/,
  ],
  ['a file that is not there', ['shop', '--millrace', './none.tgz'], 2, /there is no such file/],
  ['a version that is none', ['shop', '--millrace', 'a b'], 2, /it takes a version such as/],
  [
    'no network',
    ['shop', '--yes'],
    1,
    /could not reach its registry \(ECONNREFUSED\).*Nothing was left in shop/s,
  ],
])('%s', (_, args, status, message) => {
  test('says what is allowed or what to do, and leaves nothing', () => {
    expect(create(...args)).toEqual({ status, stderr: expect.stringMatching(message) });
    expect(readdirSync(folder)).not.toContain('shop');
  });
});

test('a folder that holds something is left as it is', () => {
  const root = join(folder, 'held');
  mkdirSync(root);
  writeFileSync(join(root, 'notes.txt'), 'mine');
  expect(() => chooseFolder(root)).toThrow(/is not empty: it holds notes\.txt\. Choose another folder/);
  expect(() => chooseFolder(join(root, 'notes.txt'))).toThrow(/takes up to 40 lower-case/);
  expect(readdirSync(root)).toEqual(['notes.txt']);
});

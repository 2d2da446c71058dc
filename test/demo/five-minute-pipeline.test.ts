import { execFileSync, execSync } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from '@jest/globals';
import { childEnvironment } from '../child-environment.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const FILES = ['package.json', 'tsconfig.json', 'millrace.config.ts', 'jest.config.mjs'];
const { path: project, remove } = createTemporaryFolder();
afterAll(remove);

const [, section = ''] = /## Your own pipeline, in five minutes\n([\s\S]*?)\n## /.exec(
  readFileSync(join(ROOT, 'README.md'), 'utf8'),
)!;
const blocks = (language: string) =>
  [...section.matchAll(new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``, 'g'))].map(([, text]) => text!);

const env = childEnvironment();
const MILLRACE = `"${process.execPath}" bin/millrace.ts`;

/** A command of the README, on this Node. */
function run(command: string): string {
  const onThisNode = command
    .replace(/^npx millrace /, `${MILLRACE} `)
    .replace(/^npm start --/, `${MILLRACE} up`);
  return execSync(onThisNode, { cwd: project, env, encoding: 'utf8' });
}

test('the README’s pipeline, followed word for word, runs and leaves the tests green', () => {
  const parts = [
    'adapters',
    'bin',
    'cli',
    'console',
    'contracts',
    'demo',
    'lambdas',
    'lib',
    'local',
    'runtime',
    'testing',
  ];
  const tests = [
    'lambdas',
    'contracts',
    'fixtures/newsdesk',
    'prepared-pglite.ts',
    'own-stacks.mjs',
    'strip-types.mjs',
  ];
  for (const part of [...parts, ...tests.map((each) => `test/${each}`), ...FILES])
    cpSync(join(ROOT, part), join(project, part), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(project, 'node_modules'));

  const commands = [...section.matchAll(/`(npx millrace [^`]+)`/g)].map(([, command]) => command!);
  const [addContract, generate, addConsumer] = commands;
  run(addContract!);
  writeFileSync(join(project, 'contracts/shop.orders/v1.avsc'), blocks('json')[0]!);
  run(generate!);
  run(addConsumer!);
  const [handler, table] = blocks('ts');
  const path = join(project, 'lambdas/order-totals/consumer.ts');
  const written = readFileSync(path, 'utf8');
  writeFileSync(path, `${written.slice(0, written.indexOf('  migrations: ['))}${handler}});\n`);
  const testPath = join(project, 'test/lambdas/order-totals/consumer.test.ts');
  const test = readFileSync(testPath, 'utf8');
  writeFileSync(testPath, test.replace(/^const TABLE = .*\n/m, table!.trimStart()));
  expect(readFileSync(testPath, 'utf8')).not.toBe(test);
  execFileSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc')], { cwd: project, env });
  // The newsroom's own tests and the new one: the framework's do not see what the app lists.
  execFileSync(
    process.execPath,
    [join(ROOT, 'node_modules/jest/bin/jest.js'), 'test/lambdas', 'test/contracts'],
    {
      cwd: project,
      env: { ...env, NODE_OPTIONS: '--experimental-vm-modules --disable-warning=ExperimentalWarning' },
      stdio: 'pipe',
    },
  );
  const lines = blocks('sh')[0]!.trim().split('\n');
  const outputs = lines.map((line) => run(line.trim()));
  expect(outputs.at(-1)).toMatch(/2025-11-24 +1250/);
}, 300_000);

import { execFileSync, execSync } from 'node:child_process';
import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from '@jest/globals';
import { createTemporaryFolder } from '../temporary-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

const { path: project, remove } = createTemporaryFolder();
afterAll(remove);

const [, section = ''] = /## Your own pipeline, in five minutes\n([\s\S]*?)\n## /.exec(
  readFileSync(join(ROOT, 'README.md'), 'utf8'),
)!;
const block = (language: string) => new RegExp(`\`\`\`${language}\n([\\s\\S]*?)\`\`\``).exec(section)![1]!;

const { NODE_OPTIONS: _, ...env } = process.env;
const MILLRACE = `"${process.execPath}" bin/millrace.ts`;

/** A command of the README, on this Node. */
function run(command: string): string {
  const onThisNode = command
    .replace(/^npx millrace /, `${MILLRACE} `)
    .replace(/^npm start --/, `${MILLRACE} up`);
  return execSync(onThisNode, { cwd: project, env, encoding: 'utf8' });
}

test('the README’s pipeline, followed word for word, runs', () => {
  const parts = ['adapters', 'bin', 'cli', 'contracts', 'demo', 'lambdas', 'lib', 'local', 'runtime'];
  for (const part of [...parts, 'package.json', 'tsconfig.json', 'millrace.config.ts'])
    cpSync(join(ROOT, part), join(project, part), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(project, 'node_modules'));

  const commands = [...section.matchAll(/`(npx millrace [^`]+)`/g)].map(([, command]) => command!);
  const [addContract, generate, addConsumer] = commands;
  run(addContract!);
  writeFileSync(join(project, 'contracts/shop.orders/v1.avsc'), block('json'));
  run(generate!);
  run(addConsumer!);
  const path = join(project, 'lambdas/order-totals/consumer.ts');
  const written = readFileSync(path, 'utf8');
  writeFileSync(path, `${written.slice(0, written.indexOf('  migrations: ['))}${block('ts')}});\n`);
  execFileSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc')], { cwd: project, env });
  const lines = block('sh').trim().split('\n');
  const outputs = lines.map((line) => run(line.trim()));
  expect(outputs.at(-1)).toMatch(/2025-11-24 +1250/);
}, 300_000);

import { existsSync, globSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { cruise, type ICruiseResult } from 'dependency-cruiser';

const FOLDERS = [
  'adapters',
  'bench',
  'bin',
  'cli',
  'console',
  'contracts',
  'create',
  'demo',
  'examples',
  'lambdas',
  'lib',
  'local',
  'millrace.config.ts',
  'runtime',
  'scripts',
  'test',
  'testing',
];

test('imports point the way of the house, and never in a circle', async () => {
  const { href } = new URL('../.dependency-cruiser.mjs', import.meta.url);
  const { forbidden, options } = (await import(href)).default;
  const { output } = await cruise(FOLDERS.filter(existsSync), {
    ...options,
    validate: true,
    ruleSet: { forbidden },
  });
  const { summary } = output as ICruiseResult;
  expect(summary.totalCruised).toBeGreaterThan(50);
  expect(summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`)).toEqual([]);
});

describe('runtime reaches no clock, randomness or environment but through a port', () => {
  const OUTSIDE =
    /\b(process\.\w+|Date\.now\(|new Date\(\)|performance\.|Math\.random|setTimeout|setInterval|setImmediate|fetch\()/;
  test.each(globSync('runtime/**/*.ts'))('%s', (path) => {
    const code = readFileSync(path, 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
    expect(OUTSIDE.exec(code)?.[0]).toBeUndefined();
  });
});

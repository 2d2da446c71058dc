import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { US_EAST_1 } from '../../lib/cost/prices.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace, millraceJson } from './millrace.ts';

let temporary: ReturnType<typeof createTemporaryFolder>;
beforeAll(() => {
  temporary = createTemporaryFolder();
});
afterAll(() => temporary.remove());

test('an estimate says what was left out and what gives first', async () => {
  const { code, stdout } = await millrace(['cost', '--env', 'prod', '--events-per-second', '1000000']);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^brokers +3 express\.m7g\.large +894$/m);
  expect(stdout).toContain('Not counted:');
  expect(stdout).toMatch(/First to give: collector, at 5,?000% of what there is\./);
});

test('a price list of your own is taken, and printed with the estimate', async () => {
  const path = join(temporary.path, 'prices.json');
  const { key } = US_EAST_1.prices;
  const dearer = { ...US_EAST_1, prices: { ...US_EAST_1.prices, key: { ...key, usd: 1_000 } } };
  writeFileSync(path, JSON.stringify(dearer));
  const estimate = await millraceJson(['cost', '--env', 'dev', '--prices', path]);
  expect(estimate).toMatchObject({
    environment: 'dev',
    workload: { eventsPerSecond: 50, bytes: 500, eventsPerRequest: 10 },
    prices: dearer,
  });
  const { quantity, monthly } = estimate.lines.find(({ part }: { part: string }) => part === 'keys');
  expect(monthly).toBe(1_000 * Number(quantity));
  const total = estimate.lines.reduce((sum: number, line: { monthly: number }) => sum + line.monthly, 0);
  expect(estimate.total).toBeCloseTo(total, 0);
});

test.each([
  [
    'an unknown environment',
    ['--env', 'production'],
    2,
    /the app has no environment "production"\..* Use dev, staging or prod\./,
  ],
  ['no environment', [], 2, /required option '--env <name>' not specified/],
  ['no events', ['--env', 'dev', '--events-per-second', '0'], 2, /Give a whole number from 1/],
  ['too many', ['--env', 'dev', '--events-per-second', '10000001'], 2, /from 1 to 10000000/],
  [
    'no such price list',
    ['--env', 'dev', '--prices', 'none.json'],
    1,
    /--prices none\.json cannot be used: ENOENT/,
  ],
])('%s is refused with what to write', async (_case, args, expected, message) => {
  const { code, stderr, stdout } = await millrace(['cost', ...args]);
  expect({ code, stdout }).toEqual({ code: expected, stdout: '' });
  expect(stderr.replaceAll('\n', ' ')).toMatch(message);
});

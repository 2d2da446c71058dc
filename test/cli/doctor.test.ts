/** `millrace doctor` as a person runs it, on this machine. AWS's answers are in test/runtime/doctor/. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { placeSink } from '../prepared-pglite.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace, millraceJson } from './millrace.ts';

jest.setTimeout(60_000);

let temporary: ReturnType<typeof createTemporaryFolder>;
beforeAll(() => {
  temporary = createTemporaryFolder();
});
afterAll(() => temporary.remove());

test('where nothing has run, it says so, passes, and makes no folder', async () => {
  const state = join(temporary.path, 'nothing');
  const { code, stdout, stderr } = await millrace(['doctor', '--state', state]);
  expect(stderr).toBe('Looking at contracts …\n');
  expect(stdout).toContain('Nothing has run here yet.\n      Fix: npm start\n');
  expect(stdout).toMatch(/\n0 failed, 1 cannot tell, 1 passed\n$/);
  expect(code).toBe(0);
});

test('after a run every line passes, and --json is one object', async () => {
  const state = join(temporary.path, 'state');
  placeSink(state);
  await millraceJson(['up', '--state', state, '--duration', '1', '--exit-when-drained', '--seed', '1']);
  const { environment, lines, failed, unknown, passed } = await millraceJson(['doctor', '--state', state]);
  expect({ environment, failed, unknown, passed }).toEqual({
    environment: 'local',
    failed: 0,
    unknown: 0,
    passed: 4,
  });
  expect(lines.map(({ check, verdict, fix }: Record<string, unknown>) => [check, verdict, fix])).toEqual([
    ['contracts', 'pass', null],
    ['sink', 'pass', null],
    ['topic', 'pass', null],
    ['lag', 'pass', null],
  ]);
});

test('without a region on AWS it ends with 1 and says what to set', async () => {
  const { code, stderr, stdout } = await millrace(['doctor', '--env', 'dev', '--json']);
  expect(stderr).toBe(
    'error: No AWS region is set. Set AWS_REGION, or AWS_PROFILE with a region. [INPUT_INVALID]\n',
  );
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
});

test.each([
  [['--env', 'production'], /^error: the app has no environment "production"\..* Use dev, staging or prod\./],
  [['--env', 'dev', '--state', 'elsewhere'], /'--env <name>' cannot be used with option '--state <dir>'/],
])('%j makes no sense, and ends with 2', async (args, message) => {
  const { code, stderr, stdout } = await millrace(['doctor', ...args]);
  expect(stderr).toMatch(message);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
});

test('the help fits 80 columns', async () => {
  const { stdout } = await millrace(['doctor', '--help']);
  expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
  expect(stdout).toContain('is marked "?"');
});

test('--probe sends a record through a pipeline of its own, and leaves nothing behind', async () => {
  const state = join(temporary.path, 'nothing');
  const { lines } = await millraceJson(['doctor', '--probe', '--state', state]);
  const probed = lines.filter(({ check }: { check: string }) => check === 'probe');
  expect(probed.map(({ subject, verdict }: Record<string, unknown>) => [subject, verdict])).toEqual([
    ['published', 'pass'],
    ['ledger', 'pass'],
    ['sink', 'pass'],
  ]);
  expect(existsSync(state)).toBe(false);
});

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from '@jest/globals';

const APP = fileURLToPath(new URL('../../bin/app.ts', import.meta.url));

test('without an environment, the CDK app names those there are and fails without a stack trace', () => {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const { status, stderr } = spawnSync(process.execPath, [APP], { env, encoding: 'utf8' });
  expect(stderr).toMatch(/^error: Environment: env is missing; it takes one of dev, staging, prod.*\n$/);
  expect(status).toBe(1);
});

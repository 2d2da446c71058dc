import { describe, expect, test } from '@jest/globals';
import { ENVIRONMENTS, resolveEnvironment } from '../../lib/config/environment.ts';

test.each(Object.keys(ENVIRONMENTS))('%s is an environment, with or without an account', (env) => {
  expect(resolveEnvironment({ env })).toMatchObject({ name: env, account: undefined, region: undefined });
  expect(resolveEnvironment({ env, account: '012345678901', region: 'eu-west-1' })).toMatchObject({
    account: '012345678901',
    region: 'eu-west-1',
  });
});

describe('refused', () => {
  test.each([
    [{}, /env is missing; it takes one of dev, staging, prod/],
    [{ env: 'production' }, /env is "production"; it takes one of dev, staging, prod/],
    [{ env: 'constructor' }, /env is "constructor"/],
    [{ env: 'dev', account: '1234' }, /account is "1234"; it takes twelve digits/],
    [{ env: 'dev', account: 123456789012 }, /account is 123456789012/],
    [{ env: 'dev', region: 'Ireland' }, /region is "Ireland"; it takes a region's name/],
  ])('%j', (request, message) => {
    expect(() => resolveEnvironment(request)).toThrow(
      expect.objectContaining({ code: 'ENVIRONMENT_INVALID', message: expect.stringMatching(message) }),
    );
  });
});

test('only prod keeps its data', () => {
  expect(Object.entries(ENVIRONMENTS).filter(([, { retainsData }]) => retainsData)).toEqual([
    ['prod', ENVIRONMENTS.prod],
  ]);
});

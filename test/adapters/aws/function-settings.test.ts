import { expect, test } from '@jest/globals';
import { flag, setting } from '../../../adapters/aws/function-settings.ts';

test('a setting is read from its variable', () => {
  expect(setting('databaseHost', { MILLRACE_DATABASE_HOST: 'db.example' })).toBe('db.example');
  expect(flag('partialResponses', { MILLRACE_PARTIAL_RESPONSES: 'true' })).toBe(true);
  expect(flag('partialResponses', { MILLRACE_PARTIAL_RESPONSES: 'false' })).toBe(false);
});

test.each([
  ['missing', () => setting('databaseHost', {}), 'MILLRACE_DATABASE_HOST is missing'],
  [
    'empty',
    () => setting('databaseHost', { MILLRACE_DATABASE_HOST: '' }),
    'MILLRACE_DATABASE_HOST is missing',
  ],
  [
    'neither true nor false',
    () => flag('partialResponses', { MILLRACE_PARTIAL_RESPONSES: 'yes' }),
    'is "yes"; it takes true or false',
  ],
])('one that is %s is named', (_, read, message) => {
  expect(read).toThrow(
    expect.objectContaining({ code: 'FUNCTION_MISCONFIGURED', message: expect.stringContaining(message) }),
  );
});

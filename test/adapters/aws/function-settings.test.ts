import { expect, test } from '@jest/globals';
import { codeVersion, flag, knownVersions, setting } from '../../../adapters/aws/function-settings.ts';

test('a setting is read from its variable', () => {
  expect(setting('databaseHost', { MILLRACE_DATABASE_HOST: 'db.example' })).toBe('db.example');
  expect(flag('partialResponses', { MILLRACE_PARTIAL_RESPONSES: 'true' })).toBe(true);
  expect(flag('partialResponses', { MILLRACE_PARTIAL_RESPONSES: 'false' })).toBe(false);
});

test('the version of the code is what the stack says, and Lambda’s own where it says nothing', () => {
  const lambda = { AWS_LAMBDA_FUNCTION_VERSION: '7' };
  expect(codeVersion({ ...lambda, MILLRACE_CODE: '5d258c85281c7191' })).toBe('5d258c85281c7191');
  expect(codeVersion(lambda)).toBe('7');
});

test('versions that were registered at deployment are read, and none are where the setting is missing', () => {
  const ids = ['6b1f0e6c-6c0a-4b0e-8f5a-000000000000', '6b1f0e6c-6c0a-4b0e-8f5a-000000000001'];
  expect(knownVersions({ MILLRACE_SCHEMA_IDS: `2;a.b/2=${ids[1]},a.b/1=${ids[0]}` })).toEqual([
    { topic: 'a.b', version: 2, id: ids[1] },
    { topic: 'a.b', version: 1, id: ids[0] },
  ]);
  for (const text of [undefined, '', '2;', '2.11;'])
    expect(knownVersions({ MILLRACE_SCHEMA_IDS: text })).toEqual([]);
});

test.each([
  [
    'neither a version nor its id',
    () => knownVersions({ MILLRACE_SCHEMA_IDS: 'a.b/2' }),
    'has "a.b/2"; each entry is topic/version=id',
  ],
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

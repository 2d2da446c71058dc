import { afterEach, expect, test } from '@jest/globals';
import { defaultProvider, fromNodeProviderChain } from '../../../adapters/aws/role-credentials.ts';

const { env } = process;
afterEach(() => {
  process.env = env;
});

test.each([
  ['defaultProvider', defaultProvider],
  ['fromNodeProviderChain', fromNodeProviderChain],
])('%s gives what Lambda keeps in the environment, as it is when asked', async (_, provider) => {
  const credentials = provider();
  process.env = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret', AWS_SESSION_TOKEN: 'token' };
  expect(await credentials()).toEqual({
    accessKeyId: 'id',
    secretAccessKey: 'secret',
    sessionToken: 'token',
  });
  process.env = { AWS_ACCESS_KEY_ID: 'id', AWS_SECRET_ACCESS_KEY: 'secret' };
  expect(await credentials()).toEqual({ accessKeyId: 'id', secretAccessKey: 'secret' });
});

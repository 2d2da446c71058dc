import { describe, expect, test } from '@jest/globals';
import type { AwsCalls } from '../../../adapters/aws/aws-calls.ts';
import { setPaused } from '../../../adapters/aws/pausing.ts';
import { resolveEnvironment } from '../../../runtime/environment.ts';
import newsdesk from '../../fixtures/newsdesk/millrace.config.ts';
import { awsError, fakeAccount } from './fake-account.ts';

const environment = resolveEnvironment({ environments: newsdesk.environments, root: '/' }, { env: 'dev' });
const consumer = newsdesk.consumers.find(({ name }) => name === 'editorial-analytics')!;

/** What was asked of the account, in order, that changes anything. */
function account(changes: Partial<AwsCalls> = {}) {
  const done: unknown[] = [];
  const healthy = fakeAccount(newsdesk, environment);
  const calls: AwsCalls = {
    ...healthy,
    async putParameter(input) {
      done.push(input);
      return healthy.putParameter(input);
    },
    async updateEventSourceMapping(input) {
      done.push(input);
      return healthy.updateEventSourceMapping(input);
    },
    ...changes,
  };
  let now = 0;
  const clock = {
    now: () => now,
    sleep: async (ms: number) => {
      now += ms;
    },
  };
  const set = (isPaused: boolean) => setPaused({ env: 'dev', consumer, isPaused }, calls, clock);
  return { done, set, elapsedMs: () => now };
}

const MAPPING = '8a1c6f0e-0000-4000-8000-000000000001';
const PARAMETER = '/millrace/dev/consumers/editorial-analytics/paused';

test.each([
  [true, 'Disabling'],
  [false, 'Enabling'],
])(
  'isPaused %s: what deployments follow is written before the mapping is changed',
  async (isPaused, state) => {
    const { done, set } = account();
    expect(await set(isPaused)).toEqual({
      mappingId: MAPPING,
      state,
      before: { isPaused: false, changedAt: null },
    });
    expect(done).toEqual([
      { Name: PARAMETER, Value: String(isPaused), Overwrite: true },
      { UUID: MAPPING, Enabled: !isPaused },
    ]);
  },
);

test('a mapping that is being changed is tried again, and in the end it is told', async () => {
  let left = 3;
  const busy = awsError('ResourceInUseException', 'the mapping is Updating.');
  const once = account({
    updateEventSourceMapping: async () => {
      if (left-- > 0) throw busy;
      return { State: 'Disabling' };
    },
  });
  expect(await once.set(true)).toMatchObject({ state: 'Disabling' });
  const ever = account({ updateEventSourceMapping: () => Promise.reject(busy) });
  await expect(ever.set(true)).rejects.toMatchObject({
    code: 'INPUT_INVALID',
    message:
      'editorial-analytics in dev: ResourceInUseException: the mapping is Updating. docs/deploy.md lists the permissions.',
  });
  expect(ever.elapsedMs()).toBe(120_000);
});

describe('nothing is changed', () => {
  test('without a mapping of the topic', async () => {
    const { done, set } = account({ listEventSourceMappings: async () => ({ EventSourceMappings: [] }) });
    await expect(set(true)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringContaining('Lambda has no mapping of news.pageviews for it.'),
    });
    expect(done).toEqual([]);
  });

  test('without the parameter, because the next deployment would resume it', async () => {
    const { done, set } = account({ getParameter: () => Promise.reject(awsError('ParameterNotFound')) });
    await expect(set(true)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
      message: expect.stringContaining(`SSM has no parameter ${PARAMETER}`),
    });
    expect(done).toEqual([]);
  });
});

import { expect, test } from '@jest/globals';
import type { AwsCalls } from '../../../adapters/aws/aws-calls.ts';
import { createDeploymentReader } from '../../../adapters/aws/deployment-reader.ts';

test('a batch that broken code held counts as broken code, with where it fails', async () => {
  const failing = 'TypeError in settleOrders (orders/consumer.ts:29)';
  const line = (fields: object, timestamp: number) => ({
    message: JSON.stringify({ level: 'ERROR', ...fields }),
    timestamp,
  });
  const held = { code: 'CONSUMER_BROKEN', details: { failing } };
  const calls = {
    filterLogEvents: async () => ({
      events: [
        line({ code: 'CONSUMER_BROKEN', failing }, 1_000),
        line({ code: 'BATCH_INCOMPLETE', error: { code: 'BATCH_INCOMPLETE', cause: held } }, 2_000),
        line({ code: 'BATCH_INCOMPLETE', error: { code: 'BATCH_INCOMPLETE' } }, 3_000),
      ],
    }),
  } as unknown as AwsCalls;
  const reader = createDeploymentReader(calls, { now: () => 4_000 } as never);
  expect(await reader.recentErrors('logs')).toEqual([
    { code: 'CONSUMER_BROKEN', count: 2, firstAt: 1_000, lastAt: 2_000, failing },
    { code: 'BATCH_INCOMPLETE', count: 1, firstAt: 3_000, lastAt: 3_000 },
  ]);
});

import { expect, test } from '@jest/globals';
import { openDlqSession } from '../../../cli/dlq/session.ts';
import type { AnyConsumer } from '../../../runtime/delivery/consumer.ts';
import { editorialAnalytics } from '../../fixtures/newsdesk/lambdas/editorial-analytics/consumer.ts';

test('on AWS nobody is shown a queue alone where the dead letters are in a topic', async () => {
  const consumer = { ...editorialAnalytics, deadLetter: 'kafka' } as AnyConsumer;
  await expect(openDlqSession(consumer, { state: 'unused', env: 'prod' })).rejects.toMatchObject({
    code: 'INPUT_INVALID',
    message: expect.stringMatching(/in the topic news\.pageviews\..+ Give --kafka with its brokers/),
  });
});

import { expect, test } from '@jest/globals';
import { doctorLines, tallyLine } from '../../cli/doctor-view.ts';

const LINES = [
  {
    check: 'mapping',
    subject: 'orders',
    verdict: 'fail',
    evidence: 'State is Disabled.',
    fix: 'aws lambda update-event-source-mapping --uuid 8a1c6f0e-0000-4000-8000-000000000001 --enabled',
  },
  { check: 'topic', subject: 'shop.orders', verdict: 'pass', evidence: 'It has 12 partitions.', fix: null },
  {
    check: 'queue',
    subject: 'millrace-dev-orders-dead-letters',
    verdict: 'unknown',
    evidence:
      'AccessDeniedException: User: arn:aws:iam::123456789012:user/me is not authorized to perform: sqs:GetQueueUrl',
    fix: 'Allow this call.',
  },
] as const;

test('what passed comes first and what failed last, in 80 columns but for commands', () => {
  const shown = doctorLines(LINES, 80);
  expect(shown).toEqual([
    'ok    topic shop.orders: It has 12 partitions.',
    '?     queue millrace-dev-orders-dead-letters: AccessDeniedException: User:',
    '        arn:aws:iam::123456789012:user/me is not authorized to perform:',
    '        sqs:GetQueueUrl',
    '      Fix: Allow this call.',
    'FAIL  mapping orders: State is Disabled.',
    '      Fix: aws lambda update-event-source-mapping --uuid 8a1c6f0e-0000-4000-8000-000000000001 --enabled',
  ]);
  expect(shown.filter((line) => line.length > 80 && !line.includes('Fix:'))).toEqual([]);
});

test('the tally is one line', () => {
  expect(tallyLine({ failed: 1, unknown: 1, passed: 1_000 })).toBe('1 failed, 1 cannot tell, 1,000 passed');
});

import { type DeadLetter, deadLetterId } from '../runtime/dead-letter.ts';
import type { RawRecord } from '../runtime/record.ts';

/** A dead letter of record `t/0/<offset>`, complete; give only what a test is about. */
export function deadLetter({
  consumer = 'c',
  attempts = 3,
  ...overrides
}: Partial<RawRecord> & { readonly consumer?: string; readonly attempts?: number } = {}): DeadLetter {
  const record: RawRecord = {
    topic: 't',
    partition: 0,
    offset: 0,
    timestamp: 1_767_225_600_000,
    timestampType: 'CREATE_TIME',
    key: Buffer.from('key'),
    value: Buffer.from('value'),
    headers: [],
    ...overrides,
  };
  return {
    id: deadLetterId(consumer, record),
    consumer,
    epoch: 1,
    record,
    schemaId: '6b1f0e6c-6c0a-4b0e-8f5a-0f1d2c3b4a59',
    failure: {
      stage: 'handle',
      code: 'HANDLER_FAILED',
      name: 'TypeError',
      message: 'cannot read this',
      stack: 'TypeError: cannot read this\n    at handle',
      causes: [{ name: 'Error', message: 'the first cause' }],
      attempts,
      firstFailedAt: 1_767_225_600_100,
      lastFailedAt: 1_767_225_600_900,
    },
    functionName: 'fn',
    functionVersion: '$LATEST',
    requestId: 'request-1',
  };
}

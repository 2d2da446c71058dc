import fc from 'fast-check';
import { type DeadLetter, deadLetterId } from '../runtime/delivery/dead-letter.ts';
import type { RawRecord } from '../runtime/record.ts';

const bytes = fc.option(
  fc.uint8Array({ maxLength: 30 }).map((array) => Buffer.from(array)),
  { nil: null },
);

/** Any letter: any bytes, names and times. */
export const anyLetter: fc.Arbitrary<DeadLetter> = fc
  .record({
    consumer: fc.stringMatching(/^[a-zA-Z0-9._-]{1,20}$/),
    topic: fc.stringMatching(/^[a-zA-Z0-9._-]{1,20}$/),
    partition: fc.nat(),
    offset: fc.maxSafeNat(),
    timestampType: fc.constantFrom('CREATE_TIME', 'LOG_APPEND_TIME', 'NO_TIMESTAMP_TYPE'),
    key: bytes,
    value: bytes,
    // What Kafka holds, as near as a number comes.
    timestamp: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(Number),
    headers: fc.array(fc.record({ name: fc.string({ unit: 'binary' }), value: bytes })),
    attempts: fc.nat(),
    schemaId: fc.option(fc.uuid(), { nil: null }),
    earlier: fc.array(
      fc.record({
        stage: fc.constantFrom('deliver', 'decode', 'handle', 'write'),
        code: fc.constantFrom('HANDLER_FAILED', 'SINK_REJECTED'),
        name: fc.string(),
        message: fc.string({ unit: 'grapheme' }),
        failedAt: fc.nat({ max: 8.64e15 }),
      }),
      { maxLength: 3 },
    ),
  })
  .map(({ schemaId, earlier, ...parts }) => {
    const letter = deadLetter(parts);
    return { ...letter, schemaId, failure: { ...letter.failure, earlier } };
  });

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
      earlier: [],
    },
    functionName: 'fn',
    functionVersion: '$LATEST',
    requestId: 'request-1',
  };
}

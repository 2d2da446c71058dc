/** Whatever Kafka lets a producer put into a record. */
import fc from 'fast-check';
import { type RawRecord, TIMESTAMP_TYPES } from '../../runtime/record.ts';

/** Any int64, as a JSON number brings it. */
export const anyTimestamp: fc.Arbitrary<number> = fc.oneof(
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(Number),
  fc.constantFrom(
    -1,
    -2,
    0,
    -(2 ** 63),
    2 ** 53,
    2 ** 53 + 2,
    2 ** 63,
    8_640_000_000_000_001,
    -62_135_596_800_000,
  ),
  fc.integer({ min: 0, max: 2_000_000_000_000 }),
);

const anyBytes: fc.Arbitrary<Buffer | null> = fc.option(
  fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array)),
  { nil: null },
);

/** A record of the topic with any timestamp, bytes and headers; names may repeat, and be those of JavaScript's own. */
export function anyRecord(topic: string): fc.Arbitrary<RawRecord> {
  return fc.record({
    topic: fc.constant(topic),
    partition: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
    offset: fc.maxSafeNat(),
    timestamp: anyTimestamp,
    timestampType: fc.constantFrom(...TIMESTAMP_TYPES),
    key: anyBytes,
    value: anyBytes,
    headers: fc.array(
      fc.record({
        name: fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('', '__proto__', 'constructor', 'h')),
        value: anyBytes,
      }),
      { maxLength: 4 },
    ),
  });
}

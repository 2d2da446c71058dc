/** `millrace/testing`: what the authors of pipelines test with, in jest, vitest and node:test. Kept stable as the rest is. */
export {
  assertDeadLettered,
  assertEffectsOnce,
  assertNothingLost,
  assertOrderPerKey,
  type ExpectedLetter,
} from './assertions.ts';
export {
  type AnyHarness,
  type DeliverOptions,
  type Delivery,
  FAULTS,
  type Fault,
  type Harness,
  type HarnessOptions,
  harness,
  type Offsets,
  type PartitionLedger,
  type Redriven,
  type RedriveOptions,
} from './harness.ts';
export { type NearValid, type Records, recordsOf } from './records-of.ts';
export { poison, type RecordOptions, record, type TestRecord, tombstone } from './test-record.ts';

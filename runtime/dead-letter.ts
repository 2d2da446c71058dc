import type { ErrorCode } from './errors.ts';
import { type RawRecord, recordId } from './record.ts';

/** Where a record failed: reading its bytes, in the handler, or writing to the sink. */
export type FailureStage = 'decode' | 'handle' | 'write';

export interface FailureCause {
  readonly name: string;
  readonly message: string;
}

/** Why a record failed, and how often it was tried. Times are epoch milliseconds. */
export interface Failure {
  readonly stage: FailureStage;
  readonly code: ErrorCode;
  readonly name: string;
  readonly message: string;
  readonly stack: string;
  /** The `cause` chain, nearest first. */
  readonly causes: readonly FailureCause[];
  readonly attempts: number;
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
}

/** A failed record with its original bytes and everything needed to understand and redrive it. */
export interface DeadLetter {
  /** `consumer/topic/partition/offset`: the same record failing again makes a letter with the same id. */
  readonly id: string;
  readonly consumer: string;
  /** The ledger epoch the record was delivered in; a redrive settles it there. */
  readonly epoch: number;
  readonly record: RawRecord;
  /** The id in the record's framing, null where the framing could not be read. */
  readonly schemaId: string | null;
  readonly failure: Failure;
  /** The invocation that gave up on the record. */
  readonly functionName: string;
  readonly functionVersion: string;
  readonly requestId: string;
}

export function deadLetterId(consumer: string, record: RawRecord): string {
  return `${consumer}/${recordId(record)}`;
}

import type { ErrorCode } from '../errors.ts';
import { type Position, type RawRecord, recordId } from '../record.ts';

/** Where a record failed: on its way to the function, reading its bytes, in the handler, or writing to the sink. */
export type FailureStage = 'deliver' | 'decode' | 'handle' | 'write';

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
  /** Tries in all, those before earlier redrives included. */
  readonly attempts: number;
  readonly firstFailedAt: number;
  readonly lastFailedAt: number;
  /** How it failed before it was redriven, oldest first; the newest ten. */
  readonly earlier: readonly EarlierFailure[];
}

/** A failure from before a redrive, in short. */
export interface EarlierFailure {
  readonly stage: FailureStage;
  readonly code: ErrorCode;
  readonly name: string;
  readonly message: string;
  readonly failedAt: number;
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

export function deadLetterId(consumer: string, record: Position): string {
  return `${consumer}/${recordId(record)}`;
}

/** What tells a letter from every other: in another epoch the topic was another one, and its offsets began again. */
export function letterKey({ id, epoch }: Pick<DeadLetter, 'id' | 'epoch'>): string {
  return `${id}@${epoch}`;
}

/** What of a letter's failure the next one has to know, should the record fail again. */
export type FailureHistory = Pick<Failure, 'attempts' | 'earlier'> & {
  readonly firstFailedAt: number | null;
};

export const NO_HISTORY: FailureHistory = { attempts: 0, firstFailedAt: null, earlier: [] };

const MAX_EARLIER = 10;
const MAX_EARLIER_MESSAGE_CHARS = 512;

/** The history of a record that is about to be redriven. */
export function historyOf({ attempts, firstFailedAt, earlier, ...failure }: Failure): FailureHistory {
  const { stage, code, name, message, lastFailedAt } = failure;
  const last: EarlierFailure = {
    stage,
    code,
    name,
    message: message.slice(0, MAX_EARLIER_MESSAGE_CHARS),
    failedAt: lastFailedAt,
  };
  return { attempts, firstFailedAt, earlier: [...earlier, last].slice(-MAX_EARLIER) };
}

export interface DeadLetterStore {
  /** Durable when it resolves. Letters with an id the store has already are kept beside it or instead of it. @throws DEAD_LETTER_STORE_UNAVAILABLE */
  put(letters: readonly DeadLetter[]): Promise<void>;
}

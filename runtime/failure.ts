import type { Failure, FailureCause, FailureStage } from './dead-letters/dead-letter.ts';
import { ERRORS, type ErrorAction, type ErrorCode, MillraceError } from './errors.ts';

/** An error with the engine's verdict on it: what it is called, where it happened and what to do about it. */
export interface Diagnosis {
  readonly stage: FailureStage;
  readonly code: ErrorCode;
  readonly action: ErrorAction;
  /** What was thrown, untouched. */
  readonly error: unknown;
}

/**
 * Names an error. One with a code of ours keeps it, whoever threw it; any other gets `fallback`.
 * Whatever the sink refused counts as `write`, also when it surfaced inside `handle`.
 */
export function diagnose(stage: FailureStage, error: unknown, fallback: ErrorCode): Diagnosis {
  const { code, action } =
    error instanceof MillraceError ? error : { code: fallback, action: ERRORS[fallback].action };
  return { stage: code.startsWith('SINK_') ? 'write' : stage, code, action, error };
}

// A dead letter has to fit its queue whatever the handler threw.
const MAX_MESSAGE_CHARS = 4_096;
const MAX_STACK_CHARS = 8_192;
const MAX_CAUSES = 8;

/** The diagnosis as a dead letter keeps it. */
export function describeFailure(
  { stage, code, error }: Diagnosis,
  history: Pick<Failure, 'attempts' | 'firstFailedAt' | 'lastFailedAt' | 'earlier'>,
): Failure {
  const { name, message } = describeError(error);
  return {
    stage,
    code,
    name,
    message,
    stack: error instanceof Error ? (error.stack ?? '').slice(0, MAX_STACK_CHARS) : '',
    causes: describeCauses(error),
    attempts: history.attempts,
    firstFailedAt: history.firstFailedAt,
    lastFailedAt: history.lastFailedAt,
    earlier: history.earlier,
  };
}

function describeCauses(error: unknown): FailureCause[] {
  const causes: FailureCause[] = [];
  let current = error;
  while (current instanceof Error && current.cause !== undefined && causes.length < MAX_CAUSES) {
    current = current.cause;
    causes.push(describeError(current));
  }
  return causes;
}

/** Anything can be thrown, and a thrown object's own getters can throw too. */
function describeError(error: unknown): FailureCause {
  try {
    if (error instanceof Error) {
      return { name: String(error.name), message: String(error.message).slice(0, MAX_MESSAGE_CHARS) };
    }
    return { name: typeof error, message: String(error).slice(0, MAX_MESSAGE_CHARS) };
  } catch {
    return { name: typeof error, message: 'An error that cannot be read.' };
  }
}

import { ERRORS, type ErrorAction, type ErrorCode, MillraceError } from '../errors.ts';
import type { Failure, FailureCause, FailureStage } from './dead-letter.ts';

/** An error with the engine's verdict on it: what it is called, where it happened and what to do about it. */
export interface Diagnosis {
  readonly stage: FailureStage;
  readonly code: ErrorCode;
  readonly action: ErrorAction;
  /** Whether a record's data may be what the sink or the code seems to be to blame for. */
  readonly isUnclear: boolean;
  /** What was thrown, untouched. */
  readonly error: unknown;
}

/**
 * Names an error. One with a code of ours keeps it, whoever threw it; any other gets `fallback`.
 * Whatever the sink refused counts as `write`, also when it surfaced inside `handle`.
 */
export function diagnose(stage: FailureStage, error: unknown, fallback: ErrorCode): Diagnosis {
  const isOurs = error instanceof MillraceError;
  const code = isOurs ? error.code : fallback;
  return {
    stage: code.startsWith('SINK_') ? 'write' : stage,
    code,
    action: (isOurs ? error.action : undefined) ?? ERRORS[code].action,
    isUnclear: isOurs && error.isUnclear === true,
    error,
  };
}

// A dead letter has to fit its queue whatever the handler threw.
const UNREADABLE = 'An error that cannot be read.';
const MAX_NAME_CHARS = 256;
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
    stack: shortened(wholeText(error)).slice(0, MAX_STACK_CHARS),
    causes: describeCauses(error),
    attempts: history.attempts,
    firstFailedAt: history.firstFailedAt,
    lastFailedAt: history.lastFailedAt,
    earlier: history.earlier,
  };
}

/** An error's name, message and stack as they are: none of it for a letter or a log. */
export function wholeText(error: unknown): Record<'name' | 'message' | 'stack', string> {
  const nothing = { name: typeof error, message: '', stack: '' };
  return readable(
    () =>
      error instanceof Error
        ? { name: String(error.name), message: String(error.message), stack: String(error.stack ?? '') }
        : nothing,
    nothing,
  );
}

/** The stack with the message as a letter has it: what is cut off it would read as frames otherwise. */
function shortened({ message, stack }: ReturnType<typeof wholeText>): string {
  if (message.length <= MAX_MESSAGE_CHARS) return stack;
  const at = stack.indexOf(message);
  return at < 0
    ? stack
    : stack.slice(0, at) + message.slice(0, MAX_MESSAGE_CHARS) + stack.slice(at + message.length);
}

function describeCauses(error: unknown): FailureCause[] {
  const causes: FailureCause[] = [];
  let current = causeOf(error);
  while (current !== undefined && causes.length < MAX_CAUSES) {
    causes.push(describeError(current));
    current = causeOf(current);
  }
  return causes;
}

function causeOf(error: unknown): unknown {
  return readable(() => (error instanceof Error ? error.cause : undefined), undefined);
}

function describeError(error: unknown): FailureCause {
  return readable(
    () => {
      const [name, message] = error instanceof Error ? [error.name, error.message] : [typeof error, error];
      return {
        name: String(name).slice(0, MAX_NAME_CHARS),
        message: String(message).slice(0, MAX_MESSAGE_CHARS),
      };
    },
    { name: typeof error, message: UNREADABLE },
  );
}

/** Anything can be thrown, and what a thrown object is asked for can throw as well. */
function readable<Value>(read: () => Value, otherwise: Value): Value {
  try {
    return read();
  } catch {
    return otherwise;
  }
}

/** What was thrown, unless it cannot even be asked what it is, as a revoked proxy cannot. */
export function legible(thrown: unknown): unknown {
  try {
    void (thrown instanceof Error);
    return thrown;
  } catch {
    return new Error(UNREADABLE);
  }
}

/** An error's name, for the log: its text may quote a payload. */
export function errorName(error: unknown): string {
  return describeError(error).name;
}

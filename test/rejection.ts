import { MillraceError } from '../runtime/errors.ts';

/** The code that the promise rejects with; what it resolves with or rejects with otherwise makes the test fail. */
export async function codeOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    (value) => new Error(`resolved with ${JSON.stringify(value)}`),
    (reason: unknown) => reason,
  );
  if (error instanceof MillraceError) return error.code;
  throw error;
}

import { Logger as Powertools } from '@aws-lambda-powertools/logger';
import type { Context } from 'aws-lambda';
import { ERRORS, MillraceError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/ports.ts';

/**
 * Structured logs by Powertools, one JSON document a line, that hold no payload: bytes become their length, and an
 * error becomes its name, code and stack frames, with its message only where it is one of ours. Powertools alone
 * would print every property of an error, and drivers hang rows and parameters on theirs.
 *
 * The level comes from POWERTOOLS_LOG_LEVEL, or from Lambda's own log settings.
 */
export class PowertoolsLogger implements Logger {
  readonly #powertools: Powertools;

  /** @param consumer becomes `service` on every line */
  constructor(consumer: string) {
    this.#powertools = new Powertools({ serviceName: consumer, jsonReplacerFn: withoutPayload });
  }

  /** Puts the request id, function and cold start on every line until the next call. */
  addContext(context: Context): void {
    this.#powertools.addContext(context);
  }

  debug(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#powertools.debug(message, { ...fields });
  }

  info(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#powertools.info(message, { ...fields });
  }

  warn(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#powertools.warn(message, { ...fields });
  }

  error(message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.#powertools.error(message, { ...fields });
  }
}

function withoutPayload(_key: string, value: unknown): unknown {
  if (value instanceof Error) return describe(value);
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (isBufferJson(value)) return `${value.data.length} bytes`;
  return value;
}

/** A Buffer has turned itself into this by the time that JSON.stringify shows it. */
function isBufferJson(value: unknown): value is { data: unknown[] } {
  const { type, data } = (value ?? {}) as { type?: unknown; data?: unknown };
  return type === 'Buffer' && Array.isArray(data);
}

const MAX_CAUSES = 8;

function describe(error: Error, depth = 0): Record<string, unknown> {
  // The first lines of a stack repeat the message, so only its frames are kept.
  const stack = (error.stack ?? '')
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .join('\n');
  // A cause that is no error can be anything, a record included.
  const isTold = error.cause instanceof Error && depth < MAX_CAUSES;
  const cause = isTold ? { cause: describe(error.cause as Error, depth + 1) } : {};
  const { name } = error;
  if (error instanceof MillraceError) {
    const { code, message, details } = error;
    return { name, code, ...ERRORS[code], message, details, stack, ...cause };
  }
  const { code } = error as { code?: unknown };
  return { name, ...(typeof code === 'string' ? { code } : {}), stack, ...cause };
}

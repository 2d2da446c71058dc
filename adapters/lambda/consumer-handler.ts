import middy, { type MiddlewareObj, type MiddyfiedHandler } from '@middy/core';
import type { Context, SQSBatchResponse } from 'aws-lambda';
import type { BatchResponse, Engine, Invocation } from '../../runtime/engine.ts';
import { ERRORS, MillraceError } from '../../runtime/errors.ts';
import type { Logger } from '../../runtime/ports.ts';
import { isQueueEvent, redriveMessages } from './redrive-event.ts';

/** A logger that can put an invocation's facts on its lines, and prints an error without the payload it may quote. */
export interface LambdaLogger extends Logger {
  addContext(context: Context): void;
}

export interface ConsumerHandlerOptions {
  readonly engine: Engine;
  readonly logger: LambdaLogger;
  /**
   * Whether the event source mapping reads partial batch responses: provisioned mode with ReportBatchItemFailures.
   * Everywhere else Lambda takes any return for success and commits the whole batch, so a batch that is not settled
   * whole has to throw. Source: https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html (read 2026-11-24)
   * @default false: wrong in provisioned mode, it costs a redelivery; wrong in on-demand mode, true would lose records
   */
  readonly partialResponses?: boolean;
}

/**
 * The Lambda entry of a consumer: hands the event and the invocation's facts to the engine, whether it is a batch of
 * its topic or messages of its redrive queue. Returns only what the event source will honour; every error is logged
 * once, without payload, and thrown on, so that the batch comes again. Middy middlewares can be added to what it
 * returns.
 * @throws CONSUMER_INVALID when an option is unknown or missing
 */
export function consumerHandler(
  options: ConsumerHandlerOptions,
): MiddyfiedHandler<unknown, BatchResponse | SQSBatchResponse> {
  const { engine, logger, partialResponses = false } = checked(options);
  // The engine ends its work before the function's time is over; middy must not cut it off earlier.
  return middy({ timeoutEarlyInMillis: 0 })
    .use(logContext(logger))
    .use(logErrors(logger))
    .handler((event: unknown, context: Context) => {
      const invocation = invocationOf(context, partialResponses);
      return isQueueEvent(event)
        ? redriveMessages(event, engine, invocation, logger)
        : engine.consumeBatch(event, invocation);
    });
}

function invocationOf(context: Context, partialResponses: boolean): Invocation {
  return {
    requestId: context.awsRequestId,
    functionName: context.functionName,
    functionVersion: context.functionVersion,
    remainingMs: () => context.getRemainingTimeInMillis(),
    partialResponses,
  };
}

function logContext(logger: LambdaLogger): MiddlewareObj {
  return {
    before: ({ context }) => {
      logger.addContext(context);
    },
  };
}

function logErrors(logger: Logger): MiddlewareObj {
  return {
    onError: ({ error }) => {
      const known = error instanceof MillraceError ? error : unexpected(error);
      logger.error('Batch failed', { code: known.code, ...ERRORS[known.code], error: known });
      throw known;
    },
  };
}

/** Lambda prints the message of what is thrown; one that is not ours could quote a record, so it stays a cause. */
function unexpected(error: unknown): MillraceError {
  const name = error instanceof Error ? error.name : typeof error;
  return new MillraceError('UNEXPECTED', `${name} outside the handler; its stack is in the log.`, {
    cause: error,
  });
}

const OPTIONS: ReadonlySet<string> = new Set(['engine', 'logger', 'partialResponses']);

function checked(options: ConsumerHandlerOptions): ConsumerHandlerOptions {
  const unknown = Object.keys(options).find((name) => !OPTIONS.has(name));
  const missing = ['engine', 'logger'].find((name) => !options[name as keyof ConsumerHandlerOptions]);
  if (!unknown && !missing) return options;
  throw new MillraceError(
    'CONSUMER_INVALID',
    `consumerHandler() ${unknown ? `got the unknown option ${JSON.stringify(unknown)}` : `misses the option "${missing}"`}; ` +
      'it takes engine, logger and partialResponses.',
    { details: { option: unknown ?? missing } },
  );
}

import middy, { type MiddlewareObj } from '@middy/core';
import type { Context } from 'aws-lambda';
import { settleMessages } from '../../runtime/dead-letters/redrive/receive.ts';
import type { Engine } from '../../runtime/delivery/engine.ts';
import { errorName } from '../../runtime/delivery/failure.ts';
import type { Metrics } from '../../runtime/delivery/metrics.ts';
import { ERRORS, MillraceError } from '../../runtime/errors.ts';
import {
  type BatchResponse,
  type KafkaInvocation,
  settleKafkaEvent,
} from '../../runtime/lambda/kafka-batch.ts';
import { handBack, isQueueEvent, messagesOf, type QueueResponse } from '../../runtime/lambda/queue-event.ts';
import type { ObjectStore } from '../../runtime/objects.ts';
import type { Logger } from '../../runtime/ports.ts';

/** A logger that can put an invocation's facts on its lines, and prints an error without the payload it may quote. */
export interface LambdaLogger extends Logger {
  addContext(context: Context): void;
}

export interface ConsumerHandlerOptions {
  readonly engine: Engine;
  readonly logger: LambdaLogger;
  readonly metrics: Metrics;
  /** Where the bytes of large dead letters are, and where the results of redrives go. */
  readonly objects: Pick<ObjectStore, 'get' | 'put'>;
  /**
   * Whether the event source mapping reads partial batch responses: provisioned mode with ReportBatchItemFailures.
   * Everywhere else Lambda takes any return for success and commits the whole batch, so a batch that is not settled
   * whole has to throw. Source: https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html (read 2026-11-24)
   * @default false: wrong in provisioned mode, it costs a redelivery; wrong in on-demand mode, true would lose records
   */
  readonly partialResponses?: boolean;
  /** Middlewares around the engine, the first one outermost. @default none */
  readonly use?: readonly MiddlewareObj[];
}

/**
 * The Lambda entry of a consumer: hands the event and the invocation's facts to the engine, whether it is a batch of
 * its topic or messages of its redrive queue. Returns only what the event source will honour; every error is logged
 * once, without payload, and thrown on, so that the batch is delivered again. No middleware can answer in the engine's
 * place: Lambda would take a batch for settled that is not.
 * @throws CONSUMER_INVALID when an option is unknown or missing
 */
export function consumerHandler(
  options: ConsumerHandlerOptions,
): (event: unknown, context: Context) => Promise<BatchResponse | QueueResponse> {
  const { engine, logger, metrics, objects, partialResponses = false, use = [] } = checked(options);
  const answers = new WeakMap<Context, BatchResponse | QueueResponse>();
  // The engine ends its work before the function's time is over; middy must not cut it off earlier.
  const handler = middy<unknown, unknown>({ timeoutEarlyInMillis: 0 })
    .use(logContext(logger))
    .use(logErrors(logger))
    .use([...use])
    .handler(async (event: unknown, context: Context) => {
      const invocation = invocationOf(context, partialResponses);
      const answer = await hearingEscapes(engine, logger, async () => {
        if (!isQueueEvent(event)) return settleKafkaEvent(event, engine, invocation);
        const ports = { engine, objects, metrics, log: logger };
        return handBack(await settleMessages(messagesOf(event), ports, invocation));
      });
      answers.set(context, answer);
      return answer;
    });
  return async (event, context) => {
    await handler(event, context);
    const answer = answers.get(context);
    answers.delete(context);
    if (answer) return answer;
    const error = new MillraceError(
      'UNEXPECTED',
      'A middleware answered in place of the consumer, whose records are not settled. Let it return nothing from `before` and `onError`.',
    );
    logger.error('Batch failed', { code: error.code, ...ERRORS[error.code], error });
    throw error;
  };
}

const ESCAPES = ['unhandledRejection', 'uncaughtException'] as const;

/** The invocations under way in this process: on Lambda one, on a laptop also a redelivery beside it. */
const underWay = new Set<{ readonly engine: Engine; readonly logger: Logger }>();

/**
 * Runs an invocation, and takes what escapes its handler meanwhile for the handler's failure. Lambda's own runtime, which
 * listens at all other times, prints the error with the payload it may quote and ends the process; the record then does
 * the same to the next process. `process.exit` in a handler still ends it.
 */
async function hearingEscapes<Result>(
  engine: Engine,
  logger: Logger,
  invoke: () => Promise<Result>,
): Promise<Result> {
  const invocation = { engine, logger };
  if (underWay.size === 0) takeListenersOver();
  underWay.add(invocation);
  try {
    return await invoke();
  } finally {
    // Node tells of a rejection at the end of its turn: those of the last turn still belong to this invocation.
    await new Promise((resolve) => setImmediate(resolve));
    underWay.delete(invocation);
    if (underWay.size === 0) giveListenersBack();
  }
}

const runtimeListeners: (() => void)[] = [];

function takeListenersOver(): void {
  for (const event of ESCAPES) {
    for (const listener of process.listeners(event as 'uncaughtException')) {
      process.off(event, listener);
      runtimeListeners.push(() => process.on(event, listener));
    }
    process.on(event, hear);
  }
}

function giveListenersBack(): void {
  for (const event of ESCAPES) process.off(event, hear);
  for (const listenAgain of runtimeListeners.splice(0)) listenAgain();
}

function hear(error: unknown): void {
  for (const { engine } of underWay) if (engine.escaped(error)) return;
  const [last] = [...underWay].slice(-1);
  last?.logger.error('An error that nothing waited for, while no handle() was running', {
    consumer: last.engine.consumer,
    // Its words may quote a payload.
    errorName: errorName(error),
  });
}

function invocationOf(context: Context, partialResponses: boolean): KafkaInvocation {
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
  return new MillraceError(
    'UNEXPECTED',
    `${errorName(error)} outside the handler; its stack is in the log.`,
    {
      cause: error,
    },
  );
}

const REQUIRED = ['engine', 'logger', 'metrics', 'objects'] as const;
const OPTIONS: ReadonlySet<string> = new Set([...REQUIRED, 'partialResponses', 'use']);

function checked(options: ConsumerHandlerOptions): ConsumerHandlerOptions {
  const unknown = Object.keys(options).find((name) => !OPTIONS.has(name));
  const missing = REQUIRED.find((name) => !options[name]);
  if (!unknown && !missing) return options;
  throw new MillraceError(
    'CONSUMER_INVALID',
    `consumerHandler() ${unknown ? `got the unknown option ${JSON.stringify(unknown)}` : `misses the option "${missing}"`}; ` +
      'it takes engine, logger, metrics, objects, partialResponses and use.',
    { details: { option: unknown ?? missing } },
  );
}

/**
 * The event source mapping of a laptop for a queue: invokes a handler with the queue's messages as Lambda does for SQS.
 * What the handler does not hand back is deleted; the rest is delivered again when its visibility timeout is over.
 * https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html, …/services-sqs-errorhandling.html (2026-11-25).
 */
import { createHash } from 'node:crypto';
import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda';
import type { Queue, QueueMessage } from '../../runtime/dead-letters/queue.ts';
import { VISIBILITY_TIMEOUTS } from '../../runtime/dead-letters/resources.ts';
import type { Clock, Logger, Random } from '../../runtime/ports.ts';
import { createFunction, createRequestId } from './function.ts';

export interface QueueSourceOptions {
  readonly queue: Queue;
  /** The function's name. */
  readonly name: string;
  readonly handler: (event: SQSEvent, context: Context, timedOut: AbortSignal) => Promise<unknown>;
  readonly functionTimeoutMs: number;
  /** Messages in one invocation. @default 10, Lambda's own */
  readonly batchSize?: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export interface QueueSource {
  /** Begins no further invocation, and resolves when the one under way has ended. Rejects when the queue has failed. */
  stop(): Promise<void>;
}

const POLL_INTERVAL_MS = 100;
const MAX_POLL_INTERVAL_MS = 1_000;

/** Starts polling at once, with one invocation at a time. */
export function startQueueSource(options: QueueSourceOptions): QueueSource {
  const { queue, name, handler, functionTimeoutMs, batchSize = 10, clock, random, log } = options;
  const stopping = new AbortController();
  const fn = createFunction<SQSEvent>({ name, handler, timeoutMs: functionTimeoutMs, clock });

  const run = async () => {
    let pauseMs = POLL_INTERVAL_MS;
    while (!stopping.signal.aborted) {
      const messages = await queue.receive({
        maxMessages: batchSize,
        visibilityMs: functionTimeoutMs * VISIBILITY_TIMEOUTS,
      });
      if (messages.length === 0) {
        await clock.sleep(pauseMs, stopping.signal);
        pauseMs = Math.min(MAX_POLL_INTERVAL_MS, pauseMs * 2);
        continue;
      }
      pauseMs = POLL_INTERVAL_MS;
      const requestId = createRequestId(random);
      try {
        const handedBack = handedBackIn(await fn.invoke(eventOf(messages, name), requestId), messages);
        const done = messages.filter(({ id }) => !handedBack.has(id));
        await queue.delete(done.map(({ receipt }) => receipt));
      } catch (error) {
        log.warn('Redrive failed: its messages are delivered again', {
          requestId,
          messages: messages.length,
          error: error instanceof Error ? error.message : String(error),
        });
      }
    }
  };
  const closed = run();
  // Heard by whoever calls stop(); until then a failure must not end the process.
  closed.catch(() => {});
  return {
    async stop() {
      stopping.abort();
      await closed;
    },
  };
}

/** An answer that Lambda cannot read, or that names a message it does not know, fails the whole batch. */
function handedBackIn(response: unknown, messages: readonly QueueMessage[]): ReadonlySet<string> {
  const known = new Set(messages.map(({ id }) => id));
  const { batchItemFailures = [] } = (response ?? {}) as Partial<SQSBatchResponse>;
  const named = batchItemFailures.map(({ itemIdentifier }) => itemIdentifier);
  return named.every((id) => known.has(id)) ? new Set(named) : known;
}

function eventOf(messages: readonly QueueMessage[], name: string): SQSEvent {
  return {
    Records: messages.map(({ id, body, attributes, sentAt, receiveCount, receipt }) => ({
      messageId: id,
      receiptHandle: receipt,
      body,
      attributes: {
        ApproximateReceiveCount: String(receiveCount),
        SentTimestamp: String(sentAt),
        SenderId: 'local',
        ApproximateFirstReceiveTimestamp: String(sentAt),
      },
      messageAttributes: Object.fromEntries(
        Object.entries(attributes).map(([attribute, stringValue]) => [
          attribute,
          { dataType: 'String' as const, stringValue },
        ]),
      ),
      md5OfBody: createHash('md5').update(body).digest('hex'),
      eventSource: 'aws:sqs',
      eventSourceARN: `arn:aws:sqs:us-east-1:000000000000:${name}-redrive`,
      awsRegion: 'us-east-1',
    })),
  };
}

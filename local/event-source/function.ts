import type { Context } from 'aws-lambda';
import { MillraceError } from '../../runtime/errors.ts';
import type { KafkaEvent } from '../../runtime/kafka-event.ts';
import type { Clock, Random } from '../../runtime/ports.ts';

/** A Lambda handler of Kafka batches. */
export type Handler = (event: KafkaEvent, context: Context) => Promise<unknown>;

export interface LocalFunction<Event = KafkaEvent> {
  readonly arn: string;
  readonly version: string;
  /** Runs the handler once. Rejects when it throws, or after the timeout: it may then still be running. */
  invoke(event: Event, requestId: string): Promise<unknown>;
}

/** A handler as Lambda runs it, with a context and a timeout. */
export function createFunction<Event = KafkaEvent>({
  name,
  handler,
  timeoutMs,
  clock,
}: {
  readonly name: string;
  readonly handler: (event: Event, context: Context) => Promise<unknown>;
  readonly timeoutMs: number;
  readonly clock: Clock;
}): LocalFunction<Event> {
  const version = '$LATEST';
  const arn = `arn:aws:lambda:us-east-1:000000000000:function:${name}`;

  const contextOf = (awsRequestId: string): Context => {
    const deadline = clock.now() + timeoutMs;
    return {
      callbackWaitsForEmptyEventLoop: true,
      functionName: name,
      functionVersion: version,
      invokedFunctionArn: arn,
      memoryLimitInMB: '1024',
      awsRequestId,
      logGroupName: `/aws/lambda/${name}`,
      logStreamName: `local/[${version}]`,
      getRemainingTimeInMillis: () => Math.max(0, deadline - clock.now()),
      done: refuseCallbacks,
      fail: refuseCallbacks,
      succeed: refuseCallbacks,
    };
  };

  return {
    arn,
    version,
    async invoke(event, requestId) {
      const timer = new AbortController();
      const timeout = clock.sleep(timeoutMs, timer.signal).then(() => {
        if (timer.signal.aborted) return;
        throw new MillraceError(
          'HANDLER_TIMEOUT',
          `Function ${name} was stopped after its timeout of ${timeoutMs} ms; the batch is delivered again.`,
          { details: { function: name, timeoutMs } },
        );
      });
      try {
        return await Promise.race([handler(event, contextOf(requestId)), timeout]);
      } finally {
        timer.abort();
      }
    },
  };
}

/** A request id as Lambda's: a version 4 UUID. */
export function createRequestId(random: Random): string {
  const bytes = Buffer.from(Array.from({ length: 16 }, () => Math.floor(random.next() * 256)));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

// https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html (2026-11-24)
function refuseCallbacks(): never {
  throw new Error('The Node.js 24 runtime has no callbacks: return a promise from the handler.');
}

import type { Context } from 'aws-lambda';
import { MillraceError } from '../../runtime/errors.ts';
import type { KafkaEvent } from '../../runtime/lambda/kafka-event.ts';
import type { Clock, Random } from '../../runtime/ports.ts';

/** A Lambda handler of Kafka batches. `timedOut` aborts when the invocation's time is over: nobody waits for it any more. */
export type Handler = (event: KafkaEvent, context: Context, timedOut?: AbortSignal) => Promise<unknown>;

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
  readonly handler: (event: Event, context: Context, timedOut: AbortSignal) => Promise<unknown>;
  readonly timeoutMs: number;
  readonly clock: Clock;
}): LocalFunction<Event> {
  return {
    arn: arnOf(name),
    version: VERSION,
    async invoke(event, requestId) {
      const timer = new AbortController();
      const timedOut = new AbortController();
      const context = localContext(name, requestId, clock.now() + timeoutMs, clock);
      const timeout = clock.sleep(timeoutMs, timer.signal).then(() => {
        if (timer.signal.aborted) return;
        const error = new MillraceError(
          'HANDLER_TIMEOUT',
          `Function ${name} was stopped after its timeout of ${timeoutMs} ms; the batch is delivered again.`,
          { details: { function: name, timeoutMs } },
        );
        timedOut.abort(error);
        throw error;
      });
      try {
        return await Promise.race([handler(event, context, timedOut.signal), timeout]);
      } finally {
        timer.abort();
      }
    },
  };
}

const VERSION = '$LATEST';

function arnOf(name: string): string {
  return `arn:aws:lambda:us-east-1:000000000000:function:${name}`;
}

/** The context of an invocation that has until `endsAt`. */
export function localContext(name: string, awsRequestId: string, endsAt: number, clock: Clock): Context {
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionName: name,
    functionVersion: VERSION,
    invokedFunctionArn: arnOf(name),
    memoryLimitInMB: '1024',
    awsRequestId,
    logGroupName: `/aws/lambda/${name}`,
    logStreamName: `local/[${VERSION}]`,
    getRemainingTimeInMillis: () => Math.max(0, endsAt - clock.now()),
    done: refuseCallbacks,
    fail: refuseCallbacks,
    succeed: refuseCallbacks,
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

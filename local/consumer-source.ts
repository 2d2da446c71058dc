import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import { GIVEN_UP_PREFIX } from '../runtime/dead-letters/given-up-letters.ts';
import type { ObjectStore } from '../runtime/dead-letters/objects.ts';
import type { DeadLetterResources } from '../runtime/dead-letters/resources.ts';
import { type AnyConsumer, MOST_RETRIES } from '../runtime/delivery/consumer.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/ports.ts';
import type { LogReader } from '../runtime/topics.ts';
import { type EventSource, startEventSource } from './event-source/event-source.ts';
import type { FailureDocument } from './event-source/failure-document.ts';
import type { Handler } from './event-source/function.ts';

/** The consumer's event source, by its declaration, with the error handling of Lambda's provisioned mode. */
export function startSource(
  consumer: AnyConsumer,
  group: string,
  batchSize: number,
  reader: LogReader,
  { objects }: DeadLetterResources,
  log: Logger,
  handler: Handler,
): EventSource {
  return startEventSource({
    topic: consumer.topic.name,
    group,
    mapping: {
      mode: 'provisioned',
      reportBatchItemFailures: true,
      bisectBatchOnFunctionError: true,
      batchSize,
      maximumBatchingWindowMs: consumer.batch.windowMs,
      startingPosition: consumer.startingPosition,
      functionTimeoutMs: consumer.timeoutMs,
      maximumRetryAttempts: consumer.giveUp.afterRetries ?? MOST_RETRIES,
      ...(consumer.giveUp.afterAgeMs !== undefined && { maximumRecordAgeMs: consumer.giveUp.afterAgeMs }),
      onFailure: (document) => putAside(document, objects),
    },
    handler,
    reader,
    clock: systemClock,
    random: systemRandom,
    log,
  });
}

/** Where Lambda would put it: a batch that was given up, with its records. */
async function putAside(document: FailureDocument, objects: ObjectStore): Promise<void> {
  const { timestamp, requestContext, KafkaBatchInfo } = document;
  const [partition] = Object.keys(KafkaBatchInfo.recordsInfo);
  const key = `${GIVEN_UP_PREFIX}local/${partition}/${timestamp}-${requestContext.requestId}`;
  await objects.put(key, Buffer.from(JSON.stringify(document)));
}

/** An event source tries for ever; on a laptop the person who has to act is sitting there. */
export function watchForHalts(handler: Handler, onHalt: (error: MillraceError) => void): Handler {
  return async (event, context, timedOut) => {
    try {
      return await handler(event, context, timedOut);
    } catch (error) {
      if (error instanceof MillraceError && error.action === 'halt') onHalt(error);
      throw error;
    }
  };
}

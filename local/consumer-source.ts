import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import { GIVEN_UP_PREFIX } from '../runtime/dead-letters/given-up-letters.ts';
import type { DeadLetterResources } from '../runtime/dead-letters/resources.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { MillraceError } from '../runtime/errors.ts';
import { mappingOf, type Polling } from '../runtime/lambda/mapping.ts';
import type { ObjectStore } from '../runtime/objects.ts';
import type { Logger } from '../runtime/ports.ts';
import type { LogReader } from '../runtime/topics.ts';
import { startEventSource } from './event-source/event-source.ts';
import type { EventSourceMapping } from './event-source/event-source-mapping.ts';
import type { FailureDocument } from './event-source/failure-document.ts';
import type { Handler } from './event-source/function.ts';
import { type PausableSource, pausableSource } from './event-source/pausable-source.ts';

/** The consumer's event source mapping as Lambda would run it. The number of pollers stays the least that is set. */
export function localMapping(
  consumer: AnyConsumer,
  polling: Polling,
  onFailure: (document: FailureDocument) => Promise<void>,
): EventSourceMapping {
  const { provisioned, ...settings } = mappingOf(consumer, polling);
  const common = { ...settings, functionTimeoutMs: consumer.timeoutMs, onFailure };
  if (!provisioned) return { mode: 'on-demand', ...common };
  return {
    mode: 'provisioned',
    ...common,
    pollers: provisioned.minimumPollers,
    maximumRetryAttempts: provisioned.maximumRetryAttempts,
    bisectBatchOnFunctionError: provisioned.bisectBatchOnFunctionError,
    reportBatchItemFailures: provisioned.reportBatchItemFailures,
    ...(provisioned.maximumRecordAgeMs !== null && { maximumRecordAgeMs: provisioned.maximumRecordAgeMs }),
  };
}

/**
 * Starts the consumer's event source, unless it is paused; it stops and starts as the pauses say.
 * @param mostRecords of a batch, where faults are to hit smaller ones
 * @param isPaused asked at the start and at each `follow`
 */
export function startSource(
  consumer: AnyConsumer,
  group: string,
  polling: Polling,
  mostRecords: number,
  reader: LogReader,
  { objects }: DeadLetterResources,
  log: Logger,
  handler: Handler,
  isPaused: () => boolean,
): PausableSource {
  const mapping = localMapping(consumer, polling, (document) => keepGivenUp(document, objects));
  const start = () =>
    startEventSource({
      topic: consumer.topic.name,
      group,
      mapping: { ...mapping, batchSize: Math.min(mostRecords, consumer.batch.maxRecords) },
      handler,
      reader,
      clock: systemClock,
      random: systemRandom,
      log,
    });
  return pausableSource(start, isPaused);
}

/** Where Lambda would put it: a batch that was given up, with its records. */
async function keepGivenUp(document: FailureDocument, objects: ObjectStore): Promise<void> {
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

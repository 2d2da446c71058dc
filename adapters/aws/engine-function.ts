import type { MiddlewareObj } from '@middy/core';
import { contractsAmong } from '../../runtime/contract/contract.ts';
import { withKnownVersions } from '../../runtime/contract/known-versions.ts';
import { createQueueStore } from '../../runtime/dead-letters/queue-letters.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import type { DeadLetterStore } from '../../runtime/delivery/dead-letter.ts';
import { createEngine, type EnginePorts } from '../../runtime/delivery/engine.ts';
import type { ObjectStore } from '../../runtime/objects.ts';
import { consumerHandler } from '../lambda/consumer-handler.ts';
import { EmbeddedMetrics } from '../lambda/embedded-metrics.ts';
import { PowertoolsLogger } from '../lambda/powertools-logger.ts';
import { systemClock } from '../system/system-clock.ts';
import { systemRandom } from '../system/system-random.ts';
import { codeVersion, flag, knownVersions, setting } from './function-settings.ts';
import type { openMskLetters } from './msk.ts';
import { requestTimeouts } from './request-timeouts.ts';
import { glueRegistry, once, s3Objects, sqsSender } from './services.ts';

/** A service that does not answer must not take the invocation's time: the engine holds the line and tries again. */
const TIMEOUTS = requestTimeouts(5_000);

export interface ConsumerFunctionOptions {
  /**
   * Your own middy middlewares, such as tracing or secrets: around the engine, the first one outermost. If one
   * answers in the engine's place, from `before` or `onError`, the invocation fails. @default none
   */
  readonly use?: readonly MiddlewareObj[];
}

/** The function of a consumer, on its sink. @throws FUNCTION_MISCONFIGURED when a setting is missing */
export function engineFunction(
  consumer: AnyConsumer,
  sink: EnginePorts['sink'],
  { use = [] }: ConsumerFunctionOptions = {},
) {
  const region = setting('region');
  const logger = new PowertoolsLogger(consumer.name);
  const metrics = new EmbeddedMetrics(systemClock, setting('environment'));
  const objects = s3Objects({ region, ...TIMEOUTS }, setting('bucketName'));
  const glue = glueRegistry({ region, ...TIMEOUTS }, setting('registryName'));
  const engine = createEngine(consumer, {
    clock: systemClock,
    random: systemRandom,
    registry: withKnownVersions(glue, contractsAmong([consumer.topic]), knownVersions()),
    sink,
    deadLetters: openDeadLetters(consumer, objects, region),
    log: logger,
    metrics,
    code: codeVersion(),
  });
  return consumerHandler({
    engine,
    logger,
    metrics,
    objects,
    partialResponses: flag('partialResponses'),
    use,
  });
}

function openDeadLetters(
  { name, deadLetter, deadLetterTopic }: AnyConsumer,
  objects: Pick<ObjectStore, 'put'>,
  region: string,
): DeadLetterStore {
  if (deadLetter === 'kafka') {
    return openWhenNeeded({ topic: deadLetterTopic, brokers: setting('brokers'), region, clientId: name });
  }
  return createQueueStore({
    queue: sqsSender({ region, ...TIMEOUTS }, setting('deadLetterQueueUrl')),
    objects,
  });
}

/** Dead letters are rare: no start of the function waits for Kafka's client. */
function openWhenNeeded(options: Parameters<typeof openMskLetters>[0]): DeadLetterStore {
  const open = once(async () => (await import('#msk')).openMskLetters(options));
  return { put: async (letters) => (await open()).put(letters) };
}

import type { Contract } from '../../runtime/contract/contract.ts';
import { withKnownVersions } from '../../runtime/contract/known-versions.ts';
import { COLLECTOR_SERVICE, type CollectLimits, createCollector } from '../../runtime/publish/collect.ts';
import type { Producer } from '../../runtime/topics.ts';
import { collectorHandler } from '../lambda/collector-handler.ts';
import { EmbeddedMetrics } from '../lambda/embedded-metrics.ts';
import { PowertoolsLogger } from '../lambda/powertools-logger.ts';
import { systemClock } from '../system/system-clock.ts';
import { knownVersions, setting } from './function-settings.ts';
import { requestTimeouts } from './request-timeouts.ts';
import { glueRegistry } from './services.ts';

// Somebody is waiting, and can send again. This and what MSK is given (msk.ts) take less together than the function's timeout,
// and that less than API Gateway waits: lib/stacks/collector-stack.ts.
const GLUE = { maxAttempts: 2, ...requestTimeouts(3_000) };

/**
 * The collector as the Lambda function that its stack deploys: publishes to MSK, with schema ids from Glue. Its settings
 * are the function's environment variables.
 * @throws FUNCTION_MISCONFIGURED when one is missing
 */
export function collectorFunction(contracts: readonly Contract<never>[], limits?: CollectLimits) {
  const region = setting('region');
  const brokers = setting('brokers');
  const registryName = setting('registryName');
  const allowedOrigins: readonly string[] = JSON.parse(setting('allowedOrigins'));
  // From the start on: every request needs it, and a function that starts has more of the processor than one that answers.
  const opening = import('#msk').then((msk) =>
    msk.openMskProducer({ brokers, region, clientId: COLLECTOR_SERVICE }),
  );
  // Heard by whoever sends first.
  opening.catch(() => {});
  const producer: Producer = {
    send: async (topic, records) => (await opening).send(topic, records),
  };
  const glue = glueRegistry({ region, ...GLUE }, registryName);
  const registry = withKnownVersions(glue, contracts, knownVersions());
  return collectorHandler({
    collector: createCollector(contracts, { registry, producer, clock: systemClock }, limits),
    logger: new PowertoolsLogger(COLLECTOR_SERVICE),
    metrics: new EmbeddedMetrics(systemClock, setting('environment')),
    allowedOrigins,
  });
}

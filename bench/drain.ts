import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import { pageviews } from '../contracts/news.pageviews/topic.ts';
import { editorialAnalytics } from '../lambdas/editorial-analytics/consumer.ts';
import { startEventSource } from '../local/event-source/event-source.ts';
import type { Engine } from '../runtime/engine.ts';
import type { LogReader } from '../runtime/ports.ts';
import { invocation } from './invocation-10k.ts';

/** Has the consumer take all of the topic, from its beginning, by the local event source. @param group one that has read nothing yet */
export async function drain(reader: LogReader, engine: Engine, group: string): Promise<void> {
  const source = startEventSource({
    topic: pageviews.name,
    group,
    mapping: {
      mode: 'provisioned',
      batchSize: editorialAnalytics.batch.maxRecords,
      maximumBatchingWindowMs: 0,
      startingPosition: 'TRIM_HORIZON',
      functionTimeoutMs: editorialAnalytics.timeoutMs,
    },
    handler: (event) => engine.consumeBatch(event, invocation()),
    reader,
    clock: systemClock,
    random: systemRandom,
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
  await source.drained();
  await source.stop();
}

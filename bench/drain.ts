import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import { pageviews } from '../contracts/news.pageviews/topic.ts';
import { editorialAnalytics } from '../lambdas/editorial-analytics/consumer.ts';
import { startEventSource } from '../local/event-source/event-source.ts';
import type { Handler } from '../local/event-source/function.ts';
import type { LogReader } from '../runtime/topics.ts';

/** Has the consumer's function take all of the topic, from its beginning, by the local event source. @param group one that has read nothing yet */
export async function drain(reader: LogReader, handler: Handler, group: string): Promise<void> {
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
    handler,
    reader,
    clock: systemClock,
    random: systemRandom,
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
  await source.drained();
  await source.stop();
}

import type { App } from '../runtime/app.ts';
import { capturedTables } from '../runtime/capture/table.ts';
import { topicOfDeadLetters } from '../runtime/dead-letters/resources.ts';
import type { Logger } from '../runtime/ports.ts';
import { type TopicContract, topicOfTable } from '../runtime/topics.ts';
import type { TopicLog } from './topic-log.ts';

/** Makes each contract's topic, and those for dead letters. */
export async function prepareTopics(
  { contracts, consumers, tables }: App,
  topics: TopicLog,
  log: Logger,
): Promise<void> {
  const prepare = async (topic: TopicContract) => {
    const differences = await topics.prepareTopic(topic);
    if (differences.length > 0) {
      log.warn('Topic differs from its contract', {
        topic: topic.name,
        differences: differences.join(', '),
      });
    }
  };
  for (const contract of contracts) await prepare(contract);
  for (const table of capturedTables(tables)) await prepare(topicOfTable(table));
  for (const consumer of consumers) {
    if (consumer.deadLetter === 'kafka') await prepare(topicOfDeadLetters(consumer));
  }
}

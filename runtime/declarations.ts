import type { AnyConsumer } from './consumer.ts';
import type { Contract } from './contract.ts';
import { MillraceError } from './errors.ts';

/**
 * Checks what no declaration can see by itself: each topic and each consumer is listed once, and every consumer
 * reads a listed topic, as the collector writes to listed ones.
 * @throws CONTRACT_INVALID or CONSUMER_INVALID naming the first that is not so
 */
export function checkDeclarations(
  contracts: readonly Contract<never>[],
  consumers: readonly AnyConsumer[],
  collected: readonly Contract<never>[],
): void {
  const topic = firstRepeated(contracts.map(({ name }) => name));
  if (topic !== undefined) {
    throw new MillraceError(
      'CONTRACT_INVALID',
      `contracts/index.ts lists two contracts of the topic ${topic}. List it once.`,
      { details: { topic } },
    );
  }
  const repeated = firstRepeated(consumers.map(({ name }) => name));
  if (repeated !== undefined) {
    throw new MillraceError(
      'CONSUMER_INVALID',
      `lambdas/consumers.ts lists two consumers called ${repeated}. A name is a consumer group: list it once, or rename one.`,
      { details: { consumer: repeated } },
    );
  }
  const stray = consumers.find((consumer) => contracts.every(({ name }) => name !== consumer.topic.name));
  if (stray) {
    throw new MillraceError(
      'CONSUMER_INVALID',
      `Consumer ${stray.name} reads ${stray.topic.name}, which contracts/index.ts does not list. List the topic's contract there.`,
      { details: { consumer: stray.name, topic: stray.topic.name } },
    );
  }
  const collectedNames = collected.map(({ name }) => name);
  const unlisted = collectedNames.find((topic) => contracts.every(({ name }) => name !== topic));
  const twice = firstRepeated(collectedNames);
  if (unlisted === undefined && twice === undefined) return;
  throw new MillraceError(
    'CONTRACT_INVALID',
    unlisted === undefined
      ? `lambdas/collector/collector.ts lists the topic ${twice} twice. List it once.`
      : `lambdas/collector/collector.ts lists ${unlisted}, which contracts/index.ts does not list. List the topic's contract there.`,
    { details: { topic: unlisted ?? twice } },
  );
}

/** The first name that stands in the list more than once. */
export function firstRepeated(names: readonly string[]): string | undefined {
  return names.find((name, index) => names.indexOf(name) !== index);
}

import { isArchive } from './archive/archive.ts';
import { type CapturedTable, capturedTables } from './capture/table.ts';
import { generationsIn } from './consumer-in-environment.ts';
import type { Contract } from './contract/contract.ts';
import type { AnyConsumer } from './delivery/consumer.ts';
import type { EnvironmentSettings } from './environment.ts';
import { withProbe } from './probe/operator.ts';
import { generationOf } from './replay/generation.ts';

/**
 * An app as an environment deploys it: with the probe, where the environment has one; and of the tables only those of
 * databases that it captures, because the topics of others would stay empty. What reads such a topic is left out with it.
 * Each consumer is there as the generations of it that the environment runs, the live one first.
 */
export function appIn<
  Declared extends {
    readonly contracts: readonly Contract<never>[];
    readonly consumers: readonly AnyConsumer[];
    readonly tables?: readonly CapturedTable[];
  },
>(
  app: Declared,
  { probe, capture, consumers: settings = {} }: Pick<EnvironmentSettings, 'probe' | 'capture' | 'consumers'>,
): Declared & { readonly tables: readonly CapturedTable[] } {
  const { databases = {} } = capture ?? {};
  const tables = (app.tables ?? []).filter(({ database }) => Object.hasOwn(databases, database.name));
  const topics = new Set(capturedTables(tables).map(({ topic }) => topic.name));
  const isFed = ({ topic }: AnyConsumer) => topic.format === 'avro' || topics.has(topic.name);
  const generations = (consumer: AnyConsumer) =>
    isArchive(consumer)
      ? [consumer]
      : generationsIn({ consumers: settings }, consumer.name).map((number) => generationOf(consumer, number));
  return {
    ...withProbe(
      { ...app, consumers: app.consumers.filter(isFed).flatMap(generations) },
      { probe: probe === true },
    ),
    tables,
  };
}

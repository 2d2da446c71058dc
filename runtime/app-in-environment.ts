import { type CapturedTable, capturedTables } from './capture/table.ts';
import type { Contract } from './contract/contract.ts';
import type { AnyConsumer } from './delivery/consumer.ts';
import type { EnvironmentSettings } from './environment.ts';
import { withProbe } from './probe/operator.ts';

/**
 * An app as an environment deploys it: with the probe, where the environment has one; and of the tables only those of
 * databases that it captures, because the topics of others would stay empty. What reads such a topic is left out with it.
 */
export function appIn<
  Declared extends {
    readonly contracts: readonly Contract<never>[];
    readonly consumers: readonly AnyConsumer[];
    readonly tables?: readonly CapturedTable[];
  },
>(
  app: Declared,
  { probe, capture }: Pick<EnvironmentSettings, 'probe' | 'capture'>,
): Declared & { readonly tables: readonly CapturedTable[] } {
  const { databases = {} } = capture ?? {};
  const tables = (app.tables ?? []).filter(({ database }) => Object.hasOwn(databases, database.name));
  const topics = new Set(capturedTables(tables).map(({ topic }) => topic.name));
  const isFed = ({ topic }: AnyConsumer) => topic.format === 'avro' || topics.has(topic.name);
  return {
    ...withProbe({ ...app, consumers: app.consumers.filter(isFed) }, { probe: probe === true }),
    tables,
  };
}

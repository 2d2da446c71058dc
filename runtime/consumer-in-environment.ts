import type { AnyConsumer } from './delivery/consumer.ts';
import { environmentName } from './deployment.ts';
import { type Environment, MAX_GROUP_MAPPINGS, MAX_POLLERS } from './environment.ts';
import { mappingOf, type Polling, type ProvisionedSettings } from './lambda/mapping.ts';

/** A consumer as one environment deploys it. */
export interface ConsumerInEnvironment {
  /** The declaration, with the environment's memory, concurrency and lag. */
  readonly consumer: AnyConsumer;
  /** The environment's pollers, with what is different for this consumer; `group` is never left out. */
  readonly polling: Polling;
  readonly isEnabled: boolean;
}

export function consumerIn(environment: Environment, consumer: AnyConsumer): ConsumerInEnvironment {
  const { enabled = true, polling, memoryMb, reservedConcurrency, lag } = overridesOf(environment, consumer);
  return {
    consumer: {
      ...consumer,
      ...(memoryMb !== undefined && { memoryMb }),
      ...(reservedConcurrency !== undefined && { reservedConcurrency }),
      lag: { ...consumer.lag, ...lag },
    },
    polling:
      environment.polling.mode === 'on-demand'
        ? environment.polling
        : { group: environmentName(environment.name), ...environment.polling, ...polling },
    isEnabled: enabled,
  };
}

function overridesOf({ consumers = {} }: Environment, { name }: AnyConsumer) {
  return (Object.hasOwn(consumers, name) && consumers[name]) || {};
}

/** What the consumers' pollers are set to; none where the environment polls on demand. */
export function provisionedIn(
  environment: Environment,
  consumers: readonly AnyConsumer[],
): readonly ProvisionedSettings[] {
  return consumers.flatMap((declared) => {
    const { consumer, polling } = consumerIn(environment, declared);
    return mappingOf(consumer, polling).provisioned ?? [];
  });
}

/** The first poller group that is over AWS's limits. A consumer without a group has its pollers alone. */
export function overfullGroup(
  settings: readonly ProvisionedSettings[],
): { readonly group: string; readonly consumers: number; readonly pollers: number } | undefined {
  return [...Map.groupBy(settings, ({ pollerGroup }) => pollerGroup)]
    .flatMap(([group, members]) =>
      group === null ? [] : { group, consumers: members.length, pollers: mostPollers(members) },
    )
    .find(({ consumers, pollers }) => consumers > MAX_GROUP_MAPPINGS || pollers > MAX_POLLERS);
}

/** Of all of them together, at their most. */
export function mostPollers(settings: readonly ProvisionedSettings[]): number {
  return settings.reduce((sum, { maximumPollers }) => sum + maximumPollers, 0);
}

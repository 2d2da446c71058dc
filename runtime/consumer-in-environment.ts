import type { AnyConsumer } from './delivery/consumer.ts';
import { environmentName } from './deployment.ts';
import {
  type Environment,
  type EnvironmentSettings,
  MAX_GROUP_MAPPINGS,
  MAX_POLLERS,
} from './environment.ts';
import { mappingOf, type Polling, type ProvisionedSettings } from './lambda/mapping.ts';
import { generationName, generationOf } from './replay/generation.ts';

/** A consumer as one environment deploys it. */
export interface ConsumerInEnvironment {
  /** The declaration, with the environment's memory, concurrency and lag. */
  readonly consumer: AnyConsumer;
  /** The environment's pollers, with what is different for this consumer; `group` is never left out. */
  readonly polling: Polling;
  readonly isEnabled: boolean;
  /** The name that the app declares it by, and which generation it is. */
  readonly declared: string;
  readonly generation: number;
  /** Whether readers see this generation, as the settings say. */
  readonly isLive: boolean;
}

/** Which generations of a declared consumer an environment runs, the live one first. */
export function generationsIn(
  { consumers = {} }: Pick<EnvironmentSettings, 'consumers'>,
  consumer: string,
): readonly number[] {
  return (Object.hasOwn(consumers, consumer) && consumers[consumer]?.generations) || [1];
}

/** What readers see of a declared consumer, as the environment's settings say. */
export function liveGenerationIn(
  environment: Pick<EnvironmentSettings, 'consumers'>,
  consumer: AnyConsumer,
): AnyConsumer {
  return generationOf(consumer, generationsIn(environment, consumer.name)[0]!);
}

/** @param consumer a declared one, or a generation of one */
export function consumerIn(environment: Environment, consumer: AnyConsumer): ConsumerInEnvironment {
  const { declared, generation } = generationNamed(environment, consumer.name);
  const { enabled = true, polling, memoryMb, reservedConcurrency, lag } = overridesOf(environment, declared);
  return {
    declared,
    generation,
    isLive: generation === generationsIn(environment, declared)[0],
    consumer: {
      ...consumer,
      // It is made of all that there is, wherever the first one began.
      ...(generation > 1 && { startingPosition: 'TRIM_HORIZON' as const }),
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

function overridesOf({ consumers = {} }: Environment, name: string) {
  return (Object.hasOwn(consumers, name) && consumers[name]) || {};
}

/** A later generation has settings under the name of its consumer alone, and those say that it is one. */
function generationNamed(environment: Environment, name: string) {
  for (const declared of Object.keys(environment.consumers ?? {})) {
    const generation = generationsIn(environment, declared).find(
      (number) => number > 1 && generationName(declared, number) === name,
    );
    if (generation !== undefined) return { declared, generation };
  }
  return { declared: name, generation: 1 };
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

import type { AnyConsumer } from './delivery/consumer.ts';
import { deployedName } from './deployment.ts';
import type { Environment } from './environment.ts';
import type { Polling } from './lambda/mapping.ts';

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
        : { group: deployedName(environment.name, '').slice(0, -1), ...environment.polling, ...polling },
    isEnabled: enabled,
  };
}

function overridesOf({ consumers = {} }: Environment, { name }: AnyConsumer) {
  return (Object.hasOwn(consumers, name) && consumers[name]) || {};
}

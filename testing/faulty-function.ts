/** One environment of a consumer's function, in which an invocation can go wrong as it can in AWS. */

import { createContractSchemaRegistry } from '../adapters/contract-schema-registry.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import { contractsAmong } from '../runtime/contract/contract.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import type { DeadLetterStore } from '../runtime/delivery/dead-letter.ts';
import { createEngine, type Engine } from '../runtime/delivery/engine.ts';
import type { Metrics } from '../runtime/delivery/metrics.ts';
import type { Sink } from '../runtime/delivery/sink.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { KafkaInvocation } from '../runtime/lambda/kafka-batch.ts';
import type { Logger } from '../runtime/ports.ts';
import { createTestClock } from './test-clock.ts';

/** What can go wrong inside an invocation. */
export type InvocationFault =
  | 'crash-before-commit'
  | 'crash-after-commit'
  | 'slow-sink'
  | 'sink-down'
  | 'dead-letters-down';

export interface FunctionPorts {
  readonly sink: Sink<unknown>;
  readonly deadLetters: DeadLetterStore;
  readonly metrics: Metrics;
  readonly log: Logger;
}

export interface FaultyFunction {
  /** Rejects when the invocation fails, and when the function dies: it can take no other one then. */
  invoke<Result>(
    fault: InvocationFault | null,
    timeoutMs: number,
    run: (engine: Engine, invocation: KafkaInvocation) => Promise<Result>,
  ): Promise<Result>;
}

/** The function died, and the event source delivers the batch again. */
export class FunctionDied extends Error {}

export function createFaultyFunction(consumer: AnyConsumer, ports: FunctionPorts): FaultyFunction {
  const clock = createTestClock();
  let fault: InvocationFault | null = null;
  let timeLeftMs = () => 0;
  let die: (died: FunctionDied) => void = () => {};

  /** What a dead function is left with: waiting. */
  const end = (): Promise<never> => {
    clock.stop();
    die(new FunctionDied(`the function died, by the fault ${fault}`));
    return new Promise(() => {});
  };
  const sink: Sink<unknown> = {
    async transaction(work, signal) {
      if (fault === 'sink-down') throw new MillraceError('SINK_UNAVAILABLE', 'The sink is down, by a fault.');
      const cut = new Error('cut off before the commit');
      let result: Awaited<ReturnType<typeof work>>;
      try {
        result = await ports.sink.transaction(async (transaction) => {
          const worked = await work(transaction);
          if (fault === 'crash-before-commit') throw cut;
          // The commit hangs until the engine gives it up.
          if (fault === 'slow-sink') await slow(signal);
          return worked;
        }, signal);
      } catch (error) {
        if (error === cut) return end();
        throw error;
      }
      return fault === 'crash-after-commit' ? end() : result;
    },
  };
  const slow = (signal: AbortSignal | undefined) =>
    new Promise<never>((_, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason), { once: true });
      clock.pass(timeLeftMs());
    });
  const engine = createEngine(consumer, {
    clock,
    random: systemRandom,
    registry: createContractSchemaRegistry(contractsAmong([consumer.topic])),
    sink,
    deadLetters: {
      async put(letters) {
        if (fault === 'dead-letters-down') {
          throw new MillraceError(
            'DEAD_LETTER_STORE_UNAVAILABLE',
            'The dead-letter store is down, by a fault.',
          );
        }
        await ports.deadLetters.put(letters);
      },
    },
    log: ports.log,
    metrics: ports.metrics,
  });

  let requests = 0;
  return {
    async invoke(withFault, timeoutMs, run) {
      fault = withFault;
      const endsAt = clock.now() + timeoutMs;
      timeLeftMs = () => Math.max(0, endsAt - clock.now());
      const death = Promise.withResolvers<never>();
      death.promise.catch(() => {});
      die = death.reject;
      const invocation: KafkaInvocation = {
        requestId: `test-${++requests}`,
        functionName: consumer.name,
        functionVersion: 'test',
        remainingMs: timeLeftMs,
        partialResponses: false,
      };
      return Promise.race([run(engine, invocation), death.promise]);
    },
  };
}

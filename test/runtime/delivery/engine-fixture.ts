/** An engine to be tried on its own. */
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import { type AnyConsumer, defineConsumer, type HandlerContext } from '../../../runtime/delivery/consumer.ts';
import type { DeadLetter } from '../../../runtime/delivery/dead-letter.ts';
import { createEngine, type EnginePorts } from '../../../runtime/delivery/engine.ts';
import type { BatchReport } from '../../../runtime/delivery/metrics.ts';
import { type KafkaInvocation, settleKafkaEvent } from '../../../runtime/lambda/kafka-batch.ts';
import { encodeKafkaEvent } from '../../../runtime/lambda/kafka-event.ts';
import type { ConsumerRecord, RawRecord } from '../../../runtime/record.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { MemorySink, type MemoryTx } from '../../../testing/memory-sink.ts';
import { type Event, eventRecord, eventRegistry, events } from '../events.ts';

export type Records = readonly ConsumerRecord<Event>[];
export type Context = HandlerContext<MemoryTx, Event>;

/** An engine on memory adapters and virtual time, with what it left behind in plain sight. */
export function setUp(
  handle: (records: Records, context: Context) => Promise<void>,
  ports: Partial<EnginePorts> = {},
  declaration: Partial<AnyConsumer> = {},
) {
  const fake = createFakeClock({ autoAdvance: true });
  // Time that passes without giving timers a chance, as in a loop.
  let elapsed = 0;
  const clock = { ...fake, now: () => fake.now() + elapsed };
  const sink = new MemorySink();
  const letters: DeadLetter[] = [];
  const reports: BatchReport[] = [];
  const logged: unknown[] = [];
  const log = (...line: unknown[]) => void logged.push(line);
  const consumer = defineConsumer({
    name: 'tested',
    topic: events,
    sink: 'postgres',
    // The memory sink stands in for PostgreSQL; the handlers here know.
    handle: (records, context) => handle(records, context as unknown as Context),
    ...declaration,
  });
  const engine = createEngine(consumer, {
    clock,
    random: createSeededRandom(1),
    registry: eventRegistry,
    sink,
    deadLetters: { put: async (put) => void letters.push(...put) },
    log: { debug: log, info: log, warn: log, error: log },
    metrics: { report: (report) => void reports.push(report), reportRedrive() {} },
    ...ports,
  });
  const invocation = (overrides: Partial<KafkaInvocation> & { forMs?: number } = {}): KafkaInvocation => {
    const endsAt = clock.now() + (overrides.forMs ?? 60_000);
    return {
      requestId: 'request-1',
      functionName: 'tested-function',
      functionVersion: '7',
      remainingMs: () => endsAt - clock.now(),
      partialResponses: false,
      ...overrides,
    };
  };
  return {
    clock,
    elapse: (ms: number) => {
      elapsed += ms;
    },
    engine,
    sink,
    letters,
    reports,
    logged,
    invocation,
    deliver: (records: readonly RawRecord[], overrides?: Parameters<typeof invocation>[0]) =>
      settleKafkaEvent(encodeKafkaEvent(records), engine, invocation(overrides)),
    applied: () => (sink.value('applied') as string[] | undefined) ?? [],
    ledger: (partition = 0) =>
      sink.ledger({ consumer: 'tested', epoch: 1 }, { topic: events.name, partition }),
  };
}

export async function apply(records: Records, { tx }: Context): Promise<void> {
  for (const { value } of records) await tx.append('applied', value.id);
}

export const batchOf = (count: number, partition = 0) =>
  Array.from({ length: count }, (_, offset) => eventRecord(partition, offset));

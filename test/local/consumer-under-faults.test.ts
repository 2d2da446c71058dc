/** Promises 1, 2, 3 and 4 of docs/delivery.md, behind the event source that a laptop runs. */
import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { type EventSource, startEventSource } from '../../local/event-source/event-source.ts';
import type { EventSourceMapping } from '../../local/event-source/event-source-mapping.ts';
import { createFaults } from '../../local/faults.ts';
import { defineConsumer } from '../../runtime/delivery/consumer.ts';
import { createEngine } from '../../runtime/delivery/engine.ts';
import { settleKafkaEvent } from '../../runtime/lambda/kafka-batch.ts';
import type { Logger } from '../../runtime/ports.ts';
import { createFakeClock } from '../../testing/fake-clock.ts';
import { createMemoryDeadLetters } from '../../testing/memory-dead-letters.ts';
import { createMemoryLog } from '../../testing/memory-log.ts';
import { MemorySink, type MemoryTx } from '../../testing/memory-sink.ts';
import { POLLING_MODES } from '../polling-modes.ts';
import { runs } from '../runs.ts';
import { eventRecord, eventRegistry, events } from '../runtime/events.ts';

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };
const PARTITIONS = 3;

const scenario = fc.record({
  seed: fc.nat(),
  records: fc.integer({ min: 1, max: 120 }),
  badShare: fc.constantFrom(0, 0.1),
  batchSize: fc.integer({ min: 1, max: 40 }),
  pollers: fc.integer({ min: 1, max: 3 }),
  redeliver: fc.constantFrom(0, 0.3, 0.6),
  crash: fc.constantFrom(0, 0.1, 0.5),
  sinkOutageMs: fc.constantFrom(0, 2_000, 90_000),
  deadLetterOutageMs: fc.constantFrom(0, 1_000),
});

// One that a failed run left behind would poll for ever in virtual time.
let source: EventSource;
afterEach(() => source.stop());

describe.each(POLLING_MODES)('a consumer behind the local event source, %s,', (mode) => {
  const partialResponses = mode === 'provisioned';
  test('applies every good record once and in order, whatever faults there are, and dead-letters the bad', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async (s) => {
        const clock = createFakeClock({ autoAdvance: true });
        const random = createSeededRandom(s.seed);
        const log = createMemoryLog({ clock });
        const inner = { sink: new MemorySink(), letters: createMemoryDeadLetters({ clock }) };
        const faults = createFaults({ ...s, clock, random });

        const throwing = new Set<string>();
        const consumer = defineConsumer({
          name: 'c',
          topic: events,
          sink: 'postgres',
          async handle(records, { tx }) {
            // The memory sink stands in for PostgreSQL.
            const effects = tx as unknown as MemoryTx;
            for (const { partition, offset, value } of records) {
              if (throwing.has(value.id)) throw new Error('bad record');
              await effects.append(`${partition}`, offset);
            }
          },
        });
        const engine = createEngine(consumer, {
          clock,
          random,
          registry: eventRegistry,
          sink: faults.wrapSink(inner.sink),
          deadLetters: faults.wrapDeadLetters(inner.letters),
          log: silent,
          metrics: { report() {}, reportRedrive() {} },
        });

        await log.createTopic(events.name, PARTITIONS);
        const bad = new Set<string>();
        for (let index = 0; index < s.records; index++) {
          const isGarbage = random.next() < s.badShare;
          const isThrowing = !isGarbage && random.next() < s.badShare;
          if (isThrowing) throwing.add(`0/${index}`);
          const { key, value } = eventRecord(0, index);
          const [position] = await log.send(events.name, [
            { key, value: isGarbage ? Buffer.from('garbage') : value },
          ]);
          if (isGarbage || isThrowing) bad.add(`c/${events.name}/${position!.partition}/${position!.offset}`);
        }

        const mapping: EventSourceMapping = {
          batchSize: s.batchSize,
          maximumBatchingWindowMs: 0,
          startingPosition: 'TRIM_HORIZON',
          functionTimeoutMs: consumer.timeoutMs,
          ...(partialResponses ? { mode, pollers: s.pollers, reportBatchItemFailures: true } : { mode }),
        };
        source = startEventSource({
          topic: events.name,
          group: consumer.name,
          mapping,
          handler: faults.wrapHandler((event, context) =>
            settleKafkaEvent(event, engine, {
              requestId: context.awsRequestId,
              functionName: context.functionName,
              functionVersion: context.functionVersion,
              remainingMs: () => context.getRemainingTimeInMillis(),
              partialResponses,
            }),
          ),
          reader: log,
          clock,
          random,
          log: silent,
        });
        await source.drained();
        await source.stop();
        await faults.idle();

        const copies = await Array.fromAsync(inner.letters.scan());
        expect(new Set(copies.map((copy) => ('letter' in copy ? copy.letter.id : copy)))).toEqual(bad);
        for (let partition = 0; partition < PARTITIONS; partition++) {
          const { end } = await log.bounds({ topic: events.name, partition });
          const good = Array.from({ length: end }, (_, offset) => offset).filter(
            (offset) => !bad.has(`c/${events.name}/${partition}/${offset}`),
          );
          expect(inner.sink.value(`${partition}`) ?? []).toEqual(good);
          expect(await log.committed('c', { topic: events.name, partition })).toBe(end);
        }
      }),
      { numRuns: runs(50) },
    );
  }, 180_000);
});

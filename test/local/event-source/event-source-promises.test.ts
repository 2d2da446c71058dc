/** Promises 1, 3 and 5 of docs/delivery.md, as far as they are the event source's. */
import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { EventSourceMapping } from '../../../local/event-source/event-source-mapping.ts';
import type { FailureDocument } from '../../../local/event-source/failure-document.ts';
import { parseKafkaEvent } from '../../../runtime/lambda/kafka-event.ts';
import type { Position, RawRecord } from '../../../runtime/record.ts';
import { POLLING_MODES } from '../../polling-modes.ts';
import { runs } from '../../runs.ts';
import { createWorld, GROUP, nameOf, stopSources, TOPIC } from './event-source-world.ts';

const TIMEOUT_MS = 1_000;

/** What a function may do with a batch; drawn anew for each invocation. */
type Behaviour =
  | 'take'
  | 'take slowly'
  | 'throw'
  | 'throw slowly'
  | 'hang'
  | 'report some'
  | 'report nonsense';
const BEHAVIOURS: readonly Behaviour[] = [
  'take',
  'take',
  'take',
  'take slowly',
  'throw',
  'throw slowly',
  'hang',
  'report some',
  'report nonsense',
];

const history = fc.record({
  seed: fc.nat(),
  partitions: fc.integer({ min: 1, max: 4 }),
  pollers: fc.integer({ min: 1, max: 3 }),
  batchSize: fc.integer({ min: 1, max: 8 }),
  windowMs: fc.constantFrom(0, 100),
  bisect: fc.boolean(),
  reports: fc.boolean(),
  retries: fc.constantFrom(-1, 0, 1, 3),
  destinationFails: fc.constantFrom(0, 0.3),
  expires: fc.boolean(),
  /** Records that arrive, in partition `index % partitions`, with time passing after each. */
  arrivals: fc.array(
    fc.record({
      count: fc.integer({ min: 0, max: 12 }),
      thenMs: fc.constantFrom(0, 0, 0, 30, 30, 200, 200, 1_000, 1_000, 61_000),
    }),
    { maxLength: 10 },
  ),
  /** When the source is stopped and started again. */
  restartsAfterMs: fc.array(fc.integer({ min: 0, max: 4_000 }), { maxLength: 3 }),
});

afterEach(stopSources);

describe.each(POLLING_MODES)('the promises of the event source, %s,', (mode) => {
  test('hold whatever the function does and whenever it is restarted', async () => {
    await fc.assert(
      fc.asyncProperty(history, async (h) => {
        await stopSources();
        const world = await createWorld({ partitions: h.partitions, seed: h.seed });
        const { clock, log, random } = world;
        const reports = mode === 'provisioned' && h.reports;
        const expires = mode === 'provisioned' && h.expires;
        const draw = (count: number) => Math.floor(random.next() * count);

        const taken = new Set<string>();
        const givenUp = new Set<string>();
        const isSettled = (name: string) => taken.has(name) || givenUp.has(name);
        const firstDeliveries = Array.from({ length: h.partitions }, () => [] as number[]);
        const running = new Map<number, number>();
        const broken: string[] = [];

        const take = (records: readonly RawRecord[]) => {
          for (const record of records) taken.add(nameOf(record));
        };
        const respond = async (records: readonly RawRecord[]): Promise<unknown> => {
          switch (BEHAVIOURS[draw(BEHAVIOURS.length)]!) {
            case 'throw slowly':
              await clock.sleep(draw(TIMEOUT_MS));
              throw new Error('slow and bad');
            case 'throw':
              throw new Error('bad');
            case 'hang':
              await clock.sleep(TIMEOUT_MS * (2 + draw(3)));
              return {};
            case 'report nonsense':
              if (!reports) take(records);
              return { batchItemFailures: [{ itemIdentifier: { partition: TOPIC, offset: -1 } }] };
            case 'report some': {
              const failed = new Set(records.filter(() => random.next() < 0.5));
              take(reports ? records.filter((record) => !failed.has(record)) : records);
              return {
                batchItemFailures: [...failed].map(({ topic, partition, offset }) => ({
                  itemIdentifier: { partition: `${topic}-${partition}`, offset },
                })),
              };
            }
            case 'take slowly':
              await clock.sleep(draw(TIMEOUT_MS));
              take(records);
              return null;
            case 'take':
              take(records);
              return null;
          }
        };
        const handler = async (records: readonly RawRecord[]) => {
          for (const record of records) {
            const delivered = firstDeliveries[record.partition]!;
            if (!delivered.includes(record.offset)) delivered.push(record.offset);
          }
          const partitions = new Set(records.map(({ partition }) => partition));
          for (const partition of partitions) {
            if ((running.get(partition) ?? 0) > clock.now())
              broken.push(`two batches of partition ${partition} at once`);
            running.set(partition, clock.now() + TIMEOUT_MS);
          }
          return respond(records).finally(() => {
            for (const partition of partitions) running.delete(partition);
          });
        };
        const onFailure = async ({ payload }: FailureDocument) => {
          await clock.sleep(draw(100));
          if (random.next() < h.destinationFails) throw new Error('destination down');
          for (const record of parseKafkaEvent(JSON.parse(payload), TOPIC)) givenUp.add(nameOf(record));
        };
        const commit = async (group: string, positions: readonly Position[]) => {
          for (const { partition, offset } of positions) {
            const before = (await log.committed(GROUP, { topic: TOPIC, partition })) ?? 0;
            if (offset < before) broken.push(`partition ${partition} went back from ${before} to ${offset}`);
            for (let passed = before; passed < offset; passed++) {
              if (!isSettled(`${partition}:${passed}`))
                broken.push(`committed ${offset} past ${partition}:${passed}`);
            }
          }
          await log.commit(group, positions);
        };
        const common = {
          batchSize: h.batchSize,
          maximumBatchingWindowMs: h.windowMs,
          functionTimeoutMs: TIMEOUT_MS,
          ...((h.retries !== -1 || expires) && { onFailure }),
        };
        const mapping: Partial<EventSourceMapping> =
          mode === 'on-demand'
            ? { mode, ...common }
            : {
                mode,
                ...common,
                pollers: h.pollers,
                bisectBatchOnFunctionError: h.bisect,
                reportBatchItemFailures: reports,
                maximumRetryAttempts: h.retries,
                ...(expires && { maximumRecordAgeMs: 60_000 }),
              };
        const start = () => world.start(mapping, handler, { reader: { ...log, commit } });

        const sent = (async () => {
          for (const [index, { count, thenMs }] of h.arrivals.entries()) {
            await world.send(index % h.partitions, count);
            await clock.sleep(thenMs);
          }
        })();
        let source = start();
        for (const afterMs of h.restartsAfterMs) {
          await clock.sleep(afterMs);
          await source.stop();
          running.clear();
          source = start();
        }
        await sent;
        await source.drained();
        await source.stop();

        expect(broken).toEqual([]);
        for (let partition = 0; partition < h.partitions; partition++) {
          const { end } = await log.bounds({ topic: TOPIC, partition });
          const offsets = Array.from({ length: end }, (_, offset) => offset);
          const delivered = firstDeliveries[partition]!;
          expect(offsets.filter((offset) => !isSettled(`${partition}:${offset}`))).toEqual([]);
          expect(delivered).toEqual(delivered.toSorted((a, b) => a - b));
          const neverDelivered = offsets.filter((offset) => !delivered.includes(offset));
          expect(neverDelivered.filter((offset) => !givenUp.has(`${partition}:${offset}`))).toEqual([]);
          expect(await world.committed(partition)).toBe(end);
        }
      }),
      { numRuns: runs(100) },
    );
  }, 180_000);
});

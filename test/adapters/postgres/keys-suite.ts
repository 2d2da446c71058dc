/** Whatever happens to keys, PostgreSQL remembers of them what the sink in memory does. */
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { PostgresSink } from '../../../adapters/postgres/postgres-sink.ts';
import type { SqlDriver } from '../../../adapters/postgres/sql-driver.ts';
import { type KeyChange, type LedgerKey, NO_CHANGE, type Sink } from '../../../runtime/delivery/sink.ts';
import type { RawRecord } from '../../../runtime/record.ts';
import { MemorySink } from '../../../testing/memory-sink.ts';
import { runs } from '../../runs.ts';

const PARTITIONS = [0, 1];
const OFFSETS = 24;

/** Which key a record has is told by its offset, as in a topic; some differ only where they are no UTF-8. */
function record(partition: number, offset: number): RawRecord & { readonly key: Buffer } {
  return {
    topic: 't',
    partition,
    offset,
    key: Buffer.from([0xff, (offset * 7) % 5]),
    value: Buffer.alloc(offset % 4, 1),
    headers: [],
    timestamp: offset,
    timestampType: 'CREATE_TIME',
  };
}

const records = (maxLength: number) =>
  fc
    .uniqueArray(fc.record({ partition: fc.constantFrom(...PARTITIONS), offset: fc.nat(OFFSETS - 1) }), {
      maxLength,
      selector: ({ partition, offset }) => `${partition}/${offset}`,
    })
    .map((of) => of.map(({ partition, offset }) => record(partition, offset)));

const step = fc.record({
  opened: records(5),
  waits: fc.boolean(),
  overtakenBy: fc.option(fc.nat(99)),
  closed: records(4),
  released: records(2),
  applied: records(3),
  parked: records(6),
  unparked: records(4),
  isDraining: fc.boolean(),
  asked: records(10),
  most: fc.record({ records: fc.integer({ min: 1, max: 8 }), bytes: fc.integer({ min: 1, max: 30 }) }),
  rollsBack: fc.boolean(),
});

export function keysSuite(driver: () => SqlDriver): void {
  let histories = 0;

  test('of keys, it remembers what the sink in memory remembers, whatever happens', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 8 }), async (steps) => {
        const key: LedgerKey = { consumer: `history ${histories++}`, epoch: 1 };
        const sinks: readonly Sink<unknown>[] = [new MemorySink(), new PostgresSink(driver())];
        const parked = new Set<string>();
        for (const { asked, most, rollsBack, ...of } of steps) {
          // The engine parks a record once, and letters overtake each other by their key's newest.
          const fresh = of.parked.filter((raw) => !parked.has(placeOf(raw)));
          const newest = new Map(
            of.applied
              .toSorted((a, b) => a.offset - b.offset)
              .map((raw) => [`${raw.partition}/${raw.key.toString('hex')}`, raw]),
          );
          const change: KeyChange = {
            ...NO_CHANGE,
            opened: of.opened.map((raw) => ({
              ...raw,
              isWaitedFor: of.waits,
              overtakenBy: of.overtakenBy,
            })),
            closed: of.closed,
            released: of.released,
            applied: [...newest.values()],
            parked: fresh,
            unparked: of.unparked,
            draining: [{ topic: 't', partition: 0, isDraining: of.isDraining }],
          };
          const [inMemory, inPostgres] = await Promise.all(
            sinks.map((sink) => remembered(sink, key, change, asked, most, rollsBack)),
          );
          expect(inPostgres).toEqual(inMemory);
          if (rollsBack) continue;
          for (const raw of fresh) parked.add(placeOf(raw));
          for (const raw of of.unparked) parked.delete(placeOf(raw));
        }
      }),
      { numRuns: runs(40) },
    );
  }, 120_000);
}

/** What a sink says in the transaction of a change, and after it. */
async function remembered(
  sink: Sink<unknown>,
  key: LedgerKey,
  change: KeyChange,
  asked: readonly (RawRecord & { readonly key: Buffer })[],
  most: { readonly records: number; readonly bytes: number },
  rollsBack: boolean,
) {
  const said: unknown[] = [];
  const look = (changing: boolean) =>
    sink.transaction(async ({ lockLedgers, keys }) => {
      const requests = PARTITIONS.map((partition) => ({ topic: 't', partition, from: 0, to: 1 }));
      const views = await lockLedgers(key, requests);
      if (changing) await keys!.write(key, change);
      const { states, parkedInAll } = await keys!.read(key, asked);
      const next = await keys!.nextParked(key, requests, most);
      said.push(
        views.map((view) => view.keys ?? null),
        states,
        parkedInAll,
        next.map(placeOf),
      );
      if (changing && rollsBack) throw new Error('rolled back');
    });
  await look(true).catch((error: Error) => expect(error.message).toBe('rolled back'));
  await look(false);
  return said;
}

function placeOf({ partition, offset }: RawRecord): string {
  return `${partition}/${offset}`;
}

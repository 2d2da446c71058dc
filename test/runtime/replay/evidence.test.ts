import { beforeEach, describe, expect, test } from '@jest/globals';
import { audited } from '../../../runtime/dead-letters/audit-log.ts';
import type { ScannedLetter } from '../../../runtime/dead-letters/reader.ts';
import type { RawRecord } from '../../../runtime/record.ts';
import { auditPartition, type PartitionAudit } from '../../../runtime/replay/audit.ts';
import { type EvidenceSources, gatherEvidence, offsetsOfLetters } from '../../../runtime/replay/evidence.ts';
import type { WholeLedger } from '../../../runtime/replay/ledgers.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryObjects } from '../../../testing/memory-objects.ts';
import { createMemoryQueues } from '../../../testing/memory-queue.ts';
import { eventRecord, events } from '../events.ts';

const clock = createFakeClock();
const LEDGER: WholeLedger = {
  partition: 0,
  first: 20,
  next: 100,
  maxTimestamp: 1,
  deadLettered: [],
  skipped: [],
  discarded: [],
  overtaken: [],
  parked: [],
  updatedAt: null,
};

/** A consumer of one partition, of which `[20, 100)` is settled and committed. */
let world: {
  consumer: EvidenceSources['consumer'];
  ledger: WholeLedger | undefined;
  committed: number | undefined;
  records: RawRecord[];
  start: number;
  end: number;
  passed: number | undefined;
  letters: () => readonly RawRecord[];
  sources: EvidenceSources;
  redriving: number;
};

beforeEach(() => {
  const objects = createMemoryObjects({ clock });
  const redrive = createMemoryQueues({ clock }).queue('redrive');
  const of: typeof world = {
    consumer: { name: 'orders', epoch: 1, topic: events as never, startingPosition: 'TRIM_HORIZON' },
    ledger: LEDGER,
    committed: 100,
    records: [],
    start: 20,
    end: 100,
    passed: undefined,
    letters: () => [],
    redriving: 0,
    get sources(): EvidenceSources {
      return {
        consumer: of.consumer,
        group: 'orders',
        log: {
          partitions: async () => 1,
          bounds: async () => ({ start: of.start, end: of.end }),
          committed: async () => of.committed,
          offsetAt: async () => 50,
          read: async (_, from, most) => of.records.filter(({ offset }) => offset >= from).slice(0, most),
          ...(of.passed !== undefined && { passed: async () => of.passed! }),
        },
        ledgers: { read: async () => (of.ledger ? [of.ledger] : []) },
        letters: {
          objects,
          redrive: { ...redrive, depth: async () => of.redriving },
          reader: {
            async *scan() {
              for (const record of of.letters()) {
                yield {
                  ref: '',
                  storedAt: 0,
                  payload: null,
                  message: null,
                  letter: { epoch: 1, record },
                } as unknown as ScannedLetter;
              }
            },
            async remove() {},
          },
        },
      };
    },
  };
  world = of;
});

const audit = async (): Promise<PartitionAudit> =>
  auditPartition((await gatherEvidence(world.sources)).partitions[0]!);

describe('from where on a consumer is accountable', () => {
  test('from the first offset, if it starts there: what retention took is deleted', async () => {
    expect(await audit()).toMatchObject({ deleted: 20, applied: 80, unaccounted: 0 });
  });

  test('a record from before the ledger that the log has is unaccounted', async () => {
    world.start = 15;
    world.records = [17, 18, 19, 20].map((offset) => eventRecord(0, offset));
    // The offsets up to 16 hold no record.
    expect(await audit()).toMatchObject({ deleted: 15, applied: 82, unaccounted: 3 });
  });

  test.each([
    ['it starts at the latest', { startingPosition: 'LATEST' as const }],
    ['its epoch was raised', { epoch: 2 }],
    ['it starts at a time', { startingPosition: { atTimestampMs: 5 } }],
  ])('from its ledger on, if %s', async (_, of) => {
    world.start = 0;
    world.records = [eventRecord(0, 0)];
    world.consumer = { ...world.consumer, ...of };
    expect(await audit()).toMatchObject({ deleted: 0, applied: 80, unaccounted: 0 });
  });

  test('from the time that it starts at, if nothing is settled', async () => {
    world.ledger = undefined;
    world.start = 0;
    world.consumer = { ...world.consumer, startingPosition: { atTimestampMs: 5 } };
    world.records = [eventRecord(0, 50)];
    expect((await audit()).ranges.unaccounted).toEqual([{ from: 50, to: 100 }]);
  });
});

describe('behind the ledger’s end', () => {
  beforeEach(() => {
    world.ledger = { ...LEDGER, first: 0, next: 97 };
    world.start = 0;
  });

  test('offsets that the log passes without a record are no loss', async () => {
    world.passed = 100;
    expect(await audit()).toMatchObject({ applied: 100, unaccounted: 0 });
  });

  test('a record there is one', async () => {
    world.records = [eventRecord(0, 98)];
    expect((await audit()).ranges.unaccounted).toEqual([{ from: 98, to: 100 }]);
  });
});

describe('a dead-lettered offset', () => {
  beforeEach(() => {
    world.ledger = { ...LEDGER, first: 0, deadLettered: [{ from: 7, to: 8 }] };
    world.start = 0;
  });

  test('has its letter, which is of the same topic and epoch', async () => {
    world.letters = () => [eventRecord(0, 7, { topic: 'another' })];
    expect(await audit()).toMatchObject({ deadLettered: 0, unaccounted: 1 });
    world.letters = () => [eventRecord(0, 7)];
    expect(await audit()).toMatchObject({ deadLettered: 1, unaccounted: 0 });
  });

  test('whose letter is applied between two looks is found applied', async () => {
    let looks = 0;
    world.letters = () => {
      // A redrive takes the letter, and its offset is settled.
      if (looks++ === 0) world.ledger = { ...LEDGER, first: 0 };
      return [];
    };
    expect(await audit()).toMatchObject({ applied: 100, deadLettered: 0, unaccounted: 0 });
    expect(looks).toBe(2);
  });

  const noted = (action: 'discard' | 'import', offsets: object, id: string = action) => {
    const { objects } = world.sources.letters;
    const entry = { id, action, consumer: 'orders', who: 'me', plan: {} };
    return audited({ objects, clock }, entry, async (note) => {
      await note({ offsets });
      return {};
    });
  };
  const SEVEN = [{ topic: events.name, epoch: 1, partition: 0, ranges: [[7, 8]] }];

  test('whose letter was imported again is discarded no longer, until it is once more', async () => {
    await noted('discard', SEVEN);
    expect(await audit()).toMatchObject({ discarded: 1, unaccounted: 0 });
    await clock.advance(1_000);
    await noted('import', SEVEN);
    expect(await audit()).toMatchObject({ discarded: 0, unaccounted: 1 });
    await clock.advance(1_000);
    await noted('discard', SEVEN, 'again');
    expect(await audit()).toMatchObject({ discarded: 1, unaccounted: 0 });
  });

  test('is not discarded by a discard that ended before it took any away', async () => {
    const { objects } = world.sources.letters;
    const entry = {
      id: 'd',
      action: 'discard',
      consumer: 'orders',
      who: 'me',
      plan: { offsets: SEVEN },
    } as const;
    await audited({ objects, clock }, entry, () => Promise.reject(new Error('killed'))).catch(() => {});
    expect(await audit()).toMatchObject({ discarded: 0, unaccounted: 1 });
  });

  test('whose letter was discarded is so from the step on that takes it', async () => {
    const { objects } = world.sources.letters;
    const offsets = offsetsOfLetters([{ epoch: 1, record: eventRecord(0, 7) }]);
    expect(offsets).toEqual([{ topic: events.name, epoch: 1, partition: 0, ranges: [[7, 8]] }]);
    const entry = { id: 'd', action: 'discard', consumer: 'orders', who: 'me', plan: {} } as const;
    await audited({ objects, clock }, entry, async (note) => {
      expect(await audit()).toMatchObject({ discarded: 0, unaccounted: 1 });
      await note({ offsets });
      expect(await audit()).toMatchObject({ discarded: 1, unaccounted: 0 });
      return {};
    });
    world.consumer = { ...world.consumer, epoch: 2 };
    expect(await audit()).toMatchObject({ discarded: 0, unaccounted: 1 });
  });
});

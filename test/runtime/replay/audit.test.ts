import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { type OffsetRange, union } from '../../../runtime/delivery/offset-ranges.ts';
import {
  account,
  auditPartition,
  CATEGORIES,
  outcomesOf,
  type PartitionFacts,
  toldOutcome,
} from '../../../runtime/replay/audit.ts';
import type { WholeLedger } from '../../../runtime/replay/ledgers.ts';

const range = (from: number, to: number): OffsetRange => ({ from, to });

const ledger = (of: Partial<WholeLedger> = {}): WholeLedger => ({
  partition: 0,
  first: 0,
  next: 100,
  maxTimestamp: 5,
  deadLettered: [],
  skipped: [],
  discarded: [],
  overtaken: [],
  parked: [],
  updatedAt: null,
  ...of,
});

/** A consumer that has applied [0, 100) and has nothing left to do. */
const facts = (of: Partial<PartitionFacts> = {}): PartitionFacts => ({
  partition: 0,
  ledger: ledger(),
  start: 0,
  end: 100,
  committed: 100,
  begins: 0,
  letters: [],
  discards: [],
  ...of,
});

const found = (of: PartitionFacts, window?: OffsetRange) => {
  const ranges = account(of, window);
  return Object.fromEntries(
    CATEGORIES.filter((name) => ranges[name].length > 0).map((name) => [name, ranges[name]]),
  );
};

describe('every offset has one account', () => {
  test.each<[string, PartitionFacts, Record<string, OffsetRange[]>]>([
    ['all applied', facts(), { applied: [range(0, 100)] }],
    [
      'holes of each kind',
      facts({
        ledger: ledger({
          deadLettered: [range(3, 5)],
          skipped: [range(10, 20)],
          discarded: [range(30, 31)],
          parked: [range(40, 42)],
        }),
        letters: [range(3, 5)],
      }),
      {
        applied: [range(0, 3), range(5, 10), range(20, 30), range(31, 40), range(42, 100)],
        deadLettered: [range(3, 5)],
        parked: [range(40, 42)],
        discarded: [range(30, 31)],
        skipped: [range(10, 20)],
      },
    ],
    [
      'a letter that a person discarded',
      facts({
        ledger: ledger({ deadLettered: [range(3, 5)] }),
        letters: [range(3, 4)],
        discards: [range(3, 5)],
      }),
      {
        applied: [range(0, 3), range(5, 100)],
        deadLettered: [range(3, 4)],
        discarded: [range(4, 5)],
      },
    ],
    [
      'a letter that its key was told to discard, and of which a copy was brought back',
      facts({
        ledger: ledger({ deadLettered: [range(3, 5)], discarded: [range(3, 5)] }),
        letters: [range(3, 4)],
      }),
      {
        applied: [range(0, 3), range(5, 100)],
        deadLettered: [range(3, 4)],
        discarded: [range(4, 5)],
      },
    ],
    [
      'a letter that is neither there nor discarded',
      facts({ ledger: ledger({ deadLettered: [range(3, 5)] }), letters: [range(4, 5)] }),
      { applied: [range(0, 3), range(5, 100)], deadLettered: [range(4, 5)], unaccounted: [range(3, 4)] },
    ],
    [
      'a redriven letter of which a copy is left',
      facts({ letters: [range(7, 8)] }),
      { applied: [range(0, 100)] },
    ],
    [
      'what the group has committed and the ledger lacks: a sink from before',
      facts({ ledger: ledger({ next: 60 }) }),
      { applied: [range(0, 60)], unaccounted: [range(60, 100)] },
    ],
    [
      'the same where retention has taken some of it since',
      facts({ ledger: ledger({ next: 60 }), start: 80 }),
      { applied: [range(0, 60)], unaccounted: [range(60, 100)] },
    ],
    ['no ledger at all', facts({ ledger: undefined }), { unaccounted: [range(0, 100)] }],
    [
      'no ledger, and an empty log',
      facts({ ledger: undefined, start: 100 }),
      { unaccounted: [range(0, 100)] },
    ],
    [
      'records from before the ledger that the log still has',
      facts({ ledger: ledger({ first: 40 }), start: 10 }),
      { applied: [range(40, 100)], deleted: [range(0, 10)], unaccounted: [range(10, 40)] },
    ],
    [
      'a consumer that was to begin later',
      facts({ ledger: ledger({ first: 40 }), begins: 40 }),
      { applied: [range(40, 100)] },
    ],
    [
      'a batch given up, which the ledger has not heard of',
      facts({ ledger: ledger({ next: 90 }), letters: [range(90, 100)] }),
      { applied: [range(0, 90)], deadLettered: [range(90, 100)] },
    ],
    [
      'retention overtook the group',
      facts({ ledger: ledger({ next: 50 }), committed: 50, start: 70 }),
      { applied: [range(0, 50)], deleted: [range(50, 70)] },
    ],
    ['a ledger ahead of its group', facts({ committed: 20 }), { applied: [range(0, 100)] }],
    [
      'a ledger that has what the log never had',
      facts({ ledger: ledger({ next: 120 }) }),
      { applied: [range(0, 100)], unaccounted: [range(100, 120)] },
    ],
    [
      'marks of transactions behind the last record',
      facts({ ledger: ledger({ next: 98 }), empty: [range(98, 100)] }),
      { applied: [range(0, 100)] },
    ],
    ['nothing reached yet', facts({ ledger: undefined, committed: null, start: 0, end: 10 }), {}],
  ])('%s', (_, of, expected) => {
    expect(found(of)).toEqual(expected);
  });

  test('a window cuts the account, and counts are of offsets', () => {
    const of = facts({ ledger: ledger({ skipped: [range(10, 20)] }) });
    expect(auditPartition(of, range(15, 40))).toMatchObject({
      applied: 20,
      skipped: 5,
      unaccounted: 0,
      partition: 0,
    });
  });
});

test('an outcome is told of any offset', () => {
  const outcome = outcomesOf(
    facts({
      ledger: ledger({
        next: 90,
        deadLettered: [range(3, 5)],
        skipped: [range(10, 20)],
        parked: [range(40, 41)],
      }),
      letters: [range(3, 4)],
      discards: [range(12, 13)],
      end: 200,
    }),
  );
  expect([0, 3, 4, 10, 12, 40, 95, 100].map(outcome)).toEqual([
    'applied',
    'dead-lettered',
    // Its letter is lost, and it is in no table.
    'dead-lettered',
    'skipped',
    'discarded',
    'parked',
    // Committed, and not in the ledger: it comes by itself no more.
    'skipped',
    'pending',
  ]);
});

test.each([
  ['its ledger', {}],
  ['what is committed, without a ledger', { ledger: undefined, committed: 30 }],
])('what is older than the beginning of %s was not skipped', (_, of) => {
  const outcome = outcomesOf(facts({ ledger: ledger({ first: 30 }), begins: 30, end: 200, ...of }));
  expect([0, 29].map(outcome)).toEqual(['before', 'before']);
  // Scripts have six words, and this consumer's ledger does not have it.
  expect(toldOutcome(outcome(0))).toBe('skipped');
});

const size = 40;
const ranges = fc
  .array(fc.tuple(fc.nat(size), fc.nat(6)), { maxLength: 4 })
  .map((each) => each.map(([from, length]) => range(from, from + length)));
/** Whatever four places may say. */
const anyFacts = fc
  .record({
    ends: fc
      .tuple(fc.nat(size), fc.nat(size))
      .map(([a, b]) => ({ first: Math.min(a, b), next: Math.max(a, b) })),
    hasLedger: fc.boolean(),
    deadLettered: ranges,
    skipped: ranges,
    parked: ranges,
    letters: ranges,
    discards: ranges,
    start: fc.nat(size),
    end: fc.nat(size),
    committed: fc.option(fc.nat(size)),
    begins: fc.nat(10),
  })
  .map(
    ({
      ends,
      hasLedger,
      deadLettered,
      skipped,
      parked,
      letters,
      discards,
      start,
      end,
      ...rest
    }): PartitionFacts => ({
      partition: 0,
      // No sink has an offset in two kinds of holes.
      ledger: hasLedger
        ? ledger({
            ...ends,
            deadLettered: union(deadLettered),
            skipped: without(skipped, deadLettered),
            parked: without(parked, deadLettered, skipped),
          })
        : undefined,
      letters: union(letters),
      discards: union(discards),
      start: Math.min(start, end),
      end: Math.max(start, end),
      ...rest,
    }),
  );

function without(set: readonly OffsetRange[], ...others: readonly (readonly OffsetRange[])[]): OffsetRange[] {
  const isIn = (of: readonly OffsetRange[], offset: number) =>
    of.some(({ from, to }) => offset >= from && offset < to);
  const kept = Array.from({ length: size + 10 }, (_, offset) => offset).filter(
    (offset) => isIn(set, offset) && !others.some((other) => isIn(other, offset)),
  );
  return union(kept.map((offset) => range(offset, offset + 1)));
}

test('no offset has two accounts, and none that the group has passed has none', () => {
  fc.assert(
    fc.property(anyFacts, (of) => {
      const ranges_ = account(of);
      const accounts = Array.from({ length: size + 10 }, (_, offset) =>
        CATEGORIES.filter((name) => ranges_[name].some(({ from, to }) => offset >= from && offset < to)),
      );
      for (const [offset, names] of accounts.entries()) {
        expect(names.length).toBeLessThanOrEqual(1);
        if (offset >= of.begins && offset < (of.committed ?? 0)) expect(names).toHaveLength(1);
      }
      // What the sink did not settle is never said to be applied.
      for (const { from, to } of ranges_.applied) {
        expect(of.ledger!.first).toBeLessThanOrEqual(from);
        expect(of.ledger!.next).toBeGreaterThanOrEqual(to);
      }
    }),
  );
});

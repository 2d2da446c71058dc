import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { LoadedApp } from '../../../cli/app.ts';
import { placeOf } from '../../../cli/console/context.ts';
import { barOf, createConsumerDetail } from '../../../cli/console/ledger.ts';
import { lookOf } from '../../../cli/console/status.ts';
import { type OffsetRange, rangesOf } from '../../../runtime/delivery/offset-ranges.ts';
import type { PartitionFacts } from '../../../runtime/replay/audit.ts';
import newsdesk from '../../fixtures/newsdesk/millrace.config.ts';
import { NEWSDESK } from '../../newsdesk.ts';
import { runs } from '../../runs.ts';
import { statusOf } from '../status-of.ts';

const KINDS = ['applied', 'dead', 'parked', 'skipped', 'discarded'] as const;

function factsOf(given: {
  readonly first?: number;
  readonly next?: number;
  readonly start?: number;
  readonly end?: number;
  readonly committed?: number;
  readonly dead?: readonly OffsetRange[];
  readonly parked?: readonly OffsetRange[];
  readonly skipped?: readonly OffsetRange[];
  readonly discarded?: readonly OffsetRange[];
  readonly letters?: readonly OffsetRange[];
  readonly discards?: readonly OffsetRange[];
}): PartitionFacts {
  const { first = 0, next = 100, start = 0, end = 120, committed = next } = given;
  const { dead = [], parked = [], skipped = [], discarded = [], letters = dead, discards = [] } = given;
  return {
    partition: 3,
    ledger: {
      partition: 3,
      first,
      next,
      maxTimestamp: 0,
      deadLettered: dead,
      parked,
      skipped,
      discarded,
      overtaken: [],
      updatedAt: null,
    },
    start,
    end,
    committed,
    begins: first,
    letters,
    discards,
  };
}
const at = (from: number, to = from + 1): OffsetRange => ({ from, to });

describe('a partition’s ledger as a bar', () => {
  test('has every offset of the ledger in one count, and what is not settled in the segments', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...KINDS), { minLength: 1, maxLength: 200 }), (kinds) => {
        const of = (kind: string) =>
          rangesOf(kinds.flatMap((each, offset) => (each === kind ? [offset] : [])));
        const [dead, parked, skipped, discarded] = ['dead', 'parked', 'skipped', 'discarded'].map(of);
        const facts = factsOf({
          next: kinds.length,
          end: kinds.length + 5,
          dead: dead!,
          parked: parked!,
          skipped: skipped!,
          discarded: discarded!,
        });
        const { counts, segments } = barOf(facts);
        const countOf = (...names: readonly string[]) => kinds.filter((kind) => names.includes(kind)).length;
        expect(counts).toEqual({
          settled: countOf('applied', 'discarded'),
          deadLetters: countOf('dead'),
          parked: countOf('parked'),
          skipped: countOf('skipped'),
          pending: 5,
        });
        const drawn = kinds.map((_, offset) => {
          const found = segments.filter(({ from, to }) => from <= offset && offset < to);
          expect(found.length).toBeLessThanOrEqual(1);
          return {
            'dead-letter': 'dead',
            parked: 'parked',
            skipped: 'skipped',
            discarded: 'discarded',
            none: 'applied',
          }[found[0]?.kind ?? 'none'];
        });
        expect(drawn).toEqual(kinds);
        expect(segments).toEqual(segments.toSorted((a, b) => a.from - b.from));
      }),
      { numRuns: runs(200) },
    );
  });

  test('merges to 500 segments, which hold every one of thousands and call no letter settled', () => {
    const dead = Array.from({ length: 5_000 }, (_, n) => at(n * 4));
    const parked = Array.from({ length: 5_000 }, (_, n) => at(n * 4 + 2));
    const { counts, segments } = barOf(factsOf({ next: 20_000, end: 20_000, dead, parked }));
    expect(counts).toMatchObject({ deadLetters: 5_000, parked: 5_000, settled: 10_000 });
    expect(segments.length).toBeLessThanOrEqual(500);
    for (const { from } of dead)
      expect(segments.find((each) => each.from <= from && from < each.to)?.kind).toBe('dead-letter');
    for (const { from } of parked)
      expect(segments.some((each) => each.from <= from && from < each.to)).toBe(true);
  });

  test('shows a letter that nobody finds as a letter, and what was passed without being settled as skipped', () => {
    const facts = factsOf({ next: 50, committed: 60, dead: [at(7)], letters: [] });
    expect(barOf(facts)).toMatchObject({
      first: 0,
      next: 50,
      counts: { deadLetters: 1, skipped: 10, pending: 60 },
      segments: [
        { kind: 'dead-letter', from: 7, to: 8 },
        { kind: 'skipped', from: 50, to: 60 },
      ],
    });
  });

  test('shows a letter that somebody discarded as discarded', () => {
    expect(barOf(factsOf({ dead: [at(7)], letters: [], discards: [at(7)] }))).toMatchObject({
      counts: { deadLetters: 0, settled: 100 },
      segments: [{ kind: 'discarded', from: 7, to: 8 }],
    });
  });

  test('has retention’s edge, and what it deleted unread as skipped', () => {
    expect(barOf(factsOf({ next: 50, committed: 50, start: 60, end: 90 }))).toMatchObject({
      start: 60,
      end: 90,
      counts: { skipped: 10, pending: 30 },
      segments: [{ kind: 'skipped', from: 50, to: 60 }],
    });
  });

  test('of a partition without a ledger is empty and all pending', () => {
    const { ledger: _, ...rest } = factsOf({ end: 30 });
    expect(barOf({ ...rest, ledger: undefined, committed: null })).toEqual({
      partition: 3,
      start: 0,
      end: 30,
      first: 0,
      next: 0,
      counts: { settled: 0, deadLetters: 0, parked: 0, skipped: 0, pending: 30 },
      segments: [],
    });
  });
});

describe('a consumer that cannot be looked at', () => {
  const app: LoadedApp = {
    ...newsdesk,
    root: NEWSDESK,
    module: new URL(`file://${NEWSDESK}/millrace.config.ts`),
  };
  const options = { state: '/nowhere/at/all' };
  const consumer = 'editorial-analytics';
  const problem = 'Nothing has run in /nowhere/at/all yet.';
  const detailOf = (known: boolean) => {
    const look = lookOf(statusOf({ consumer, verdict: 'IDLE', lag: 0, deadLetters: 33 }), options, null);
    const context = { app, options, place: placeOf(app, options) };
    const series = { at: [], lag: [], ageMs: [], inPerSecond: [], outPerSecond: [] };
    return createConsumerDetail(
      context,
      {
        look: async () => ({ at: 1_700, place: context.place, consumers: [], series: {}, problem }),
        history: () => ({ series, marks: [] }),
        newest: () => (known ? look : undefined),
        close: async () => {},
      },
      { since: async () => [] } as never,
    )(consumer);
  };

  test('any more is as it was, with when that was and why it is not known now', async () => {
    expect(await detailOf(true)).toMatchObject({
      at: 1_700,
      problem,
      look: { verdict: 'IDLE', deadLetters: 33 },
    });
  });

  test('and was never looked at is unknown, and its look says why', async () => {
    expect(await detailOf(false)).toMatchObject({
      problem: null,
      look: { verdict: 'UNKNOWN', deadLetters: null, evidence: [problem] },
    });
  });
});

import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { LedgerBar } from '../../console/operations.ts';
import { isOpen, piecesOf, rangeOf } from '../../console/ui/ledger-pieces.ts';

const NOTHING = { settled: 0, deadLetters: 0, parked: 0, skipped: 0, pending: 0 };

function bar(of: Partial<LedgerBar>): LedgerBar {
  return { partition: 0, start: 0, end: 1_000, first: 0, next: 1_000, counts: NOTHING, segments: [], ...of };
}

/** Any ledger: its segments are in order, and do not overlap. */
const bars = fc
  .tuple(
    fc.array(
      fc.record({
        gap: fc.integer({ min: 0, max: 1_000_000 }),
        length: fc.integer({ min: 1, max: 1_000 }),
        kind: fc.constantFrom('dead-letter', 'parked', 'skipped', 'discarded'),
      }),
      { maxLength: 500 },
    ),
    fc.nat(1_000_000),
    fc.nat(1_000_000),
    fc.nat(1_000_000),
  )
  .map(([parts, first, unread, deleted]): LedgerBar => {
    let at = first;
    const segments = parts.map(({ gap, length, kind }) => {
      const from = at + gap;
      at = from + length;
      return { kind: kind as LedgerBar['segments'][number]['kind'], from, to: at };
    });
    return bar({ first, next: at + 1, end: at + 1 + unread, start: deleted, segments });
  });

describe('the pieces of a ledger bar', () => {
  test('stand to scale: settled up to the next offset, then what is unread', () => {
    const pieces = piecesOf(bar({ first: 0, next: 750, end: 1_000 }), 200);
    expect(pieces.map(({ kind, x, width }) => [kind, x, width])).toEqual([
      ['settled', 0, 150],
      ['unread', 150, 50],
    ]);
  });

  test('what retention has deleted reaches to its edge', () => {
    const deleted = piecesOf(bar({ start: 250 }), 200).find(({ kind }) => kind === 'deleted');
    expect(deleted).toMatchObject({ from: 0, to: 250, x: 0, width: 50 });
  });

  test('a single letter among a billion offsets can be seen', () => {
    const letter = { kind: 'dead-letter', from: 999_999_999, to: 1_000_000_000 } as const;
    const pieces = piecesOf(bar({ next: 1_000_000_000, end: 1_000_000_000, segments: [letter] }), 400);
    const drawn = pieces.find(({ kind }) => kind === 'dead-letter')!;
    expect(drawn.width).toBeGreaterThanOrEqual(3);
    expect(drawn.x + drawn.width).toBeLessThanOrEqual(400);
  });

  test('a dead letter is on top of what shares its pixels', () => {
    const kinds = ['dead-letter', 'parked', 'discarded', 'skipped'] as const;
    const segments = kinds.map((kind, at) => ({ kind, from: at, to: at + 1 }));
    const pieces = piecesOf(bar({ next: 1_000_000, end: 1_000_000, segments }), 100);
    expect(pieces.map(({ kind }) => kind)).toEqual([
      'settled',
      'discarded',
      'skipped',
      'parked',
      'dead-letter',
    ]);
  });

  test('are as many as fit, hold each segment, and stay within the bar', () => {
    fc.assert(
      fc.property(bars, fc.integer({ min: 50, max: 2_000 }), (of, width) => {
        const pieces = piecesOf(of, width);
        const { from, to } = rangeOf(of);
        for (const piece of pieces) {
          expect(piece.x).toBeGreaterThanOrEqual(0);
          expect(piece.x + piece.width).toBeLessThanOrEqual(width + 0.001);
          expect(piece.from).toBeGreaterThanOrEqual(from);
          expect(piece.to).toBeLessThanOrEqual(to);
        }
        for (const segment of of.segments)
          expect(
            pieces.some(
              (piece) => piece.kind === segment.kind && piece.from <= segment.from && piece.to >= segment.to,
            ),
          ).toBe(true);
        for (const kind of new Set(pieces.map((piece) => piece.kind))) {
          const alike = pieces.filter((piece) => piece.kind === kind);
          for (const [at, { x, width: wide }] of alike.slice(0, -1).entries())
            expect(alike[at + 1]!.x).toBeGreaterThan(x + wide);
        }
        expect(pieces.length).toBeLessThanOrEqual(3 + (4 * width) / 3 + 4);
      }),
    );
  });
});

test('a ledger is open with letters, parked or skipped offsets, not with what is still to be read', () => {
  expect(isOpen(bar({ counts: { ...NOTHING, pending: 5 } }))).toBe(false);
  for (const kind of ['deadLetters', 'parked', 'skipped'] as const)
    expect(isOpen(bar({ counts: { ...NOTHING, [kind]: 1 } }))).toBe(true);
});

/** Where on a bar of some pixels a partition's ledger is what. */
import type { LedgerBar } from '../operations.ts';

export type PieceKind = LedgerBar['segments'][number]['kind'] | 'settled' | 'unread' | 'deleted';

export interface Piece {
  readonly kind: PieceKind;
  /** Offsets: the end is exclusive. */
  readonly from: number;
  readonly to: number;
  readonly x: number;
  readonly width: number;
  /** How many segments are in it. */
  readonly parts: number;
}

/** What is not settled stays visible in however long a log. */
const LEAST_PX = 3;

/** Where several share a pixel, the one that a person has to act on is on top. */
const RANK: readonly PieceKind[] = ['discarded', 'skipped', 'parked', 'dead-letter'];

/**
 * What to draw, from the ground up: what retention has deleted, what is settled, what is unread, then what is not settled within.
 * Segments of a kind that would cover each other are one piece, so a bar never has more pieces than pixels.
 */
export function piecesOf(bar: LedgerBar, widthPx: number): readonly Piece[] {
  const { from, to } = rangeOf(bar);
  const scale = widthPx / Math.max(to - from, 1);
  const ground = (kind: PieceKind, start: number, end: number): Piece[] =>
    end > start
      ? [{ kind, from: start, to: end, x: (start - from) * scale, width: (end - start) * scale, parts: 1 }]
      : [];
  const pieces: Piece[] = [
    ...ground('settled', bar.first, bar.next),
    ...ground('unread', bar.next, bar.end),
    ...ground('deleted', from, Math.min(bar.start, to)),
  ];
  const open = new Map<PieceKind, Piece>();
  const drawn: Piece[] = [];
  for (const segment of bar.segments) {
    const width = Math.max(LEAST_PX, (segment.to - segment.from) * scale);
    const x = Math.min(Math.max(0, widthPx - width), (segment.from - from) * scale);
    const last = open.get(segment.kind);
    if (last && x <= last.x + last.width) {
      const merged = { ...last, to: segment.to, width: x + width - last.x, parts: last.parts + 1 };
      drawn[drawn.indexOf(last)] = merged;
      open.set(segment.kind, merged);
    } else {
      const piece = { kind: segment.kind, from: segment.from, to: segment.to, x, width, parts: 1 };
      drawn.push(piece);
      open.set(segment.kind, piece);
    }
  }
  return [...pieces, ...drawn.sort((a, b) => RANK.indexOf(a.kind) - RANK.indexOf(b.kind))];
}

/** The offsets from a bar's left end to its right one. */
export function rangeOf({ start, end, first, next }: LedgerBar): {
  readonly from: number;
  readonly to: number;
} {
  return { from: Math.min(start, first), to: Math.max(end, next) };
}

/** Whether anything of it is to be looked at. */
export function isOpen({ counts }: LedgerBar): boolean {
  return counts.deadLetters + counts.parked + counts.skipped > 0;
}

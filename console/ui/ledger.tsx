/** The ledger of each partition beside its log, as a bar and in numbers. */
import { useEffect, useRef, useState } from 'preact/hooks';
import type { LedgerBar } from '../operations.ts';
import { isOpen, type Piece, type PieceKind, piecesOf, rangeOf } from './ledger-pieces.ts';
import { count, plural, sum } from './words.ts';
import './ledger.css';

const NAMES: Readonly<Record<PieceKind, string>> = {
  settled: 'settled',
  'dead-letter': 'dead letters',
  parked: 'parked',
  skipped: 'skipped',
  discarded: 'discarded',
  unread: 'not yet read',
  deleted: 'deleted by retention',
};
const HEIGHT = 26;
/** More bars than these are shown when asked for. */
const AT_FIRST = 12;

export function Ledger({ bars }: { readonly bars: readonly LedgerBar[] }) {
  const [areAllShown, showAll] = useState(false);
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  const open = bars.filter(isOpen);
  const first = (open.length > 0 ? open : bars).slice(0, AT_FIRST);
  const shown = areAllShown || bars.length <= AT_FIRST ? bars : first;
  if (bars.length === 0) return <p class="muted">The ledger is empty: nothing has been settled yet.</p>;
  return (
    <>
      <Patterns />
      <ul class="legend" aria-label="Legend">
        {(Object.keys(NAMES) as PieceKind[]).map((kind) => (
          <li key={kind}>
            <svg viewBox="0 0 22 14" aria-hidden="true">
              <rect class={`piece ${kind}`} x="0.5" y="0.5" width="21" height="13" />
            </svg>
            {NAMES[kind]}
          </li>
        ))}
        <li>
          <svg viewBox="0 0 22 14" aria-hidden="true">
            <path class="edge" d="M11 0V14M7 0h8l-4 5Z" />
          </svg>
          retention’s edge
        </li>
      </ul>
      <div ref={frame} class="bars">
        {shown.map((bar) => (
          <div key={bar.partition} class="bar-row">
            <b>Partition {bar.partition}</b>
            <div class="drawing">{width > 0 && <Bar bar={bar} width={width} />}</div>
            <span class="muted small">{sentence(bar)}</span>
          </div>
        ))}
      </div>
      {shown.length < bars.length && (
        <div>
          <button type="button" onClick={() => showAll(true)}>
            Show all {plural(bars.length, 'partition')}
          </button>
        </div>
      )}
      <details>
        <summary>The ledger in numbers</summary>
        <Numbers bars={bars} />
      </details>
    </>
  );
}

function Bar({ bar, width }: { readonly bar: LedgerBar; readonly width: number }) {
  const { from, to } = rangeOf(bar);
  const edge = ((bar.start - from) / Math.max(to - from, 1)) * width;
  return (
    <svg
      width={width}
      height={HEIGHT}
      viewBox={`0 0 ${width} ${HEIGHT}`}
      role="img"
      aria-label={`Partition ${bar.partition}, offsets ${count(from)} to ${count(to)}: ${sentence(bar)}`}
    >
      {piecesOf(bar, width).map((piece) => (
        <rect
          key={`${piece.kind} ${piece.from}`}
          class={`piece ${piece.kind}`}
          x={piece.x}
          y={isGround(piece.kind) ? 6 : 2}
          width={piece.width}
          height={isGround(piece.kind) ? HEIGHT - 10 : HEIGHT - 4}
        >
          <title>{titleOf(piece)}</title>
        </rect>
      ))}
      {bar.start > from && (
        <path class="edge" d={`M${edge} 0V${HEIGHT}M${edge - 5} 0h10l-5 6Z`}>
          <title>{`Retention’s edge: the topic keeps offset ${count(bar.start)} and newer`}</title>
        </path>
      )}
    </svg>
  );
}

function isGround(kind: PieceKind): boolean {
  return kind === 'settled' || kind === 'unread' || kind === 'deleted';
}

function titleOf({ kind, from, to, parts }: Piece): string {
  const offsets = to - from === 1 ? `offset ${count(from)}` : `offsets ${count(from)} to ${count(to - 1)}`;
  return parts > 1
    ? `${NAMES[kind]}: ${plural(parts, 'range')} within ${offsets}`
    : `${NAMES[kind]}: ${offsets}`;
}

function sentence({ counts: { deadLetters, parked, skipped, pending } }: LedgerBar): string {
  const parts = [
    deadLetters > 0 ? plural(deadLetters, 'dead letter') : '',
    parked > 0 ? `${count(parked)} parked` : '',
    skipped > 0 ? `${count(skipped)} skipped` : '',
    pending > 0 ? `${count(pending)} not yet read` : '',
  ].filter((part) => part !== '');
  return parts.length > 0 ? parts.join(', ') : 'all settled';
}

function Numbers({ bars }: { readonly bars: readonly LedgerBar[] }) {
  const total = (of: keyof LedgerBar['counts']) => count(sum(bars.map(({ counts }) => counts[of])) ?? 0);
  return (
    <table class="stack">
      <thead>
        <tr>
          {[
            'Partition',
            'Settled',
            'Dead letters',
            'Parked',
            'Skipped',
            'Not yet read',
            'Covers offsets',
            'Topic keeps from',
          ].map((title) => (
            <th key={title} scope="col" class="number">
              {title}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {bars.map(({ partition, counts, first, next, start }) => (
          <tr key={partition}>
            <th scope="row" class="number">
              {partition}
            </th>
            <Figure label="Settled" text={count(counts.settled)} />
            <Figure label="Dead letters" text={count(counts.deadLetters)} />
            <Figure label="Parked" text={count(counts.parked)} />
            <Figure label="Skipped" text={count(counts.skipped)} />
            <Figure label="Not yet read" text={count(counts.pending)} />
            <Figure
              label="Covers offsets"
              text={next > first ? `${count(first)} – ${count(next - 1)}` : 'none'}
            />
            <Figure label="Topic keeps from" text={count(start)} />
          </tr>
        ))}
      </tbody>
      {bars.length > 1 && (
        <tfoot>
          <tr>
            <th scope="row" class="number">
              All
            </th>
            <Figure label="Settled" text={total('settled')} />
            <Figure label="Dead letters" text={total('deadLetters')} />
            <Figure label="Parked" text={total('parked')} />
            <Figure label="Skipped" text={total('skipped')} />
            <Figure label="Not yet read" text={total('pending')} />
            <td />
            <td />
          </tr>
        </tfoot>
      )}
    </table>
  );
}

function Figure({ label, text }: { readonly label: string; readonly text: string }) {
  return (
    <td class="number" data-label={label}>
      {text}
    </td>
  );
}

/** A pattern for each kind: without its colour it is still told from the others. */
function Patterns() {
  return (
    <svg class="patterns" width="0" height="0" aria-hidden="true">
      <defs>
        <pattern id="ledger-dead-letter" width="5" height="5" patternUnits="userSpaceOnUse">
          <rect class="fill bad" width="5" height="5" />
          <path class="stroke" d="M0 0L5 5M5 0L0 5" />
        </pattern>
        <pattern id="ledger-parked" width="5" height="5" patternUnits="userSpaceOnUse">
          <rect class="fill warn" width="5" height="5" />
          <path class="stroke" d="M0 2.5H5" />
        </pattern>
        <pattern id="ledger-skipped" width="5" height="5" patternUnits="userSpaceOnUse">
          <rect class="fill unknown" width="5" height="5" />
          <path class="stroke" d="M-1 6L6 -1" />
        </pattern>
        <pattern id="ledger-unread" width="6" height="6" patternUnits="userSpaceOnUse">
          <circle class="dot" cx="3" cy="3" r="1.1" />
        </pattern>
        <pattern id="ledger-deleted" width="7" height="7" patternUnits="userSpaceOnUse">
          <path class="hatch" d="M-1 8L8 -1" />
        </pattern>
      </defs>
    </svg>
  );
}

/** How wide a bar is. */
function useWidth(frame: { readonly current: HTMLElement | null }): number {
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const measured = new ResizeObserver(([entry]) => setWidth(Math.floor(entry!.contentRect.width)));
    const first = frame.current?.querySelector('.drawing');
    if (first) measured.observe(first);
    return () => measured.disconnect();
  }, []);
  return width;
}

/** Views by the minute as bars: two paths, however many minutes there are. */
import { memo } from 'preact/compat';
import { useMemo } from 'preact/hooks';
import { scaleOf } from './picture.ts';

const HEIGHT = 24;
const GAP = 0.25;

interface BarsProps {
  /** The oldest first. */
  readonly values: readonly number[];
  /** Whether the newest minute has only begun: its bar still grows, and is drawn apart. */
  readonly isOpen: boolean;
  /** What a screen reader says. */
  readonly label: string;
}

/** While the newest minute grows, its own short path is all that changes: the others keep their scale and their place. */
export const Bars = memo(function Bars({ values, isOpen, label }: BarsProps) {
  const top = scaleOf(values);
  const last = values.length - (isOpen ? 1 : 0);
  const closed = useMemo(() => pathOf(values, 0, last, top), [values.slice(0, last).join(), top]);
  return (
    <svg
      class="bars"
      viewBox={`0 0 ${values.length} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      <path d={closed} />
      {isOpen && <path class="open" d={pathOf(values, last, values.length, top)} />}
    </svg>
  );
}, isSame);

function pathOf(values: readonly number[], from: number, to: number, top: number): string {
  let path = '';
  for (let at = from; at < to; at++) {
    const value = values[at]!;
    if (value <= 0) continue;
    // A single view is to be seen beside thousands.
    const height = Math.max(0.6, (value / top) * HEIGHT);
    path += `M${at + GAP / 2} ${HEIGHT}v${-height.toFixed(2)}h${1 - GAP}V${HEIGHT}z`;
  }
  return path || 'M0 0';
}

function isSame(a: BarsProps, b: BarsProps): boolean {
  return (
    a.isOpen === b.isOpen && a.label === b.label && a.values.every((value, at) => value === b.values[at])
  );
}

/** Views by the minute as bars: two paths, however many minutes there are. */
import { memo } from 'preact/compat';

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

export const Bars = memo(function Bars({ values, isOpen, label }: BarsProps) {
  const most = Math.max(1, ...values);
  const bars = values.map((value, at) => {
    if (value <= 0) return '';
    // A single view is to be seen beside thousands.
    const height = Math.max(0.6, (value / most) * HEIGHT);
    return `M${at + GAP / 2} ${HEIGHT}v${-height.toFixed(2)}h${1 - GAP}V${HEIGHT}z`;
  });
  const newest = isOpen ? bars.pop() : undefined;
  return (
    <svg
      class="bars"
      viewBox={`0 0 ${values.length} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={label}
    >
      <path d={bars.join('') || 'M0 0'} />
      {newest !== undefined && <path class="open" d={newest || 'M0 0'} />}
    </svg>
  );
}, isSame);

function isSame(a: BarsProps, b: BarsProps): boolean {
  return (
    a.isOpen === b.isOpen && a.label === b.label && a.values.every((value, at) => value === b.values[at])
  );
}

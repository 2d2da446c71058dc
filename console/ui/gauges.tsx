/** How a consumer is, drawn small. Each drawing has the same in words: beside it, or for a screen reader. */
import { useMemo } from 'preact/hooks';
import type { ConsumerLook, PartitionLook, Verdict } from '../operations.ts';
import { Verdict as VerdictMark } from './parts.tsx';
import { count, duration, known, plural, printable, TONES } from './words.ts';

/** How much of the time that the records have left the draining of them takes. */
export function Drain({
  of: { drain, drainMs, headroom, headroomMs, lag },
}: {
  readonly of: Pick<ConsumerLook, 'drain' | 'drainMs' | 'headroom' | 'headroomMs' | 'lag'>;
}) {
  const share =
    drainMs === null || headroomMs === null ? null : Math.min(1, drainMs / Math.max(headroomMs, 1));
  const isNever = drain === 'never';
  const tone = isNever || share === 1 ? 'bad' : share !== null && share > 0.25 ? 'warn' : 'good';
  if (lag === 0)
    return (
      <div class="drain">
        <div class="figure muted">–</div>
        <div class="muted small">nothing is unread</div>
      </div>
    );
  // Drawn where there is something to compare: a topic that keeps all has no end.
  const width = headroom === '-' ? null : isNever ? 1 : share;
  return (
    <div class="drain">
      <div class="figure">{drain}</div>
      {width !== null && (
        <div class={`track ${tone}`} aria-hidden="true">
          {width > 0 && <span style={{ width: `${width * 100}%` }} />}
        </div>
      )}
      <div class="muted small">
        {headroom === '-' ? 'the topic keeps all' : `headroom ${headroom === '?' ? 'unknown' : headroom}`}
        {share !== null && share >= 0.005 && `, ${Math.round(share * 100)} % of it`}
      </div>
    </div>
  );
}

/**
 * A cell for each partition: low where it is well, upright with its sign where it is not, so that one stuck partition stands
 * out of hundreds without its colour.
 */
export function Heat({
  partitions,
  href,
}: {
  readonly partitions: readonly PartitionLook[];
  /** Where a click leads; nowhere without it. */
  readonly href?: string;
}) {
  const verdicts = partitions.map(({ partition, verdict }) => `${partition} ${verdict}`).join();
  // Hundreds of cells that are as they were two seconds ago are not compared one by one.
  const cells = useMemo(
    () =>
      partitions.map(({ partition, verdict }, at) => {
        const { tone, sign } = TONES[verdict];
        return (
          <i key={partition} class={`cell ${tone}`} data-at={at}>
            {tone === 'good' ? '' : sign}
          </i>
        );
      }),
    [verdicts],
  );
  if (partitions.length === 0) return <span class="muted small">Its partitions are not known.</span>;
  const explain = ({ target }: Event) => {
    if (!(target instanceof HTMLElement) || target.dataset.at === undefined) return;
    const partition = partitions[Number(target.dataset.at)];
    if (partition) target.title = sentence(partition);
  };
  const size = partitions.length > 128 ? 'tiny' : partitions.length > 40 ? 'narrow' : '';
  const name = `heat ${size}`;
  return href === undefined ? (
    <div class={name} role="img" aria-label={summary(partitions)} onPointerOver={explain}>
      {cells}
    </div>
  ) : (
    <a class={name} href={href} aria-label={summary(partitions)} onPointerOver={explain}>
      {cells}
    </a>
  );
}

/** The partitions that are not well, by name; a handful at most. */
export function Stuck({ partitions }: { readonly partitions: readonly PartitionLook[] }) {
  const stuck = partitions.filter(({ verdict }) => TONES[verdict].tone !== 'good');
  if (stuck.length === 0 || stuck.length === partitions.length) return null;
  const shown = stuck.slice(0, 3);
  return (
    <span class="small">
      {stuck.length === 1 ? 'Partition' : 'Partitions'} {shown.map(({ partition }) => partition).join(', ')}
      {stuck.length > shown.length && ` and ${count(stuck.length - shown.length)} more`}{' '}
      <VerdictMark of={worst(stuck)} />
    </span>
  );
}

const ORDER = Object.keys(TONES) as Verdict[];

function worst(partitions: readonly PartitionLook[]): Verdict {
  return ORDER[Math.min(...partitions.map(({ verdict }) => ORDER.indexOf(verdict)))]!;
}

function sentence({ partition, verdict, lag, ageMs, why }: PartitionLook): string {
  const age = ageMs === null || lag === 0 ? '' : `, the oldest ${duration(ageMs)} old`;
  return `Partition ${partition}: ${verdict.replace('_', ' ')}, ${known(lag)} unread${age}.${why ? ` ${printable(why)}` : ''}`;
}

function summary(partitions: readonly PartitionLook[]): string {
  const by = new Map<Verdict, number[]>();
  for (const { partition, verdict } of partitions) by.set(verdict, [...(by.get(verdict) ?? []), partition]);
  const parts = [...by]
    .toSorted(([a], [b]) => ORDER.indexOf(a) - ORDER.indexOf(b))
    .map(([verdict, of]) => {
      const which = of.length <= 5 && of.length < partitions.length ? ` (${of.join(', ')})` : '';
      return `${count(of.length)} ${verdict.replace('_', ' ')}${which}`;
    });
  return `${plural(partitions.length, 'partition')}: ${parts.join('; ')}`;
}

import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { type OffsetRange, sizeOf } from '../../runtime/delivery/offset-ranges.ts';
import type { GapsOutcome, PartitionGaps } from '../../runtime/replay/gaps.ts';
import { rangeText } from '../audit-view.ts';
import { hint, type Place } from '../hints.ts';
import { count, duration, plural, wrapped } from '../terminal.ts';

const COLUMNS = 80;
const MOST_RANGES = 10;

type Ranges = readonly { readonly partition: number; readonly ranges: readonly OffsetRange[] }[];

export interface Report {
  /** Null where there was nothing to replay. */
  readonly replay: string | null;
  readonly planned: number;
  readonly outcome: GapsOutcome;
  /** What nobody has any more. */
  readonly deleted: Ranges;
  readonly tooLarge: number;
  readonly elapsedMs: number;
  readonly isWhole: boolean;
}

/** What will be done, before anybody is asked. */
export function planLines(
  { name, topic }: Pick<AnyConsumer, 'name' | 'topic'>,
  gaps: readonly PartitionGaps[],
  plan: {
    readonly ranges: Ranges;
    readonly planned: number;
    readonly rate: number;
    readonly isLive: boolean;
  },
): readonly string[] {
  const { ranges, planned, rate, isLive } = plan;
  const time = Number.isFinite(rate) ? `, about ${duration((planned / rate) * 1_000)}` : '';
  const deleted = gaps.map(({ partition, deleted: of }) => ({ partition, ranges: of }));
  return [
    `Replay ${plural(planned, 'offset')} of ${topic.name} into ${name}${time}`,
    ...rangeLines('replayed', ranges),
    ...rangeLines('deleted', deleted),
    ...(sizeOf(deleted.flatMap((each) => each.ranges)) > 0
      ? wrapped(
          '  Neither the topic nor an archive has the deleted ones. Nothing can bring them.',
          COLUMNS,
          2,
        )
      : []),
    ...(isLive
      ? wrapped(
          '  The consumer goes on meanwhile, so newer records of a key may be applied before these. If its order matters to the handler, stop "millrace up" first.',
          COLUMNS,
          2,
        )
      : []),
  ];
}

function rangeLines(what: string, partitions: Ranges): readonly string[] {
  const lines = partitions.flatMap(({ partition, ranges }) =>
    ranges.map((range) => `  ${what}  partition ${partition}  ${rangeText(range)}`),
  );
  const left = lines.length - MOST_RANGES;
  return left > 0 ? [...lines.slice(0, MOST_RANGES), `  ${what}  ${plural(left, 'range')} more`] : lines;
}

/** How it went. */
export function reportLines(consumer: string, report: Report, place: Place): readonly string[] {
  const { replay, planned, outcome, deleted, tooLarge, elapsedMs, isWhole } = report;
  const gone = rangeLines('deleted', deleted);
  if (replay === null) {
    const none = `${consumer} has no gaps that can be replayed.`;
    return gone.length === 0 ? [none] : [none, ...gone];
  }
  const { applied, deadLettered, left } = outcome;
  const parts = [
    `${count(applied)} of ${plural(planned, 'offset')} applied`,
    deadLettered > 0 ? `${count(deadLettered)} dead-lettered` : '',
    tooLarge > 0 ? `${count(tooLarge)} too large for a function` : '',
    left > 0 ? `${count(left)} not applied` : '',
  ];
  return [
    `${isWhole ? '' : 'Interrupted: '}${parts.filter(Boolean).join(', ')} (${duration(elapsedMs)}).`,
    ...gone,
    ...(isWhole
      ? [`Check it: ${hint(['audit', consumer], place)}`]
      : [`To go on: ${hint(['replay', consumer, '--gaps'], place)}`]),
    ...(deadLettered > 0 ? [`See why: ${hint(['dlq', 'triage', '--consumer', consumer], place)}`] : []),
  ];
}

/** What the console has seen of one consumer in the last hour: its numbers over time, and what happened to it. */
import type { ConsumerLook, Mark, Series, Verdict } from '../../console/operations.ts';
import { thinned } from '../../runtime/lag/series.ts';

export const KEPT_MS = 3_600_000;
const LEAST_GAP_MS = 1_000;
/** Some four hundred samples in an hour, looked at every two seconds. */
const GAP_SHARE = 1 / 100;
const MOST_MARKS = 100;
/** Of a sparkline: ten minutes at most. */
const SPARK_POINTS = 60;
const SPARK_GAPS_MS = [5_000, 10_000];

/** What somebody has to do something about. */
const BAD: readonly Verdict[] = ['LOST', 'AT_RISK', 'BLOCKED', 'STALLED'];

type Sample = { readonly at: number } & Pick<ConsumerLook, 'lag' | 'ageMs' | 'inPerSecond' | 'outPerSecond'>;

export interface History {
  note(look: ConsumerLook, at: number): void;
  /** The last of it, in so few points that every consumer's fit into one answer. */
  sparkline(): Series;
  series(): Series;
  /** Oldest first. */
  marks(): readonly Mark[];
}

/** @param deploy what one is called: on a laptop new code comes with a start */
export function createHistory(deploy: 'deployed' | 'started'): History {
  let samples: readonly Sample[] = [];
  let marks: readonly Mark[] = [];
  /** Undefined until a verdict said either. */
  let isBad: boolean | undefined;
  let deployedAt: number | null = null;

  const mark = (next: Mark) => {
    marks = [...marks, next].toSorted((a, b) => a.at - b.at).slice(-MOST_MARKS);
  };

  return {
    note(look, at) {
      const { verdict, heldBy, lag, ageMs, inPerSecond, outPerSecond } = look;
      const sample = { at, lag, ageMs, inPerSecond, outPerSecond };
      // A clock that stepped back has left samples that are newer than now.
      const earlier = samples.filter((each) => each.at < at);
      samples = thinned([...earlier, sample], {
        keptMs: KEPT_MS,
        leastGapMs: LEAST_GAP_MS,
        gapShare: GAP_SHARE,
      });
      marks = marks.filter((each) => at - each.at <= KEPT_MS);
      if (look.deployedAt !== null && look.deployedAt !== deployedAt) {
        deployedAt = look.deployedAt;
        if (at - deployedAt <= KEPT_MS) mark({ at: deployedAt, kind: 'deploy', text: deploy });
      }
      // Who cannot look knows of no recovery.
      if (verdict === 'UNKNOWN') return;
      const wasBad = isBad;
      isBad = BAD.includes(verdict);
      if (wasBad === undefined || wasBad === isBad) return;
      const why = isBad && heldBy !== null ? `: ${heldBy}` : '';
      mark({ at, kind: isBad ? 'incident' : 'recovery', text: `${verdict}${why}` });
    },
    sparkline: () => columns(sparse(samples)),
    series: () => columns(samples),
    marks: () => marks,
  };
}

/** The newest sample of each so many seconds, by the clock, so that a point stays where it is from look to look. */
function sparse(samples: readonly Sample[]): readonly Sample[] {
  if (samples.length <= SPARK_POINTS) return samples;
  const newest = samples.at(-1)!.at;
  const spanMs = newest - samples[0]!.at;
  const gapMs = SPARK_GAPS_MS.find((gap) => spanMs <= gap * SPARK_POINTS) ?? SPARK_GAPS_MS.at(-1)!;
  const kept = new Map(samples.map((sample) => [Math.floor(sample.at / gapMs), sample]));
  const least = Math.floor(newest / gapMs) - SPARK_POINTS;
  return [...kept].flatMap(([slot, sample]) => (slot > least ? [sample] : []));
}

function columns(samples: readonly Sample[]): Series {
  return {
    at: samples.map(({ at }) => at),
    lag: samples.map(({ lag }) => lag),
    ageMs: samples.map(({ ageMs }) => ageMs),
    inPerSecond: samples.map(({ inPerSecond }) => inPerSecond),
    outPerSecond: samples.map(({ outPerSecond }) => outPerSecond),
  };
}

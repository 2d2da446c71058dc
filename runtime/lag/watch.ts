import type { Clock } from '../ports.ts';
import { type ConsumerSample, type LagSource, unknownSample, type WatchedConsumer } from './sample.ts';
import { thinned } from './series.ts';
import type { ConsumerStatus, LagVerdict, LagWatch } from './status.ts';
import { byUrgency, judge } from './verdict.ts';

interface LagWatchOptions {
  readonly source: LagSource;
  readonly clock: Pick<Clock, 'now'>;
  /** Asked for each sample: groups come and go. */
  consumers(): readonly WatchedConsumer[] | Promise<readonly WatchedConsumer[]>;
  /** How far back samples are kept: some forty, the older the further apart. @default an hour */
  readonly keptMs?: number;
}

/** Samples that are closer say nothing new. */
const LEAST_GAP_MS = 2_000;
/** So many samples in a row must say something else before a verdict changes. Those of one moment are one. */
const SAMPLES_TO_CHANGE = 2;
const MOMENT_MS = 500;
const WELL: readonly LagVerdict[] = ['OK', 'IDLE'];

interface Remembered {
  readonly samples: readonly ConsumerSample[];
  readonly verdict: LagVerdict;
  /** Samples in a row that say another verdict, and when the last of them was taken. */
  readonly others: number;
  readonly otherAt: number;
  /** The sentence that says why, of a verdict that needs one. */
  readonly because: string | undefined;
  /** Whether a hold is the reason. */
  readonly isHeld: boolean;
}

/**
 * Remembers samples and verdicts, so that one odd sample changes nothing. What stands at once: the first sample of a consumer,
 * records that are lost, and a hold, both when it stalls the consumer and when the consumer moves again behind it.
 */
export function createLagWatch(options: LagWatchOptions): LagWatch {
  const { source, clock, keptMs = 3_600_000 } = options;
  let memory = new Map<string, Remembered>();

  const sampleAll = async (consumers: readonly WatchedConsumer[]): Promise<readonly ConsumerSample[]> => {
    try {
      return await source.sample(consumers);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return consumers.map(({ consumer }) => unknownSample(consumer, clock.now(), why));
    }
  };

  return {
    async look() {
      const consumers = await options.consumers();
      const found = Map.groupBy(await sampleAll(consumers), ({ consumer }) => consumer);
      const next = new Map<string, Remembered>();
      const statuses = consumers.map((watched) => {
        const { consumer } = watched;
        const before = memory.get(consumer);
        const given = found.get(consumer) ?? [
          unknownSample(consumer, clock.now(), 'Its source gave no sample.'),
        ];
        const latest = given.at(-1)!.at;
        // What is newer than this sample is of before the clock stepped back: kept, it would hide all samples until then.
        const kept = before?.samples.filter(({ at }) => at <= latest) ?? [];
        const newestAt = kept.at(-1)?.at ?? Number.NEGATIVE_INFINITY;
        const samples = [...kept, ...given.filter(({ at }) => at > newestAt)];
        const { status, ...standing } = settled(judge(watched, samples), before, {
          at: latest,
          beforeAt: newestAt,
        });
        next.set(consumer, { ...standing, samples: thinned(samples, { keptMs, leastGapMs: LEAST_GAP_MS }) });
        return status;
      });
      memory = next;
      return statuses.toSorted(byUrgency);
    },
  };
}

/** @param times of this sample, and of the one before */
function settled(
  found: ConsumerStatus,
  before: Remembered | undefined,
  times: { readonly at: number; readonly beforeAt: number },
): { readonly status: ConsumerStatus } & Omit<Remembered, 'samples'> {
  const { verdict, heldBy, lastProgressAt, evidence } = found;
  const isHeld = heldBy !== null && (verdict === 'STALLED' || verdict === 'BLOCKED');
  // Its runner has said for a while that the consumer is held: one odd sample cannot say that.
  const isOver = before?.isHeld === true && heldBy === null && (lastProgressAt ?? 0) > times.beforeAt;
  const isOther = before !== undefined && verdict !== before.verdict;
  const isNext = isOther && (before.others === 0 || Math.abs(times.at - before.otherAt) >= MOMENT_MS);
  const others = !isOther ? 0 : before.others + (isNext ? 1 : 0);
  const isCertain = verdict === 'LOST' || isHeld || isOver;
  if (!isOther || others >= SAMPLES_TO_CHANGE || isCertain)
    return {
      status: found,
      verdict,
      others: 0,
      otherAt: times.at,
      because: WELL.includes(verdict) ? undefined : evidence[0],
      // A hold can be over some time before the first commit behind it is seen.
      isHeld: isHeld || (!isOther && before?.isHeld === true),
    };
  const alone = `This sample alone says ${verdict}; the verdict changes with the next one that agrees.`;
  const why = before.because === undefined ? [] : [before.because];
  return {
    ...before,
    status: { ...found, verdict: before.verdict, evidence: [...new Set([...why, alone, ...evidence])] },
    others,
    otherAt: isNext ? times.at : before.otherAt,
  };
}

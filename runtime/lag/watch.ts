import type { Clock } from '../ports.ts';
import { type ConsumerSample, type LagSource, unknownSample, type WatchedConsumer } from './sample.ts';
import { thinned } from './series.ts';
import type { ConsumerStatus, LagVerdict, LagWatch } from './status.ts';
import { byUrgency, judge } from './verdict.ts';

interface LagWatchOptions {
  readonly source: LagSource;
  readonly clock: Pick<Clock, 'now'>;
  /** Asked at each look: groups come and go. */
  consumers(): readonly WatchedConsumer[] | Promise<readonly WatchedConsumer[]>;
  /** How far back samples are kept: some forty, the older the further apart. @default an hour */
  readonly keptMs?: number;
}

/** Samples that are closer say nothing new. */
const LEAST_GAP_MS = 2_000;
/** So many looks in a row must find something else before a verdict changes. */
const LOOKS_TO_CHANGE = 2;

interface Remembered {
  readonly samples: readonly ConsumerSample[];
  readonly verdict: LagVerdict;
  /** Looks in a row that found another verdict. */
  readonly others: number;
}

/**
 * Remembers samples and verdicts, so that one odd look changes nothing. The first look of a consumer stands at once; records
 * that are lost do too.
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
          unknownSample(consumer, clock.now(), 'It was not looked at: its source gave no sample.'),
        ];
        const latest = given.at(-1)!.at;
        // What is newer than this look is of before the clock stepped back: kept, it would hide all looks until then.
        const kept = before?.samples.filter(({ at }) => at <= latest) ?? [];
        const newestAt = kept.at(-1)?.at ?? Number.NEGATIVE_INFINITY;
        const samples = [...kept, ...given.filter(({ at }) => at > newestAt)];
        const { status, ...standing } = settled(judge(watched, samples), before);
        next.set(consumer, { samples: thinned(samples, { keptMs, leastGapMs: LEAST_GAP_MS }), ...standing });
        return status;
      });
      memory = next;
      return statuses.toSorted(byUrgency);
    },
  };
}

function settled(
  found: ConsumerStatus,
  before: Remembered | undefined,
): { readonly status: ConsumerStatus; readonly verdict: LagVerdict; readonly others: number } {
  const others = before && found.verdict !== before.verdict ? before.others + 1 : 0;
  if (!before || others === 0 || others >= LOOKS_TO_CHANGE || found.verdict === 'LOST')
    return { status: found, verdict: found.verdict, others: 0 };
  const evidence = [`This look alone says ${found.verdict}; another that does changes the verdict.`];
  const status = { ...found, verdict: before.verdict, evidence: [...evidence, ...found.evidence] };
  return { status, verdict: before.verdict, others };
}

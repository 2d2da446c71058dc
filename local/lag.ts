/** Verdicts about an app's consumers on a laptop, or on a cluster that it uses. */
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import type { ErrorCode } from '../runtime/errors.ts';
import { MillraceError } from '../runtime/errors.ts';
import { createOffsetSource } from '../runtime/lag/offsets.ts';
import type { LagSource, Runner, WatchedConsumer } from '../runtime/lag/sample.ts';
import { totalPoint } from '../runtime/lag/series.ts';
import type { ConsumerStatus, LagWatch } from '../runtime/lag/status.ts';
import { createLagWatch } from '../runtime/lag/watch.ts';
import type { Clock } from '../runtime/ports.ts';
import type { ParkedTotals } from '../runtime/replay/waiting-keys.ts';
import { type Hold, heldFacts } from './holds.ts';
import type { Pauses } from './pauses.ts';
import type { TopicLog } from './topic-log.ts';

export interface LagParts {
  readonly log: Pick<TopicLog, 'standing'>;
  readonly clock: Clock;
  /** By the names that they are declared with; `runs` is the generation that readers see. */
  consumers(): readonly { readonly declared: AnyConsumer; readonly runs: AnyConsumer }[];
  groupOf(runs: AnyConsumer): string;
  /** Dead letters that wait; null where that is not known. */
  deadLetters(runs: AnyConsumer): Promise<number | null>;
  /** What waits behind them; null where that is not known. */
  parked(runs: AnyConsumer): Promise<ParkedTotals | null>;
  /** Who runs the consumers; undefined where only the log can tell. */
  runner(consumer: AnyConsumer): Runner | undefined;
  /** Whether the groups are those of `millrace up`, which commits where it begins. */
  readonly commitsBeginning: boolean;
  readonly pauses?: Pick<Pauses, 'of'>;
  holds?(): readonly Hold[];
}

/** A consumer, as the watch has to know it. */
export function watchedConsumer(
  { topic, lag, batch, startingPosition }: AnyConsumer,
  consumer: string,
  group: string,
  commitsBeginning = false,
): WatchedConsumer {
  const { windowMs } = batch;
  return { consumer, group, topic: topic.name, ...lag, windowMs, startingPosition, commitsBeginning };
}

/** Watches all consumers. @param around what stands between the watch and the log, such as a second look */
export function watchLag(parts: LagParts, around = (source: LagSource): LagSource => source): LagWatch {
  const { log, clock, consumers, groupOf } = parts;
  const source = createOffsetSource({
    offsets: log.standing,
    clock,
    async factsOf(watched) {
      const all = consumers();
      const [retention, runnerOf, letters, parked] = await Promise.all([
        log.standing.retention([...new Set(watched.map(({ topic }) => topic))]),
        log.standing.runners(watched.map(({ group }) => group)),
        Promise.all(all.map(({ runs }) => knownOf(() => parts.deadLetters(runs)))),
        Promise.all(all.map(({ runs }) => knownOf(() => parts.parked(runs)))),
      ]);
      const holds = parts.holds?.() ?? [];
      return ({ consumer, group, topic }) => {
        const at = all.findIndex(({ declared }) => declared.name === consumer);
        const { declared, runs } = all[at]!;
        const { held, failing } = heldFacts(holds.filter((each) => each.consumer === runs.name));
        const paused = parts.pauses?.of(declared.name);
        return {
          retentionMs: retention.get(topic) ?? null,
          deadLetters: letters[at]!,
          parked: parked[at]!,
          failing,
          runner: {
            ...(parts.runner(declared) ?? runnerOf(group)),
            ...held,
            ...(paused && { paused }),
          },
        };
      };
    },
  });
  return createLagWatch({
    source: around(source),
    clock,
    consumers: () =>
      consumers().map(({ declared, runs }) =>
        watchedConsumer(declared, declared.name, groupOf(runs), parts.commitsBeginning),
      ),
  });
}

/** What a cluster that has just started, or a broker that has just gone, leaves unknown for a moment. */
const MOST_LOOKS = 6;

/**
 * Looks twice for each time it is asked, so that a command that ends at once knows rates, and a few times more while
 * something is unknown.
 */
export function lookTwice(source: LagSource, clock: Clock, apartMs: number): LagSource {
  return {
    async sample(consumers) {
      const samples = [...(await source.sample(consumers))];
      for (let looks = 1, isKnown = false; looks < (isKnown ? 2 : MOST_LOOKS); looks++) {
        await clock.sleep(apartMs);
        const found = await source.sample(consumers);
        // A topic that is not there does not come by waiting.
        isKnown = found.every(
          (sample) => sample.partitions?.length === 0 || totalPoint(sample).unknown === undefined,
        );
        samples.push(...found);
      }
      return samples;
    },
  };
}

/** Records behind in all; null as soon as one consumer's are unknown. */
export function totalLag(statuses: readonly Pick<ConsumerStatus, 'lag'>[]): number | null {
  return statuses.reduce<number | null>(
    (sum, { lag }) => (sum === null || lag === null ? null : sum + lag),
    0,
  );
}

const UNKNOWN_WHERE_DOWN: readonly ErrorCode[] = ['QUEUE_UNAVAILABLE', 'SINK_UNAVAILABLE'];

async function knownOf<Fact>(find: () => Promise<Fact | null>): Promise<Fact | null> {
  try {
    return await find();
  } catch (error) {
    if (error instanceof MillraceError && UNKNOWN_WHERE_DOWN.includes(error.code)) return null;
    throw error;
  }
}

/** What an exporter samples: an app's consumers on a cluster, and any other groups there. */
import { createOffsetSource } from '../runtime/lag/offsets.ts';
import type { LagSource, WatchedConsumer } from '../runtime/lag/sample.ts';
import type { Clock } from '../runtime/ports.ts';
import type { Pauses } from './pauses.ts';
import type { Standing } from './topic-log.ts';

/** The groups of a cluster, and what they read. */
export interface GroupDirectory {
  groups(): Promise<readonly string[]>;
  /** The topics that each of these groups has committed to. */
  topicsOf(groups: readonly string[]): Promise<readonly { readonly group: string; readonly topic: string }[]>;
}

export interface WatchedGroupsOptions {
  readonly standing: Standing & GroupDirectory;
  readonly clock: Clock;
  readonly declared: readonly WatchedConsumer[];
  /** Which groups are watched besides, with every topic that they have committed to. @default none */
  readonly others?: RegExp;
  /** Lag at which others are behind. */
  readonly limits: { readonly warning: number; readonly incident: number };
  /** Where the consumers are those of a state folder. */
  readonly pauses?: Pick<Pauses, 'of'>;
}

export interface WatchedGroups {
  readonly source: LagSource;
  consumers(): Promise<readonly WatchedConsumer[]>;
}

/** Groups come and go, and topics' settings change, seldom. */
const GROUPS_KNOWN_MS = 60_000;
const RETENTION_KNOWN_MS = 300_000;

export function watchGroups(options: WatchedGroupsOptions): WatchedGroups {
  const { standing, clock, declared, others, limits, pauses } = options;
  const found = remembered(clock, GROUPS_KNOWN_MS, async (pattern: RegExp) => {
    const groups = (await standing.groups()).filter((group) => pattern.test(group)).toSorted();
    const known = new Set(declared.map(({ group, topic }) => `${topic}/${group}`));
    const reads = (await standing.topicsOf(groups)).filter(
      ({ group, topic }) => !known.has(`${topic}/${group}`),
    );
    const topics = Map.groupBy(reads, ({ group }) => group);
    return reads
      .map(({ group, topic }): WatchedConsumer => {
        // Each is remembered by its name, so that each topic of a group has one.
        const consumer = topics.get(group)!.length === 1 ? group : `${group}/${topic}`;
        return { consumer, group, topic, ...limits, windowMs: 0, startingPosition: 'TRIM_HORIZON' };
      })
      .toSorted((a, b) => (a.consumer < b.consumer ? -1 : 1));
  });
  const retention = remembered(clock, RETENTION_KNOWN_MS, (topics: readonly string[]) =>
    standing.retention(topics),
  );

  const source = createOffsetSource({
    offsets: standing,
    clock,
    async factsOf(consumers) {
      const topics = [...new Set(consumers.map(({ topic }) => topic))];
      // What is known of offsets holds without these.
      const [kept, runnerOf] = await Promise.allSettled([
        retention(topics),
        standing.runners(consumers.map(({ group }) => group)),
      ]);
      const failure = [kept, runnerOf].find(({ status }) => status === 'rejected');
      const why = failure && String((failure as PromiseRejectedResult).reason.message);
      return ({ consumer, group, topic }) => {
        const paused = pauses?.of(consumer);
        const runner =
          runnerOf.status === 'fulfilled' ? runnerOf.value(group) : { isRunning: null, who: 'unknown' };
        return {
          retentionMs: kept.status === 'fulfilled' ? (kept.value.get(topic) ?? null) : null,
          deadLetters: null,
          // A consumer of a laptop takes part in no group: that nobody is in it says nothing.
          runner: { ...(pauses ? { isRunning: null, who: 'unknown' } : runner), ...(paused && { paused }) },
          ...(why !== undefined && { unknown: why }),
        };
      };
    },
  });
  return {
    source,
    consumers: async () => (others ? [...declared, ...(await found(others))] : declared),
  };
}

/** Asks again only after so long; and where that fails, or what is asked has changed, as soon as it is wanted. */
function remembered<Question, Answer>(
  clock: Clock,
  ms: number,
  ask: (question: Question) => Promise<Answer>,
): (question: Question) => Promise<Answer> {
  let last: { readonly question: string; readonly answer: Answer; readonly at: number } | undefined;
  return async (question) => {
    const text = String(question);
    const ageMs = last ? clock.now() - last.at : Number.POSITIVE_INFINITY;
    // Negative where the clock was set back.
    if (last?.question === text && ageMs >= 0 && ageMs < ms) return last.answer;
    try {
      const answer = await ask(question);
      last = { question: text, answer, at: clock.now() };
      return answer;
    } catch (error) {
      if (last?.question === text) return last.answer;
      throw error;
    }
  };
}

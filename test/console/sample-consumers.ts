/** An hour of consumers made up for pages, one for each verdict: judged as real ones are. */
import { createHistory } from '../../cli/console/history.ts';
import { lookOf } from '../../cli/console/status.ts';
import type { ConsumerLook, Mark, Series } from '../../console/operations.ts';
import type { ConsumerSample, PartitionSample, Runner, WatchedConsumer } from '../../runtime/lag/sample.ts';
import { LAG_VERDICTS, type LagVerdict } from '../../runtime/lag/status.ts';
import { judge } from '../../runtime/lag/verdict.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const STEP_MS = 15 * SECOND;
const STEPS = HOUR / STEP_MS;
/** As many samples as a rate is taken of. */
const RECENT = 6;
/** The partition that is stuck where one is. */
const STUCK = 5;

interface Story {
  readonly consumer: string;
  readonly topic?: string;
  readonly partitions?: number;
  /** Records a second of all partitions, so many minutes ago. */
  readonly arriving: (minutesAgo: number) => number;
  /** What it could apply of them; more than arrives keeps up. @default twice what arrives */
  readonly applying?: (minutesAgo: number, partition: number) => number;
  /** Unread in each partition as the hour begins. */
  readonly unread?: number;
  readonly retentionMs?: number;
  /** What keeps partition STUCK from going on, since so many minutes. */
  readonly failing?: { readonly code: string; readonly minutes: number; readonly why?: string };
  /** What keeps all of it from going on, since so many minutes. */
  readonly held?: { readonly code: string; readonly minutes: number };
  readonly unknown?: string;
  readonly deployedMinutesAgo: number;
  readonly deadLetters: number;
  readonly parked?: { readonly keys: number; readonly records: number };
  readonly isPaused?: boolean;
}

const STORIES: Readonly<Record<LagVerdict, Story>> = {
  LOST: {
    consumer: 'order-totals',
    arriving: () => 1_240,
    failing: { code: 'HANDLER_TIMEOUT', minutes: 47 },
    retentionMs: 45 * MINUTE,
    deployedMinutesAgo: 50,
    deadLetters: 100_275,
  },
  AT_RISK: {
    consumer: 'billing',
    topic: 'shop.orders',
    arriving: () => 310,
    applying: (_, partition) => (partition === STUCK ? 90 : 600),
    unread: 6_000,
    retentionMs: HOUR,
    deployedMinutesAgo: 100,
    deadLetters: 3,
    parked: { keys: 230, records: 4_021 },
  },
  BLOCKED: {
    consumer: 'editorial-analytics',
    arriving: () => 1_240,
    failing: {
      code: 'CONSUMER_BROKEN',
      minutes: 9,
      why: 'TypeError in settle (editorial-analytics/consumer.ts:29)',
    },
    deployedMinutesAgo: 11,
    deadLetters: 10,
  },
  STALLED: {
    consumer: 'search-index',
    partitions: 120,
    arriving: () => 1_240,
    held: { code: 'SINK_UNAVAILABLE', minutes: 4 },
    deployedMinutesAgo: 200,
    deadLetters: 9,
  },
  RISING: {
    consumer: 'recommendations',
    arriving: (minutesAgo) => (minutesAgo > 20 ? 900 : 1_900),
    applying: () => 1_200,
    deployedMinutesAgo: 1_500,
    deadLetters: 12,
  },
  BEHIND: {
    consumer: 'mail-digest',
    arriving: () => 1_240,
    applying: () => 1_240,
    unread: 1_200,
    deployedMinutesAgo: 2_900,
    deadLetters: 0,
  },
  SILENT: {
    consumer: 'sports-ticker',
    arriving: (minutesAgo) => (minutesAgo > 7 ? 85 : 0),
    deployedMinutesAgo: 4_300,
    deadLetters: 0,
    isPaused: true,
  },
  RECOVERING: {
    consumer: 'archive-of-pageviews',
    arriving: () => 1_240,
    applying: (minutesAgo) => (minutesAgo > 12 && minutesAgo < 30 ? 0 : 2_300),
    deployedMinutesAgo: 300,
    deadLetters: 21,
  },
  UNKNOWN: {
    consumer: 'comments',
    arriving: () => 40,
    unknown: 'The group comments could not be read: no broker answers. [KAFKA_UNAVAILABLE]',
    deployedMinutesAgo: 8_000,
    deadLetters: 0,
  },
  OK: {
    consumer: 'subscriptions',
    arriving: (minutesAgo) => 60 + 20 * Math.sin(minutesAgo / 3),
    deployedMinutesAgo: 20_000,
    deadLetters: 2,
  },
  IDLE: { consumer: 'ads-viewability', arriving: () => 0, deployedMinutesAgo: 40_000, deadLetters: 0 },
};

export const SAMPLE_CONSUMERS: readonly string[] = LAG_VERDICTS.map((verdict) => STORIES[verdict].consumer);

export interface SampleConsumer {
  readonly look: ConsumerLook;
  readonly sparkline: Series;
  readonly series: Series;
  readonly marks: readonly Mark[];
}

let made: { readonly now: number; readonly consumers: readonly SampleConsumer[] } | undefined;

/** The worst first. @param now in epoch milliseconds; an hour takes a second to make, so those of a minute have one */
export function sampleConsumers(now: number): readonly SampleConsumer[] {
  if (!made || Math.abs(now - made.now) > MINUTE) made = { now, consumers: consumersAt(now) };
  return made.consumers;
}

function consumersAt(now: number): readonly SampleConsumer[] {
  return LAG_VERDICTS.map((verdict) => {
    const story = STORIES[verdict];
    const watched = watchedOf(story);
    const samples = samplesOf(story, now);
    const deployedAt = now - story.deployedMinutesAgo * MINUTE;
    const lookAt = (judged: readonly ConsumerSample[]) =>
      lookOf(judge(watched, judged), { state: '.millrace' }, deployedAt);
    const history = createHistory('deployed');
    for (const [step, { at }] of samples.entries())
      history.note(lookAt(samples.slice(Math.max(0, step + 1 - RECENT), step + 1)), at);
    return {
      look: lookAt(samples),
      sparkline: history.sparkline(),
      series: history.series(),
      marks: history.marks(),
    };
  });
}

function watchedOf({ consumer, topic = 'news.pageviews' }: Story): WatchedConsumer {
  return {
    consumer,
    group: consumer,
    topic,
    warning: 10_000,
    incident: 100_000,
    windowMs: 500,
    startingPosition: 'TRIM_HORIZON',
  };
}

function samplesOf(story: Story, now: number): readonly ConsumerSample[] {
  const { partitions: count = 12, retentionMs = 7 * 24 * HOUR, unread = 0 } = story;
  const began = now - (STEPS - 1) * STEP_MS;
  const partitions = Array.from({ length: count }, (_, partition) => ({
    partition,
    ends: [{ at: began, end: 40_000 }],
    committed: 40_000 - unread,
  }));
  return Array.from({ length: STEPS }, (_, step) => {
    const at = began + step * STEP_MS;
    const minutesAgo = (now - at) / MINUTE;
    return {
      consumer: story.consumer,
      at,
      retentionMs,
      deadLetters: story.unknown ? null : story.deadLetters,
      parked: story.unknown
        ? null
        : { keys: 0, records: 0, ...story.parked, oldestAt: story.parked ? now - 90 * MINUTE : null },
      runner: runnerOf(story, now, minutesAgo),
      ...(story.unknown && { unknown: story.unknown }),
      partitions: story.unknown
        ? null
        : partitions.map((each) => {
            if (step > 0) pass(story, each, at, minutesAgo, count);
            return partitionAt(story, each, now, at, retentionMs);
          }),
    };
  });
}

interface Partition {
  readonly partition: number;
  /** Where it ended at each step. */
  readonly ends: { readonly at: number; readonly end: number }[];
  committed: number;
}

/** One step of the hour. */
function pass(story: Story, each: Partition, at: number, minutesAgo: number, count: number): void {
  const seconds = STEP_MS / SECOND;
  // No two partitions get the same.
  const share = (0.9 + 0.2 * Math.abs(Math.sin(each.partition * 7 + minutesAgo))) / count;
  const end = each.ends.at(-1)!.end + Math.round(story.arriving(minutesAgo) * seconds * share);
  each.ends.push({ at, end });
  const isStuck = each.partition === STUCK && hasBegun(story.failing, minutesAgo);
  if (isStuck || hasBegun(story.held, minutesAgo)) return;
  const applying = story.applying?.(minutesAgo, each.partition);
  const most = applying === undefined ? Number.POSITIVE_INFINITY : Math.round(applying * seconds * share);
  each.committed = Math.min(end, each.committed + most);
}

function hasBegun(trouble: { readonly minutes: number } | undefined, minutesAgo: number): boolean {
  return trouble !== undefined && minutesAgo <= trouble.minutes;
}

function partitionAt(
  { failing }: Story,
  { partition, ends, committed }: Partition,
  now: number,
  at: number,
  retentionMs: number,
): PartitionSample {
  const { end } = ends.at(-1)!;
  const start = ends.findLast((each) => each.at <= at - retentionMs)?.end ?? 0;
  return {
    partition,
    committed,
    start,
    end,
    nextAt: committed === end ? null : ends.find((each) => each.end > Math.max(start, committed))!.at,
    ...(failing &&
      partition === STUCK &&
      hasBegun(failing, (now - at) / MINUTE) && {
        failing: {
          offset: committed,
          code: failing.code,
          times: 22,
          since: now - failing.minutes * MINUTE,
          ...(failing.why && { why: failing.why }),
        },
      }),
  };
}

function runnerOf({ held, isPaused }: Story, now: number, minutesAgo: number): Runner {
  return {
    isRunning: true,
    who: 'millrace up, process 4711',
    ...(held &&
      hasBegun(held, minutesAgo) && {
        held: { code: held.code, since: now - held.minutes * MINUTE, tries: 22 },
      }),
    ...(isPaused && { paused: { by: 'ada@newsroom', at: now - 6 * MINUTE } }),
  };
}

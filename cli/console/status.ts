/** How the consumers are: one watch for all pages, which remembers what it has seen. */
import { statSync } from 'node:fs';
import { systemClock } from '../../adapters/system/system-clock.ts';
import type { ConsumerLook, Mark, Series, StatusAnswer } from '../../console/operations.ts';
import { existingStateFolder, isStateFolder, runningSince } from '../../local/state-folder.ts';
import { liveGenerationIn } from '../../runtime/consumer-in-environment.ts';
import { deployedName } from '../../runtime/deployment.ts';
import type { ConsumerStatus } from '../../runtime/lag/status.ts';
import type { Clock } from '../../runtime/ports.ts';
import { hint } from '../hints.ts';
import { type LagSession, openLagSession } from '../lag-session.ts';
import { drainText, exitCodeOf, headroomText } from '../status-view.ts';
import type { ConsoleContext, ConsoleOptions } from './context.ts';
import { problemText } from './errors.ts';
import { createHistory, type History } from './history.ts';

export interface StatusWatch {
  look(): Promise<StatusAnswer>;
  /** The samples of the last hour, and what happened meanwhile. */
  history(consumer: string): { readonly series: Series; readonly marks: readonly Mark[] };
  newest(consumer: string): ConsumerLook | undefined;
  close(): Promise<void>;
}

interface StatusParts {
  open(): Promise<LagSession>;
  /** When the code of each consumer last changed, in epoch milliseconds; null where nobody knows. */
  deployedAt(): Promise<(consumer: string) => number | null>;
  readonly clock: Clock;
}

const LOOK_MS = 1_000;
/** While nobody asks: sparklines go on. */
const IDLE_LOOK_MS = 10_000;
const ASKED_MS = 15_000;
/** Each sample of an environment costs calls to AWS, so the console takes none while nobody asks. */
const ENVIRONMENT_LOOK_MS = 30_000;
/** Who asks by the same clock would else get the sample before. */
const EARLY = 0.75;
/** Nobody waits longer for a sample where there is an earlier one. */
const PATIENCE_MS = 1_000;
const FIRST_PATIENCE_MS = 5_000;
const DEPLOYED_MS = 300_000;

/** Begins to look at once. Never rejects: what keeps it from looking is in its answers. */
export async function createStatus(
  { app, options, place }: ConsoleContext,
  {
    open = () => openLagSession(app, options, { isOnce: false }),
    deployedAt = deployments({ app, options }),
    clock = systemClock,
  }: Partial<StatusParts> = {},
): Promise<StatusWatch> {
  const isDeployed = options.env !== undefined;
  const lookMs = isDeployed ? ENVIRONMENT_LOOK_MS : LOOK_MS;
  const histories = new Map<string, History>();
  let consumers: readonly ConsumerLook[] = [];
  let seenAt: number | undefined;
  let problem: string | null = null;
  let session: { readonly lag: LagSession; readonly version: string } | undefined;
  let looking: Promise<void> | undefined;
  let begunAt = Number.NEGATIVE_INFINITY;
  let askedAt = clock.now();
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  const leave = async () => {
    const left = session;
    session = undefined;
    await left?.lag.close().catch(() => {});
  };

  const lookOnce = async () => {
    try {
      if (session && session.version !== versionOf(options)) await leave();
      // To open a folder makes files in it: the version of after that is the one to compare with.
      session ??= { lag: await open(), version: versionOf(options) };
      const statuses = await session.lag.look();
      // Only now: to ask for the status takes the name of a run that is over from the folder.
      const changedAt = await deployedAt();
      consumers = statuses.map((status) => lookOf(status, options, changedAt(status.consumer)));
      seenAt = clock.now();
      problem = null;
      for (const look of consumers) historyOf(look.consumer).note(look, seenAt);
    } catch (error) {
      problem = problemText(error);
      await leave();
    } finally {
      if (isClosed) await leave();
    }
  };

  const historyOf = (consumer: string): History => {
    const known = histories.get(consumer) ?? createHistory(isDeployed ? 'deployed' : 'started');
    histories.set(consumer, known);
    return known;
  };

  const schedule = () => {
    clearTimeout(timer);
    if (isClosed || looking) return;
    const isAsked = clock.now() - askedAt <= ASKED_MS;
    if (isDeployed && !isAsked) return;
    const paceMs = isAsked ? lookMs : IDLE_LOOK_MS;
    timer = setTimeout(look, Math.max(0, begunAt + paceMs - clock.now()));
    timer.unref();
  };

  const look = () => {
    clearTimeout(timer);
    begunAt = clock.now();
    looking ??= lookOnce().finally(() => {
      looking = undefined;
      schedule();
    });
    return looking;
  };

  void look();
  return {
    async look() {
      askedAt = clock.now();
      if (!isClosed && !looking && askedAt - begunAt >= lookMs * EARLY) void look();
      else schedule();
      const isFirst = seenAt === undefined && problem === null;
      if (looking) await Promise.race([looking, patience(isFirst ? FIRST_PATIENCE_MS : PATIENCE_MS)]);
      const series = consumers.map(({ consumer }) => [consumer, historyOf(consumer).sparkline()] as const);
      return {
        at: seenAt ?? clock.now(),
        place,
        consumers,
        series: Object.fromEntries(series),
        problem: problem ?? (seenAt === undefined ? 'The first sample is not there yet.' : null),
      };
    },
    history: (consumer) => ({ series: historyOf(consumer).series(), marks: historyOf(consumer).marks() }),
    newest: (name) => consumers.find(({ consumer }) => consumer === name),
    async close() {
      isClosed = true;
      clearTimeout(timer);
      // It closes behind itself where it takes longer.
      if (looking) await Promise.race([looking, patience(PATIENCE_MS)]);
      await leave();
    },
  };
}

function patience(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}

/** What a session has open of a folder: one that was cleared meanwhile, or that a run has used with another log, is opened anew. */
function versionOf({ env, state }: ConsoleOptions): string {
  if (env !== undefined || !isStateFolder(state)) return '';
  const { files } = existingStateFolder(state);
  return [files.log, files.queues, files.ledger]
    .map((file) => statSync(file, { throwIfNoEntry: false })?.ino ?? '-')
    .join(' ');
}

/** A consumer's status as pages show it, in the words of `status`. */
export function lookOf(
  status: ConsumerStatus,
  options: ConsoleOptions,
  deployedAt: number | null,
): ConsumerLook {
  const { consumer, group, topic, verdict, lag, ageMs, drainMs, headroomMs, inPerSecond, outPerSecond } =
    status;
  const { deadLetters, parked = null, heldBy, isPaused, warning, incident, evidence } = status;
  return {
    consumer,
    group,
    topic,
    verdict,
    lag,
    ageMs,
    drainMs,
    drain: drainText(status.drain),
    headroom: headroomText(status),
    headroomMs,
    inPerSecond,
    outPerSecond,
    deadLetters,
    parked,
    heldBy,
    isPaused,
    warning,
    incident,
    deployedAt,
    evidence,
    partitions: status.partitions.map((each) => ({
      partition: each.partition,
      verdict: each.verdict,
      lag: each.lag,
      ageMs: each.ageMs,
      committed: each.committed,
      start: each.start,
      end: each.end,
      // As `status` decides it of a consumer; a partition has no threshold of its own.
      why:
        exitCodeOf([{ ...status, ...each, incident: Number.POSITIVE_INFINITY }]) === 0
          ? null
          : (each.evidence[0] ?? null),
    })),
    command: explainCommand(consumer, options),
  };
}

/** It takes no registry. */
export function explainCommand(consumer: string, { registry: _, ...place }: ConsoleOptions): string {
  return hint(['lag', 'explain', consumer], place);
}

/** On a laptop a run loads the code as it starts; on AWS Lambda says when a function changed. */
function deployments({ app, options }: Pick<ConsoleContext, 'app' | 'options'>): StatusParts['deployedAt'] {
  const { env, state } = options;
  if (env === undefined) {
    return async () => {
      const since = isStateFolder(state) ? runningSince(existingStateFolder(state)) : null;
      return () => since;
    };
  }
  let known: Promise<ReadonlyMap<string, number | null>> | undefined;
  let askedAt = Number.NEGATIVE_INFINITY;
  const ask = async () => {
    const { awsCalls } = await import('../../adapters/aws/aws-calls.ts');
    const { createDeploymentReader } = await import('../../adapters/aws/deployment-reader.ts');
    const reader = createDeploymentReader(awsCalls(), systemClock);
    const settings = app.environments[env] ?? {};
    const found = app.consumers.map(async (consumer) => {
      const name = deployedName(env, liveGenerationIn(settings, consumer).name);
      // Who may see the lag need not be allowed to see this.
      const facts = await reader.function(name).catch(() => null);
      return [consumer.name, facts?.changedAt ?? null] as const;
    });
    return new Map(await Promise.all(found));
  };
  return async () => {
    const now = systemClock.now();
    if (now - askedAt >= DEPLOYED_MS) {
      askedAt = now;
      known = ask().catch(() => new Map());
    }
    const changes = await known!;
    return (consumer) => changes.get(consumer) ?? null;
  };
}

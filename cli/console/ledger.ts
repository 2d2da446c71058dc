/** One consumer as a whole: its numbers over time, the ledger of each partition, and its generations. */
import { systemClock } from '../../adapters/system/system-clock.ts';
import type { ConsumerAnswer, GenerationRow, LedgerBar } from '../../console/operations.ts';
import { askOwner } from '../../local/control-socket.ts';
import { notedGenerations, notedLedger } from '../../local/ledger-origin.ts';
import { existingStateFolder } from '../../local/state-folder.ts';
import { openStores } from '../../local/stores.ts';
import { isArchive } from '../../runtime/archive/archive.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import {
  intersect,
  type OffsetRange,
  sizeOf,
  subtract,
  union,
} from '../../runtime/delivery/offset-ranges.ts';
import { totalPoint } from '../../runtime/lag/series.ts';
import { account, type PartitionFacts } from '../../runtime/replay/audit.ts';
import { type EvidenceSources, gatherEvidence } from '../../runtime/replay/evidence.ts';
import { type Generation, generationName } from '../../runtime/replay/generation.ts';
import { isShadow } from '../../runtime/replay/shadow.ts';
import { consumerNamed } from '../consumers.ts';
import { openEvidence } from '../evidence-session.ts';
import { notAsked } from '../lag-session.ts';
import { storesOptions } from '../outside-options.ts';
import { hintWithSink } from '../rebuild/session.ts';
import type { AuditLog } from './audit.ts';
import type { ConsoleContext, ConsoleOptions } from './context.ts';
import { problemText } from './errors.ts';
import { KEPT_MS } from './history.ts';
import { recently } from './recent.ts';
import { explainCommand, type StatusWatch } from './status.ts';

const KEPT_LEDGER_MS = 2_000;
/** Each ledger of an environment is invocations of its functions. */
const KEPT_DEPLOYED_MS = 30_000;
const MOST_SEGMENTS = 500;
/** To read letters takes its time, and in an environment it hides them from others: the ledger alone says nearly the same. */
const MOST_LETTERS_READ = 20_000;

export type ConsumerDetail = (name: string) => Promise<ConsumerAnswer>;

/** @throws INPUT_INVALID where there is no such consumer, or it has not been looked at yet, with why */
export function createConsumerDetail(
  context: ConsoleContext,
  status: StatusWatch,
  auditLog: AuditLog,
): ConsumerDetail {
  const { app, options } = context;
  const kept = {
    keptMs: options.env === undefined ? KEPT_LEDGER_MS : KEPT_DEPLOYED_MS,
    clock: systemClock,
  };
  const ledgers = recently((name) => {
    const letters = status.newest(name)?.deadLetters ?? Number.POSITIVE_INFINITY;
    const readsLetters = options.env === undefined && letters <= MOST_LETTERS_READ;
    return barsOf(consumerNamed(name, app.consumers), options, readsLetters);
  }, kept);
  const generations = recently(
    (name) => generationsOf(consumerNamed(name, app.consumers), options, status),
    kept,
  );

  return async (name) => {
    consumerNamed(name, app.consumers);
    const { at, problem } = await status.look();
    const known = status.newest(name);
    const look = known ?? unlooked(consumerNamed(name, app.consumers), problem, options);
    const [ledger, rows, actions] = await Promise.all([
      ledgers(name).then(
        ({ answer }) => ({ bars: answer, why: null }),
        (error: unknown) => ({ bars: null, why: problemText(error) }),
      ),
      generations(name).then(
        ({ answer }) => ({ known: answer, why: null }),
        // Those of an environment take rights that not everybody has who may see the lag.
        (error: unknown) => ({ known: [], why: problemText(error) }),
      ),
      auditLog.since(name, Date.now() - KEPT_MS),
    ]);
    const { series, marks } = status.history(name);
    return {
      at,
      look,
      // Where nothing was known before, the look itself says why.
      problem: known ? problem : null,
      series,
      marks: [
        ...marks,
        ...actions.map(({ at, action, who }) => ({
          at,
          kind: 'action' as const,
          text: `${action} by ${who}`,
        })),
      ].toSorted((a, b) => a.at - b.at),
      ledger: ledger.bars,
      ledgerProblem: ledger.why,
      generations: rows.known,
      generationsProblem: rows.why,
    };
  };
}

async function barsOf(
  consumer: AnyConsumer,
  options: ConsoleOptions,
  readsLetters: boolean,
): Promise<readonly LedgerBar[]> {
  const session = await openEvidence(options);
  try {
    const sources = await session.sourcesOf(consumer);
    const { partitions } = await gatherEvidence(readsLetters ? sources : withoutLetters(sources));
    return partitions.map(barOf);
  } finally {
    await session.close();
  }
}

function withoutLetters(sources: EvidenceSources): EvidenceSources {
  const { objects, reader, redrive } = sources.letters;
  const nothing = { async *scan() {}, depth: async () => 0 };
  return {
    ...sources,
    letters: { objects, reader: { ...reader, ...nothing }, redrive: { ...redrive, ...nothing } },
  };
}

/** A partition as a bar: what `audit` accounts for, by what a person has to do about it. */
export function barOf(facts: PartitionFacts): LedgerBar {
  const { partition, ledger, start, end, committed, begins } = facts;
  const { applied, deadLettered, parked, discarded, skipped, deleted, unaccounted } = account(facts);
  // A letter that nobody finds is still open, and everything else that nothing explains was passed without being settled.
  const dead = union(deadLettered, intersect(unaccounted, ledger?.deadLettered ?? []));
  const passed = union(skipped, deleted, subtract(unaccounted, dead));
  const first = ledger?.first ?? Math.min(Math.max(begins, start), end);
  const next = ledger?.next ?? first;
  const reached = Math.max(next, committed ?? 0, start);
  const segments = [
    ...ofKind('dead-letter', dead),
    ...ofKind('parked', parked),
    ...ofKind('skipped', passed),
    ...ofKind('discarded', discarded),
  ].toSorted((a, b) => a.from - b.from);
  return {
    partition,
    start,
    end,
    first,
    next,
    counts: {
      settled: sizeOf(applied) + sizeOf(discarded),
      deadLetters: sizeOf(dead),
      parked: sizeOf(parked),
      skipped: sizeOf(passed),
      pending: Math.max(0, end - reached),
    },
    segments: segments.length <= MOST_SEGMENTS ? segments : coarse(segments, MOST_SEGMENTS),
  };
}

type Segment = LedgerBar['segments'][number];

function ofKind(kind: Segment['kind'], ranges: readonly OffsetRange[]): readonly Segment[] {
  return ranges.map(({ from, to }) => ({ kind, from, to }));
}

/** Which of two that stand too near to be told apart is shown. */
const GRAVEST: readonly Segment['kind'][] = ['dead-letter', 'skipped', 'parked', 'discarded'];

/** Those that begin in the same one of `most` stretches as one, which has the kind of the gravest. */
function coarse(segments: readonly Segment[], most: number): readonly Segment[] {
  const from = segments[0]!.from;
  const to = Math.max(...segments.map((each) => each.to));
  const width = (to - from) / most;
  const stretches = Map.groupBy(segments, (each) =>
    Math.min(most - 1, Math.floor((each.from - from) / width)),
  );
  return [...stretches.values()].map((near) => ({
    kind: GRAVEST.find((kind) => near.some((each) => each.kind === kind))!,
    from: near[0]!.from,
    to: Math.max(...near.map((each) => each.to)),
  }));
}

async function generationsOf(
  consumer: AnyConsumer,
  options: ConsoleOptions,
  status: StatusWatch,
): Promise<readonly GenerationRow[]> {
  const { name } = consumer;
  if (isArchive(consumer)) return [];
  const live = status.newest(name)?.lag ?? null;
  const { all, lagOf } = await knownGenerations(consumer, options);
  const candidate = all.find(({ state }) => state === 'candidate');
  const back = all.findLast(({ state }) => state === 'previous')?.number;
  return all.map(({ number, state }) => {
    const isLive = state === 'live';
    const commands = {
      live: candidate ? [] : [['rebuild', name]],
      candidate: [['rebuild', 'promote', name]],
      previous: number === back ? [['rebuild', 'rollback', name]] : [],
    }[state];
    const drop = isLive ? [] : [['rebuild', 'drop', name, '--generation', String(number)]];
    return {
      name: generationName(name, number),
      number,
      isLive,
      lag: isLive ? live : lagOf(number),
      state,
      commands: [...commands, ...drop].map((words) => hintWithSink(words, options)),
    };
  });
}

type Known = Pick<Generation, 'number' | 'state'>;

async function knownGenerations(
  { name, topic }: AnyConsumer,
  options: ConsoleOptions,
): Promise<{ readonly all: readonly Known[]; lagOf(number: number): number | null }> {
  const first: Known = { number: 1, state: 'live' };
  const unknown = () => null;
  if (options.env !== undefined) {
    const { openGenerations } = await import('../../adapters/aws/rebuilding.ts');
    const { awsCalls } = await import('../../adapters/aws/aws-calls.ts');
    const { whoIsAsking } = await import('../../adapters/aws/deployment-reader.ts');
    const calls = awsCalls();
    await whoIsAsking(calls);
    const found = await openGenerations(options.env, calls).list(name);
    const all = found.filter((each) => !isShadow(each));
    return { all: all.length === 0 ? [first] : all, lagOf: unknown };
  }
  const folder = existingStateFolder(options.state);
  const answered = await askOwner(folder, 'generations', { consumer: name }).catch(notAsked);
  const all: readonly Known[] = answered
    ? answered.result.filter((each) => !isShadow(each))
    : notedGenerations(folder).filter(({ consumer }) => consumer === name);
  const others = all.filter(({ state }) => state !== 'live');
  if (others.length === 0) return { all: all.length === 0 ? [first] : all, lagOf: unknown };
  const stores = await openStores(folder, storesOptions(options));
  try {
    const ledger = await notedLedger(folder, stores.log);
    if (ledger === undefined) return { all, lagOf: unknown };
    const groups = others.map(({ number }) => ({
      group: stores.log.groupOf(generationName(name, number), ledger),
      topic: topic.name,
    }));
    const standing = await stores.log.standing.read(groups);
    const lags = new Map(others.map(({ number }, at) => [number, totalPoint(standing[at]!).lag]));
    return { all, lagOf: (number) => lags.get(number) ?? null };
  } finally {
    await stores.close();
  }
}

/** Of a consumer that nobody could look at yet. */
function unlooked(
  { name, topic, lag }: AnyConsumer,
  problem: string | null,
  options: ConsoleOptions,
): ConsumerAnswer['look'] {
  return {
    consumer: name,
    group: name,
    topic: topic.name,
    verdict: 'UNKNOWN',
    lag: null,
    ageMs: null,
    drainMs: null,
    drain: '?',
    headroom: '?',
    headroomMs: null,
    inPerSecond: null,
    outPerSecond: null,
    deadLetters: null,
    parked: null,
    heldBy: null,
    isPaused: false,
    ...lag,
    deployedAt: null,
    evidence: problem === null ? [] : [problem],
    partitions: [],
    command: explainCommand(name, options),
  };
}

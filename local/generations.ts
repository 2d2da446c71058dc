/**
 * The generations of a stack's consumers: starts those there are, and does what a rebuild, a promote, a rollback and a drop
 * ask for, one at a time.
 */
import { randomUUID } from 'node:crypto';
import { codeFingerprint } from '../adapters/files/code-fingerprint.ts';
import { compareTables } from '../adapters/postgres/compare-tables.ts';
import { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import type { SqlDriver } from '../adapters/postgres/sql-driver.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import type { App } from '../runtime/app.ts';
import { isArchive } from '../runtime/archive/archive.ts';
import { createArchiveReader } from '../runtime/archive/reader.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { MillraceError } from '../runtime/errors.ts';
import {
  type Generation,
  type GenerationStore,
  generationName,
  generationOf,
  type Switched,
} from '../runtime/replay/generation.ts';
import {
  type CandidatePosition,
  coversLedger,
  type LedgerBounds,
  planRebuild,
  planShadow,
  progressOf,
  type RebuildPlan,
} from '../runtime/replay/rebuild.ts';
import { isShadow, shadowId } from '../runtime/replay/shadow.ts';
import type { LogReader } from '../runtime/topics.ts';
import type { ConsumerRunner } from './consumer-runner.ts';
import type { GenerationCalls } from './generation-calls.ts';
import { readLedgerTotals } from './ledger-totals.ts';
import { watchReach } from './live-reach.ts';
import { boundedReader, limitedReader, logWithArchive } from './log-with-archive.ts';
import { type Pace, pacedReader } from './paced-reader.ts';
import type { Stores } from './stores.ts';

export interface GenerationParts {
  readonly app: App & { readonly module: URL };
  readonly stores: Stores;
  readonly driver: SqlDriver;
  readonly store: GenerationStore;
  readonly reader: LogReader;
  /** What tells the ledger from every other. */
  readonly ledger: string;
  groupOf(consumer: AnyConsumer): string;
  /** Binds a generation's ledger to its topic, and checks that its group is free. */
  prepare(consumer: AnyConsumer): Promise<void>;
  /** Brings the tables of all generations of a consumer up to date. */
  migrate(declared: AnyConsumer): Promise<void>;
  start(declared: AnyConsumer, number: number, reader: LogReader): ConsumerRunner;
  /** Hears of what is live, when that is known and each time it has changed. */
  onLive(generations: readonly Generation[]): Promise<void>;
}

/** Which generations run from the start: all, or those of one consumer that are not live. */
export type Scope = 'all' | { readonly rebuild: string };

export interface Generations {
  readonly calls: GenerationCalls;
  /** Starts what there was when they were opened. */
  start(): void;
  runners(): readonly ConsumerRunner[];
  /** The generation that readers see, as it runs. */
  liveOf(declared: AnyConsumer): AnyConsumer;
  isLive(runner: Pick<ConsumerRunner, 'declared' | 'number'>): boolean;
  candidates(): readonly (Generation & { readonly name: string })[];
  /** Looks again at which generation is live. */
  refresh(): Promise<void>;
  stop(): Promise<void>;
}

/** Prepares what the store says there is. */
export async function openGenerations(parts: GenerationParts, scope: Scope): Promise<Generations> {
  const { app, stores, driver, store, groupOf } = parts;
  const sink = new PostgresSink(driver);
  const runners: (ConsumerRunner & { readonly pace: Pace })[] = [];
  /** As the app was when this process loaded it. */
  const codes = new Map(app.consumers.map((each) => [each.name, codeFingerprint(app.module, each)]));
  let known: readonly Generation[] = [];

  const refresh = async () => {
    known = await store.list();
    await parts.onLive(known);
  };
  const liveNumber = ({ name }: AnyConsumer): number =>
    known.find(({ consumer, state }) => consumer === name && state === 'live')?.number ?? 1;
  const declaredAs = (name: string): AnyConsumer => {
    const found = app.consumers.find((each) => each.name === name);
    if (found && !isArchive(found)) return found;
    throw refused(
      `${name} has no tables: ${found ? 'it is an archive' : 'the app declares no such consumer'}.`,
      'consumer',
      { consumer: name },
    );
  };
  const runnerOf = (consumer: string, number: number) =>
    runners.find((each) => each.declared.name === consumer && each.number === number);

  const reaches = new Map(
    app.consumers.map((declared) => [
      declared.name,
      watchReach(async () => {
        const ledgers = await ledgersOf(generationOf(declared, liveNumber(declared)));
        return new Map(ledgers.map(({ partition, next }) => [partition, next ?? 0]));
      }, systemClock),
    ]),
  );
  /**
   * Nobody runs ahead of the live generation: an offset that another has handled first would be handled as a replay by that one,
   * and after a promote by the live one before, so that its effects outside the database would never be had.
   */
  const behindLive = (declared: AnyConsumer, number: number, reader: LogReader): LogReader =>
    limitedReader(reader, async ({ partition }) => {
      const isLive = number === liveNumber(declared);
      return isLive ? Number.POSITIVE_INFINITY : reaches.get(declared.name)!(partition);
    });

  /** A candidate reads what the topic has deleted from the archive, as long as it is one. */
  const readerFor = (declared: AnyConsumer, pace: Pace, state: Generation['state']): LogReader => {
    const archive = app.consumers.find((each) => isArchive(each) && each.topic.name === declared.topic.name);
    const { reader } = parts;
    if (state !== 'candidate') return pacedReader(reader, pace);
    if (!archive) return pacedReader(reader, pace);
    const topic = declared.topic.name;
    const archived = createArchiveReader({ store: stores.archive, topic, epoch: archive.epoch, log: reader });
    return pacedReader(logWithArchive(reader, topic, archived), pace);
  };
  const begin = (
    declared: AnyConsumer,
    number: number,
    state: Generation['state'],
    recordsPerSecond: number | null,
    until?: RebuildPlan,
  ) => {
    const pace: Pace = { recordsPerSecond };
    const reader = readerFor(declared, pace, state);
    const bounded = until
      ? boundedReader(reader, until.partitions)
      : isArchive(declared)
        ? reader
        : behindLive(declared, number, reader);
    const runner = parts.start(declared, number, bounded);
    runners.push({ ...runner, pace });
  };

  const ledgersOf = async ({ name, epoch, topic }: AnyConsumer): Promise<readonly LedgerBounds[]> => {
    const { rows } = await sink.transaction(({ tx }) =>
      tx.query<LedgerBounds>(
        'SELECT partition, first, next FROM millrace_ledger WHERE consumer = $1 AND epoch = $2 AND topic = $3',
        [name, epoch, topic.name],
      ),
    );
    return rows;
  };

  /** The live ledger's, and where its group stands where it has nothing yet. */
  const liveBounds = async (declared: AnyConsumer): Promise<readonly LedgerBounds[]> => {
    const live = generationOf(declared, liveNumber(declared));
    const known = new Map((await ledgersOf(live)).map((each) => [each.partition, each]));
    const topic = live.topic.name;
    const partitions = Array.from({ length: await stores.log.partitions(topic) }, (_, at) => at);
    return Promise.all(
      partitions.map(async (partition) => ({
        ...(known.get(partition) ?? { partition, first: null, next: null }),
        committed: (await stores.log.committed(groupOf(live), { topic, partition })) ?? null,
      })),
    );
  };

  /**
   * Has the candidate's group begin where the plan says, in partitions of which its ledger has nothing: a group of this name
   * may have been here before.
   */
  const placeGroup = async (candidate: AnyConsumer, plan: RebuildPlan) => {
    const begun = new Set(
      (await ledgersOf(candidate)).filter(({ next }) => next !== null).map(({ partition }) => partition),
    );
    const offsets = plan.partitions
      .filter(({ partition }) => !begun.has(partition))
      .map(({ partition, from }) => ({ topic: candidate.topic.name, partition, offset: from }));
    if (offsets.length > 0) await stores.log.commit(groupOf(candidate), offsets);
  };

  const requireSameCode = (declared: AnyConsumer, code: string) => {
    const { name } = declared;
    if (codeFingerprint(app.module, declared) !== codes.get(name)) {
      throw refused(
        `The code of ${name} has changed since this pipeline was started, so it would run another than the one on the disk. ` +
          'Restart "millrace up", and run the command again.',
        'code',
        { consumer: name },
      );
    }
    if (code === codes.get(name)) return;
    throw refused(
      `The rebuild of ${name} was begun with other code than there is now: its tables would be a mixture. Drop it with ` +
        `"millrace rebuild drop ${name}", and begin again.`,
      'code',
      { consumer: name },
    );
  };

  const positionsOf = async (
    declared: AnyConsumer,
    number: number,
  ): Promise<readonly CandidatePosition[]> => {
    const candidate = generationOf(declared, number);
    const topic = declared.topic.name;
    // It says when a promote may be tried; the promote itself compares them under their locks.
    const live = new Map(
      (await ledgersOf(generationOf(declared, liveNumber(declared)))).map((each) => [each.partition, each]),
    );
    const own = new Map((await ledgersOf(candidate)).map((each) => [each.partition, each]));
    const count = await stores.log.partitions(topic);
    return Promise.all(
      Array.from({ length: count }, async (_, partition) => ({
        partition,
        next: own.get(partition)?.next ?? null,
        committed: (await stores.log.committed(groupOf(candidate), { topic, partition })) ?? null,
        live: live.get(partition)?.next ?? null,
      })),
    );
  };

  /** The consumer's candidate, and what the rebuild of this id has made, whether that is still one or not. */
  const candidateOf = async (consumer: string, id: string | undefined) => {
    const all = await store.list(consumer);
    return [
      all.find((each) => each.state === 'candidate' && !isShadow(each)),
      all.find(({ rebuildId }) => rebuildId === id),
    ] as const;
  };

  /**
   * By partition, the next offset that a candidate can read at all: what retention or compaction has taken on the way to the live
   * one cannot be read by anybody any more.
   */
  const oldestFor = async (declared: AnyConsumer, number: number): Promise<ReadonlyMap<number, number>> => {
    const { name: topic } = declared.topic;
    const reader = readerFor(declared, { recordsPerSecond: null }, 'candidate');
    const positions = await positionsOf(declared, number);
    const found = positions.map(async ({ partition, next, committed, live }) => {
      const of = { topic, partition };
      const { start, end } = await reader.bounds(of);
      const at = Math.max(start, next ?? committed ?? start);
      if (live === null || at >= live) return [partition, start] as const;
      const [first] = await reader.read(of, at, 1);
      return [partition, first && first.offset < live ? start : Math.min(end, live)] as const;
    });
    return new Map(await Promise.all(found));
  };

  const stopAndDrop = async (declared: AnyConsumer, number: number) => {
    const { name: consumer } = declared;
    const runner = runnerOf(consumer, number);
    const generation = (await store.list(consumer)).find((each) => each.number === number);
    if (generation?.state !== 'live' && runner) {
      // Its batches would find no tables.
      runners.splice(runners.indexOf(runner), 1);
      await runner.stop();
    }
    await store.drop(declared, number);
    await stores.forget(generationOf(declared, number));
    await refresh();
  };

  /** Nobody else runs one: whoever did was killed. */
  const dropShadows = async (declared: AnyConsumer) => {
    for (const each of await store.list(declared.name)) {
      if (isShadow(each)) await stopAndDrop(declared, each.number);
    }
  };

  const afterSwitch = async (switched: Switched): Promise<Switched> => {
    await refresh();
    const runner = runnerOf(switched.to.consumer, switched.to.number);
    if (runner) runner.pace.recordsPerSecond = null;
    return switched;
  };

  let last: Promise<unknown> = Promise.resolve();
  /** One change at a time. */
  const inTurn = <Result>(change: () => Promise<Result>): Promise<Result> => {
    const done = last.then(change, change);
    last = done.catch(() => {});
    return done;
  };

  const calls: GenerationCalls = {
    async generations({ consumer }) {
      declaredAs(consumer);
      return store.list(consumer);
    },
    async planRebuild({ consumer, fromMs, kept }) {
      const declared = declaredAs(consumer);
      const [candidate, rebuilt] = await candidateOf(consumer, kept?.id);
      if (kept && kept.ledger === parts.ledger && (rebuilt || !candidate)) {
        if (rebuilt?.state !== 'live') requireSameCode(declared, kept.code);
        return kept;
      }
      // Without its plan a candidate goes on to a new end.
      const id = candidate?.rebuildId ?? randomUUID();
      const code = candidate?.code ?? codes.get(consumer)!;
      requireSameCode(declared, code);
      const about = {
        id,
        ledger: parts.ledger,
        code,
        fromMs,
        plannedAt: systemClock.now(),
        consumer: declared,
      };
      const live = await liveBounds(declared);
      return planRebuild(about, readerFor(declared, { recordsPerSecond: null }, 'candidate'), live);
    },
    rebuild: ({ plan, recordsPerSecond }) =>
      inTurn(async () => {
        const declared = declaredAs(plan.consumer);
        requireSameCode(declared, plan.code);
        const generation = await store.create(declared, { id: plan.id, code: plan.code });
        await refresh();
        const { number } = generation;
        const running = runnerOf(plan.consumer, number);
        if (running) running.pace.recordsPerSecond = recordsPerSecond;
        else {
          const candidate = generationOf(declared, number);
          await parts.prepare(candidate);
          await placeGroup(candidate, plan);
          begin(declared, number, generation.state, recordsPerSecond);
        }
        return generation;
      }),
    async rebuilding({ plan, number }) {
      const declared = declaredAs(plan.consumer);
      const halted = runnerOf(plan.consumer, number)?.halted();
      const progress = progressOf(plan.partitions, await positionsOf(declared, number));
      // Later than the positions: what they say is through is counted.
      const { applied, deadLettered } = await readLedgerTotals(sink, generationOf(declared, number));
      return {
        ...progress,
        applied,
        deadLettered,
        halted: halted ? { code: halted.code, message: halted.message } : null,
      };
    },
    promote: ({ consumer, number, mayLose }) =>
      inTurn(async () => {
        const declared = declaredAs(consumer);
        const code = codes.get(consumer)!;
        requireSameCode(declared, code);
        return afterSwitch(
          await store.promote(declared, number, { code, mayLose, oldest: await oldestFor(declared, number) }),
        );
      }),
    rollback: ({ consumer, mayLose }) =>
      inTurn(async () => {
        const declared = declaredAs(consumer);
        return afterSwitch(await store.rollback(declared, { mayLose, oldest: await oldestOf(declared) }));
      }),
    drop: ({ consumer, number }) =>
      inTurn(async () => {
        await stopAndDrop(declaredAs(consumer), number);
        return {};
      }),
    shadow: ({ consumer, fromMs, toMs, recordsPerSecond }) =>
      inTurn(async () => {
        const declared = declaredAs(consumer);
        const code = codes.get(consumer)!;
        requireSameCode(declared, code);
        await dropShadows(declared);
        const reader = readerFor(declared, { recordsPerSecond: null }, 'candidate');
        const live = await liveBounds(declared);
        const about = { ledger: parts.ledger, code, plannedAt: systemClock.now(), consumer: declared };
        const plan = await planShadow({ ...about, id: shadowId(randomUUID()), fromMs, toMs }, reader, live);
        const { number } = await store.create(declared, { id: plan.id, code, kind: 'shadow' });
        await refresh();
        const candidate = generationOf(declared, number);
        await parts.prepare(candidate);
        await placeGroup(candidate, plan);
        begin(declared, number, 'candidate', recordsPerSecond, plan);
        return { plan, number, isWhole: coversLedger(plan, live) };
      }),
    async compare({ consumer, number }) {
      const declared = declaredAs(consumer);
      const live = generationName(consumer, liveNumber(declared));
      return compareTables(driver, live, generationName(consumer, number));
    },
  };

  await refresh();
  const toBegin: {
    readonly declared: AnyConsumer;
    readonly number: number;
    readonly state: Generation['state'];
  }[] = [];
  for (const declared of app.consumers) {
    if (scope !== 'all' && scope.rebuild !== declared.name) continue;
    if (!isArchive(declared)) await dropShadows(declared);
    const of: readonly Pick<Generation, 'number' | 'state' | 'code'>[] = isArchive(declared)
      ? [{ number: 1, state: 'live', code: null }]
      : await store.list(declared.name);
    for (const { number, state, code } of of) {
      // Filled by two versions of the code, its tables would be what neither makes.
      if (state === 'candidate' && code !== codes.get(declared.name)) continue;
      await parts.prepare(generationOf(declared, number));
      if (scope === 'all' || state !== 'live') toBegin.push({ declared, number, state });
    }
    if (!isArchive(declared)) await parts.migrate(declared);
  }

  return {
    calls,
    start() {
      for (const { declared, number, state } of toBegin.splice(0)) begin(declared, number, state, null);
    },
    runners: () => runners,
    liveOf: (declared) => generationOf(declared, liveNumber(declared)),
    isLive: ({ declared, number }) => number === liveNumber(declared),
    candidates: () =>
      known
        .filter((each) => each.state === 'candidate' && !isShadow(each))
        .map((each) => ({ ...each, name: generationName(each.consumer, each.number) })),
    refresh,
    async stop() {
      await Promise.all(runners.map((runner) => runner.stop()));
    },
  };
}

function refused(message: string, reason: string, details: Readonly<Record<string, unknown>>): MillraceError {
  return new MillraceError('REBUILD_REFUSED', message, { details: { reason, ...details } });
}

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
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { MillraceError } from '../runtime/errors.ts';
import {
  type Generation,
  type GenerationStore,
  generationName,
  generationOf,
  previousOf,
  type Switched,
} from '../runtime/replay/generation.ts';
import {
  coversLedger,
  planRebuild,
  planShadow,
  progressOf,
  type RebuildPlan,
} from '../runtime/replay/rebuild.ts';
import { isShadow, shadowId } from '../runtime/replay/shadow.ts';
import type { LogReader } from '../runtime/topics.ts';
import type { ConsumerRunner } from './consumer-runner.ts';
import type { GenerationCalls } from './generation-calls.ts';
import { generationLog } from './generation-log.ts';
import { readLedgerTotals } from './ledger-totals.ts';
import { boundedReader } from './log-with-archive.ts';
import type { Pace } from './paced-reader.ts';
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
  /** Whether this run has the sink for itself: who has not must leave what others run. */
  readonly isClaimed: boolean;
  /** The plan of a rebuild that was not ended. */
  planOf(consumer: string): RebuildPlan | undefined;
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
  const runners: (ConsumerRunner & { readonly pace: Pace; again(): void })[] = [];
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

  const { readerFor, behindLive, liveBounds, placeGroup, positionsOf, oldestFor } = generationLog({
    ...parts,
    sink,
    liveNumber,
  });
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
    runners.push({
      ...runner,
      pace,
      again: () => begin(declared, number, state, pace.recordsPerSecond, until),
    });
  };

  const planOf = async (
    declared: AnyConsumer,
    of: Pick<RebuildPlan, 'id' | 'code' | 'fromMs'>,
  ): Promise<RebuildPlan> => {
    const reader = readerFor(declared, { recordsPerSecond: null }, 'candidate');
    const about = { ...of, ledger: parts.ledger, plannedAt: systemClock.now(), consumer: declared };
    return planRebuild(about, reader, await liveBounds(declared));
  };

  /** Whoever made it may have been killed before it placed the group, which would begin where the consumer's first did. */
  const placeUnplaced = async (declared: AnyConsumer, number: number) => {
    const candidate = generationOf(declared, number);
    const topic = declared.topic.name;
    const committed = await stores.log.committed(groupOf(candidate), { topic, partition: 0 });
    if (committed !== undefined) return;
    const { rebuildId, code } = known.find(
      (each) => each.consumer === declared.name && each.number === number,
    )!;
    const kept = parts.planOf(declared.name);
    await placeGroup(
      candidate,
      kept?.id === rebuildId ? kept : await planOf(declared, { id: rebuildId!, code: code!, fromMs: null }),
    );
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

  /** The consumer's candidate, and what the rebuild of this id has made, whether that is still one or not. */
  const candidateOf = async (consumer: string, id: string | undefined) => {
    const all = await store.list(consumer);
    return [
      all.find((each) => each.state === 'candidate' && !isShadow(each)),
      all.find(({ rebuildId }) => rebuildId === id),
    ] as const;
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
    try {
      await store.drop(declared, number);
    } catch (error) {
      // It is there as before, so it follows as before.
      if (generation?.state !== 'live') runner?.again();
      throw error;
    }
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
      return planOf(declared, { id, code, fromMs });
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
      if (!known.some((each) => each.consumer === plan.consumer && each.number === number)) {
        throw refused(
          `${generationName(plan.consumer, number)} has been dropped meanwhile, so there is nothing left to fill. Readers see what they saw.`,
          'dropped',
          { consumer: plan.consumer, generation: number },
        );
      }
      const halted = runnerOf(plan.consumer, number)?.halted();
      const progress = progressOf(plan.partitions, await positionsOf(declared, number));
      // Later than the positions: what they say is through is counted.
      const { applied, parked, deadLettered } = await readLedgerTotals(sink, generationOf(declared, number));
      return {
        ...progress,
        applied,
        parked,
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
        const previous = previousOf(await store.list(consumer));
        const oldest = await oldestFor(declared, previous?.number ?? 1);
        return afterSwitch(await store.rollback(declared, { mayLose, oldest }));
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
        return { plan, number };
      }),
    async compare({ plan, number }) {
      const declared = declaredAs(plan.consumer);
      const { name, epoch, topic } = generationOf(declared, liveNumber(declared));
      const shadow = generationName(plan.consumer, number);
      const { tables, live } = await compareTables(driver, name, shadow, { epoch, topic: topic.name });
      return { tables, isWhole: coversLedger(plan, live) };
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
    if (!isArchive(declared) && parts.isClaimed) await dropShadows(declared);
    const of: readonly Pick<Generation, 'number' | 'state' | 'code'>[] = isArchive(declared)
      ? [{ number: 1, state: 'live', code: null }]
      : (await store.list(declared.name)).filter((each) => !isShadow(each));
    for (const { number, state, code } of of) {
      // Filled by two versions of the code, its tables would be what neither makes.
      if (state === 'candidate' && code !== codes.get(declared.name)) continue;
      await parts.prepare(generationOf(declared, number));
      if (state === 'candidate' && parts.isClaimed) await placeUnplaced(declared, number);
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

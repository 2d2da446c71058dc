/**
 * The whole pipeline in one process, on one state folder. This thread has the topics, the queues and the event sources;
 * PostgreSQL and each consumer's function have threads of their own, so that none of them can stop this one.
 */
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { migrateTables } from '../adapters/postgres/consumer-schema.ts';
import { createPostgresGenerations } from '../adapters/postgres/generations.ts';
import { ledgerMigrations } from '../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../adapters/postgres/migrate.ts';
import { createPostgresLedgers } from '../adapters/postgres/postgres-ledgers.ts';
import { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import type { SqlDriver } from '../adapters/postgres/sql-driver.ts';
import { createPostgresWaitingKeys } from '../adapters/postgres/waiting-keys.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import type { App } from '../runtime/app.ts';
import { isArchive } from '../runtime/archive/archive.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import { topicOfDeadLetters } from '../runtime/dead-letters/resources.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import type { BatchReport } from '../runtime/delivery/metrics.ts';
import { MillraceError } from '../runtime/errors.ts';
import { totalPoint } from '../runtime/lag/series.ts';
import type { ConsumerStatus } from '../runtime/lag/status.ts';
import type { BatchResponse } from '../runtime/lambda/kafka-batch.ts';
import type { KafkaEvent } from '../runtime/lambda/kafka-event.ts';
import type { Polling } from '../runtime/lambda/mapping.ts';
import type { DemoPage, PageData } from '../runtime/page.ts';
import type { Logger, Random } from '../runtime/ports.ts';
import { generationOf } from '../runtime/replay/generation.ts';
import { createArchiveLedgers, type LedgerReader, ledgerOwner } from '../runtime/replay/ledgers.ts';
import type { WaitingKeyReader } from '../runtime/replay/waiting-keys.ts';
import { type RunnerParts, startRunner } from './consumer-runner.ts';
import { openEmbeddedSink } from './embedded-sink.ts';
import { createFunction, createRequestId } from './event-source/function.ts';
import type { PausableSource } from './event-source/pausable-source.ts';
import type { FaultOptions } from './faults.ts';
import type { FaultCounts } from './function-threads.ts';
import type { GenerationCalls, Rebuilding } from './generation-calls.ts';
import { openGenerations } from './generations.ts';
import { createGrowth } from './growth.ts';
import type { Hold } from './holds.ts';
import { totalLag, watchLag } from './lag.ts';
import { bindLedger, bindTopic, noteLedger } from './ledger-origin.ts';
import { type LedgerTotals, readLedgerTotals, totalsOf } from './ledger-totals.ts';
import { readPageData } from './page-data.ts';
import { patientReader } from './patient-reader.ts';
import { prepareTopics } from './prepare-topics.ts';
import type { QueryResult } from './read-only-query.ts';
import { readPlan } from './rebuild-journal.ts';
import { type LocalSink, openServerSink, type QueryLimits } from './sinks.ts';
import { type StateFolder, upIn } from './state-folder.ts';
import type { Stores } from './stores.ts';

export interface StackOptions {
  /** `module` has the app as its default export: each function's thread loads it, too. */
  readonly app: App & { readonly module: URL };
  readonly folder: StateFolder;
  readonly stores: Stores;
  readonly registry: SchemaRegistry;
  /** The URL of a PostgreSQL server for the sink. @default PostgreSQL in the process, on the folder */
  readonly postgres?: string | undefined;
  readonly faults: Omit<FaultOptions, 'clock' | 'random' | 'outagesEndAt' | 'onFault'>;
  /** Decides the faults. */
  readonly random: Random;
  /** What concerns one consumer has its name, as `consumer`. */
  readonly log: Logger;
  /** How the event sources poll. @default provisioned, which holds back only the partition that waits */
  readonly polling?: Polling['mode'];
  /** Hears of each batch that a consumer's function has been through. */
  readonly onReport?: (report: BatchReport) => void;
  /** What consumers wait for, as far as the log has said. */
  readonly holds?: () => readonly Hold[];
  /**
   * - `redrive`: topics are left alone, and only what is redriven is consumed.
   * - `rebuild`: only what the consumer of this name has besides its live generation.
   */
  readonly consume: 'everything' | 'redrive' | { readonly rebuild: string };
}

// A share of invocations says something only where there are many: a small input would fit in one.
const FAULTY_BATCH_RECORDS = 200;

/** How long a look at the consumers waits for what is parked. */
const PARKED_MS = 1_000;

const POLLING: { readonly [Mode in Polling['mode']]: Polling } = {
  'on-demand': { mode: 'on-demand' },
  provisioned: { mode: 'provisioned', minimumPollers: 1, maximumPollers: 1 },
};

/** What the consumers did in this run: their ledgers' growth, and what ledgers do not keep. */
export interface StackTotals extends LedgerTotals {
  readonly duplicates: number;
  /** Events that were sent twice, and applied once. Not among `applied`. */
  readonly repeated: number;
  readonly retries: number;
  /** Each consumer's part, in the app's order. */
  readonly consumers: readonly (LedgerTotals & { readonly consumer: string })[];
}

/** A handle() under way. */
export interface Handling {
  readonly consumer: string;
  readonly runningMs: number;
  /** When its function is ended. */
  readonly timeoutMs: number;
}

export interface Stack {
  totals(): Promise<StackTotals>;
  /** Looks at all consumers, and remembers it for the next verdict. The worst comes first. */
  lag(): Promise<readonly ConsumerStatus[]>;
  /** The lag of all consumers when the run began: what earlier runs left. Null where it could not be read. */
  readonly lagAtStart: number | null;
  /** What faults there have been, of all consumers. */
  faults(): FaultCounts;
  /** Every handle() that runs now. */
  handling(): readonly Handling[];
  /** Of the consumers whose sink is PostgreSQL. */
  readonly ledgers: LedgerReader;
  /** What waits in PostgreSQL behind dead letters. */
  readonly keys: WaitingKeyReader;
  /**
   * Has a consumer's function settle a batch, as its event source would, beside what that delivers.
   * @throws INPUT_INVALID where the run has no such consumer; whatever the function throws
   */
  deliver(consumer: string, event: KafkaEvent): Promise<BatchResponse>;
  /** Runs one statement that changes nothing. @throws INPUT_INVALID when it is refused, or does not end in time */
  query(sql: string, limits?: QueryLimits): Promise<QueryResult>;
  /** One snapshot of what a page of the app shows. @throws what the sink throws, where it is down or refuses a query */
  pageData(page: DemoPage): Promise<PageData>;
  /** What may be done to the consumers' generations. */
  readonly generations: GenerationCalls;
  /** The rebuilds that go on. */
  rebuilding(): Promise<readonly Rebuilding[]>;
  /** Rejects when a consumer or its sink meets what only a person can fix: an error that halts. */
  readonly halted: Promise<never>;
  /** Resolves when no consumer has any lag; rejects as `halted` does. */
  drained(): Promise<void>;
  /** Ends the invocations under way. The next run delivers again what they did not settle. */
  stop(): Promise<void>;
  /** Stops, and closes the sink. */
  close(): Promise<void>;
}

/**
 * Opens the sink, brings its tables up to date and starts every consumer. The caller holds the folder's lock.
 * @throws STATE_UNREADABLE when the sink's files cannot be used; SINK_MISCONFIGURED when a migration fails
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const local = await (options.postgres
    ? openServerSink(options.postgres)
    : openEmbeddedSink(options.folder, options.log));
  try {
    return await startOn(local, options);
  } catch (error) {
    await local.close();
    throw error;
  }
}

async function startOn(local: LocalSink, options: StackOptions): Promise<Stack> {
  const { app, stores, faults, log, consume } = options;
  const { consumers } = app;
  const { driver } = local;
  const sink = new PostgresSink(driver);
  const reports = { duplicates: 0, retries: 0 };
  /** By the name of the consumer as it is declared. The ledger has settled them, and does not tell them from others. */
  const repeated = new Map<string, number>();
  const halted = Promise.withResolvers<never>();
  halted.promise.catch(() => {});
  const stopping = new AbortController();
  if (consume !== 'redrive') await local.claim();
  await prepareTopics(app, stores.log, log);
  await migrate(driver, 'millrace', ledgerMigrations);
  const ledger = await bindLedger(driver, stores.log, local.at);
  const groupOf = ({ name }: AnyConsumer) => stores.log.groupOf(name, ledger);
  const hasFaultyInvocations = (faults.redeliver ?? 0) > 0 || (faults.crash ?? 0) > 0;
  const mostRecords = hasFaultyInvocations ? FAULTY_BATCH_RECORDS : Number.POSITIVE_INFINITY;
  const parts: RunnerParts = {
    module: app.module,
    sink: local,
    stores,
    registry: options.registry,
    polling: POLLING[options.polling ?? 'provisioned'],
    faults,
    random: options.random,
    log,
    groupOf,
    onReport(report) {
      const reporter = running().find(({ consumer }) => consumer.name === report.consumer);
      if (reporter) {
        const { name } = reporter.declared;
        repeated.set(name, (repeated.get(name) ?? 0) + report.repeated);
        reports.duplicates += report.duplicates;
        reports.retries += report.retries;
      }
      options.onReport?.(report);
    },
  };

  let followPauses = () => {};
  const generations = await openGenerations(
    {
      app,
      stores,
      driver,
      // A batch read before the switch must not come after it: its consumer would run ahead of the one that is live then.
      store: createPostgresGenerations(driver, { holding: (name, work) => holding(name, work) }),
      reader: patientReader(stores.log, { clock: systemClock, log, stop: stopping.signal }),
      ledger,
      groupOf,
      async prepare(consumer) {
        if (!isArchive(consumer)) await bindTopic(driver, stores.log, consumer);
        if (consume !== 'redrive') await stores.log.requireFreeGroup(groupOf(consumer));
        if (consumer.deadLetter === 'kafka') await stores.log.prepareTopic(topicOfDeadLetters(consumer));
      },
      migrate: async (declared) => void (await migrateTables(driver, declared)),
      start(declared, number, reader) {
        // A rebuild goes on: it is often why its consumer is paused.
        const isPaused = () =>
          stores.pauses.of(declared.name) !== undefined &&
          !generations.candidates().some((each) => each.consumer === declared.name && each.number === number);
        const reading = consume === 'redrive' ? undefined : { reader, mostRecords, isPaused };
        // Readers do not see the other generations: who rebuilds is told what halts one.
        return startRunner(declared, number, parts, reading, (error) => {
          if (generations.isLive({ declared, number })) halted.reject(error);
        });
      },
      isClaimed: consume !== 'redrive',
      planOf: (consumer) => readPlan(options.folder, consumer),
      async onLive(known) {
        await noteLedger(options.folder, stores.log, ledger, known);
        followPauses();
      },
    },
    typeof consume === 'object' ? consume : 'all',
  );
  const holding = <Result>(name: string, work: () => Promise<Result>): Promise<Result> => {
    const runner = generations.runners().find(({ consumer }) => consumer.name === name);
    const done = async () => {
      const result = await work();
      // Before anybody reads on: as far as the generation that is live now.
      await generations.refresh();
      return result;
    };
    return runner ? runner.holding(done) : done();
  };
  /** The live generations: what the totals, the lag and the halts of a run are about. */
  const running = () => generations.runners().filter(generations.isLive);

  const ledgers = createPostgresLedgers(driver);
  const keys = createPostgresWaitingKeys(driver);
  const archived = createArchiveLedgers(stores.archive, stores.log);
  const growth = createGrowth(consumers, generations.liveOf, {
    totals: async (consumer) =>
      isArchive(consumer)
        ? totalsOf(await archived.read(ledgerOwner(consumer)))
        : readLedgerTotals(sink, consumer),
    ledgers,
  });
  // What there is by now is not of this run.
  await growth.sinceBegun();
  const handling = () => {
    const now = systemClock.now();
    return running().flatMap(({ declared, consumer: { timeoutMs }, threads }) =>
      threads
        .handlingSince()
        .map((since) => ({ consumer: declared.name, runningMs: Math.max(0, now - since), timeoutMs })),
    );
  };
  const watch = watchLag({
    log: stores.log,
    clock: systemClock,
    consumers: () => consumers.map((declared) => ({ declared, runs: generations.liveOf(declared) })),
    groupOf,
    deadLetters: (consumer) => stores.deadLettersIn(consumer),
    // A sink that does not answer must not keep the verdict from saying so.
    parked: async (consumer) =>
      isArchive(consumer)
        ? null
        : Promise.race([keys.totals(ledgerOwner(consumer)), sleep(PARKED_MS, null, { ref: false })]),
    runner({ name }) {
      const slowest = handling()
        .filter(({ consumer }) => consumer === name)
        .toSorted((a, b) => b.runningMs - a.runningMs)[0];
      return {
        isRunning: true,
        who: `millrace up, process ${process.pid}`,
        ...(slowest && { handling: slowest }),
      };
    },
    commitsBeginning: true,
    pauses: stores.pauses,
    ...(options.holds && { holds: options.holds }),
  });
  const lagAtStart = consume === 'everything' ? totalLag(await watch.look()) : 0;
  generations.start();
  followPauses = () => {
    for (const { source } of generations.runners()) source?.follow();
  };
  stores.pauses.onChange(followPauses);

  local.failed.catch((error) => {
    halted.reject(error);
    for (const { threads } of generations.runners()) threads.abandon(error);
  });

  const stop = async () => {
    stopping.abort();
    await generations.stop();
  };
  return {
    halted: halted.promise,
    async totals() {
      const settled = await growth.sinceBegun();
      // A report may come before the ledger is read, and never with it.
      const repeatedOf = ({ consumer, applied }: (typeof settled)[number]) =>
        Math.min(repeated.get(consumer) ?? 0, applied);
      const grown = settled.map((each) => ({ ...each, applied: each.applied - repeatedOf(each) }));
      const total = settled.reduce((sum, each) => sum + repeatedOf(each), 0);
      return { ...addUp(grown), ...reports, repeated: total, consumers: grown };
    },
    lag: watch.look,
    lagAtStart,
    faults() {
      const each = running().map(({ threads }) => threads.faults());
      const sum = (of: 'redelivered' | 'crashes') => each.reduce((all, counts) => all + counts[of], 0);
      const latest = (of: 'sinkOutageEndsAt' | 'deadLetterOutageEndsAt') =>
        Math.max(0, ...each.map((counts) => counts[of] ?? 0)) || null;
      return {
        redelivered: sum('redelivered'),
        crashes: sum('crashes'),
        sinkOutageEndsAt: latest('sinkOutageEndsAt'),
        deadLetterOutageEndsAt: latest('deadLetterOutageEndsAt'),
      };
    },
    handling,
    ledgers,
    keys,
    async deliver(name, event) {
      const found = generations.runners().find(({ consumer }) => consumer.name === name);
      if (!found) throw noSuchConsumer(name);
      const { invoke, consumer } = found;
      const fn = createFunction({
        name,
        handler: invoke,
        timeoutMs: consumer.timeoutMs,
        clock: systemClock,
      });
      const answer = await fn.invoke(event, createRequestId(systemRandom));
      return (answer ?? { batchItemFailures: [] }) as BatchResponse;
    },
    query: (sql, limits) => local.query(sql, limits),
    pageData: (page) => readPageData(sink, page, systemClock.now),
    generations: generations.calls,
    async rebuilding() {
      return Promise.all(
        generations.candidates().map(async ({ consumer: name, number }) => {
          const declared = consumers.find((each) => each.name === name)!;
          const both = [generationOf(declared, number), generations.liveOf(declared)];
          const standing = await stores.log.standing.read(
            both.map((each) => ({ group: groupOf(each), topic: each.topic.name })),
          );
          const [own, live] = standing.map((each) => totalPoint(each).lag);
          // It goes no further than the live one.
          const lag = own == null || live == null ? null : Math.max(0, own - live);
          const isRunning = generations
            .runners()
            .some((runner) => runner.declared.name === name && runner.number === number);
          return { consumer: name, number, lag, isRunning };
        }),
      );
    },
    async drained() {
      for (let drained = new Set<PausableSource>(); ; ) {
        // A promote meanwhile puts another one in the place of a live generation.
        const left = running().flatMap(({ source }) => (source && !drained.has(source) ? [source] : []));
        if (left.length === 0) return;
        await Promise.race([halted.promise, Promise.all(left.map((source) => source.drained()))]);
        drained = new Set([...drained, ...left]);
      }
    },
    stop,
    async close() {
      await stop();
      await local.close();
    },
  };
}

/**
 * Reads a table of the ledger, in the sink of a folder that no process is running; gives `nothing` where nothing has run there
 * yet, or the sink has no such table. The caller holds the folder's lock.
 * @throws STATE_UNREADABLE where the runs in the folder had their sink elsewhere
 */
export async function readFolderSink<Result>(
  folder: StateFolder,
  tableName: 'millrace_ledger' | 'millrace_key',
  nothing: Result,
  read: (driver: SqlDriver) => Promise<Result>,
): Promise<Result> {
  const { files, path } = folder;
  if (!existsSync(files.sinkReady)) {
    if (!existsSync(files.ledger)) return nothing;
    throw new MillraceError(
      'STATE_UNREADABLE',
      `${path} has no sink: its consumers write to a server. Add --postgres with its URL, as for "millrace up".`,
      { details: { path } },
    );
  }
  const sink = await openEmbeddedSink(folder, QUIET);
  try {
    const { rows } = await new PostgresSink(sink.driver).transaction(({ tx }) =>
      tx.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [`public.${tableName}`]),
    );
    return rows[0]!.there ? await read(sink.driver) : nothing;
  } finally {
    await sink.close();
  }
}

/**
 * Runs one statement on the sink of a folder that no process is running. The caller holds the folder's lock.
 * @throws STATE_UNREADABLE when the folder has no sink yet; INPUT_INVALID when the statement is refused
 */
export async function querySink(folder: StateFolder, sql: string, limits: QueryLimits): Promise<QueryResult> {
  if (!existsSync(folder.files.sinkReady)) {
    throw new MillraceError(
      'STATE_UNREADABLE',
      `Nothing has been consumed in ${folder.path} yet, so there are no tables. Run this first: ${upIn(folder.path)}`,
      { details: { path: folder.path } },
    );
  }
  const sink = await openEmbeddedSink(folder, QUIET);
  try {
    return await sink.query(sql, limits);
  } finally {
    await sink.close();
  }
}

const QUIET: Logger = { debug() {}, info() {}, warn() {}, error() {} };

function noSuchConsumer(consumer: string): MillraceError {
  return new MillraceError(
    'INPUT_INVALID',
    `The running "millrace up" has no consumer ${consumer}. Stop it and start it again, so that it has your newest millrace.config.ts.`,
    { details: { consumer } },
  );
}

function addUp(totals: readonly LedgerTotals[]): LedgerTotals {
  return totals.reduce(
    (sum, each) => ({
      applied: sum.applied + each.applied,
      parked: sum.parked + each.parked,
      deadLettered: sum.deadLettered + each.deadLettered,
      skipped: sum.skipped + each.skipped,
    }),
    { applied: 0, parked: 0, deadLettered: 0, skipped: 0 },
  );
}

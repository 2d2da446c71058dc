/** The whole pipeline in one process, on one state folder: log, queues, PostgreSQL in the process, every consumer. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { PGlite } from '@electric-sql/pglite';
import { consumerHandler } from '../adapters/lambda/consumer-handler.ts';
import { createMemorySchemaRegistry } from '../adapters/memory/memory-schema-registry.ts';
import { ledgerMigrations } from '../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../adapters/postgres/migrate.ts';
import { pgliteDriver } from '../adapters/postgres/pglite-driver.ts';
import { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import { contracts } from '../contracts/index.ts';
import { consumers } from '../lambdas/consumers.ts';
import { type AnyConsumer, MOST_RETRIES } from '../runtime/consumer.ts';
import { GIVEN_UP_PREFIX } from '../runtime/dead-letters/given-up-letters.ts';
import type { DeadLetterPlaces } from '../runtime/dead-letters/places.ts';
import { checkDeclarations } from '../runtime/declarations.ts';
import { createEngine } from '../runtime/engine.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { BatchReport, Logger, Metrics, ObjectStore, Random } from '../runtime/ports.ts';
import { type EventSource, startEventSource } from './event-source/event-source.ts';
import type { FailureDocument } from './event-source/failure-document.ts';
import type { Handler } from './event-source/function.ts';
import { startQueueSource } from './event-source/queue-source.ts';
import { createFaults, type FaultOptions } from './faults.ts';
import { type ConsumerLag, measureLag } from './lag.ts';
import { type LedgerTotals, readLedgerTotals } from './ledger-totals.ts';
import { type QueryResult, queryReadOnly } from './read-only-query.ts';
import type { StateFolder } from './state-folder.ts';
import type { Stores } from './stores.ts';

export interface StackOptions {
  readonly folder: StateFolder;
  readonly stores: Stores;
  readonly faults: Omit<FaultOptions, 'clock' | 'random'>;
  /** Decides the faults. */
  readonly random: Random;
  readonly log: Logger;
  /** `redrive`: topics are left alone, and only what is redriven is consumed. */
  readonly consume: 'everything' | 'redrive';
}

// A share of invocations says something only where there are many: a small input would fit in one.
const FAULTY_BATCH_RECORDS = 200;

/** What the consumers did in this run: their ledgers' growth, and what ledgers do not keep. */
export interface StackTotals extends LedgerTotals {
  readonly duplicates: number;
  readonly retries: number;
}

export interface Stack {
  totals(): Promise<StackTotals>;
  lag(): Promise<readonly ConsumerLag[]>;
  /** Runs one statement that changes nothing. @throws INPUT_INVALID when it is refused */
  query(sql: string): Promise<QueryResult>;
  /** Rejects when a consumer meets what only a person can mend: an error that halts. */
  readonly halted: Promise<never>;
  /** Resolves when no consumer has any lag; rejects as `halted` does. */
  drained(): Promise<void>;
  /** Ends the invocations under way. What they did not settle comes again in the next run. */
  stop(): Promise<void>;
  /** Stops, and closes the sink. */
  close(): Promise<void>;
}

/**
 * Opens the sink, brings its tables up to date and starts every consumer. The caller holds the folder's lock.
 * @throws STATE_UNREADABLE when the sink's files cannot be used; SINK_MISCONFIGURED when a migration fails
 */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { folder, stores, faults, random, log } = options;
  checkDeclarations(contracts, consumers);
  const pglite = await openSink(folder);
  const reports = { duplicates: 0, retries: 0 };
  const halted = Promise.withResolvers<never>();
  halted.promise.catch(() => {});
  for (const { name, partitions } of contracts) await stores.log.createTopic(name, partitions);
  await migrate(pgliteDriver(pglite), 'millrace', ledgerMigrations);
  for (const { name, migrations } of consumers) await migrate(pgliteDriver(pglite), name, migrations);
  const before = await addUp(consumers.map((consumer) => readLedgerTotals(pglite, consumer)));

  const hasFaultyInvocations = (faults.redeliver ?? 0) > 0 || (faults.crash ?? 0) > 0;

  const metrics: Metrics = {
    report({ duplicates, retries }: BatchReport) {
      reports.duplicates += duplicates;
      reports.retries += retries;
    },
    reportRedrive() {},
  };
  const running = consumers.map((declared) => {
    const consumerFaults = createFaults({ ...faults, clock: systemClock, random });
    const consumer = consumerFaults.wrapConsumer(declared);
    const places = stores.deadLettersOf(consumer);
    const engine = createEngine(consumer, {
      clock: systemClock,
      random: systemRandom,
      registry: createMemorySchemaRegistry(contracts),
      sink: consumerFaults.wrapSink(new PostgresSink(pgliteDriver(pglite))),
      deadLetters: consumerFaults.wrapDeadLetters(places.store),
      log,
      metrics,
    });
    const logger = { ...log, addContext() {} };
    const lambda = consumerHandler({
      engine,
      logger,
      metrics,
      objects: places.objects,
      partialResponses: true,
    });
    stores.releaseRedriven(consumer);
    const redrive = startQueueSource({
      queue: places.redrive,
      name: consumer.name,
      handler: (event, context) => lambda(event, context),
      functionTimeoutMs: consumer.timeoutMs,
      clock: systemClock,
      random: systemRandom,
      log,
    });
    if (options.consume === 'redrive') return { redrive, idle: consumerFaults.idle };
    const handler: Handler = (event, context) => lambda(event, context);
    const source = startSource(
      consumer,
      hasFaultyInvocations
        ? Math.min(FAULTY_BATCH_RECORDS, consumer.batch.maxRecords)
        : consumer.batch.maxRecords,
      stores,
      places,
      log,
      consumerFaults.wrapHandler(watchForHalts(handler, halted.reject)),
    );
    return { source, redrive, idle: consumerFaults.idle };
  });

  const stop = async () => {
    await Promise.all(running.flatMap(({ source, redrive }) => [source?.stop(), redrive.stop()]));
    await Promise.all(running.map(({ idle }) => idle()));
  };
  return {
    halted: halted.promise,
    async totals() {
      const now = await addUp(consumers.map((consumer) => readLedgerTotals(pglite, consumer)));
      return {
        applied: now.applied - before.applied,
        deadLettered: now.deadLettered - before.deadLettered,
        holes: now.holes - before.holes,
        ...reports,
      };
    },
    lag: () => Promise.all(consumers.map((consumer) => measureLag(stores.log, consumer))),
    query: (sql) => queryReadOnly(pglite, sql),
    async drained() {
      await Promise.race([halted.promise, Promise.all(running.map(({ source }) => source?.drained()))]);
    },
    stop,
    async close() {
      await stop();
      await pglite.close();
    },
  };
}

/**
 * Runs one statement on the sink of a folder that no process is running. The caller holds the folder's lock.
 * @throws STATE_UNREADABLE when the folder has no sink yet; INPUT_INVALID when the statement is refused
 */
export async function querySink(folder: StateFolder, sql: string): Promise<QueryResult> {
  if (!existsSync(folder.files.sinkReady)) {
    throw new MillraceError(
      'STATE_UNREADABLE',
      `Nothing has been consumed in ${folder.path} yet, so there are no tables. Run "millrace up" on it first.`,
      { details: { path: folder.path } },
    );
  }
  const pglite = await openSink(folder);
  try {
    return await queryReadOnly(pglite, sql);
  } finally {
    await pglite.close();
  }
}

/** Opens PostgreSQL on the folder, and makes it where it is missing or where a kill left it half made. */
async function openSink({ files }: StateFolder): Promise<PGlite> {
  try {
    if (!existsSync(files.sinkReady)) rmSync(files.sink, { recursive: true, force: true });
    const pglite = await PGlite.create(files.sink);
    writeFileSync(files.sinkReady, '');
    return pglite;
  } catch (cause) {
    throw new MillraceError(
      'STATE_UNREADABLE',
      `The sink in ${files.sink} cannot be opened: ${(cause as Error).message}. Name another folder with --state, or start over with "millrace up --fresh".`,
      { cause, details: { path: files.sink } },
    );
  }
}

/** The consumer's event source, by its declaration, with the error handling of Lambda's provisioned mode. */
function startSource(
  consumer: AnyConsumer,
  batchSize: number,
  { log: reader }: Stores,
  { objects }: DeadLetterPlaces,
  log: Logger,
  handler: Handler,
): EventSource {
  return startEventSource({
    topic: consumer.topic.name,
    group: consumer.name,
    mapping: {
      mode: 'provisioned',
      reportBatchItemFailures: true,
      batchSize,
      maximumBatchingWindowMs: consumer.batch.windowMs,
      startingPosition: consumer.startingPosition,
      functionTimeoutMs: consumer.timeoutMs,
      maximumRetryAttempts: consumer.giveUp.afterRetries ?? MOST_RETRIES,
      ...(consumer.giveUp.afterAgeMs !== undefined && { maximumRecordAgeMs: consumer.giveUp.afterAgeMs }),
      onFailure: (document) => putAside(document, objects),
    },
    handler,
    reader,
    clock: systemClock,
    random: systemRandom,
    log,
  });
}

/** Where Lambda would put it: a batch that was given up, with its records. */
async function putAside(document: FailureDocument, objects: ObjectStore): Promise<void> {
  const { timestamp, requestContext, KafkaBatchInfo } = document;
  const [partition] = Object.keys(KafkaBatchInfo.recordsInfo);
  const key = `${GIVEN_UP_PREFIX}local/${partition}/${timestamp}-${requestContext.requestId}`;
  await objects.put(key, Buffer.from(JSON.stringify(document)));
}

/** An event source tries for ever; on a laptop the person who has to act is sitting there. */
function watchForHalts(handler: Handler, onHalt: (error: MillraceError) => void): Handler {
  return async (event, context) => {
    try {
      return await handler(event, context);
    } catch (error) {
      if (error instanceof MillraceError && error.action === 'halt') onHalt(error);
      throw error;
    }
  };
}

async function addUp(totals: readonly Promise<LedgerTotals>[]): Promise<LedgerTotals> {
  return (await Promise.all(totals)).reduce(
    (sum, each) => ({
      applied: sum.applied + each.applied,
      deadLettered: sum.deadLettered + each.deadLettered,
      holes: sum.holes + each.holes,
    }),
    { applied: 0, deadLettered: 0, holes: 0 },
  );
}

/** One generation of a consumer, running: its function's threads, what redrives its dead letters, and its event source. */
import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import type { BatchReport } from '../runtime/delivery/metrics.ts';
import { MillraceError } from '../runtime/errors.ts';
import { mappingOf, type Polling } from '../runtime/lambda/mapping.ts';
import type { Logger, Random } from '../runtime/ports.ts';
import { generationOf } from '../runtime/replay/generation.ts';
import type { LogReader } from '../runtime/topics.ts';
import { startSource, watchForHalts } from './consumer-source.ts';
import type { PausableSource } from './event-source/pausable-source.ts';
import { type QueueSource, startQueueSource } from './event-source/queue-source.ts';
import type { FaultOptions } from './faults.ts';
import { type FunctionThreads, startFunctionThreads } from './function-threads.ts';
import type { LocalSink } from './sinks.ts';
import type { Stores } from './stores.ts';

/** What all consumers of a stack share. */
export interface RunnerParts {
  /** The module that has the app. */
  readonly module: URL;
  readonly sink: LocalSink;
  readonly stores: Stores;
  readonly registry: SchemaRegistry;
  readonly polling: Polling;
  readonly faults: Omit<FaultOptions, 'clock' | 'random' | 'outagesEndAt' | 'onFault'>;
  readonly random: Random;
  readonly log: Logger;
  readonly onReport: (report: BatchReport) => void;
  groupOf(consumer: AnyConsumer): string;
}

/** What its event source reads; only what is redriven is consumed where there is none. */
export interface Reading {
  readonly reader: LogReader;
  readonly mostRecords: number;
  /** Asked at the start, and at each `follow` of the source. */
  isPaused(): boolean;
}

export interface ConsumerRunner {
  readonly declared: AnyConsumer;
  /** 1 for the declared consumer itself. */
  readonly number: number;
  /** As it runs: with the generation's name. */
  readonly consumer: AnyConsumer;
  readonly threads: FunctionThreads;
  readonly redrive: QueueSource;
  readonly source: PausableSource | undefined;
  /** What only a person can fix, once it has met that. */
  readonly halted: () => MillraceError | undefined;
  /** The function, for who delivers beside the event source. */
  readonly invoke: FunctionThreads['invoke'];
  /**
   * Begins no invocation while the work runs, nor the work while one runs; what was read before is not delivered after.
   * @throws REBUILD_REFUSED where one does not end in time
   */
  holding<Result>(work: () => Promise<Result>): Promise<Result>;
  stop(): Promise<void>;
}

/** @param onHalt hears of an error that halts, each time */
export function startRunner(
  declared: AnyConsumer,
  number: number,
  { stores, sink, polling, log: stackLog, groupOf, ...parts }: RunnerParts,
  reading: Reading | undefined,
  onHalt: (error: MillraceError) => void,
): ConsumerRunner {
  const consumer = generationOf(declared, number);
  const resources = stores.deadLettersOf(consumer);
  const log = naming(stackLog, consumer.name);
  let halted: MillraceError | undefined;
  const threads = startFunctionThreads({
    ...parts,
    consumer,
    declared: declared.name,
    generation: number,
    sink,
    deadLetters: stores.deadLetterQueueOf(consumer),
    objects: resources.objects,
    archive: stores.archive,
    producer: stores.log,
    log,
    partialResponses: mappingOf(consumer, polling).provisioned !== null,
  });
  const gate = createGate(consumer.name);
  const invoke = gate.through(threads.invoke);
  stores.releaseRedriven(consumer);
  const redrive = startQueueSource({
    queue: resources.redrive,
    name: consumer.name,
    handler: invoke,
    functionTimeoutMs: consumer.timeoutMs,
    clock: systemClock,
    random: systemRandom,
    log,
  });
  const source =
    reading &&
    startSource(
      consumer,
      groupOf(consumer),
      polling,
      reading.mostRecords,
      reading.reader,
      resources,
      log,
      watchForHalts(invoke, (error) => {
        halted = error;
        onHalt(error);
      }),
      reading.isPaused,
    );
  /** One that is behind reads to the last, and an outage then is the next run's. */
  const laterIfOutage = (error: unknown) => {
    if (!(error instanceof MillraceError) || error.action !== 'hold') throw error;
    log.warn('The topics could not be reached at the end', { code: error.code, message: error.message });
  };
  return {
    declared,
    number,
    consumer,
    threads,
    redrive,
    source,
    halted: () => halted,
    invoke,
    holding: (work) =>
      source
        ? source.whileStopped(
            () => gate.holding(work),
            LONGEST_WAIT_MS,
            () => busy(consumer.name),
          )
        : gate.holding(work),
    async stop() {
      await Promise.all([source?.stop().catch(laterIfOutage), redrive.stop()]);
      await threads.stop();
    },
  };
}

const LONGEST_WAIT_MS = 5_000;
const LOOK_MS = 10;

/** What lets invocations through, but while it is held. */
function createGate(consumer: string) {
  let open: Promise<void> = Promise.resolve();
  let running = 0;
  return {
    through:
      (handler: FunctionThreads['invoke']): FunctionThreads['invoke'] =>
      async (event, context, timedOut) => {
        // It may have been held again, just when it was let go.
        for (let seen: Promise<void> | undefined; seen !== open; ) {
          seen = open;
          await seen;
        }
        running++;
        try {
          return await handler(event, context, timedOut);
        } finally {
          running--;
        }
      },
    async holding<Result>(work: () => Promise<Result>): Promise<Result> {
      const held = Promise.withResolvers<void>();
      open = held.promise;
      try {
        for (let waitedMs = 0; running > 0; waitedMs += LOOK_MS) {
          if (waitedMs >= LONGEST_WAIT_MS) throw busy(consumer);
          await systemClock.sleep(LOOK_MS);
        }
        return await work();
      } finally {
        held.resolve();
      }
    },
  };
}

function busy(consumer: string): MillraceError {
  return new MillraceError(
    'REBUILD_REFUSED',
    `${consumer} has been in the middle of a batch for ${LONGEST_WAIT_MS / 1_000} s, so its tables cannot be left at a clean cut. Nothing was ` +
      'changed. Try again.',
    { details: { reason: 'busy', consumer } },
  );
}

function naming(log: Logger, consumer: string): Logger {
  const line =
    (level: keyof Logger): Logger[keyof Logger] =>
    (message, fields) =>
      log[level](message, { consumer, ...fields });
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
}

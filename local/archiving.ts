/** Archives of topics in Kafka, running in this process as Lambda would run them. */
import { consumerHandler } from '../adapters/lambda/consumer-handler.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import type { Archive } from '../runtime/archive/archive.ts';
import { rowsBeside } from '../runtime/archive/chain.ts';
import { ArchiveSink } from '../runtime/archive/sink.ts';
import type { DeadLetterStore } from '../runtime/delivery/dead-letter.ts';
import { createEngine } from '../runtime/delivery/engine.ts';
import type { BatchReport } from '../runtime/delivery/metrics.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { Polling } from '../runtime/lambda/mapping.ts';
import type { ObjectStore } from '../runtime/objects.ts';
import type { Logger, Random } from '../runtime/ports.ts';
import type { LogReader } from '../runtime/topics.ts';
import { localMapping, watchForHalts } from './consumer-source.ts';
import { type EventSource, startEventSource } from './event-source/event-source.ts';
import { createFaults } from './faults.ts';
import { patientReader } from './patient-reader.ts';

interface ArchivingOptions {
  readonly archives: readonly Archive[];
  readonly reader: LogReader;
  readonly store: ObjectStore;
  readonly log: Logger;
  /** Decides the faults. */
  readonly random: Random;
  readonly faults?: { readonly redeliver?: number; readonly crash?: number };
}

export interface Archiving {
  /** Records that are archived, and records that were delivered again. */
  counts(): { readonly archived: number; readonly repeated: number };
  /** Records that are still to be archived. */
  lag(): Promise<number>;
  /** Rejects when an archive meets what only a person can fix. */
  readonly halted: Promise<never>;
  stop(): Promise<void>;
}

const POLLING: Polling = { mode: 'provisioned', minimumPollers: 1, maximumPollers: 1 };

export function startArchiving(options: ArchivingOptions): Archiving {
  const { archives, store, log, random, faults = {} } = options;
  const halted = Promise.withResolvers<never>();
  halted.promise.catch(() => {});
  const stopping = new AbortController();
  const reader = patientReader(options.reader, { clock: systemClock, log, stop: stopping.signal });
  const counts = { archived: 0, repeated: 0 };
  const metrics = {
    report({ duplicates }: BatchReport) {
      counts.repeated += duplicates;
    },
    reportRedrive() {},
  };
  // By what the store took: a function that dies after its commit reports nothing.
  const counted: ObjectStore = {
    ...store,
    async create(key, body, metadata) {
      const isMade = await store.create(key, body, metadata);
      if (isMade) counts.archived += rowsBeside(metadata);
      return isMade;
    },
  };
  const running = archives.map((archive) => {
    const injected = createFaults({ clock: systemClock, random, ...faults });
    const handler = consumerHandler({
      engine: createEngine(archive, {
        clock: systemClock,
        random: systemRandom,
        registry: NO_REGISTRY,
        sink: injected.wrapSink(
          new ArchiveSink({ store: counted, topic: archive.topic, clock: systemClock }),
        ),
        deadLetters: noLetters(halted.reject),
        log,
        metrics,
      }),
      logger: { ...log, addContext() {} },
      metrics,
      objects: store,
      partialResponses: true,
    });
    const source = startEventSource({
      topic: archive.topic.name,
      group: archive.name,
      mapping: localMapping(archive, POLLING, async ({ requestContext }) => {
        halted.reject(
          new MillraceError(
            'UNEXPECTED',
            `A batch of ${archive.name} was given up: request ${requestContext.requestId}.`,
          ),
        );
      }),
      handler: watchForHalts(
        injected.wrapHandler((event, context) => handler(event, context)),
        halted.reject,
      ),
      reader,
      clock: systemClock,
      random: systemRandom,
      log,
    });
    source.drained().catch(halted.reject);
    return { injected, source };
  });
  const sources: readonly EventSource[] = running.map(({ source }) => source);
  return {
    counts: () => ({ ...counts }),
    async lag() {
      const lags = await Promise.all(sources.map((source) => source.lag()));
      return lags.flat().reduce((sum, each) => sum + each, 0);
    },
    halted: halted.promise,
    async stop() {
      stopping.abort();
      await Promise.all(sources.map((source) => source.stop()));
      await Promise.all(running.map(({ injected }) => injected.idle()));
    },
  };
}

/** Tables' topics hold JSON. */
const NO_REGISTRY = {
  schemaById: async () => undefined,
  latestId: () =>
    Promise.reject(new MillraceError('SCHEMA_UNKNOWN', 'An archive never asks for the latest id.')),
};

/** Debezium writes no record that an archive refuses: one that is refused is a fault to be seen. */
function noLetters(halt: (error: MillraceError) => void): DeadLetterStore {
  return {
    async put([letter]) {
      const error = new MillraceError(
        'DEAD_LETTER_STORE_UNAVAILABLE',
        `A record was refused, which has no place to go here: ${letter?.id} with ${letter?.failure.code}.`,
      );
      halt(error);
      throw error;
    },
  };
}

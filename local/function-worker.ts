/** A thread that is one environment of a consumer's function: it decodes and handles, one invocation at a time. */
import { parentPort, workerData } from 'node:worker_threads';
import type pg from 'pg';
import { codeFingerprint } from '../adapters/files/code-fingerprint.ts';
import { consumerHandler } from '../adapters/lambda/consumer-handler.ts';
import { keptConnection } from '../adapters/postgres/kept-connection.ts';
import { pgDriver } from '../adapters/postgres/pg-driver.ts';
import { PostgresSink } from '../adapters/postgres/postgres-sink.ts';
import type { SqlDriver } from '../adapters/postgres/sql-driver.ts';
import { createThreadDriver } from '../adapters/postgres/thread-driver.ts';
import { createSeededRandom } from '../adapters/system/seeded-random.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import { asBuffer, connect } from '../adapters/threads/calls.ts';
import { type ObjectCalls, threadObjects } from '../adapters/threads/thread-objects.ts';
import type { App } from '../runtime/app.ts';
import { isArchive } from '../runtime/archive/archive.ts';
import { ArchiveSink } from '../runtime/archive/sink.ts';
import type { AvroSchema } from '../runtime/avro/schema.ts';
import type { OutgoingMessage } from '../runtime/dead-letters/queue.ts';
import { createQueueStore } from '../runtime/dead-letters/queue-letters.ts';
import { createTopicLetters } from '../runtime/dead-letters/topic-letters.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { createEngine } from '../runtime/delivery/engine.ts';
import type { BatchReport } from '../runtime/delivery/metrics.ts';
import type { Sink } from '../runtime/delivery/sink.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { KafkaEvent } from '../runtime/lambda/kafka-event.ts';
import { isQueueEvent } from '../runtime/lambda/queue-event.ts';
import type { Logger } from '../runtime/ports.ts';
import type { Position } from '../runtime/record.ts';
import { generationOf } from '../runtime/replay/generation.ts';
import { localContext } from './event-source/function.ts';
import { createFaults, type FaultKind, type FaultOptions } from './faults.ts';
import { createSightings } from './sightings.ts';
import { CONNECT_TIMEOUT_MS, type SinkAddress } from './sinks.ts';

export interface FunctionWorkerData {
  /** URL of the module whose default export is the app, with the named consumer. */
  readonly module: string;
  readonly consumer: string;
  /** Which generation of its tables it fills. */
  readonly generation: number;
  /** Whether the event source reads partial batch responses. */
  readonly partialResponses: boolean;
  readonly faults: Omit<FaultOptions, 'clock' | 'random' | 'onFault'>;
  /** Decides the faults. */
  readonly seed: number;
  /** Since when handle() is running, in epoch milliseconds, 0 while it is not: it can be read while it runs. */
  readonly handlingSince: BigInt64Array<SharedArrayBuffer>;
}

type Bytes = Uint8Array | null;

/** What a function's thread asks of this one, which has the topics and the queues. */
export type FunctionPorts = ObjectCalls & {
  sendLetters(messages: readonly OutgoingMessage[]): Promise<void>;
  putPayload(key: string, body: Uint8Array): Promise<void>;
  getPayload(key: string): Promise<Uint8Array | undefined>;
  produce(
    topic: string,
    records: readonly {
      readonly key: Bytes;
      readonly value: Bytes;
      readonly headers: readonly { readonly name: string; readonly value: Bytes }[];
      readonly timestamp?: number;
    }[],
  ): Promise<readonly Position[]>;
  schemaById(id: string): Promise<AvroSchema | undefined>;
  log(level: keyof Logger, message: string, fields: Readonly<Record<string, unknown>>): void;
  report(report: BatchReport): void;
  fault(kind: FaultKind): void;
  brokenOff(): void;
};

export type FunctionCalls = {
  useSink(address: SinkAddress): void;
  invoke(event: unknown, requestId: string, endsAt: number): Promise<unknown>;
  /** Resolves when nothing runs any more, slow redelivered invocations included. */
  idle(): Promise<void>;
};

const {
  module,
  consumer: declaredName,
  generation,
  faults,
  seed,
  handlingSince,
  partialResponses,
} = workerData as FunctionWorkerData;
const { default: app } = (await import(module)) as { readonly default: App };
const declared = generationOf(app.consumers.find((each) => each.name === declaredName)!, generation);
const main = connect<FunctionPorts>(parentPort!, {
  useSink(address) {
    if ('port' in address) embedded.use(address.port);
    else server = import('pg').then(({ default: pg }) => serverDriver(pg, address.url));
  },
  async invoke(event, requestId, endsAt) {
    const context = localContext(declared.name, requestId, endsAt, systemClock);
    return isQueueEvent(event) ? await lambda(event, context) : await faulty(event as KafkaEvent, context);
  },
  idle: () => injected.idle(),
} satisfies FunctionCalls);

const embedded = createThreadDriver(() => main.tell('brokenOff', []));
let server: Promise<SqlDriver> | undefined;
const driver: SqlDriver = { begin: async (schema) => (await (server ?? embedded)).begin(schema) };

const injected = createFaults({
  ...faults,
  clock: systemClock,
  random: createSeededRandom(seed),
  onFault: (kind) => main.tell('fault', [kind]),
});
const sightings = createSightings(declared);
const consumer = sightings.wrapConsumer(injected.wrapConsumer(clocked(declared)));
const log = sightings.wrapLog(createLog());
const metrics = {
  report: (report: Parameters<FunctionPorts['report']>[0]) => main.tell('report', [report]),
  reportRedrive() {},
};
const objects = {
  put: (key: string, body: Buffer) => main.call('putPayload', key, own(body)),
  get: async (key: string) => {
    const bytes = await main.call('getPayload', key);
    return bytes && asBuffer(bytes);
  },
};
const store =
  consumer.deadLetter === 'kafka'
    ? createTopicLetters({
        topic: consumer.deadLetterTopic,
        producer: {
          send: (topic, records) =>
            main.call(
              'produce',
              topic,
              records.map(({ key, value, headers = [], ...rest }) => ({
                ...rest,
                key: key && own(key),
                value: value && own(value),
                headers: headers.map((header) => ({ ...header, value: header.value && own(header.value) })),
              })),
            ),
        },
      })
    : createQueueStore({ queue: { send: (messages) => main.call('sendLetters', messages) }, objects });

// biome-ignore lint/suspicious/noExplicitAny: the consumer's declaration says which transaction its sink gives.
const sink: Sink<any> = isArchive(consumer)
  ? new ArchiveSink({ store: threadObjects(main), topic: consumer.topic, clock: systemClock })
  : new PostgresSink(driver, { schema: declared.name });

const lambda = consumerHandler({
  engine: createEngine(consumer, {
    clock: systemClock,
    random: systemRandom,
    registry: {
      schemaById: (id) => main.call('schemaById', id),
      latestId: () =>
        Promise.reject(new MillraceError('SCHEMA_UNKNOWN', 'A consumer never asks for the latest id.')),
    },
    sink: injected.wrapSink(sink),
    deadLetters: injected.wrapDeadLetters(sightings.wrapDeadLetters(store)),
    log,
    metrics,
    code: codeFingerprint(new URL(module), { ...declared, name: declaredName }),
  }),
  logger: { ...log, addContext() {} },
  metrics,
  objects,
  partialResponses,
});
const faulty = injected.wrapHandler((event, context) => lambda(event, context));

/** A connection for one invocation at a time; a slow redelivered one opens another. */
function serverDriver({ Client }: typeof pg, connectionString: string): SqlDriver {
  const settings = { connectionString, connectionTimeoutMillis: CONNECT_TIMEOUT_MS };
  return pgDriver(keptConnection(() => new Client(settings)));
}

function clocked(consumer: AnyConsumer): AnyConsumer {
  return {
    ...consumer,
    async handle(records, context) {
      Atomics.store(handlingSince, 0, BigInt(Date.now()));
      try {
        await consumer.handle(records, context);
      } finally {
        Atomics.store(handlingSince, 0, 0n);
      }
    },
  };
}

/** A copy: of a view, the whole buffer behind it would go across. */
function own(bytes: Buffer): Uint8Array {
  return new Uint8Array(bytes);
}

function createLog(): Logger {
  const line =
    (level: keyof Logger) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) =>
      main.tell('log', [
        level,
        message,
        Object.fromEntries(Object.entries(fields).map(([field, value]) => [field, shown(value)])),
      ]);
  return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
}

/** What a handler logs can be anything; an error's own text may quote a payload. */
function shown(value: unknown): unknown {
  if (value instanceof MillraceError) return { code: value.code, message: value.message };
  if (value instanceof Error) return value.name;
  try {
    return structuredClone(value);
  } catch {
    return String(value);
  }
}

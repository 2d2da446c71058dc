/**
 * A consumer's function as Lambda runs it: in environments that take one invocation at a time, each a thread. One that is
 * still busy when its time is over is ended, and so is one that its handler ends; the next invocation gets a new one.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Context } from 'aws-lambda';
import { asBuffer, type Connection, connect } from '../adapters/threads/calls.ts';
import { serveObjects } from '../adapters/threads/thread-objects.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import type { Queue } from '../runtime/dead-letters/queue.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import type { BatchReport } from '../runtime/delivery/metrics.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { ObjectStore } from '../runtime/objects.ts';
import type { Logger, Random } from '../runtime/ports.ts';
import type { Producer } from '../runtime/topics.ts';
import type { FaultKind, FaultOptions } from './faults.ts';
import type { FunctionCalls, FunctionPorts, FunctionWorkerData } from './function-worker.ts';
import type { LocalSink } from './sinks.ts';

/** Beside this file, whether it is a source or compiled. */
const WORKER = new URL(`function-worker${extname(import.meta.url)}`, import.meta.url);

export interface FunctionOptions {
  /** As it runs: with its generation's name. */
  readonly consumer: AnyConsumer;
  /** The name it is declared by. @default its own */
  readonly declared?: string;
  /** @default 1: the declared consumer itself */
  readonly generation?: number;
  /** The module that exports `consumers`, this one among them: each thread loads it. */
  readonly module: URL;
  readonly sink: Pick<LocalSink, 'connect'>;
  readonly deadLetters: Pick<Queue, 'send'>;
  readonly objects: Pick<ObjectStore, 'get' | 'put'>;
  /** For an archive. */
  readonly archive: ObjectStore;
  readonly producer: Producer;
  readonly registry: Pick<SchemaRegistry, 'schemaById'>;
  readonly faults: Omit<FaultOptions, 'clock' | 'random' | 'outagesEndAt' | 'onFault'>;
  /** Decides the faults. */
  readonly random: Random;
  readonly log: Logger;
  readonly onReport: (report: BatchReport) => void;
  /** Whether its event source reads partial batch responses. */
  readonly partialResponses: boolean;
}

export interface FunctionThreads {
  /** @throws FUNCTION_EXITED where the thread ends by itself; whatever the function throws */
  invoke(event: unknown, context: Context, timedOut?: AbortSignal): Promise<unknown>;
  /** Since when each handle() that runs now has been running, in epoch milliseconds. */
  handlingSince(): readonly number[];
  /** The faults that have happened. */
  faults(): FaultCounts;
  /** Waits for slow redelivered invocations, and ends the threads. */
  stop(): Promise<void>;
  /** Ends the threads at once. What is under way rejects with the reason, and so does what is invoked later. */
  abandon(reason: Error): void;
}

export interface FaultCounts {
  readonly redelivered: number;
  readonly crashes: number;
  /** When the sink's outage ends or ended, in epoch milliseconds; null where there was none. So the dead-letter store's. */
  readonly sinkOutageEndsAt: number | null;
  readonly deadLetterOutageEndsAt: number | null;
}

/** Five concurrent invocations of the event source, and one of the redrive queue. */
const MOST_THREADS = 6;
/**
 * V8 ends the whole process where a thread asks for more than its limit at one go, so the limit is set above what the
 * function may have, and this thread ends it before it gets there.
 */
const LIMIT_OF_V8 = 4;
const HEAP_LOOK_MS = 200;
/** Of each thread. Left to itself, V8 lets six of them fill hundreds of MB with what is garbage already. */
const YOUNG_GENERATION_MB = 12;
/** For slow redelivered invocations; what a handler has left running is not waited for. */
const IDLE_PATIENCE_MS = 5_000;
/** A cold start takes longer than to wait a little for a thread that is about to be free. */
const COLD_START_AFTER_MS = 1_000;

/** Starts with one thread, which is loading when this returns. */
export function startFunctionThreads(options: FunctionOptions): FunctionThreads {
  const { consumer, log } = options;
  const outagesEndAt = new Float64Array(new SharedArrayBuffer(16));
  const most = Math.min(MOST_THREADS, consumer.reservedConcurrency ?? MOST_THREADS);
  const faultCounts = { redelivered: 0, crashes: 0 };
  const onFault = (kind: FaultKind) => {
    faultCounts[kind === 'crash' ? 'crashes' : 'redelivered']++;
  };
  const threads = new Set<FunctionThread>();
  const idle: FunctionThread[] = [];
  const waiting: PromiseWithResolvers<FunctionThread>[] = [];
  let abandoned: Error | undefined;

  const add = (): FunctionThread => {
    const thread = new FunctionThread(options, outagesEndAt, onFault, (error, wasBusy) => {
      threads.delete(thread);
      if (idle.includes(thread)) idle.splice(idle.indexOf(thread), 1);
      if (error && !wasBusy)
        log.error('Function ended by itself', { code: error.code, message: error.message });
      if (waiting.length > 0 && threads.size < most && !abandoned) free(add());
    });
    threads.add(thread);
    return thread;
  };
  const free = (thread: FunctionThread) => {
    const next = waiting.shift();
    if (next) next.resolve(thread);
    else idle.push(thread);
  };
  const take = async (timedOut?: AbortSignal): Promise<FunctionThread> => {
    if (abandoned) throw abandoned;
    const ready = idle.pop();
    if (ready) return ready;
    if (threads.size === 0) return add();
    const given = Promise.withResolvers<FunctionThread>();
    waiting.push(given);
    const leave = () => {
      const at = waiting.indexOf(given);
      if (at >= 0) waiting.splice(at, 1);
      return at >= 0;
    };
    const coldStart = setTimeout(() => {
      if (threads.size < most && leave()) given.resolve(add());
    }, COLD_START_AFTER_MS);
    timedOut?.addEventListener('abort', () => leave() && given.reject(timedOut.reason), { once: true });
    try {
      return await given.promise;
    } finally {
      clearTimeout(coldStart);
    }
  };
  idle.push(add());

  return {
    async invoke(event, context, timedOut) {
      const thread = await take(timedOut);
      try {
        return await thread.invoke(event, context, timedOut);
      } finally {
        if (thread.isAlive()) free(thread);
      }
    },
    handlingSince: () => [...threads].map((thread) => thread.handlingSince()).filter((since) => since > 0),
    faults: () => ({
      ...faultCounts,
      sinkOutageEndsAt: outagesEndAt[0] || null,
      deadLetterOutageEndsAt: outagesEndAt[1] || null,
    }),
    async stop() {
      await Promise.all([...threads].map((thread) => thread.endWhenIdle()));
    },
    abandon(reason) {
      abandoned = reason;
      for (const { reject } of waiting.splice(0)) reject(reason);
      for (const thread of threads) void thread.end(reason);
    },
  };
}

class FunctionThread {
  readonly #worker: Worker;
  readonly #calls: Connection<FunctionCalls>;
  readonly #handlingSince = new BigInt64Array(new SharedArrayBuffer(8));
  #isBusy = false;
  #isEnded = false;
  #heapWatch: NodeJS.Timeout | undefined;

  /** @param onExit its error where nobody ended it */
  constructor(
    {
      consumer,
      declared = consumer.name,
      generation = 1,
      module,
      sink,
      deadLetters,
      objects,
      archive,
      producer,
      registry,
      faults,
      random,
      log,
      onReport,
      partialResponses,
    }: FunctionOptions,
    outagesEndAt: Float64Array,
    onFault: (kind: FaultKind) => void,
    onExit: (error: MillraceError | undefined, wasBusy: boolean) => void,
  ) {
    const workerData: FunctionWorkerData = {
      module: module.href,
      consumer: declared,
      generation,
      partialResponses,
      faults: { ...faults, outagesEndAt },
      seed: Math.floor(random.next() * 2 ** 32),
      handlingSince: this.#handlingSince,
    };
    this.#worker = new Worker(WORKER, {
      workerData,
      resourceLimits: {
        maxOldGenerationSizeMb: consumer.memoryMb * LIMIT_OF_V8,
        maxYoungGenerationSizeMb: YOUNG_GENERATION_MB,
      },
    });
    this.#heapWatch = setInterval(() => this.#endIfTooLarge(consumer), HEAP_LOOK_MS).unref();
    this.#calls = connect<FunctionCalls>(this.#worker, {
      sendLetters: (messages) => deadLetters.send(messages),
      ...serveObjects(archive),
      putPayload: (key, body) => objects.put(key, asBuffer(body)),
      getPayload: (key) => objects.get(key),
      produce: (topic, records) =>
        producer.send(
          topic,
          records.map(({ key, value, headers, ...rest }) => ({
            ...rest,
            key: key && asBuffer(key),
            value: value && asBuffer(value),
            headers: headers.map((header) => ({ ...header, value: header.value && asBuffer(header.value) })),
          })),
        ),
      schemaById: (id) => registry.schemaById(id),
      log: (level, message, fields) => log[level](message, fields),
      report: onReport,
      fault: onFault,
      brokenOff: () => sinkUser.brokenOff(),
    } satisfies FunctionPorts);
    const sinkUser = sink.connect((address) =>
      this.#calls.tell('useSink', [address], 'port' in address ? [address.port] : []),
    );
    let thrown: unknown;
    this.#worker.on('error', (error) => {
      thrown = error;
    });
    this.#worker.on('exit', (code) => {
      clearInterval(this.#heapWatch);
      const error = exited(consumer, code, thrown);
      Atomics.store(this.#handlingSince, 0, 0n);
      sinkUser.end();
      const isOwnDoing = !this.#isEnded;
      this.#isEnded = true;
      this.#calls.end(error);
      onExit(isOwnDoing ? error : undefined, this.#isBusy);
    });
  }

  async invoke(event: unknown, context: Context, timedOut: AbortSignal | undefined): Promise<unknown> {
    this.#isBusy = true;
    const onTimeout = () => void this.end();
    timedOut?.addEventListener('abort', onTimeout, { once: true });
    try {
      const endsAt = Date.now() + context.getRemainingTimeInMillis();
      return await this.#calls.call('invoke', event, context.awsRequestId, endsAt);
    } finally {
      timedOut?.removeEventListener('abort', onTimeout);
      this.#isBusy = false;
    }
  }

  #endIfTooLarge(consumer: AnyConsumer): void {
    if (!this.#isBusy || this.#isEnded) return;
    this.#worker.getHeapStatistics().then(
      ({ used_heap_size, external_memory }) => {
        if (used_heap_size + external_memory <= consumer.memoryMb * 2 ** 20 || this.#isEnded) return;
        void this.end(outOfMemory(consumer));
      },
      // It has ended meanwhile.
      () => {},
    );
  }

  isAlive(): boolean {
    return !this.#isEnded;
  }

  handlingSince(): number {
    return Number(Atomics.load(this.#handlingSince, 0));
  }

  async endWhenIdle(): Promise<void> {
    const tooLate = new Promise((resolve) => setTimeout(resolve, IDLE_PATIENCE_MS).unref());
    await Promise.race([this.#calls.call('idle').catch(() => {}), tooLate]);
    await this.end();
  }

  /** @param reason what is under way rejects with it */
  async end(reason?: Error): Promise<void> {
    this.#isEnded = true;
    if (reason) this.#calls.end(reason);
    await this.#worker.terminate();
  }
}

function exited({ name }: AnyConsumer, code: number, thrown: unknown): MillraceError {
  const why =
    thrown === undefined
      ? `its code called process.exit(${code}), which also ends a function on Lambda. Throw an error instead`
      : `its code threw ${thrown instanceof Error ? thrown.name : typeof thrown} where nothing could catch it`;
  return functionExited(name, why);
}

function outOfMemory({ name, memoryMb }: AnyConsumer): MillraceError {
  const why = `it needed more than its ${memoryMb} MB of memory. Keep less in memory, or raise memoryMb in its defineConsumer()`;
  return functionExited(name, why);
}

function functionExited(consumer: string, why: string): MillraceError {
  return new MillraceError(
    'FUNCTION_EXITED',
    `The function of ${consumer} ended in the middle of a batch: ${why}. The batch is delivered again.`,
    { details: { consumer } },
  );
}

/** Starts the console's thread beside a run, and ends it with the run. Its failure is the run's only where it cannot begin. */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { connect } from '../../adapters/threads/calls.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { ConsoleCalls, ConsoleWorkerData } from '../console-worker.ts';
import type { ConsoleOptions } from './context.ts';

/** Beside this folder, whether it is a source or compiled. */
const WORKER = new URL(`../console-worker${extname(import.meta.url)}`, import.meta.url);

export const CONSOLE_PORT = 4181;

export interface ConsoleThreadOptions extends ConsoleOptions {
  /** @default 4181, or any that is free */
  readonly consolePort?: number;
}

export interface ConsoleThread {
  /**
   * Serves the console once the run can be asked.
   * @returns its URL; null where it does not run, which was said
   * @throws INPUT_INVALID when a port that somebody chose is taken
   */
  serve(): Promise<string | null>;
  /** Cancels what is under way, and ends the thread, whatever it does. */
  close(): Promise<void>;
  /** Ends the thread at once. */
  abandon(): void;
}

/** How long an action that is under way may take to end. */
const CLOSE_MS = 500;
const WATCH_MS = 1_000;
/** Of the heap: a hundred thousand letters fit in. V8 ends the whole process where a thread passes V8's own limit at one go. */
const MOST_HEAP_BYTES = 768 * 2 ** 20;
const V8_LIMIT_MB = 3_072;
/** Left to itself, V8 lets garbage grow. */
const YOUNG_GENERATION_MB = 16;

/** @param say tells a person, once, that there is no console, or no longer */
export function startConsoleThread(
  { consolePort, ...options }: ConsoleThreadOptions,
  say: (note: string) => void,
): ConsoleThread {
  const workerData: ConsoleWorkerData = {
    options,
    port: consolePort ?? CONSOLE_PORT,
    orAnyPort: consolePort === undefined,
  };
  const worker = new Worker(WORKER, {
    workerData,
    execArgv: [...process.execArgv, '--disable-warning=ExperimentalWarning'],
    resourceLimits: { maxOldGenerationSizeMb: V8_LIMIT_MB, maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
  });
  const calls = connect<ConsoleCalls>(worker);
  let isOver = false;

  const end = (why: Error) => {
    calls.end(why);
    clearInterval(watching);
    void worker.terminate();
    if (!isOver)
      say(
        `The console has ended: ${why.message.replace(/\.?$/, '.')} The pipeline goes on; "millrace console" starts another.`,
      );
    isOver = true;
  };
  worker.on('error', end);
  worker.on('exit', () => end(new Error('its thread ended by itself')));
  const watching = setInterval(async () => {
    const heap = await worker.getHeapStatistics().catch(() => undefined);
    if (heap && heap.used_heap_size > MOST_HEAP_BYTES)
      end(new Error(`it used more than ${MOST_HEAP_BYTES / 2 ** 20} MB of memory`));
  }, WATCH_MS);
  watching.unref();

  return {
    async serve() {
      try {
        return await calls.call('serve');
      } catch (error) {
        const isChosen = consolePort !== undefined && error instanceof MillraceError;
        if (isChosen && error.code === 'INPUT_INVALID') throw error;
        end(error as Error);
        return null;
      }
    },
    async close() {
      if (isOver) return;
      isOver = true;
      const late = new Promise<void>((resolve) => setTimeout(resolve, CLOSE_MS).unref());
      await Promise.race([calls.call('close').catch(() => {}), late]);
      clearInterval(watching);
      await worker.terminate();
    },
    abandon() {
      isOver = true;
      clearInterval(watching);
      void worker.terminate();
    },
  };
}

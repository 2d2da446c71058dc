/** PostgreSQL on the state folder, in a thread of its own, watched from outside and ended where it cannot go on. */
import { existsSync, mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { extname } from 'node:path';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { createThreadDriver } from '../adapters/postgres/thread-driver.ts';
import { type Connection, connect } from '../adapters/threads/calls.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { Logger } from '../runtime/ports.ts';
import type { QueryResult } from './read-only-query.ts';
import type { SinkCalls, SinkWorkerData } from './sink-worker.ts';
import type { LocalSink, QueryLimits } from './sinks.ts';
import type { StateFolder } from './state-folder.ts';

/** Beside this file, whether it is a source or compiled. */
const WORKER = new URL(`sink-worker${extname(import.meta.url)}`, import.meta.url);

interface Thread {
  readonly worker: Worker;
  readonly calls: Connection<SinkCalls>;
  readonly opened: Promise<void>;
  isOpen: boolean;
  /** When it was asked for the sign of life that it still owes; undefined where it owes none. To open is one. */
  askedAt: number | undefined;
}

const WATCH_MS = 250;
/** How long a statement that nobody waits for any more may run on: most are over before that. */
const GRACE_MS = 1_000;
/** PostgreSQL cannot go on without room for its log, whose files have 16 MiB, and then it tries for ever, without a word. */
const LEAST_FREE_BYTES = 32 * 2 ** 20;
const SILENT_MS = 5_000;
/** To write what is in memory, at the end. */
const CLOSE_MS = 10_000;

/** Opens it, and makes it where it is missing or where a kill left it half made. @throws STATE_UNREADABLE, DISK_FULL */
export async function openEmbeddedSink({ path, files }: StateFolder, log: Logger): Promise<LocalSink> {
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  const holder = new Int32Array(new SharedArrayBuffer(4));
  /** By the number of each: what gives a user a new port when the thread is a new one. */
  const users = new Map<number, (port: MessagePort) => void>();
  /** Those whose statement nobody waits for any more, with the time since when. */
  const brokenOff = new Map<number, number>();
  let lastUser = 0;
  let isClosed = false;
  let thread: Thread;
  /** Resolves when the thread is open, and its users can reach it. */
  let ready: Promise<void>;

  const start = (): Thread => {
    const workerData: SinkWorkerData = { folder: files.sink, holder };
    const worker = new Worker(WORKER, { workerData });
    const calls = connect<SinkCalls>(worker);
    Atomics.store(holder, 0, 0);
    brokenOff.clear();
    const started: Thread = {
      worker,
      calls,
      opened: calls.call('open'),
      isOpen: false,
      askedAt: performance.now(),
    };
    worker.on('error', (error) => calls.end(error));
    worker.on('exit', () => {
      calls.end(new Error('its thread has ended'));
      if (started.isOpen && started === thread && !isClosed) restart('its thread ended by itself');
    });
    started.opened.then(
      () => {
        started.isOpen = true;
        started.askedAt = undefined;
      },
      () => {},
    );
    return started;
  };

  const serve = (number: number, give: (port: MessagePort) => void) => {
    const { port1, port2 } = new MessageChannel();
    thread.calls.tell('serve', [port1, number], [port1]);
    give(port2);
  };

  /** What is under way is lost with the thread, and rolled back; files on the disk survive it as they survive a kill. */
  const restart = (why: string) => {
    log.warn('PostgreSQL was stopped and restarts; its work is done again', { why });
    const { worker } = thread;
    thread.isOpen = false;
    // One at a time: the folder is one's own.
    ready = worker.terminate().then(async () => {
      if (isClosed) throw new Error('the sink is closed');
      thread = start();
      await thread.opened;
      for (const [number, give] of users) serve(number, give);
    });
    ready.catch((error) => {
      if (!isClosed) fail(unreadable(files.sink, error));
    });
  };

  const fail = (error: MillraceError) => {
    failed.reject(error);
    thread.calls.end(error);
    void thread.worker.terminate();
    isClosed = true;
    clearInterval(watching);
  };

  const watch = () => {
    const watched = thread;
    const now = performance.now();
    if (watched.askedAt === undefined) {
      watched.askedAt = now;
      watched.calls.call('ping').then(
        () => {
          watched.askedAt = undefined;
          for (const [number, since] of brokenOff) if (since < now) brokenOff.delete(number);
        },
        () => {},
      );
      return;
    }
    const silentMs = now - watched.askedAt;
    const since = brokenOff.get(Atomics.load(holder, 0));
    if (watched.isOpen && since !== undefined && now - since >= GRACE_MS && silentMs >= GRACE_MS) {
      restart('an abandoned statement did not end');
    } else if (silentMs >= SILENT_MS) {
      const full = diskFull(path, new Error('PostgreSQL does not answer'));
      if (full) fail(full);
    }
  };

  const noteBrokenOff = (number: number) => {
    if (!brokenOff.has(number)) brokenOff.set(number, performance.now());
  };

  if (!existsSync(files.sinkReady)) rmSync(files.sink, { recursive: true, force: true });
  // PGlite's own files are for everybody to read.
  mkdirSync(files.sink, { recursive: true, mode: 0o700 });
  thread = start();
  ready = thread.opened;
  const watching = setInterval(watch, WATCH_MS);
  try {
    await Promise.race([thread.opened, failed.promise]);
    writeFileSync(files.sinkReady, '', { mode: 0o600 });
  } catch (cause) {
    clearInterval(watching);
    isClosed = true;
    await thread.worker.terminate();
    throw cause instanceof MillraceError ? cause : unreadable(files.sink, cause as Error);
  }

  const addUser = (give: (port: MessagePort) => void): number => {
    const number = ++lastUser;
    users.set(number, give);
    // Else it is served as all are, once the thread is open again.
    if (thread.isOpen) serve(number, give);
    return number;
  };
  const own = createThreadDriver(() => noteBrokenOff(ownNumber));
  const ownNumber = addUser((port) => own.use(port));

  return {
    driver: {
      async begin(schema) {
        await ready;
        return own.begin(schema);
      },
    },
    at: files.sink,
    failed: failed.promise,
    // Whoever has the folder has its sink.
    async claim() {},
    connect(give) {
      const number = addUser((port) => give({ port }));
      return {
        brokenOff: () => noteBrokenOff(number),
        end() {
          users.delete(number);
          noteBrokenOff(number);
        },
      };
    },
    async query(sql, limits = {}) {
      const number = ++lastUser;
      let isGivenUp = false;
      const ask = async (): Promise<QueryResult> => {
        await ready;
        if (isGivenUp) throw new Error('the query was abandoned');
        const asked = thread;
        try {
          return await asked.calls.call('query', sql, number);
        } catch (error) {
          // Where its thread was ended for somebody else's statement, it is asked again.
          if (asked.isOpen || isGivenUp || isClosed) throw error;
          return ask();
        }
      };
      return limited(ask(), limits, () => {
        isGivenUp = true;
        thread.calls.tell('forget', [number]);
        // Should it begin all the same, the watch ends it.
        noteBrokenOff(number);
        if (Atomics.load(holder, 0) !== number || !thread.isOpen) return;
        restart('a query of "millrace sql" did not end');
      });
    },
    async close() {
      if (isClosed) return;
      isClosed = true;
      clearInterval(watching);
      const { worker, calls } = thread;
      const tooLate = new Promise((resolve) => setTimeout(resolve, CLOSE_MS).unref());
      await Promise.race([calls.call('close').catch(() => {}), tooLate]);
      await worker.terminate();
    },
  };
}

/** @param giveUp called when the time is over or nobody waits any more */
async function limited(
  answer: Promise<QueryResult>,
  { timeoutMs, signal }: QueryLimits,
  giveUp: () => void,
): Promise<QueryResult> {
  const over = Promise.withResolvers<never>();
  const stop = (error: MillraceError) => {
    over.reject(error);
    giveUp();
  };
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => stop(tooLong(timeoutMs)), timeoutMs);
  const onAbort = () => stop(new MillraceError('INPUT_INVALID', 'The query was cancelled.'));
  if (signal?.aborted) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([answer, over.promise]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

function tooLong(timeoutMs: number): MillraceError {
  return new MillraceError(
    'INPUT_INVALID',
    `The query did not end within ${timeoutMs / 1_000} s and was stopped, because consumers wait while it runs. Ask for less, or ` +
      'allow more time with --timeout.',
    { details: { timeoutMs } },
  );
}

/** What to say in the place of `cause` where the disk of the folder is full; undefined where it is not. */
export function diskFull(path: string, cause: Error): MillraceError | undefined {
  const { bavail, bsize } = statfsSync(path);
  const freeBytes = bavail * bsize;
  if (freeBytes >= LEAST_FREE_BYTES) return undefined;
  return new MillraceError(
    'DISK_FULL',
    `The disk of ${path} is full: it has ${Math.floor(freeBytes / 2 ** 20)} MiB free, and PostgreSQL alone needs ` +
      `${LEAST_FREE_BYTES / 2 ** 20} MiB. Free some space and start again. What was consumed is kept, and the next run continues from here. ` +
      `What failed: ${cause.message}`,
    { cause, details: { path, freeBytes } },
  );
}

function unreadable(path: string, cause: Error): MillraceError {
  return new MillraceError(
    'STATE_UNREADABLE',
    `The sink in ${path} cannot be opened: ${cause.message}. Name another folder with --state, or start over with "millrace up --fresh".`,
    { cause, details: { path } },
  );
}

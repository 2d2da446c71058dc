/** On a laptop somebody has to run the consumer whose redrive queue a command has sent to. */
import { systemClock } from '../../adapters/system/system-clock.ts';
import { systemRandom } from '../../adapters/system/system-random.ts';
import { isRunning, type StateLock, tryLockStateFolder } from '../../local/state-folder.ts';
import { loadApp } from '../app.ts';
import { createRunLog } from '../run-log.ts';
import { printNote } from '../terminal.ts';
import type { DlqSession } from './session.ts';

/** How often to check whether somebody still runs the consumer. */
const TAKE_OVER_MS = 200;

/**
 * Does the work while somebody runs the consumer. On a laptop that is the process that holds the folder, and as soon as there
 * is none, this one. On AWS the function is there.
 */
export async function withFunction<Result>(
  session: DlqSession,
  postgres: string | undefined,
  work: () => Promise<Result>,
): Promise<Result> {
  const function_ = await startFunction(session, postgres);
  try {
    return await work();
  } finally {
    await function_.stop();
  }
}

async function startFunction(
  session: DlqSession,
  postgres: string | undefined,
): Promise<{ stop(): Promise<void> }> {
  if (!session.stores) return { async stop() {} };
  const over = new AbortController();
  let own: { stop(): Promise<void> } | undefined;
  const takeUnless = async (isEnough: () => boolean) => {
    while (!own) {
      const lock = tryLockStateFolder(session.folder, 'run');
      if (lock) own = await runFunction(session, lock, postgres);
      else if (isEnough()) return;
      else await systemClock.sleep(TAKE_OVER_MS, over.signal);
    }
  };
  await takeUnless(() => isRunning(session.folder));
  const watching = takeUnless(() => over.signal.aborted);
  // Heard when it is stopped.
  watching.catch(() => {});
  return {
    async stop() {
      over.abort();
      await watching;
      await own?.stop();
    },
  };
}

async function runFunction(
  { folder, stores, registry }: DlqSession,
  lock: StateLock,
  postgres: string | undefined,
): Promise<{ stop(): Promise<void> }> {
  const { startStack } = await import('../../local/stack.ts');
  if (process.stderr.isTTY) printNote('Starting the consumer …');
  const app = await loadApp();
  const runLog = createRunLog(app.consumers);
  const stack = await startStack({
    app,
    folder,
    stores: stores!,
    registry,
    postgres,
    faults: {},
    random: systemRandom,
    log: runLog.log,
    consume: 'redrive',
  }).catch((error: unknown) => {
    lock.release();
    throw error;
  });
  return {
    async stop() {
      await stack.close();
      lock.release();
      for (const { level, text } of runLog.events()) if (level === 'error') printNote(`error: ${text}`);
    },
  };
}

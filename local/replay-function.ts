/** The function of a consumer for a replay: in the process that has the state folder or, where none has, in this one. */
import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import type { App } from '../runtime/app.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import type { Logger } from '../runtime/ports.ts';
import type { ReplayFunction } from '../runtime/replay/run.ts';
import { askOwner } from './control-socket.ts';
import type { Stack } from './stack.ts';
import { type StateFolder, type StateLock, stateInUse, tryLockStateFolder } from './state-folder.ts';
import type { Stores } from './stores.ts';

export interface ReplayFunctionOptions {
  readonly app: App & { readonly module: URL };
  readonly consumer: string;
  readonly folder: StateFolder;
  readonly stores: Stores;
  readonly registry: SchemaRegistry;
  readonly postgres?: string | undefined;
  readonly log: Logger;
}

// Whoever has the folder without answering is starting or ending.
const PATIENCE_MS = 30_000;
const RETRY_MS = 200;

/** Starts nothing until the first delivery; should a running `up` end meanwhile, this process takes over. */
export function openReplayFunction(
  options: ReplayFunctionOptions,
): ReplayFunction & { close(): Promise<void> } {
  const { consumer, folder } = options;
  let own: { readonly stack: Stack; readonly lock: StateLock } | undefined;
  return {
    async deliver(event) {
      for (let waitedMs = 0; !own && waitedMs < PATIENCE_MS; waitedMs += RETRY_MS) {
        // What it was doing when it ended, the ledger tells: to deliver it again does no harm.
        const answered = await askOwner(folder, 'deliver', { consumer, event });
        if (answered) return answered.result;
        const lock = tryLockStateFolder(folder, 'run');
        if (lock) own = { lock, stack: await startOwn(options, lock) };
        else await systemClock.sleep(RETRY_MS);
      }
      if (!own) throw stateInUse(folder);
      return own.stack.deliver(consumer, event);
    },
    async close() {
      const closing = own;
      own = undefined;
      await closing?.stack.close();
      closing?.lock.release();
    },
  };
}

/** Consumers without their event sources: nothing is delivered but what the replay brings, and what is redriven. */
async function startOwn(
  { app, folder, stores, registry, postgres, log }: ReplayFunctionOptions,
  lock: StateLock,
): Promise<Stack> {
  try {
    const { startStack } = await import('./stack.ts');
    return await startStack({
      app,
      folder,
      stores,
      registry,
      postgres,
      faults: {},
      random: systemRandom,
      log,
      consume: 'redrive',
    });
  } catch (error) {
    lock.release();
    throw error;
  }
}

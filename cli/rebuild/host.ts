/** Who runs the generations of a consumer: the process that has the state folder, and as soon as there is none, this one. */
import { systemClock } from '../../adapters/system/system-clock.ts';
import { systemRandom } from '../../adapters/system/system-random.ts';
import { askOwner, serveControl } from '../../local/control-socket.ts';
import type { GenerationCalls } from '../../local/generation-calls.ts';
import type { Stack } from '../../local/stack.ts';
import { type StateFolder, stateInUse, tryLockStateFolder } from '../../local/state-folder.ts';
import { openStores, type Stores } from '../../local/stores.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { answerKeyCall } from '../../runtime/operator/key-calls.ts';
import type { LoadedApp } from '../app.ts';
import {
  type ArchiveOptions,
  type KafkaOptions,
  type PostgresOptions,
  storesOptions,
} from '../outside-options.ts';
import { openRegistry, type RegistryOptions } from '../registry-option.ts';
import { createRunLog } from '../run-log.ts';
import { printNote } from '../terminal.ts';

export interface HostOptions extends ArchiveOptions, KafkaOptions, PostgresOptions, RegistryOptions {
  readonly state: string;
}

export interface GenerationHost {
  readonly stores: Stores;
  /** @throws what the call throws; STATE_IN_USE where the process that has the folder does not answer */
  call<Name extends keyof GenerationCalls>(
    name: Name,
    of: Parameters<GenerationCalls[Name]>[0],
  ): ReturnType<GenerationCalls[Name]>;
  /** Whether this process runs the consumer's other generations, so that they stand still once it has ended. */
  isOwn(): boolean;
  close(): Promise<void>;
}

/** Whoever has the folder without answering is starting or ending: it opens a PostgreSQL meanwhile. */
const PATIENCE_MS = 60_000;
const RETRY_MS = 100;

export async function openGenerationHost(
  app: LoadedApp,
  consumer: AnyConsumer,
  folder: StateFolder,
  options: HostOptions,
): Promise<GenerationHost> {
  const stores = await openStores(folder, storesOptions(options));
  let own: { readonly stack: Stack; close(): Promise<void> } | undefined;

  const startOwn = async (release: () => void) => {
    const { startStack } = await import('../../local/stack.ts');
    if (process.stderr.isTTY) printNote('Starting the sink …');
    const runLog = createRunLog(app.consumers);
    const stack = await startStack({
      app,
      folder,
      stores,
      registry: await openRegistry(options.registry, app.contracts),
      postgres: options.postgres,
      faults: {},
      random: systemRandom,
      log: runLog.log,
      consume: { rebuild: consumer.name },
    }).catch((error: unknown) => {
      release();
      throw error;
    });
    // As beside "millrace up", others may look meanwhile.
    const control = await serveControl(folder, {
      ...stack.generations,
      ledgers: (of) => stack.ledgers.read(of),
      keys: ({ owner, call }) => answerKeyCall(stack.keys, owner, call),
      query: ({ sql, timeoutMs }, signal) => stack.query(sql, { timeoutMs, signal }),
    });
    own = {
      stack,
      async close() {
        control.close();
        await stack.close();
        release();
        for (const { level, text } of runLog.events()) if (level === 'error') printNote(`error: ${text}`);
      },
    };
  };

  const call = async (name: keyof GenerationCalls, of: unknown): Promise<unknown> => {
    for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += RETRY_MS) {
      if (own) return (own.stack.generations[name] as (of: unknown) => Promise<unknown>)(of);
      const answered = await askOwner(folder, name, of as never);
      if (answered) return answered.result;
      const lock = tryLockStateFolder(folder, 'run');
      if (lock) await startOwn(() => lock.release());
      else await systemClock.sleep(RETRY_MS);
    }
    throw stateInUse(folder);
  };

  return {
    stores,
    call: (name, of) => call(name, of) as never,
    isOwn: () => own !== undefined,
    async close() {
      await own?.close();
      await stores.close();
    },
  };
}

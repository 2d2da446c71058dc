/** For who looks at ledgers from outside: beside a running `up`, or on a folder that nobody runs on. */
import { createPostgresLedgers } from '../adapters/postgres/postgres-ledgers.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { isArchive } from '../runtime/archive/archive.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import type { EvidenceSources } from '../runtime/replay/evidence.ts';
import { createArchiveLedgers, type LedgerReader } from '../runtime/replay/ledgers.ts';
import { askOwner } from './control-socket.ts';
import { liveConsumer, notedLedger } from './ledger-origin.ts';
import { type LocalSink, openServerSink } from './sinks.ts';
import { type StateFolder, stateInUse, tryLockStateFolder } from './state-folder.ts';
import { openStores, type Stores, type StoresOptions } from './stores.ts';

export interface LedgerSession {
  readonly folder: StateFolder;
  readonly stores: Stores;
  /** What the evidence of a consumer's live generation is gathered from. */
  sourcesOf(consumer: AnyConsumer): Promise<EvidenceSources>;
  close(): Promise<void>;
}

// Whoever has the folder without answering is starting, ending, or looking itself.
const PATIENCE_MS = 15_000;
const RETRY_MS = 100;

/** @param postgres the URL of the sink, where it is not the folder's */
export async function openLedgerSession(
  folder: StateFolder,
  options: StoresOptions & { readonly postgres?: string | undefined },
): Promise<LedgerSession> {
  const stores = await openStores(folder, options);
  let server: LocalSink | undefined;
  try {
    server = options.postgres === undefined ? undefined : await openServerSink(options.postgres);
  } catch (error) {
    await stores.close();
    throw error;
  }
  const inSink = server ? createPostgresLedgers(server.driver) : folderLedgers(folder);
  const inArchive = createArchiveLedgers(stores.archive, stores.log);
  return {
    folder,
    stores,
    async sourcesOf(declared) {
      const consumer = liveConsumer(folder, declared);
      // On a cluster that the folder never ran on, the groups are the deployed consumers'.
      const ledger = await notedLedger(folder, stores.log);
      return {
        consumer,
        group: ledger === undefined ? consumer.name : stores.log.groupOf(consumer.name, ledger),
        log: stores.log,
        ledgers: isArchive(consumer) ? inArchive : inSink,
        letters: stores.deadLettersOf(consumer),
      };
    },
    async close() {
      await server?.close();
      await stores.close();
    },
  };
}

/** Asks the process that has the folder, or opens the sink where none has. */
function folderLedgers(folder: StateFolder): LedgerReader {
  return {
    async read(of) {
      for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += RETRY_MS) {
        const answered = await askOwner(folder, 'ledgers', of);
        if (answered) return answered.result;
        const lock = tryLockStateFolder(folder, 'look');
        if (lock) {
          try {
            const { readFolderLedgers } = await import('./stack.ts');
            return await readFolderLedgers(folder, of);
          } finally {
            lock.release();
          }
        }
        await systemClock.sleep(RETRY_MS);
      }
      throw stateInUse(folder);
    },
  };
}

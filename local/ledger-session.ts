/** For who looks at ledgers from outside: beside a running `up`, or on a folder that nobody runs on. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { createPostgresLedgers } from '../adapters/postgres/postgres-ledgers.ts';
import { createPostgresWaitingKeys } from '../adapters/postgres/waiting-keys.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { isArchive } from '../runtime/archive/archive.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { answerKeyCall, createCallingKeys } from '../runtime/operator/key-calls.ts';
import type { EvidenceSources } from '../runtime/replay/evidence.ts';
import { createArchiveLedgers, type LedgerReader } from '../runtime/replay/ledgers.ts';
import { NO_WAITING_KEYS, type WaitingKeyReader } from '../runtime/replay/waiting-keys.ts';
import { askOwner } from './control-socket.ts';
import { liveConsumer, notedLedger } from './ledger-origin.ts';
import { type LocalSink, openServerSink } from './sinks.ts';
import { type StateFolder, stateInUse, tryLockStateFolder } from './state-folder.ts';
import { openStores, type Stores, type StoresOptions } from './stores.ts';

export interface LedgerSession {
  readonly folder: StateFolder;
  readonly stores: Stores;
  /** Of the consumers whose sink is PostgreSQL. */
  readonly ledgers: LedgerReader;
  /** What the evidence of a consumer's live generation is gathered from. */
  sourcesOf(consumer: AnyConsumer): Promise<EvidenceSources>;
  /** What waits in the sink behind dead letters. */
  readonly keys: WaitingKeyReader;
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
    ledgers: inSink,
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
    keys: server ? createPostgresWaitingKeys(server.driver) : folderKeys(folder),
    async close() {
      await server?.close();
      await stores.close();
    },
  };
}

/** Asks the process that has the folder, or opens the sink where none has. */
function folderLedgers(folder: StateFolder): LedgerReader {
  return {
    read: (of) =>
      askOrRead(
        folder,
        of,
        () => askOwner(folder, 'ledgers', of),
        ({ readFolderSink }) =>
          readFolderSink(folder, 'millrace_ledger', [], (driver) => createPostgresLedgers(driver).read(of)),
      ),
  };
}

/** What waits in the folder's own sink: asks the process that has the folder, or opens it. */
export function folderKeys(folder: StateFolder): WaitingKeyReader {
  return createCallingKeys((owner, call) =>
    askOrRead(
      folder,
      // Of what waits, the records alone are large.
      call[0] === 'records' ? undefined : { owner, call },
      () => askOwner(folder, 'keys', { owner, call }),
      async ({ readFolderSink }) => {
        const nothing = await answerKeyCall(NO_WAITING_KEYS, owner, call);
        return readFolderSink(folder, 'millrace_key', nothing, (driver) =>
          answerKeyCall(createPostgresWaitingKeys(driver), owner, call),
        );
      },
    ),
  );
}

/** What this process has read of each folder's sink, by question; worth something as long as nobody else has had the sink open. */
const remembered = new Map<string, { version: string | undefined; readonly answers: Map<string, unknown> }>();
const MOST_ANSWERS = 100;

/** @param question names what is read, among all that is read of a folder's sink; undefined where it is not remembered */
async function askOrRead<Result>(
  folder: StateFolder,
  question: unknown,
  ask: () => Promise<{ readonly result: Result } | undefined>,
  read: (stack: typeof import('./stack.ts')) => Promise<Result>,
): Promise<Result> {
  const known = remembered.get(folder.path) ?? { version: undefined, answers: new Map<string, unknown>() };
  remembered.set(folder.path, known);
  const isAsRead = () => known.version !== undefined && known.version === sinkVersion(folder);
  const key = JSON.stringify(question);
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += RETRY_MS) {
    const answered = await ask();
    if (answered) return answered.result;
    // Opening the sink takes most of a second and keeps "up" waiting, and a page that stays open asks again and again.
    if (question !== undefined && known.answers.has(key) && isAsRead())
      return known.answers.get(key) as Result;
    const lock = tryLockStateFolder(folder, 'look');
    if (lock) {
      try {
        if (!isAsRead()) known.answers.clear();
        const result = await read(await import('./stack.ts'));
        // By opening it, this process has changed the version, and nothing else.
        known.version = sinkVersion(folder);
        if (question !== undefined) known.answers.set(key, result);
        if (known.answers.size > MOST_ANSWERS) known.answers.delete(known.answers.keys().next().value!);
        return result;
      } finally {
        lock.release();
      }
    }
    await systemClock.sleep(RETRY_MS);
  }
  throw stateInUse(folder);
}

/**
 * Another after everybody who has had the sink open, because PostgreSQL writes this file when it starts and when it ends;
 * undefined where there is no sink.
 */
function sinkVersion({ files }: StateFolder): string | undefined {
  const control = statSync(join(files.sink, 'global/pg_control'), { bigint: true, throwIfNoEntry: false });
  return control && `${control.ino} ${control.mtimeNs}`;
}

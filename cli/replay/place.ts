/** Where a replay takes place: on a state folder, or in a deployed environment. */

import { awsCalls } from '../../adapters/aws/aws-calls.ts';
import { openConsumerFunction } from '../../adapters/aws/operator-client.ts';
import { localUser } from '../../adapters/system/local-user.ts';
import { openLedgerSession } from '../../local/ledger-session.ts';
import { openReplayFunction } from '../../local/replay-function.ts';
import {
  existingStateFolder,
  isRunning,
  lockReplay,
  openStateFolder,
  type StateFolder,
  type StateLock,
  tryLockStateFolder,
} from '../../local/state-folder.ts';
import { archiveOf, isArchive } from '../../runtime/archive/archive.ts';
import { createArchiveReader, createTopicReader, type RecordReader } from '../../runtime/archive/reader.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import type { ObjectStore } from '../../runtime/objects.ts';
import type { Logger } from '../../runtime/ports.ts';
import type { EvidenceLog, EvidenceSources } from '../../runtime/replay/evidence.ts';
import type { ReplayFunction } from '../../runtime/replay/run.ts';
import type { LoadedApp } from '../app.ts';
import { type EnvironmentOptions, openEnvironment } from '../environment-session.ts';
import {
  type ArchiveOptions,
  type KafkaOptions,
  type PostgresOptions,
  storesOptions,
} from '../outside-options.ts';
import { openRegistry, type RegistryOptions } from '../registry-option.ts';

export interface GapsOptions
  extends ArchiveOptions,
    EnvironmentOptions,
    KafkaOptions,
    PostgresOptions,
    RegistryOptions {
  readonly state: string;
  readonly rate: number;
  readonly wait: number;
  readonly yes?: true;
  readonly json?: true;
}

export interface ReplayPlace {
  /** In words: tells the plans of one place from those of others. */
  readonly at: string;
  /** Where the ledger is, in words and without a login. */
  readonly sink: string;
  /** Who replays. */
  readonly who: string;
  /** The folder with the plans of replays, on this machine. */
  readonly plans: string;
  readonly sources: EvidenceSources;
  readonly reader: RecordReader;
  /** Keeps others from replaying into it from the same folder. @throws STATE_IN_USE */
  lock(): StateLock;
  /** Whether the consumer goes on meanwhile. */
  isLive(): boolean;
  openFunction(log: Logger): Promise<ReplayFunction & { close(): Promise<void> }>;
  close(): Promise<void>;
}

export function openReplayPlace(
  app: LoadedApp,
  consumer: AnyConsumer,
  options: GapsOptions,
): Promise<ReplayPlace> {
  return options.env === undefined
    ? inFolder(app, consumer, options)
    : inEnvironment(app, consumer, options.env, options.state);
}

async function inFolder(app: LoadedApp, consumer: AnyConsumer, options: GapsOptions): Promise<ReplayPlace> {
  const folder = existingStateFolder(options.state);
  const session = await openLedgerSession(folder, { ...storesOptions(options), postgres: options.postgres });
  const { stores } = session;
  try {
    const sources = await session.sourcesOf(consumer);
    return {
      at: stores.log.at,
      sink: options.postgres === undefined ? folder.path : withoutLogin(options.postgres),
      lock: () => lockReplay(folder, sources.consumer.name),
      who: localUser(),
      plans: folder.files.replays,
      sources,
      reader: await readerOf(app, consumer, stores.log, async () => stores.archive),
      isLive: () => isHeld(folder) && isRunning(folder),
      async openFunction(log) {
        return openReplayFunction({
          app,
          // The generation that readers see.
          consumer: sources.consumer.name,
          folder,
          stores,
          registry: await openRegistry(options.registry, app.contracts),
          postgres: options.postgres,
          log,
        });
      },
      close: () => session.close(),
    };
  } catch (error) {
    await session.close();
    throw error;
  }
}

function withoutLogin(postgres: string): string {
  const { host, pathname } = new URL(postgres);
  return `${host}${pathname}`;
}

async function inEnvironment(
  app: LoadedApp,
  consumer: AnyConsumer,
  env: string,
  state: string,
): Promise<ReplayPlace> {
  const evidence = await openEnvironment(env);
  const { sources, who } = await evidence.of(consumer);
  const folder = openStateFolder(state);
  return {
    at: `${env} on AWS`,
    sink: `the database of ${env}`,
    lock: () => lockReplay(folder, sources.consumer.name),
    who,
    // The plan stays on the machine that replays.
    plans: folder.files.replays,
    sources,
    reader: await readerOf(app, consumer, evidence.log, evidence.archive),
    isLive: () => true,
    openFunction: async () => ({
      ...openConsumerFunction(env, { ...consumer, name: sources.consumer.name }, awsCalls()),
      close: async () => {},
    }),
    close: async () => {},
  };
}

/** The archive and then the topic, where the app archives the topic; else the topic alone. */
async function readerOf(
  app: LoadedApp,
  consumer: AnyConsumer,
  log: EvidenceLog,
  store: () => Promise<ObjectStore>,
): Promise<RecordReader> {
  const topic = consumer.topic.name;
  const archive = archiveOf(topic, app.consumers);
  // An archive's own gaps are in no archive.
  if (!archive || isArchive(consumer)) return createTopicReader({ topic, log });
  return createArchiveReader({ store: await store(), topic, epoch: archive.epoch, log });
}

/** Whether a process has the folder now: what its owner's note says of one that was killed is past. */
function isHeld(folder: StateFolder): boolean {
  const lock = tryLockStateFolder(folder, 'look');
  lock?.release();
  return lock === undefined;
}

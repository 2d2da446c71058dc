/** Verdicts about the consumers of a place: a running `up` is asked, because it has looked for longer. */

import { awsCalls } from '../adapters/aws/aws-calls.ts';
import { createDeploymentReader, whoIsAsking } from '../adapters/aws/deployment-reader.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { askOwner } from '../local/control-socket.ts';
import { lookTwice, watchedConsumer, watchLag } from '../local/lag.ts';
import { liveConsumer, notedLedger } from '../local/ledger-origin.ts';
import { folderKeys } from '../local/ledger-session.ts';
import {
  existingStateFolder,
  isStateFolder,
  type StateFolder,
  tryLockStateFolder,
} from '../local/state-folder.ts';
import { openStores } from '../local/stores.ts';
import { openKafkaTopics } from '../local/topic-log.ts';
import { appIn } from '../runtime/app-in-environment.ts';
import { consumerIn } from '../runtime/consumer-in-environment.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { createDeployedLag } from '../runtime/doctor/deployed-lag.ts';
import { resolveEnvironment } from '../runtime/environment.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { Runner } from '../runtime/lag/sample.ts';
import type { ConsumerStatus } from '../runtime/lag/status.ts';
import { createLagWatch } from '../runtime/lag/watch.ts';
import { ledgerOwner } from '../runtime/replay/ledgers.ts';
import type { ParkedTotals } from '../runtime/replay/waiting-keys.ts';
import type { LoadedApp } from './app.ts';
import type { EnvironmentOptions } from './environment-session.ts';
import { type KafkaOptions, storesOptions } from './outside-options.ts';

export interface LagSessionOptions extends EnvironmentOptions, KafkaOptions {
  readonly state: string;
}

export interface LagSession {
  /** The worst consumer first. */
  look(): Promise<readonly ConsumerStatus[]>;
  close(): Promise<void>;
}

/** Two looks tell rates, and a person waits for them. */
const APART_MS = 1_500;

/** @throws STATE_UNREADABLE where nothing has run in the folder yet */
export async function openLagSession(
  app: LoadedApp,
  options: LagSessionOptions,
  // A watch looks again by itself.
  { isOnce }: { readonly isOnce: boolean },
): Promise<LagSession> {
  if (options.env !== undefined) return openEnvironmentLag(app, options.env);
  const { consumers: declared } = app;
  const { kafka } = storesOptions(options);
  const folder = kafka && !isStateFolder(options.state) ? undefined : existingStateFolder(options.state);
  const stores = folder && (await openStores(folder, kafka ? { kafka } : {}));
  const log = stores?.log ?? (await openKafkaTopics(kafka!));
  // A cluster that does not answer leaves all unknown, whichever groups there are.
  let unreachable: unknown;
  const ledger =
    folder && kafka
      ? await notedLedger(folder, log).catch((error: unknown) => {
          unreachable = error;
          return undefined;
        })
      : undefined;
  const isOwn = !kafka || ledger !== undefined;
  const watch = watchLag(
    {
      log,
      clock: systemClock,
      consumers: () =>
        declared.map((consumer) => ({
          declared: consumer,
          runs: isOwn ? liveConsumer(folder!, consumer) : consumer,
        })),
      groupOf: ({ name }) => (ledger === undefined ? name : log.groupOf(name, ledger)),
      deadLetters: async (consumer) => (isOwn ? stores!.deadLettersIn(consumer) : null),
      parked: async (consumer) => (isOwn && folder ? parkedIn(folder, consumer) : null),
      commitsBeginning: isOwn,
      runner: () => (isOwn ? runnerOf(folder!) : undefined),
      ...(isOwn && { pauses: stores!.pauses }),
    },
    (source) => {
      if (unreachable !== undefined) return { sample: () => Promise.reject(unreachable) };
      return isOnce && kafka ? lookTwice(source, systemClock, APART_MS) : source;
    },
  );
  return {
    async look() {
      const answered = isOwn && (await askOwner(folder!, 'status', {}).catch(notAsked));
      return answered ? answered.result : watch.look();
    },
    close: () => (stores ?? log).close(),
  };
}

/** By what CloudWatch, Lambda and SQS say: it has samples of the last half hour at the first look. */
async function openEnvironmentLag(app: LoadedApp, env: string): Promise<LagSession> {
  const calls = awsCalls();
  await whoIsAsking(calls);
  const environment = resolveEnvironment(app, { env });
  const { consumers } = appIn(app, environment);
  const watched = consumers.map((declared) =>
    watchedConsumer(consumerIn(environment, declared).consumer, declared.name, declared.name),
  );
  const source = createDeployedLag({
    environment,
    consumers,
    reader: createDeploymentReader(calls, systemClock),
    clock: systemClock,
  });
  const watch = createLagWatch({ source, clock: systemClock, consumers: () => watched });
  return { look: () => watch.look(), close: async () => {} };
}

/** What has the folder may be no pipeline: a rebuild on its own looks at nothing but its candidate. */
export function notAsked(error: unknown): undefined {
  if (error instanceof MillraceError && error.code === 'STATE_IN_USE') return undefined;
  throw error;
}

/** Where its sink is not the folder's, or somebody else has it, nobody knows: only consumers that park are worth the wait. */
async function parkedIn(folder: StateFolder, consumer: AnyConsumer): Promise<ParkedTotals | null> {
  if (consumer.onDeadLetter !== 'park-key') return null;
  try {
    return await folderKeys(folder).totals(ledgerOwner(consumer));
  } catch (error) {
    if (error instanceof MillraceError && ['STATE_UNREADABLE', 'STATE_IN_USE'].includes(error.code))
      return null;
    throw error;
  }
}

/** Of a folder whose owner does not answer. */
function runnerOf(folder: StateFolder): Runner {
  const lock = tryLockStateFolder(folder, 'look');
  if (!lock) return { isRunning: null, who: 'the process that has the state folder, which does not say' };
  lock.release();
  return { isRunning: false, who: 'nobody runs it: there is no "millrace up" on this state folder' };
}

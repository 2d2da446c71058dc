import { Command } from 'commander';
import { awsCalls } from '../adapters/aws/aws-calls.ts';
import { whoIsAsking } from '../adapters/aws/deployment-reader.ts';
import { openAwsResources } from '../adapters/aws/operator-resources.ts';
import { setPaused } from '../adapters/aws/pausing.ts';
import { localUser } from '../adapters/system/local-user.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { askOwner } from '../local/control-socket.ts';
import { notedLedger } from '../local/ledger-origin.ts';
import { setPause } from '../local/pauses.ts';
import { existingStateFolder, isStateFolder, type StateFolder } from '../local/state-folder.ts';
import { openStores, type Stores } from '../local/stores.ts';
import { consumerIn, liveGenerationIn } from '../runtime/consumer-in-environment.ts';
import { audited } from '../runtime/dead-letters/audit-log.ts';
import type { AnyConsumer } from '../runtime/delivery/consumer.ts';
import { resolveEnvironment } from '../runtime/environment.ts';
import { MillraceError } from '../runtime/errors.ts';
import { type LoadedApp, loadApp } from './app.ts';
import { consumerNamed } from './consumers.ts';
import { envOption } from './environment-session.ts';
import { hint } from './hints.ts';
import { type LagSessionOptions, notAsked } from './lag-session.ts';
import { checkEnvironment, jsonOption, stateOption } from './options.ts';
import { kafkaAuthOption, kafkaOption, storesOptions } from './outside-options.ts';
import { epilogue, printJson, printLine, wrapped } from './terminal.ts';

const EXAMPLES = {
  pause: `
Examples:
  millrace pause editorial-analytics
  millrace pause editorial-analytics --kafka localhost:9092
  millrace pause editorial-analytics --env prod

A batch that is under way ends first. Redrives go on. A running "millrace up"
stops at once, and the next one does not resume it. With --env it disables the
event source mapping, which takes Lambda a minute or two, and deployments leave
it disabled.`,
  resume: `
Examples:
  millrace resume editorial-analytics

It goes on where it was: what came meanwhile is unread, and nothing is lost as
long as the topic keeps it.`,
};

export type PauseAction = keyof typeof EXAMPLES;

/** What became of it. */
interface Changed {
  readonly isPaused: boolean;
  /** False where it had been so before. */
  readonly isChanged: boolean;
  /** Whose pause it is, or was. */
  readonly by: string | null;
  readonly at: string | null;
}

/** And whether somebody runs it there; null where that is unknown. */
type Outcome = Changed & { readonly isRun: boolean | null };

/** Pauses consumers where it is: in a state folder, or in an environment. */
interface Pauser {
  set(consumer: AnyConsumer, isPaused: boolean): Promise<Outcome>;
  close(): Promise<void>;
}

export function pauseCommand(action: PauseAction): Command {
  return new Command(action)
    .description(
      action === 'pause'
        ? 'Stops a consumer from reading its topic, until it is resumed.'
        : 'Lets a paused consumer read its topic again.',
    )
    .argument('<consumer>', 'its name')
    .addOption(stateOption())
    .addOption(envOption())
    .addOption(kafkaOption())
    .addOption(kafkaAuthOption())
    .addOption(jsonOption('print {consumer, isPaused, isChanged, by, at}'))
    .addHelpText('after', epilogue(EXAMPLES[action]))
    .action(async (name: string, options: LagSessionOptions & { json?: true }, command: Command) => {
      const app = await loadApp();
      if (options.env !== undefined) checkEnvironment(command, options.env, app.environments);
      const consumer = consumerNamed(name, app.consumers);
      const pauser = await (options.env === undefined
        ? openFolderPauser(options)
        : openEnvironmentPauser(app, options.env));
      try {
        const { isRun, ...changed } = await pauser.set(consumer, action === 'pause');
        if (options.json) printJson({ consumer: consumer.name, ...changed });
        else for (const line of changedLines(consumer.name, changed, isRun, options)) printLine(line);
      } finally {
        await pauser.close();
      }
    });
}

function changedLines(
  name: string,
  changed: Changed,
  isRun: boolean | null,
  place: LagSessionOptions,
): readonly string[] {
  const { isPaused, isChanged, by, at } = changed;
  if (isPaused) {
    const said = isChanged ? `${name} is paused.` : `${name} was paused before, by ${by} at ${at}.`;
    return [`${said} To let it go on:`, `  ${hint(['resume', name], place)}`];
  }
  if (isRun === false) {
    const said = isChanged ? `${name} is no longer paused.` : `${name} was not paused.`;
    return [
      ...wrapped(`${said} Nobody runs it: there is no "millrace up" on this state folder. To run it:`, 80),
      `  ${hint(['up', '--no-publish'], place)}`,
    ];
  }
  if (!isChanged) return [`${name} was not paused.`];
  return [`${name} goes on. To see how far it has to go:`, `  ${hint(['status'], place)}`];
}

/** @throws INPUT_INVALID where the consumers of that cluster are not this folder's */
async function openFolderPauser(options: LagSessionOptions): Promise<Pauser> {
  const { kafka } = storesOptions(options);
  if (kafka && !isStateFolder(options.state)) throw notOurs(options);
  const folder = existingStateFolder(options.state);
  const stores = await openStores(folder, kafka ? { kafka } : {});
  try {
    if (kafka && (await notedLedger(folder, stores.log)) === undefined) throw notOurs(options);
  } catch (error) {
    await stores.close();
    throw error;
  }
  return {
    set: (consumer, isPaused) => setInFolder(folder, stores, consumer, isPaused),
    close: stores.close,
  };
}

/** The deployed consumer's event source mapping, and what deployments follow. */
async function openEnvironmentPauser(app: LoadedApp, env: string): Promise<Pauser> {
  const calls = awsCalls();
  await whoIsAsking(calls);
  const environment = resolveEnvironment(app, { env });
  return {
    async set(declared, isPaused) {
      const consumer = liveGenerationIn(environment, declared);
      const { name } = consumer;
      if (!consumerIn(environment, consumer).isEnabled) throw isOff(env, name);
      const { resources, who } = await openAwsResources(env, consumer);
      const at = systemClock.now();
      const entry = { id: String(at), action: isPaused ? 'pause' : 'resume', consumer: name, who } as const;
      let changed: Changed | undefined;
      await audited(
        { objects: resources.objects, clock: systemClock },
        { ...entry, plan: { env } },
        async () => {
          const { state, mappingId, before } = await setPaused(
            { env, consumer, isPaused },
            calls,
            systemClock,
          );
          const since = new Date(before.isPaused ? (before.changedAt ?? at) : at).toISOString();
          changed = {
            isPaused,
            isChanged: isPaused !== before.isPaused,
            by: before.isPaused ? 'an operator' : isPaused ? who : null,
            at: before.isPaused || isPaused ? since : null,
          };
          return { before: before.isPaused ? 'paused' : 'running', state, mappingId };
        },
      );
      return { ...changed!, isRun: null };
    },
    close: async () => {},
  };
}

function isOff(env: string, consumer: string): MillraceError {
  return new MillraceError(
    'INPUT_INVALID',
    `${consumer} is off in ${env}: its settings in millrace.config.ts say enabled: false. Take that out and deploy it.`,
    { details: { env, consumer } },
  );
}

async function setInFolder(
  folder: StateFolder,
  stores: Stores,
  consumer: AnyConsumer,
  isPaused: boolean,
): Promise<Outcome> {
  const { name } = consumer;
  const who = localUser();
  const at = systemClock.now();
  const entry = { id: String(at), action: isPaused ? 'pause' : 'resume', consumer: name, who } as const;
  const { objects } = stores.deadLettersOf(consumer);
  let changed: Changed | undefined;
  let isRun: boolean | null = false;
  await audited({ objects, clock: systemClock }, { ...entry, plan: {} }, async () => {
    // The one that runs has to hear of it; without one, the note is enough.
    const answered = await askOwner(folder, 'pause', { consumer: name, by: who, isPaused }).catch((error) => {
      isRun = null;
      return notAsked(error);
    });
    if (answered) isRun = true;
    const before = answered
      ? answered.result.before
      : setPause(stores.pauses, name, { by: who, at, isPaused });
    const known = before ?? (isPaused ? { by: who, at } : null);
    changed = {
      isPaused,
      isChanged: isPaused === (before === null),
      by: known?.by ?? null,
      at: known ? new Date(known.at).toISOString() : null,
    };
    return { before: before ? `paused by ${before.by}` : 'running' };
  });
  return { ...changed!, isRun };
}

function notOurs({ kafka, state }: LagSessionOptions): MillraceError {
  return new MillraceError(
    'INPUT_INVALID',
    `Nothing in ${state} consumes from Kafka at ${kafka?.join(', ')}: the groups there are somebody else's, and only who runs ` +
      'them can pause them. Name the folder of the "millrace up" that runs there with --state.',
    { details: { state } },
  );
}

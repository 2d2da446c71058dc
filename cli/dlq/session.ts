/** A person's session with one consumer's dead letters: of a state folder, or of an environment on AWS. */
import { localUser } from '../../adapters/system/local-user.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { liveConsumer, notedGenerations } from '../../local/ledger-origin.ts';
import {
  existingStateFolder,
  isStateFolder,
  lockLetters,
  openStateFolder,
  type StateFolder,
} from '../../local/state-folder.ts';
import { openStores, type Stores } from '../../local/stores.ts';
import { openKafkaTopics } from '../../local/topic-log.ts';
import { didYouMean } from '../../runtime/closest-name.ts';
import { liveGenerationIn } from '../../runtime/consumer-in-environment.ts';
import { contractsAmong, defineTopic, type Topic } from '../../runtime/contract/contract.ts';
import type { SchemaId, SchemaRegistry } from '../../runtime/contract/registry.ts';
import { type AuditEntry, audited, type NoteProgress } from '../../runtime/dead-letters/audit-log.ts';
import type { DeadLetterResources, LetterOwner } from '../../runtime/dead-letters/resources.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { ObjectStore } from '../../runtime/objects.ts';
import { generationOf } from '../../runtime/replay/generation.ts';
import type { LogReader } from '../../runtime/topics.ts';
import { loadApp } from '../app.ts';
import { otherNames } from '../consumers.ts';
import { hint, type Place } from '../hints.ts';
import { type KafkaOptions, storesOptions } from '../outside-options.ts';
import { openRegistry, type RegistryOptions } from '../registry-option.ts';
import { either, printNote } from '../terminal.ts';

/** With Kafka, letters of consumers that have theirs in a topic, and what a batch that was given up held, are read there. */
export interface DlqSessionOptions extends KafkaOptions, RegistryOptions {
  readonly state: string;
  /** An environment on AWS; the embedded stack where there is none. */
  readonly env?: string;
}

export interface DlqSession {
  readonly consumer: LetterOwner;
  /** How commands name it: --consumer with a consumer's own name means its live generation. */
  readonly named: string;
  /** The app's: a consumer can have letters of a topic that it no longer reads. */
  readonly contracts: readonly Topic<never>[];
  /** The same place, for commands that a person may copy. */
  readonly place: Place;
  readonly resources: DeadLetterResources;
  /** Where entries of the audit log are: what was done to the consumer, and to the letters of its generations. */
  readonly auditLogs: readonly ObjectStore[];
  readonly registry: SchemaRegistry;
  /** Who is at the session, for the audit log. */
  readonly who: string;
  /** Where the letters are, in words. */
  readonly at: string;
  /** How long the dead-letter queue keeps a letter; null for ever. */
  readonly retentionMs: number | null;
  /** The topic itself, where it can be reached from here. */
  readonly log: LogReader | null;
  readonly folder: StateFolder;
  /** What the embedded stack keeps; null on AWS. */
  readonly stores: Stores | null;
  close(): Promise<void>;
}

/**
 * The consumer that a command is about: the one that is named, or the only one.
 * @throws INPUT_INVALID where there is no such consumer, or several and none is named
 */
export async function chooseConsumer(name: string | undefined, options: DlqSessionOptions): Promise<Owner> {
  const owners = await letterOwners(options, name);
  if (name !== undefined) return ownerNamed(name, owners);
  if (owners.length === 1) return owners[0]!;
  throw new MillraceError(
    'INPUT_INVALID',
    owners.length === 0
      ? 'The app has no consumer. Add one to millrace.config.ts.'
      : `Which consumer? Add ${either(owners.map((each) => `--consumer ${each.named ?? each.name}`))}.`,
  );
}

/** Whose dead letter has an id that begins with this name: a generation's own, whichever is live. */
export async function ownerOfLetter(name: string, options: DlqSessionOptions): Promise<Owner> {
  const owners = await letterOwners(options, name);
  const isTaken = owners.some((each) => each.named === name && each.name !== name);
  return isTaken
    ? ownerNamed(`${name}-g1`, await letterOwners(options, `${name}-g1`))
    : ownerNamed(name, owners);
}

/** For what only looks: the consumer that is named, or every one. @throws INPUT_INVALID where there is no such consumer */
export async function chooseConsumers(
  name: string | undefined,
  options: DlqSessionOptions,
): Promise<readonly Owner[]> {
  const owners = await letterOwners(options, name);
  return name === undefined ? owners : [ownerNamed(name, owners)];
}

/** @throws INPUT_INVALID where the app has no such consumer any more: nothing can apply its letters */
export async function requireDeclared({ name }: LetterOwner, place: Place): Promise<AnyConsumer> {
  const { consumers } = await loadApp();
  const declared = generationNamed(name, consumers);
  if (declared) return declared;
  const exporting = hint(['dlq', 'export', '--consumer', name, '--output', `${name}.jsonl`], place);
  throw new MillraceError(
    'INPUT_INVALID',
    `${name} is no longer declared, so nothing can apply its dead letters. Declare it again in millrace.config.ts, or keep them in a file: ${exporting}`,
    { details: { consumer: name } },
  );
}

function ownerNamed(name: string, owners: readonly Owner[]): Owner {
  const found = owners.find((each) => (each.named ?? each.name) === name);
  if (found) return found;
  const names = owners.map((each) => each.named ?? each.name);
  throw new MillraceError(
    'INPUT_INVALID',
    `There is no consumer ${JSON.stringify(name)}.${otherNames(name, names)}`,
    { details: { consumer: name } },
  );
}

/** A generation's letters are those of a consumer of its own. */
export interface Owner extends LetterOwner {
  /** How commands name it. @default its own name */
  readonly named?: string;
}

/** The declared consumer of this name, or its generation of this name; undefined if the app declares neither. */
export function generationNamed(name: string, consumers: readonly AnyConsumer[]): AnyConsumer | undefined {
  const declared = consumers.find((each) => each.name === name);
  if (declared) return declared;
  const [, base, number] = /^(.+)-g(\d{1,4})$/.exec(name) ?? [];
  const rebuilt = consumers.find((each) => each.name === base);
  return rebuilt && generationOf(rebuilt, Number(number));
}

/**
 * The app's consumers, each as its live generation. The others are there by their own names: a first generation that is not
 * live as `NAME-g1`. In a state folder also consumers that the app no longer declares and that have dead letters there.
 */
async function letterOwners(
  { state, env }: DlqSessionOptions,
  name: string | undefined,
): Promise<readonly Owner[]> {
  const { consumers, contracts, environments } = await loadApp();
  const named = name === undefined ? undefined : generationNamed(name, consumers);
  const asked: Owner[] = named && name !== undefined ? [{ ...named, named: name }] : [];
  const liveBy = (of: (consumer: AnyConsumer) => AnyConsumer) =>
    consumers.map((each): Owner => {
      const live = of(each);
      return live.name === each.name ? each : { ...live, named: each.name };
    });
  if (env !== undefined) {
    return [...liveBy((each) => liveGenerationIn(environments[env] ?? {}, each)), ...asked];
  }
  if (!isStateFolder(state)) return [...consumers, ...asked];
  const folder = existingStateFolder(state);
  const live = liveBy((each) => liveConsumer(folder, each));
  const stores = await openStores(folder);
  try {
    const undeclared = stores.withQueuedLetters().filter((each) => !generationNamed(each, consumers));
    return [
      ...live,
      ...asked,
      ...(await Promise.all(undeclared.map((each) => undeclaredOwner(each, stores, contracts)))),
    ];
  } finally {
    await stores.close();
  }
}

async function undeclaredOwner(
  name: string,
  stores: Stores,
  contracts: readonly Topic<never>[],
): Promise<LetterOwner> {
  const owner = { name, epoch: 1, topic: UNKNOWN_TOPIC, deadLetter: 'sqs' as const, deadLetterTopic: '' };
  for await (const stored of stores.deadLettersOf(owner).reader.scan()) {
    if (!('letter' in stored)) continue;
    const { topic: of } = stored.letter.record;
    const topic = contracts.find((each) => each.name === of) ?? { ...UNKNOWN_TOPIC, name: of };
    return { ...owner, topic: topic as LetterOwner['topic'], epoch: stored.letter.epoch };
  }
  return owner;
}

/** Stands for a contract that is not declared any more. */
export const UNKNOWN_TOPIC: LetterOwner['topic'] = {
  ...defineTopic<Readonly<Record<string, unknown>>>({
    name: 'unknown',
    owner: 'unknown',
    key: 'unknown',
    versions: [{ version: 1, schema: 'null' }],
  }),
  versions: [],
} as LetterOwner['topic'];

/** The contract of a topic that the consumer has letters of; undefined where it is not declared any more. */
export function contractOf(
  topic: string,
  { consumer, contracts }: Pick<DlqSession, 'consumer' | 'contracts'>,
): Topic<never> | undefined {
  return [consumer.topic, ...contracts].find(({ name }) => name === topic);
}

/** @throws STATE_UNREADABLE; on AWS QUEUE_UNAVAILABLE where the environment has no such consumer; INPUT_INVALID where its topic cannot be found */
export async function openDlqSession(
  consumer: Owner,
  { state, env, registry, ...cluster }: DlqSessionOptions,
): Promise<DlqSession> {
  const { kafka } = storesOptions(cluster);
  const place: Place = { state, ...(env && { env }), ...(registry && { registry }), ...clusterOf(cluster) };
  if (env !== undefined) {
    if (registry) throw registryOfEnvironment(env);
    await requireEnvironment(env);
    const { openAwsResources } = await import('../../adapters/aws/operator-resources.ts');
    if (consumer.deadLetter === 'kafka' && !kafka) {
      throw new MillraceError(
        'INPUT_INVALID',
        `The dead letters of ${consumer.name} are in the topic ${consumer.deadLetterTopic}, and the command does not know the Kafka of ` +
          `${env}. Give --kafka with its brokers, and --kafka-auth iam.`,
        { details: { consumer: consumer.name, env } },
      );
    }
    const topics = kafka && (await openKafkaTopics(kafka));
    const aws = await openAwsResources(env, consumer, topics);
    return {
      ...aws,
      auditLogs: [aws.resources.objects],
      registry: remembering(aws.registry),
      consumer,
      named: consumer.named ?? consumer.name,
      contracts: (await loadApp()).contracts,
      place,
      at: `${env} on AWS`,
      log: topics ?? null,
      // Redrives leave their journals on the machine that they run on.
      folder: openStateFolder(state),
      stores: null,
      async close() {
        await topics?.close();
      },
    };
  }
  const folder = existingStateFolder(state);
  const { contracts, consumers } = await loadApp();
  const declared = consumers.find((each) => generationNamed(consumer.name, [each]));
  const remembered = remembering(await openRegistry(registry, contractsAmong([consumer.topic])));
  const stores = await openStores(folder, kafka ? { kafka } : {});
  return {
    consumer,
    named: consumer.named ?? consumer.name,
    contracts,
    place,
    resources: stores.deadLettersOf(consumer),
    auditLogs: generationsOf(folder, consumer, declared).map((each) => stores.deadLettersOf(each).objects),
    registry: remembered,
    who: localUser(),
    at: kafka ? `${state}, and ${stores.log.at}` : state,
    retentionMs: null,
    log: stores.log,
    folder,
    stores,
    close: () => stores.close(),
  };
}

/**
 * The same for each consumer, or for the one that is named. One that cannot be reached does not keep the others from
 * being shown; the command then fails in the end.
 */
export async function inEachDlqSession(
  name: string | undefined,
  options: DlqSessionOptions,
  work: (session: DlqSession) => Promise<void>,
): Promise<{ readonly isWhole: boolean }> {
  const owners = await chooseConsumers(name, options);
  let isWhole = true;
  for (const owner of owners) {
    try {
      await inDlqSession(owner, options, work);
    } catch (error) {
      if (owners.length === 1 || !(error instanceof MillraceError)) throw error;
      printNote(`error: ${owner.name}: ${error.message} [${error.code}]`);
      isWhole = false;
    }
  }
  return { isWhole };
}

/**
 * @throws INPUT_INVALID where the name is nearly one of the app's environments: AWS would say that something else is wrong. Any
 * other name may be an environment that another version of the app has deployed
 */
async function requireEnvironment(env: string): Promise<void> {
  const names = Object.keys((await loadApp()).environments);
  const closest = didYouMean(env, names);
  if (names.includes(env) || closest === '') return;
  throw new MillraceError(
    'INPUT_INVALID',
    `There is no environment ${JSON.stringify(env)}.${closest} Use ${either(names)}.`,
    { details: { env } },
  );
}

/** Itself, and where it is a generation, the others that there are. */
function generationsOf(
  folder: StateFolder,
  consumer: LetterOwner,
  declared: AnyConsumer | undefined,
): readonly LetterOwner[] {
  if (!declared) return [consumer];
  const numbers = notedGenerations(folder).flatMap((each) =>
    each.consumer === declared.name ? [each.number] : [],
  );
  return [...new Set([1, ...numbers])].map((number) => generationOf(declared, number));
}

function clusterOf({ kafka, kafkaAuth }: KafkaOptions): Pick<Place, 'kafka' | 'kafkaAuth'> {
  return { ...(kafka && { kafka }), ...(kafkaAuth && { kafkaAuth }) };
}

function registryOfEnvironment(env: string): MillraceError {
  return new MillraceError('INPUT_INVALID', `${env} has its own registry, in Glue. Leave --registry out.`);
}

/** Asks for each schema once: a list of letters has few of them. */
function remembering(registry: SchemaRegistry): SchemaRegistry {
  const schemas = new Map<SchemaId, ReturnType<SchemaRegistry['schemaById']>>();
  return {
    ...registry,
    schemaById(id) {
      const known = schemas.get(id);
      if (known) return known;
      const asked = registry.schemaById(id);
      schemas.set(id, asked);
      // An outage is no answer.
      asked.catch(() => schemas.delete(id));
      return asked;
    },
  };
}

/**
 * Does something to the session's dead letters, noted in the audit log before it begins and after it.
 * @throws STATE_IN_USE when letters are given back and taken away at once, on this machine
 */
export async function auditedAt<Result extends Readonly<Record<string, unknown>>>(
  { resources, consumer, who, folder }: DlqSession,
  entry: Pick<AuditEntry, 'id' | 'action' | 'plan'>,
  act: (note: NoteProgress) => Promise<Result>,
): Promise<Result> {
  const lock = lockLetters(folder, consumer.name, entry.action === 'discard' ? 'take-away' : 'give-back');
  try {
    return await audited(
      { objects: resources.objects, clock: systemClock },
      { ...entry, consumer: consumer.name, who },
      act,
    );
  } finally {
    lock.release();
  }
}

/** Opens a session for the work, and closes it whatever happens. */
export async function inDlqSession<Result>(
  consumer: Owner,
  options: DlqSessionOptions,
  work: (session: DlqSession) => Promise<Result>,
): Promise<Result> {
  const session = await openDlqSession(consumer, options);
  try {
    return await work(session);
  } finally {
    await session.close();
  }
}

/** The desk at which a person deals with one consumer's dead letters: of a state folder, or of an environment on AWS. */
import { hostname, userInfo } from 'node:os';
import { systemClock } from '../../adapters/system/system-clock.ts';
import {
  existingStateFolder,
  lockLetters,
  openStateFolder,
  type StateFolder,
} from '../../local/state-folder.ts';
import { openStores, type Stores } from '../../local/stores.ts';
import { openKafkaTopics } from '../../local/topic-log.ts';
import type { SchemaId, SchemaRegistry } from '../../runtime/contract/registry.ts';
import { type AuditEntry, audited } from '../../runtime/dead-letters/audit-log.ts';
import type { DeadLetterResources } from '../../runtime/dead-letters/resources.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { LogReader } from '../../runtime/topics.ts';
import { loadApp } from '../app.ts';
import { type KafkaOptions, storesOptions } from '../outside-options.ts';
import { openRegistry, type RegistryOptions } from '../registry-option.ts';

/** With Kafka, letters of consumers that have theirs in a topic, and what a batch that was given up held, are read there. */
export interface DlqSessionOptions extends KafkaOptions, RegistryOptions {
  readonly state: string;
  /** An environment on AWS; the embedded stack where there is none. */
  readonly env?: string;
}

export interface DlqSession {
  readonly consumer: AnyConsumer;
  readonly resources: DeadLetterResources;
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

/** @throws INPUT_INVALID where there is no such consumer, or several and none is named */
export async function chooseConsumer(name: string | undefined): Promise<AnyConsumer> {
  const { consumers } = await loadApp();
  const names = consumers.map((consumer) => consumer.name);
  if (name === undefined && consumers.length === 1) return consumers[0]!;
  if (name === undefined) {
    throw new MillraceError(
      'INPUT_INVALID',
      `Which consumer? Add ${names.map((each) => `--consumer ${each}`).join(' or ')}.`,
    );
  }
  const consumer = consumers.find((each) => each.name === name);
  if (consumer) return consumer;
  throw new MillraceError(
    'INPUT_INVALID',
    `There is no consumer ${JSON.stringify(name)}; there is ${names.join(', ')}.`,
    {
      details: { consumer: name },
    },
  );
}

/** @throws STATE_UNREADABLE; on AWS QUEUE_UNAVAILABLE where the environment has no such consumer; INPUT_INVALID where its topic cannot be found */
export async function openDlqSession(
  consumer: AnyConsumer,
  { state, env, registry, ...cluster }: DlqSessionOptions,
): Promise<DlqSession> {
  const { kafka } = storesOptions(cluster);
  if (env !== undefined) {
    if (registry) throw registryOfEnvironment(env);
    const { openAwsResources } = await import('../../adapters/aws/operator-resources.ts');
    if (consumer.deadLetter === 'kafka' && !kafka) {
      throw new MillraceError(
        'INPUT_INVALID',
        `${consumer.name} has its dead letters in the topic ${consumer.deadLetterTopic}, and nothing says where the Kafka of ${env} ` +
          'is. Give --kafka with its brokers, and --kafka-auth iam.',
        { details: { consumer: consumer.name, env } },
      );
    }
    const topics = kafka && (await openKafkaTopics(kafka));
    const aws = await openAwsResources(env, consumer, topics);
    return {
      ...aws,
      registry: remembering(aws.registry),
      consumer,
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
  const remembered = remembering(await openRegistry(registry, [consumer.topic]));
  const stores = await openStores(folder, kafka ? { kafka } : {});
  return {
    consumer,
    resources: stores.deadLettersOf(consumer),
    registry: remembered,
    who: `${userInfo().username}@${hostname()}`,
    at: kafka ? `${state}, and ${stores.log.at}` : state,
    retentionMs: null,
    log: stores.log,
    folder,
    stores,
    close: () => stores.close(),
  };
}

function registryOfEnvironment(env: string): MillraceError {
  return new MillraceError(
    'INPUT_INVALID',
    `${env} has a registry of its own, in Glue. Leave --registry out.`,
  );
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
 * Does something to the desk's dead letters, noted in the audit log before it begins and after it.
 * @throws STATE_IN_USE when letters are given back and taken away at once, on this machine
 */
export async function auditedAt<Result extends Readonly<Record<string, unknown>>>(
  { resources, consumer, who, folder }: DlqSession,
  entry: Pick<AuditEntry, 'id' | 'action' | 'plan'>,
  act: () => Promise<Result>,
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

/** Opens a desk for the work, and closes it whatever happens. */
export async function inDlqSession<Result>(
  consumer: AnyConsumer,
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

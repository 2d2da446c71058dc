/** What an environment's operator function is asked, and what it answers: it runs inside the network, for whoever may invoke it. */
import { isArchive } from '../archive/archive.ts';
import { type CapturedTable, capturedTables } from '../capture/table.ts';
import { consumerIn } from '../consumer-in-environment.ts';
import type { Contract } from '../contract/contract.ts';
import type { AnyConsumer } from '../delivery/consumer.ts';
import type { Environment } from '../environment.ts';
import { MillraceError } from '../errors.ts';
import type { WatchedConsumer } from '../lag/sample.ts';
import type { KafkaEvent } from '../lambda/kafka-event.ts';
import type { TopicPartition } from '../record.ts';
import type { LedgerOwner, WholeLedger } from '../replay/ledgers.ts';
import type { ParkedTotals, WaitingKeyReader } from '../replay/waiting-keys.ts';
import type { KeyCall } from './key-calls.ts';

/** What the function logs in to the database as: it reads ledgers, and nothing else. */
export const OPERATOR_ROLE = 'millrace-operator';

/** A consumer whose progress is written to CloudWatch; its group has its name. */
export interface SampledConsumer extends Omit<WatchedConsumer, 'group'> {
  /** How long its topic keeps a record; null where that is its owner's to say. */
  readonly retentionMs: number | 'forever' | null;
  /** The epoch of its ledger, where what it has parked is counted. @default nothing is counted */
  readonly parkedInEpoch?: number;
  /** Whether it declares that it parks. What one that no longer does has left is told, and that there is nothing is not. */
  readonly parks?: boolean;
}

/** A call of the log's reader (runtime/topics.ts), with its parameters in their order. */
export type LogCall =
  | readonly ['partitions', topic: string]
  | readonly ['bounds', of: TopicPartition]
  | readonly ['offsetAt', of: TopicPartition, timestampMs: number]
  | readonly ['committed', group: string, of: TopicPartition]
  | readonly ['passed', of: TopicPartition, fromOffset: number]
  | readonly ['read', of: TopicPartition, fromOffset: number, maxRecords: number];

export type OperatorRequest =
  | { readonly action: 'probe' }
  | { readonly action: 'sample'; readonly consumers: readonly SampledConsumer[] }
  | { readonly action: 'log'; readonly calls: readonly LogCall[] }
  | { readonly action: 'ledgers'; readonly of: LedgerOwner; readonly fromPartition: number }
  | { readonly action: 'keys'; readonly of: LedgerOwner; readonly call: KeyCall };

/** Ledgers from a partition on, as many as an answer has room for; `nextPartition` is where to go on, null at the end. */
export interface LedgersAnswer {
  readonly ledgers: readonly WholeLedger[];
  readonly nextPartition: number | null;
}

/** Of one call, in the order of the calls. `later`: the answer had no room for it; it is to be asked again. */
export type LogAnswer =
  | { readonly value: unknown }
  | { readonly records: KafkaEvent }
  | { readonly error: { readonly code: string; readonly message: string } }
  | { readonly later: true };

/** The consumers whose progress the function writes: those that are on. */
export function sampledConsumers(
  environment: Environment,
  consumers: readonly AnyConsumer[],
): readonly SampledConsumer[] {
  return consumers.flatMap((declared) => {
    const { consumer, isEnabled } = consumerIn(environment, declared);
    const { name, topic, lag, batch, startingPosition, epoch } = consumer;
    if (!isEnabled) return [];
    const isOwn = !environment.existingTopics?.includes(topic.name);
    const keepsAll = topic.retentionMs === -1 || topic.cleanup === 'compact';
    return {
      consumer: name,
      topic: topic.name,
      ...lag,
      windowMs: batch.windowMs,
      startingPosition,
      retentionMs: isOwn ? (keepsAll ? 'forever' : topic.retentionMs) : null,
      ...(countsParked(environment, consumer) && {
        parkedInEpoch: epoch,
        parks: consumer.onDeadLetter === 'park-key',
      }),
    };
  });
}

/**
 * Whether the function counts what the consumer has parked: also of one that no longer parks, whose keys may wait still. A look
 * a minute would keep a database awake that pauses while nobody is connected.
 */
export function countsParked({ database }: Pick<Environment, 'database'>, consumer: AnyConsumer): boolean {
  return !isArchive(consumer) && database.minCapacity > 0;
}

/**
 * What consumers have parked, for their metrics. A sink that does not answer leaves it unknown, and the lag is known all the
 * same.
 */
export async function parkedOf(
  consumers: readonly SampledConsumer[],
  openKeys: () => Promise<Pick<WaitingKeyReader, 'totals'>>,
  onUnknown: (consumer: string, error: MillraceError) => void,
): Promise<ReadonlyMap<string, ParkedTotals>> {
  const found = new Map<string, ParkedTotals>();
  for (const { consumer, topic, parkedInEpoch: epoch, parks } of consumers) {
    if (epoch === undefined) continue;
    try {
      const totals = await (await openKeys()).totals({ consumer, epoch, topic });
      if (parks || totals.records > 0) found.set(consumer, totals);
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error;
      onUnknown(consumer, error);
    }
  }
  return found;
}

/** Of an app, what the function has to do with. */
export interface Operated {
  readonly contracts: readonly Contract<never>[];
  readonly consumers: readonly AnyConsumer[];
  readonly tables?: readonly CapturedTable[];
}

/** The topics that the function may read: every one of the app. */
export function topicsToRead({ contracts, consumers, tables = [] }: Operated): readonly string[] {
  return [
    ...new Set([
      ...contracts.map(({ name }) => name),
      ...capturedTables(tables).map(({ topic }) => topic.name),
      ...consumers.map(({ topic }) => topic.name),
    ]),
  ];
}

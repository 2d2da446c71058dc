import type { Context } from 'aws-lambda';
import { createSeededRandom } from '../../../adapters/system/seeded-random.ts';
import {
  type EventSource,
  type EventSourceOptions,
  startEventSource,
} from '../../../local/event-source/event-source.ts';
import type { EventSourceMapping } from '../../../local/event-source/event-source-mapping.ts';
import { type KafkaEvent, parseKafkaEvent } from '../../../runtime/lambda/kafka-event.ts';
import type { Logger } from '../../../runtime/ports.ts';
import { partitionOf } from '../../../runtime/publish/partitioner.ts';
import type { RawRecord } from '../../../runtime/record.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { createMemoryLog } from '../../../testing/memory-log.ts';

export const TOPIC = 'news.pageviews';
export const GROUP = 'editorial';

/** One invocation as the handler saw it. */
export interface Seen {
  readonly at: number;
  /** `partition:offset` of each record. */
  readonly records: readonly string[];
  readonly requestId: string;
}

export interface Entry {
  readonly level: keyof Logger;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

const started = new Set<EventSource>();

/** Stops every source that was started: one that a failed test left behind would poll for ever in virtual time. */
export async function stopSources(): Promise<void> {
  await Promise.allSettled([...started].map((source) => source.stop()));
  started.clear();
}

/** A topic, virtual time that moves on by itself, and everything an event source needs. */
export async function createWorld({ partitions = 1, seed = 1 } = {}) {
  const clock = createFakeClock({ autoAdvance: true });
  const log = createMemoryLog({ clock });
  await log.createTopic(TOPIC, partitions);
  const random = createSeededRandom(seed);
  const seen: Seen[] = [];
  const entries: Entry[] = [];
  const note =
    (level: keyof Logger) =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) => {
      entries.push({ level, message, fields });
    };
  const logger: Logger = {
    debug: note('debug'),
    info: note('info'),
    warn: note('warn'),
    error: note('error'),
  };

  // A key that lands in each partition.
  const keys = new Map<number, Buffer>();
  for (let attempt = 0; keys.size < partitions; attempt++) {
    const key = Buffer.from(`key-${attempt}`);
    keys.set(partitionOf(key, partitions), key);
  }

  return {
    clock,
    log,
    random,
    seen,
    entries,
    send: (partition: number, count: number, value: Buffer | null = Buffer.from('v')) =>
      log.send(
        TOPIC,
        Array.from({ length: count }, () => ({ key: keys.get(partition)!, value })),
      ),
    committed: (partition = 0) => log.committed(GROUP, { topic: TOPIC, partition }),
    /** Starts a source; every invocation is noted before the handler runs. */
    start(
      mapping: Partial<EventSourceMapping>,
      handler: (records: readonly RawRecord[], context: Context, event: KafkaEvent) => unknown = () => null,
      options: Partial<EventSourceOptions> = {},
    ) {
      const source = startEventSource({
        topic: TOPIC,
        group: GROUP,
        mapping: {
          mode: 'provisioned',
          startingPosition: 'TRIM_HORIZON',
          functionTimeoutMs: 60_000,
          maximumBatchingWindowMs: 0,
          ...mapping,
        } as EventSourceMapping,
        handler: async (event, context) => {
          const records = parseKafkaEvent(event, TOPIC);
          seen.push({ at: clock.now(), records: records.map(nameOf), requestId: context.awsRequestId });
          return handler(records, context, event);
        },
        reader: log,
        clock,
        random,
        log: logger,
        ...options,
      });
      started.add(source);
      return source;
    },
  };
}

export function nameOf({ partition, offset }: RawRecord): string {
  return `${partition}:${offset}`;
}

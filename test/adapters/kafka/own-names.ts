import type { KafkaLog } from '../../../adapters/kafka/kafka-log.ts';
import type { Position } from '../../../runtime/record.ts';
import type { Log } from '../../ports/log-suite.ts';

/** The log as if its cluster were empty: topics and groups have names of their own there, which nobody sees here. */
export function withOwnNames(log: KafkaLog, own: string): Log {
  const outer = (name: string) => `${own}-${name}`;
  const inner = <Where extends { readonly topic: string }>(where: Where): Where => ({
    ...where,
    topic: where.topic.slice(own.length + 1),
  });
  const there = <Where extends { readonly topic: string }>(where: Where): Where => ({
    ...where,
    topic: outer(where.topic),
  });
  return {
    createTopic: (topic, partitions) => log.createTopic(outer(topic), partitions),
    send: async (topic, records) =>
      (await log.send(outer(topic), records)).map((position: Position) => inner(position)),
    partitions: (topic) => log.partitions(outer(topic)),
    read: async (from, offset, max) => (await log.read(there(from), offset, max)).map(inner),
    bounds: (of) => log.bounds(there(of)),
    offsetAt: (of, timestampMs) => log.offsetAt(there(of), timestampMs),
    committed: (group, of) => log.committed(outer(group), there(of)),
    commit: (group, positions) => log.commit(outer(group), positions.map(there)),
  };
}

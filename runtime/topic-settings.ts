import type { Contract } from './contract.ts';

/** What a topic is made by. */
export type TopicContract = Pick<Contract<never>, 'name' | 'partitions' | 'retentionMs' | 'cleanup'> & {
  /** The largest record, with its headers. @default what the cluster says */
  readonly maxRecordBytes?: number;
};

/** The same in Kafka's names: https://kafka.apache.org/documentation/#topicconfigs (2026-11-25) */
export function topicSettings({
  cleanup,
  retentionMs,
  maxRecordBytes,
}: TopicContract): Readonly<Record<string, string>> {
  return {
    'cleanup.policy': cleanup,
    'retention.ms': String(retentionMs),
    ...(maxRecordBytes !== undefined && { 'max.message.bytes': String(maxRecordBytes) }),
  };
}

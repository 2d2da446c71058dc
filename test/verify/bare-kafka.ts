/** A topic and a group as a bare client finds them, which has no part in what is tested. */
import { type Admin, Consumer } from '@platformatic/kafka';

interface BareRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: Buffer;
  readonly value: Buffer;
}

/** All that a topic holds by now, each partition in order, and where its partitions end. */
export async function readTopic(brokers: string[], topic: string) {
  const consumer = new Consumer<Buffer, Buffer, Buffer, Buffer>({
    clientId: 'verify',
    bootstrapBrokers: brokers,
    groupId: 'verify-reader',
    // A broker that is back loads its groups first, and says until then that they are not with it.
    retries: 120,
    retryDelay: 500,
  });
  const ends = (await consumer.listOffsets({ topics: [topic] })).get(topic)!.map(Number);
  async function* records(): AsyncGenerator<BareRecord> {
    const stream = await consumer.consume({ topics: [topic], mode: 'earliest', autocommit: false });
    let left = ends.reduce((sum, end) => sum + end, 0);
    for await (const { partition, offset, key, value } of stream) {
      yield { partition, offset: Number(offset), key, value };
      if (--left === 0) break;
    }
    await stream.close();
    await consumer.close(true);
  }
  return { records: records(), ends };
}

/**
 * Sets a group's offsets back, each partition's by its own number, so that records are delivered again.
 * @returns how many
 */
export async function rewindGroup(
  admin: Admin,
  groupId: string,
  topic: string,
  by: () => number,
): Promise<number> {
  const [group] = await admin.listConsumerGroupOffsets({ groups: [groupId] });
  const [offsets] = group!.topics;
  let records = 0;
  const partitionOffsets = offsets!.partitions.map(({ partitionIndex: partition, committedOffset }) => {
    const back = Math.min(Number(committedOffset), by());
    records += back;
    return { partition, offset: committedOffset - BigInt(back) };
  });
  await admin.alterConsumerGroupOffsets({ groupId, topics: [{ name: topic, partitionOffsets }] });
  return records;
}

import { zstdDecompressSync } from 'node:zlib';
import kafkajs from 'kafkajs';
import { pageviews } from '../contracts/news.pageviews/topic.ts';

const { CompressionCodecs, CompressionTypes, Kafka, logLevel } = kafkajs;

// KafkaJS has no zstd of its own.
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: () => Promise.reject(new Error('only read here')),
  decompress: async (buffer: Buffer) => zstdDecompressSync(buffer),
});

/** KafkaJS in a group of one, by its own batches: one of a partition at a time, committed after it is taken. */
export async function consumeKafkajs(
  address: string,
  groupId: string,
  records: number,
  take: (values: readonly Buffer[]) => Promise<void>,
): Promise<void> {
  const kafka = new Kafka({ clientId: 'bench', brokers: [address], logLevel: logLevel.NOTHING });
  const consumer = kafka.consumer({ groupId });
  await consumer.connect();
  await consumer.subscribe({ topic: pageviews.name, fromBeginning: true });
  const drained = Promise.withResolvers<void>();
  consumer.on('consumer.crash', ({ payload }) => drained.reject(payload.error));
  let left = records;
  await consumer.run({
    eachBatch: async ({ batch }) => {
      await take(batch.messages.map(({ value }) => value!));
      left -= batch.messages.length;
      if (left <= 0) drained.resolve();
    },
  });
  await drained.promise;
  await consumer.disconnect();
}

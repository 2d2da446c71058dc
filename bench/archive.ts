import { gzipSync } from 'node:zlib';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { createS3Objects } from '../adapters/aws/s3-objects.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { systemRandom } from '../adapters/system/system-random.ts';
import { pageviews } from '../contracts/news.pageviews/topic.ts';
import { moto } from '../local/parts/moto.ts';
import type { Processes } from '../local/parts/processes.ts';
import { defineArchive } from '../runtime/archive/archive.ts';
import { GZIP_LEVEL } from '../runtime/archive/chain.ts';
import { createRowWriter } from '../runtime/archive/row.ts';
import { ArchiveSink } from '../runtime/archive/sink.ts';
import { createDecoder } from '../runtime/contract/codec.ts';
import type { SchemaRegistry } from '../runtime/contract/registry.ts';
import { createEngine } from '../runtime/delivery/engine.ts';
import { settleKafkaEvent } from '../runtime/lambda/kafka-batch.ts';
import { encodeKafkaEvent, type KafkaEvent } from '../runtime/lambda/kafka-event.ts';
import type { ObjectStore } from '../runtime/objects.ts';
import { invocation } from './invocation-10k.ts';
import { type Figures, measure, type Result, resultOf } from './measure.ts';
import { inPartitions, makeRecords } from './pageviews.ts';

/**
 * A whole invocation of an archive, from the event to the objects, on S3's API as moto has it. The floor gets the same
 * rows, ready made, and compresses and puts them.
 */
export async function benchArchive(
  processes: Processes,
  count: number,
  rounds: number,
  registry: SchemaRegistry,
): Promise<(Result | Figures)[]> {
  const records = await makeRecords(count, registry);
  const warmUps = 3;
  const first = inPartitions(records);
  const sizes = Map.groupBy(first, ({ partition }) => partition);
  // Each batch goes on where the one before it ended, in every partition.
  // Each batch goes on where the one before it ended, in every partition.
  const batchesOf = () => {
    let round = 0;
    return () => {
      const batch = first.map((record) => ({
        ...record,
        offset: record.offset + round * sizes.get(record.partition)!.length,
      }));
      round++;
      return batch;
    };
  };
  const [nextOfOurs, nextOfFloor] = [batchesOf(), batchesOf()];
  const refuse = (message: string) => {
    throw new Error(`the benchmark met trouble: ${message}`);
  };
  const archive = defineArchive({ topic: pageviews });
  const [ours, floor] = await openBuckets(processes);
  const engine = createEngine(archive, {
    clock: systemClock,
    random: systemRandom,
    registry,
    sink: new ArchiveSink({ store: ours, topic: pageviews, clock: systemClock }),
    deadLetters: { put: async () => refuse('a dead letter') },
    log: { debug() {}, info() {}, warn: refuse, error: refuse },
    metrics: { report() {}, reportRedrive() {} },
  });
  let puts = 0;
  const timings = await measure(
    {
      ours: {
        prepare: () => encodeKafkaEvent(nextOfOurs()),
        async run(event: KafkaEvent) {
          const { batchItemFailures } = await settleKafkaEvent(event, engine, invocation());
          if (batchItemFailures.length > 0) refuse('the batch was not settled');
        },
      },
      floor: {
        prepare: () => rowsOf(nextOfFloor(), registry),
        async run(ready: readonly Buffer[]) {
          await Promise.all(
            ready.map((rows) => floor.put(`${puts++}`, gzipSync(rows, { level: GZIP_LEVEL }))),
          );
        },
      },
    },
    { rounds, warmUps },
  );

  const written = await sizesOf(ours);
  const expected = await sizesOf(floor);
  if (written.bytes < expected.bytes) refuse(`${written.bytes} bytes, and ${expected.bytes} of the floor`);
  return [
    resultOf('archive', count, timings),
    {
      name: 'archive-objects',
      figures: {
        bytesPerRow: Math.round(expected.bytes / ((warmUps + rounds) * count)),
        bytesPerObject: Math.round(expected.bytes / expected.objects),
      },
    },
  ];
}

/** Two, so that each contestant has one of its own. */
async function openBuckets(processes: Processes): Promise<[ObjectStore, ObjectStore]> {
  const { value: endpoint } = await moto.start(processes, await moto.download(processes));
  const config = {
    endpoint,
    forcePathStyle: true,
    region: 'eu-west-1' as const,
    credentials: { accessKeyId: 'bench', secretAccessKey: 'bench' },
  };
  const client = new S3Client(config);
  const buckets = ['ours', 'floor'].map(async (Bucket) => {
    const CreateBucketConfiguration = { LocationConstraint: config.region } as const;
    await client.send(new CreateBucketCommand({ Bucket, CreateBucketConfiguration }));
    return createS3Objects({ client, bucket: Bucket });
  });
  return (await Promise.all(buckets)) as [ObjectStore, ObjectStore];
}

/** Each partition's lines. */
async function rowsOf(
  batch: ReturnType<typeof inPartitions>,
  registry: SchemaRegistry,
): Promise<readonly Buffer[]> {
  const decoded = await createDecoder(pageviews, registry).decodeBatch(batch);
  const rowOf = createRowWriter(pageviews);
  const lines = decoded.map((each) => {
    if (!('record' in each)) throw new Error('a record does not decode');
    return { partition: each.record.partition, line: rowOf(each.record) };
  });
  return [...Map.groupBy(lines, ({ partition }) => partition).values()].map((group) =>
    Buffer.from(group.map(({ line }) => line).join('')),
  );
}

async function sizesOf(store: ObjectStore): Promise<{ readonly objects: number; readonly bytes: number }> {
  const objects = await Array.fromAsync(store.list(''));
  return { objects: objects.length, bytes: objects.reduce((sum, { bytes }) => sum + bytes, 0) };
}

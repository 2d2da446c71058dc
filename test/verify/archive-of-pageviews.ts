/** Archives pageviews of a real Kafka into a real S3 API, with all that goes wrong between, and reads them back. */
import { createHash, randomBytes } from 'node:crypto';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { openS3Objects } from '../../adapters/aws/s3-objects.ts';
import { createContractSchemaRegistry } from '../../adapters/contract-schema-registry.ts';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { systemRandom } from '../../adapters/system/system-random.ts';
import { makeRecordChunks } from '../../bench/pageviews.ts';
import { pageviews } from '../../contracts/news.pageviews/topic.ts';
import { openKafkaTopics } from '../../local/topic-log.ts';
import { defineArchive } from '../../runtime/archive/archive.ts';
import { createArchiveReader } from '../../runtime/archive/reader.ts';
import { ArchiveSink } from '../../runtime/archive/sink.ts';
import { createEngine, type Engine } from '../../runtime/delivery/engine.ts';
import { MillraceError } from '../../runtime/errors.ts';
import { settleKafkaEvent } from '../../runtime/lambda/kafka-batch.ts';
import { encodeKafkaEvent } from '../../runtime/lambda/kafka-event.ts';
import type { ObjectStore } from '../../runtime/objects.ts';
import type { RawRecord } from '../../runtime/record.ts';
import type { LogReader } from '../../runtime/topics.ts';
import { part } from './part.ts';

const BATCH_RECORDS = 5_000;
const PARTITIONS = 6;

export interface ArchivedRun {
  readonly records: number;
  /** Commits that met another writer's. */
  readonly conflicts: number;
  readonly crashes: number;
  readonly redelivered: number;
  readonly objects: number;
  /** Objects whose `next` is not where the one behind them begins. */
  readonly broken: readonly string[];
  readonly readBack: number;
  readonly missing: number;
  readonly isSame: boolean;
}

/**
 * Two groups read all of the topic, at once, into one archive. Functions die before and after their commits, and three in
 * ten batches are delivered again from their middle on.
 */
export async function archivePageviews(count: number): Promise<ArchivedRun> {
  const name = `archive-${randomBytes(4).toString('hex')}`;
  // The records are of a day long past.
  const topic = { ...pageviews, name, partitions: PARTITIONS, retentionMs: -1 };
  const registry = createContractSchemaRegistry([topic, pageviews]);
  // Each reader has one of its own: a log reads ahead at one place of a partition.
  const openLog = () =>
    openKafkaTopics({ brokers: [part('MILLRACE_TEST_KAFKA')], security: { kind: 'plaintext' } });
  const [log, ...groups] = await Promise.all([openLog(), openLog(), openLog()]);
  const endpoint = { endpoint: part('MILLRACE_TEST_AWS'), forcePathStyle: true };
  const client = new S3Client(endpoint);
  await client.send(
    new CreateBucketCommand({ Bucket: name, CreateBucketConfiguration: { LocationConstraint: 'eu-west-1' } }),
  );
  const store = openS3Objects(endpoint, name);
  const random = createSeededRandom(15);
  const seen = { conflicts: 0, crashes: 0, redelivered: 0 };
  try {
    await log.prepareTopic(topic);
    for await (const chunk of makeRecordChunks(count, registry)) await log.send(name, chunk);

    const deathly: ObjectStore = {
      ...store,
      async create(key, body, metadata) {
        const dies = random.next() < 0.03;
        if (dies && random.next() < 0.5) throw died();
        const made = await store.create(key, body, metadata);
        if (!made) seen.conflicts++;
        if (dies) throw died();
        return made;
      },
    };
    const died = () => {
      seen.crashes++;
      return new MillraceError('OBJECT_STORE_UNAVAILABLE', 'The function died.');
    };
    const open = (): Engine =>
      createEngine(defineArchive({ topic, name: `${name}-archive` }), {
        clock: systemClock,
        random: systemRandom,
        registry,
        sink: new ArchiveSink({ store: deathly, topic, clock: systemClock }),
        deadLetters: {
          put: async () => {
            throw new Error('no record of these is bad');
          },
        },
        log: { debug() {}, info() {}, warn() {}, error() {} },
        metrics: { report() {}, reportRedrive() {} },
      });
    await Promise.all(groups.map((group) => deliverAll(group, name, open, seen, random)));

    const read = createArchiveReader({ store, topic: name, epoch: 1 });
    let readBack = 0;
    let missing = 0;
    let isSame = true;
    const broken: string[] = [];
    let objects = 0;
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const { start, end } = await log.bounds({ topic: name, partition });
      const archived = read.read(partition, start, end, ({ from, to }) => {
        missing += to - from;
      });
      const [ours, theirs] = [createHash('sha256'), createHash('sha256')];
      for await (const record of archived) {
        readBack++;
        digest(ours, record);
      }
      for await (const page of pagesOf(log, name, partition, end))
        for (const record of page) digest(theirs, record);
      isSame &&= ours.digest('hex') === theirs.digest('hex');

      let next: string | undefined;
      for await (const { key } of store.list(`topics/${name}/1/p${partition}/`)) {
        objects++;
        const offset = /\/(\d{20})/.exec(key)![1]!;
        if (next !== undefined && Number(offset) !== Number(next)) broken.push(key);
        const metadata = await store.metadata(key);
        next = metadata!.next === 'null' ? '0' : metadata!.next;
      }
    }
    return { records: count, ...seen, objects, broken, readBack, missing, isSame };
  } finally {
    client.destroy();
    await Promise.all([log, ...groups].map((each) => each.close()));
  }
}

/** One group: partition by partition as a poller does, each batch again until it is settled. */
async function deliverAll(
  log: LogReader,
  topic: string,
  open: () => Engine,
  seen: { redelivered: number },
  random: { next(): number },
): Promise<void> {
  let engine = open();
  const deliver = async (records: readonly RawRecord[]) => {
    for (;;) {
      const endsAt = Date.now() + 60_000;
      const invocation = {
        requestId: 'verify',
        functionName: 'archive',
        functionVersion: '1',
        partialResponses: false,
        remainingMs: () => endsAt - Date.now(),
      };
      try {
        await settleKafkaEvent(encodeKafkaEvent(records), engine, invocation);
        return;
      } catch (error) {
        if (!(error instanceof MillraceError) || error.action !== 'hold') throw error;
        // As cold as after a crash.
        engine = open();
      }
    }
  };
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const { end } = await log.bounds({ topic, partition });
    for await (const page of pagesOf(log, topic, partition, end)) {
      await deliver(page);
      if (random.next() >= 0.3) continue;
      seen.redelivered++;
      await deliver(page.slice(Math.floor(page.length / 3)));
    }
  }
}

async function* pagesOf(log: LogReader, topic: string, partition: number, end: number) {
  for (let next = 0; next < end; ) {
    const page = await log.read({ topic, partition }, next, Math.min(BATCH_RECORDS, end - next));
    if (page.length === 0) return;
    yield page;
    next = page.at(-1)!.offset + 1;
  }
}

/** Everything of a record, with what tells null from empty. */
function digest(hash: ReturnType<typeof createHash>, record: RawRecord): void {
  const { partition, offset, timestamp, timestampType, key, value, headers } = record;
  hash.update(
    JSON.stringify([partition, offset, timestamp, timestampType, key?.length ?? null, value?.length ?? null]),
  );
  if (key) hash.update(key);
  if (value) hash.update(value);
  for (const header of headers) hash.update(`${header.name}=${header.value?.toString('base64') ?? null}`);
}

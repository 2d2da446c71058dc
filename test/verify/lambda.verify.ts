/** The functions' bundles as they are deployed, run by Lambda's runtime, on a database, queues and a registry beside them. */
import { once } from 'node:events';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { CreateRegistryCommand, GlueClient } from '@aws-sdk/client-glue';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { CreateQueueCommand, GetQueueAttributesCommand, SQSClient } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import pg from 'pg';
import { createGlueSchemaRegistrar } from '../../adapters/aws/glue-schema-registrar.ts';
import { createS3Objects } from '../../adapters/aws/s3-objects.ts';
import { createSqsMover, createSqsQueue } from '../../adapters/aws/sqs-queue.ts';
import { openKafkaLog } from '../../adapters/kafka/kafka-log.ts';
import { pgDriver } from '../../adapters/postgres/pg-driver.ts';
import { PostgresSink } from '../../adapters/postgres/postgres-sink.ts';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { systemRandom } from '../../adapters/system/system-random.ts';
import type { Pageview } from '../../contracts/news.pageviews/schema.ts';
import { pageviews } from '../../contracts/news.pageviews/topic.ts';
import { createTraffic } from '../../demo/traffic.ts';
import { editorialAnalytics } from '../../lambdas/editorial-analytics/consumer.ts';
import { startQueueSource } from '../../local/event-source/queue-source.ts';
import { Processes } from '../../local/parts/processes.ts';
import { defineArchive } from '../../runtime/archive/archive.ts';
import { createArchiveReader } from '../../runtime/archive/reader.ts';
import { createDecoder, createEncoder } from '../../runtime/contract/codec.ts';
import { createQueueReader } from '../../runtime/dead-letters/queue-letters.ts';
import { createTopicReader } from '../../runtime/dead-letters/topic-letters.ts';
import { writeVersion } from '../../runtime/deployment.ts';
import { encodeKafkaEvent } from '../../runtime/lambda/kafka-event.ts';
import type { LogAnswer } from '../../runtime/operator/operator.ts';
import { probeConsumer, probes } from '../../runtime/probe/pipeline.ts';
import { partitionOf } from '../../runtime/publish/partitioner.ts';
import type { RawRecord } from '../../runtime/record.ts';
import { type BuiltFunction, buildFunctions, bundle } from '../../scripts/verify/built-functions.mjs';
import { type RunningFunction, startFunction } from '../../scripts/verify/lambda-runtime.mjs';
import { startRdsPostgres } from '../../scripts/verify/rds-postgres.ts';
import { expectedTables, readTables } from '../fixtures/newsdesk/tables.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { part } from './part.ts';

jest.setTimeout(300_000);

const runtime = part('MILLRACE_TEST_LAMBDA_RUNTIME');
const endpoints = {
  AWS_ENDPOINT_URL_SQS: part('MILLRACE_TEST_SQS'),
  AWS_ENDPOINT_URL_S3: part('MILLRACE_TEST_AWS'),
  AWS_ENDPOINT_URL_GLUE: part('MILLRACE_TEST_AWS'),
};
const sqs = new SQSClient({ endpoint: endpoints.AWS_ENDPOINT_URL_SQS });
const s3 = new S3Client({ endpoint: endpoints.AWS_ENDPOINT_URL_S3, forcePathStyle: true });
const glue = new GlueClient({ endpoint: endpoints.AWS_ENDPOINT_URL_GLUE });
const { sasl, ca, username, password } = JSON.parse(part('MILLRACE_TEST_GUARDED_KAFKA'));
/** The Kafka that functions log in to as they do to MSK, for who looks at it from outside. */
const log = openKafkaLog({
  connection: {
    brokers: [sasl],
    security: { kind: 'scram', username, password, ca: readFileSync(ca, 'utf8') },
  },
  clock: systemClock,
});
const temporary = createTemporaryFolder();
const processes = new Processes(temporary.path);

const REGISTRY = 'millrace-dev';
const registry = createGlueSchemaRegistrar({ client: glue, registryName: REGISTRY, clock: systemClock });
const BUCKET = 'millrace-verify-lambda';
const CONSUMER = editorialAnalytics.name;

let functions: readonly BuiltFunction[];
let postgres: Awaited<ReturnType<typeof startRdsPostgres>>;
/** What a deployment fills in, and what stands here for RDS's certificates and AWS's endpoints. */
let settings: Readonly<Record<string, string>>;
/** A file with those of the database and of Kafka. */
let certificates: string;
let dead: { url: string; arn: string };
let redrive: { url: string; arn: string };
/** The functions that have given an answer. */
const answered = new Set<string>();

beforeAll(async () => {
  [functions, postgres] = await Promise.all([buildFunctions(processes, 'dev'), startRdsPostgres(processes)]);
  dead = await createQueue('dead-letters');
  const policy = { deadLetterTargetArn: dead.arn, maxReceiveCount: 10 };
  redrive = await createQueue('redrive', { RedrivePolicy: JSON.stringify(policy) });
  await s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
  await glue.send(new CreateRegistryCommand({ RegistryName: REGISTRY }));
  certificates = join(temporary.path, 'certificates.pem');
  writeFileSync(certificates, `${readFileSync(postgres.certificate, 'utf8')}\n${readFileSync(ca, 'utf8')}`);
  await registry.register(probes);
  const ids = await registry.register(pageviews);
  settings = {
    ...endpoints,
    NODE_EXTRA_CA_CERTS: postgres.certificate,
    MILLRACE_DATABASE_HOST: new URL(postgres.url).hostname,
    MILLRACE_DEAD_LETTER_QUEUE_URL: dead.url,
    MILLRACE_BUCKET_NAME: BUCKET,
    MILLRACE_SCHEMA_IDS: ids
      .map((id, index) => writeVersion({ topic: pageviews.name, version: index + 1, id }))
      .join(','),
  };
});
afterAll(async () => {
  await log.close();
  await processes.endAll();
  for (const client of [sqs, s3, glue]) client.destroy();
  temporary.remove();
});

async function createQueue(name: string, attributes: Record<string, string> = {}) {
  const QueueName = `millrace-verify-lambda-${name}`;
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName, Attributes: attributes }));
  const { Attributes } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['QueueArn'] }),
  );
  return { url: QueueUrl!, arn: Attributes!.QueueArn! };
}

async function inDatabase<Outcome>(work: (pool: pg.Pool) => Promise<Outcome>) {
  const pool = new pg.Pool({ connectionString: new URL('millrace', postgres.url).href, max: 1 });
  try {
    return await work(pool);
  } finally {
    await pool.end();
  }
}

/** An execution environment of a function, for one test. */
async function using(
  name: string,
  work: (fn: RunningFunction) => Promise<void>,
  others: Readonly<Record<string, string>> = {},
) {
  const built = functions.find((fn) => fn.name === name)!;
  const fn = await startFunction(processes, runtime, built, { ...settings, ...others });
  try {
    await work({
      ...fn,
      async invoke(event) {
        const answer = await fn.invoke(event);
        if (!('errorType' in answer)) answered.add(name);
        return answer;
      },
    });
  } finally {
    await fn.end();
  }
}

const tables = () => inDatabase((pool) => readTables(new PostgresSink(pgDriver(pool), { schema: CONSUMER })));
/** The dead letters in the queue: what is told of each, by its record's place. A letter may be there twice. */
async function letters() {
  const reader = createQueueReader({ queue: createSqsQueue({ client: sqs, queueUrl: dead.url }) });
  const found = (await Array.fromAsync(reader.scan())).flatMap((stored) =>
    'letter' in stored ? [[placeOf(stored.letter.record), stored.letter] as const] : [],
  );
  return Object.fromEntries(
    found.map(([place, { failure, record }]) => [place, [failure.code, failure.attempts, base64(record)]]),
  );
}
const placeOf = ({ partition, offset }: Pick<RawRecord, 'partition' | 'offset'>) => `${partition}/${offset}`;
const base64 = ({ value }: Pick<RawRecord, 'value'>) => value!.toString('base64');

/** The next offset of each partition: what is made for one test follows upon what was made for those before. */
const next = new Array<number>(pageviews.partitions).fill(0);
const place = (key: Buffer, value: Buffer, timestamp: number): RawRecord => {
  const partition = partitionOf(key, pageviews.partitions);
  const offset = next[partition]!++;
  const where = { topic: pageviews.name, partition, offset };
  return { ...where, timestamp, timestampType: 'CREATE_TIME', key, value, headers: [] };
};
const traffic = createTraffic(createSeededRandom(7));
const STARTED_AT = Date.UTC(2026, 0, 1);
const makeViews = (count: number): Pageview[] =>
  Array.from({ length: count }, (_, n) => traffic.next(STARTED_AT + n * 40));
async function recordsOf(views: readonly Pageview[]): Promise<RawRecord[]> {
  const encoded = await createEncoder(pageviews, registry).encodeBatch(views);
  return encoded.map((each, n) => {
    if ('violations' in each) throw new Error('a view breaks its contract');
    return place(each.record.key!, each.record.value!, views[n]!.occurredAt);
  });
}

const SETTLED = { batchItemFailures: [] };
let applied: Pageview[];

test('migrations makes the tables, and nothing when it runs again', async () => {
  await using('migrations', async (fn) => {
    const { applied: names } = await fn.invoke({});
    expect(names).toContain(`${CONSUMER}/0001-engagement`);
    expect(names).toContain(`${probeConsumer.name}/0001-probe`);
    expect(await fn.invoke({})).toEqual({ applied: [] });
  });
});

test('the database lets in who brings a token for it, as RDS does, and nobody else', async () => {
  const { hostname: host, port } = new URL(postgres.url);
  const ssl = { ca: readFileSync(postgres.certificate) };
  const client = new pg.Client({ host, port: Number(port), user: CONSUMER, password: 'no token', ssl });
  await expect(client.connect()).rejects.toMatchObject({ code: '28000' });
});

test('editorial-analytics applies a batch once, and dead-letters what fails; a redrive applies it when it can', async () => {
  const views = makeViews(400);
  const refused = views[17]!.contentId;
  const records = await recordsOf(views);
  const poison = place(Buffer.from('k'), Buffer.from('{"no":"frame"}'), STARTED_AT);
  const event = encodeKafkaEvent([...records, poison]);
  expect(Object.keys(event.records).length).toBeGreaterThan(3);
  const accepted = views.filter(({ contentId }) => contentId !== refused);
  const bad = records.filter((_, n) => views[n]!.contentId === refused);
  await inDatabase((pool) =>
    pool.query(
      `ALTER TABLE "${CONSUMER}".article_minute ADD CONSTRAINT bug CHECK (content_id <> '${refused}')`,
    ),
  );

  await using(CONSUMER, async (fn) => {
    expect(await fn.invoke(event)).toEqual(SETTLED);
    expect(await tables()).toEqual(expectedTables(accepted));
    const expected = {
      [placeOf(poison)]: ['FRAME_UNKNOWN', 1, base64(poison)],
      ...Object.fromEntries(
        // A check that does not hold is final: no wait would change it.
        bad.map((record) => [placeOf(record), ['SINK_REJECTED', 1, base64(record)]]),
      ),
    };
    expect(await letters()).toEqual(expected);

    // What is dead-lettered is not settled: delivered again, it is tried again.
    expect(await fn.invoke(event)).toEqual(SETTLED);
    expect(await tables()).toEqual(expectedTables(accepted));
    expect(await letters()).toEqual(expected);

    await inDatabase((pool) => pool.query(`ALTER TABLE "${CONSUMER}".article_minute DROP CONSTRAINT bug`));
    await createSqsMover({
      client: sqs,
      sourceArn: dead.arn,
      destinationArn: redrive.arn,
      clock: systemClock,
    }).move({ maxPerSecond: 500 });
    const queue = createSqsQueue({ client: sqs, queueUrl: redrive.url });
    const answers: unknown[] = [];
    const source = startQueueSource({
      queue,
      name: CONSUMER,
      handler: async (message) => {
        const answer = await fn.invoke(message);
        answers.push(answer);
        return answer;
      },
      functionTimeoutMs: 60_000,
      clock: systemClock,
      random: systemRandom,
      log: { debug() {}, info() {}, warn() {}, error() {} },
    });
    while ((await queue.depth()) > 0) await systemClock.sleep(50);
    await source.stop();
    expect(new Set(answers.map((answer) => JSON.stringify(answer)))).toEqual(
      new Set([JSON.stringify(SETTLED)]),
    );
    expect(await tables()).toEqual(expectedTables(views));
    // Poison stays poison.
    expect(await letters()).toEqual({ [placeOf(poison)]: ['FRAME_UNKNOWN', 2, base64(poison)] });
  });
  applied = views;
});

test('editorial-analytics fails while its database is away, and applies the batch when it is back', async () => {
  const views = makeViews(100);
  const event = encodeKafkaEvent(await recordsOf(views));
  await using(
    CONSUMER,
    async (fn) => {
      expect(await fn.invoke(encodeKafkaEvent([]))).toEqual(SETTLED);
      await postgres.crash();
      expect(await fn.invoke(event)).toMatchObject({
        errorMessage: expect.stringMatching(
          /^100 of 100 records are not settled: SINK_UNAVAILABLE held the batch\./,
        ),
      });
      await postgres.start();
      expect(await fn.invoke(event)).toEqual(SETTLED);
    },
    { AWS_LAMBDA_FUNCTION_TIMEOUT: '10' },
  );
  expect(await tables()).toEqual(expectedTables([...applied, ...views]));
  expect(Object.keys(await letters())).toHaveLength(1);
});

test('collector publishes what API Gateway hands it, and answers for each event', async () => {
  await log.createTopic(pageviews.name, 1);
  const { end } = await log.bounds({ topic: pageviews.name, partition: 0 });
  const [view] = makeViews(1);
  const request = {
    httpMethod: 'POST',
    pathParameters: { topic: pageviews.name },
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify([view, { contentId: 'alone' }]),
    isBase64Encoded: false,
  };
  await using(
    'collector',
    async (fn) => {
      const { statusCode, body } = await fn.invoke(request);
      expect([statusCode, JSON.parse(body)]).toEqual([
        207,
        expect.objectContaining({ accepted: 1, refused: 1 }),
      ]);
    },
    { MILLRACE_BROKERS: sasl, NODE_EXTRA_CA_CERTS: ca },
  );
  const records = await log.read({ topic: pageviews.name, partition: 0 }, end, 10);
  expect(await createDecoder(pageviews, registry).decodeBatch(records)).toMatchObject([
    { record: { key: view!.contentId, value: view } },
  ]);
});

test('collector says in time that it cannot publish, be it that a broker says nothing at all', async () => {
  const silent = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const event = {
    httpMethod: 'POST',
    pathParameters: { topic: pageviews.name },
    headers: { 'content-type': 'text/plain' },
    body: JSON.stringify(makeViews(1)),
    isBase64Encoded: false,
  };
  for (const address of ['127.0.0.1:1', `127.0.0.1:${port}`]) {
    await using(
      'collector',
      async (fn) => {
        const { statusCode, body } = await fn.invoke(event);
        expect([statusCode, JSON.parse(body).verdicts]).toEqual([
          503,
          [{ index: 0, status: 'failed', code: 'PUBLISH_FAILED' }],
        ]);
      },
      { MILLRACE_BROKERS: address },
    );
  }
  silent.close();
});

test('a consumer whose dead letters are in Kafka writes them there, or has the batch delivered again', async () => {
  const consumer = { ...editorialAnalytics, deadLetter: 'kafka' } as const;
  await log.createTopic(consumer.deadLetterTopic, 1);
  const built = { ...functions.find(({ name }) => name === CONSUMER)!, code: bundleWithLettersInKafka() };
  const invokeOn = async (brokers: string, event: unknown) => {
    const others = {
      AWS_LAMBDA_FUNCTION_TIMEOUT: '20',
      NODE_EXTRA_CA_CERTS: certificates,
      MILLRACE_BROKERS: brokers,
    };
    const fn = await startFunction(processes, runtime, built, { ...settings, ...others });
    return fn.invoke(event).finally(() => fn.end());
  };

  const before = await tables();
  const records = await recordsOf(makeViews(50));
  // The last of its partition.
  const poison = place(Buffer.from('k'), Buffer.from('{"no":"frame"}'), STARTED_AT);
  const event = encodeKafkaEvent([...records, poison]);
  expect(await invokeOn('127.0.0.1:1', event)).toMatchObject({
    errorMessage: expect.stringContaining('DEAD_LETTER_STORE_UNAVAILABLE'),
  });
  // What stands before the poison, and in other partitions, does not wait for its letter.
  const settled = await tables();
  expect(settled).not.toEqual(before);
  expect(await invokeOn(sasl, event)).toEqual(SETTLED);
  expect(await tables()).toEqual(settled);
  const of = { consumer: consumer.name, epoch: consumer.epoch, topic: pageviews.name };
  const reader = createTopicReader({ topic: consumer.deadLetterTopic, of, producer: log, reader: log });
  const stored = await Array.fromAsync(reader.scan());
  expect(stored).toMatchObject([
    { letter: { record: poison, failure: { code: 'FRAME_UNKNOWN' }, functionName: built.functionName } },
  ]);
});

test('operator sends a probe, and sees it in the ledger and the table when its consumer has applied it', async () => {
  await log.createTopic(probes.name, 1);
  const others = { MILLRACE_BROKERS: sasl, NODE_EXTRA_CA_CERTS: certificates };
  await using(
    'operator',
    async (operator) => {
      const probing = operator.invoke({ action: 'probe' });
      const of = { topic: probes.name, partition: 0 };
      while ((await log.bounds(of)).end === 0) await systemClock.sleep(100);
      await using(probeConsumer.name, async (consumer) => {
        expect(await consumer.invoke(encodeKafkaEvent(await log.read(of, 0, 1)))).toEqual(SETTLED);
      });
      expect(await probing).toMatchObject({
        ...of,
        offset: 0,
        publishedMs: expect.any(Number),
        settledMs: expect.any(Number),
        appliedMs: expect.any(Number),
      });
      const calls = [
        ['bounds', of],
        ['read', of, 0, 10],
        ['committed', probeConsumer.name, of],
      ];
      const [bounds, read, committed] = (await operator.invoke({ action: 'log', calls })) as LogAnswer[];
      expect([bounds, committed]).toEqual([{ value: { start: 0, end: 1 } }, { value: null }]);
      expect(read).toMatchObject({ records: { records: { 'millrace.probe-0': [{ offset: 0 }] } } });
      const owner = { consumer: probeConsumer.name, epoch: probeConsumer.epoch, topic: probes.name };
      expect(await operator.invoke({ action: 'ledgers', of: owner, fromPartition: 0 })).toMatchObject({
        ledgers: [{ partition: 0, first: 0, next: 1, deadLettered: [], skipped: [] }],
        nextPartition: null,
      });
      const watched = {
        consumer: probeConsumer.name,
        topic: probes.name,
        ...probeConsumer.lag,
        windowMs: probeConsumer.batch.windowMs,
        startingPosition: probeConsumer.startingPosition,
        retentionMs: probes.retentionMs,
      };
      // Nothing commits for its group here: all that the topic has is unread, and that is known.
      expect(await operator.invoke({ action: 'sample', consumers: [watched] })).toEqual({ sampled: 1 });
      expect(await operator.invoke({ action: 'drop' })).toMatchObject({
        errorMessage: expect.stringContaining('was asked for "drop"; it knows probe'),
      });
    },
    others,
  );
});

test('an archive keeps each record of its batches once, and dead-letters what it cannot read', async () => {
  const archive = defineArchive({ topic: pageviews });
  const bucket = 'millrace-verify-lambda-archive';
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  const built = {
    ...functions.find(({ name }) => name === CONSUMER)!,
    functionName: `millrace-dev-${archive.name}`,
    code: bundleOfArchive(),
  };
  const others = { MILLRACE_CONSUMER: archive.name, MILLRACE_ARCHIVE_BUCKET_NAME: bucket };
  const records = (await recordsOf(makeViews(200))).toSorted(
    (a, b) => a.partition - b.partition || a.offset - b.offset,
  );
  const poison = place(Buffer.from('k'), Buffer.from('{"no":"frame"}'), STARTED_AT);
  const [first, rest] = [records.slice(0, 120), [...records.slice(60), poison]];
  const fn = await startFunction(processes, runtime, built, { ...settings, ...others });
  try {
    expect(await fn.invoke(encodeKafkaEvent(first))).toEqual(SETTLED);
    expect(await fn.invoke(encodeKafkaEvent(rest))).toEqual(SETTLED);
    expect(await fn.invoke(encodeKafkaEvent(first))).toEqual(SETTLED);
  } finally {
    await fn.end();
  }
  const reader = createArchiveReader({
    store: createS3Objects({ client: s3, bucket }),
    topic: pageviews.name,
    epoch: archive.epoch,
  });
  const archived: RawRecord[] = [];
  for (let partition = 0; partition < pageviews.partitions; partition++) {
    const { start, end } = await reader.bounds(partition);
    for await (const record of reader.read(partition, start, end)) archived.push(record);
  }
  expect(archived).toEqual(records);
  expect(await letters()).toMatchObject({ [placeOf(poison)]: ['FRAME_UNKNOWN', 1, base64(poison)] });
});

/** The folder of a bundle as the CDK makes it of an app's archives: with the parts of a consumer. */
function bundleOfArchive(): string {
  const code = join(temporary.path, 'archive');
  cpSync(functions.find(({ name }) => name === CONSUMER)!.code, code, { recursive: true });
  const contents = `
    import { archiveFunction } from './adapters/aws/archive-function.ts';
    import { pageviews } from './contracts/news.pageviews/topic.ts';
    import { defineArchive } from './runtime/archive/archive.ts';
    export const handler = archiveFunction({ consumers: [defineArchive({ topic: pageviews })] });`;
  writeFileSync(join(code, 'index.js'), bundle(contents));
  return code;
}

/** The folder of a bundle as the CDK makes it of a consumer that declares so: with the parts of a consumer and of the collector. */
function bundleWithLettersInKafka(): string {
  const code = join(temporary.path, 'letters-in-kafka');
  const imports: Record<string, string> = {};
  for (const name of [editorialAnalytics.name, 'collector']) {
    cpSync(functions.find((fn) => fn.name === name)!.code, code, { recursive: true });
    Object.assign(imports, JSON.parse(readFileSync(join(code, 'package.json'), 'utf8')).imports);
  }
  writeFileSync(join(code, 'package.json'), JSON.stringify({ imports }));
  const contents = `
    import { consumerFunction } from './adapters/aws/consumer-function.ts';
    import { editorialAnalytics } from './lambdas/editorial-analytics/consumer.ts';
    export const handler = consumerFunction({ ...editorialAnalytics, deadLetter: 'kafka' });`;
  writeFileSync(join(code, 'index.js'), bundle(contents));
  return code;
}

test('each function that lacks a setting says which one, and where by our own files and lines', async () => {
  for (const { name, environment } of functions) {
    const setting =
      name === 'operator'
        ? 'MILLRACE_BROKERS'
        : Object.keys(environment).find((each) => each.startsWith('MILLRACE_'))!;
    const isOwn = ['operator', probeConsumer.name].includes(name);
    const source = isOwn ? `adapters/aws/functions/${name}` : `lambdas/${name}/index`;
    await using(
      name,
      async (fn) => {
        const { errorMessage, trace } = await fn.invoke({});
        expect(errorMessage).toMatch(`The environment variable ${setting} is missing.`);
        expect(trace).toContainEqual(expect.stringMatching(`${source}\\.ts:\\d+`));
      },
      { MILLRACE_BROKERS: 'unused', [setting]: '' },
    );
  }
});

// A function that is added has its event in a test above.
test('each function has answered', () => {
  expect([...answered].toSorted()).toEqual(functions.map(({ name }) => name).toSorted());
});

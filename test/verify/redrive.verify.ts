/** Dead letters and their way back on a real SQS server, with S3, Glue and PostgreSQL beside it: by the command line and by SQS's own move. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateRegistryCommand, CreateSchemaCommand, GlueClient } from '@aws-sdk/client-glue';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  ListMessageMoveTasksCommand,
  SQSClient,
  StartMessageMoveTaskCommand,
  TagQueueCommand,
} from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import pg from 'pg';
import { createGlueSchemaRegistry } from '../../adapters/aws/glue-schema-registry.ts';
import { createS3Objects } from '../../adapters/aws/s3-objects.ts';
import { createSqsQueue } from '../../adapters/aws/sqs-queue.ts';
import { consumerHandler } from '../../adapters/lambda/consumer-handler.ts';
import { ledgerMigrations } from '../../adapters/postgres/ledger-migrations.ts';
import { migrate } from '../../adapters/postgres/migrate.ts';
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
import { createFaults } from '../../local/faults.ts';
import { createEncoder } from '../../runtime/contract/codec.ts';
import { createQueueLetters } from '../../runtime/dead-letters/queue-letters.ts';
import { createEngine } from '../../runtime/delivery/engine.ts';
import { encodeKafkaEvent } from '../../runtime/lambda/kafka-event.ts';
import type { RawRecord } from '../../runtime/record.ts';
import { expectedTables, readTables } from '../fixtures/newsdesk/tables.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { start } from './newsroom.ts';
import { part } from './part.ts';

jest.setTimeout(180_000);

const ENV = `verify${process.pid}`;
const CONSUMER = editorialAnalytics.name;
const RECORDS = 600;

const endpoint = part('MILLRACE_TEST_SQS');
const aws = part('MILLRACE_TEST_AWS');
const sqs = new SQSClient({ endpoint, useQueueUrlAsEndpoint: false });
const s3 = new S3Client({ endpoint: aws, forcePathStyle: true });
const glue = new GlueClient({ endpoint: aws });
const temporary = createTemporaryFolder();
const silent = { debug() {}, info() {}, warn() {}, error() {}, addContext() {} };

describe('dead letters on SQS', () => {
  let pool: pg.Pool;
  let admin: pg.Client;
  let sink: PostgresSink;
  let arns: { dead: string; redrive: string };
  let queues: { dead: ReturnType<typeof createSqsQueue>; redrive: ReturnType<typeof createSqsQueue> };
  let objects: ReturnType<typeof createS3Objects>;
  let views: Pageview[];
  let article: string;
  let failing: number;
  const bad = [Buffer.from('{"no":"frame"}'), Buffer.alloc(900_000, 0x7b)];

  beforeAll(async () => {
    admin = new pg.Client({ connectionString: part('MILLRACE_TEST_POSTGRES') });
    await admin.connect();
    await admin.query('CREATE DATABASE redrive_verify');
    const url = new URL(part('MILLRACE_TEST_POSTGRES'));
    url.pathname = 'redrive_verify';
    pool = new pg.Pool({ connectionString: url.href, max: 4 });
    sink = new PostgresSink(pgDriver(pool));
    await migrate(pgDriver(pool), 'millrace', ledgerMigrations);
    await migrate(pgDriver(pool), CONSUMER, editorialAnalytics.migrations);

    const make = async (name: string, attributes: Record<string, string> = {}) => {
      const QueueName = `millrace-${ENV}-${CONSUMER}-${name}`;
      const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName, Attributes: attributes }));
      const { Attributes } = await sqs.send(
        new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['QueueArn'] }),
      );
      return { url: QueueUrl!, arn: Attributes!.QueueArn! };
    };
    const dead = await make('dead-letters');
    const redrive = await make('redrive', {
      RedrivePolicy: JSON.stringify({ deadLetterTargetArn: dead.arn, maxReceiveCount: 10 }),
    });
    const bucket = `millrace-${ENV}`;
    await s3.send(new CreateBucketCommand({ Bucket: bucket }));
    await sqs.send(new TagQueueCommand({ QueueUrl: dead.url, Tags: { 'millrace:bucket': bucket } }));
    arns = { dead: dead.arn, redrive: redrive.arn };
    queues = {
      dead: createSqsQueue({ client: sqs, queueUrl: dead.url }),
      redrive: createSqsQueue({ client: sqs, queueUrl: redrive.url }),
    };
    objects = createS3Objects({ client: s3, bucket });
    await glue.send(new CreateRegistryCommand({ RegistryName: `millrace-${ENV}` }));
    await glue.send(
      new CreateSchemaCommand({
        RegistryId: { RegistryName: `millrace-${ENV}` },
        SchemaName: pageviews.name,
        DataFormat: 'AVRO',
        Compatibility: 'BACKWARD',
        SchemaDefinition: JSON.stringify(pageviews.latest.schema),
      }),
    );
    const traffic = createTraffic(createSeededRandom(11));
    views = Array.from({ length: RECORDS }, (_, n) => traffic.next(Date.UTC(2026, 0, 1) + n * 40));
    const articles = [...Map.groupBy(views, ({ contentId }) => contentId)];
    [article, failing] = articles
      .map(([id, of]) => [id, of.length] as const)
      .find(([, n]) => n >= 20 && n <= 60)!;
  });
  afterAll(async () => {
    await pool.end();
    await admin.query('DROP DATABASE redrive_verify WITH (FORCE)');
    await admin.end();
    for (const client of [sqs, s3, glue]) client.destroy();
    temporary.remove();
  });

  const registry = () => createGlueSchemaRegistry({ client: glue, registryName: `millrace-${ENV}` });

  /** The consumer's function, with the bug or without. */
  const functionOf = (fail?: { field: string; value: string }) => {
    const faults = createFaults({ clock: systemClock, random: systemRandom, ...(fail && { fail }) });
    const metrics = { report() {}, reportRedrive() {} };
    const engine = createEngine(
      faults.wrapConsumer({ ...editorialAnalytics, retry: { attempts: 1, baseMs: 1, maxMs: 1 } }),
      {
        clock: systemClock,
        random: systemRandom,
        registry: registry(),
        sink,
        deadLetters: createQueueLetters({ queue: queues.dead, objects }),
        log: silent,
        metrics,
      },
    );
    return consumerHandler({ engine, logger: silent, metrics, objects, partialResponses: true });
  };
  const context = () => {
    const endsAt = Date.now() + 60_000;
    return {
      awsRequestId: crypto.randomUUID(),
      functionName: CONSUMER,
      functionVersion: '1',
      getRemainingTimeInMillis: () => endsAt - Date.now(),
      // biome-ignore lint/suspicious/noExplicitAny: what the handler reads of Lambda's context.
    } as any;
  };
  const deliver = async (handler: ReturnType<typeof functionOf>) => {
    const encoded = await createEncoder(pageviews, registry()).encodeBatch(views);
    const records = [
      ...encoded.map((each) => {
        if ('violations' in each) throw new Error('a view breaks its contract');
        return each.record;
      }),
      ...bad.map((value) => ({ key: Buffer.from('k'), value })),
    ].map(
      ({ key, value }, offset): RawRecord => ({
        topic: pageviews.name,
        partition: 0,
        offset,
        timestamp: 1_767_225_600_000 + offset,
        timestampType: 'CREATE_TIME',
        key,
        value,
        headers: [],
      }),
    );
    expect(await handler(encodeKafkaEvent(records), context())).toEqual({ batchItemFailures: [] });
  };

  const cli = (args: readonly string[]) => {
    process.env.AWS_ENDPOINT_URL_SQS = endpoint;
    for (const name of ['S3', 'STS', 'GLUE']) process.env[`AWS_ENDPOINT_URL_${name}`] = aws;
    return start(['dlq', ...args, '--env', ENV, '--state', `${temporary.path}/state`, '--json']);
  };
  const json = async (args: readonly string[]) => {
    const child = cli(args);
    let [stdout, stderr] = ['', ''];
    child.stdout!.setEncoding('utf8').on('data', (text) => {
      stdout += text;
    });
    child.stderr!.setEncoding('utf8').on('data', (text) => {
      stderr += text;
    });
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(`ended with ${code}: ${stderr}`);
    return JSON.parse(stdout);
  };
  const groups = async (): Promise<Record<string, number>> => {
    const { groups } = await json(['triage']);
    return Object.fromEntries(
      groups.map((each: { errorCode: string; count: number }) => [each.errorCode, each.count]),
    );
  };

  test('a redrive by the command line, killed half-way, applies each letter of its group once; a move brings the rest back', async () => {
    await deliver(functionOf({ field: 'contentId', value: article }));
    expect(await groups()).toEqual({ HANDLER_FAILED: failing, FRAME_UNKNOWN: 2 });

    const mended = functionOf();
    const source = startQueueSource({
      queue: queues.redrive,
      name: CONSUMER,
      handler: (event, lambda) => mended(event, lambda),
      functionTimeoutMs: 10_000,
      clock: systemClock,
      random: systemRandom,
      log: silent,
    });
    try {
      const redrive = ['redrive', '--where', 'error=HANDLER_FAILED', '--rate', '5', '--canary', '1', '--yes'];
      const before = await queues.dead.depth();
      const killed = cli(redrive);
      const exited = once(killed, 'exit');
      while ((await queues.dead.depth()) > before - 6) await sleep(50);
      killed.kill('SIGKILL');
      await exited;
      // What it was looking at is hidden for a minute.
      await sleep(61_000);
      const report = await json(redrive);
      expect(report).toMatchObject({ planned: failing, failed: 0, remaining: 0 });
      expect(report.applied + report.alreadyApplied).toBe(failing);
      expect(await readTables(sink)).toEqual(expectedTables(views));
      expect(await groups()).toEqual({ FRAME_UNKNOWN: 2 });

      await sqs.send(new StartMessageMoveTaskCommand({ SourceArn: arns.dead, DestinationArn: arns.redrive }));
      await sleep(3_000);
      const { Results } = await sqs.send(new ListMessageMoveTasksCommand({ SourceArn: arns.dead }));
      expect(Results?.[0]).toMatchObject({ Status: 'COMPLETED', ApproximateNumberOfMessagesMoved: 2 });
      while ((await queues.redrive.depth()) > 0) await sleep(100);
      // Poison stays poison, with both failures told.
      expect(await groups()).toEqual({ FRAME_UNKNOWN: 2 });
      const letters = await json(['list']);
      expect(letters.map((letter: { failure: { attempts: number } }) => letter.failure.attempts)).toEqual([
        2, 2,
      ]);
      const values = letters.map((letter: { record: { value: string } }) =>
        Buffer.from(letter.record.value, 'base64'),
      );
      for (const value of bad) expect(values.some((each: Buffer) => each.equals(value))).toBe(true);
      expect(await readTables(sink)).toEqual(expectedTables(views));
    } finally {
      await source.stop();
    }
    const audit = await json(['audit']);
    expect(
      audit.map(({ action, endedAt }: { action: string; endedAt: string | null }) => [
        action,
        endedAt === null,
      ]),
    ).toEqual([
      ['redrive', true],
      ['redrive', false],
    ]);
  });
});

/**
 * Our own templates, deployed to an emulator, and the paths that go through what they make: dead letters, their redrive,
 * and `millrace doctor`. docs/deploy.md says what this proves and what not.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CloudWatch } from '@aws-sdk/client-cloudwatch';
import { Glue } from '@aws-sdk/client-glue';
import { Kafka } from '@aws-sdk/client-kafka';
import { Lambda } from '@aws-sdk/client-lambda';
import { S3 } from '@aws-sdk/client-s3';
import { SNS } from '@aws-sdk/client-sns';
import { SQS } from '@aws-sdk/client-sqs';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { createGlueSchemaRegistrar } from '../../adapters/aws/glue-schema-registrar.ts';
import { createS3Objects } from '../../adapters/aws/s3-objects.ts';
import { createSqsQueue } from '../../adapters/aws/sqs-queue.ts';
import { consumerHandler } from '../../adapters/lambda/consumer-handler.ts';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { systemRandom } from '../../adapters/system/system-random.ts';
import { startQueueSource } from '../../local/event-source/queue-source.ts';
import { moto } from '../../local/parts/moto.ts';
import { Processes } from '../../local/parts/processes.ts';
import { createEncoder } from '../../runtime/contract/codec.ts';
import { createQueueLetters } from '../../runtime/dead-letters/queue-letters.ts';
import type { AnyConsumer } from '../../runtime/delivery/consumer.ts';
import { createEngine } from '../../runtime/delivery/engine.ts';
import { registryName, SETTINGS } from '../../runtime/deployment.ts';
import type { Line } from '../../runtime/doctor/line.ts';
import { encodeKafkaEvent } from '../../runtime/lambda/kafka-event.ts';
import { MemorySink, type MemoryTx } from '../../testing/memory-sink.ts';
import { type Finished, millrace } from '../cli/millrace.ts';
import { pageviews } from '../fixtures/newsdesk/contracts/news.pageviews/topic.ts';
import { editorialAnalytics } from '../fixtures/newsdesk/lambdas/editorial-analytics/consumer.ts';
import { copyNewsdesk } from '../newsdesk.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { type Deployed, deployToMoto } from './deploy-to-moto.ts';
import { part } from './part.ts';

jest.setTimeout(180_000);

const ENV = 'dev';
const FUNCTION = `millrace-${ENV}-${editorialAnalytics.name}`;
const temporary = createTemporaryFolder();
const processes = new Processes(temporary.path);
part('MILLRACE_TEST_AWS');
// One of its own: other suites make things with the same names in the one that all share.
const { value: endpoint } = await moto.start(processes, await moto.download(processes));
const kafka = new Kafka({ endpoint });
const glue = new Glue({ endpoint });
const lambda = new Lambda({ endpoint });
const sqs = new SQS({ endpoint, useQueueUrlAsEndpoint: false });
const sns = new SNS({ endpoint });
const s3 = new S3({ endpoint, forcePathStyle: true });
const cloudWatch = new CloudWatch({ endpoint });
const silent = { debug() {}, info() {}, warn() {}, error() {}, addContext() {} };

let deployed: Deployed;
beforeAll(async () => {
  copyNewsdesk(project);
  const config = join(project, 'millrace.config.ts');
  writeFileSync(config, readFileSync(config, 'utf8').replace('alarmActions: false', 'alarmActions: true'));
  const { ClusterArn = '' } = await kafka.createClusterV2({
    ClusterName: `millrace-${ENV}`,
    Provisioned: {
      BrokerNodeGroupInfo: {
        ClientSubnets: ['subnet-1'],
        InstanceType: 'kafka.t3.small',
        SecurityGroups: ['sg-1'],
      },
      ClientAuthentication: { Sasl: { Iam: { Enabled: true } } },
      KafkaVersion: '3.9.x.kraft',
      NumberOfBrokerNodes: 3,
    },
  });
  deployed = await deployToMoto(endpoint, ENV, {
    cluster: () => ClusterArn,
    database: (exported) => (exported.includes('ResourceId') ? 'cluster-REHEARSAL' : 'database.invalid'),
    contracts: () => 'unused',
    // A REST API with a resource policy and a method for each topic takes moto a template of its own.
    collector: () => 'unused',
  });
});
afterAll(async () => {
  for (const client of [kafka, glue, lambda, sqs, sns, s3, cloudWatch]) client.destroy();
  await processes.endAll();
  temporary.remove();
});

/** What the stack tells the deployed function. */
async function settings(): Promise<Readonly<Record<string, string>>> {
  const { Environment } = await lambda.getFunctionConfiguration({ FunctionName: FUNCTION });
  return Environment!.Variables!;
}

/** The newsdesk, with alarms that notify somebody. */
const project = join(temporary.path, 'newsdesk');

function cli(args: readonly string[]): Promise<Finished> {
  process.env.AWS_ENDPOINT_URL = endpoint;
  return millrace(args, '', project);
}

async function doctor(): Promise<readonly Line[]> {
  const { stdout, stderr } = await cli(['doctor', '--env', ENV, '--json']);
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout).lines;
}

const about = (lines: readonly Line[], check: string, subject: string) =>
  lines.filter((line) => line.check === check && line.subject === subject);

test('the emulator makes of each template what it can make', () => {
  const made = [...deployed.made].map(([name, { leftOut }]) => [name, leftOut]);
  expect(Object.fromEntries(made)).toMatchObject({
    operations: ['AWS::SNS::TopicPolicy'],
    'dead-letters': ['AWS::S3::BucketPolicy', 'AWS::SQS::QueuePolicy'],
    [`consumer-${editorialAnalytics.name}`]: [
      'AWS::CloudWatch::Alarm',
      'AWS::CloudWatch::CompositeAlarm',
      'AWS::Lambda::EventSourceMapping',
    ],
  });
  for (const [, { resources }] of deployed.made) expect(resources).toBeGreaterThan(0);
});

test('what the templates wire together is there: queues, bucket, mapping and rights', async () => {
  const variables = await settings();
  const { Attributes } = await sqs.getQueueAttributes({
    QueueUrl: variables[SETTINGS.deadLetterQueueUrl],
    AttributeNames: ['All'],
  });
  expect(Attributes!.QueueArn).toMatch(/:millrace-dev-editorial-analytics-dead-letters$/);
  expect(Number(Attributes!.MessageRetentionPeriod)).toBe(14 * 24 * 60 * 60);
  const { ServerSideEncryptionConfiguration } = await s3.getBucketEncryption({
    Bucket: variables[SETTINGS.bucketName],
  });
  const [rule] = ServerSideEncryptionConfiguration!.Rules!;
  expect(rule!.ApplyServerSideEncryptionByDefault!.SSEAlgorithm).toBe('aws:kms');
  const { EventSourceMappings } = await lambda.listEventSourceMappings({ FunctionName: FUNCTION });
  expect(EventSourceMappings).toMatchObject([
    {
      EventSourceArn: expect.stringMatching(/-redrive$/),
      BatchSize: 10,
      FunctionResponseTypes: ['ReportBatchItemFailures'],
    },
  ]);
});

test('a dead letter and its bytes go where the function is told, and a redrive brings it back', async () => {
  const registrar = createGlueSchemaRegistrar({
    client: glue,
    registryName: registryName(ENV),
    clock: systemClock,
  });
  await glue.createRegistry({ RegistryName: registryName(ENV) });
  await registrar.register(pageviews);
  const variables = await settings();
  const objects = createS3Objects({ client: s3, bucket: variables[SETTINGS.bucketName]! });
  const deadLetters = createSqsQueue({ client: sqs, queueUrl: variables[SETTINGS.deadLetterQueueUrl]! });
  const { QueueUrl = '' } = await sqs.getQueueUrl({ QueueName: `${FUNCTION}-redrive` });
  const sink = new MemorySink();
  const functionOf = (isMended: boolean) => {
    const consumer = {
      ...editorialAnalytics,
      retry: { attempts: 1, baseMs: 1, maxMs: 1 },
      async handle(records: readonly unknown[], { tx }: { tx: MemoryTx }) {
        if (!isMended) throw new Error('a bug');
        await tx.increment('applied', records.length);
      },
    } as unknown as AnyConsumer;
    const engine = createEngine(consumer, {
      clock: systemClock,
      random: systemRandom,
      registry: registrar,
      sink,
      deadLetters: createQueueLetters({ queue: deadLetters, objects }),
      log: silent,
      metrics: { report() {}, reportRedrive() {} },
    });
    const metrics = { report() {}, reportRedrive() {} };
    return consumerHandler({ engine, logger: silent, metrics, objects, partialResponses: true });
  };
  const random = createSeededRandom(7);
  const view = {
    eventId: `e${random.next()}`,
    contentId: '/politics/vote',
    sessionId: 's1',
    url: '/politics/vote',
    section: 'politics',
    occurredAt: 1_764_000_000_000,
    engagedMs: 0,
  };
  const [encoded] = await createEncoder(pageviews, registrar).encodeBatch([view as never]);
  if (!encoded || 'violations' in encoded) throw new Error('the view breaks its contract');
  // The second is larger than a message may be: its bytes are an object of the bucket.
  const values = [encoded.record.value, Buffer.alloc(900_000, 0x7b)];
  const event = encodeKafkaEvent(
    values.map((value, offset) => ({
      topic: pageviews.name,
      partition: 0,
      offset,
      timestamp: 1_764_000_000_000,
      timestampType: 'CREATE_TIME',
      key: Buffer.from('/politics/vote'),
      value,
      headers: [],
    })),
  );
  const endsAt = Date.now() + 60_000;
  const context = {
    awsRequestId: crypto.randomUUID(),
    functionName: FUNCTION,
    functionVersion: '1',
    getRemainingTimeInMillis: () => endsAt - Date.now(),
    // biome-ignore lint/suspicious/noExplicitAny: what the handler reads of Lambda's context.
  } as any;
  expect(await functionOf(false)(event, context)).toEqual({ batchItemFailures: [] });

  const place = ['--env', ENV, '--state', `${temporary.path}/state`, '--json'];
  const triage = JSON.parse((await cli(['dlq', 'triage', ...place])).stdout);
  expect(
    triage.groups.map((each: { errorCode: string; count: number }) => [each.errorCode, each.count]).sort(),
  ).toEqual([
    ['FRAME_UNKNOWN', 1],
    ['HANDLER_FAILED', 1],
  ]);

  const mended = functionOf(true);
  const source = startQueueSource({
    queue: createSqsQueue({ client: sqs, queueUrl: QueueUrl }),
    name: editorialAnalytics.name,
    handler: (message, lambdaContext) => mended(message, lambdaContext),
    functionTimeoutMs: 10_000,
    clock: systemClock,
    random: systemRandom,
    log: silent,
  });
  try {
    const redrive = await cli(['dlq', 'redrive', '--where', 'error=HANDLER_FAILED', '--yes', ...place]);
    expect(JSON.parse(redrive.stdout)).toMatchObject({ planned: 1, applied: 1, failed: 0 });
  } finally {
    await source.stop();
  }
  expect(sink.value('applied')).toBe(1);
  const left = JSON.parse((await cli(['dlq', 'triage', ...place])).stdout);
  expect(left.groups.map((each: { errorCode: string }) => each.errorCode)).toEqual(['FRAME_UNKNOWN']);
});

test('doctor passes what was deployed, and cannot tell what the emulator does not answer', async () => {
  const lines = await doctor();
  const verdicts = (check: string, subject: string) =>
    about(lines, check, subject).map(({ verdict }) => verdict);
  for (const stack of deployed.made.keys()) {
    const name = `millrace-${ENV}-${stack}`;
    // moto never ends a stack whose custom resource it cannot call: the operator's asks MSK for its brokers.
    const verdict = stack === 'operator' ? 'unknown' : 'pass';
    expect(about(lines, 'stack', name)).toMatchObject([{ subject: name, verdict }]);
  }
  // moto writes a cluster's time of creation as the SDK does not read it.
  expect(verdicts('cluster', `millrace-${ENV}`)).toEqual(['unknown']);
  expect(about(lines, 'schema', pageviews.name)).toMatchObject([{ verdict: 'pass', fix: null }]);
  expect(verdicts('queue', `${FUNCTION}-dead-letters`)).toEqual(['pass']);
  expect(verdicts('queue', `${FUNCTION}-redrive`)).toEqual(['pass']);
  expect(verdicts('function', FUNCTION)).toEqual(['pass']);
  expect(
    about(lines, 'mapping', editorialAnalytics.name).map(
      ({ verdict, evidence }) => `${verdict}: ${evidence}`,
    ),
  ).toEqual([
    // moto takes no mapping of a Kafka cluster.
    'fail: Nothing polls news.pageviews for it.',
    `pass: ${FUNCTION}-redrive: State is Enabled.`,
  ]);
  expect(verdicts('pause', editorialAnalytics.name)).toEqual(['pass']);
  // moto has neither call: what was not seen does not pass.
  expect(verdicts('topic', pageviews.name)).toEqual(['unknown']);
  expect(verdicts('concurrency', 'account')).toEqual(['unknown']);
});

test('doctor names what is broken by hand', async () => {
  const { QueueUrl } = await sqs.getQueueUrl({ QueueName: `${FUNCTION}-redrive` });
  const { Attributes = {} } = await sqs.getQueueAttributes({ QueueUrl, AttributeNames: ['RedrivePolicy'] });
  const { EventSourceMappings: [mapping] = [] } = await lambda.listEventSourceMappings({
    FunctionName: FUNCTION,
  });
  const UUID = mapping!.UUID;
  const { Topics = [] } = await sns.listTopics({});
  const incidents = Topics.map(({ TopicArn = '' }) => TopicArn).find((arn) =>
    arn.endsWith(':millrace-dev-incident'),
  )!;
  // moto's CloudFormation makes no alarms; its CloudWatch does.
  await cloudWatch.putMetricAlarm({
    AlarmName: `${FUNCTION}-stalled`,
    AlarmActions: [incidents],
    ActionsEnabled: true,
    Namespace: 'AWS/Lambda',
    MetricName: 'Errors',
    Statistic: 'Sum',
    Period: 60,
    EvaluationPeriods: 1,
    Threshold: 1,
    ComparisonOperator: 'GreaterThanThreshold',
  });
  await sqs.setQueueAttributes({ QueueUrl, Attributes: { RedrivePolicy: '' } });
  await lambda.updateEventSourceMapping({ UUID, Enabled: false });
  await glue.deleteSchema({ SchemaId: { RegistryName: registryName(ENV), SchemaName: pageviews.name } });
  try {
    const lines = await doctor();
    expect(about(lines, 'queue', `${FUNCTION}-redrive`)).toMatchObject([
      {
        verdict: 'fail',
        evidence: 'It has no RedrivePolicy.',
        fix: expect.stringContaining('set-queue-attributes'),
      },
    ]);
    expect(about(lines, 'mapping', editorialAnalytics.name)[1]).toMatchObject({
      verdict: 'fail',
      fix: `aws lambda update-event-source-mapping --uuid ${UUID} --enabled`,
    });
    expect(about(lines, 'schema', pageviews.name)).toMatchObject([
      { verdict: 'fail', fix: 'npx cdk deploy -c env=dev millrace-dev-contracts --revert-drift' },
    ]);
    expect(about(lines, 'subscriber', 'millrace-dev-incident')).toMatchObject([
      { verdict: 'fail', fix: expect.stringContaining(`aws sns subscribe --topic-arn ${incidents}`) },
    ]);
    await sns.subscribe({ TopicArn: incidents, Protocol: 'email', Endpoint: 'oncall@example.com' });
    expect(about(await doctor(), 'subscriber', 'millrace-dev-incident')).toMatchObject([{ verdict: 'pass' }]);
  } finally {
    await sqs.setQueueAttributes({ QueueUrl, Attributes });
    await lambda.updateEventSourceMapping({ UUID, Enabled: true });
  }
});

import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { CreateRegistryCommand, GlueClient } from '@aws-sdk/client-glue';
import pg from 'pg';
import { createGlueSchemaRegistrar } from '../adapters/aws/glue-schema-registrar.ts';
import { openKafkaLog } from '../adapters/kafka/kafka-log.ts';
import { createSeededRandom } from '../adapters/system/seeded-random.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { pageviews } from '../contracts/news.pageviews/topic.ts';
import { createTraffic } from '../demo/traffic.ts';
import { moto } from '../local/parts/moto.ts';
import type { Processes } from '../local/parts/processes.ts';
import { SETTINGS, writeVersion } from '../runtime/deployment.ts';
import { encodeKafkaEvent } from '../runtime/lambda/kafka-event.ts';
import { type BuiltFunction, buildFunctions, bundle } from '../scripts/verify/built-functions.mjs';
import { guardedKafka } from '../scripts/verify/guarded-kafka.ts';
import { lambdaRuntime, startFunction } from '../scripts/verify/lambda-runtime.mjs';
import { startRdsPostgres } from '../scripts/verify/rds-postgres.ts';
import { withoutFraming } from './decode-avro.ts';
import { type Figures, median, medianRatio, percentile } from './measure.ts';
import { inPartitions, makeRecords } from './pageviews.ts';

const REGISTRY = 'millrace-dev';
/** In the event that starts a consumer: a few, so that starting is what takes the time. */
const RECORDS = 100;
const AWS_SDK = fileURLToPath(new URL('../node_modules/@aws-sdk', import.meta.url));

interface Contestant {
  readonly fn: BuiltFunction;
  /** The event of a round; every one brings new offsets. */
  readonly event: (round: number) => unknown;
  readonly settings: Readonly<Record<string, string>>;
}

/**
 * Cold starts under Lambda's runtime interface emulator: from the first invocation's request to its answer, with the
 * loading of the function in between. The floor is a handler that does nothing; the peer reads the same records with
 * Powertools and writes the same rows by bare SQL, bundled as ours are.
 */
export async function benchColdStart(processes: Processes, rounds: number): Promise<readonly Figures[]> {
  const runtime = (await lambdaRuntime.start(processes, await lambdaRuntime.download(processes))).value;
  const aws = (await moto.start(processes, await moto.download(processes))).value;
  const postgres = await startRdsPostgres(processes);
  const functions = await buildFunctions(processes, 'dev');
  const kafka = JSON.parse((await guardedKafka.start(processes)).value);
  await makeTopic(kafka);
  const settings: Record<string, string> = {
    AWS_ENDPOINT_URL_GLUE: aws,
    NODE_EXTRA_CA_CERTS: postgres.certificate,
    MILLRACE_DATABASE_HOST: new URL(postgres.url).hostname,
    // Not one record fails.
    MILLRACE_DEAD_LETTER_QUEUE_URL: 'http://127.0.0.1:1/unused',
    MILLRACE_BUCKET_NAME: 'unused',
  };

  const { registry, schemaIds } = await fillRegistry(aws);
  // As the stacks tell it.
  settings[SETTINGS.schemaIds] = schemaIds;
  const records = await makeRecords(RECORDS, registry);
  const batch = (round: number) => encodeKafkaEvent(inPartitions(records, round * RECORDS));
  const consumer = functions.find(({ name }) => name === 'editorial-analytics')!;
  const ours: Record<string, Partial<Contestant>> = {
    collector: {
      event: () => REQUEST,
      settings: { ...settings, NODE_EXTRA_CA_CERTS: kafka.ca, MILLRACE_BROKERS: kafka.sasl },
    },
  };
  // Those of the probe have other events, and start as these do.
  const ofApp = functions.filter(({ name }) => !['millrace-probe', 'operator'].includes(name));
  const contestants: Record<string, Contestant> = {
    floor: { fn: writeFunction(processes, consumer, 'floor', FLOOR), event: batch, settings },
    peer: {
      fn: writeFunction(processes, consumer, 'peer', bundle(PEER)),
      event: (round) => withoutFraming(batch(round)),
      settings,
    },
    ...Object.fromEntries(ofApp.map((fn) => [fn.name, { fn, event: batch, settings, ...ours[fn.name] }])),
  };

  const first = async ({ fn, event, settings }: Contestant, round: number) => {
    const running = await startFunction(processes, runtime, fn, settings);
    try {
      const startedAt = performance.now();
      const answer = await running.invoke(event(round));
      const totalMs = performance.now() - startedAt;
      if ('errorType' in answer || answer.statusCode >= 300)
        throw new Error(`${fn.name} failed:\n${running.log()}`);
      return { totalMs, initMs: Number(/INIT REPORT\(durationMs: ([\d.]+)\)/.exec(running.log())![1]) };
    } finally {
      await running.end();
    }
  };

  // The tables, before anybody writes to them.
  await first(contestants.migrations!, 0);
  const names = Object.keys(contestants);
  const starts = Object.fromEntries(
    names.map((name) => [name, { totalMs: [] as number[], initMs: [] as number[] }]),
  );
  for (let round = -1; round < rounds; round++) {
    for (const at of names.keys()) {
      const name = names[(at + round + 1) % names.length]!;
      const { totalMs, initMs } = await first(contestants[name]!, round + 1);
      if (round < 0) continue;
      starts[name]!.totalMs.push(totalMs);
      starts[name]!.initMs.push(initMs);
    }
  }
  await expectViews(postgres.url, 2 * (rounds + 1) * RECORDS);

  return names.map((name) => {
    const { totalMs, initMs } = starts[name]!;
    return {
      name: `cold-start ${name}`,
      figures: {
        starts: rounds,
        medianMs: Math.round(median(totalMs)),
        p95Ms: Math.round(percentile(totalMs, 95)),
        initMedianMs: Math.round(median(initMs)),
        timesTheFloor: medianRatio(totalMs, starts.floor!.totalMs),
        ...(name !== 'floor' &&
          name !== 'peer' && { timesThePeer: medianRatio(totalMs, starts.peer!.totalMs) }),
      },
    };
  });
}

async function makeTopic({ sasl, username, password, ca }: Readonly<Record<string, string>>) {
  const security = {
    kind: 'scram',
    username: username!,
    password: password!,
    ca: readFileSync(ca!, 'utf8'),
  } as const;
  const log = openKafkaLog({ connection: { brokers: [sasl!], security }, clock: systemClock });
  await log.createTopic(pageviews.name, pageviews.partitions);
  await log.close();
}

async function fillRegistry(endpoint: string) {
  const client = new GlueClient({
    endpoint,
    region: 'eu-west-1',
    credentials: { accessKeyId: 'bench', secretAccessKey: 'bench' },
  });
  await client.send(new CreateRegistryCommand({ RegistryName: REGISTRY }));
  const registry = createGlueSchemaRegistrar({ client, registryName: REGISTRY, clock: systemClock });
  const ids = await registry.register(pageviews);
  const versions = pageviews.versions.map(({ version }, at) =>
    writeVersion({ topic: pageviews.name, version, id: ids[at]! }),
  );
  return { registry, schemaIds: versions.join(',') };
}

/** Ours and the peer add to the same tables. */
async function expectViews(url: string, views: number): Promise<void> {
  const client = new pg.Client({ connectionString: new URL('millrace', url).href });
  await client.connect();
  const { rows } = await client.query(
    'SELECT sum(views)::int AS views FROM "editorial-analytics-reader".article_minute',
  );
  await client.end();
  if (rows[0].views !== views) throw new Error(`the starts applied ${rows[0].views} views of ${views}`);
}

/** What API Gateway makes of a request with one event. */
const REQUEST = {
  httpMethod: 'POST',
  pathParameters: { topic: pageviews.name },
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify([createTraffic(createSeededRandom(1)).next(Date.UTC(2026, 0, 5))]),
  isBase64Encoded: false,
};

const FLOOR = 'exports.handler = async () => ({ batchItemFailures: [] });';

const PEER = `
  import { kafkaConsumer, SchemaType } from '@aws-lambda-powertools/kafka';
  import { Signer } from '@aws-sdk/rds-signer';
  import Client from 'pg/lib/client.js';
  import { flush } from './bench/bare-sink.ts';
  import { pageviews } from './contracts/news.pageviews/topic.ts';
  const { MILLRACE_DATABASE_HOST: host, MILLRACE_DATABASE_USER: user, MILLRACE_DATABASE_NAME: database } = process.env;
  const signer = new Signer({ hostname: host, port: 5432, username: user, region: process.env.AWS_REGION });
  const client = new Client({ host, port: 5432, user, database, password: () => signer.getAuthToken(), ssl: true });
  let connected;
  const transact = async (work) => {
    await (connected ??= client.connect());
    await client.query('BEGIN');
    await work((sql, parameters) => client.query(sql, parameters));
    await client.query('COMMIT');
  };
  export const handler = kafkaConsumer(
    async ({ records }) => {
      await flush(transact, records.map(({ value }) => value));
      return { batchItemFailures: [] };
    },
    { value: { type: SchemaType.AVRO, schema: JSON.stringify(pageviews.latest.schema) } },
  );
`;

/** Another function with the settings of `fn`. */
function writeFunction(processes: Processes, fn: BuiltFunction, name: string, code: string): BuiltFunction {
  const folder = processes.makeFolder(name);
  writeFileSync(join(folder, 'index.js'), code);
  // Beside it, as the runtime has it.
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(AWS_SDK, join(folder, 'node_modules', '@aws-sdk'));
  return { ...fn, name, functionName: name, code: folder };
}

/** The programs of docs/producing.md, as they stand there: what they send, a consumer applies. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, globSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { CreateRegistryCommand, GlueClient } from '@aws-sdk/client-glue';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { openKafkaLog } from '../../adapters/kafka/kafka-log.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { jdk } from '../../local/parts/prerequisites.ts';
import { Processes } from '../../local/parts/processes.ts';
import { partitionOf } from '../../runtime/publish/partitioner.ts';
import { JAVA_PRODUCER } from '../../scripts/verify/java-libraries.mjs';
import { PYTHON_PRODUCER } from '../../scripts/verify/python-libraries.mjs';
import { ROOT } from '../newsdesk.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace, millraceJson } from './newsroom.ts';
import { part } from './part.ts';

jest.setTimeout(180_000);
const TOPIC = 'shop.orders';
const RECORDS = 100;
const { sasl, ca } = JSON.parse(part('MILLRACE_TEST_GUARDED_KAFKA'));
const endpoint = part('MILLRACE_TEST_AWS');
const registryName = `producing-${process.pid}`;
const page = readFileSync(join(ROOT, 'docs/producing.md'), 'utf8');

/** The one block of the page in this language that has the text in it. */
function block(language: string, having: string): string {
  const blocks = [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
    .filter(([, of, code]) => of === language && code!.includes(having))
    .map(([, , code]) => code!);
  expect(blocks).toHaveLength(1);
  return blocks[0]!;
}

const temporary = createTemporaryFolder();
const processes = new Processes(temporary.path);
const project = join(temporary.path, 'project');
const programs = join(temporary.path, 'programs');
const where = [
  ...['--kafka', sasl, '--kafka-auth', 'iam', '--registry', `glue:${registryName}`],
  ...['--state', join(temporary.path, 'state')],
];

beforeAll(async () => {
  // For everything that goes by an SDK's own settings.
  process.env.AWS_ENDPOINT_URL_GLUE = endpoint;
  process.env.NODE_EXTRA_CA_CERTS = ca;
  const glue = new GlueClient({ endpoint });
  await glue.send(new CreateRegistryCommand({ RegistryName: registryName }));
  glue.destroy();

  // Java asks by Avro's own text of it. Glue canonicalizes what it compares, moto does not:
  // https://docs.aws.amazon.com/glue/latest/webapi/API_GetSchemaByDefinition.html (2026-11-26)
  const definition = JSON.stringify(JSON.parse(block('json', '"record"')));
  cpSync(join(ROOT, 'test/fixtures/shop'), project, { recursive: true });
  for (const file of globSync('**/*.ts', { cwd: project })) {
    const path = join(project, file);
    writeFileSync(path, readFileSync(path, 'utf8').replace("'millrace'", `'${ROOT}runtime/index.ts'`));
  }
  writeFileSync(join(project, 'contracts', TOPIC, 'v1.avsc'), definition);
  symlinkSync(join(ROOT, 'node_modules'), join(project, 'node_modules'));
  expect(await millrace(['contracts', 'generate'], '', project)).toMatchObject({ code: 0 });
  await millraceJson(['contracts', 'register', '--registry', `glue:${registryName}`], '', project);
  await millraceJson(['up', '--no-publish', '--exit-when-drained', ...where], '', project);

  processes.makeFolder('programs');
  symlinkSync(join(ROOT, 'node_modules'), join(programs, 'node_modules'));
  writeFileSync(join(programs, 'v1.avsc'), definition);
  writeFileSync(join(programs, 'OrderProducer.java'), block('java', 'class OrderProducer'));
  writeFileSync(join(programs, 'orders.py'), block('python', 'MSKAuthTokenProvider'));
  writeFileSync(join(programs, 'orders.mjs'), block('js', 'generateAuthToken'));
  // Java's own list of authorities is a file in its own format.
  await processes.run('truststore', join(dirname(jdk.find()!), 'keytool'), [
    ...['-importcert', '-noprompt', '-alias', 'kafka', '-file', ca],
    ...['-keystore', join(programs, 'trust.p12'), '-storetype', 'PKCS12', '-storepass', 'verify-only'],
  ]);
});
afterAll(async () => {
  await processes.endAll();
  temporary.remove();
});

test('the page names the versions that are tested', () => {
  const { artifacts, bill } = JAVA_PRODUCER;
  for (const artifact of [...artifacts, bill]) expect(page).toContain(`\`${artifact}\``);
  expect(page).toContain(`pip install ${PYTHON_PRODUCER.join(' ')}`);
});

const trust = () => [
  `-Djavax.net.ssl.trustStore=${join(programs, 'trust.p12')}`,
  '-Djavax.net.ssl.trustStorePassword=verify-only',
];
test.each<[string, () => readonly [string, ...string[]]]>([
  ['java', () => [jdk.find()!, '-cp', part('MILLRACE_TEST_JAVA_PRODUCER'), ...trust(), 'OrderProducer.java']],
  ['python', () => [part('MILLRACE_TEST_PYTHON_PRODUCER'), 'orders.py']],
  ['node', () => [process.execPath, 'orders.mjs']],
])('%s: logs in by IAM, frames and keys its records, and a consumer applies each', async (name, command) => {
  await run(command());

  const report = await millraceJson(['up', '--no-publish', '--exit-when-drained', ...where], '', project);
  expect(report).toMatchObject({ applied: RECORDS, deadLettered: 0, skipped: 0, lag: 0 });
  const ids = Array.from({ length: RECORDS }, (_, n) => `${name}-${n + 1}`);
  const statement = `select id, orders from order_count where id like '${name}-%' order by length(id), id`;
  expect(await millraceJson(['sql', statement, ...where.slice(-2)], '', project)).toEqual(
    ids.map((id) => ({ id, orders: 1 })),
  );
  expect((await partitionsByKey(`${name}-`)).toSorted()).toEqual(
    ids.map((id) => `${id} in ${partitionOf(Buffer.from(id), 3)}`).toSorted(),
  );
});

async function run([command, ...args]: readonly [string, ...string[]]): Promise<void> {
  const child = spawn(command, args, {
    cwd: programs,
    env: {
      ...process.env,
      NODE_OPTIONS: undefined,
      AWS_REGION: 'eu-west-1',
      SCHEMA_REGISTRY: registryName,
      KAFKA_BROKERS: sasl,
      KAFKA_CA: ca,
    },
  });
  const output = Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
  const [stdout, stderr, [code]] = await output;
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${stdout}${stderr}`.slice(-4_000));
}

async function partitionsByKey(prefix: string): Promise<string[]> {
  const security = { kind: 'iam', region: 'eu-west-1', ca: readFileSync(ca, 'utf8') } as const;
  const log = openKafkaLog({ connection: { brokers: [sasl], security }, clock: systemClock });
  try {
    const partitions = Array.from({ length: await log.partitions(TOPIC) }, (_, partition) => partition);
    const records = await Promise.all(
      partitions.map((partition) => log.read({ topic: TOPIC, partition }, 0, 10 * RECORDS)),
    );
    return records
      .flat()
      .map(({ key, partition }) => `${key?.toString()} in ${partition}`)
      .filter((each) => each.startsWith(prefix));
  } finally {
    await log.close();
  }
}

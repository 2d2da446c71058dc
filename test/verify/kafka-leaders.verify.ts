/** The Kafka log while partitions change their leaders, on a cluster of its own. */
import { randomBytes } from 'node:crypto';
import { openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { Admin } from '@platformatic/kafka';
import { type KafkaLog, openKafkaLog } from '../../adapters/kafka/kafka-log.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { type KafkaNode, kafka, startKafka } from '../../local/parts/kafka.ts';
import { java } from '../../local/parts/prerequisites.ts';
import { Processes } from '../../local/parts/processes.ts';
import { readRange } from '../../runtime/topics.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';

jest.setTimeout(180_000);

let temporary: ReturnType<typeof createTemporaryFolder>;
let processes: Processes;
let nodes: readonly KafkaNode[];
let brokers: readonly string[];
let log: KafkaLog;
let admin: Admin;
beforeAll(async () => {
  temporary = createTemporaryFolder();
  processes = new Processes(temporary.path);
  nodes = await startKafka(processes, { nodes: 3 });
  brokers = nodes.map(({ address }) => address);
  log = openKafkaLog({ connection: { brokers }, clock: systemClock, timeoutMs: 20_000 });
  admin = new Admin({ clientId: 'verify', bootstrapBrokers: [...brokers] });
});
afterAll(async () => {
  await Promise.all([log?.close(), admin?.close()]);
  await processes.endAll();
  temporary.remove();
});

/** A topic whose partitions have these replicas each; the first of them leads. */
async function create(replicas: readonly (readonly number[])[]): Promise<string> {
  const topic = `verify-${randomBytes(6).toString('hex')}`;
  const assignments = replicas.map((each, partition) => ({ partition, brokers: [...each] }));
  await admin.createTopics({ topics: [{ topic, partitions: -1, replicas: -1, assignments }] });
  await until(async () => (await leadersOf(topic).catch(() => [])).length === replicas.length);
  return topic;
}

async function leadersOf(topic: string): Promise<readonly number[]> {
  const metadata = await admin.metadata({ topics: [topic], forceUpdate: true });
  return metadata.topics.get(topic)!.partitions.map(({ leader }) => leader);
}

async function move(topic: string, partition: number, replicas: readonly number[]): Promise<void> {
  const plan = join(temporary.path, `${randomBytes(6).toString('hex')}.json`);
  writeFileSync(plan, JSON.stringify({ version: 1, partitions: [{ topic, partition, replicas }] }));
  const output = openSync(join(temporary.path, 'reassign.log'), 'a');
  await processes.run(
    'reassign',
    java.find()!,
    [
      '-cp',
      await kafka.download(processes),
      'org.apache.kafka.tools.reassign.ReassignPartitionsCommand',
      ...['--bootstrap-server', brokers[0]!, '--reassignment-json-file', plan, '--execute'],
    ],
    { stdio: ['ignore', output, output] },
  );
  await until(async () => (await leadersOf(topic))[partition] === replicas[0]);
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 50));
}

/** Without a key, so that each call goes to the next partition. */
const sendToEach = (topic: string, values: readonly string[]) =>
  Promise.all(values.map((value) => log.send(topic, [{ key: null, value: Buffer.from(value) }])));

test('partitions of one request that get different leaders are all written, once', async () => {
  const topic = await create([
    [1, 2, 3],
    [1, 2, 3],
  ]);
  await sendToEach(topic, ['a', 'b']);
  await move(topic, 1, [2, 3]);
  const positions = await sendToEach(topic, ['c', 'd', 'e', 'f']);
  expect(positions.flat().map(({ partition, offset }) => [partition, offset])).toEqual([
    [0, 1],
    [1, 1],
    [0, 2],
    [1, 2],
  ]);
  const values = async (partition: number) =>
    (await log.read({ topic, partition }, 0, 10)).map(({ value }) => value!.toString());
  expect([await values(0), await values(1)]).toEqual([
    ['a', 'c', 'e'],
    ['b', 'd', 'f'],
  ]);
});

test('a partition is read and written on where its leader has moved', async () => {
  const topic = await create([[1, 2, 3]]);
  const read = () => log.read({ topic, partition: 0 }, 0, 10);
  await sendToEach(topic, ['a']);
  expect(await read()).toHaveLength(1);
  await move(topic, 0, [2, 3]);
  expect(await read()).toHaveLength(1);
  await sendToEach(topic, ['b']);
  await move(topic, 0, [3, 1]);
  await sendToEach(topic, ['c']);
  expect((await read()).map(({ value }) => value!.toString())).toEqual(['a', 'b', 'c']);
});

test('what is sent while a broker is lost is written once, each partition in its order', async () => {
  // Those that the lost one leads go to two others.
  const replicas = [
    [2, 3, 1],
    [2, 1, 3],
    [1, 2, 3],
    [3, 1, 2],
  ];
  const topic = await create(replicas);
  const patient = openKafkaLog({ connection: { brokers }, clock: systemClock });
  const lost = nodes[1]!;
  const keys = Array.from({ length: 40 }, (_, n) => Buffer.from(`key ${n}`));
  let sent = 0;
  let isKilled: Promise<void> | undefined;
  let callsSince = 0;
  while (callsSince < 200) {
    const calls = Array.from({ length: 20 }, () =>
      patient.send(
        topic,
        keys.map((key) => ({ key, value: Buffer.from(String(sent++)) })),
      ),
    );
    if (sent > 8_000) isKilled ??= lost.kill();
    if (isKilled) callsSince += calls.length;
    await Promise.all(calls);
  }
  await isKilled;
  await lost.start();

  const values: number[] = [];
  for (let partition = 0; partition < replicas.length; partition++) {
    const { start, end } = await patient.bounds({ topic, partition });
    const records = await Array.fromAsync(readRange(patient, { topic, partition }, start, end));
    const written = records.map(({ value }) => Number(value));
    expect(written).toEqual(written.toSorted((a, b) => a - b));
    values.push(...written);
  }
  await patient.close();
  expect(values.toSorted((a, b) => a - b)).toEqual(Array.from({ length: sent }, (_, n) => n));
});

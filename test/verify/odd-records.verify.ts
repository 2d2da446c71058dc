/** Whatever a real broker takes from a producer: the good records are applied, the others are letters, and nothing waits. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { Producer } from '@platformatic/kafka';
import { createContractSchemaRegistry } from '../../adapters/contract-schema-registry.ts';
import { pageviews } from '../../contracts/news.pageviews/topic.ts';
import { startKafka } from '../../local/parts/kafka.ts';
import { Processes } from '../../local/parts/processes.ts';
import { exampleEvent } from '../../local/publishing/generated-traffic.ts';
import { createEncoder } from '../../runtime/contract/codec.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { millrace, millraceJson } from './newsroom.ts';

jest.setTimeout(180_000);

const temporary = createTemporaryFolder();
const processes = new Processes(temporary.path);
const TIMESTAMPS = [-2n, -(2n ** 63n), 2n ** 53n + 1n, 2n ** 63n - 1n, 1_764_000_000_000_000_000n];
let cluster: string[];

beforeAll(async () => {
  // As Kafka 3 has it by default: it takes any timestamp.
  const settings = {
    'log.message.timestamp.after.max.ms': String(2n ** 63n - 1n),
    'message.max.bytes': '4000000',
  };
  const [node] = await startKafka(processes, { nodes: 1, settings });
  cluster = ['--kafka', node!.address, '--state', join(temporary.path, 'state')];
  // Makes the topic, and something good to begin with.
  await millraceJson([
    'up',
    '--rate',
    '100',
    '--poison',
    '0',
    '--duration',
    '2',
    '--collector-port',
    '0',
    ...cluster,
  ]);

  const producer = new Producer<Buffer, Buffer, Buffer, Buffer>({
    clientId: 'odd',
    bootstrapBrokers: [node!.address],
  });
  const encoder = createEncoder(pageviews, createContractSchemaRegistry([pageviews]));
  // An event of its own each time: the newsroom counts one that is sent twice once.
  const send = async (message: object) => {
    const [encoded] = await encoder.encodeBatch([
      { ...(exampleEvent(pageviews, Date.now()) as object), eventId: randomUUID() },
    ]);
    const { key, value } = (encoded as { record: { key: Buffer; value: Buffer } }).record;
    return producer.send({ messages: [{ topic: pageviews.name, key, value, ...message } as never] });
  };
  for (const [at, timestamp] of TIMESTAMPS.entries()) {
    const key = Buffer.from(`odd ${at}`);
    await send({ key, timestamp });
    await send({ key, timestamp, value: Buffer.from('junk') });
    await send({ key });
  }
  const headers = new Map([
    [Buffer.from('twice'), Buffer.from([0xff, 0x00])],
    [Buffer.from('twice'), null],
    [Buffer.from('__proto__'), Buffer.alloc(0)],
    [Buffer.alloc(0), Buffer.from('no name')],
  ]);
  await send({ headers });
  await send({ headers, value: Buffer.alloc(0) });
  await send({ value: null });
  await send({ key: null });
  // The client takes minutes to find a partition by such a key.
  const large = { key: Buffer.alloc(1_000_000, 'k'), partition: 3 };
  await send(large);
  await send({ ...large, value: Buffer.from('junk') });
  await producer.close();
}, 180_000);
afterAll(async () => {
  await processes.endAll();
  temporary.remove();
});

/** Good ones: two for each timestamp, one with headers, one without a key, one with a large key. */
const GOOD = TIMESTAMPS.length * 2 + 3;
/** Junk for each timestamp, an empty value, none, and junk under a large key. */
const BAD = TIMESTAMPS.length + 3;

test('all good records are applied, the others are dead letters, and the lag is 0', async () => {
  expect(await millraceJson(['up', '--no-publish', '--exit-when-drained', ...cluster])).toMatchObject({
    applied: GOOD,
    deadLettered: BAD,
    lag: 0,
  });
  expect((await millraceJson(['lag', ...cluster]))[0]).toMatchObject({ lag: 0 });
});

test('each letter can be shown, and taken for a redrive', async () => {
  const letters: { id: string; record: { timestamp: number } }[] = await millraceJson([
    'dlq',
    'list',
    ...cluster,
  ]);
  expect(letters).toHaveLength(BAD);
  for (const { id } of letters) {
    const { code, stdout, stderr } = await millrace(['dlq', 'show', id, ...cluster]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(id);
  }
  const shown = letters.map(({ record }) => record.timestamp);
  for (const timestamp of TIMESTAMPS) expect(shown).toContain(Number(timestamp));

  // They are taken, and fail again: the command says so by its exit code.
  const { code, stdout } = await millrace(['dlq', 'redrive', '--yes', '--canary', '0', '--json', ...cluster]);
  expect(code).toBe(1);
  const redrive = JSON.parse(stdout.trimEnd().split('\n').at(-1)!);
  expect(redrive).toMatchObject({ planned: BAD, applied: 0, failed: BAD });
});

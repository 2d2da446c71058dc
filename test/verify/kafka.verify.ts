/** The Kafka log on a real broker: `npm run verify` starts one and names it in MILLRACE_TEST_KAFKA. */
import { randomBytes } from 'node:crypto';
import { openSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { Admin, Consumer, Producer } from '@platformatic/kafka';
import { type KafkaLog, openKafkaLog } from '../../adapters/kafka/kafka-log.ts';
import { createSeededRandom } from '../../adapters/system/seeded-random.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { startEventSource } from '../../local/event-source/event-source.ts';
import { kafka } from '../../local/parts/kafka.ts';
import { java } from '../../local/parts/prerequisites.ts';
import { Processes } from '../../local/parts/processes.ts';
import { createTopicLetters, createTopicReader } from '../../runtime/dead-letters/topic-letters.ts';
import type { Clock } from '../../runtime/ports.ts';
import { partitionOf } from '../../runtime/publish/partitioner.ts';
import { withOwnNames } from '../adapters/kafka/own-names.ts';
import { deadLetter } from '../dead-letters.ts';
import { deadLetterSuite } from '../ports/dead-letter-suite.ts';
import { lettersInTopic } from '../ports/embedded-dead-letters.ts';
import { logSuite } from '../ports/log-suite.ts';
import { codeOf } from '../rejection.ts';
import { createTemporaryFolder } from '../temporary-folder.ts';
import { part } from './part.ts';

const TIMEOUT_MS = 60_000;
jest.setTimeout(TIMEOUT_MS);
const address = part('MILLRACE_TEST_KAFKA');

const newName = () => `verify-${randomBytes(6).toString('hex')}`;
const open = (clock: Clock, topicSettings: Record<string, string> = {}) =>
  openKafkaLog({ connection: { brokers: [address] }, clock, topicSettings });
const client = { clientId: 'verify', bootstrapBrokers: [address] };

// The suite gives records any time there is: Kafka would refuse those in the future, and delete those long past. What
// the fixture cannot do is to let the broker's own clock go by the test's; nothing in the suite asks for it.
const ANY_TIME = { 'message.timestamp.after.max.ms': '9223372036854775807', 'retention.ms': '-1' };

logSuite('Kafka', (clock) => {
  const log = open(clock, ANY_TIME);
  return { log: withOwnNames(log, newName()), dispose: () => log.close() };
});

deadLetterSuite(
  'A Kafka topic',
  async () => {
    const log = open(systemClock, { 'max.message.bytes': '2097152' });
    return lettersInTopic(withOwnNames(log, newName()), {
      now: () => systemClock.now(),
      clockToleranceMs: 5_000,
      manyLetters: 1_200,
      runs: 20,
      dispose: () => log.close(),
    });
  },
  TIMEOUT_MS,
);

describe('a Kafka log', () => {
  let log: KafkaLog;
  let topic: string;
  beforeAll(() => {
    log = open(systemClock);
  });
  afterAll(() => log.close());

  const create = async (partitions: number) => {
    topic = newName();
    await log.createTopic(topic, partitions);
  };
  const readAll = async (partition = 0) => {
    const { start, end } = await log.bounds({ topic, partition });
    return log.read({ topic, partition }, start, end - start);
  };

  test('keeps a dead letter of 1 MiB where the topic allows it, and says so where it does not', async () => {
    const roomy = open(systemClock, { 'max.message.bytes': '2097152' });
    // Random, so that no compression helps.
    const large = deadLetter({
      value: randomBytes(1_048_576),
      headers: [{ name: 'h', value: randomBytes(9) }],
    });
    topic = newName();
    await roomy.createTopic(topic, 1);
    await createTopicLetters({ topic, producer: roomy }).put([large]);
    const of = { consumer: 'c', epoch: 1, topic: 't' };
    const [copy] = await Array.fromAsync(
      createTopicReader({ topic, of, producer: roomy, reader: roomy }).scan(),
    );
    expect('letter' in copy! && copy.letter).toEqual(large);
    await roomy.close();

    await create(1);
    const refused = createTopicLetters({ topic, producer: log }).put([large]);
    expect(await codeOf(refused)).toBe('DEAD_LETTER_STORE_UNAVAILABLE');
    const [position] = await log.send(topic, [{ key: null, value: Buffer.from('small') }]);
    expect(position).toMatchObject({ offset: 0 });
  });

  test('confirms what was taken beside what was refused, each caller its own', async () => {
    await create(2);
    const keys = Array.from({ length: 20 }, (_, index) => Buffer.from(`k${index}`));
    const [into0, into1] = [0, 1].map((partition) => keys.find((key) => partitionOf(key, 2) === partition)!);
    const large = log.send(topic, [{ key: into0!, value: randomBytes(2_000_000) }]);
    const small = log.send(topic, [{ key: into1!, value: Buffer.from('v') }]);
    expect(await codeOf(large)).toBe('PUBLISH_FAILED');
    expect(await small).toEqual([{ topic, partition: 1, offset: 0 }]);
  });

  test('keeps the order of calls that do not wait for each other', async () => {
    await create(3);
    const key = Buffer.from('one');
    const calls = Array.from({ length: 2_000 }, (_, n) =>
      log.send(topic, [{ key, value: Buffer.from(String(n)) }]),
    );
    const offsets = (await Promise.all(calls)).map(([position]) => position!.offset);
    expect(offsets).toEqual(Array.from({ length: 2_000 }, (_, n) => n));
    const records = await readAll(partitionOf(key, 3));
    expect(records.map(({ value }) => Number(value))).toEqual(offsets);
  });

  test('sends records to the partitions that Kafka’s own producer sends them to', async () => {
    await create(7);
    const temporary = createTemporaryFolder();
    const processes = new Processes(temporary.path);
    try {
      const random = createSeededRandom(5);
      const keys = Array.from(
        { length: 500 },
        (_, n) => `${'ключ-é-'.slice(0, n % 8)}${Math.floor(random.next() * 1e9)}`,
      );
      const input = join(temporary.path, 'keys.txt');
      writeFileSync(input, keys.map((key) => `${key}\tv\n`).join(''));
      const output = openSync(join(temporary.path, 'console.log'), 'a');
      const options = ['--bootstrap-server', address, '--topic', topic, '--property', 'parse.key=true'];
      await processes.run(
        'console-producer',
        java.find()!,
        [
          '-Dfile.encoding=UTF-8',
          '-cp',
          await kafka.download(processes),
          'org.apache.kafka.tools.ConsoleProducer',
          ...options,
        ],
        { stdio: [openSync(input, 'r'), output, output] },
      );
      const partitions = await Promise.all(Array.from({ length: 7 }, (_, partition) => readAll(partition)));
      const sent = partitions.flat();
      expect(sent.map(({ key }) => key!.toString()).toSorted()).toEqual(keys.toSorted());
      expect(sent.filter(({ key, partition }) => partitionOf(key!, 7) !== partition)).toEqual([]);
    } finally {
      await processes.endAll();
      temporary.remove();
    }
  });

  test.each(['classic', 'consumer'] as const)(
    'commits to no group that has members (%s protocol), and to one that they have left',
    async (groupProtocol) => {
      await create(1);
      const group = newName();
      const commit = () => log.commit(group, [{ topic, partition: 0, offset: 3 }]);
      await log.requireFreeGroup(group);
      const member = new Consumer({ ...client, groupId: group, groupProtocol });
      // A member of the newer protocol has joined with its first assignment, which a stream asks for.
      const stream = await member.consume({ topics: [topic], mode: 'earliest', autocommit: false });
      while (!member.isActive()) await new Promise((resolve) => setTimeout(resolve, 20));
      await expect(commit()).rejects.toMatchObject({
        code: 'GROUP_IN_USE',
        message: expect.stringContaining(group),
      });
      expect(await codeOf(log.requireFreeGroup(group))).toBe('GROUP_IN_USE');
      expect(await log.committed(group, { topic, partition: 0 })).toBeUndefined();

      await stream.close();
      await member.close(true);
      await log.requireFreeGroup(group);
      await commit();
      expect(await log.committed(group, { topic, partition: 0 })).toBe(3);
    },
  );

  test('makes a topic by its contract, and tells how one that exists differs, without a change', async () => {
    const contract = { name: newName(), partitions: 3, retentionMs: 86_400_000, cleanup: 'delete' } as const;
    expect(await log.prepareTopic(contract)).toEqual([]);
    expect(await log.partitions(contract.name)).toBe(3);
    expect(await log.prepareTopic(contract)).toEqual([]);
    const other = { ...contract, partitions: 6, retentionMs: -1, cleanup: 'compact' } as const;
    expect(await log.prepareTopic({ ...other, cleanup: 'delete' })).toEqual([
      'partitions: 3; its contract says 6',
      'retention.ms: 86400000; its contract says -1',
    ]);
    expect(await log.prepareTopic(other)).toEqual([
      'partitions: 3; its contract says 6',
      'cleanup.policy: delete; its contract says compact',
    ]);
    expect(await log.prepareTopic(contract)).toEqual([]);
  });

  test('reads on from the start where records before it are gone', async () => {
    await create(1);
    await log.send(
      topic,
      [1, 2, 3, 4].map((n) => ({ key: null, value: Buffer.from(String(n)) })),
    );
    const admin = new Admin(client);
    await admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 0, offset: 2n }] }] });
    await admin.close();
    const records = await log.read({ topic, partition: 0 }, 0, 10);
    expect(records.map(({ offset }) => offset)).toEqual([2, 3]);
    expect(await log.bounds({ topic, partition: 0 })).toEqual({ start: 2, end: 4 });
    expect(await log.read({ topic, partition: 0 }, 99, 10)).toEqual([]);
  });

  test('reads what transactions have committed, and an event source comes to the end behind their marks', async () => {
    await create(1);
    const producer = new Producer({ ...client, idempotent: true, transactionalId: newName() });
    const inTransaction = async (values: readonly string[], end: 'commit' | 'abort') => {
      const transaction = await producer.beginTransaction();
      await transaction.send({
        messages: values.map((value) => ({
          topic,
          partition: 0,
          key: Buffer.from('k'),
          value: Buffer.from(value),
        })),
      });
      await transaction[end]();
    };
    await inTransaction(['a', 'b'], 'commit');
    await inTransaction(['lost'], 'abort');
    await inTransaction(['lost too', 'and this'], 'abort');
    await inTransaction(['c'], 'commit');
    await inTransaction(['lost at the end'], 'abort');
    await producer.close();

    const seen: string[] = [];
    const source = startEventSource({
      topic,
      group: newName(),
      mapping: {
        mode: 'provisioned',
        startingPosition: 'TRIM_HORIZON',
        maximumBatchingWindowMs: 0,
        functionTimeoutMs: 10_000,
      },
      async handler({ records }) {
        for (const record of Object.values(records).flat()) seen.push(atob(record.value!));
      },
      reader: log,
      clock: systemClock,
      random: createSeededRandom(1),
      log: { debug() {}, info() {}, warn() {}, error() {} },
    });
    await source.drained();
    await source.stop();
    expect(seen).toEqual(['a', 'b', 'c']);
    expect(await source.lag()).toEqual([0]);
  });

  test('says that no broker is there, and where it has looked', async () => {
    const nowhere = openKafkaLog({ connection: { brokers: ['127.0.0.1:1'] }, clock: systemClock });
    await expect(nowhere.partitions('t')).rejects.toMatchObject({
      code: 'KAFKA_UNAVAILABLE',
      message: expect.stringContaining('127.0.0.1:1'),
    });
    await nowhere.close();
  });
});

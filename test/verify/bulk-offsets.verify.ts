/** Where groups stand, read in bulk from a real Kafka. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { Admin, Producer } from '@platformatic/kafka';
import { BulkOffsets } from '../../adapters/kafka/bulk-offsets.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import { part } from './part.ts';
import { patiently } from './patiently.ts';

jest.setTimeout(120_000);

const brokers = [part('MILLRACE_TEST_KAFKA')];
const run = randomBytes(4).toString('hex');
const named = (name: string) => `bulk-${run}-${name}`;
/** Young enough for retention. */
const AT = Date.now() - 3_600_000;

let admin: Admin;
let producer: Producer<Buffer, Buffer, Buffer, Buffer>;
let bulk: BulkOffsets;
beforeAll(async () => {
  admin = new Admin({ clientId: 'verify', bootstrapBrokers: brokers });
  producer = new Producer({ clientId: 'verify', bootstrapBrokers: brokers, retries: 20 });
  bulk = new BulkOffsets({ connection: { brokers }, clock: systemClock, timestampsWithinMs: 5_000 });
});
afterAll(() => Promise.all([admin.close(), producer.close(), bulk.close()]));

async function topicWith(
  name: string,
  partitions: number,
  configs: Readonly<Record<string, string>> = {},
): Promise<string> {
  const topic = named(name);
  await admin.createTopics({
    topics: [{ topic, partitions, replicas: 1 }],
    configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
  });
  return topic;
}

/** One batch for each call; its records a second apart. */
async function append(
  topic: string,
  partition: number,
  records: number,
  bytes = 20,
  firstAt = AT,
): Promise<void> {
  const messages = Array.from({ length: records }, (_, index) => ({
    topic,
    partition,
    value: randomBytes(bytes),
    timestamp: BigInt(firstAt + index * 1_000),
  }));
  await patiently(() => producer.send({ acks: -1, messages }));
}

async function commit(group: string, topic: string, offsets: readonly number[]): Promise<void> {
  await patiently(() =>
    admin.alterConsumerGroupOffsets({
      groupId: group,
      topics: [
        {
          name: topic,
          partitionOffsets: offsets.map((offset, partition) => ({ partition, offset: BigInt(offset) })),
        },
      ],
    }),
  );
}

test('each partition has its offsets, and the time of the next unread record', async () => {
  const topic = await topicWith('mixed', 4);
  for (const partition of [0, 1, 2]) await append(topic, partition, 5);
  await commit(named('mixed'), topic, [2, 5]);
  await admin.deleteRecords({ topics: [{ name: topic, partitions: [{ partition: 2, offset: 3n }] }] });
  const [found, fresh, missing] = await bulk.read([
    { group: named('mixed'), topic },
    { group: named('nobody'), topic },
    { group: named('mixed'), topic: named('no-such-topic') },
  ]);
  expect(found!.unknown).toBeUndefined();
  expect(found!.partitions).toEqual([
    { partition: 0, committed: 2, start: 0, end: 5, nextAt: AT + 2_000 },
    { partition: 1, committed: 5, start: 0, end: 5, nextAt: null },
    { partition: 2, committed: 'none', start: 3, end: 5, nextAt: AT + 3_000 },
    { partition: 3, committed: 'none', start: 0, end: 0, nextAt: null },
  ]);
  expect(fresh!.partitions!.map(({ committed }) => committed)).toEqual(['none', 'none', 'none', 'none']);
  // Two groups at one partition want two records of it.
  expect(fresh!.partitions!.map(({ nextAt }) => nextAt)).toEqual([AT, AT, AT + 3_000, null]);
  expect(missing).toMatchObject({
    partitions: [],
    unknown: expect.stringContaining('does not exist on Kafka at'),
  });
});

test('a batch that is larger than what is asked for first is found in a later reading', async () => {
  const topic = await topicWith('large', 2);
  await append(topic, 0, 3, 100_000);
  await append(topic, 1, 1, 900_000, AT + 60_000);
  await commit(named('large'), topic, [0, 0]);
  const readings: (readonly (number | null)[])[] = [];
  for (let reading = 0; reading < 5; reading++) {
    const [found] = await bulk.read([{ group: named('large'), topic }]);
    readings.push(found!.partitions!.map(({ nextAt }) => nextAt));
  }
  expect(readings.at(-1)).toEqual([AT, AT + 60_000]);
});

test('what a transaction that was aborted has left is passed by', async () => {
  const topic = await topicWith('aborted', 1);
  const transactional = new Producer<Buffer, Buffer, Buffer, Buffer>({
    clientId: 'verify',
    bootstrapBrokers: brokers,
    transactionalId: named('aborted'),
    idempotent: true,
    retries: 20,
  });
  try {
    const transaction = await transactional.beginTransaction();
    await transaction.send({
      acks: -1,
      messages: [{ topic, partition: 0, value: Buffer.from('a'), timestamp: BigInt(AT) }],
    });
    await transaction.abort();
  } finally {
    await transactional.close();
  }
  await append(topic, 0, 1, 20, AT + 9_000);
  await commit(named('aborted'), topic, [0]);
  let found: readonly (number | null)[] = [];
  for (let reading = 0; reading < 3 && found[0] === undefined; reading++) {
    const [{ partitions } = { partitions: null }] = await bulk.read([{ group: named('aborted'), topic }]);
    found = partitions!.flatMap(({ nextAt }) => (nextAt === null ? [] : [nextAt]));
  }
  expect(found).toEqual([AT + 9_000]);
});

test('groups are found with the topics that they have committed to, and without members nobody runs them', async () => {
  const [first, second] = [await topicWith('first', 1), await topicWith('second', 2)];
  await commit(named('both'), first, [0]);
  await commit(named('both'), second, [0, 0]);
  expect(await bulk.groups()).toContain(named('both'));
  expect((await bulk.topicsOf([named('both')])).map(({ topic }) => topic).toSorted()).toEqual(
    [first, second].toSorted(),
  );
  const runnerOf = await bulk.runners([named('both')]);
  expect(runnerOf(named('both'))).toEqual({ isRunning: false, who: 'nobody: the group has no members' });
});

test('retention is the topic’s own, for ever where nothing is deleted by time', async () => {
  const kept = await topicWith('kept', 1, { 'retention.ms': '3600000' });
  const compacted = await topicWith('compacted', 1, { 'cleanup.policy': 'compact' });
  const endless = await topicWith('endless', 1, { 'retention.ms': '-1' });
  const found = await patiently(async () => {
    const told = await bulk.retention([kept, compacted, endless, named('no-such-topic')]);
    if (told.size < 3) throw new Error('the broker does not know all of them yet');
    return told;
  });
  expect([...found].toSorted()).toEqual(
    [
      [kept, 3_600_000],
      [compacted, 'forever'],
      [endless, 'forever'],
    ].toSorted() as [string, number | 'forever'][],
  );
});

test('offsets by time are those of the first records at or after it', async () => {
  const topic = await topicWith('times', 2);
  await append(topic, 0, 5);
  expect(await bulk.offsetsAt(topic, AT + 1_500)).toEqual(new Map([[0, 2]]));
});

test('a cluster that does not answer is refused as one', async () => {
  const nowhere = new BulkOffsets({ connection: { brokers: ['127.0.0.1:1'] }, clock: systemClock });
  await expect(nowhere.read([{ group: 'a', topic: 'b' }])).rejects.toMatchObject({
    code: 'KAFKA_UNAVAILABLE',
  });
  await nowhere.close();
});

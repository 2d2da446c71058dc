/** SQS and S3 by their own protocols: `npm run verify` starts servers that speak them, and names them here. */
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { afterAll, describe, expect, test } from '@jest/globals';
import { createS3Objects } from '../../adapters/aws/s3-objects.ts';
import { createSqsMover, createSqsQueue } from '../../adapters/aws/sqs-queue.ts';
import { systemClock } from '../../adapters/system/system-clock.ts';
import {
  createQueueLetters,
  fetchPayload,
  PAYLOAD_PREFIX,
} from '../../runtime/dead-letters/queue-letters.ts';
import type { StoredLetter } from '../../runtime/dead-letters/reader.ts';
import { deadLetter } from '../dead-letters.ts';
import { deadLetterSuite } from '../ports/dead-letter-suite.ts';
import { lettersInQueue } from '../ports/embedded-dead-letters.ts';
import { objectStoreSuite } from '../ports/object-store-suite.ts';
import { queueSuite } from '../ports/queue-suite.ts';
import { codeOf } from '../rejection.ts';
import { part } from './part.ts';

const endpoint = part('MILLRACE_TEST_SQS');
const sqs = new SQSClient({ endpoint });
const s3 = new S3Client({ endpoint: part('MILLRACE_TEST_AWS'), forcePathStyle: true });
afterAll(() => {
  sqs.destroy();
  s3.destroy();
});

const TIMEOUT_MS = 60_000;
let queues = 0;
let buckets = 0;

async function createQueue(attributes: Record<string, string> = {}) {
  const QueueName = `millrace-verify-${process.pid}-${queues++}`;
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName, Attributes: attributes }));
  // The server may call itself otherwise than it can be reached from here.
  const url = `${new URL(new URL(QueueUrl!).pathname, endpoint)}`;
  const { Attributes } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['QueueArn'] }),
  );
  return { url, arn: Attributes!.QueueArn! };
}

async function createBucket() {
  const bucket = `millrace-verify-${process.pid}-${buckets++}`;
  await s3.send(new CreateBucketCommand({ Bucket: bucket }));
  return createS3Objects({ client: s3, bucket });
}

const now = () => systemClock.now();
const wait = (ms: number) => systemClock.sleep(ms);
/** The shortest visibility is a second, and a server may be a little late with it. */
const LATE_MS = 250;

queueSuite(
  'SQS',
  async () => ({
    openQueue: async () => createSqsQueue({ client: sqs, queueUrl: (await createQueue()).url }),
    async openPair({ maxReceiveCount }) {
      const dead = await createQueue();
      const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: dead.arn, maxReceiveCount });
      const alive = await createQueue({ RedrivePolicy });
      const mover = (sourceArn: string, destinationArn: string) =>
        createSqsMover({ client: sqs, sourceArn, destinationArn, clock: systemClock });
      return {
        redrive: createSqsQueue({ client: sqs, queueUrl: alive.url }),
        deadLetters: createSqsQueue({ client: sqs, queueUrl: dead.url }),
        mover: mover(dead.arn, alive.arn),
        wrongWay: mover(alive.arn, dead.arn),
      };
    },
    now,
    wait: (ms) => wait(ms + LATE_MS),
    visibilityMs: 1_000,
    manyMessages: 45,
    runs: 10,
    promises: 'distributed',
    text: 'xml',
    // ElasticMQ 1.7.1; scripts/verify/elasticmq.mjs says what AWS does instead.
    deviations: ['moves-from-any-queue', 'moves-hidden-messages', 'moved-messages-keep-their-id'],
    async dispose() {},
  }),
  TIMEOUT_MS,
);

objectStoreSuite(
  'S3',
  async () => ({
    openStore: createBucket,
    now,
    wait,
    // S3's times are whole seconds.
    clockToleranceMs: 5_000,
    manyObjects: 1_100,
    runs: 10,
    async dispose() {},
  }),
  TIMEOUT_MS,
);

deadLetterSuite(
  'SQS with S3',
  async () => {
    const queue = createSqsQueue({ client: sqs, queueUrl: (await createQueue()).url });
    return lettersInQueue(
      { queue, objects: await createBucket() },
      { now, clockToleranceMs: 30_000, manyLetters: 45, runs: 10, async dispose() {} },
    );
  },
  TIMEOUT_MS,
);

describe('a large dead letter on SQS and S3', () => {
  const large = deadLetter({ value: Buffer.alloc(3_000_000, Buffer.from([0, 255, 195, 40])), offset: 1 });

  test(
    'leaves its bytes in one object, however often it is put, and a message of any size’s letter is whole',
    async () => {
      const objects = await createBucket();
      const queue = createSqsQueue({ client: sqs, queueUrl: (await createQueue()).url });
      const letters = createQueueLetters({ queue, objects });
      await letters.put([large, deadLetter()]);
      await letters.put([large]);

      const stored = await Array.fromAsync(objects.list(PAYLOAD_PREFIX));
      expect(stored).toHaveLength(1);
      const copies = (await Array.fromAsync(letters.scan())).filter((copy) => 'letter' in copy);
      const pointers = copies.flatMap(({ payload }) => payload ?? []);
      expect(pointers.map(({ objectKey, bytes }) => [objectKey, bytes])).toEqual([
        [stored[0]!.key, stored[0]!.bytes],
        [stored[0]!.key, stored[0]!.bytes],
      ]);
      const whole = await Promise.all(copies.map((copy: StoredLetter) => fetchPayload(copy, objects)));
      for (const letter of whole) {
        const expected = letter.id === large.id ? large : deadLetter();
        expect(letter.record.value!.equals(expected.record.value!)).toBe(true);
        expect(letter.failure).toEqual(expected.failure);
      }

      await objects.delete([stored[0]!.key]);
      expect(await codeOf(fetchPayload(copies.find(({ payload }) => payload)!, objects))).toBe(
        'DEAD_LETTER_PAYLOAD_LOST',
      );
    },
    TIMEOUT_MS,
  );

  test(
    'is refused, and no message sent, where the bucket is missing',
    async () => {
      const queue = createSqsQueue({ client: sqs, queueUrl: (await createQueue()).url });
      const objects = createS3Objects({ client: s3, bucket: 'millrace-verify-nowhere' });
      const letters = createQueueLetters({ queue, objects });
      await expect(letters.put([deadLetter(), large])).rejects.toMatchObject({
        code: 'DEAD_LETTER_STORE_UNAVAILABLE',
        message: expect.stringContaining('NoSuchBucket'),
      });
      expect(await queue.depth()).toBe(0);
    },
    TIMEOUT_MS,
  );
});

test(
  'a queue that was deleted is unavailable by that code, whatever is asked of it',
  async () => {
    const { url, arn } = await createQueue();
    await sqs.send(new DeleteQueueCommand({ QueueUrl: url }));
    const queue = createSqsQueue({ client: sqs, queueUrl: url });
    const mover = createSqsMover({ client: sqs, sourceArn: arn, destinationArn: arn, clock: systemClock });
    const requests: (() => Promise<unknown>)[] = [
      () => queue.send([{ body: 'a' }]),
      () => queue.receive({ maxMessages: 1, visibilityMs: 1_000 }),
      () => queue.delete(['a receipt']),
      () => queue.release(['a receipt']),
      () => Array.fromAsync(queue.scan()),
      () => queue.depth(),
      () => mover.move({ maxPerSecond: 1 }),
    ];
    for (const request of requests) expect(await codeOf(request())).toBe('QUEUE_UNAVAILABLE');
  },
  TIMEOUT_MS,
);

import {
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
} from '@aws-sdk/client-s3';
import { describe, expect, test } from '@jest/globals';
import { createS3Objects } from '../../../adapters/aws/s3-objects.ts';
import { createFakeClock } from '../../../testing/fake-clock.ts';
import { objectStoreSuite } from '../../ports/object-store-suite.ts';

/** An error as the SDK throws it: told apart by its name. */
const s3Error = (name: string, message = '', httpStatusCode?: number) =>
  Object.assign(new Error(message), { name, $metadata: { httpStatusCode } });

/** As much of a bucket as the adapter calls, with S3's limits. */
function fakeBucket(now: () => number, pageSize = 1_000) {
  const objects = new Map<
    string,
    { readonly body: Buffer; readonly storedAt: number; readonly metadata: Record<string, string> }
  >();
  const requests: unknown[] = [];
  const inOrder = () => [...objects.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return {
    requests,
    async send(command: unknown): Promise<unknown> {
      requests.push(command);
      if (command instanceof PutObjectCommand) {
        const { Key, Body, IfNoneMatch, Metadata: metadata = {} } = command.input;
        if (IfNoneMatch === '*' && objects.has(Key!)) throw s3Error('PreconditionFailed', '', 412);
        objects.set(Key!, { body: Buffer.from(Body as Buffer), storedAt: now(), metadata });
        return {};
      }
      if (command instanceof HeadObjectCommand) {
        const object = objects.get(command.input.Key!);
        if (!object) throw s3Error('NotFound', '', 404);
        return { Metadata: object.metadata };
      }
      if (command instanceof GetObjectCommand) {
        const object = objects.get(command.input.Key!);
        if (!object) throw s3Error('NoSuchKey');
        return {
          Body: { transformToByteArray: async () => new Uint8Array(object.body) },
          Metadata: object.metadata,
        };
      }
      if (command instanceof ListObjectsV2Command) {
        const { Prefix = '', ContinuationToken = '', StartAfter = '', Delimiter, MaxKeys } = command.input;
        // S3's tokens say nothing; this one is the last key of the page before.
        const after = Buffer.from(ContinuationToken, 'hex');
        const found = inOrder()
          .filter((key) => key.startsWith(Prefix))
          .filter((key) => Buffer.compare(Buffer.from(key), after) > 0)
          .filter((key) => Buffer.compare(Buffer.from(key), Buffer.from(StartAfter)) > 0);
        if (Delimiter) {
          const ends = found.flatMap((key) => {
            const end = key.indexOf(Delimiter, Prefix.length);
            return end < 0 ? [] : [key.slice(0, end + 1)];
          });
          return { CommonPrefixes: [...new Set(ends)].map((each) => ({ Prefix: each })) };
        }
        const size = Math.min(pageSize, MaxKeys ?? pageSize);
        const page = found.slice(0, size);
        return {
          // A page without keys has no list at all.
          ...(page.length > 0 && {
            Contents: page.map((Key) => {
              const { body, storedAt } = objects.get(Key)!;
              return { Key, LastModified: new Date(storedAt), Size: body.length };
            }),
          }),
          ...(found.length > size && {
            NextContinuationToken: Buffer.from(page.at(-1)!).toString('hex'),
          }),
        };
      }
      if (command instanceof DeleteObjectsCommand) {
        const keys = command.input.Delete!.Objects!.map(({ Key }) => Key!);
        if (keys.length === 0 || keys.length > 1_000) throw s3Error('MalformedXML');
        for (const key of keys) objects.delete(key);
        return {};
      }
      throw new Error('not asked for');
    },
  };
}

objectStoreSuite('S3', async () => {
  const clock = createFakeClock();
  return {
    async openStore() {
      return createS3Objects({ client: fakeBucket(() => clock.now()) as never, bucket: 'b' });
    },
    now: () => clock.now(),
    wait: (ms) => clock.advance(ms),
    clockToleranceMs: 0,
    manyObjects: 2_500,
    runs: 50,
    async dispose() {},
  };
});

describe('objects in S3', () => {
  const failing = (error: unknown) =>
    createS3Objects({ client: { send: () => Promise.reject(error) } as never, bucket: 'millrace-dev-c' });

  test.each<[string, (objects: ReturnType<typeof failing>) => Promise<unknown>]>([
    ['put', (objects) => objects.put('k', Buffer.from('reader-4711'))],
    ['get', (objects) => objects.get('k')],
    ['list', (objects) => Array.fromAsync(objects.list('p'))],
    ['delete', (objects) => objects.delete(['k'])],
  ])('are unavailable when %s fails, without a word of what they hold', async (_, request) => {
    const failure = s3Error('AccessDenied', 'reader-4711');
    const outcome = request(failing(failure));
    await expect(outcome).rejects.toMatchObject({
      code: 'OBJECT_STORE_UNAVAILABLE',
      action: 'hold',
      message: expect.stringMatching(/millrace-dev-c .*AccessDenied/),
      details: { bucket: 'millrace-dev-c', reason: 'AccessDenied' },
      cause: failure,
    });
    await expect(outcome).rejects.toMatchObject({ message: expect.not.stringContaining('reader-4711') });
  });

  test('are not taken for missing where the bucket is', async () => {
    for (const name of ['NoSuchBucket', 'NotFound', 'TimeoutError']) {
      await expect(failing(s3Error(name)).get('k')).rejects.toMatchObject({
        code: 'OBJECT_STORE_UNAVAILABLE',
        details: { reason: name },
      });
    }
  });

  test('are unavailable when their bytes stop half way', async () => {
    const Body = { transformToByteArray: () => Promise.reject(s3Error('ECONNRESET')) };
    const objects = createS3Objects({ client: { send: async () => ({ Body }) } as never, bucket: 'b' });
    await expect(objects.get('k')).rejects.toMatchObject({ code: 'OBJECT_STORE_UNAVAILABLE' });
  });

  test('are deleted a thousand at a time, and nothing is asked for none', async () => {
    const bucket = fakeBucket(() => 0);
    const objects = createS3Objects({ client: bucket as never, bucket: 'b' });
    await objects.delete([]);
    expect(bucket.requests).toEqual([]);
    await objects.delete(Array.from({ length: 2_001 }, (_, index) => `${index}`));
    expect(
      bucket.requests.map((request) => (request as DeleteObjectsCommand).input.Delete!.Objects!.length),
    ).toEqual([1_000, 1_000, 1]);
  });

  test('are unavailable when S3 does not delete one of them', async () => {
    const send = async () => ({ Errors: [{ Key: 'k', Code: 'InternalError' }] });
    const objects = createS3Objects({ client: { send } as never, bucket: 'b' });
    await expect(objects.delete(['k', 'l'])).rejects.toMatchObject({
      code: 'OBJECT_STORE_UNAVAILABLE',
      details: { reason: 'InternalError' },
    });
  });

  test('are listed page by page, no page before the one ahead of it is used up', async () => {
    const bucket = fakeBucket(() => 0, 2);
    const objects = createS3Objects({ client: bucket as never, bucket: 'b' });
    for (const key of ['a', 'b', 'c', 'd', 'e']) await objects.put(key, Buffer.from(key));
    bucket.requests.length = 0;
    const seen: string[] = [];
    for await (const { key } of objects.list('')) {
      seen.push(key);
      if (key === 'c') break;
    }
    expect(seen).toEqual(['a', 'b', 'c']);
    expect(bucket.requests).toHaveLength(2);
    expect((await Array.fromAsync(objects.list(''))).map(({ key }) => key)).toEqual([
      'a',
      'b',
      'c',
      'd',
      'e',
    ]);
  });
});

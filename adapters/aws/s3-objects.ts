import {
  DeleteObjectsCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import type { ObjectStore } from '../../runtime/dead-letters/objects.ts';
import { MillraceError } from '../../runtime/errors.ts';

/** What DeleteObjects takes: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html (2026-11-25) */
const MAX_DELETES = 1_000;

/**
 * Objects in an S3 bucket, encrypted by the bucket's own default. A put is seen by every later get and list:
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/Welcome.html#ConsistencyModel (2026-11-25).
 */
export function createS3Objects({
  client,
  bucket,
}: {
  readonly client: Pick<S3Client, 'send'>;
  readonly bucket: string;
}): ObjectStore {
  const failed = (cause: unknown): never => {
    const reason = cause instanceof Error ? cause.name : 'no reason given';
    throw new MillraceError(
      'OBJECT_STORE_UNAVAILABLE',
      `The bucket ${bucket} did not complete the request (${reason}). Try again. If this continues, check the bucket, the ` +
        'route to S3 and the permissions.',
      { cause, details: { bucket, reason } },
    );
  };
  return {
    async put(key, body) {
      await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body })).catch(failed);
    },
    async get(key) {
      try {
        const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
        return Buffer.from(await Body!.transformToByteArray());
      } catch (cause) {
        if (cause instanceof Error && cause.name === 'NoSuchKey') return undefined;
        return failed(cause);
      }
    },
    async *list(prefix) {
      let token: string | undefined;
      do {
        const { Contents = [], NextContinuationToken } = await client
          .send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix, ContinuationToken: token }))
          .catch(failed);
        for (const { Key, LastModified, Size } of Contents) {
          yield { key: Key!, storedAt: LastModified?.getTime() ?? 0, bytes: Size ?? 0 };
        }
        token = NextContinuationToken;
      } while (token !== undefined);
    },
    async delete(keys) {
      for (let at = 0; at < keys.length; at += MAX_DELETES) {
        const Objects = keys.slice(at, at + MAX_DELETES).map((Key) => ({ Key }));
        const { Errors = [] } = await client
          .send(new DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects, Quiet: true } }))
          .catch(failed);
        if (Errors[0]) failed(Object.assign(new Error(), { name: Errors[0].Code ?? 'no reason given' }));
      }
    },
  };
}

/** The same, with a client of its own. */
export function openS3Objects(config: S3ClientConfig, bucket: string): ObjectStore {
  return createS3Objects({ client: new S3Client(config), bucket });
}

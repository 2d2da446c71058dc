import {
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandInput,
  type ListObjectsV2CommandOutput,
  PutObjectCommand,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import { MillraceError } from '../../runtime/errors.ts';
import type { ObjectStore } from '../../runtime/objects.ts';

/** What DeleteObjects takes: https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html (2026-11-25) */
const MAX_DELETES = 1_000;

/** S3 answers 409 where two conditional requests of one key meet: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html (2026-11-27) */
const MOST_CONFLICTS = 5;

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
  async function* pages(
    query: Omit<ListObjectsV2CommandInput, 'Bucket' | 'ContinuationToken'>,
  ): AsyncGenerator<ListObjectsV2CommandOutput> {
    let token: string | undefined;
    do {
      const page = await client
        .send(new ListObjectsV2Command({ Bucket: bucket, ...query, ContinuationToken: token }))
        .catch(failed);
      yield page;
      token = page.NextContinuationToken;
    } while (token !== undefined);
  }

  const open: ObjectStore['open'] = async (key) => {
    try {
      const { Body, Metadata = {} } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
      return { body: Buffer.from(await Body!.transformToByteArray()), metadata: Metadata };
    } catch (cause) {
      if (cause instanceof Error && cause.name === 'NoSuchKey') return undefined;
      return failed(cause);
    }
  };

  return {
    async put(key, body) {
      await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body })).catch(failed);
    },
    async create(key, body, metadata) {
      for (let tries = 1; ; tries++) {
        try {
          const condition = { IfNoneMatch: '*', Metadata: { ...metadata } };
          await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ...condition }));
          return true;
        } catch (cause) {
          const status = statusOf(cause);
          if (status === 412) return false;
          // Another request of the same key was under way: which of the two won shows at the next try.
          if (status !== 409 || tries === MOST_CONFLICTS) return failed(cause);
        }
      }
    },
    async metadata(key) {
      try {
        const { Metadata = {} } = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
        return Metadata;
      } catch (cause) {
        if (statusOf(cause) === 404) return undefined;
        return failed(cause);
      }
    },
    async get(key) {
      return (await open(key))?.body;
    },
    open,
    async *list(prefix, { after, pageSize } = {}) {
      for await (const { Contents = [] } of pages({ Prefix: prefix, StartAfter: after, MaxKeys: pageSize })) {
        for (const { Key, LastModified, Size } of Contents) {
          yield { key: Key!, storedAt: LastModified?.getTime() ?? 0, bytes: Size ?? 0 };
        }
      }
    },
    async *folders(prefix) {
      for await (const { CommonPrefixes = [] } of pages({ Prefix: prefix, Delimiter: '/' })) {
        for (const { Prefix } of CommonPrefixes) yield Prefix!.slice(prefix.length, -1);
      }
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

function statusOf(error: unknown): number | undefined {
  return (error as { readonly $metadata?: { readonly httpStatusCode?: number } }).$metadata?.httpStatusCode;
}

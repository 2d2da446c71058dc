/**
 * AWS's services for functions. A client of the SDK's is as large as all the rest of a function's code, so each stands in a file
 * of its own beside it (lib/constructs/bundle-parts.ts), and is loaded when it is first asked: no start waits for one that it
 * does not need. `#glue`, `#s3` and `#sqs` are those files there, and the modules of this folder here.
 */

import type { SchemaRegistry } from '../../runtime/contract/registry.ts';
import type { Queue } from '../../runtime/dead-letters/queue.ts';
import type { ObjectStore } from '../../runtime/objects.ts';
import type { requestTimeouts } from './request-timeouts.ts';

/** What every client of the SDK's takes. */
export type ClientConfig = { readonly region: string; readonly maxAttempts?: number } & ReturnType<
  typeof requestTimeouts
>;

export function glueRegistry(config: ClientConfig, registryName: string): SchemaRegistry {
  const open = once(async () => (await import('#glue')).openGlueSchemaRegistry(config, registryName));
  return {
    schemaById: async (id) => (await open()).schemaById(id),
    latestId: async (contract) => (await open()).latestId(contract),
  };
}

export function s3Objects(config: ClientConfig, bucket: string): ObjectStore {
  const open = once(async () => (await import('#s3')).openS3Objects(config, bucket));
  return {
    put: async (key, body) => (await open()).put(key, body),
    create: async (key, body, metadata) => (await open()).create(key, body, metadata),
    get: async (key) => (await open()).get(key),
    open: async (key) => (await open()).open(key),
    metadata: async (key) => (await open()).metadata(key),
    async *list(prefix, options) {
      yield* (await open()).list(prefix, options);
    },
    async *folders(prefix) {
      yield* (await open()).folders(prefix);
    },
    delete: async (keys) => (await open()).delete(keys),
  };
}

export function sqsSender(config: ClientConfig, queueUrl: string): Pick<Queue, 'send'> {
  const open = once(async () => (await import('#sqs')).openSqsSender(config, queueUrl));
  return { send: async (messages) => (await open()).send(messages) };
}

/** Opens it when it is first needed, and once. */
export function once<Opened>(open: () => Promise<Opened>): () => Promise<Opened> {
  let opening: Promise<Opened> | undefined;
  return () => {
    opening ??= open();
    return opening;
  };
}

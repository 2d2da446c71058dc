/** An object store for a thread, by calls to the one that has it. */
import type { ObjectMetadata, ObjectStore, StoredObject } from '../../runtime/objects.ts';
import { asBuffer, type Calls, type Connection } from './calls.ts';

const PAGE = 1_000;

/** What the thread that has the store answers. */
export type ObjectCalls = {
  putObject(key: string, body: Uint8Array): Promise<void>;
  createObject(key: string, body: Uint8Array, metadata: ObjectMetadata): Promise<boolean>;
  openObject(
    key: string,
  ): Promise<{ readonly body: Uint8Array; readonly metadata: ObjectMetadata } | undefined>;
  objectMetadata(key: string): Promise<ObjectMetadata | undefined>;
  /** The first `most` behind `after`. */
  listObjects(prefix: string, after: string | undefined, most: number): Promise<readonly StoredObject[]>;
  objectFolders(prefix: string): Promise<readonly string[]>;
  deleteObjects(keys: readonly string[]): Promise<void>;
};

export function serveObjects(store: ObjectStore): ObjectCalls & Calls {
  return {
    putObject: (key, body) => store.put(key, asBuffer(body)),
    createObject: (key, body, metadata) => store.create(key, asBuffer(body), metadata),
    openObject: (key) => store.open(key),
    objectMetadata: (key) => store.metadata(key),
    async listObjects(prefix, after, most) {
      const found: StoredObject[] = [];
      for await (const object of store.list(prefix, {
        ...(after !== undefined && { after }),
        pageSize: most,
      })) {
        if (found.push(object) === most) break;
      }
      return found;
    },
    objectFolders: (prefix) => Array.fromAsync(store.folders(prefix)),
    deleteObjects: (keys) => store.delete(keys),
  };
}

/** @param remote the thread that serves the store */
export function threadObjects(remote: Pick<Connection<ObjectCalls>, 'call'>): ObjectStore {
  const open: ObjectStore['open'] = async (key) => {
    const object = await remote.call('openObject', key);
    return object && { ...object, body: asBuffer(object.body) };
  };
  return {
    put: (key, body) => remote.call('putObject', key, own(body)),
    create: (key, body, metadata) => remote.call('createObject', key, own(body), metadata),
    get: async (key) => (await open(key))?.body,
    open,
    metadata: (key) => remote.call('objectMetadata', key),
    async *list(prefix, { after, pageSize = PAGE } = {}) {
      let page = await remote.call('listObjects', prefix, after, pageSize);
      while (page.length > 0) {
        yield* page;
        page = await remote.call('listObjects', prefix, page.at(-1)!.key, pageSize);
      }
    },
    async *folders(prefix) {
      yield* await remote.call('objectFolders', prefix);
    },
    delete: (keys) => remote.call('deleteObjects', keys),
  };
}

/** A copy: of a view, the whole buffer behind it would go across. */
function own(bytes: Buffer): Uint8Array {
  return new Uint8Array(bytes);
}

import type { ObjectMetadata, ObjectStore } from '../runtime/objects.ts';
import type { Clock } from '../runtime/ports.ts';

/** Objects that live as long as the process. */
export function createMemoryObjects({ clock }: { readonly clock: Clock }): ObjectStore {
  const objects = new Map<
    string,
    { readonly body: Buffer; readonly storedAt: number; readonly metadata?: ObjectMetadata }
  >();
  const keysFrom = (prefix: string, after = '') => {
    const behind = Buffer.from(after);
    return [...objects.keys()]
      .filter((key) => key.startsWith(prefix) && Buffer.compare(Buffer.from(key), behind) > 0)
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  };
  return {
    async put(key, body) {
      objects.set(key, { body: Buffer.from(body), storedAt: clock.now() });
    },
    async create(key, body, metadata) {
      if (objects.has(key)) return false;
      objects.set(key, { body: Buffer.from(body), storedAt: clock.now(), metadata: { ...metadata } });
      return true;
    },
    async metadata(key) {
      const object = objects.get(key);
      return object && (object.metadata ?? {});
    },
    async open(key) {
      const object = objects.get(key);
      return object && { body: Buffer.from(object.body), metadata: object.metadata ?? {} };
    },
    async get(key) {
      const object = objects.get(key);
      return object && Buffer.from(object.body);
    },
    async *list(prefix, { after } = {}) {
      for (const key of keysFrom(prefix, after)) {
        const object = objects.get(key);
        if (object) yield { key, storedAt: object.storedAt, bytes: object.body.length };
      }
    },
    async *folders(prefix) {
      const ends = keysFrom(prefix)
        .map((key) => key.slice(prefix.length))
        .filter((rest) => rest.includes('/'))
        .map((rest) => rest.slice(0, rest.indexOf('/')));
      yield* new Set(ends);
    },
    async delete(keys) {
      for (const key of keys) objects.delete(key);
    },
  };
}

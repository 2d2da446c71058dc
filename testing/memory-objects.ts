import type { ObjectStore } from '../runtime/dead-letters/objects.ts';
import type { Clock } from '../runtime/ports.ts';

/** Objects that live as long as the process. */
export function createMemoryObjects({ clock }: { readonly clock: Clock }): ObjectStore {
  const objects = new Map<string, { readonly body: Buffer; readonly storedAt: number }>();
  return {
    async put(key, body) {
      objects.set(key, { body: Buffer.from(body), storedAt: clock.now() });
    },
    async get(key) {
      const object = objects.get(key);
      return object && Buffer.from(object.body);
    },
    async *list(prefix) {
      const keys = [...objects.keys()].filter((key) => key.startsWith(prefix));
      for (const key of keys.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))) {
        const object = objects.get(key);
        if (object) yield { key, storedAt: object.storedAt, bytes: object.body.length };
      }
    },
    async delete(keys) {
      for (const key of keys) objects.delete(key);
    },
  };
}

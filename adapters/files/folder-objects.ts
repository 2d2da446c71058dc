import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MillraceError } from '../../runtime/errors.ts';
import type { ObjectStore } from '../../runtime/objects.ts';

/** A copy of a bucket in a folder, to be read: an object's key is its path. */
export function folderObjects(root: string): Pick<ObjectStore, 'get' | 'list' | 'folders'> {
  const entries = async (folder: string) => {
    try {
      const found = await readdir(join(root, folder), { withFileTypes: true });
      return found.sort((a, b) => (a.name < b.name ? -1 : 1));
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR') return [];
      throw unavailable(root, cause);
    }
  };
  return {
    async get(key) {
      try {
        return await readFile(join(root, key));
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw unavailable(root, cause);
      }
    },
    /** `prefix` ends with "/": it is a folder. */
    async *list(prefix) {
      for (const entry of await entries(prefix)) {
        if (entry.isDirectory()) yield* this.list(`${prefix}${entry.name}/`);
        else if (entry.isFile()) yield { key: `${prefix}${entry.name}`, storedAt: 0, bytes: 0 };
      }
    },
    async *folders(prefix) {
      for (const entry of await entries(prefix)) if (entry.isDirectory()) yield entry.name;
    },
  };
}

function unavailable(root: string, cause: unknown): MillraceError {
  return new MillraceError(
    'OBJECT_STORE_UNAVAILABLE',
    `The folder ${root} could not be read (${(cause as NodeJS.ErrnoException).code ?? 'no reason given'}).`,
    { cause, details: { folder: root } },
  );
}

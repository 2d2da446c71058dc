import type { ObjectStore } from '../../runtime/dead-letters/objects.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { Clock } from '../../runtime/ports.ts';
import { inTransaction, openDatabase } from './open-database.ts';

export interface SqliteObjects {
  /** The store of that name; a name makes its store. */
  objects(store: string): ObjectStore;
  close(): void;
}

const MIGRATIONS = [
  `CREATE TABLE objects (
     store TEXT NOT NULL,
     key TEXT NOT NULL,
     body BLOB NOT NULL,
     stored_at INTEGER NOT NULL,
     PRIMARY KEY (store, key)
   ) STRICT, WITHOUT ROWID;`,
];

/** How many objects are listed in one go. */
const PAGE = 1_000;

/**
 * Any number of object stores in one SQLite file, which several processes may have open.
 * @throws STATE_UNREADABLE, STATE_IN_USE when the file cannot be used
 */
export function openSqliteObjects({
  path,
  clock,
}: {
  readonly path: string;
  readonly clock: Clock;
}): SqliteObjects {
  const database = openDatabase(path, MIGRATIONS);
  const upsert = database.prepare(
    `INSERT INTO objects VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET body = excluded.body, stored_at = excluded.stored_at`,
  );
  const select = database.prepare('SELECT body FROM objects WHERE store = ? AND key = ?');
  const selectAfter = database.prepare(
    `SELECT key, stored_at AS storedAt, length(body) AS bytes FROM objects
     WHERE store = ? AND key > ? AND substr(key, 1, length(?)) = ? ORDER BY key LIMIT ?`,
  );
  const selectFirst = database.prepare(
    `SELECT key, stored_at AS storedAt, length(body) AS bytes FROM objects
     WHERE store = ? AND key >= ? AND substr(key, 1, length(?)) = ? ORDER BY key LIMIT ?`,
  );
  const remove = database.prepare('DELETE FROM objects WHERE store = ? AND key = ?');

  /** @throws OBJECT_STORE_UNAVAILABLE where the file does not do what it is asked for: locked, full, gone */
  const asking = <Result>(store: string, work: () => Result): Result => {
    try {
      return work();
    } catch (cause) {
      throw new MillraceError(
        'OBJECT_STORE_UNAVAILABLE',
        `The object store ${store} in ${path} did not complete the request: ${(cause as Error).message}. Try again. If this continues, check the folder and its disk.`,
        { cause, details: { store, path } },
      );
    }
  };

  return {
    objects: (store) => ({
      async put(key, body) {
        asking(store, () => upsert.run(store, key, body, clock.now()));
      },
      async get(key) {
        const row = asking(store, () => select.get(store, key)) as { body: Uint8Array } | undefined;
        return row && Buffer.from(row.body);
      },
      async *list(prefix) {
        let page = asking(store, () => selectFirst.all(store, prefix, prefix, prefix, PAGE));
        while (page.length > 0) {
          for (const { key, storedAt, bytes } of page as { key: string; storedAt: number; bytes: number }[]) {
            yield { key, storedAt, bytes };
          }
          const last = page.at(-1)!.key as string;
          page = asking(store, () => selectAfter.all(store, last, prefix, prefix, PAGE));
        }
      },
      async delete(keys) {
        asking(store, () =>
          inTransaction(database, () => {
            for (const key of keys) remove.run(store, key);
          }),
        );
      },
    }),
    close: () => database.close(),
  };
}

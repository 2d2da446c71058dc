import { MillraceError } from '../../runtime/errors.ts';
import type { ObjectStore, StoredObject } from '../../runtime/objects.ts';
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
  `ALTER TABLE objects ADD COLUMN metadata TEXT NOT NULL DEFAULT '{}';`,
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
    `INSERT INTO objects (store, key, body, stored_at) VALUES (?, ?, ?, ?)
     ON CONFLICT DO UPDATE SET body = excluded.body, stored_at = excluded.stored_at, metadata = excluded.metadata`,
  );
  const insert = database.prepare(
    `INSERT INTO objects (store, key, body, stored_at, metadata) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
  );
  const selectWhole = database.prepare('SELECT body, metadata FROM objects WHERE store = ? AND key = ?');
  const selectMetadata = database.prepare('SELECT metadata FROM objects WHERE store = ? AND key = ?');
  const selectKeyFrom = database.prepare(
    'SELECT key FROM objects WHERE store = ? AND key >= ? AND substr(key, 1, length(?)) = ? ORDER BY key LIMIT 1',
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
      async create(key, body, metadata) {
        const made = asking(store, () => insert.run(store, key, body, clock.now(), JSON.stringify(metadata)));
        return made.changes > 0;
      },
      async open(key) {
        const row = asking(store, () => selectWhole.get(store, key)) as
          | { body: Uint8Array; metadata: string }
          | undefined;
        return row && { body: Buffer.from(row.body), metadata: JSON.parse(row.metadata) };
      },
      async metadata(key) {
        const row = asking(store, () => selectMetadata.get(store, key)) as { metadata: string } | undefined;
        return row && JSON.parse(row.metadata);
      },
      async *list(prefix, { after, pageSize = PAGE } = {}) {
        const next = (from: string) =>
          asking(store, () =>
            selectAfter.all(store, from, prefix, prefix, pageSize),
          ) as unknown as StoredObject[];
        let page =
          after === undefined
            ? (asking(store, () =>
                selectFirst.all(store, prefix, prefix, prefix, pageSize),
              ) as unknown as StoredObject[])
            : next(after);
        while (page.length > 0) {
          for (const { key, storedAt, bytes } of page) yield { key, storedAt, bytes };
          page = next(page.at(-1)!.key);
        }
      },
      async *folders(prefix) {
        for (let from = prefix; ; ) {
          const row = asking(store, () => selectKeyFrom.get(store, from, prefix, prefix)) as
            | { key: string }
            | undefined;
          if (!row) return;
          const slash = row.key.indexOf('/', prefix.length);
          if (slash >= 0) yield row.key.slice(prefix.length, slash);
          // "0" stands right behind "/": past everything in the folder, or past the key alone.
          from = slash >= 0 ? `${row.key.slice(0, slash)}0` : `${row.key}\0`;
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

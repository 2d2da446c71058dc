import { existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { MillraceError } from '../../runtime/errors.ts';

/** How long a statement waits for another process to finish its write. */
const BUSY_TIMEOUT_MS = 10_000;

/**
 * Opens a database file, its folder and the file made where missing, for its owner alone, and brings its tables to the newest form.
 * Several processes may have it open. A transaction that has committed survives a kill and, by `synchronous = FULL`,
 * a power cut (https://sqlite.org/pragma.html#pragma_synchronous, 2026-11-24).
 * Where the file may only be read, it can be read: a write then fails.
 * @param migrations the steps from an empty file to the newest form; a step that has shipped never changes
 * @throws STATE_UNREADABLE when the file is no database or a newer version wrote it; STATE_IN_USE when another
 * process holds it locked
 */
export function openDatabase(path: string, migrations: readonly string[]): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    mkdirSync(dirname(path), { recursive: true });
    createPrivately(path);
    database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL');
    migrate(database, path, migrations);
    return database;
  } catch (cause) {
    database?.close();
    if (isReadOnly(cause) && existsSync(path)) return openReadOnly(path, migrations);
    throw openingError(path, cause);
  }
}

/**
 * Makes the file where there is none: SQLite would make it for everybody to read, and the files beside it have its mode. One that
 * is there is not opened, because whoever closes a file lets go of all locks that its process has on it, SQLite's among them:
 * https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_ (2026-11-27).
 */
export function createPrivately(path: string): void {
  try {
    writeFileSync(path, '', { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function isReadOnly(error: unknown): boolean {
  const { code, errcode } = error as { readonly code?: string; readonly errcode?: number };
  return code === 'EACCES' || code === 'EROFS' || code === 'EPERM' || errcode === SQLITE_READONLY;
}

/** Opens a database that is only to be read, whoever writes to it. @throws STATE_UNREADABLE */
export function openReadOnly(path: string, migrations: readonly string[]): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    const wal = statSync(`${path}-wal`, { throwIfNoEntry: false });
    // SQLite reads a log of changes only by a file beside it, which it would have to make. Where there is none to read, nobody
    // is writing: https://sqlite.org/wal.html#read_only_databases (2026-11-26).
    const url = pathToFileURL(path);
    url.searchParams.set('immutable', '1');
    database = new DatabaseSync(wal?.size ? path : url, { readOnly: true, timeout: BUSY_TIMEOUT_MS });
    const version = versionOf(database);
    if (version !== migrations.length) throw otherFormat(path, version, migrations.length);
    return database;
  } catch (cause) {
    database?.close();
    throw openingError(path, cause);
  }
}

/** Runs `work` in one transaction that holds the file's write lock from its start. */
export function inTransaction<Result>(database: DatabaseSync, work: () => Result): Result {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

function migrate(database: DatabaseSync, path: string, migrations: readonly string[]): void {
  if (versionOf(database) === migrations.length) return;
  inTransaction(database, () => {
    const version = versionOf(database);
    if (version > migrations.length) {
      throw otherFormat(path, version, migrations.length);
    }
    for (const step of migrations.slice(version)) database.exec(step);
    database.exec(`PRAGMA user_version = ${migrations.length}`);
  });
}

function otherFormat(path: string, version: number, newestKnown: number): MillraceError {
  const next =
    version > newestKnown
      ? 'Use a newer Millrace, or another state folder.'
      : 'Make the folder writable, so that it can be brought up to date.';
  return new MillraceError(
    'STATE_UNREADABLE',
    `${path} has format ${version}; this version of Millrace reads up to ${newestKnown}. ${next}`,
    { details: { path, version, newestKnown } },
  );
}

function versionOf(database: DatabaseSync): number {
  return database.prepare('PRAGMA user_version').get()!.user_version as number;
}

// Result codes: https://sqlite.org/rescode.html (2026-11-24).
const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;

function openingError(path: string, cause: unknown): unknown {
  if (cause instanceof MillraceError) return cause;
  if ((cause as { errcode?: number }).errcode === SQLITE_BUSY) {
    return new MillraceError(
      'STATE_IN_USE',
      `${path} is locked by another process. Stop it, or use another state folder.`,
      { cause, details: { path } },
    );
  }
  return new MillraceError(
    'STATE_UNREADABLE',
    `${path} cannot be opened as a Millrace database: ${(cause as Error).message}. Check the folder's permissions, or use another state folder.`,
    { cause, details: { path } },
  );
}

import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { createPrivately } from '../adapters/sqlite/open-database.ts';
import { DEFAULT_STATE, shellQuoted } from '../runtime/commands.ts';
import { MillraceError } from '../runtime/errors.ts';

const MARKER = 'millrace.json';
const LOCK = 'lock.sqlite';
const OWNER = 'owner.json';
const FORMAT = 1;
export const SQLITE_BUSY = 5;
const LONGEST_LOOK_MS = 15_000;
const RETRY_MS = 50;

/** For its owner alone: payloads are nobody else's business, nor is the salt. */
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;

/** A folder that Millrace made and keeps everything of a local run in. Nobody but its owner can look into it. */
export interface StateFolder {
  /** Absolute. */
  readonly path: string;
  /** Keys the pseudonyms of readers; made with the folder, so that they hold as long as it does. */
  readonly salt: Buffer;
  readonly files: {
    readonly log: string;
    /** What tells the log from one that is made after it. */
    readonly logId: string;
    readonly queues: string;
    readonly objects: string;
    readonly archive: string;
    /** What redrives have done, for those that are killed. */
    readonly redrives: string;
    /** The same of replays. */
    readonly replays: string;
    /** The plans of rebuilds that are not over. */
    readonly rebuilds: string;
    /** Who has paused which consumer. */
    readonly pauses: string;
    /** Where the control socket is, where it does not fit beside. */
    readonly socketPath: string;
    readonly sink: string;
    /** There once the sink has been made. */
    readonly sinkReady: string;
    /** Which ledger was last used with which log. */
    readonly ledger: string;
  };
}

type LockPurpose = 'run' | 'look';

interface Owner {
  readonly pid: number;
  readonly since: string;
  readonly purpose: LockPurpose;
}

/** Held by the one process that may write to the sink; the operating system lets go of it when the process dies. */
export interface StateLock {
  release(): void;
}

/**
 * Opens a state folder, made where there is none.
 * @throws STATE_UNREADABLE when it holds files of somebody else, or a newer version wrote it
 */
export function openStateFolder(path: string): StateFolder {
  const root = resolve(path);
  if (!existsSync(join(root, MARKER))) {
    refuseForeign(root);
    createMarker(root);
  }
  return readStateFolder(root);
}

export function isStateFolder(path: string): boolean {
  return existsSync(join(resolve(path), MARKER));
}

/**
 * Opens a state folder that must be there already, to look into it.
 * @throws STATE_UNREADABLE when there is none
 */
export function existingStateFolder(path: string): StateFolder {
  const root = resolve(path);
  if (!existsSync(join(root, MARKER))) {
    throw new MillraceError(
      'STATE_UNREADABLE',
      `Nothing has run in ${root} yet. Run this first, or name another folder with --state: ${upIn(root)}`,
      { details: { path: root } },
    );
  }
  return readStateFolder(root);
}

/** The command that runs the pipeline there. */
export function upIn(path: string): string {
  const place = resolve(path) === resolve(DEFAULT_STATE) ? '' : ` --state ${shellQuoted(path)}`;
  return `npx millrace up${place}`;
}

/** Deletes all topics, queues and sink tables of the folder. The caller holds its lock. */
export function clearStateFolder({ path, files }: StateFolder): void {
  // First, so that a kill half-way leaves no sink that passes for whole.
  rmSync(files.sinkReady, { force: true });
  for (const name of readdirSync(path)) {
    if (name.startsWith(LOCK) || name === OWNER || name === MARKER) continue;
    rmSync(join(path, name), { recursive: true, force: true });
  }
}

/**
 * Takes the folder for this process, until it releases it or dies, by kill -9 too: SQLite's lock on a file is the
 * operating system's, so none is ever left behind (https://sqlite.org/lockingv3.html, 2026-11-24).
 * @param purpose 'look' for who will let go of it at once
 * @returns undefined when another process has it
 */
export function tryLockStateFolder({ path }: StateFolder, purpose: LockPurpose): StateLock | undefined {
  const database = openLock(join(path, LOCK));
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return undefined;
    throw error;
  }
  const owner: Owner = { pid: process.pid, since: new Date().toISOString(), purpose };
  writeFileSync(join(path, OWNER), JSON.stringify(owner), { mode: FILE_MODE });
  return { release: () => database.close() };
}

/**
 * For giving a consumer's dead letters back, which any number may do at once; or for taking them away, which nobody may
 * do beside it: what one has read and the other takes away would count for both. As sound as the folder's own lock.
 * @throws STATE_IN_USE when the other is under way
 */
export function lockLetters(
  { path }: StateFolder,
  consumer: string,
  to: 'give-back' | 'take-away',
): StateLock {
  const database = openLock(join(path, `${LOCK}.${consumer}`));
  try {
    // The first statement of a transaction that only reads takes SQLite's shared lock, and keeps it.
    database.exec(to === 'take-away' ? 'BEGIN EXCLUSIVE' : 'BEGIN; SELECT count(*) FROM sqlite_schema');
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw error;
    const other = to === 'take-away' ? 'A redrive, a move or another discard' : 'A discard';
    throw new MillraceError(
      'STATE_IN_USE',
      `${other} of ${consumer}'s dead letters is running in ${path}. Nothing was done. Run the command again when it has ended.`,
      { cause: error, details: { path, consumer } },
    );
  }
  return { release: () => database.close() };
}

/**
 * For replaying into a consumer: two replays at once would have one plan, and each would tell the other's records as its own.
 * @throws STATE_IN_USE while another replays into it
 */
export function lockReplay({ path }: StateFolder, consumer: string): StateLock {
  const database = openLock(join(path, `${LOCK}-replay.${consumer}`));
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if ((error as { errcode?: number }).errcode !== SQLITE_BUSY) throw error;
    throw new MillraceError(
      'STATE_IN_USE',
      `Another replay into ${consumer} is running in ${path}. Nothing was done. Run the command again when it has ended.`,
      { cause: error, details: { path, consumer } },
    );
  }
  return { release: () => database.close() };
}

/** @param timeout how long whoever takes the lock waits for another to let go of it, in milliseconds */
export function openLock(file: string, timeout = 0): DatabaseSync {
  createPrivately(file);
  return new DatabaseSync(file, { timeout });
}

/**
 * Takes the folder to run on it; waits for processes that only look.
 * @throws STATE_IN_USE when another process runs on it, naming that process
 */
export async function lockStateFolder(folder: StateFolder): Promise<StateLock> {
  let timesRunning = 0;
  for (let waitedMs = 0; ; waitedMs += RETRY_MS) {
    const lock = tryLockStateFolder(folder, 'run');
    if (lock) return lock;
    // Once may be the name of the owner before, when the new one has yet to write its own.
    if (readOwner(folder)?.purpose !== 'look') timesRunning++;
    if (timesRunning > 1 || waitedMs >= LONGEST_LOOK_MS) throw stateInUse(folder);
    await sleep(RETRY_MS);
  }
}

/** Whether the process that holds the folder runs the pipeline on it, and does not only look. */
export function isRunning(folder: StateFolder): boolean {
  return readOwner(folder)?.purpose === 'run';
}

/** Since when a process has run on the folder, in epoch milliseconds; null where the last one that had it only looked. */
export function runningSince(folder: StateFolder): number | null {
  const owner = readOwner(folder);
  return owner?.purpose === 'run' ? Date.parse(owner.since) : null;
}

/** STATE_IN_USE, naming the process that has the folder. */
export function stateInUse(folder: StateFolder): MillraceError {
  const owner = readOwner(folder);
  const who = owner ? `Process ${owner.pid}, running since ${owner.since},` : 'Another process';
  return new MillraceError(
    'STATE_IN_USE',
    `${who} is using the state folder ${folder.path}. Stop it, or name another folder with --state.`,
    { details: { path: folder.path } },
  );
}

function readOwner({ path }: StateFolder): Owner | undefined {
  try {
    return JSON.parse(readFileSync(join(path, OWNER), 'utf8'));
  } catch {
    // It has the lock and is writing its name.
    return undefined;
  }
}

function readStateFolder(path: string): StateFolder {
  const marker = readMarker(path);
  if (marker.format !== FORMAT || typeof marker.salt !== 'string') {
    throw new MillraceError(
      'STATE_UNREADABLE',
      `${path} has state format ${JSON.stringify(marker.format)}; this version of Millrace reads ${FORMAT}. Name another folder with --state.`,
      { details: { path, format: marker.format } },
    );
  }
  makePrivate(path);
  return {
    path,
    salt: Buffer.from(marker.salt, 'base64'),
    files: {
      log: join(path, 'log.sqlite'),
      logId: join(path, 'log-id'),
      queues: join(path, 'queues.sqlite'),
      objects: join(path, 'objects.sqlite'),
      archive: join(path, 'archive.sqlite'),
      redrives: join(path, 'redrives'),
      replays: join(path, 'replays'),
      rebuilds: join(path, 'rebuilds'),
      pauses: join(path, 'pauses.json'),
      socketPath: join(path, 'control-socket-path'),
      sink: join(path, 'sink'),
      sinkReady: join(path, 'sink-ready'),
      ledger: join(path, 'ledger.json'),
    },
  };
}

/** Folders of earlier versions, and those that were there empty, are for everybody to read. */
function makePrivate(path: string): void {
  const { mode, uid } = statSync(path);
  if (uid !== process.getuid?.() || (mode & 0o077) === 0) return;
  try {
    chmodSync(path, FOLDER_MODE);
  } catch (error) {
    // A file system that keeps no modes.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
  }
}

function readMarker(path: string): { format?: unknown; salt?: unknown } {
  try {
    return JSON.parse(readFileSync(join(path, MARKER), 'utf8'));
  } catch (cause) {
    throw new MillraceError(
      'STATE_UNREADABLE',
      `${join(path, MARKER)} cannot be read. Check its permissions, or name another folder with --state.`,
      { cause, details: { path } },
    );
  }
}

function refuseForeign(path: string): void {
  let names: string[];
  try {
    makeFolder(path, FOLDER_MODE);
    names = readdirSync(path).filter((name) => !name.startsWith(MARKER));
  } catch (cause) {
    throw new MillraceError(
      'STATE_UNREADABLE',
      `${path} cannot be used as a state folder: ${(cause as Error).message}. Name another folder with --state.`,
      { cause, details: { path } },
    );
  }
  if (names.length === 0) return;
  throw new MillraceError(
    'STATE_UNREADABLE',
    `${path} holds files that are not Millrace's. Name an empty or a new folder with --state.`,
    { details: { path } },
  );
}

/** As `mkdirSync` with `recursive`, which never returns where the file system refuses new names (/proc). */
function makeFolder(path: string, mode?: number): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function createMarker(path: string): void {
  const marker = {
    format: FORMAT,
    createdAt: new Date().toISOString(),
    salt: randomBytes(16).toString('base64'),
  };
  const temporary = join(path, `${MARKER}.${process.pid}`);
  writeFileSync(temporary, `${JSON.stringify(marker, null, 2)}\n`, { mode: FILE_MODE });
  try {
    linkSync(temporary, join(path, MARKER));
  } catch (error) {
    // Another process was first: its salt counts.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    rmSync(temporary);
  }
}

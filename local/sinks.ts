/** Where consumers write, with their ledger: PostgreSQL in the process, or a server. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { PGlite } from '@electric-sql/pglite';
import { pgDriver } from '../adapters/postgres/pg-driver.ts';
import { pgliteDriver } from '../adapters/postgres/pglite-driver.ts';
import type { SqlDriver } from '../adapters/postgres/sql-driver.ts';
import { sinkError } from '../adapters/postgres/sql-errors.ts';
import { MillraceError } from '../runtime/errors.ts';
import { type QueryResult, queryReadOnly } from './read-only-query.ts';
import type { StateFolder } from './state-folder.ts';

export interface LocalSink {
  readonly driver: SqlDriver;
  /** In words. */
  readonly at: string;
  /** Runs one statement that changes nothing. @throws INPUT_INVALID when it is refused */
  query(sql: string): Promise<QueryResult>;
  close(): Promise<void>;
}

/** Sessions: each consumer has a few batches under way at a time. */
const POOL_SIZE = 10;
/** What does not speak PostgreSQL may never answer. */
const CONNECT_TIMEOUT_MS = 10_000;

/** Opens PostgreSQL on the folder, and makes it where it is missing or where a kill left it half made. @throws STATE_UNREADABLE */
export async function openEmbeddedSink({ files }: StateFolder): Promise<LocalSink> {
  try {
    if (!existsSync(files.sinkReady)) rmSync(files.sink, { recursive: true, force: true });
    // PGlite's own files are for everybody to read.
    mkdirSync(files.sink, { recursive: true, mode: 0o700 });
    const pglite = await PGlite.create(files.sink);
    writeFileSync(files.sinkReady, '', { mode: 0o600 });
    return {
      driver: pgliteDriver(pglite),
      at: files.sink,
      query: (sql) => queryReadOnly(pglite, sql),
      close: () => pglite.close(),
    };
  } catch (cause) {
    throw new MillraceError(
      'STATE_UNREADABLE',
      `The sink in ${files.sink} cannot be opened: ${(cause as Error).message}. Name another folder with --state, or start over with "millrace up --fresh".`,
      { cause, details: { path: files.sink } },
    );
  }
}

/**
 * A server by its URL. What it needs and the URL does not have is read from PGPASSWORD and its like.
 * @throws SINK_UNAVAILABLE, SINK_MISCONFIGURED when it cannot be used
 */
export async function openServerSink(url: string): Promise<LocalSink> {
  const { default: pg } = await import('pg');
  const pool = new pg.Pool({
    connectionString: url,
    max: POOL_SIZE,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  });
  const driver = pgDriver(pool);
  const { host, pathname } = new URL(url);
  const at = `PostgreSQL at ${host}${pathname}`;
  try {
    await (await driver.begin()).rollback();
  } catch (cause) {
    await pool.end();
    const { code, message } = sinkError(cause);
    const next = 'Check the address, that the server is up, and that it has the database.';
    throw new MillraceError(code, `${at} cannot be used: ${message} ${next}`, { cause, details: { at } });
  }
  return {
    driver,
    at,
    async query() {
      throw new MillraceError(
        'INPUT_INVALID',
        `The tables of this run are in ${at}, where "millrace sql" does not look. Ask there, with psql for one.`,
      );
    },
    close: () => pool.end(),
  };
}

/** Where consumers write, with their ledger: a PostgreSQL server; embedded-sink.ts has the one that needs none. */
import type { MessagePort } from 'node:worker_threads';
import { pgDriver } from '../adapters/postgres/pg-driver.ts';
import type { SqlDriver } from '../adapters/postgres/sql-driver.ts';
import { sinkError } from '../adapters/postgres/sql-errors.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { QueryResult } from './read-only-query.ts';

export interface LocalSink {
  /** For this thread. */
  readonly driver: SqlDriver;
  /** In words. */
  readonly at: string;
  /** Rejects when no later try can work: DISK_FULL, STATE_UNREADABLE. */
  readonly failed: Promise<never>;
  /** Gives another thread its way to the sink, now and each time it is another one. */
  connect(give: (address: SinkAddress) => void): SinkUser;
  /** Runs one statement that changes nothing. @throws INPUT_INVALID when it is refused, or does not end in time */
  query(sql: string, limits?: QueryLimits): Promise<QueryResult>;
  close(): Promise<void>;
}

/** A server's URL, or a port to the thread that has the embedded one. */
export type SinkAddress = { readonly url: string } | { readonly port: MessagePort };

export interface SinkUser {
  /** Its transaction was given up while the sink was busy with it. */
  brokenOff(): void;
  /** Its thread has ended. */
  end(): void;
}

export interface QueryLimits {
  /** How long it may take. @default for ever */
  readonly timeoutMs?: number;
  /** Aborts when nobody waits for the answer any more. */
  readonly signal?: AbortSignal | undefined;
}

/** Sessions of this thread; those of functions are their own. */
const POOL_SIZE = 10;
/** What does not speak PostgreSQL may never answer. */
export const CONNECT_TIMEOUT_MS = 10_000;

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
    failed: new Promise(() => {}),
    connect(give) {
      give({ url });
      // The server finds out by itself.
      return { brokenOff() {}, end() {} };
    },
    async query() {
      throw new MillraceError(
        'INPUT_INVALID',
        `The tables of this run are in ${at}, where "millrace sql" does not look. Ask there, with psql for one.`,
      );
    },
    close: () => pool.end(),
  };
}

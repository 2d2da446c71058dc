/** Where consumers write, with their ledger: a PostgreSQL server; embedded-sink.ts has the one that needs none. */
import type { MessagePort } from 'node:worker_threads';
import type Pg from 'pg';
import type { Client } from 'pg';
import { pgDriver } from '../adapters/postgres/pg-driver.ts';
import type { SqlDriver } from '../adapters/postgres/sql-driver.ts';
import { sinkError } from '../adapters/postgres/sql-errors.ts';
import { localUser } from '../adapters/system/local-user.ts';
import { systemClock } from '../adapters/system/system-clock.ts';
import { MillraceError } from '../runtime/errors.ts';
import type { QueryResult } from './read-only-query.ts';

export interface LocalSink {
  /** For this thread. */
  readonly driver: SqlDriver;
  /** In words. */
  readonly at: string;
  /** Takes the sink for this run, until it is closed. @throws STATE_IN_USE where another run has it */
  claim(): Promise<void>;
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
  let claimed: Client | undefined;
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
    async claim() {
      claimed = await claimServer(pg, url, at);
    },
    connect(give) {
      give({ url });
      // The server finds out by itself.
      return { brokenOff() {}, end() {} };
    },
    async query() {
      throw new MillraceError(
        'INPUT_INVALID',
        `The tables of this run are in ${at}, which "millrace sql" does not read. Query them there, for example with psql.`,
      );
    },
    async close() {
      await claimed?.end();
      await pool.end();
    },
  };
}

/** "mill" and "race" in ASCII: the advisory lock of whoever runs the pipeline on a database. */
const CLAIM = [0x6d696c6c, 0x72616365];
const CLAIM_TRIES = 10;
const CLAIM_RETRY_MS = 200;
const HOLDER = `
  SELECT application_name, client_addr, backend_start
  FROM pg_locks JOIN pg_stat_activity USING (pid)
  WHERE locktype = 'advisory' AND granted AND classid = $1 AND objid = $2
    AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())`;

/**
 * Two runs on one ledger would apply nothing twice, but each would deliver what the other has done, and commit offsets over
 * it. The lock is the session's: PostgreSQL lets go of it when its process dies.
 */
async function claimServer({ Client }: typeof Pg, url: string, at: string): Promise<Client> {
  const client = new Client({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: `millrace up, ${localUser()}, process ${process.pid}`.slice(0, 63),
  });
  // A lock that is lost with its connection costs work that is done twice, and no record.
  client.on('error', () => {});
  await client.connect();
  // The server may have yet to hear that the process which had it was killed.
  for (let tries = 0; tries < CLAIM_TRIES; tries++) {
    const taken = await client.query('SELECT WHERE pg_try_advisory_lock($1, $2)', CLAIM);
    if (taken.rows.length > 0) return client;
    await systemClock.sleep(CLAIM_RETRY_MS);
  }
  const { rows: holders } = await client.query(HOLDER, CLAIM);
  await client.end();
  const [
    { application_name: who = 'another run', client_addr: from = null, backend_start: since = null } = {},
  ] = holders;
  throw new MillraceError(
    'STATE_IN_USE',
    `${at} is in use: ${who}${from ? ` from ${from}` : ''}${since ? `, since ${since.toISOString()}` : ''}. Two runs would apply each ` +
      "other's records. Stop that one, or name another database with --postgres.",
    { details: { at } },
  );
}

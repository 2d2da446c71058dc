import type { PoolClient } from 'pg';
import { RoundTrip } from './round-trip.ts';
import type { RawResult, SqlConnection, SqlDriver, Statement } from './sql-driver.ts';
import { searchPath } from './sql-values.ts';

const statement = (sql: string): Statement => ({ sql, parameters: [] });
// Whatever the role's default: a concurrent invocation then waits for the ledger's lock and reads what the other has committed.
const BEGIN = statement('BEGIN ISOLATION LEVEL READ COMMITTED');
/** Behind a proxy, the client's own number for its backend is another one. */
const WHO = statement('SELECT pg_backend_pid()::text, now()::text');
const COMMIT = statement('COMMIT');
/** What a transaction without a statement has come to. */
const COMMITTED = { command: 'COMMIT' };
const CANCEL =
  'SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = $1::int AND xact_start = $2::timestamptz';

/** Where connections come from: a `pg.Pool`, or `keptConnection`. */
export interface PgConnections {
  connect(): Promise<PoolClient>;
  /** A pool tells of idle connections that broke. */
  on?(event: 'error', listener: () => void): unknown;
}

/**
 * PostgreSQL by `pg`. The connections belong to the caller; idle ones that break are dropped, not thrown: pg would
 * otherwise end the process (https://node-postgres.com/apis/pool#error, read 2026-11-24).
 */
export function pgDriver(connections: PgConnections): SqlDriver {
  connections.on?.('error', () => {});
  return {
    async begin(schema) {
      return new PgConnection(await connections.connect(), connections, schema);
    },
  };
}

class PgConnection implements SqlConnection {
  readonly #client: PoolClient;
  readonly #connections: PgConnections;
  /** What goes ahead of the first statement, with it. */
  readonly #opening: readonly Statement[];
  #isBegun = false;
  #transaction: { readonly pid: string; readonly begun: string } | undefined;
  #unanswered = 0;
  #isReleased = false;
  #isRetired = false;
  /** Why the connection broke between two statements; pg itself tells the next statement only that it did. */
  #broken: Error | undefined;

  constructor(client: PoolClient, connections: PgConnections, schema: string | undefined) {
    this.#client = client;
    this.#connections = connections;
    this.#opening = schema === undefined ? [BEGIN, WHO] : [BEGIN, WHO, statement(searchPath(schema))];
    client.on('error', this.#onError);
  }

  async query(sql: string, parameters: Statement['parameters']): Promise<RawResult> {
    const [answer] = await this.#send([{ sql, parameters }]);
    return answer!;
  }

  async run(script: string): Promise<void> {
    if (!this.#isBegun) await this.#send([]);
    await this.#answer(this.#client.query(script));
  }

  async commit(last?: Statement): Promise<boolean> {
    const statements = last ? [last, COMMIT] : this.#isBegun ? [COMMIT] : [];
    try {
      const answers = statements.length > 0 ? await this.#send(statements) : [COMMITTED];
      this.#release();
      return answers.at(-1)!.command === 'COMMIT';
    } catch (error) {
      if (last) await this.rollback();
      else this.destroy();
      throw error;
    }
  }

  async rollback(): Promise<void> {
    try {
      if (this.#isBegun) await this.run('ROLLBACK');
      this.#release();
    } catch {
      this.destroy();
    }
  }

  retire(): void {
    this.#isRetired = true;
  }

  destroy(): void {
    const isBusy = this.#unanswered > 0 && !this.#isReleased;
    this.#release(true);
    // A server notices that its client has gone when it has the answer, and holds the locks until then.
    if (isBusy && this.#transaction) void cancel(this.#connections, this.#transaction);
  }

  #onError = (error: Error) => {
    this.#broken ??= error;
  };

  /** In one round trip, behind BEGIN where it is the first. */
  async #send(statements: readonly Statement[]) {
    const first = this.#isBegun ? [] : this.#opening;
    this.#isBegun = true;
    const remember = (at: number, { rows }: RawResult) => {
      const [pid, begun] = rows[0] ?? [];
      if (first[at] === WHO && pid && begun) this.#transaction = { pid, begun };
    };
    const roundTrip = new RoundTrip([...first, ...statements], first.length > 0 ? remember : undefined);
    this.#client.query(roundTrip);
    const answers = await this.#answer(roundTrip.answered);
    return answers.slice(first.length);
  }

  async #answer<T>(pending: Promise<T>): Promise<T> {
    this.#unanswered++;
    try {
      return await pending;
    } catch (error) {
      throw this.#broken ?? error;
    } finally {
      this.#unanswered--;
    }
  }

  #release(destroy = false): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    // The pool listens again before this listener goes, so that no error is without one.
    this.#client.release(destroy || this.#isRetired);
    this.#client.off('error', this.#onError);
  }
}

/** Ends what a transaction has the server do, by another connection: as well as it can be, since the server may be what is down. */
async function cancel(
  connections: PgConnections,
  { pid, begun }: { readonly pid: string; readonly begun: string },
): Promise<void> {
  try {
    const client = await connections.connect();
    await client.query(CANCEL, [pid, begun]).finally(() => client.release());
  } catch {
    // Then its locks go with the statement, or with client_connection_check_interval.
  }
}

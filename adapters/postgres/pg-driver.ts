import type { PoolClient, QueryArrayConfig, QueryResult } from 'pg';
import type { RawResult, SqlConnection, SqlDriver } from './sql-driver.ts';

const WRITING_COMMANDS = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);
// Whatever the role's default: a concurrent invocation then waits for the ledger's lock and reads what the other has committed. Which backend
// it is, is asked in the same round trip: behind a proxy, the client's own number for it is another one.
const BEGIN = `
  BEGIN ISOLATION LEVEL READ COMMITTED;
  SELECT pg_backend_pid()::text AS pid, now()::text AS begun`;
const CANCEL =
  'SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = $1::int AND xact_start = $2::timestamptz';
const asText = { getTypeParser: () => (text: string) => text } as unknown as QueryArrayConfig['types'];

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
    async begin() {
      const connection = new PgConnection(await connections.connect(), connections);
      try {
        await connection.begin();
      } catch (error) {
        connection.destroy();
        throw error;
      }
      return connection;
    },
  };
}

class PgConnection implements SqlConnection {
  readonly #client: PoolClient;
  readonly #connections: PgConnections;
  #transaction: { readonly pid: string; readonly begun: string } | undefined;
  #unanswered = 0;
  #isReleased = false;
  #isRetired = false;
  /** Why the connection broke between two statements; pg itself tells the next statement only that it did. */
  #broken: Error | undefined;

  constructor(client: PoolClient, connections: PgConnections) {
    this.#client = client;
    this.#connections = connections;
    client.on('error', this.#onError);
  }

  async begin(): Promise<void> {
    const results = (await this.#answer(this.#client.query(BEGIN))) as unknown as readonly QueryResult[];
    this.#transaction = results[1]?.rows[0];
  }

  async query(sql: string, parameters: readonly (string | null)[]): Promise<RawResult> {
    const config: QueryArrayConfig & { queryMode: 'extended' } = {
      text: sql,
      values: [...parameters],
      rowMode: 'array',
      types: asText,
      queryMode: 'extended',
    };
    const { fields, rows, command, rowCount } = await this.#answer(this.#client.query(config));
    return {
      columns: fields.map(({ name, dataTypeID }) => ({ name, typeId: dataTypeID })),
      rows,
      affectedRows: WRITING_COMMANDS.has(command) ? (rowCount ?? 0) : 0,
    };
  }

  async run(script: string): Promise<void> {
    await this.#answer(this.#client.query(script));
  }

  async commit(): Promise<boolean> {
    try {
      const { command } = await this.#answer(this.#client.query('COMMIT'));
      this.#release();
      return command === 'COMMIT';
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  async rollback(): Promise<void> {
    try {
      await this.run('ROLLBACK');
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

import type { PoolClient, QueryArrayConfig } from 'pg';
import type { RawResult, SqlConnection, SqlDriver } from './sql-driver.ts';

const WRITING_COMMANDS = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);
// Whatever the role's default: a twin then waits for the ledger's lock and reads what the other has committed.
const BEGIN = 'BEGIN ISOLATION LEVEL READ COMMITTED';
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
      const connection = new PgConnection(await connections.connect());
      try {
        await connection.run(BEGIN);
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
  #isReleased = false;
  #isRetired = false;
  /** Why the connection broke between two statements; pg itself tells the next statement only that it did. */
  #broken: Error | undefined;

  constructor(client: PoolClient) {
    this.#client = client;
    client.on('error', this.#onError);
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
    this.#release(true);
  }

  #onError = (error: Error) => {
    this.#broken ??= error;
  };

  async #answer<T>(pending: Promise<T>): Promise<T> {
    try {
      return await pending;
    } catch (error) {
      throw this.#broken ?? error;
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

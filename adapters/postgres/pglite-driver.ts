import type { PGlite, Transaction } from '@electric-sql/pglite';
import type { RawResult, SqlConnection, SqlDriver, Statement } from './sql-driver.ts';
import { searchPath } from './sql-values.ts';

const BOOL = 16;
const BYTEA = 17;
const asText = (text: string) => text;
// PGlite's own serializers take text for every other type as it is.
const SERIALIZERS = { [BOOL]: asText, [BYTEA]: asText };

/** What is used of PGlite. Every use is a transaction, and one waits for the other: it is one session. */
export type PgliteSession = Pick<PGlite, 'waitReady' | 'parsers' | 'transaction'>;

/** Makes every type text, for good: PGlite copies all of its parsers for each statement that brings some of its own. */
export function readAsText({ parsers }: PGlite): void {
  Object.assign(parsers, allAsText(parsers));
}

/**
 * PostgreSQL in the process, by PGlite. It has one connection: a transaction waits until the one before has ended.
 * A statement runs to its end on the event loop, so breaking off takes effect after it.
 */
export function pgliteDriver(pglite: PgliteSession): SqlDriver {
  return {
    async begin(schema) {
      await pglite.waitReady;
      const started = Promise.withResolvers<Transaction>();
      const work = Promise.withResolvers<void>();
      // PGlite ends a transaction as its callback does: the callback waits for commit() or rollback().
      const ended = pglite.transaction((transaction) => {
        started.resolve(transaction);
        return work.promise;
      });
      ended.catch(started.reject);
      const transaction = await started.promise;
      if (schema !== undefined) await transaction.exec(searchPath(schema));
      return new PgliteConnection(pglite, transaction, parsersFor(pglite), work, ended);
    },
  };
}

type Parsers = Record<string, typeof asText>;

function parsersFor({ parsers }: PgliteSession): Parsers | undefined {
  return Object.values(parsers).every((parser) => parser === asText) ? undefined : allAsText(parsers);
}

function allAsText(parsers: PGlite['parsers']): Parsers {
  return Object.fromEntries(Object.keys(parsers).map((type) => [type, asText]));
}

class PgliteConnection implements SqlConnection {
  readonly #pglite: PgliteSession;
  readonly #transaction: Transaction;
  readonly #parsers: Parsers | undefined;
  readonly #work: PromiseWithResolvers<void>;
  readonly #ended: Promise<void>;
  #isRetired = false;

  constructor(
    pglite: PgliteSession,
    transaction: Transaction,
    parsers: Parsers | undefined,
    work: PromiseWithResolvers<void>,
    ended: Promise<void>,
  ) {
    this.#pglite = pglite;
    this.#transaction = transaction;
    this.#parsers = parsers;
    this.#work = work;
    this.#ended = ended;
  }

  async query(sql: string, parameters: Statement['parameters']): Promise<RawResult> {
    const result = await this.#transaction.query<(string | null)[]>(sql, [...parameters], {
      rowMode: 'array',
      serializers: SERIALIZERS,
      ...(this.#parsers && { parsers: this.#parsers }),
    });
    return {
      columns: result.fields.map(({ name, dataTypeID }) => ({ name, typeId: dataTypeID })),
      rows: result.rows,
      affectedRows: result.affectedRows ?? 0,
    };
  }

  async run(script: string): Promise<void> {
    await this.#transaction.exec(script);
  }

  async commit(last?: Statement): Promise<boolean> {
    try {
      if (last) await this.query(last.sql, last.parameters);
    } catch (error) {
      await this.rollback();
      throw error;
    }
    // After a failed statement nothing runs any more, and what was set is rolled back.
    if (this.#isRetired) await this.#transaction.exec(CLEAN_SESSION).catch(() => {});
    this.#work.resolve();
    try {
      await this.#ended;
      return true;
    } catch (error) {
      // PGlite's TransactionAbortedError: COMMIT was answered by ROLLBACK.
      if ((error as { code?: unknown }).code === '25P02') return false;
      throw error;
    }
  }

  async rollback(): Promise<void> {
    this.destroy();
    await this.#ended.catch(() => {});
    // Locks of the session outlive a rollback, which takes back all else.
    if (this.#isRetired) await this.#pglite.transaction((transaction) => transaction.exec(CLEAN_SESSION));
  }

  retire(): void {
    this.#isRetired = true;
  }

  destroy(): void {
    this.#work.reject(new Error('rolled back'));
  }
}

/** There is but one session, which cannot be closed. As DISCARD ALL, which takes no transaction around it. */
const CLEAN_SESSION = `
  RESET SESSION AUTHORIZATION; RESET ALL; CLOSE ALL; UNLISTEN *; DEALLOCATE ALL; DISCARD TEMP;
  SELECT pg_advisory_unlock_all()`;

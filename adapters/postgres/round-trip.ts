import type { Connection, Submittable } from 'pg';
import type { RawResult, Statement } from './sql-driver.ts';

export interface Answer extends RawResult {
  /** What PostgreSQL calls what it did: `UPDATE`, `COMMIT`; `ROLLBACK` where it was told to commit what had failed. */
  readonly command: string;
}

const WRITING_COMMANDS = new Set(['INSERT', 'UPDATE', 'DELETE', 'MERGE']);

/**
 * Statements that go to the server in one write, with one Sync behind them all. So they take one round trip, and the server
 * leaves out whatever stands behind one that fails, a COMMIT included: what fails is never committed.
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING (2026-11-26)
 *
 * By the extended protocol, without names, so that a pooler need not pin the connection; as JDBC's driver sends BEGIN with the
 * first statement. Takes the place of pg's own Query, which is one statement; pg calls the `handle` methods with what comes.
 */
export class RoundTrip implements Submittable {
  readonly #statements: readonly Statement[];
  readonly #onAnswer: ((at: number, answer: Answer) => void) | undefined;
  readonly #answers: Answer[] = [];
  readonly #answered = Promise.withResolvers<readonly Answer[]>();
  #columns: RawResult['columns'] = [];
  #rows: (string | null)[][] = [];

  /** @param onAnswer called as each statement is answered: all before the last at once, however long that one takes */
  constructor(statements: readonly Statement[], onAnswer?: (at: number, answer: Answer) => void) {
    this.#statements = statements;
    this.#onAnswer = onAnswer;
  }

  /** Rejects with the error of the one that failed, or of the connection. */
  get answered(): Promise<readonly Answer[]> {
    return this.#answered.promise;
  }

  submit(connection: Connection): void {
    const { stream } = connection;
    stream.cork();
    for (const [at, { sql, parameters }] of this.#statements.entries()) {
      // The server keeps answers to itself until it is asked: a lock that is waited for would keep those before it.
      if (this.#onAnswer && at > 0 && at === this.#statements.length - 1) connection.flush();
      connection.parse({ name: '', text: sql, types: [] }, false);
      connection.bind({ values: [...parameters] }, false);
      connection.describe({ type: 'P', name: '' }, false);
      connection.execute(null, false);
    }
    connection.sync();
    stream.uncork();
  }

  handleRowDescription({ fields }: { fields: readonly { name: string; dataTypeID: number }[] }): void {
    this.#columns = fields.map(({ name, dataTypeID }) => ({ name, typeId: dataTypeID }));
  }

  handleDataRow({ fields }: { fields: (string | null)[] }): void {
    this.#rows.push(fields);
  }

  handleCommandComplete({ text }: { text: string }): void {
    const [command = '', ...counts] = text.split(' ');
    const affectedRows = WRITING_COMMANDS.has(command) ? Number(counts.at(-1) ?? 0) : 0;
    const answer = { columns: this.#columns, rows: this.#rows, affectedRows, command };
    this.#columns = [];
    this.#rows = [];
    this.#answers.push(answer);
    this.#onAnswer?.(this.#answers.length - 1, answer);
  }

  handleEmptyQuery(): void {
    this.handleCommandComplete({ text: '' });
  }

  handleReadyForQuery(): void {
    if (this.#answers.length === this.#statements.length) this.#answered.resolve(this.#answers);
    else this.#answered.reject(new Error('The server answered fewer statements than it was sent'));
  }

  handleError(error: Error): void {
    this.#answered.reject(error);
  }

  /** No statement of ours has data of its own to send. */
  handleCopyInResponse(connection: Connection & { sendCopyFail(reason: string): void }): void {
    connection.sendCopyFail('tx.query() sends no data for COPY');
    // The server has skipped the Sync that it was sent: https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY (2026-11-26)
    connection.sync();
  }

  handleCopyData(): void {}
}

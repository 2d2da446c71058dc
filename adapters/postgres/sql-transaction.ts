import { MillraceError } from '../../runtime/errors.ts';
import type { RawResult, SqlConnection, SqlDriver, Statement } from './sql-driver.ts';
import { afterFailure, isAfterFailure, sinkError } from './sql-errors.ts';
import { encodeParameter } from './sql-values.ts';

/** A transaction under way. Statements run one after the other, in the order of the calls. */
export interface OpenTransaction {
  /** A parameter that is no value fails the transaction as a failed statement does, and is not sent. */
  query(sql: string, parameters: readonly unknown[]): Promise<RawResult>;
  run(script: string): Promise<void>;
  /**
   * A statement that is run as the last one, together with COMMIT. Should another one come after it, it is run before that.
   * @param explain what an error of the driver's means, where that is told by the statement
   */
  last(
    sql: string,
    parameters: readonly unknown[],
    explain: (error: unknown) => MillraceError | undefined,
  ): void;
  /** Takes back what `work` changed where it rejects, and rejects with the very same error. Costs nothing before its first statement. */
  savepoint<Result>(work: () => Promise<Result>): Promise<Result>;
  /** Keeps the session from later transactions: a statement may have left something in it. */
  retire(): void;
  /** Whether a statement is unanswered. */
  isWaiting(): boolean;
}

/**
 * Commits when `work` resolves, rolls back when it rejects and rejects with the very same error. When `signal`
 * aborts, rejects with its reason at once and breaks the connection off; where COMMIT was under way, what became of
 * it is then unknown.
 * @throws SINK_UNAVAILABLE, SINK_CONFLICT, SINK_REJECTED or SINK_MISCONFIGURED from begin, commit and every statement
 */
export async function inTransaction<Result>(
  driver: SqlDriver,
  work: (transaction: OpenTransaction) => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result> {
  return within(driver, work, 'commit', signal);
}

/** The same, rolled back whatever `work` does: not all that writes is refused in a read-only transaction (`lo_create`, before 16). */
export async function inRolledBackTransaction<Result>(
  driver: SqlDriver,
  work: (transaction: OpenTransaction) => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result> {
  return within(driver, work, 'rollback', signal);
}

async function within<Result>(
  driver: SqlDriver,
  work: (transaction: OpenTransaction) => Promise<Result>,
  end: 'commit' | 'rollback',
  signal: AbortSignal | undefined,
): Promise<Result> {
  signal?.throwIfAborted();
  const transaction = new Transaction(signal);
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => {
    transaction.destroy();
    aborted.reject(signal?.reason);
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([run(driver, transaction, work, end), aborted.promise]);
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}

async function run<Result>(
  driver: SqlDriver,
  transaction: Transaction,
  work: (transaction: OpenTransaction) => Promise<Result>,
  end: 'commit' | 'rollback',
): Promise<Result> {
  await transaction.begin(driver);
  let result: Result;
  try {
    result = await work(transaction);
  } catch (error) {
    await transaction.rollback();
    throw error;
  }
  await transaction[end]();
  return result;
}

class Transaction implements OpenTransaction {
  readonly #signal: AbortSignal | undefined;
  #connection: SqlConnection | undefined;
  #isOpen = false;
  #waiting = 0;
  #lastStatement: Promise<unknown> = Promise.resolve();
  #failure: MillraceError | undefined;
  /** Whether the server is still to be told of a failure that was found here: only what comes after it needs that. */
  #isFailureUntold = false;
  #last: (Statement & { readonly explain: (error: unknown) => MillraceError | undefined }) | undefined;
  /** Open savepoints, outermost first; one is sent before the first statement inside it. */
  readonly #savepoints: { isSent: boolean }[] = [];
  /**
   * By depth, savepoints that are over here and still open on the server, so that the next one of that depth costs no round
   * trip of its own: `clean` where nothing has been done since it was set, else `used`.
   */
  #leftOpen: ('clean' | 'used' | undefined)[] = [];

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  query(sql: string, parameters: readonly unknown[]): Promise<RawResult> {
    let encoded: (string | null)[];
    try {
      encoded = parameters.map(encodeParameter);
    } catch (cause) {
      const error = cause instanceof MillraceError ? cause : unwritable();
      return this.#inOrder(async () => {
        this.#isFailureUntold = true;
        throw this.#failed(error);
      });
    }
    return this.#statement((connection) => connection.query(sql, encoded), encoded);
  }

  run(script: string): Promise<void> {
    return this.#statement((connection) => connection.run(script));
  }

  last(
    sql: string,
    parameters: readonly unknown[],
    explain: (error: unknown) => MillraceError | undefined,
  ): void {
    this.#throwIfClosed();
    this.#last = { sql, parameters: parameters.map(encodeParameter), explain };
  }

  retire(): void {
    this.#connection?.retire();
  }

  isWaiting(): boolean {
    return this.#waiting > 0;
  }

  async savepoint<Result>(work: () => Promise<Result>): Promise<Result> {
    const depth = this.#savepoints.length;
    const savepoint = { isSent: false };
    this.#savepoints.push(savepoint);
    try {
      const result = await work();
      // What the work did not await is part of it.
      await this.#lastStatement;
      await this.#tellFailure();
      // A failure that the work has swallowed is the savepoint's, which the server tells when asked to keep it.
      if (savepoint.isSent && this.#failure) {
        await this.#control(`RELEASE SAVEPOINT ${nameOf(depth)}`);
        this.#failure = undefined;
        this.#leftOpen = this.#leftOpen.slice(0, depth);
      } else if (savepoint.isSent) this.#leaveOpen(depth, 'used');
      return result;
    } catch (error) {
      await this.#lastStatement;
      if (this.#isOpen && !this.#signal?.aborted) {
        if (savepoint.isSent) {
          await this.#control(`ROLLBACK TO SAVEPOINT ${nameOf(depth)}`);
          this.#leaveOpen(depth, 'clean');
        }
        this.#failure = undefined;
        this.#isFailureUntold = false;
      }
      throw error;
    } finally {
      this.#savepoints.pop();
    }
  }

  async begin(driver: SqlDriver): Promise<void> {
    try {
      this.#connection = await driver.begin();
    } catch (error) {
      throw this.#signal?.aborted ? this.#signal.reason : sinkError(error);
    }
    if (this.#signal?.aborted) {
      this.#connection.destroy();
      throw this.#signal.reason;
    }
    this.#isOpen = true;
  }

  async commit(): Promise<void> {
    await this.#lastStatement;
    this.#throwIfClosed();
    await this.#tellFailure();
    this.#isOpen = false;
    let isCommitted: boolean;
    const last = this.#last;
    try {
      isCommitted = await this.#connection!.commit(last && { sql: last.sql, parameters: last.parameters });
    } catch (error) {
      if (isAfterFailure(error)) throw afterFailure(this.#failure);
      throw last?.explain(error) ?? commitError(error);
    }
    if (!isCommitted) throw afterFailure(this.#failure);
  }

  async rollback(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#lastStatement;
    await this.#connection!.rollback();
  }

  destroy(): void {
    this.#isOpen = false;
    this.#connection?.destroy();
  }

  #statement<T>(
    execute: (connection: SqlConnection) => Promise<T>,
    parameters: readonly (string | null)[] = [],
  ): Promise<T> {
    return this.#inOrder(async () => {
      await this.#tellFailure();
      await this.#runLast();
      try {
        await this.#sendSavepoints();
        return await execute(this.#connection!);
      } catch (error) {
        throw this.#failed(error, parameters);
      }
    });
  }

  /** It was not the last. */
  async #runLast(): Promise<void> {
    const last = this.#last;
    if (!last) return;
    this.#last = undefined;
    // It is done inside of the savepoints that are still open on the server.
    this.#leftOpen = this.#leftOpen.map((left) => left && 'used');
    try {
      await this.#connection!.query(last.sql, last.parameters);
    } catch (error) {
      throw this.#failed(last.explain(error) ?? error);
    }
  }

  #inOrder<T>(execute: () => Promise<T>): Promise<T> {
    const answer = this.#lastStatement.then(() => {
      this.#throwIfClosed();
      return execute();
    });
    this.#waiting++;
    // A statement that nobody awaits must not end the process: the transaction it fails is not committed.
    this.#lastStatement = answer.catch(() => {});
    const settled = answer.finally(() => this.#waiting--);
    settled.catch(() => {});
    return settled;
  }

  /** Has the server refuse what comes after a failure that it does not know of, but for a rollback to before it. */
  async #tellFailure(): Promise<void> {
    if (!this.#isFailureUntold) return;
    this.#isFailureUntold = false;
    try {
      await this.#sendSavepoints();
      await this.#connection!.run('ROLLBACK TO SAVEPOINT millrace_none');
    } catch {
      // That was the purpose. A connection that has broken says so again.
    }
  }

  async #sendSavepoints(): Promise<void> {
    const scripts: string[] = [];
    for (const [depth, savepoint] of this.#savepoints.entries()) {
      if (savepoint.isSent) continue;
      const left = this.#leftOpen[depth];
      if (left === 'used') scripts.push(`RELEASE SAVEPOINT ${nameOf(depth)}`);
      if (left !== 'clean') scripts.push(`SAVEPOINT ${nameOf(depth)}`);
    }
    if (scripts.length > 0) await this.#connection!.run(scripts.join('; '));
    for (const savepoint of this.#savepoints) savepoint.isSent = true;
    // What is done here is done inside of those that are still open on the server.
    this.#leftOpen = this.#leftOpen.map((left, depth) => {
      if (depth < this.#savepoints.length) return undefined;
      return left && 'used';
    });
  }

  /** What was inside of it went with it. */
  #leaveOpen(depth: number, state: 'clean' | 'used'): void {
    this.#leftOpen = this.#leftOpen.slice(0, depth);
    this.#leftOpen[depth] = state;
  }

  /** A statement about savepoints, outside of the order of the others, which have all been answered. */
  async #control(script: string): Promise<void> {
    try {
      await this.#connection!.run(script);
    } catch (error) {
      throw this.#failed(error);
    }
  }

  #throwIfClosed(): void {
    this.#signal?.throwIfAborted();
    if (!this.#isOpen) throw transactionEnded();
  }

  #failed(error: unknown, parameters: readonly (string | null)[] = []): unknown {
    if (this.#signal?.aborted) return this.#signal.reason;
    if (isAfterFailure(error)) return afterFailure(this.#failure);
    this.#failure = sinkError(error, parameters);
    return this.#failure;
  }
}

function nameOf(depth: number): string {
  return `millrace_${depth}`;
}

/** The server's answer is certain; a lost connection leaves the outcome open, and the ledger tells at the next try. */
function commitError(error: unknown): MillraceError {
  const classified = sinkError(error);
  if (classified.code !== 'SINK_UNAVAILABLE') return classified;
  return new MillraceError(
    'SINK_UNAVAILABLE',
    `It is unknown whether the transaction was committed. The ledger tells at the next try. ${classified.message}`,
    { cause: classified, details: classified.details },
  );
}

/** What has no JSON: a bigint in an object, an object that holds itself; or parameters that are no array. */
function unwritable(): MillraceError {
  return new MillraceError(
    'SINK_REJECTED',
    'A parameter of a statement cannot be written as JSON, or the parameters are not an array. Turn bigints into text and ' +
      'leave out circular references.',
    { action: 'dead-letter' },
  );
}

function transactionEnded(): MillraceError {
  return new MillraceError(
    'HANDLER_FAILED',
    'tx was used after its transaction had ended. Await every statement before handle() returns.',
  );
}

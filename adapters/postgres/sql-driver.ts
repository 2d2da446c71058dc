/**
 * What the sink asks of a PostgreSQL driver: transactions in PostgreSQL's own text format. Everything else (types,
 * errors, the order of statements, aborting) is the same code above it, so that both drivers behave as one.
 */
export interface SqlDriver {
  /**
   * Takes a connection, on which a transaction begins, at the latest with the first statement. Rejects with the driver's own
   * error.
   * @param schema where the transaction looks names up first, before `public`. @default as the session has it
   */
  begin(schema?: string): Promise<SqlConnection>;
}

export interface Statement {
  readonly sql: string;
  /** In PostgreSQL's text format. */
  readonly parameters: readonly (string | null)[];
}

/** A connection for one transaction. One statement at a time; rejects with the driver's own errors. */
export interface SqlConnection {
  /** Runs exactly one statement by the extended protocol, with no name, so that a pooler need not pin it. */
  query(sql: string, parameters: Statement['parameters']): Promise<RawResult>;
  /** Runs a script of any number of statements. */
  run(script: string): Promise<void>;
  /**
   * Gives the connection back. Resolves to false where the server rolled back, because a statement had failed.
   * @param last a statement to run before, in the same round trip where there is one; if it fails, nothing is committed, and
   *   its error is what this rejects with
   */
  commit(last?: Statement): Promise<boolean>;
  /** Gives the connection back, or closes it where it does not answer. Never rejects. */
  rollback(): Promise<void>;
  /** Says that the session may hold what outlives its transaction, so that no other transaction gets it as it is. */
  retire(): void;
  /** Breaks off whatever is under way: what the server has not committed, it rolls back. Never throws. */
  destroy(): void;
}

export interface RawResult {
  readonly columns: readonly { readonly name: string; readonly typeId: number }[];
  /** Cells as PostgreSQL writes them. */
  readonly rows: readonly (readonly (string | null)[])[];
  /** Rows inserted, updated, deleted or merged; 0 for any other statement. */
  readonly affectedRows: number;
}

import { type ErrorCode, MillraceError } from '../../runtime/errors.ts';

/** The parts of a PostgreSQL error that hold names, never values; both drivers give it this shape. */
interface ServerError {
  readonly message: string;
  readonly code: string;
  readonly severity: string;
  readonly hint?: string | undefined;
  readonly schema?: string | undefined;
  readonly table?: string | undefined;
  readonly column?: string | undefined;
  readonly dataType?: string | undefined;
  readonly constraint?: string | undefined;
}

type SinkErrorCode = Extract<ErrorCode, `SINK_${string}`>;

/**
 * By SQLSTATE, the whole state first, then its class (its first two characters). What stands here is about the
 * server, the moment or the data; every other state is about the statement or the database: SINK_MISCONFIGURED.
 * Source: https://www.postgresql.org/docs/current/errcodes-appendix.html, read 2026-11-24.
 */
const CODE_BY_STATE: ReadonlyMap<string, SinkErrorCode> = new Map<string, SinkErrorCode>([
  ['08', 'SINK_UNAVAILABLE'], // connection exception
  ['53', 'SINK_UNAVAILABLE'], // insufficient resources: disk full, too many connections
  ['57', 'SINK_UNAVAILABLE'], // operator intervention: shutdown, cancel, statement_timeout
  ['58', 'SINK_UNAVAILABLE'], // system error
  ['XX', 'SINK_UNAVAILABLE'], // internal error
  ['25006', 'SINK_UNAVAILABLE'], // read-only transaction: this was the primary before a failover
  ['25P03', 'SINK_UNAVAILABLE'], // idle_in_transaction_session_timeout
  ['25P04', 'SINK_UNAVAILABLE'], // transaction_timeout
  ['40003', 'SINK_UNAVAILABLE'], // statement completion unknown

  ['40', 'SINK_CONFLICT'], // deadlock, serialization failure
  ['55P03', 'SINK_CONFLICT'], // lock_timeout, NOWAIT
  ['55006', 'SINK_CONFLICT'], // object in use

  ['21', 'SINK_REJECTED'], // cardinality: one upsert that holds the same key twice
  ['22', 'SINK_REJECTED'], // data exception
  ['23', 'SINK_REJECTED'], // integrity constraint
  ['27', 'SINK_REJECTED'], // triggered data change
  ['40002', 'SINK_REJECTED'], // integrity constraint, found at commit
  ['44', 'SINK_REJECTED'], // WITH CHECK OPTION
  ['54000', 'SINK_REJECTED'], // program limit: a key too long for its index
  ['54001', 'SINK_REJECTED'], // too complex: JSON nested too deep
  ['P0', 'SINK_REJECTED'], // raised by a trigger or a function
]);

/**
 * Refusals that no wait can change, by SQLSTATE or its class: what the data is, not what stands beside it. The others
 * (a foreign key, a unique key, what a trigger raises) depend on rows that may come or go.
 */
const FINAL_STATES: ReadonlySet<string> = new Set(['21', '22', '23502', '23514', '44', '54000', '54001']);

/**
 * States, or classes, that read like a fault of the statement or of the server, and that data can cause as well: text
 * cast to tsquery or regclass (42, 0A), a record so slow that statement_timeout ends it (57014), too many parameters (08P01).
 */
const UNCLEAR_STATES: ReadonlySet<string> = new Set(['42', '0A', '57014', '08P01']);

const REJECTIONS: ReadonlyMap<string, string> = new Map([
  ['22001', 'text is too long for its column'],
  ['22003', 'a number is out of range'],
  ['22007', 'text is not a valid date or time'],
  ['22008', 'a date or time is out of range'],
  ['22012', 'division by zero'],
  ['22021', 'text holds bytes that are not UTF-8, or a zero byte'],
  ['22P02', 'text is not a value of its column’s type'],
  ['22P05', 'a character has no equivalent'],
  ['23502', 'a value is null where none may be'],
  ['23503', 'a foreign key has nothing to refer to'],
  ['23505', 'a key exists already'],
  ['23514', 'a check constraint does not hold'],
  ['23P01', 'an exclusion constraint does not hold'],
  ['21000', 'one statement writes the same row twice'],
  ['54000', 'a value is too large for its index'],
]);

/**
 * A driver's error as one of the sink's own. Its message has names (SQLSTATE, table, column, constraint) and never
 * values: a refusal of data is told in our words, since PostgreSQL's message and `detail` quote the row; nor is
 * the driver's error kept as `cause`, because PGlite hangs the statement's parameters on it.
 * @param parameters what the statement was given: a message that quotes part of one loses the quotation
 */
export function sinkError(error: unknown, parameters: readonly (string | null)[] = []): MillraceError {
  if (error instanceof MillraceError) return error;
  return isServerError(error) ? serverError(error, parameters) : connectionError(error);
}

/** The server refuses every statement until the transaction ends, because one has failed. */
export function isAfterFailure(error: unknown): boolean {
  return isServerError(error) && error.code === '25P02';
}

/** What a statement, or COMMIT, meets after the handler has swallowed `failure`; it counts as that failure. */
export function afterFailure(failure: MillraceError | undefined): MillraceError {
  const advice =
    'A statement of this transaction failed before, so PostgreSQL takes no more (SQLSTATE 25P02) and nothing was ' +
    'committed. Await each statement and let its error through, or set a SAVEPOINT before a statement that may fail.';
  if (!failure) return new MillraceError('SINK_REJECTED', advice, { details: { sqlState: '25P02' } });
  return new MillraceError(failure.code, `${advice} It was: ${failure.message}`, {
    cause: failure,
    details: failure.details,
    action: failure.action,
    isUnclear: failure.isUnclear,
  });
}

/** What PostgreSQL says to a text with U+0000, without asking it: its text holds none, whatever the encoding. */
export function zeroByteRefused(): MillraceError {
  return serverError({ code: '22021', severity: 'ERROR', message: '' });
}

function serverError(error: ServerError, parameters: readonly (string | null)[] = []): MillraceError {
  const sqlState = error.code;
  const code = CODE_BY_STATE.get(sqlState) ?? CODE_BY_STATE.get(sqlState.slice(0, 2)) ?? 'SINK_MISCONFIGURED';
  const { schema, table, column, dataType, constraint } = error;
  const names = Object.entries({ schema, table, column, dataType, constraint }).filter(([, name]) => name);
  const isFinal = FINAL_STATES.has(sqlState) || FINAL_STATES.has(sqlState.slice(0, 2));
  const isUnclear = UNCLEAR_STATES.has(sqlState) || UNCLEAR_STATES.has(sqlState.slice(0, 2));
  return new MillraceError(code, messageOf(code, error, names, parameters), {
    details: { sqlState, ...Object.fromEntries(names) },
    isUnclear,
    ...(isFinal && { action: 'dead-letter' }),
  });
}

/** A message without what it quotes of the parameters. */
function withoutQuoted(message: string, parameters: readonly (string | null)[]): string {
  return message.replace(/"([^"]+)"/g, (quoted, text: string) =>
    parameters.some((parameter) => parameter?.toLowerCase().includes(text.toLowerCase())) ? '"…"' : quoted,
  );
}

function messageOf(
  code: SinkErrorCode,
  error: ServerError,
  names: readonly [string, unknown][],
  parameters: readonly (string | null)[],
): string {
  const { code: sqlState, hint } = error;
  if (code === 'SINK_REJECTED') {
    const where = names.map(([kind, name]) => `${kind} ${JSON.stringify(name)}`).join(', ');
    const why = REJECTIONS.get(sqlState);
    return `PostgreSQL refused the data${why ? `: ${why}` : ''} (${[`SQLSTATE ${sqlState}`, where].filter(Boolean).join(', ')}).`;
  }
  const message = withoutQuoted(error.message, parameters);
  switch (code) {
    case 'SINK_CONFLICT':
      return `PostgreSQL aborted the transaction for now: ${message} (SQLSTATE ${sqlState}).`;
    case 'SINK_UNAVAILABLE':
      return `PostgreSQL does not accept work: ${message} (SQLSTATE ${sqlState}).`;
    default:
      return (
        `PostgreSQL cannot run the statement: ${message} (SQLSTATE ${sqlState}).${hint ? ` ${hint}` : ''} ` +
        "Apply the migrations, or correct the handler's SQL, the connection or the role's grants."
      );
  }
}

const TLS_OR_LOGIN =
  /^(SASL|ERR_TLS|ERR_SSL|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|The server does not support SSL)/;

/** The connection, not the server: refused, reset, timed out, closed; or a login that cannot work. */
function connectionError(error: unknown): MillraceError {
  const { code, message } = error as { code?: unknown; message?: unknown };
  const reason = String(code ?? message ?? error);
  if (TLS_OR_LOGIN.test(reason) || TLS_OR_LOGIN.test(String(message))) {
    return new MillraceError(
      'SINK_MISCONFIGURED',
      `Could not log in to PostgreSQL: ${String(message)}. Correct the connection's TLS settings or credentials.`,
      { cause: error },
    );
  }
  return new MillraceError('SINK_UNAVAILABLE', `PostgreSQL cannot be reached: ${reason}.`, { cause: error });
}

function isServerError(error: unknown): error is ServerError {
  // Node's own errors have codes too (EPIPE); only the server's have a severity.
  return (
    error instanceof Error && 'severity' in error && typeof (error as { code?: unknown }).code === 'string'
  );
}

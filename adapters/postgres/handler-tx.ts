/** The `tx` that a handler gets: what it may not run is refused, and nothing reaches the transaction after its part has ended. */
import type { SqlTransaction } from '../../runtime/delivery/sink.ts';
import { MillraceError } from '../../runtime/errors.ts';
import type { OpenTransaction } from './sql-transaction.ts';
import { decodeRows } from './sql-values.ts';

// COMMIT inside a handler would commit its effects without the ledger. ROLLBACK TO SAVEPOINT is fine. Nothing but such a word
// at its beginning makes a statement end a transaction: procedures and blocks cannot, inside one that is open. Should one come
// through all the same, it is found out when the ledger is written, since that is another transaction.
const ENDS_TRANSACTION =
  /^(?:begin|start|commit|end|abort|prepare\s+transaction|rollback(?!\s+(?:work\s+|transaction\s+)?to\b))\b/i;

const OUR_SAVEPOINT = /^(?:savepoint|release|rollback)\b[^;]*\bmillrace_/i;

const COPIES = /^copy\b.*\b(?:from\s+stdin|to\s+stdout)\b/is;

/** The statement from its first word on, as PostgreSQL finds it: behind blanks, semicolons and comments, which may hold comments. */
function fromFirstWord(sql: string): string {
  let at = 0;
  for (;;) {
    const blank = /^(?:[\s;]|--[^\n\r]*)*/.exec(sql.slice(at))![0].length;
    at += blank;
    if (!sql.startsWith('/*', at)) return sql.slice(at);
    let depth = 0;
    do {
      const mark = /\/\*|\*\//g;
      mark.lastIndex = at;
      const found = mark.exec(sql);
      if (!found) return '';
      depth += found[0] === '/*' ? 1 : -1;
      at = found.index + 2;
    } while (depth > 0);
  }
}

// What these leave in the session (settings, locks, temporary tables, cursors) would reach the next batch. The connection is
// closed, not reset: a proxy would pin it. https://www.postgresql.org/docs/current/sql-discard.html lists what there is.
const LEAVES_STATE =
  /^(?:set(?!\s+(?:local|constraints|transaction)\b)|reset|listen|load|prepare|declare|discard|do|call|create\s+(?:or\s+replace\s+)?(?:(?:local|global)\s+)?temp(?:orary)?)\b/i;
const CALLS_THAT_LEAVE_STATE = /\bset_config\b|\bpg_(?:try_)?advisory_lock|\binto\s+temp/i;

/** A tx for one part of a transaction. */
export function partOf(open: OpenTransaction): { readonly tx: SqlTransaction; close(): void } {
  let isOpen = true;
  return {
    tx: {
      query<Row>(sql: string, parameters?: readonly unknown[]) {
        const answer = isOpen ? handlerQuery<Row>(open, sql, parameters) : Promise.reject(partEnded());
        // One that nobody awaits must not end the process: the transaction it fails is not committed.
        answer.catch(() => {});
        return answer;
      },
    },
    close() {
      isOpen = false;
    },
  };
}

async function handlerQuery<Row>(
  open: OpenTransaction,
  sql: string,
  parameters: readonly unknown[] = [],
): Promise<{ readonly rows: readonly Row[]; readonly affectedRows: number }> {
  const statement = fromFirstWord(sql);
  if (ENDS_TRANSACTION.test(statement)) {
    throw new MillraceError(
      'SINK_MISCONFIGURED',
      "tx.query() takes no statement that begins or ends a transaction. The sink commits the handler's effects " +
        'together with the ledger. Remove it; SAVEPOINT and ROLLBACK TO are allowed.',
    );
  }
  if (OUR_SAVEPOINT.test(statement)) {
    throw new MillraceError(
      'SINK_MISCONFIGURED',
      'tx.query() takes no savepoint whose name begins with "millrace_": the sink uses those names. Rename it.',
    );
  }
  if (COPIES.test(statement)) {
    throw new MillraceError(
      'SINK_MISCONFIGURED',
      'tx.query() takes no COPY from STDIN or to STDOUT: it sends and receives no data beside a statement. Write ' +
        'INSERT … SELECT … FROM unnest($1::text[], …) with an array for each column.',
    );
  }
  if (LEAVES_STATE.test(statement) || CALLS_THAT_LEAVE_STATE.test(sql)) open.retire();
  const result = await open.query(sql, parameters);
  return { rows: decodeRows(result) as Row[], affectedRows: result.affectedRows };
}

function partEnded(): MillraceError {
  return new MillraceError(
    'HANDLER_FAILED',
    'tx was used after its handle() had ended. Await every statement before handle() returns or throws.',
  );
}

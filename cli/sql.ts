import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import { askOwner } from '../local/control-socket.ts';
import { type QueryResult, TABLES } from '../local/read-only-query.ts';
import {
  existingStateFolder,
  type StateFolder,
  stateInUse,
  tryLockStateFolder,
} from '../local/state-folder.ts';
import { jsonOption, seconds, stateOption } from './options.ts';
import { epilogue, plural, printable, printJson, printLine, printNote, styled, table } from './terminal.ts';

const EXAMPLE = `
Examples:
  millrace sql "select content_id, sum(views) as views from article_minute
                group by 1 order by 2 desc limit 10"
  millrace sql '\\dt'                                      the tables there are

It works beside a running "millrace up" and changes nothing. Consumers wait
while a query runs: --timeout stops one that takes too long, and so does Ctrl-C.`;

/** What people ask other tools for a list of tables with. */
const LISTS_TABLES = /^\s*(?:\\dt?\+?|show\s+tables|tables)\s*;?\s*$/i;

// Whoever has the folder without answering is starting, ending, or querying itself.
const PATIENCE_MS = 15_000;
const RETRY_MS = 100;
const TIMEOUT_S = 10;

interface SqlOptions {
  readonly state: string;
  readonly timeout: number;
  readonly json?: true;
}

export function sqlCommand(): Command {
  return new Command('sql')
    .description('Runs one SQL statement on the sink, in a read-only transaction.')
    .argument('<statement>', 'a SELECT, in quotes; \\dt lists the tables')
    .addOption(stateOption())
    .option('--timeout <seconds>', 'stop the query after this long', seconds, TIMEOUT_S)
    .addOption(jsonOption('print an array with an object a row'))
    .addHelpText('after', epilogue(EXAMPLE))
    .action(async (statement: string, options: SqlOptions, command: Command) => {
      if (!statement.trim()) command.error("error: argument 'statement' is empty. Give a SELECT, in quotes.");
      const sql = LISTS_TABLES.test(statement) ? TABLES : statement;
      const result = await queryFolder(existingStateFolder(options.state), sql, options.timeout * 1_000);
      if (options.json) printJson(result.rows.map((row) => toObject(result.columns, row)));
      else printTable(result);
    });
}

/** Asks the process that has the folder, or opens the sink where none has. */
export async function queryFolder(
  folder: StateFolder,
  statement: string,
  timeoutMs: number,
): Promise<QueryResult> {
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += RETRY_MS) {
    const answered = await askOwner(folder, 'query', { sql: statement, timeoutMs });
    if (answered) return answered.result;
    const lock = tryLockStateFolder(folder, 'look');
    if (lock) {
      const { querySink } = await import('../local/stack.ts');
      return await querySink(folder, statement, { timeoutMs }).finally(lock.release);
    }
    await sleep(RETRY_MS);
  }
  throw stateInUse(folder);
}

function toObject(columns: readonly string[], row: readonly unknown[]): Record<string, unknown> {
  return Object.fromEntries(columns.map((name, index) => [name, row[index]]));
}

function printTable({ columns, rows }: QueryResult): void {
  const isNumeric = columns.map((_, index) =>
    rows.every((row) => row[index] === null || typeof row[index] === 'number'),
  );
  const titles = columns.map((title, index) => ({
    title: printable(title),
    align: isNumeric[index] ? ('right' as const) : ('left' as const),
  }));
  printLine(
    table(
      titles,
      rows.map((row) => row.map(cell)),
    ),
  );
  printNote(`(${plural(rows.length, 'row')})`);
}

function cell(value: unknown): string {
  // Told from an empty text.
  if (value === null) return styled('dim', 'NULL');
  return printable(typeof value === 'object' ? JSON.stringify(value) : String(value));
}
